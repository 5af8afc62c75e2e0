//! Secrets: who does not know one is not let in; who knows the old one, or the new one, is.

use crate::{PATIENCE, builder, cache, meet, sealed, until, watched};
use also_cache::{Acks, Cluster, Event};

const OLD: &str = "the old secret of the tests";
const NEW: &str = "the new secret of the tests";

#[test]
fn another_secret_never_connects_and_is_counted() {
    let _watchdog = watched("a wrong secret");
    let (one, other) = (cache(), cache());
    let first = sealed(&one, "a", &[OLD], None);
    let second = sealed(&other, "b", &[NEW], Some(&first));
    until(&first, "it is counted", || first.stats().wrong_secret >= 2 && first.stats().datagrams_refused > 0);
    until(&second, "it is told", || second.stats().rejected >= 1);
    assert_eq!(told(&first), (false, second.local_address().ip()), "{:?}", first.stats());
    assert_eq!(told(&second), (true, first.local_address().ip()), "{:?}", second.stats());
    until(&first, "it is counted by reason", || {
        let stats = first.stats();
        stats.counted("channel_wrong_secret") > 3 && stats.counted("datagrams_unknown_key") > 0
    });
    let mut events = first.events();
    let again = std::iter::from_fn(|| events.try_next()).filter(|event| matches!(event, Event::WrongSecret { .. }));
    assert_eq!(again.count(), 1, "once a minute, however often it knocks");
    for node in [&first, &second] {
        assert!(node.members().is_empty(), "{:?}", node.members());
        assert_eq!((node.stats().secured, node.stats().bytes_in), (0, 0));
    }
    let version = one.insert("k", "v").expect("there is room");
    first.wait_replicated(version, Acks::All, PATIENCE).expect("there is nobody to wait for");
    assert!(!other.contains("k"));
}

/// Who does not know whose secret, by the first event of it, and from where.
fn told(cluster: &Cluster) -> (bool, std::net::IpAddr) {
    let mut events = cluster.events();
    loop {
        if let Event::WrongSecret { address, by_peer } = events.next_timeout(PATIENCE).expect("an event tells of it") {
            return (by_peer, address.ip());
        }
    }
}

#[test]
fn another_cluster_never_connects() {
    let _watchdog = watched("another cluster");
    let (one, other) = (cache(), cache());
    let first = sealed(&one, "a", &[OLD], None);
    let seeds = [first.local_address().to_string()];
    let second = builder(&other, "b").cluster("others").secrets([OLD]).seeds(seeds).start().expect("it starts");
    until(&first, "it is counted", || first.stats().wrong_secret > 0);
    assert!(first.members().is_empty() && second.members().is_empty());
}

#[test]
fn a_secret_is_changed_node_by_node() {
    let _watchdog = watched("a rotation");
    for (first_has, second_has) in
        [(&[OLD][..], &[NEW, OLD][..]), (&[NEW, OLD], &[OLD]), (&[OLD, NEW], &[NEW, OLD]), (&[NEW], &[OLD, NEW])]
    {
        let (one, other) = (cache(), cache());
        let first = sealed(&one, "a", first_has, None);
        let second = sealed(&other, "b", second_has, Some(&first));
        meet(&first, &second);
        let version = other.insert("k", "v").expect("there is room");
        second.wait_replicated(version, Acks::One, PATIENCE).expect("a has it");
        assert!(one.contains("k"));
    }
}
