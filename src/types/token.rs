//! Session tokens: what one node had written, in a form that travels.
//!
//! ```text
//!   a3f1-18c2e5a0b1c2d-2af0
//!   |    |             `- position: every change of this life before it; 0: none, which is met everywhere
//!   |    `- incarnation: which life of the node
//!   `- origin: the specified hash of the node's name              all in hexadecimal digits
//! ```
//!
//! Whoever carries a token to another node can wait there until that node has applied what the token covers: so a session
//! reads its own writes, whichever node it comes to.

#![forbid(unsafe_code)]

use crate::types::stream::{Incarnation, Origin, Position, StreamId};
use std::fmt;
use std::str::FromStr;

/// Everything that a node had written at one moment. Printable and readable: fit for a cookie or a header.
///
/// Made by [`crate::Cache::token`]; at most 38 characters.
///
/// ```
/// use also_cache::Token;
///
/// let token: Token = "a3f1-18c2e5a0b1c2d-2af0".parse()?;
/// assert_eq!(token.to_string(), "a3f1-18c2e5a0b1c2d-2af0");
/// assert!("a3f1-18c2".parse::<Token>().is_err());
/// # Ok::<(), also_cache::TokenError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token {
    pub(crate) stream: StreamId,
    pub(crate) position: Position,
}

/// A text that is no token.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is no token: three hexadecimal numbers joined by '-', of at most 4, 16 and 16 digits")]
pub struct TokenError {
    /// The text, cut to what a token can have.
    text: String,
}

/// The longest token in bytes.
const TOKEN_BYTES_MAX: usize = 4 + 1 + 16 + 1 + 16;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}-{:x}-{:x}", self.stream.origin.0, self.stream.incarnation.0, self.position.0)
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        parse(text).ok_or_else(|| TokenError { text: text.chars().take(TOKEN_BYTES_MAX).collect() })
    }
}

fn parse(text: &str) -> Option<Token> {
    let mut parts = text.splitn(3, '-');
    let origin = u16::try_from(hexadecimal(parts.next()?, 4)?).ok()?;
    let incarnation = hexadecimal(parts.next()?, 16)?;
    let position = hexadecimal(parts.next()?, 16)?;
    let stream = StreamId { origin: Origin(origin), incarnation: Incarnation(incarnation) };
    Some(Token { stream, position: Position(position) })
}

/// A number of at most so many digits, and nothing beside digits.
fn hexadecimal(text: &str, digits_max: usize) -> Option<u64> {
    let is_number = (1..=digits_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_number { u64::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_comes_back_from_its_text() {
        for (origin, incarnation, position) in [(1, 2, 3), (u16::MAX, u64::MAX, u64::MAX), (0x00a1, 0, 0)] {
            let stream = StreamId { origin: Origin(origin), incarnation: Incarnation(incarnation) };
            let token = Token { stream, position: Position(position) };
            let text = token.to_string();
            assert!(text.len() <= TOKEN_BYTES_MAX);
            assert_eq!(text.parse(), Ok(token));
        }
    }

    #[test]
    fn other_texts_are_refused_and_quoted_short() {
        for text in ["", "a-b", "a-b-c-d", "+a-b-c", "a--b", "12345-1-1", "1-1-11112222333344445", "ä-1-1", "1-1- 1"] {
            assert!(text.parse::<Token>().is_err(), "{text}");
        }
        let long = "9".repeat(10_000).parse::<Token>().expect_err("it is too long");
        assert!(long.to_string().len() < 200);
    }
}
