//! A connection under Noise: a handshake of three short messages, then records.
//!
//! ```text
//!   dialled                                       accepted
//!   Greeting   -- 50 B: ephemeral key, tag -->    Listening     which of the secrets opens it?
//!   Greeting   <-- 50 B: ephemeral key, tag --    Answered
//!   Open       -- 18 B: an empty record  ----->   Open          now it is no recording of an earlier dial
//!   Open       <-- records ------------------->   Open
//!   anything unexpected -> Closed: every later call fails in the same way
//!
//!   byte 0        2                      2 + n
//!        +--------+----------------------+
//!        | n: u16 | message or record    |        n: 48 in the handshake, 16 to 65,535 behind it
//!        +--------+----------------------+
//! ```
//!
//! Keys are new for each connection, so a secret that leaks later opens nothing that was recorded.
//!
//! Bounds: a handshake has 128 bytes of room, an open channel two records. More than one opened record is never kept.
//!
//! Source: Perrin, "The Noise Protocol Framework", revision 34.

#![forbid(unsafe_code)]

use super::channel::ChannelError;
use super::entropy::Entropy;
use super::handshake::{self, MESSAGE_BYTES, Message};
use super::secret::Secrets;
use crate::sync::bite;
use snow::{HandshakeState, TransportState};
use std::io::IoSlice;

/// One side of a connection.
pub(crate) struct Noise {
    state: State,
    /// What has come: `taken..filled` is not yet understood.
    incoming: Vec<u8>,
    taken: usize,
    filled: usize,
    /// A record that was opened and not read to its end: `read..` is left.
    opened: Vec<u8>,
    read: usize,
    /// Where slices become one record.
    gathered: Vec<u8>,
    /// What the handshake has to say.
    saying: Vec<u8>,
}

enum State {
    Greeting(Box<HandshakeState>),
    Listening(Secrets, Entropy),
    Answered(Box<TransportState>),
    Open(Box<TransportState>),
    Closed(ChannelError),
}

impl Noise {
    pub(super) fn dial(secrets: &Secrets, attempt: u32, entropy: Entropy) -> Self {
        let (state, greeting) = handshake::greet(secrets, attempt, entropy);
        let mut noise = Self::new(State::Greeting(Box::new(state)));
        noise.say(&greeting);
        noise
    }

    pub(super) fn accept(secrets: &Secrets, entropy: Entropy) -> Self {
        Self::new(State::Listening(secrets.clone(), entropy))
    }

    fn new(state: State) -> Self {
        let incoming = vec![0; HANDSHAKE_ROOM];
        let [opened, gathered, saying] = [const { Vec::new() }; 3];
        Self { state, incoming, taken: 0, filled: 0, opened, read: 0, gathered, saying }
    }

