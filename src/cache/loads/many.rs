//! Loading several keys by one call of the loader.

#![forbid(unsafe_code)]

use super::answer::{Answer, of_answer};
use super::call::Loading;
use super::load::{Load, Said};
use super::{LoadError, Loaded, Outcome, Step, key_of};
use crate::cache::calls::Cache;
use crate::cache::value::PinnedValue;
use crate::engine::counters::Counter;
use crate::engine::flights::{Caller, Lease, Turn};
use crate::sync::promise::Answer as Promised;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One load of several keys, as its loader sees it: what is to be said of each, by its place among those that are missing.
///
/// ```
/// # use also_cache::Cache;
/// # let cache = Cache::builder().capacity(1 << 20).open()?;
/// let keys = ["user:1", "user:2"];
/// let rows = cache.get_or_load_many(&keys, |missing, load| {
///     missing.iter().enumerate().map(|(place, at)| {
///         load.at(place).database_version(7);
///         Ok::<_, std::io::Error>(format!("row of {}", keys[*at]))
///     }).collect()
/// })?;
/// assert_eq!(*rows[1], *b"row of user:2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct LoadMany(Vec<Load>);

impl LoadMany {
    fn of(count: usize) -> Self {
        Self((0..count).map(|_| Load::default()).collect())
    }

    /// What is to be said of a missing key, by its place among these.
    ///
    /// # Panics
    ///
    /// If no so many are missing.
    pub fn at(&self, place: usize) -> &Load {
        &self.0[place]
    }

    /// Says the same of all.
    pub fn ttl(&self, ttl: Duration) -> &Self {
        self.0.iter().for_each(|load| _ = load.ttl(ttl));
        self
    }

    /// The values are this caller's, and of those who wait for them by now.
    pub fn do_not_cache(&self) -> &Self {
        self.0.iter().for_each(|load| _ = load.do_not_cache());
        self
    }

    fn said(&self, place: usize) -> Said {
        self.0[place].said()
    }
}

impl fmt::Debug for LoadMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

/// A key that is missing, and what this call has to do with it.
struct Missing<R> {
    at: usize,
    right: R,
}

/// What one look at the keys that are left has come to.
struct Round {
    /// To be loaded, with a lease or for this call alone.
    loads: Vec<Missing<Option<Lease<Outcome>>>>,
    waits: Vec<Missing<Promised<Outcome>>>,
    queued: Option<Promised<Turn<Outcome>>>,
}

impl Cache {
    /// Reads several values, and loads all that are missing by one call of the loader; by several where there are more than turns to load.
    ///
    /// `load` gets the places of the missing keys, and answers for each of them in that order. Keys that another call loads at the
    /// moment are waited for, once this one's own are there; should that call give up, `load` is called again for what is left.
    /// For the rest as [`Cache::get_or_load`].
    ///
    /// # Errors
    ///
    /// [`LoadError`]: what the loader said, or that of another call's loader for one of the keys.
    ///
    /// # Panics
    ///
    /// If `load` answers for another number of keys than it was given.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("a", "1")?;
    /// let values = cache.get_or_load_many(&["a", "b", "c"], |missing, _| {
    ///     assert_eq!(missing, [1, 2]);
    ///     Ok::<_, std::io::Error>(vec![Some("2"), None])
    /// })?;
    /// assert_eq!(values[1].as_deref(), Some(b"2".as_slice()));
    /// assert!(values[0].is_some() && values[2].is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_or_load_many<K, A, E>(
        &self,
        keys: &[K],
        mut load: impl FnMut(&[usize], &LoadMany) -> Result<Vec<A>, E>,
    ) -> Result<Vec<A::Of<Loaded<'_>>>, LoadError<E>>
    where
        K: AsRef<[u8]>,
        A: Answer,
        E: Send + Sync + 'static,
    {
        let (deadline, thread) = (self.handle.loads.deadline(), Some(std::thread::current().id()));
        let by = Caller { deadline, thread, is_loading: Loading::is_under_way() };
        let left = || by.deadline.saturating_duration_since(Instant::now());
        let mut turn = None;
        let mut found: Vec<Option<A::Of<Loaded<'_>>>> = keys.iter().map(|_| None).collect();
        loop {
            let round = self.round::<K, A, _>(keys, by, &mut turn, &mut found, |loaded| loaded);
            if !round.loads.is_empty() {
                let request = LoadMany::of(round.loads.len());
                let loaded = Loading::run(|| load(&round.places(), &request));
                self.handle.count_load(&loaded);
                self.land_round(keys, round.loads, &mut found, loaded, &request, |loaded| loaded)?;
            }
            for Missing { at, right: promised } in round.waits {
                if let Ok(Some(outcome)) = promised.wait(left()) {
                    found[at] = self.shared::<A, _, E>(outcome, Loaded::owned).transpose()?;
                }
            }
            if let Some(queued) = round.queued {
                turn = queued.wait(left()).ok().flatten();
            }
            if found.iter().all(Option::is_some) {
                return Ok(found.into_iter().flatten().collect());
            }
        }
    }

    /// Looks at all keys that are not found yet. Behind the deadline nobody is waited for any more.
    fn round<'c, K: AsRef<[u8]>, A: Answer, T>(
        &'c self,
        keys: &[K],
        by: Caller,
        turn: &mut Option<Turn<Outcome>>,
        found: &mut [Option<A::Of<T>>],
        into: impl Fn(Loaded<'c>) -> T + Copy,
    ) -> Round {
        let mut round = Round { loads: Vec::new(), waits: Vec::new(), queued: None };
        let knows_absence = A::of::<()>(None).is_some();
        for (at, bytes) in keys.iter().enumerate().filter(|(at, _)| found[*at].is_none()).collect::<Vec<_>>() {
            if let Some(value) = self.get(bytes.as_ref()) {
                // Kept over the loader and all waits: no guard stays that long.
                found[at] = A::of(Some(into(Loaded::pinned(value.pin()))));
                continue;
            }
            let Some(key) = key_of(bytes.as_ref()).filter(|_| !by.is_late()) else {
                self.engine().counters().add(Counter::LoadsAlone);
                round.loads.push(Missing { at, right: None });
                continue;
            };
            match self.step(key, by, turn.take(), knows_absence, |value| into(Loaded::pinned(value.pin()))) {
                Step::Found(value) => found[at] = A::of(Some(value)),
                Step::Absent => found[at] = A::of(None),
                Step::Load(lease) => round.loads.push(Missing { at, right: Some(lease) }),
                Step::Wait(right) => round.waits.push(Missing { at, right }),
                // With nothing to load meanwhile; else the next round asks again.
                Step::Queue(queued) if round.loads.is_empty() => round.queued = Some(queued),
                Step::Queue(_) => {}
                Step::Alone => {
                    self.engine().counters().add(Counter::LoadsAlone);
                    round.loads.push(Missing { at, right: None });
                }
            }
        }
        round
    }

    fn land_round<'c, K: AsRef<[u8]>, A: Answer, T, E: Send + Sync + 'static>(
        &'c self,
        keys: &[K],
        loads: Vec<Missing<Option<Lease<Outcome>>>>,
        found: &mut [Option<A::Of<T>>],
        loaded: Result<Vec<A>, E>,
        request: &LoadMany,
        into: impl Fn(Loaded<'c>) -> T,
    ) -> Result<(), LoadError<E>> {
        let answers = match loaded {
            Ok(answers) => answers,
            Err(error) => {
                let error = Arc::new(error);
                for lease in loads.into_iter().filter_map(|missing| missing.right) {
                    lease.land(|| Outcome::Failed(error.clone()));
                }
                return Err(LoadError::new(error));
            }
        };
        assert_eq!(answers.len(), loads.len(), "the loader answers for each key that it was given");
        for (place, (Missing { at, right }, answer)) in loads.into_iter().zip(answers).enumerate() {
            let key = key_of(keys[at].as_ref());
            found[at] = Some(match right.zip(key) {
                Some((lease, key)) => self.land(key, lease, request.said(place), &answer, &into),
                None => of_answer::<A, _>(answer.bytes().map(|bytes| into(Loaded::owned(bytes.into())))),
            });
        }
        Ok(())
    }
}

