//! What is refused at the start, and says why.

use crate::{PATIENCE, builder, cache, meet, plain, sealed, until, watched};
use also_cache::{Acks, Cluster, ClusterBuilder, Event, MemberState, Resolver, StartError, WaitError, limits};
use std::io;
use std::net::SocketAddr;

/// Whatever is refused leaves the cache as it was: the next start works.
fn refused(change: impl FnOnce(ClusterBuilder) -> ClusterBuilder) -> StartError {
    let cache = cache();
    cache.insert("k", "v").expect("there is room");
    let error = change(builder(&cache, "a")).start().expect_err("it is refused");
    assert!(cache.contains("k"), "{error}");
    drop(plain(&cache, "a", None));
    error
}

#[test]
fn plaintext_is_chosen_and_stays_on_the_host() {
    let _watchdog = watched("plaintext");
    for listen in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
        let error = refused(|builder| builder.listen(listen));
        assert!(matches!(error, StartError::NoSecret { .. }), "{error}");
    }
    let away = [
        ("listen", refused(|builder| builder.listen("0.0.0.0:0").insecure_plaintext())),
        ("listen", refused(|builder| builder.listen("10.0.0.1:7400").insecure_plaintext())),
        ("advertise", refused(|builder| builder.advertise(([10, 0, 0, 1], 7400).into()).insecure_plaintext())),
        ("seed", refused(|builder| builder.seeds(["localhost:1", "users.svc:7400"]).insecure_plaintext())),
    ];
    for (wanted, error) in away {
        assert!(matches!(&error, StartError::PlaintextAddress { setting, .. } if *setting == wanted), "{error}");
    }
}

#[test]
fn secrets_are_long_enough_few_and_alone() {
    let _watchdog = watched("secrets");
    let short = refused(|builder| builder.secrets(["short"]));
    assert!(matches!(&short, StartError::Secrets { reason } if reason.contains("5 bytes")), "{short}");
    let many = refused(|builder| builder.secrets(vec!["a secret of the tests"; limits::SECRETS_MAX + 1]));
    assert!(matches!(many, StartError::Secrets { .. }), "{many}");
    let both = refused(|builder| builder.secrets(["a secret of the tests"]).insecure_plaintext());
    assert!(matches!(both, StartError::SecretsAndPlaintext), "{both}");
}

#[test]
fn names_and_addresses_are_checked() {
    let _watchdog = watched("settings");
    let check = |change: fn(ClusterBuilder) -> ClusterBuilder| refused(|builder| change(builder.insecure_plaintext()));
    let error = check(|builder| builder.name(""));
    assert!(matches!(error, StartError::Name { setting: "name", bytes: 0, .. }), "{error}");
    let error = check(|builder| builder.cluster("x".repeat(65)));
    assert!(matches!(error, StartError::Name { setting: "cluster", bytes: 65, max: 64, .. }), "{error}");
    for listen in ["", "localhost:7400", "127.0.0.1"] {
        let error = refused(|builder| builder.listen(listen).insecure_plaintext());
        assert!(matches!(&error, StartError::ListenAddress { text } if text == listen), "{error}");
    }
    for seed in ["", "users.svc", "0.0.0.0:7400", "127.0.0.1:0", "a b:1"] {
        let error = refused(|builder| builder.seeds([seed]).insecure_plaintext());
        assert!(matches!(&error, StartError::Seed { text } if text == seed), "{error}");
    }
    let error = check(|builder| builder.seeds(vec!["localhost:7400"; limits::SEEDS_MAX + 1]));
    assert!(matches!(error, StartError::Seeds { count: 65, max: 64 }), "{error}");
    let error = check(|builder| builder.advertise(([0, 0, 0, 0], 7400).into()));
    assert!(matches!(error, StartError::Advertise { .. }), "{error}");
    let error = check(|builder| builder.advertise(([127, 0, 0, 1], 0).into()));
    assert!(matches!(error, StartError::Advertise { .. }), "{error}");
}

#[test]
fn a_cache_is_in_one_cluster_at_a_time() {
    let _watchdog = watched("one cluster");
    let cache = cache();
    let first = plain(&cache, "a", None);
    let second = builder(&cache, "a").insecure_plaintext().start();
    assert!(matches!(second, Err(StartError::AlreadyStarted)), "{second:?}");
    let clone = first.clone();
    drop(first);
    assert!(matches!(builder(&cache, "a").insecure_plaintext().start(), Err(StartError::AlreadyStarted)));
    drop(clone);
    let again = plain(&cache, "a", None);
    let taken = Cluster::builder(&crate::cache()).name("b").listen(again.local_address().to_string());
    let taken = taken.insecure_plaintext().start();
    assert!(
        matches!(&taken, Err(StartError::Listen { address, .. }) if *address == again.local_address()),
        "{taken:?}"
    );
    drop(again);
    cache.clone().close().expect("nobody is inside");
    assert!(matches!(builder(&cache, "a").insecure_plaintext().start(), Err(StartError::Closed)));
}

