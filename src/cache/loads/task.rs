//! Loading in a task, of any runtime: no value in place is held across an await, and nothing here knows of a runtime.

#![forbid(unsafe_code)]

use super::answer::{Answer, of_answer};
use super::{Load, LoadError, Outcome, Step, key_of};
use crate::cache::calls::Cache;
use crate::cache::value::{PinnedValue, Value};
use crate::engine::counters::Counter;
use crate::engine::flights::{Caller, Lease};
use std::future::Future;
use std::sync::Arc;

impl Cache {
    /// [`Cache::get_or_load`] for async code: reads a value, and loads it if it is not there, once for all who ask meanwhile.
    ///
    /// The future is `Send` if the loader's is. Dropped while it loads, it leaves the load to the next one who waits. `load` may load
    /// other keys; the same one it would wait for until [`crate::Builder::load_wait`] is over. Deadlines of tasks are kept by the
    /// housekeeping thread, to some 50 ms, or by [`Cache::maintain`].
    ///
    /// # Errors
    ///
    /// [`LoadError`]: what the loader said.
    ///
    /// # Complexity
    ///
    /// A hit is a [`Cache::get_pinned`]. A miss as for [`Cache::get_or_load`]; the key is copied.
    ///
    /// ```
    /// # use also_cache::{Cache, LoadError, PinnedValue};
    /// # struct Db;
    /// # impl Db { async fn read(&self, _: &str) -> std::io::Result<String> { Ok("Ada".to_owned()) } }
    /// async fn name(cache: &Cache, db: &Db, key: &str) -> Result<PinnedValue, LoadError<std::io::Error>> {
    ///     cache.get_or_load_async(key, |load| async move {
    ///         load.database_version(7);
    ///         db.read(key).await
    ///     }).await
    /// }
    /// # fn is_send<T: Send>(_: T) {}
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// # is_send(name(&cache, &Db, "user:1"));
    /// # Ok::<(), also_cache::OpenError>(())
    /// ```
    pub fn get_or_load_async<K, F, Fut, A, E>(
        &self,
        key: K,
        load: F,
    ) -> impl Future<Output = Result<A::Of<PinnedValue>, LoadError<E>>> + use<'_, K, F, Fut, A, E>
    where
        K: AsRef<[u8]>,
        F: FnOnce(Load) -> Fut,
        Fut: Future<Output = Result<A, E>>,
        A: Answer,
        E: Send + Sync + 'static,
    {
        let found = self.get_pinned(key.as_ref());
        let missing = found.is_none().then(|| Box::<[u8]>::from(key.as_ref()));
        drop(key);
        async move {
            match (found, missing) {
                (Some(value), _) => Ok(of_answer::<A, _>(Some(value))),
                (None, missing) => self.load_missing_async(missing.unwrap_or_default(), load).await,
            }
        }
    }

    async fn load_missing_async<F, Fut, A, E>(
        &self,
        bytes: Box<[u8]>,
        load: F,
    ) -> Result<A::Of<PinnedValue>, LoadError<E>>
    where
        F: FnOnce(Load) -> Fut,
        Fut: Future<Output = Result<A, E>>,
        A: Answer,
        E: Send + Sync + 'static,
    {
        let by = Caller { deadline: self.handle.loads.deadline(), thread: None, is_loading: false };
        let mut turn = None;
        let knows_absence = A::of::<()>(None).is_some();
        while let Some(key) = key_of(&bytes) {
            match self.step(key, by, turn.take(), knows_absence, |value: Value<'_>| value.pin()) {
                Step::Found(value) => return Ok(of_answer::<A, _>(Some(value))),
                Step::Absent => return Ok(of_answer::<A, _>(None)),
                Step::Load(lease) => return self.load_first_async(&bytes, lease, load).await,
                Step::Alone => break,
                Step::Queue(answer) => {
                    turn = answer.await;
                    if turn.is_none() && by.is_late() {
                        break;
                    }
                }
                Step::Wait(answer) => match answer.await {
                    None if by.is_late() => break,
                    None => {}
                    Some(outcome) => match self.shared::<A, _, E>(outcome, PinnedValue::owned) {
                        Some(shared) => return shared,
                        None => break,
                    },
                },
            }
        }
        self.engine().counters().add(Counter::LoadsAlone);
        let loaded = load(Load::default()).await;
        self.handle.count_load(&loaded);
        match loaded {
            Ok(answer) => Ok(of_answer::<A, _>(answer.bytes().map(|bytes| PinnedValue::owned(bytes.into())))),
            Err(error) => Err(LoadError::new(Arc::new(error))),
        }
    }

    async fn load_first_async<F, Fut, A, E>(
        &self,
        bytes: &[u8],
        lease: Lease<Outcome>,
        load: F,
    ) -> Result<A::Of<PinnedValue>, LoadError<E>>
    where
        F: FnOnce(Load) -> Fut,
        Fut: Future<Output = Result<A, E>>,
        A: Answer,
        E: Send + Sync + 'static,
    {
        let request = Load::default();
        let loaded = load(request.clone()).await;
        self.handle.count_load(&loaded);
        match loaded {
            Ok(answer) => {
                let key = key_of(bytes).expect("it was looked for");
                Ok(self.land(key, lease, request.said(), &answer, |loaded| loaded.pin()))
            }
            Err(error) => {
                let error = Arc::new(error);
                lease.land(|| Outcome::Failed(error.clone()));
                Err(LoadError::new(error))
            }
        }
    }
}
