//! In tasks: the same calls on tokio, cancelled ones, and futures that may be sent.

use crate::{Down, builder, cache};
use also_cache::{Cache, LoadError, PinnedValue};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

#[tokio::test]
async fn a_thousand_tasks_that_miss_cause_one_load() {
    let (cache, calls) = (cache(), Arc::new(AtomicU32::new(0)));
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let (cache, calls) = (cache.clone(), calls.clone());
            tokio::spawn(async move {
                let load = |_| async {
                    calls.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok::<_, Down>("value")
                };
                cache.get_or_load_async("k", load).await.map(|value| value.to_vec())
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.expect("no panic").expect("the database answers"), b"value");
    }
    assert_eq!((calls.load(Ordering::Relaxed), cache.stats().loads), (1, 1));
}

#[tokio::test]
async fn an_error_goes_to_all_tasks_that_wait() {
    let (cache, calls) = (cache(), Arc::new(AtomicU32::new(0)));
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let (cache, calls) = (cache.clone(), calls.clone());
            tokio::spawn(async move {
                let load = |_| async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Err::<&str, _>(Down(calls.fetch_add(1, Ordering::Relaxed)))
                };
                cache.get_or_load_async("k", load).await.map(drop)
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.expect("no panic").expect_err("it is down").get(), &Down(0));
    }
}

#[tokio::test]
async fn a_task_that_is_dropped_leaves_the_load_to_the_next_one() {
    let (cache, inside) = (cache(), Arc::new(Notify::new()));
    let (first, entered) = (cache.clone(), inside.clone());
    let first = tokio::spawn(async move {
        let never = |_| async {
            entered.notify_one();
            std::future::pending::<Result<&str, Down>>().await
        };
        first.get_or_load_async("k", never).await.map(drop)
    });
    inside.notified().await;
    let second = cache.get_or_load_async("k", |_| async { Ok::<_, Down>("of the second") });
    let mut second = std::pin::pin!(second);
    tokio::select! {
        _ = &mut second => panic!("the first one has not given up"),
        () = tokio::time::sleep(Duration::from_millis(20)) => {}
    }
    first.abort();
    assert_eq!(*second.await.expect("the database answers"), *b"of the second");
}

#[tokio::test]
async fn a_task_that_has_waited_long_enough_loads_alone() {
    let cache = builder().load_wait(Duration::from_millis(50)).open().expect("opens");
    let slow = cache.clone();
    let inside = Arc::new(Notify::new());
    let entered = inside.clone();
    let slow = tokio::spawn(async move {
        let never = |_| async {
            entered.notify_one();
            std::future::pending::<Result<&str, Down>>().await
        };
        slow.get_or_load_async("k", never).await.map(drop)
    });
    inside.notified().await;
    let began = Instant::now();
    let alone = cache.get_or_load_async("k", |_| async { Ok::<_, Down>("alone") }).await.expect("the database answers");
    assert!(*alone == *b"alone" && alone.version().is_none() && began.elapsed() >= Duration::from_millis(50));
    assert_eq!(cache.stats().loads_alone, 1);
    slow.abort();
}

#[tokio::test]
async fn threads_and_tasks_share_a_load() {
    let (cache, inside) = (cache(), Arc::new(Notify::new()));
    let (other, entered) = (cache.clone(), inside.clone());
    let thread = tokio::task::spawn_blocking(move || {
        let loaded = other.get_or_load("k", |_| {
            entered.notify_one();
            std::thread::sleep(Duration::from_millis(20));
            Ok::<_, Down>("of the thread")
        });
        loaded.map(|value| value.is_cached())
    });
    inside.notified().await;
    let value = cache.get_or_load_async("k", |_| async { Ok::<_, Down>("of the task") }).await;
    assert_eq!(*value.expect("the database answers"), *b"of the thread");
    assert!(thread.await.expect("no panic").expect("the database answers"));
}

#[tokio::test]
async fn a_hit_asks_nobody_and_absence_is_remembered() {
    let cache = cache();
    let load = |answer: Option<&'static str>| {
        let cache = cache.clone();
        async move { cache.get_or_load_async("k", |_| async move { Ok::<_, Down>(answer) }).await }
    };
    assert!(load(None).await.expect("the database answers").is_none());
    assert!(load(Some("asked again")).await.expect("the database answers").is_none());
    cache.insert("k", "there").expect("fits");
    let value = load(None).await.expect("the database answers").expect("it is there");
    assert!(value.is_pinned() && *value == *b"there");
    let keys = [String::from("k"), String::from("m"), String::from("n")];
    let many = cache.get_or_load_many_async(&keys, async |missing: Vec<usize>, load: also_cache::LoadMany| {
        load.at(1).database_version(3);
        tokio::task::yield_now().await;
        Ok::<_, Down>(missing.iter().map(|at| format!("{at}")).collect())
    });
    let many: Vec<Vec<u8>> = many.await.expect("the database answers").iter().map(|value| value.to_vec()).collect();
    assert_eq!(many, [b"there".as_slice(), b"1", b"2"]);
    assert_eq!(cache.get("n").and_then(|value| value.version().row()), Some(3));
}

