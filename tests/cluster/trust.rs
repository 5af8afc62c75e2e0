//! Secrets: who does not know one is not let in; who knows the old one, or the new one, is.

use crate::{PATIENCE, builder, cache, meet, sealed, until, watched};
use also_cache::Acks;

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
    for node in [&first, &second] {
        assert!(node.members().is_empty(), "{:?}", node.members());
        assert_eq!((node.stats().secured, node.stats().bytes_in), (0, 0));
    }
    let version = one.insert("k", "v").expect("there is room");
    first.wait_replicated(version, Acks::All, PATIENCE).expect("there is nobody to wait for");
    assert!(!other.contains("k"));
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
