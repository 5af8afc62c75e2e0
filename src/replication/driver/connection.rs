//! One connection: its socket, its channel, and how far it has come.
//!
//! ```text
//!   dialled  -> Connecting -- connected ----> Securing -- both know a secret --> Open
//!   accepted ---------------------------------^   Plain: at once                   |
//!                                                                                  | the node closes it
//!               gone <-- peer closed, or time over -- Lingering <-- all written -- Closing
//!
//!   any of them -- error, end, time over --> gone, and the node is told of what it knew
//! ```
//!
//! A connection that is closed lingers until the other side has closed it too: if it were dropped with bytes unread, the
//! kernel would reset it, and the last frames would be lost on their way.
//!
//! Readiness is an edge: `readable` and `writable` stay set until the kernel has nothing more, so that a connection whose
//! turn was over goes on in the next round. A read that gets less than it had room for was the last one, unless the other
//! side has ended: that edge has been told already, and the end itself is still to be read.

#![forbid(unsafe_code)]

use crate::replication::driver::deadlines::DeadlineId;
use crate::replication::driver::spill::Spill;
use crate::replication::node::api::{ClosedBy, Side};
use crate::replication::security::{CHANNEL_BYTES_MAX, Channel, ChannelError};
use crate::replication::session::sent::SentAhead;
use crate::replication::session::time::Micros;
use crate::types::limits::{CONTROL_BYTES_MAX, FRAME_BYTES_MAX, PEER_BYTES_MAX, STREAMS_MAX};
use mio::net::TcpStream;
use std::io::{self, Read};
use std::net::SocketAddr;

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Connecting,
    Securing,
    Open,
    Closing,
    Lingering,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) side: Side,
    pub(super) channel: Channel,
    pub(super) stage: Stage,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The other side sends no more, or an error waits to be read.
    pub(super) hung_up: bool,
    pub(super) spill: Spill,
    /// Of the handshake, or of the closing.
    pub(super) deadline: Option<DeadlineId<Micros>>,
}

/// Why a connection has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// The other side has closed it.
    Peer,
    /// An error of the socket.
    Error,
    TimedOut,
    Channel(ChannelError),
}

impl Ended {
    /// As the node is told.
    pub(super) fn by(self) -> ClosedBy {
        match self {
            Self::Peer => ClosedBy::Peer,
            Self::Error | Self::TimedOut => ClosedBy::Error,
            Self::Channel(_) => ClosedBy::Security,
        }
    }
}

impl From<ChannelError> for Ended {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error)
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream, side: Side, channel: Channel) -> Self {
        let stage = if matches!(side, Side::Dialled(_)) { Stage::Connecting } else { Stage::Securing };
        // An accepted one is tried at once: mostly the first bytes are there.
        let ready = stage == Stage::Securing;
        Self {
            stream,
            side,
            channel,
            stage,
            readable: ready,
            writable: ready,
            hung_up: false,
            spill: Spill::default(),
            deadline: None,
        }
    }

    /// The other end.
    pub(super) fn address(&self) -> SocketAddr {
        match self.side {
            Side::Dialled(address) | Side::Accepted(address) => address,
        }
    }

    /// Bytes of heap that are held.
    pub(super) fn heap_bytes(&self) -> usize {
        let channel = match &self.channel {
            Channel::Plain => 0,
            Channel::Noise(noise) => noise.heap_bytes(),
        };
        self.spill.heap_bytes() + channel
    }

    /// Reads once. `None`: nothing is there now.
    pub(super) fn read(&mut self, into: ReadInto<'_>) -> Result<Option<usize>, Ended> {
        let space = match (into, &mut self.channel) {
            (ReadInto::Space(space), _) => space,
            (ReadInto::Channel, Channel::Noise(noise)) => noise.space(),
            (ReadInto::Channel, Channel::Plain) => return Err(Ended::Error),
        };
        let read = loop {
            match self.stream.read(space) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match read {
            Ok(0) => Err(Ended::Peer),
            Ok(bytes) => {
                self.readable = bytes == space.len() || self.hung_up;
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(None)
            }
            Err(_) => Err(Ended::Error),
        }
    }

    /// Takes the handshake of the channel as far as it goes. `true` once frames may pass.
    pub(super) fn secure(&mut self) -> Result<bool, Ended> {
        while self.readable && !self.channel.is_open() {
            let Some(bytes) = self.read(ReadInto::Channel)? else { break };
            self.take_in(bytes)?;
        }
        self.say_handshake();
        Ok(self.channel.is_open())
    }

    /// Bytes have come for the channel.
    pub(super) fn take_in(&mut self, bytes: usize) -> Result<(), Ended> {
        match &mut self.channel {
            Channel::Plain => Ok(()),
            Channel::Noise(noise) => Ok(noise.received(bytes)?),
        }
    }

    /// Queues what the handshake has to say.
    pub(super) fn say_handshake(&mut self) {
        if let Channel::Noise(noise) = &mut self.channel {
            noise.take_handshake(self.spill.tail());
        }
    }

    /// Reads what nobody wants any more.
    pub(super) fn discard(&mut self) -> Result<(), Ended> {
        let mut nowhere = [0; 4096];
        for _ in 0..DISCARDS_PER_TURN {
            if !self.readable || self.read(ReadInto::Space(&mut nowhere))?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Writes what is left of the last batch. `true` once nothing is left.
    pub(super) fn flush(&mut self) -> Result<bool, Ended> {
        while self.writable && !self.spill.is_empty() {
            match self.spill.write_to(&mut self.stream) {
                Ok(_) => {}
                Err(error) => self.note_write_error(&error)?,
            }
        }
        Ok(self.spill.is_empty())
    }

    /// The kernel takes nothing now, or never again.
    pub(super) fn note_write_error(&mut self, error: &io::Error) -> Result<(), Ended> {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.writable = false,
            io::ErrorKind::Interrupted => {}
            _ => return Err(Ended::Error),
        }
        Ok(())
    }
}

/// Where bytes are read to.
#[derive(Debug)]
pub(super) enum ReadInto<'s> {
    Space(&'s mut [u8]),
    /// The space of the channel.
    Channel,
}

/// Blocks that are discarded before others have their turn.
const DISCARDS_PER_TURN: usize = 64;

/// What one peer takes at most: a frame in; a batch out and short frames, in buffers that may have grown to twice that; the
/// records of the channel; of each stream the keys that were sent ahead.
const _: () = assert!(
    FRAME_BYTES_MAX
        + 2 * (FRAME_BYTES_MAX + CONTROL_BYTES_MAX)
        + 2 * CONTROL_BYTES_MAX
        + CHANNEL_BYTES_MAX
        + STREAMS_MAX * SentAhead::BYTES_MAX
        < PEER_BYTES_MAX
);
