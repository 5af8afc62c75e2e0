//! Doors for models of what goes out: a frame that is pinned while it is written to a socket.

use super::{CLASS, Model};
use crate::arena::frame::{FRAME_START, HEADER_BYTES};
use crate::arena::page::PageKind;
use crate::arena::pin::PinBudget;
use crate::arena::slot::State;
use crate::engine::Engine;
use crate::engine::get::HasKey;
use crate::engine::outgoing::{OutgoingBody, PinnedFrame};
use crate::sync::epoch::Guard;
use crate::types::handle::Handle;
use crate::types::key::{Key, KeyspaceId};

/// Bytes that may be pinned: of all slots that a model has.
const PINNED_MAX: u64 = 1 << 10;

/// A frame that is on its way out.
pub struct Sending {
    stamp: u64,
    frame: PinnedFrame,
}

impl Sending {
    /// The stamp that the frame was given out with.
    pub fn stamp(&self) -> u64 {
        self.stamp
    }

    /// The value, as a write to a socket would read it now.
    pub fn value(&self) -> u64 {
        let bytes = self.frame.bytes();
        assert!(bytes.len() as u64 > HEADER_BYTES - FRAME_START, "a frame has a header and a value");
        let value = bytes.last_chunk().expect("values have eight bytes");
        u64::from_le_bytes(*value)
    }

    /// The slot that it holds.
    pub fn slot(&self) -> u64 {
        self.frame.handle().offset()
    }
}

impl Model {
    /// Lets as many bytes be pinned as there are.
    pub(super) fn allow_pins(engine: &mut Engine) {
        engine.pins = PinBudget::new(PINNED_MAX);
    }

    /// The frame of a key, pinned; `None` if there is none, or it changed meanwhile.
    pub fn send(&self, key: u8) -> Option<Sending> {
        let bytes = [key];
        let key = Key { keyspace: KeyspaceId::RAW, bytes: &bytes };
        let sought = self.engine.seek(key);
        let outgoing = Engine::outgoing(&self.engine, &sought, 0, &mut Vec::new())?;
        let OutgoingBody::Pinned(frame) = outgoing.body else { return None };
        Some(Sending { stamp: outgoing.version.stamp.0, frame })
    }

    /// Whether a slot is somebody's, and whether a class has its page: neither changes while it is pinned.
    pub fn is_kept(&self, slot: u64) -> bool {
        let _guard: Guard = self.engine.pin();
        let handle = Handle::from_offset(slot);
        let Some(page) = self.engine.pages.layout().page_of_handle(handle) else { return false };
        let info = self.engine.pages.info(page);
        let state = self.engine.slot(handle).and_then(|slot| slot.control().state());
        info.kind() == PageKind::Data && info.has_slots_of(CLASS) && matches!(state, Some(State::Live | State::Retired))
    }

    /// The slot of a key.
    pub fn slot_of(&self, key: u8) -> Option<u64> {
        let bytes = [key];
        let key = Key { keyspace: KeyspaceId::RAW, bytes: &bytes };
        let check = HasKey { engine: &self.engine, key };
        let found = self.engine.index.find(self.engine.region.view(), self.engine.hash(key), &check)?;
        Some(found.word.handle().offset())
    }

    /// Bytes that are pinned.
    pub fn pinned_bytes(&self) -> u64 {
        self.engine.pins.held()
    }

    /// Takes every slot that is free or waits only for readers; whether this one is among them.
    pub fn reuses(&self, slot: u64) -> bool {
        // What is due, then a grace period, then what is due.
        for _ in 0..3 {
            self.reclaim();
        }
        std::iter::from_fn(|| self.engine.take(&self.engine.pin(), CLASS)).any(|taken| taken.handle.offset() == slot)
    }
}