impl Cache {
    /// [`Cache::get_or_load_many`] for async code.
    ///
    /// The future is `Send` if the loader's futures are. `load` gets the places of the missing keys, and what is to be said of them.
    ///
    /// # Errors
    ///
    /// [`LoadError`]: what the loader said, or that of another call's loader for one of the keys.
    ///
    /// # Panics
    ///
    /// If `load` answers for another number of keys than it was given.
    ///
    /// ```
    /// # use also_cache::{Cache, LoadError, LoadMany, PinnedValue};
    /// # struct Db;
    /// # impl Db { async fn read_all(&self, _: &[&str]) -> std::io::Result<Vec<String>> { Ok(Vec::new()) } }
    /// async fn names(cache: &Cache, db: &Db, keys: &[&str]) -> Result<Vec<PinnedValue>, LoadError<std::io::Error>> {
    ///     cache.get_or_load_many_async(keys, |missing: Vec<usize>, _| async move {
    ///         let keys: Vec<&str> = missing.iter().map(|at| keys[*at]).collect();
    ///         db.read_all(&keys).await
    ///     }).await
    /// }
    /// # fn is_send<T: Send>(_: T) {}
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// # is_send(names(&cache, &Db, &["user:1"]));
    /// # Ok::<(), also_cache::OpenError>(())
    /// ```
    pub async fn get_or_load_many_async<K, F, Fut, A, E>(
        &self,
        keys: &[K],
        mut load: F,
    ) -> Result<Vec<A::Of<PinnedValue>>, LoadError<E>>
    where
        K: AsRef<[u8]>,
        F: FnMut(Vec<usize>, LoadMany) -> Fut,
        Fut: Future<Output = Result<Vec<A>, E>>,
        A: Answer,
        E: Send + Sync + 'static,
    {
        let by = Caller { deadline: self.handle.loads.deadline(), thread: None, is_loading: false };
        let pin = |loaded: Loaded<'_>| loaded.pin();
        let mut turn = None;
        let mut found: Vec<Option<A::Of<PinnedValue>>> = keys.iter().map(|_| None).collect();
        loop {
            let round = self.round::<K, A, _>(keys, by, &mut turn, &mut found, pin);
            if !round.loads.is_empty() {
                let request = LoadMany::of(round.loads.len());
                let loaded = load(round.places(), request.clone()).await;
                self.handle.count_load(&loaded);
                self.land_round(keys, round.loads, &mut found, loaded, &request, pin)?;
            }
            for Missing { at, right: promised } in round.waits {
                if let Some(outcome) = promised.await {
                    found[at] = self.shared::<A, _, E>(outcome, PinnedValue::owned).transpose()?;
                }
            }
            if let Some(queued) = round.queued {
                turn = queued.await;
            }
            if found.iter().all(Option::is_some) {
                return Ok(found.into_iter().flatten().collect());
            }
        }
    }
}

impl Round {
    fn places(&self) -> Vec<usize> {
        self.loads.iter().map(|missing| missing.at).collect()
    }
}