/// What a user's own layer looks like: generic over what is loaded, with futures that may be sent.
trait Repository: Send + Sync + 'static {
    type Error: std::error::Error + Send + Sync + 'static;

    fn read(&self, key: &str) -> impl Future<Output = Result<Option<Vec<u8>>, Self::Error>> + Send;
}

struct Cached<R> {
    cache: Cache,
    repository: R,
}

impl<R: Repository> Cached<R> {
    async fn get(&self, key: String) -> Result<Option<PinnedValue>, LoadError<R::Error>> {
        self.cache.get_or_load_async(&key, |_| self.repository.read(&key)).await
    }

    /// What it returns may be sent, whatever it is generic over.
    fn spawn(self: &Arc<Self>, key: String) -> tokio::task::JoinHandle<bool> {
        let cached = self.clone();
        tokio::spawn(async move { cached.get(key).await.is_ok_and(|row| row.is_some()) })
    }
}

struct Rows;

impl Repository for Rows {
    type Error = Down;

    async fn read(&self, key: &str) -> Result<Option<Vec<u8>>, Down> {
        tokio::task::yield_now().await;
        Ok((key != "nobody").then(|| key.as_bytes().to_vec()))
    }
}

type Users = Arc<Cached<Rows>>;

async fn user(
    axum::extract::State(users): axum::extract::State<Users>,
    axum::extract::Path(key): axum::extract::Path<String>,
) -> Result<Vec<u8>, axum::http::StatusCode> {
    match users.get(key).await {
        Ok(Some(row)) => Ok(row.to_vec()),
        Ok(None) => Err(axum::http::StatusCode::NOT_FOUND),
        Err(_) => Err(axum::http::StatusCode::BAD_GATEWAY),
    }
}

async fn several(
    axum::extract::State(users): axum::extract::State<Users>,
    axum::extract::Path((one, other)): axum::extract::Path<(String, String)>,
) -> Result<Vec<u8>, axum::http::StatusCode> {
    let keys = [one, other];
    let rows = users.cache.get_or_load_many_async(&keys, async |missing: Vec<usize>, _| {
        let mut rows = Vec::new();
        for at in missing {
            rows.push(users.repository.read(&keys[at]).await?);
        }
        Ok::<_, Down>(rows)
    });
    let rows = rows.await.map_err(|_| axum::http::StatusCode::BAD_GATEWAY)?;
    Ok(rows.iter().flatten().flat_map(|row| row.to_vec()).collect())
}

#[tokio::test]
async fn handlers_and_generic_layers_can_use_every_call() {
    let users: Users = Arc::new(Cached { cache: cache(), repository: Rows });
    // That it is one: its futures are `Send`.
    let _router: axum::Router = axum::Router::new()
        .route("/users/{key}", axum::routing::get(user))
        .route("/users/{one}/{other}", axum::routing::get(several))
        .with_state(users.clone());
    assert!(users.spawn("grace".to_owned()).await.expect("no panic"));
    let ask = |key: &str| user(axum::extract::State(users.clone()), axum::extract::Path(key.to_owned()));
    assert_eq!(ask("ada").await.as_deref(), Ok(b"ada".as_slice()));
    assert_eq!(ask("nobody").await, Err(axum::http::StatusCode::NOT_FOUND));
    let both = axum::extract::Path(("ada".to_owned(), "grace".to_owned()));
    assert_eq!(several(axum::extract::State(users), both).await.as_deref(), Ok(b"adagrace".as_slice()));
}

/// A loader that never answers.
async fn never(_: also_cache::Load) -> Result<&'static str, Down> {
    std::future::pending().await
}

#[tokio::test]
async fn who_waits_for_a_load_that_a_write_has_replaced_has_a_deadline_too() {
    let cache = builder().load_wait(Duration::from_millis(200)).open().expect("opens");
    let (hanging, waiting) = (cache.clone(), cache.clone());
    let hanging = tokio::spawn(async move { hanging.get_or_load_async("k", never).await.map(drop) });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let waiting =
        tokio::spawn(async move { waiting.get_or_load_async("k", |_| async { Ok::<_, Down>("late") }).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    cache.remove("k").expect("open");
    let next = cache.get_or_load_async("k", |_| async { Ok::<_, Down>("next") }).await.expect("the database answers");
    assert_eq!(*next, *b"next");
    let late = tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it has a deadline");
    assert!(late.expect("no panic").is_ok());
    hanging.abort();
}

#[tokio::test]
async fn a_turn_goes_on_to_the_next_one_when_who_was_to_have_it_is_gone() {
    let cache = builder().loads_max(1).load_wait(Duration::from_secs(60)).open().expect("opens");
    let load = |key: &'static str| {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get_or_load_async(key, |_| async { Ok::<_, Down>("v") }).await.map(drop) })
    };
    let hanging = cache.clone();
    let hanging = tokio::spawn(async move { hanging.get_or_load_async("first", never).await.map(drop) });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (gone, next) = (load("second"), load("third"));
    tokio::time::sleep(Duration::from_millis(20)).await;
    // The turn is given to the second one, which is dropped before it is polled again.
    hanging.abort();
    gone.abort();
    let loaded = tokio::time::timeout(Duration::from_secs(20), next).await.expect("it gets the turn");
    assert!(loaded.expect("no panic").is_ok());
}
