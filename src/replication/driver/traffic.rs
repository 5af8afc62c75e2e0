//! Bytes in and out of one connection, for as long as its turn lasts.
//!
//! ```text
//!   in    plain   socket -> the node's space: its buffer, or the slot that a large value will stay in
//!         Noise   socket -> channel -> opened in the node's space
//!
//!   out   plain   slots and buffer -> one vectored write; what the kernel does not take is copied, and the pins go
//!         Noise   slots and buffer -> sealed into the spill -> socket
//! ```
//!
//! A new batch is asked for only when the last one has been written to its end, so what goes out is as fresh as can be, and
//! a slow peer costs one batch.

#![forbid(unsafe_code)]

use crate::replication::driver::connection::{Connection, Ended, ReadInto, Stage};
use crate::replication::driver::counters::{Counter, Counters};
use crate::replication::driver::net::Net;
use crate::replication::node::Node;
use crate::replication::node::api::ConnectionId;
use crate::replication::security::Channel;
use crate::replication::session::time::Micros;
use crate::replication::session::transmit::Transmit;
use crate::types::clock::HybridClock;
use crate::types::limits::{BATCH_BYTES, BATCH_SLICES, READ_BYTES_PER_TURN, WRITE_BYTES_PER_TURN};
use std::io::{IoSlice, Write};
use std::net::Shutdown;

/// Batches of one turn. A small one may take as long to make as a full one.
const BATCHES_PER_TURN: usize = WRITE_BYTES_PER_TURN / BATCH_BYTES;

/// Slices of one system call. A batch with more is written in several.
const SLICES: usize = 2 * BATCH_SLICES;

impl Net {
    /// Whether a connection has something to do that no edge will tell of.
    pub(super) fn has_turn(&self, id: ConnectionId, connection: &Connection) -> bool {
        let to_send = || !connection.spill.is_empty() || self.node.wants_to_send(id);
        match connection.stage {
            Stage::Connecting => false,
            Stage::Securing => connection.readable,
            Stage::Open => connection.readable || (connection.writable && to_send()),
            Stage::Closing => connection.writable,
            Stage::Lingering => connection.readable,
        }
    }

    /// Lets a connection read.
    pub(super) fn read_turn(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let ended = match connection.stage {
            Stage::Connecting => return self.connect_turn(id),
            Stage::Securing => match connection.secure() {
                Ok(true) => {
                    self.opened(id);
                    return self.read_turn(id);
                }
                Ok(false) => Ok(()),
                Err(ended) => Err(ended),
            },
            Stage::Open => {
                let Self { node, store, shared, .. } = self;
                Reading { node, clock: store.engine().clock(), counters: &shared.counters, id }.read(connection)
            }
            Stage::Closing => Ok(()),
            Stage::Lingering => connection.discard(),
        };
        if let Err(ended) = ended {
            self.ended(id, ended);
        }
    }

    /// Lets a connection write.
    pub(super) fn write_turn(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let written = match connection.stage {
            Stage::Connecting | Stage::Lingering => return,
            Stage::Securing => connection.flush(),
            Stage::Open | Stage::Closing => {
                let Self { node, store, shared, transmit, .. } = self;
                let writing = Writing { node, clock: store.engine().clock(), counters: &shared.counters, transmit, id };
                writing.write(connection)
            }
        };
        let linger = |connection: &mut Connection| {
            // The other side learns that nothing more comes, and closes.
            connection.stage = Stage::Lingering;
            connection.stream.shutdown(Shutdown::Write).map_err(|_| Ended::Error)
        };
        let lingers = match written {
            Ok(true) if connection.stage == Stage::Closing => linger(connection),
            Ok(_) => Ok(()),
            Err(ended) => Err(ended),
        };
        if let Err(ended) = lingers {
            self.ended(id, ended);
        }
    }
}

/// The parts that reading needs.
struct Reading<'n> {
    node: &'n mut Node,
    clock: &'n HybridClock,
    counters: &'n Counters,
    id: ConnectionId,
}