    /// Whether the handshake is over, and records may be sealed and opened.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Appends what the handshake has to say. To be asked at the start, and after each [`received`](Self::received).
    pub(crate) fn take_handshake(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.saying);
    }

    /// Where the next bytes of the socket belong. Never empty if [`open`](Self::open) was called until it gave 0.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.taken > 0 {
            self.incoming.copy_within(self.taken..self.filled, 0);
            self.filled -= self.taken;
            self.taken = 0;
        }
        &mut self.incoming[self.filled..]
    }

    /// So many bytes were put there. Takes the handshake as far as they go.
    ///
    /// # Panics
    ///
    /// If it is more than the space had.
    pub(crate) fn received(&mut self, bytes: usize) -> Result<(), ChannelError> {
        assert!(bytes <= self.incoming.len() - self.filled, "{bytes} bytes in a smaller space");
        self.filled += bytes;
        loop {
            let expected = match &self.state {
                State::Open(_) => return Ok(()),
                State::Closed(error) => return Err(*error),
                State::Greeting(_) | State::Listening(..) => MESSAGE_BYTES,
                State::Answered(_) => TAG_BYTES,
            };
            match self.message(expected).and_then(|message| message.map(|message| self.advance(&message)).transpose()) {
                Ok(Some(())) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.close(error)),
            }
        }
    }

    /// Fills a space with what the other side sent, and says how many bytes that is. 0: more has to come first.
    ///
    /// A record that fits the space is opened in it. What does not fit is kept for the next call.
    pub(crate) fn open(&mut self, into: &mut [u8]) -> Result<usize, ChannelError> {
        while !into.is_empty() {
            if self.read < self.opened.len() {
                let bytes = into.len().min(self.opened.len() - self.read);
                into[..bytes].copy_from_slice(&self.opened[self.read..self.read + bytes]);
                self.read += bytes;
                return Ok(bytes);
            }
            match self.open_record(into) {
                Ok(None) => break,
                Ok(Some(0)) => {}
                Ok(Some(bytes)) => return Ok(bytes),
                Err(error) => return Err(self.close(error)),
            }
        }
        Ok(0)
    }

    /// Appends slices as records. Long ones are sealed from where they lie, others are gathered first.
    pub(crate) fn seal(&mut self, slices: &[IoSlice<'_>], out: &mut Vec<u8>) -> Result<(), ChannelError> {
        let sealed = self.seal_all(slices, out);
        sealed.map_err(|error| self.close(error))
    }

    fn seal_all(&mut self, slices: &[IoSlice<'_>], out: &mut Vec<u8>) -> Result<(), ChannelError> {
        let transport = match &mut self.state {
            State::Open(transport) => transport,
            State::Closed(error) => return Err(*error),
            _ => return Err(ChannelError::NotOpen),
        };
        self.gathered.clear();
        for slice in slices {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                let (part, behind) = rest.split_at(rest.len().min(PLAIN_BYTES_MAX - self.gathered.len()));
                rest = behind;
                if part.len() == PLAIN_BYTES_MAX {
                    seal_record(transport, part, out)?;
                    continue;
                }
                self.gathered.extend_from_slice(part);
                if self.gathered.len() == PLAIN_BYTES_MAX {
                    seal_record(transport, &self.gathered, out)?;
                    self.gathered.clear();
                }
            }
        }
        if self.gathered.is_empty() { Ok(()) } else { seal_record(transport, &self.gathered, out) }
    }

    /// Opens the next record if all of it is there. `Some(0)`: it is kept, or was empty.
    fn open_record(&mut self, into: &mut [u8]) -> Result<Option<usize>, ChannelError> {
        let transport = match &mut self.state {
            State::Open(transport) => transport,
            State::Closed(error) => return Err(*error),
            _ => return Ok(None),
        };
        let Some((length, rest)) = self.incoming[self.taken..self.filled].split_first_chunk() else { return Ok(None) };
        let bytes = usize::from(u16::from_le_bytes(*length));
        let plain = bytes.checked_sub(TAG_BYTES).ok_or(ChannelError::Malformed)?;
        let Some(record) = rest.get(..bytes) else { return Ok(None) };
        let fits = plain <= into.len();
        if !fits {
            self.opened.resize(plain, 0);
            self.read = 0;
        }
        let target = if fits { &mut into[..plain] } else { &mut self.opened[..] };
        match transport.read_message(record, target) {
            Ok(_) => self.taken += LENGTH_BYTES + bytes,
            Err(error) => {
                self.read = self.opened.len();
                return Err(refusal(&error));
            }
        }
        Ok(Some(if fits { plain } else { 0 }))
    }

    /// The next message of the handshake if all of it is there; the first `expected` bytes count.
    fn message(&mut self, expected: usize) -> Result<Option<Message>, ChannelError> {
        let Some((length, rest)) = self.incoming[self.taken..self.filled].split_first_chunk() else { return Ok(None) };
        match usize::from(u16::from_le_bytes(*length)) {
            bytes if bytes > expected => return Err(ChannelError::TooLong { bytes }),
            bytes if bytes < expected => return Err(ChannelError::Malformed),
            _ => {}
        }
        let Some(bytes) = rest.get(..expected) else { return Ok(None) };
        let mut message = [0; MESSAGE_BYTES];
        message[..expected].copy_from_slice(bytes);
        self.taken += LENGTH_BYTES + expected;
        Ok(Some(message))
    }

    /// Bytes of heap that are held, but for the keys.
    pub(crate) fn heap_bytes(&self) -> usize {
        [&self.incoming, &self.opened, &self.gathered, &self.saying].map(Vec::capacity).iter().sum()
    }

    /// One step of the handshake.
    fn advance(&mut self, message: &Message) -> Result<(), ChannelError> {
        self.state = match std::mem::replace(&mut self.state, State::Closed(ChannelError::Malformed)) {
            State::Greeting(state) => {
                let mut transport = handshake::conclude(*state, message)?;
                seal_record(&mut transport, &[], &mut self.saying)?;
                State::Open(Box::new(transport))
            }
            State::Listening(secrets, entropy) => {
                let (transport, answer) = handshake::answer(&secrets, entropy, message)?;
                self.say(&answer);
                let transport = Box::new(transport);
                if bite("security.recording-let-in") { State::Open(transport) } else { State::Answered(transport) }
            }
            State::Answered(mut transport) => {
                transport.read_message(&message[..TAG_BYTES], &mut []).map_err(|error| refusal(&error))?;
                State::Open(transport)
            }
            State::Open(_) | State::Closed(_) => return Err(ChannelError::Malformed),
        };
        if self.is_open() {
            self.incoming.resize(OPEN_ROOM, 0);
        }
        Ok(())
    }

    fn say(&mut self, message: &Message) {
        self.saying.extend_from_slice(&(MESSAGE_BYTES as u16).to_le_bytes());
        self.saying.extend_from_slice(message);
    }

    /// Nothing passes any more, and later calls say why.
    fn close(&mut self, error: ChannelError) -> ChannelError {
        if error != ChannelError::NotOpen {
            self.state = State::Closed(error);
        }
        error
    }
}

