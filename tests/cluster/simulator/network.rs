//! Connections as pairs of pipes, and who can reach whom.
//!
//! ```text
//!   end 0  --- pipe 0: pieces with the time at which they arrive, in order --->  end 1
//!          <-- pipe 1 -----------------------------------------------------------
//! ```
//!
//! A pipe keeps order and loses nothing, as TCP does, until it is reset: then what was on its way is gone, but for a first
//! part. A blocked direction holds everything back until it is open again.

use crate::random::Random;
use std::collections::{BTreeMap, VecDeque};

/// One end of a connection: a life of a host, and the number that its node knows it by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    pub(crate) host: usize,
    pub(crate) life: u64,
    pub(crate) number: u32,
    /// Whether the node has been told of it, and not closed it.
    pub(crate) open: bool,
}

/// Bytes on their way in one direction.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pieces: VecDeque<(u64, Vec<u8>)>,
    in_flight: usize,
    /// When the last piece arrives: order is kept.
    last_at: u64,
    pub(crate) stalled_until: u64,
    /// The next piece has some bits flipped.
    pub(crate) corrupt_next: bool,
}

/// What a pipe holds at most, as a socket's buffers do.
const PIPE_BYTES: usize = 128 << 10;

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) ends: [End; 2],
    pub(crate) pipes: [Pipe; 2],
}

impl Pipe {
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight < PIPE_BYTES
    }

    /// Takes bytes, in pieces of any size; returns when each arrives.
    pub(crate) fn push(&mut self, now: u64, latency: (u64, u64), bytes: &[u8], random: &mut Random) -> Vec<u64> {
        let mut times = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let most = rest.len().min(if random.chance(20) { 40 } else { 64 << 10 });
            let count = random.within(1, most as u64) as usize;
            let count = if times.len() > 8 { rest.len() } else { count };
            let at = (now + random.within(latency.0, latency.1)).max(self.last_at).max(self.stalled_until);
            let mut piece = rest[..count].to_vec();
            if std::mem::take(&mut self.corrupt_next) {
                let bit = random.below(piece.len() as u64 * 8);
                piece[bit as usize / 8] ^= 1 << (bit % 8);
            }
            self.last_at = at;
            self.in_flight += count;
            self.pieces.push_back((at, piece));
            times.push(at);
            rest = &rest[count..];
        }
        times
    }

    /// The next piece, if it has arrived.
    pub(crate) fn pop(&mut self, now: u64) -> Option<Vec<u8>> {
        if self.stalled_until > now || self.pieces.front().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        let (_, piece) = self.pieces.pop_front()?;
        self.in_flight -= piece.len();
        Some(piece)
    }

    /// Drops all but the first so many bytes.
    pub(crate) fn cut_after(&mut self, mut bytes: usize) {
        self.pieces.retain_mut(|(_, piece)| {
            let kept = piece.len().min(bytes);
            bytes -= kept;
            self.in_flight -= piece.len() - kept;
            piece.truncate(kept);
            !piece.is_empty()
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

/// All connections, and which directions are blocked.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) connections: BTreeMap<u64, Connection>,
    next: u64,
    blocked: BTreeMap<(usize, usize), bool>,
}

impl Network {
    pub(crate) fn connect(&mut self, ends: [End; 2]) -> u64 {
        self.next += 1;
        self.connections.insert(self.next, Connection { ends, pipes: Default::default() });
        self.next
    }

    /// Whether bytes of one host reach another.
    pub(crate) fn passes(&self, from: usize, to: usize) -> bool {
        !self.blocked.get(&(from, to)).copied().unwrap_or(false)
    }

    pub(crate) fn block(&mut self, from: usize, to: usize, blocked: bool) {
        self.blocked.insert((from, to), blocked);
    }

    pub(crate) fn heal(&mut self, now: u64) {
        self.blocked.clear();
        for connection in self.connections.values_mut() {
            connection.pipes.iter_mut().for_each(|pipe| pipe.stalled_until = pipe.stalled_until.min(now));
        }
    }

    /// The connection that a life of a host knows by a number, and which end of it that is.
    pub(crate) fn of(&self, host: usize, life: u64, number: u32) -> Option<(u64, usize)> {
        self.connections.iter().find_map(|(id, connection)| {
            let is_it = |end: &End| end.host == host && end.life == life && end.number == number;
            connection.ends.iter().position(is_it).map(|end| (*id, end))
        })
    }

    /// All connections of a life of a host.
    pub(crate) fn all_of(&self, host: usize, life: u64) -> Vec<(u64, usize)> {
        // Who dials itself has both ends.
        let ends = self.connections.iter().flat_map(|(id, connection)| [(*id, connection, 0), (*id, connection, 1)]);
        let is_it = |end: &End| end.host == host && end.life == life && end.open;
        ends.filter(|(_, connection, end)| is_it(&connection.ends[*end])).map(|(id, _, end)| (id, end)).collect()
    }
}