impl Reading<'_> {
    fn read(mut self, connection: &mut Connection) -> Result<(), Ended> {
        let mut left = READ_BYTES_PER_TURN;
        loop {
            let is_wanted = match connection.channel {
                Channel::Plain => !self.node.receive_space(self.id).is_empty(),
                Channel::Noise(_) => self.open(connection)?,
            };
            if !is_wanted || !connection.readable || left == 0 {
                return Ok(());
            }
            let into = match connection.channel {
                Channel::Plain => ReadInto::Space(self.node.receive_space(self.id)),
                Channel::Noise(_) => ReadInto::Channel,
            };
            let Some(bytes) = connection.read(into)? else { return Ok(()) };
            self.counters.add(Counter::BytesIn, bytes as u64);
            left = left.saturating_sub(bytes);
            match connection.channel {
                Channel::Plain => self.node.handle_received(self.now(), self.id, bytes),
                Channel::Noise(_) => connection.take_in(bytes)?,
            }
        }
    }

    /// Gives the node all that has come sealed. `false`: it wants nothing of this connection any more.
    fn open(&mut self, connection: &mut Connection) -> Result<bool, Ended> {
        let Channel::Noise(noise) = &mut connection.channel else { return Ok(true) };
        loop {
            let space = self.node.receive_space(self.id);
            if space.is_empty() {
                return Ok(false);
            }
            match noise.open(space)? {
                0 => return Ok(true),
                bytes => self.node.handle_received(self.now(), self.id, bytes),
            }
        }
    }

    fn now(&self) -> Micros {
        Micros(self.clock.fine_us())
    }
}

/// The parts that writing needs.
struct Writing<'n> {
    node: &'n mut Node,
    clock: &'n HybridClock,
    counters: &'n Counters,
    transmit: &'n mut Transmit,
    id: ConnectionId,
}

impl Writing<'_> {
    /// `true`: all is written, and the node has nothing more.
    fn write(self, connection: &mut Connection) -> Result<bool, Ended> {
        let (mut left, mut batches) = (WRITE_BYTES_PER_TURN, BATCHES_PER_TURN);
        while connection.flush()? && connection.writable && left > 0 && batches > 0 {
            batches -= 1;
            self.transmit.clear();
            let now = Micros(self.clock.fine_us());
            if !self.node.wants_to_send(self.id) || !self.node.poll_transmit(now, self.id, self.transmit) {
                connection.spill.rest();
                return Ok(true);
            }
            let bytes = self.transmit.len();
            self.counters.add(Counter::Batches, 1);
            self.counters.add(Counter::BytesOut, bytes as u64);
            left = left.saturating_sub(bytes);
            let sent = send(connection, self.transmit, self.counters);
            // The pins go before anything else is waited for.
            self.transmit.clear();
            sent?;
        }
        Ok(false)
    }
}

/// Writes a batch, or what of it the kernel takes; the rest is kept.
fn send(connection: &mut Connection, batch: &Transmit, counters: &Counters) -> Result<(), Ended> {
    let mut slices = batch.slices();
    let mut written = 0;
    loop {
        let mut gathered = [IoSlice::new(&[]); SLICES];
        let count = gathered.iter_mut().zip(&mut slices).map(|(place, slice)| *place = IoSlice::new(slice)).count();
        if count == 0 {
            return Ok(());
        }
        let gathered = &gathered[..count];
        match &mut connection.channel {
            Channel::Noise(noise) => noise.seal(gathered, connection.spill.tail())?,
            Channel::Plain => {
                let bytes: usize = gathered.iter().map(|slice| slice.len()).sum();
                let taken = match connection.stream.write_vectored(gathered) {
                    Ok(taken) => taken,
                    Err(error) => {
                        connection.note_write_error(&error)?;
                        0
                    }
                };
                written += taken;
                if taken < bytes {
                    counters.add(Counter::Spilled, 1);
                    batch.copy_rest(written, connection.spill.tail());
                    return Ok(());
                }
            }
        }
    }
}
