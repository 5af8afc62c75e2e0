//! Ports on loopback: free for connections and for datagrams alike, as a node needs them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// A free port, TCP and UDP, on loopback.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    let (listener, _) = bind()?;
    listener.local_addr()
}

/// Binds one, for connections and for datagrams.
pub(crate) fn bind() -> io::Result<(TcpListener, UdpSocket)> {
    let mut last = None;
    for _ in 0..TRIES {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        match UdpSocket::bind(listener.local_addr()?) {
            Ok(socket) => return Ok((listener, socket)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

const TRIES: u32 = 64;
