//! Strangers at the ports: silence, garbage, floods. The node goes on, counts them, and lets its own in.

use crate::support::bytes;
use crate::{PATIENCE, cache, meet, plain, sealed, until, watched};
use also_cache::{Acks, Cache, Cluster, ClusterStats, limits};
use rustix::net;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

const SECRET: &[&str] = &["a secret of the tests"];

fn knock(at: SocketAddr) -> TcpStream {
    knock_from(1, at)
}

/// From 127.0.0.`last`, which counts as a network of its own.
fn knock_from(last: u8, at: SocketAddr) -> TcpStream {
    let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None).expect("a socket");
    net::bind(&socket, &SocketAddr::from(([127, 0, 0, last], 0))).expect("an address of loopback");
    net::connect(&socket, &at).expect("it listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream
}

/// Whether the other side closes without having said anything.
fn is_closed(mut stream: TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(bytes) => bytes == 0,
        // A reset is an end; that nothing came for so long is none.
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// What one writes the other one reads.
fn assert_works(one: &Cache, first: &Cluster, other: &Cache, key: &str) {
    let version = one.insert(key, "v").expect("there is room");
    first.wait_replicated(version, Acks::One, PATIENCE).expect("the other one has it");
    assert!(other.contains(key));
}

#[test]
fn garbage_in_the_place_of_a_handshake_is_counted_and_ends_the_connection() {
    let _watchdog = watched("garbage");
    let (one, other) = (cache(), cache());
    let first = sealed(&one, "a", SECRET, None);
    let second = sealed(&other, "b", SECRET, Some(&first));
    meet(&first, &second);
    // Of the length of a greeting, longer than any, and a protocol of others.
    let greeting = [&48_u16.to_le_bytes()[..], bytes(1, 48)].concat();
    let too_long = [0xff; 4096].to_vec();
    for (garbage, which) in [(&greeting[..], "wrong"), (&too_long, "forged"), (b"GET / HTTP/1.1\r\n\r\n", "forged")] {
        let mut stream = knock(first.local_address());
        stream.write_all(garbage).expect("it takes it");
        assert!(is_closed(stream), "{which}");
    }
    until(&first, "they are counted", || (first.stats().wrong_secret, first.stats().forged) == (1, 2));
    assert_works(&one, &first, &other, "k");
    assert_eq!((first.members().len(), first.stats().lost), (1, 0));
}

#[test]
fn who_is_wrong_too_often_is_turned_away_before_anything_is_read() {
    let _watchdog = watched("guesses");
    let one = cache();
    let first = sealed(&one, "a", SECRET, None);
    let mut guesses = 0;
    until(&first, "it is turned away", || {
        let mut stream = knock(first.local_address());
        guesses += 1;
        // It may be closed before.
        let _ = stream.write_all(&[&48_u16.to_le_bytes()[..], bytes(guesses, 48)].concat());
        assert!(is_closed(stream));
        first.stats().turned_away_wrong > 0
    });
    let stats = first.stats();
    // Eight, and one more for each two seconds that this took.
    assert!(stats.wrong_secret >= 8, "{stats:?}");
    until(&first, "each of those turned away has its reason", || {
        let stats = first.stats();
        stats.turned_away == stats.turned_away_wrong + stats.turned_away_many
    });
}

#[test]
fn connections_that_say_nothing_are_closed_and_never_too_many() {
    let _watchdog = watched("silence");
    let (one, other) = (cache(), cache());
    let first = sealed(&one, "a", SECRET, None);
    let second = sealed(&other, "b", SECRET, Some(&first));
    meet(&first, &second);
    // From ten networks, so that none of them has used up its own budget before there are too many in all.
    let most = limits::CONNECTIONS_MAX;
    let seen = || first.stats().accepted + first.stats().turned_away;
    let (before, mut silent) = (seen(), Vec::new());
    while silent.len() < most + 60 {
        silent.extend((2..12).map(|last| knock_from(last, first.local_address())));
        // What finds no room in the kernel's queue is forgotten there, and nobody ever closes it.
        until(&first, "all of them are seen", || seen() >= before + silent.len() as u64);
    }
    let full = |stats: &ClusterStats| stats.turned_away - stats.turned_away_many - stats.turned_away_wrong;
    until(&first, "some find no room", || full(&first.stats()) >= 20);
    let stats = first.stats();
    // The other node has one or two of them.
    assert!(stats.accepted + 2 >= most as u64, "{stats:?}");
    assert!(stats.accepted - stats.timed_out <= most as u64, "{stats:?}");
    assert_works(&one, &first, &other, "k");
    assert!(silent.into_iter().all(is_closed));
    until(&first, "those let in were given up", || first.stats().timed_out > 0);
    assert_eq!(first.stats().lost, 0);
}

#[test]
fn datagrams_of_strangers_are_refused() {
    let _watchdog = watched("datagrams");
    let (one, other) = (cache(), cache());
    let first = sealed(&one, "a", SECRET, None);
    let second = sealed(&other, "b", SECRET, Some(&first));
    meet(&first, &second);
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for length in [0, 1, 40, 56, 500, 1_400, 1_401, 60_000] {
        stranger.send_to(bytes(length as u64, length), first.local_address()).expect("it is sent");
    }
    until(&first, "they are counted", || first.stats().datagrams_refused >= 8);
    assert_works(&one, &first, &other, "k");
    assert_eq!(first.members().len(), 1);
}

#[test]
fn plain_garbage_ends_its_connection_alone() {
    let _watchdog = watched("plain garbage");
    let (one, other) = (cache(), cache());
    let first = plain(&one, "a", None);
    let second = plain(&other, "b", Some(&first));
    meet(&first, &second);
    for garbage in [bytes(3, 100_000), &[0; 64], &[0xff; 64]] {
        let mut stream = knock(first.local_address());
        // It may be closed before all of it is taken.
        let _ = stream.write_all(garbage);
        let mut said = Vec::new();
        // A reset, or an end: whatever was said comes first.
        let _ = stream.read_to_end(&mut said);
    }
    // Cut off within a frame, within a header, and before one.
    for length in [0, 3, 31] {
        let mut stream = knock(first.local_address());
        stream.write_all(&[b'a'; 31][..length]).expect("it takes it");
    }
    until(&first, "they are gone", || first.stats().lost >= 3);
    assert_works(&one, &first, &other, "k");
    assert_eq!(first.members().len(), 1);
}
