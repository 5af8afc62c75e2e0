//! What is refused at the start, and says why.

use crate::{builder, cache, plain, watched};
use also_cache::{Cluster, ClusterBuilder, StartError, limits};

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
