//! The messages of `Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s`, with random bytes from outside.
//!
//! ```text
//!   dialled    psk, e       ->  48 bytes: ephemeral key 32, tag 16      the tag shows who knows the secret
//!   accepted   <-  e, ee        48 bytes: ephemeral key 32, tag 16      ... and that this one does too
//!
//!   prologue = protocol | cluster     both sides mix it in, so a message for another cluster opens nowhere
//! ```

#![forbid(unsafe_code)]

use super::channel::ChannelError;
use super::entropy::Entropy;
use super::secret::{Keys, Secrets};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{HandshakeState, TransportState};
use zeroize::Zeroizing;

/// Bytes of each of the two messages.
pub(super) const MESSAGE_BYTES: usize = 48;

/// A message, which has always the same length.
pub(super) type Message = [u8; MESSAGE_BYTES];

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE: &[u8] = b"also-cache channel 1";

/// The dialled side, and its message.
pub(super) fn greet(secrets: &Secrets, attempt: u32, entropy: Entropy) -> (HandshakeState, Message) {
    let keys = secrets.of_attempt(attempt);
    let mut state = state(keys, secrets.cluster(), entropy.into_bytes(), true);
    let message = write(&mut state);
    (state, message)
}

/// Answers a greeting with the secret that opens it, whichever it is.
pub(super) fn answer(
    secrets: &Secrets,
    entropy: Entropy,
    greeting: &Message,
) -> Result<(TransportState, Message), ChannelError> {
    let bytes = entropy.into_bytes();
    // All of them start from the same random bytes; only the one that is kept ever uses them.
    let mut states = secrets.iter().map(|keys| state(keys, secrets.cluster(), bytes.clone(), false));
    let found = states.find_map(|mut state| state.read_message(greeting, &mut []).ok().map(|_| state));
    let mut state = found.ok_or(ChannelError::WrongSecret)?;
    let message = write(&mut state);
    Ok((transport(state), message))
}

/// Ends the dialled side's handshake with the answer.
pub(super) fn conclude(mut state: HandshakeState, answer: &Message) -> Result<TransportState, ChannelError> {
    state.read_message(answer, &mut []).map_err(|_| ChannelError::WrongSecret)?;
    Ok(transport(state))
}

fn state(keys: &Keys, cluster: u64, entropy: Zeroizing<[u8; 32]>, dialled: bool) -> HandshakeState {
    let pattern = PATTERN.parse().expect("a pattern that snow knows");
    let prologue = [PROLOGUE, &cluster.to_le_bytes()].concat();
    let builder = snow::Builder::with_resolver(pattern, Box::new(Resolver(entropy)));
    let builder = builder.prologue(&prologue).and_then(|builder| builder.psk(0, &keys.noise));
    let state = builder.and_then(|builder| if dialled { builder.build_initiator() } else { builder.build_responder() });
    state.expect("prologue and key are set once, and the resolver has all that the pattern names")
}

fn write(state: &mut HandshakeState) -> Message {
    let mut message = [0; MESSAGE_BYTES];
    let bytes = state.write_message(&[], &mut message).expect("it is this side's turn, and the message has its room");
    assert_eq!(bytes, MESSAGE_BYTES, "a message of this pattern is a key and a tag");
    message
}

fn transport(state: HandshakeState) -> TransportState {
    state.into_transport_mode().expect("both messages have passed")
}

/// snow's own primitives, but random bytes that were handed in.
struct Resolver(Zeroizing<[u8; 32]>);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Given(Some(self.0.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// 32 bytes, given out once: the one ephemeral key of a side.
struct Given(Option<Zeroizing<[u8; 32]>>);

impl Random for Given {
    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), snow::Error> {
        let bytes = self.0.take().filter(|bytes| bytes.len() == into.len()).ok_or(snow::Error::Rng)?;
        into.copy_from_slice(&bytes[..]);
        Ok(())
    }
}
