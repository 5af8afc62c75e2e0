//! Invalidation: what is cached of a key may be old, and nobody here knows what is new.

#![forbid(unsafe_code)]

use crate::cache::calls::{Cache, check_key};
use crate::cache::error::InsertError;
use crate::engine::counters::Counter;

impl Cache {
    /// Takes out whatever is cached of a key, here and on the other nodes, since the database has changed it. Call it behind the commit.
    ///
    /// As [`Cache::remove`] it ends loads of the key that are under way. Unlike that it says nothing of what the key is now: the next
    /// [`Cache::get_or_load`] asks the database. What is written later stays, whoever wrote it. Never fails for memory.
    ///
    /// # Errors
    ///
    /// [`InsertError::Key`] for a key that can not be stored, [`InsertError::Closed`] after [`Cache::close`].
    ///
    /// # Complexity
    ///
    /// A look-up and one compare-and-swap; waits for no reader and no peer, allocates nothing.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// let name = |now: &'static str| cache.get_or_load("user:1", move |_| Ok::<_, std::io::Error>(now)).map(|name| name.to_vec());
    /// assert_eq!(name("Ada")?, b"Ada");
    /// // UPDATE users SET name = 'Grace' WHERE id = 1; COMMIT;
    /// cache.invalidate("user:1")?;
    /// assert_eq!(name("Grace")?, b"Grace");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn invalidate(&self, key: impl AsRef<[u8]>) -> Result<(), InsertError> {
        let key = check_key(key.as_ref())?;
        let engine = self.engine();
        let Some((_writing, guard)) = engine.begin_write() else { return Err(InsertError::Closed) };
        engine.invalidate(&guard, &engine.seek(key));
        engine.counters().add(Counter::Invalidated);
        Ok(())
    }

    /// [`Cache::invalidate`] of several keys.
    ///
    /// # Errors
    ///
    /// As there, of the first key that can not be stored: then nothing was done.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("user:1", "Ada")?;
    /// cache.insert("list:7", "1, 2")?;
    /// cache.invalidate_many(["user:1", "list:7"])?;
    /// assert!(cache.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn invalidate_many<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K, IntoIter: Clone>,
    ) -> Result<(), InsertError> {
        let keys = keys.into_iter();
        for key in keys.clone() {
            check_key(key.as_ref())?;
        }
        for key in keys {
            self.invalidate(key)?;
        }
        Ok(())
    }
}
