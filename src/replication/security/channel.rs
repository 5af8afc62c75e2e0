//! What lies between the bytes of a socket and those of frames: nothing, or Noise.
//!
//! ```text
//!             Plain                                   Noise
//!   in        socket -> the node's space              socket -> space() -> received(n) -> open(the node's space)
//!   out       slots, vectored -> socket               seal(slices, out) -> socket
//!   begins    at once                                 is_open(), once take_handshake() and received() have met
//! ```
//!
//! With `Plain` the driver goes past this type: it reads large values into the slots they will stay in, and writes from
//! the slots they lie in. With `Noise` there is a cipher in between, so each byte is copied once each way.

#![forbid(unsafe_code)]

use super::entropy::Entropy;
use super::noise::Noise;
use super::secret::Secrets;

/// One connection's channel.
#[derive(Debug)]
pub(crate) enum Channel {
    /// Bytes as they are: loopback only, by explicit choice.
    Plain,
    /// Sealed, after a handshake.
    Noise(Box<Noise>),
}

impl Channel {
    /// The side that connected. `attempt` counts the refused handshakes with that address: each tries the next secret.
    pub(crate) fn dial(secrets: &Secrets, attempt: u32, entropy: Entropy) -> Self {
        Self::Noise(Box::new(Noise::dial(secrets, attempt, entropy)))
    }

    /// The side that was connected to. Any of the secrets will do.
    pub(crate) fn accept(secrets: &Secrets, entropy: Entropy) -> Self {
        Self::Noise(Box::new(Noise::accept(secrets, entropy)))
    }

    /// Whether frames may pass: the other side is known to be there, and to know a secret.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Noise(noise) => noise.is_open(),
        }
    }
}

/// Why a channel ends. After any of these the connection is closed, and nothing of what came with it was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ChannelError {
    /// The other side knows none of our secrets, or is in another cluster. The two can not be told apart.
    #[error("the other side has another secret or is in another cluster")]
    WrongSecret,
    /// Bytes that no node would send here.
    #[error("bytes that are no handshake and no record")]
    Malformed,
    /// A handshake message longer than any.
    #[error("a handshake message of {bytes} bytes")]
    TooLong { bytes: usize },
    /// A record was changed, left out, repeated or moved on its way.
    #[error("a record that was changed on its way")]
    Forged,
    /// Something was to be sent or read before the handshake was over.
    #[error("the handshake is not over")]
    NotOpen,
    /// 2^64 records have gone through. A new connection starts from 0.
    #[error("the numbers of this connection's records are used up")]
    UsedUp,
}

impl ChannelError {
    /// The name of its counter.
    pub(crate) fn counter(self) -> &'static str {
        match self {
            Self::WrongSecret => "channel_wrong_secret",
            Self::Malformed => "channel_malformed",
            Self::TooLong { .. } => "channel_too_long",
            Self::Forged => "channel_forged",
            Self::NotOpen => "channel_not_open",
            Self::UsedUp => "channel_used_up",
        }
    }

    /// Whether the address that this came from should be let in more rarely, see `Admission::failed`.
    pub(crate) fn is_suspicious(self) -> bool {
        !matches!(self, Self::NotOpen | Self::UsedUp)
    }
}
