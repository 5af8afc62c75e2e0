//! Bytes that are spoilt on the way, nodes with another secret, and strangers at the ports.

use crate::fabric::{CLEAR, Rule, Spoil};
use crate::group::{Group, Plan};
use crate::node::Node;
use crate::support::{Watchdog, bytes};
use crate::until;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// Each kind of damage on one way, one after the other. Few on each: who sends nonsense again and again is left alone for a
/// minute.
const SPOILT: [(usize, usize, Spoil); 4] =
    [(0, 1, Spoil::Flip), (1, 2, Spoil::Truncate), (2, 0, Spoil::Replay), (1, 0, Spoil::ReplayPart)];

fn spoil(what: &'static str, is_sealed: bool) {
    let mut group = Group::new(Plan { is_sealed, has_fabric: true, ..Plan::new(what, 3_000) });
    let slow = Rule { delay: Duration::from_millis(20), spoils_datagrams: true, ..CLEAR };
    group.fabric().set_all(slow);
    group.load(500, 600);
    group.wait_for_writes(200);
    let connections = |group: &mut Group| group.nodes.iter_mut().map(|node| node.figure("connections")).sum::<u64>();
    let before = connections(&mut group);
    for (from, to, spoil) in SPOILT {
        group.fabric().set(from, to, Rule { spoil: Some(spoil), ..slow });
        until("it is spoilt", || !group.fabric().is_spoiling());
        group.wait_for_writes(100);
        group.meet();
    }
    until("the damage of datagrams is noticed", || {
        group.nodes.iter_mut().all(|node| node.figure("datagrams_refused") > 0)
    });
    group.fabric().set_all(CLEAR);
    let writes = group.converge();
    let refused: u64 = group.nodes.iter_mut().map(Node::refused).sum();
    let datagrams: u64 = group.nodes.iter_mut().map(|node| node.figure("datagrams_refused")).sum();
    let again = connections(&mut group) - before;
    let spoilt = group.fabric().counts().0;
    println!(
        "{what}: {spoilt} pieces spoilt, {refused} refused, {datagrams} datagrams refused, {again} connections made anew, {writes} writes"
    );
    assert_eq!(spoilt, SPOILT.len() as u64);
    // What goes twice as a whole may be nothing new; a flip and a part that goes twice are wrong.
    assert!(refused >= 2 && again >= 3, "{refused} refused, {again} made anew");
}

#[test]
fn spoilt_bytes_are_refused_and_connections_made_anew_in_plaintext() {
    let _watchdog = Watchdog::new("spoilt bytes", 80);
    spoil("spoilt bytes in plaintext", false);
}

#[test]
fn spoilt_bytes_are_refused_and_connections_made_anew_under_noise() {
    let _watchdog = Watchdog::new("spoilt bytes under Noise", 80);
    spoil("spoilt bytes under Noise", true);
}

/// Garbage on both ports of a node; says how many connections it closed.
fn knock(at: SocketAddr, round: u64) -> u64 {
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for length in [0, 1, 60, 500, 1_400, 9_000] {
        stranger.send_to(bytes(round + length, length as usize), at).expect("it is sent");
    }
    let greeting = [&48_u16.to_le_bytes()[..], bytes(round, 48)].concat();
    let mut closed = 0;
    for garbage in [&greeting[..], bytes(round, 4_096), b"GET / HTTP/1.1\r\n\r\n", &[0xff; 64], &[]] {
        let Ok(mut stream) = TcpStream::connect(at) else { continue };
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("an option");
        // It may be closed before all of it is taken.
        let _ = stream.write_all(garbage).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        closed += u64::from(!matches!(stream.read(&mut [0; 64]), Ok(1..)));
    }
    closed
}

#[test]
fn strangers_and_other_secrets_are_kept_out() {
    let _watchdog = Watchdog::new("strangers", 80);
    let mut group = Group::new(Plan::new("strangers", 2_000));
    group.load(500, 300);
    group.wait_for_writes(100);
    let addresses: Vec<SocketAddr> = group.nodes.iter().filter_map(|node| node.address).collect();
    let closed: u64 = (0..4).flat_map(|round| addresses.iter().map(move |at| knock(*at, round))).sum();
    // A node with another secret, and one of another cluster: they find nobody, and nobody finds them.
    let mut outsiders = Vec::new();
    for (at, secret, cluster) in [(3, "another secret of the tests", "processes"), (4, crate::group::SECRET, "others")]
    {
        let mut orders = group.orders(at);
        (orders.secrets, orders.cluster) = (vec![secret.to_owned()], cluster.to_owned());
        outsiders.push(Node::start(orders, &[]));
    }
    for outsider in &mut outsiders {
        until("it is told, or turned away", || outsider.figure("rejected") + outsider.figure("lost") > 0);
        assert!(outsider.members().is_empty() && outsider.audit().present == 0);
    }
    let mut counted = [0; 3];
    for node in &mut group.nodes {
        until("all of it is counted", || node.figure("wrong_secret") > 0 && node.figure("datagrams_refused") > 0);
        for (count, name) in counted.iter_mut().zip(["wrong_secret", "forged", "datagrams_refused"]) {
            *count += node.figure(name);
        }
        assert!(!["d", "e"].into_iter().any(|name| node.members().contains_key(name)));
    }
    let lost: u64 = group.nodes.iter_mut().map(|node| node.told("lost")).sum();
    let writes = group.converge();
    println!(
        "{closed} connections of strangers closed; wrong secrets, forged, datagrams refused: {counted:?}; {lost} members lost; {writes} writes"
    );
    assert!(closed > 0 && counted.iter().all(|count| *count > 0) && writes > 0);
}
