//! A network in front of a node that can be cut: connections stand and nothing passes, datagrams are lost.
//!
//! ```text
//!   whoever dials ---> proxy ---> node          cut: nothing is accepted, read or passed on, and nobody is told
//! ```

use crate::failure::Result;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// The address by which a node is reached.
pub(super) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    road: Mutex<Road>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Road {
    target: Option<SocketAddr>,
    is_cut: bool,
}

impl Proxy {
    /// One that leads nowhere yet. Its threads end with the process.
    pub(super) fn new() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let datagrams = UdpSocket::bind(address)?;
        let proxy = Self { address, state: Arc::default() };
        let state = proxy.state.clone();
        std::thread::spawn(move || state.accept(&listener));
        let state = proxy.state.clone();
        std::thread::spawn(move || state.pass_datagrams(&datagrams));
        Ok(proxy)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it leads.
    pub(super) fn lead_to(&self, target: SocketAddr) {
        self.state.change(|road| road.target = Some(target));
    }

    /// Cuts, or mends.
    pub(super) fn cut(&self, is_cut: bool) {
        self.state.change(|road| road.is_cut = is_cut);
    }
}

impl State {
    fn road(&self) -> MutexGuard<'_, Road> {
        self.road.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn change(&self, change: impl FnOnce(&mut Road)) {
        change(&mut self.road());
        self.changed.notify_all();
    }

    /// Waits until something leads somewhere.
    fn target(&self) -> SocketAddr {
        let mut road = self.road();
        loop {
            match *road {
                Road { target: Some(target), is_cut: false } => return target,
                _ => road = self.changed.wait(road).unwrap_or_else(|poisoned| poisoned.into_inner()),
            }
        }
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for near in listener.incoming().map_while(std::result::Result::ok) {
            let Ok(far) = TcpStream::connect(self.target()) else { continue };
            for (from, to) in [(&near, &far), (&far, &near)] {
                let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                let state = self.clone();
                std::thread::spawn(move || state.pass(from, to));
            }
        }
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        // A connection is a whole or nothing: whatever happens to one way ends both.
        let _ = (from.set_nodelay(true), to.set_nodelay(true));
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            self.target();
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        self.target();
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    fn pass_datagrams(&self, socket: &UdpSocket) {
        let mut buffer = [0; 2048];
        // An error is of the datagram before.
        loop {
            let Ok((count, _)) = socket.recv_from(&mut buffer) else { continue };
            if let Road { target: Some(target), is_cut: false } = *self.road() {
                let _ = socket.send_to(&buffer[..count], target);
            }
        }
    }
}
