//! What can be wrong with received bytes. Every one of these closes the connection; nothing of the frame is used.

#![forbid(unsafe_code)]

use super::header::Kind;
use crate::arena::received::FrameError;
use crate::types::stream::Position;

/// Why bytes are no frame, or no frame that this node takes. `at` is an offset from the start of the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DecodeError {
    /// The peer does not speak this protocol at all, or the stream is out of step.
    #[error("a frame begins with {found:04x}, not with {expected:04x}")]
    Magic { found: u16, expected: u16 },
    /// A kind below 128 that this version does not have.
    #[error("a frame of unknown kind {kind}; only kinds from 128 on may be unknown")]
    Kind { kind: u8 },
    /// Another version than the one agreed on, or than 0 in HELLO and REFUSE.
    #[error("a frame of kind {kind} and version {found}, where {expected} is spoken")]
    Version { kind: u8, found: u8, expected: u8 },
    /// Anything but HELLO and REFUSE before a version was agreed on.
    #[error("a frame of kind {kind} before the versions were compared")]
    Early { kind: u8 },
    /// Refused as soon as its header is there, before its body is waited for.
    #[error("a frame of kind {kind} with a body of {bytes} bytes exceeds {limit} bytes")]
    TooLong { kind: u8, bytes: u32, limit: u32 },
    /// Header, prefix or record headers were damaged.
    #[error("a frame of kind {kind} with checksum {found:08x}, where {expected:08x} is right")]
    Checksum { kind: u8, found: u32, expected: u32 },
    /// The body ends within a field.
    #[error("a {kind:?} frame has {found} bytes left at byte {at}, where a field takes {needed}")]
    Short { kind: Kind, at: u32, found: u32, needed: u32 },
    /// The body goes on behind its last field.
    #[error("a {kind:?} frame has {found} bytes left at byte {at}, behind its last field")]
    Trailing { kind: Kind, at: u32, found: u32 },
    /// A field whose value is none of those that it may have.
    #[error("a {kind:?} frame has a {field} at byte {at} that it may not have")]
    Field { kind: Kind, at: u32, field: &'static str },
    /// A text or a list that is too long, or empty where it may not be.
    #[error("a {kind:?} frame has a {field} of {found} at byte {at}, where {min} to {max} are possible")]
    Length { kind: Kind, at: u32, field: &'static str, found: u32, min: u32, max: u32 },
    /// A position outside of the part of the stream that the frame is about, or one that goes back.
    #[error("a {kind:?} frame from {first:?} to {next:?} has position {found:?} at byte {at}")]
    Position { kind: Kind, at: u32, found: Position, first: Position, next: Position },
    /// An entry whose own lengths or checksum are wrong.
    #[error("the entry at {position:?}: {source}")]
    Entry { position: Position, source: FrameError },
}
