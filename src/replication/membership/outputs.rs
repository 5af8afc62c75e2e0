//! What foca wants done, kept until the caller does it.

#![forbid(unsafe_code)]

use super::identity::Identity;
use crate::types::limits::DATAGRAMS_WAITING_MAX;
use foca::{Notification, OwnedNotification, Timer};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// Datagrams, timers and news of one call into foca.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    pub(super) datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    pub(super) timers: Vec<(Duration, Timer<Identity>)>,
    pub(super) news: Vec<OwnedNotification<Identity>>,
    /// Datagrams that found no room.
    pub(super) unsent: u64,
}

impl Outputs {
    /// Queues a datagram; one too many is lost, as any datagram may be.
    pub(super) fn send(&mut self, to: SocketAddr, body: &[u8]) {
        if self.datagrams.len() >= DATAGRAMS_WAITING_MAX {
            self.unsent += 1;
            return;
        }
        self.datagrams.push_back((to, body.to_vec()));
    }
}

impl foca::Runtime<Identity> for Outputs {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        self.news.push(notification.to_owned());
    }

    fn send_to(&mut self, to: Identity, body: &[u8]) {
        if let Some(address) = to.address {
            self.send(address, body);
        }
    }

    fn submit_after(&mut self, timer: Timer<Identity>, after: Duration) {
        self.timers.push((after, timer));
    }
}
