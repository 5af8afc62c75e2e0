//! Filling: a large value of another node, which is written into its slot as it arrives.
//!
//! ```text
//!   head of the frame -> begin_value: a slot, WRITING -> space: bytes from the socket -> finish: checksum -> applied
//!                                                                       | dropped: the slot goes back
//! ```
//!
//! Holds no guard while bytes arrive.

use crate::arena::received::FrameHead;
use crate::engine::Engine;
use crate::engine::apply::Applied;
use crate::engine::insert::{Draft, Entry, Refusal, Source};
use crate::sync::Arc;
use crate::types::key::{Key, KeyspaceId};
use std::fmt;

/// Room in the arena for a large value that is on its way. Dropping it leaves no trace.
pub(crate) struct Filling {
    engine: Arc<Engine>,
    keyspace: KeyspaceId,
    key: Box<[u8]>,
    entry: Entry,
    /// What the sender says of header, key and value.
    checksum: u32,
    draft: Option<Draft>,
}

impl Engine {
    /// Takes room for a large value whose head has come. `Err`: what became of the key instead; the value is to be passed
    /// over.
    pub(crate) fn begin_value(self: &Arc<Self>, head: &FrameHead<'_>, source: Source) -> Result<Filling, Applied> {
        let Some((_writing, guard)) = self.begin_write() else { return Err(Applied::Closed) };
        let sought = self.seek(head.key);
        if !self.follow(head.version.stamp) {
            self.void_ahead(&sought, &head.version);
            return Err(Applied::Ahead);
        }
        let entry = Entry::of_peer(head.version, head.header.ttl(), head.header.kind(), source);
        let refusal = if head.value_bytes > self.settings.value_bytes_max {
            Refusal::TooLarge
        } else {
            match self.draft(guard, head.key, head.value_bytes, &head.version) {
                Ok((_guard, draft)) => {
                    return Ok(Filling {
                        engine: Arc::clone(self),
                        keyspace: head.key.keyspace,
                        key: head.key.bytes.into(),
                        entry,
                        checksum: head.header.checksum(),
                        draft: Some(draft),
                    });
                }
                Err(refusal) => refusal,
            }
        };
        self.refused(head.key, sought.hash, &refusal, &entry);
        Err(Applied::of(Err(refusal), &head.version))
    }
}

impl Filling {
    /// The bytes of the value, to be written.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        match &mut self.draft {
            Some(draft) => self.engine.draft_bytes_mut(draft),
            None => &mut [],
        }
    }

    /// Checks the frame's checksum over what was written, and applies it. `None`: the checksum is wrong, nothing changed.
    pub(crate) fn finish(mut self) -> Option<Applied> {
        let engine = Arc::clone(&self.engine);
        let (Some(draft), Some(key)) = (self.draft.take(), Key::new(self.keyspace, &self.key)) else { return None };
        let Some((_writing, guard)) = engine.begin_write() else {
            engine.abandon(&draft);
            return Some(Applied::Closed);
        };
        if engine.written_checksum(key, &draft, &self.entry) != self.checksum {
            engine.abandon(&draft);
            return None;
        }
        let version = self.entry.version;
        let sought = engine.seek(key);
        if engine.is_read_before_clear(key.keyspace, &version) {
            engine.abandon(&draft);
            return Some(Applied::Older);
        }
        if !engine.is_after_clear(key.keyspace, version.stamp) {
            engine.abandon(&draft);
            engine.void(key, sought.hash, &version);
            return Some(Applied::Older);
        }
        let stored = engine.publish_written(&guard, key, sought.hash, &draft, &self.entry);
        drop(guard);
        if let Err(refusal) = &stored {
            engine.refused(key, sought.hash, refusal, &self.entry);
        }
        Some(Applied::of(stored, &version))
    }
}

impl Engine {
    /// Writes the frame of a filled draft; returns its checksum.
    fn written_checksum(&self, key: Key<'_>, draft: &Draft, entry: &Entry) -> u32 {
        let slot = self.slot(draft.handle).expect("a draft lies in the region");
        self.write_frame(slot, key, draft, entry);
        // SAFETY: the slot is WRITING and the draft's.
        unsafe { slot.header() }.checksum()
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        if let Some(draft) = self.draft.take() {
            self.engine.abandon(&draft);
        }
    }
}

impl fmt::Debug for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filling({:?}, {:?})", self.entry.version, self.draft)
    }
}
