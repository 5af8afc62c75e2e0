//! Doors for models of a node: a tiny arena with a floor and a ring, and what peers send.

use super::{CLASS, Model, SLOT_BYTES, parts};
use crate::arena::cluster_header::{CLUSTER_HEADER_BYTES, field};
use crate::arena::floors::Floors;
use crate::arena::frame::FrameKind;
use crate::arena::layout::Layout;
use crate::arena::received::ReceivedFrame;
use crate::arena::ring::Ring;
use crate::engine::Engine;
use crate::engine::apply::Applied;
use crate::engine::insert::Source;
use crate::engine::replicated::Replicated;
use crate::region::Region;
use crate::sync::Arc;
use crate::types::key::{Key, KeyspaceId};
use crate::types::stream::Origin;
use crate::types::version::{Stamp, Version};

const RING_PAGE_BYTES: u64 = 256;

impl Model {
    /// An arena of a node: so many prepared pages of slots, one floor for all keys, a ring of two pages.
    pub fn node(prepared: u32) -> Self {
        let layout = Layout::with_pages(super::PAGE_BYTES, 1 + prepared);
        let floors_at = layout.len().next_multiple_of(8);
        let ring_at = floors_at + CLUSTER_HEADER_BYTES + 64;
        let region = Region::heap(ring_at + 2 * RING_PAGE_BYTES);
        for at in (layout.data_start..layout.len()).step_by(SLOT_BYTES as usize) {
            region.view().make_slot(at);
        }
        let floors = Floors::new(Box::new([floors_at]), CLUSTER_HEADER_BYTES + 64, 1);
        let ring = Ring::new(Box::new([ring_at, ring_at + RING_PAGE_BYTES]), RING_PAGE_BYTES, floors_at + field::RING);
        for at in [field::RING, field::RING + 8, field::FLOOR_OF_ALL, field::JOIN_FLOOR, CLUSTER_HEADER_BYTES] {
            region.view().word(floors_at + at);
        }
        for word in 0..2 * RING_PAGE_BYTES / 8 {
            region.view().word(ring_at + 8 * word);
        }
        let mut engine = Engine::assemble(parts(region, layout, 1));
        Self::allow_pins(&mut engine);
        engine.format();
        engine.sweep.set_settled();
        assert!(engine.replicated.set(Replicated::new(floors, ring, Origin(1))).is_ok(), "a new engine is no node's");
        let model = Self { engine: Arc::new(engine) };
        model.make_words();
        for _ in 0..prepared {
            assert!(model.engine.assign_page(CLASS));
            while model.engine.prepare_step(CLASS) {}
        }
        model
    }

    /// Applies a value that a peer sent, with its stamp as value. Whether it is the entry now.
    pub fn apply(&self, key: u8, stamp: u64) -> bool {
        let bytes = [key];
        let value = stamp.to_le_bytes();
        let frame = ReceivedFrame {
            version: Version::instant(Stamp(stamp), 2),
            kind: FrameKind::Value,
            ttl: 0,
            key: Key { keyspace: KeyspaceId::RAW, bytes: &bytes },
            value: &value,
            whole: None,
        };
        self.engine.apply(&self.engine.seek(frame.key), &frame, Source::Peer) == Applied::Stored
    }

    /// Applies an invalidation that a peer sent.
    pub fn void(&self, key: u8, stamp: u64) {
        let bytes = [key];
        let frame = ReceivedFrame {
            version: Version::instant(Stamp(stamp), 2),
            kind: FrameKind::Invalidation,
            ttl: 0,
            key: Key { keyspace: KeyspaceId::RAW, bytes: &bytes },
            value: &[],
            whole: None,
        };
        self.engine.apply(&self.engine.seek(frame.key), &frame, Source::Peer);
    }

    /// Removes a key as a caller of this node: a tombstone takes its place.
    pub fn remove_and_tell(&self, key: u8) -> bool {
        let bytes = [key];
        let key = Key { keyspace: KeyspaceId::RAW, bytes: &bytes };
        self.engine.remove_and_tell(self.engine.pin(), &self.engine.seek(key)).0
    }

    /// Evicts the entry of a key; whether this call did.
    pub fn evict_key(&self, key: u8) -> bool {
        let bytes = [key];
        let key = Key { keyspace: KeyspaceId::RAW, bytes: &bytes };
        let guard = self.engine.pin();
        self.engine.evict_key(&guard, &self.engine.seek(key))
    }

    /// Changes that the ring tells of: claimed and finished, in order; `None` if one is unfinished.
    pub fn changes(&self) -> Option<Vec<u8>> {
        use crate::arena::change::{Change, Read};
        let node = self.engine.replicated()?;
        let (mut at, mut change, mut all) = (node.ring.start(self.engine.region.view()), Change::default(), Vec::new());
        loop {
            match node.ring.read(self.engine.region.view(), at, Origin(1), &mut change) {
                Read::Change { next } => {
                    all.push(change.key[0]);
                    at = next;
                }
                Read::Nothing { next } => at = next,
                Read::NotYet => return (at == node.ring.end(self.engine.region.view())).then_some(all),
                Read::Lost => return None,
            }
        }
    }
}
