//! What the receiving side of a sync says of what it holds: first it looks for its newest entry, then it names each key with
//! its version.
//!
//! ```text
//!   index --a few scans per batch--> VERIFY, 64 KiB at most        what did not fit any more begins the next one
//! ```

#![forbid(unsafe_code)]

use super::{Phase, SyncReceiver};
use crate::replication::node::Node;
use crate::replication::node::api::ConnectionId;
use crate::replication::session::time::Micros;
use crate::replication::session::transmit::Transmit;
use crate::replication::wire::VerifyBuilder;
use crate::types::key::Key;
use crate::types::version::Stamp;

/// Entries that one scan looks at.
const SCANNED_AT_ONCE: usize = 256;
/// Scans of a survey between two looks at anything else.
const SCANS_PER_BATCH: usize = 16;
/// How much older than the newest entry here something may be that was missed before the last life ended.
const MISSED_BEFORE_END_US: u64 = 10_000_000;

impl Node {
    /// What the receiving side of a sync sends: VERIFY frames, as far as the window goes.
    pub(in crate::replication::node) fn fill_verify(&mut self, now: Micros, id: ConnectionId, transmit: &mut Transmit) {
        if !self.has_sync_work(id) {
            return;
        }
        if let Some(SyncReceiver { phase: Phase::Survey { .. }, .. }) = self.sync {
            return self.survey(now, id);
        }
        let (Some(sync), Some(link)) = (&mut self.sync, self.links.get(&id)) else { return };
        let (version, batch) = (link.session.version, sync.batch);
        let mut builder = VerifyBuilder::new(transmit.bytes(), version, batch);
        while let Some((space, key, version)) = if builder.is_full() { None } else { sync.spare.pop_front() } {
            if let Some(key) = Key::new(space, &key) {
                builder.push(key, &version);
            }
        }
        let mut scans = SCANS_PER_BATCH;
        while let Some(bucket) = sync.bucket.filter(|_| scans > 0 && !builder.is_full()) {
            scans -= 1;
            sync.bucket = self.store.scan(bucket, SCANNED_AT_ONCE, &mut |scanned| {
                if builder.is_full() {
                    sync.spare.push_back((scanned.key.keyspace, scanned.key.bytes.to_vec(), scanned.version));
                } else {
                    builder.push(scanned.key, &scanned.version);
                }
            });
        }
        sync.moved = now;
        // The index is through, but the last entries go with the next batch.
        let is_last = sync.bucket.is_none() && sync.spare.is_empty();
        sync.bucket = if is_last { None } else { Some(sync.bucket.unwrap_or(u32::MAX)) };
        let count = builder.count();
        if count == 0 && !is_last {
            // An empty one would say that there are no more.
            builder.give_up();
            return self.come_back(id);
        }
        builder.finish();
        self.counters.verified += u64::from(count);
        sync.batch += 1;
        sync.unanswered += u32::from(count > 0);
        if is_last && count > 0 {
            self.end_of_verify(id, batch + 1);
        }
    }

    /// The scan goes on with the next batch: the peer hears a sign of life, and so the driver comes back at once.
    fn come_back(&mut self, id: ConnectionId) {
        self.links.entry(id).and_modify(|link| link.session.heartbeat_due = true);
    }

    /// Says that nothing more is held.
    pub(super) fn end_of_verify(&mut self, id: ConnectionId, batch: u64) {
        if let Some(link) = self.links.get_mut(&id) {
            link.session.say(|version, out| VerifyBuilder::new(out, version, batch).finish());
        }
    }

    /// Looks for the newest entry that others have written: not much that was missed is older.
    fn survey(&mut self, now: Micros, id: ConnectionId) {
        let own = self.stream.origin.0;
        let Some(sync) = &mut self.sync else { return };
        let Phase::Survey { bucket, mut newest } = sync.phase else { return };
        let mut next = Some(bucket);
        for _ in 0..SCANS_PER_BATCH {
            let Some(bucket) = next else { break };
            next = self.store.scan(bucket, SCANNED_AT_ONCE, &mut |scanned| {
                if scanned.version.origin != own {
                    newest = newest.max(scanned.version.stamp);
                }
            });
        }
        sync.moved = now;
        if let Some(bucket) = next {
            sync.phase = Phase::Survey { bucket, newest };
            return self.come_back(id);
        }
        sync.since = Stamp::from_micros(newest.micros().saturating_sub(MISSED_BEFORE_END_US));
        sync.phase = Phase::Requested;
        self.request();
    }
}