impl std::fmt::Debug for Noise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            State::Greeting(_) => "Greeting",
            State::Listening(..) => "Listening",
            State::Answered(_) => "Answered",
            State::Open(_) => "Open",
            State::Closed(_) => "Closed",
        };
        write!(f, "Noise({state}, {} B come, {} B opened)", self.filled - self.taken, self.opened.len() - self.read)
    }
}

fn seal_record(transport: &mut TransportState, plain: &[u8], out: &mut Vec<u8>) -> Result<(), ChannelError> {
    let bytes = plain.len() + TAG_BYTES;
    let at = out.len();
    out.resize(at + LENGTH_BYTES + bytes, 0);
    out[at..at + LENGTH_BYTES].copy_from_slice(&(bytes as u16).to_le_bytes());
    transport.write_message(plain, &mut out[at + LENGTH_BYTES..]).map_err(|error| {
        out.truncate(at);
        refusal(&error)
    })?;
    Ok(())
}

/// What a failed record means.
fn refusal(error: &snow::Error) -> ChannelError {
    if matches!(error, snow::Error::State(_)) { ChannelError::UsedUp } else { ChannelError::Forged }
}

const LENGTH_BYTES: usize = 2;
const TAG_BYTES: usize = 16;
/// Bytes of frames in one record.
const PLAIN_BYTES_MAX: usize = u16::MAX as usize - TAG_BYTES;
const HANDSHAKE_ROOM: usize = 128;
const OPEN_ROOM: usize = 2 * (LENGTH_BYTES + u16::MAX as usize);
/// Bytes on the heap for one channel: what has come, and a record each that was opened, gathered, said.
pub(crate) const CHANNEL_BYTES_MAX: usize = OPEN_ROOM + 3 * (LENGTH_BYTES + u16::MAX as usize);
const _: () = assert!(HANDSHAKE_ROOM >= LENGTH_BYTES + MESSAGE_BYTES);