#[test]
fn a_cache_that_left_comes_back_as_a_new_life_and_catches_up() {
    let _watchdog = watched("again");
    let secrets = ["a secret of the tests"];
    let (one, other) = (cache(), cache());
    let first = sealed(&one, "a", &secrets, None);
    let second = sealed(&other, "b", &secrets, Some(&first));
    meet(&first, &second);
    for key in ["changed", "gone"] {
        one.insert(key, "1").expect("there is room");
    }
    let of_before = other.insert("of before", "1").expect("there is room");
    second.wait_replicated(of_before, Acks::One, PATIENCE).expect("a has it");
    first.flush(Acks::All, PATIENCE).expect("b has them");
    until(&first, "datagrams were counted", || second.stats().datagrams_out > 2);
    let before = incarnation(&first);
    second.leave(PATIENCE).expect("a has everything");
    drop(second);
    one.insert("changed", "2").expect("there is room");
    one.remove("gone").expect("it is removed");
    let refused = first.stats().datagrams_refused;
    let second = sealed(&other, "b", &secrets, Some(&first));
    assert!(!other.contains("gone"), "held until it is confirmed");
    meet(&first, &second);
    let refused_wait = second.wait_replicated(of_before, Acks::One, PATIENCE);
    assert_eq!(refused_wait, Err(WaitError::NotOwn { version: of_before }), "another life wrote it");
    let version = other.insert("of now", "1").expect("there is room");
    second.wait_replicated(version, Acks::One, PATIENCE).expect("a has it");
    assert!(incarnation(&first) > before);
    assert_eq!(other.get("changed").as_deref(), Some(b"2".as_slice()));
    assert!(!other.contains("gone"));
    let heard = first.stats().datagrams_in;
    until(&first, "datagrams come", || first.stats().datagrams_in > heard + 2);
    assert_eq!(first.stats().datagrams_refused, refused);
}

fn incarnation(cluster: &Cluster) -> u64 {
    cluster.members().iter().map(|member| member.incarnation).max().expect("somebody is there")
}

#[test]
fn a_closed_cache_leaves_its_cluster_with_the_first_change_that_comes() {
    let _watchdog = watched("closed");
    let (one, other) = (cache(), cache());
    let first = plain(&one, "a", None);
    let second = plain(&other, "b", Some(&first));
    meet(&first, &second);
    let (mut events, mut ended) = (second.events(), first.events());
    let connections = || first.stats().dialled + first.stats().accepted;
    let before = connections();
    one.clone().close().expect("nobody is inside");
    other.insert("k", "v").expect("there is room");
    let left = |event: Event| matches!(event, Event::MemberLeft { .. });
    while !left(events.next_timeout(PATIENCE).expect("a leaves")) {}
    while !matches!(ended.next_timeout(PATIENCE).expect("it says so"), Event::Left { .. }) {}
    assert!(second.members().iter().all(|member| member.state == MemberState::Away));
    assert_eq!(connections(), before);
}

/// A name server that knows one of two names, without an address.
struct Nobody;

impl Resolver for Nobody {
    fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        if name == "empty.svc:7400" { Ok(Vec::new()) } else { Err(io::Error::other("no such host")) }
    }
}

#[test]
fn seeds_that_stand_for_nothing_are_told_and_counted() {
    let _watchdog = watched("unresolved seeds");
    let cache = cache();
    let builder = builder(&cache, "a").secrets(["a secret of the tests"]).resolver(Nobody);
    let node = builder.seeds(["empty.svc:7400", "gone.svc:7400"]).start().expect("that none is found is no error");
    let mut events = node.events();
    let mut told = Vec::new();
    while told.len() < 2 {
        if let Event::SeedUnresolved { seed, reason } = events.next_timeout(PATIENCE).expect("both are told") {
            told.push((seed, reason));
        }
    }
    told.sort_unstable();
    let pair = |seed: &str, reason: &str| (seed.to_owned(), reason.to_owned());
    assert_eq!(told, [pair("empty.svc:7400", "no address"), pair("gone.svc:7400", "no such host")]);
    until(&node, "they are looked up again, in vain", || {
        let stats = node.stats();
        stats.resolves >= 4 && stats.resolves == stats.resolves_failed
    });
    let again = std::iter::from_fn(|| events.try_next()).filter(|event| matches!(event, Event::SeedUnresolved { .. }));
    assert_eq!(again.count(), 0, "once a minute");
}
