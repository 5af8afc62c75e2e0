//! Events for users, in a bounded queue: the oldest wait, the newest is dropped and counted.

#![forbid(unsafe_code)]

use super::api::NodeEvent;
use crate::types::limits::EVENTS_WAITING_MAX;
use std::collections::VecDeque;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Events {
    queue: VecDeque<NodeEvent>,
}

impl Events {
    /// `false` if there is no room.
    pub(super) fn push(&mut self, event: NodeEvent) -> bool {
        let has_room = self.queue.len() < EVENTS_WAITING_MAX;
        if has_room {
            self.queue.push_back(event);
        }
        has_room
    }

    pub(super) fn pop(&mut self) -> Option<NodeEvent> {
        self.queue.pop_front()
    }
}
