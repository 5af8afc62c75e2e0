//! The network between the nodes in the hands of this process, so that it can be cut: a proxy before each node.
//!
//! ```text
//!   node a  --dials b-->  gate of b  -->  node b         a node advertises its gate, and listens behind it
//!           --datagrams->    |       -->
//!                            |  who is it?  a connection: the process that has its other end, by /proc
//!                            |              a datagram: the port that it comes from
//!                            v
//!              cut from a to b?  bytes wait, as they do until a network is whole again; datagrams are gone
//! ```
//!
//! A connection that begins while the two are cut leads nowhere, and is closed when they are not any more.

use super::schedule::NodeIndex;
use crate::loopback::bind;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// All gates. Their threads end with the process.
pub(super) struct Network {
    gates: Vec<SocketAddr>,
    links: Arc<Links>,
}

/// What the threads share. Relaxed throughout: a cut is seen a moment later, as in any network.
struct Links {
    /// Where the nodes listen.
    nodes: Vec<SocketAddr>,
    /// Their processes, 0 for none.
    processes: Vec<AtomicU32>,
    /// By sender and receiver.
    cut: Vec<AtomicBool>,
    datagrams_dropped: Vec<AtomicU64>,
    bytes_held: Vec<AtomicU64>,
}

impl Network {
    /// A gate before each of these addresses.
    pub(super) fn new(nodes: Vec<SocketAddr>) -> io::Result<Self> {
        let count = nodes.len();
        let links = Arc::new(Links {
            nodes,
            processes: (0..count).map(|_| AtomicU32::new(0)).collect(),
            cut: (0..count * count).map(|_| AtomicBool::new(false)).collect(),
            datagrams_dropped: (0..count * count).map(|_| AtomicU64::new(0)).collect(),
            bytes_held: (0..count * count).map(|_| AtomicU64::new(0)).collect(),
        });
        let gates = (0..count).map(|node| open_gate(node, &links)).collect::<io::Result<_>>()?;
        Ok(Self { gates, links })
    }

    /// Where a node is reached.
    pub(super) fn gate(&self, node: NodeIndex) -> SocketAddr {
        self.gates[node]
    }

    /// Says which process a node is.
    pub(super) fn is_process(&self, node: NodeIndex, process: u32) {
        self.links.processes[node].store(process, Ordering::Relaxed);
    }

    /// Cuts a direction, or joins it again.
    pub(super) fn cut(&self, from: NodeIndex, to: NodeIndex, cut: bool) {
        self.links.cut[self.links.place(from, to)].store(cut, Ordering::Relaxed);
    }

    /// Datagrams dropped and bytes held up so far in a direction.
    pub(super) fn losses(&self, from: NodeIndex, to: NodeIndex) -> (u64, u64) {
        let (links, place) = (&self.links, self.links.place(from, to));
        (links.datagrams_dropped[place].load(Ordering::Relaxed), links.bytes_held[place].load(Ordering::Relaxed))
    }
}

impl Links {
    /// Of a direction among all.
    fn place(&self, from: NodeIndex, to: NodeIndex) -> usize {
        from * self.nodes.len() + to
    }

    fn is_cut(&self, from: NodeIndex, to: NodeIndex) -> bool {
        self.cut[self.place(from, to)].load(Ordering::Relaxed)
    }

    /// The node whose process has the other end of a connection to a gate.
    fn dialler(&self, stream: &TcpStream) -> Option<NodeIndex> {
        let inode = inode(stream.peer_addr().ok()?.port(), stream.local_addr().ok()?.port())?;
        let wanted = format!("socket:[{inode}]");
        (0..self.nodes.len()).find(|node| {
            let process = self.processes[*node].load(Ordering::Relaxed);
            let files = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
            files
                .filter_map(|file| std::fs::read_link(file.path()).ok())
                .any(|link| link.as_os_str() == wanted.as_str())
        })
    }
}

fn open_gate(node: NodeIndex, links: &Arc<Links>) -> io::Result<SocketAddr> {
    let (listener, socket) = bind()?;
    let address = listener.local_addr()?;
    let shared = links.clone();
    spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let shared = shared.clone();
            // Without a thread it is closed, and dialled again.
            let _ = spawn(move || serve(&near, node, &shared));
        }
    })?;
    let shared = links.clone();
    spawn(move || pass_datagrams(&socket, node, &shared))?;
    Ok(address)
}

fn spawn(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name("network".to_owned()).stack_size(256 << 10).spawn(run)?;
    Ok(())
}

