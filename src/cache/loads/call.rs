//! Loading on a thread.

#![forbid(unsafe_code)]

use super::answer::{Answer, of_answer};
use super::{Load, LoadError, Loaded, Outcome, Step, key_of};
use crate::cache::calls::Cache;
use crate::engine::counters::Counter;
use crate::engine::flights::{Caller, Lease};
use crate::types::key::Key;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

impl Cache {
    /// Reads a value, and loads it if it is not there: once for all who ask meanwhile.
    ///
    /// Before `load` reads the database a guard is taken, and any write of the key ends it, of this node or of another one: what was
    /// read may be of before that write, and is then returned but not cached. A value that can not be stored is returned all the
    /// same: no refusal by the cache fails a load.
    ///
    /// Who asks for a key that is being loaded waits for that load, at most [`crate::Builder::load_wait`], and then loads it alone.
    /// An error goes to everyone who waits at that moment, provided that their calls have the same error type, and is not cached.
    /// A loader that panics leaves the load to the next one. `load` may load other keys; the same one, on the same thread, it loads
    /// alone.
    ///
    /// # Errors
    ///
    /// [`LoadError`]: what the loader said.
    ///
    /// # Complexity
    ///
    /// A hit is a [`Cache::get`]. A miss takes two locks for some instructions, beside the loader, and allocates; it pins nothing.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// # struct Db;
    /// # impl Db { fn read(&self, _: &str) -> std::io::Result<Option<String>> { Ok(Some("Ada".to_owned())) } }
    /// # let db = Db;
    /// // An `Option` where the database may have nothing, which is remembered too.
    /// let name = cache.get_or_load("user:1", |_| db.read("user:1"))?;
    /// assert_eq!(name.as_deref(), Some(b"Ada".as_slice()));
    /// // In place now: nobody is asked.
    /// let name = cache.get_or_load("user:1", |_| Err::<&str, _>(std::io::Error::other("down")))?;
    /// assert!(name.is_cached() && *name == *b"Ada");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn get_or_load<A, E>(
        &self,
        key: impl AsRef<[u8]>,
        load: impl FnOnce(Load) -> Result<A, E>,
    ) -> Result<A::Of<Loaded<'_>>, LoadError<E>>
    where
        A: Answer,
        E: Send + Sync + 'static,
    {
        let key = key.as_ref();
        match self.get(key) {
            Some(value) => Ok(of_answer::<A, _>(Some(Loaded::cached(value)))),
            None => self.load_missing(key, load),
        }
    }

    #[inline(never)]
    fn load_missing<A, E>(
        &self,
        bytes: &[u8],
        load: impl FnOnce(Load) -> Result<A, E>,
    ) -> Result<A::Of<Loaded<'_>>, LoadError<E>>
    where
        A: Answer,
        E: Send + Sync + 'static,
    {
        let (deadline, thread) = (self.handle.loads.deadline(), Some(std::thread::current().id()));
        let by = Caller { deadline, thread, is_loading: Loading::is_under_way() };
        let mut turn = None;
        let knows_absence = A::of::<()>(None).is_some();
        while let Some(key) = key_of(bytes) {
            let left = || by.deadline.saturating_duration_since(Instant::now());
            match self.step(key, by, turn.take(), knows_absence, Loaded::cached) {
                Step::Found(value) => return Ok(of_answer::<A, _>(Some(value))),
                Step::Absent => return Ok(of_answer::<A, _>(None)),
                Step::Load(lease) => return self.load_first(key, lease, load),
                Step::Alone => break,
                Step::Queue(answer) => match answer.wait(left()) {
                    Ok(given) => turn = given,
                    Err(_) => break,
                },
                Step::Wait(answer) => match answer.wait(left()) {
                    Err(_) => break,
                    Ok(None) => {}
                    Ok(Some(outcome)) => match self.shared::<A, _, E>(outcome, Loaded::owned) {
                        Some(shared) => return shared,
                        None => break,
                    },
                },
            }
        }
        self.engine().counters().add(Counter::LoadsAlone);
        let loaded = Loading::run(|| load(Load::default()));
        self.handle.count_load(&loaded);
        match loaded {
            Ok(answer) => Ok(of_answer::<A, _>(answer.bytes().map(|bytes| Loaded::owned(bytes.into())))),
            Err(error) => Err(LoadError::new(Arc::new(error))),
        }
    }

    fn load_first<A, E>(
        &self,
        key: Key<'_>,
        lease: Lease<Outcome>,
        load: impl FnOnce(Load) -> Result<A, E>,
    ) -> Result<A::Of<Loaded<'_>>, LoadError<E>>
    where
        A: Answer,
        E: Send + Sync + 'static,
    {
        let request = Load::default();
        let loaded = Loading::run(|| load(request.clone()));
        self.handle.count_load(&loaded);
        match loaded {
            Ok(answer) => Ok(self.land(key, lease, request.said(), &answer, |loaded| loaded)),
            Err(error) => {
                let error = Arc::new(error);
                lease.land(|| Outcome::Failed(error.clone()));
                Err(LoadError::new(error))
            }
        }
    }
}

thread_local! {
    /// Loaders of this thread that are under way, one within the other.
    static UNDER_WAY: Cell<usize> = const { Cell::new(0) };
}

/// A loader that runs on this thread.
pub(super) struct Loading;

impl Loading {
    pub(super) fn is_under_way() -> bool {
        UNDER_WAY.get() > 0
    }

    pub(super) fn run<R>(load: impl FnOnce() -> R) -> R {
        UNDER_WAY.set(UNDER_WAY.get() + 1);
        let _loading = Self;
        load()
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        UNDER_WAY.set(UNDER_WAY.get() - 1);
    }
}
