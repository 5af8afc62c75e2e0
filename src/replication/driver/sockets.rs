//! Sockets, with the options that every one of them gets.
//!
//! ```text
//!   listen("0.0.0.0:7400")  ->  TCP 7400: connections        UDP 7400: datagrams
//!   listen("127.0.0.1:0")   ->  a free TCP port, and the same one for UDP; taken by another: the next free one
//!
//!   TCP   TCP_NODELAY             a batch goes out when it is written
//!         TCP_USER_TIMEOUT  3 s   a peer that takes nothing is given up by the kernel
//!         SO_SNDBUF, SO_RCVBUF    bounded, and set before the handshake, which fixes the window's scale
//! ```
//!
//! An address of IPv4 is always written as one, also where a socket of IPv6 hands it out.

#![forbid(unsafe_code)]

use crate::types::limits::{SOCKET_BUFFER_BYTES, TCP_USER_TIMEOUT_MS};
use mio::net::{TcpListener, TcpStream, UdpSocket};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

/// Free ports that are tried until one is free for both, where any port will do.
const PORT_TRIES: u32 = 16;
/// Connections that wait for being accepted; more are dropped by the kernel and tried again by their makers.
const BACKLOG: i32 = 128;

/// What a node listens on.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(super) tcp: TcpListener,
    pub(super) udp: UdpSocket,
    /// As bound: with the port that was found.
    pub(super) address: SocketAddr,
}

/// Why an address can not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{protocol}: {error}")]
pub(crate) struct ListenFailure {
    /// "TCP" or "UDP".
    protocol: &'static str,
    error: io::Error,
}

/// Listens on the TCP and the UDP port of an address.
pub(crate) fn listen(address: SocketAddr) -> Result<Listening, ListenFailure> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let tcp = listen_tcp(address).map_err(|error| ListenFailure { protocol: "TCP", error })?;
        let bound = tcp.local_addr().map_err(|error| ListenFailure { protocol: "TCP", error })?;
        match UdpSocket::bind(bound) {
            Ok(udp) => return Ok(Listening { tcp, udp, address: bound }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(error) => return Err(ListenFailure { protocol: "UDP", error }),
        }
    }
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = tcp_socket(address)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Begins to connect. The socket is writable once it is connected, or has failed.
pub(super) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = tcp_socket(address)?;
    prepare(&socket)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(TcpStream::from_std(socket.into())),
        Err(error) => Err(error.into()),
    }
}

/// Whether a connection that was begun has been made; `None`: not yet.
pub(super) fn connected(stream: &TcpStream) -> io::Result<Option<()>> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        // Two ends that are one socket: nobody listened, and the port was the one that the kernel chose for this end.
        Ok(peer) if stream.local_addr()? == peer => Err(io::ErrorKind::ConnectionRefused.into()),
        Ok(_) => Ok(Some(())),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes a connection that somebody else has begun.
pub(super) fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    prepare(&stream)?;
    Ok((stream, canonical(peer)))
}

fn tcp_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    // Sockets that are accepted inherit both.
    sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES)?;
    sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES)?;
    Ok(socket)
}

fn prepare(socket: impl std::os::fd::AsFd) -> io::Result<()> {
    sockopt::set_tcp_nodelay(&socket, true)?;
    Ok(sockopt::set_tcp_user_timeout(&socket, TCP_USER_TIMEOUT_MS)?)
}

/// An address of IPv4 as one.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Sends one datagram. `Ok(false)`: there is no room for it now.
pub(super) fn send_datagram(socket: &UdpSocket, bound: SocketAddr, to: SocketAddr, bytes: &[u8]) -> io::Result<bool> {
    let to = match to.ip() {
        IpAddr::V4(ip) if bound.is_ipv6() => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
        _ => to,
    };
    match socket.send_to(bytes, to) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes one datagram. `None`: there is none.
pub(super) fn receive_datagram(socket: &UdpSocket, into: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
    match socket.recv_from(into) {
        Ok((bytes, from)) => Ok(Some((bytes, canonical(from)))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().expect("an address")
    }

    #[test]
    fn both_protocols_listen_on_one_port() {
        let listening = listen(loopback()).expect("loopback can be listened on");
        assert_ne!(listening.address.port(), 0);
        assert_eq!(listening.udp.local_addr().expect("it is bound"), listening.address);
        assert!(listen(listening.address).is_err(), "the port is taken");
    }

    #[test]
    fn a_connection_has_its_options_on_both_sides() {
        let listening = listen(loopback()).expect("loopback can be listened on");
        let mut poll = mio::Poll::new().expect("a poller");
        let mut listener = listening.tcp;
        poll.registry().register(&mut listener, mio::Token(0), mio::Interest::READABLE).expect("it registers");
        let ours = connect(listening.address).expect("it begins");
        poll.poll(&mut mio::Events::with_capacity(1), None).expect("it is there");
        let (theirs, peer) = accept(&listener).expect("one waits");
        assert_eq!(peer, ours.local_addr().expect("it has an end"));
        for stream in [&ours, &theirs] {
            assert!(stream.nodelay().expect("an option"));
            assert_eq!(sockopt::tcp_user_timeout(stream).expect("an option"), TCP_USER_TIMEOUT_MS);
            let bytes = sockopt::socket_send_buffer_size(stream).expect("an option");
            assert!(bytes <= 2 * SOCKET_BUFFER_BYTES, "{bytes}");
        }
        assert_eq!(connected(&ours).expect("it is connected"), Some(()));
    }

    #[test]
    fn an_address_of_ipv4_is_written_as_one() {
        let mapped: SocketAddr = "[::ffff:10.1.2.3]:7400".parse().expect("an address");
        assert_eq!(canonical(mapped).to_string(), "10.1.2.3:7400");
    }
}