/// Passes a connection on in both directions, until one end is gone.
fn serve(near: &TcpStream, to: NodeIndex, links: &Arc<Links>) {
    let Some(from) = links.dialler(near) else { return };
    if links.is_cut(from, to) || links.is_cut(to, from) {
        while links.is_cut(from, to) || links.is_cut(to, from) {
            std::thread::sleep(LOOK);
        }
        return;
    }
    let Ok(far) = TcpStream::connect(links.nodes[to]) else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (Ok(back_from), Ok(back_to)) = (far.try_clone(), near.try_clone()) else { return };
    let shared = links.clone();
    if spawn(move || pass(&back_from, &back_to, (to, from), &shared)).is_ok() {
        pass(near, &far, (from, to), links);
    }
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, (sender, receiver): (NodeIndex, NodeIndex), links: &Links) {
    let mut buffer = [0; 16 << 10];
    loop {
        // The end is no different from bytes: it does not come through a network that is cut.
        let count = from.read(&mut buffer).unwrap_or(0);
        if links.is_cut(sender, receiver) {
            links.bytes_held[links.place(sender, receiver)].fetch_add(count as u64, Ordering::Relaxed);
        }
        while links.is_cut(sender, receiver) {
            std::thread::sleep(LOOK);
        }
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn pass_datagrams(socket: &UdpSocket, to: NodeIndex, links: &Links) {
    let mut buffer = [0; 64 << 10];
    loop {
        // An error here is about a datagram that reached nobody before.
        let Ok((count, sender)) = socket.recv_from(&mut buffer) else { continue };
        let from = links.nodes.iter().position(|node| *node == sender);
        match from.filter(|from| links.is_cut(*from, to)) {
            Some(from) => {
                links.datagrams_dropped[links.place(from, to)].fetch_add(1, Ordering::Relaxed);
            }
            // Where that fails it is lost, as datagrams may be.
            None => drop(socket.send_to(&buffer[..count], links.nodes[to])),
        }
    }
}

/// The inode of the socket on loopback with these ports.
fn inode(local: u16, remote: u16) -> Option<u64> {
    let (local, remote) = (format!(":{local:04X}"), format!(":{remote:04X}"));
    let table = std::fs::read_to_string("/proc/self/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&local) && fields.get(2)?.ends_with(&remote);
        if is_it { fields.get(9)?.parse().ok() } else { None }
    })
}

const LOOK: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// This process is every node: node 0 listens here, node 1 dials.
    fn network() -> (TcpListener, UdpSocket, UdpSocket, Network) {
        let (listener, socket) = bind().expect("a free port");
        let (_, sender) = bind().expect("a free port");
        let addresses = [&socket, &sender].map(|socket| socket.local_addr().expect("it is bound"));
        let network = Network::new(addresses.to_vec()).expect("gates");
        network.is_process(1, std::process::id());
        (listener, socket, sender, network)
    }

    #[test]
    fn bytes_wait_until_the_cut_ends() {
        let (listener, _socket, _sender, network) = network();
        let mut near = TcpStream::connect(network.gate(0)).expect("the gate listens");
        let (mut far, _) = listener.accept().expect("it is passed on");
        near.write_all(b"one").expect("it is taken");
        let mut read = [0; 3];
        far.read_exact(&mut read).expect("it comes");
        network.cut(1, 0, true);
        near.write_all(b"two").expect("it is taken");
        while network.losses(1, 0).1 < 3 {
            std::thread::yield_now();
        }
        far.write_all(b"back").expect("the other direction is open");
        near.read_exact(&mut [0; 4]).expect("it comes");
        far.set_nonblocking(true).expect("an option");
        assert!(far.read(&mut read).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
        far.set_nonblocking(false).expect("an option");
        network.cut(1, 0, false);
        far.read_exact(&mut read).expect("it comes");
        assert_eq!(&read, b"two");
    }

    #[test]
    fn datagrams_are_gone_while_the_cut_lasts() {
        let (_listener, socket, sender, network) = network();
        network.cut(1, 0, true);
        sender.send_to(b"lost", network.gate(0)).expect("it is sent");
        while network.losses(1, 0).0 < 1 {
            std::thread::yield_now();
        }
        network.cut(1, 0, false);
        sender.send_to(b"kept", network.gate(0)).expect("it is sent");
        let mut read = [0; 8];
        let (count, _) = socket.recv_from(&mut read).expect("it comes");
        assert_eq!(&read[..count], b"kept");
    }
}
