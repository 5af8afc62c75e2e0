//! Random bytes, handed in from outside: good for one use.

#![forbid(unsafe_code)]

use std::io;
use zeroize::Zeroizing;

/// 32 random bytes. Not `Clone`: what is made of them must be made once.
pub(crate) struct Entropy(Zeroizing<[u8; 32]>);

impl Entropy {
    /// Those of the operating system, and the one place that asks it. Blocks only in the first moments of a boot.
    pub(crate) fn of_system() -> io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        let filled = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
        if filled < bytes.len() {
            // Requests of up to 256 bytes are never cut short by Linux.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self(bytes))
    }

    /// Given bytes: a simulation's.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn given(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The first eight of them as a number, for what only has to differ.
    pub(crate) fn number(&self) -> u64 {
        u64::from_le_bytes(self.0[..8].try_into().expect("eight of 32 bytes"))
    }

    /// All of them; this ends their use.
    pub(super) fn into_bytes(self) -> Zeroizing<[u8; 32]> {
        self.0
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_never_gives_the_same_twice() {
        let [one, two] = [(); 2].map(|()| Entropy::of_system().expect("random bytes"));
        assert_ne!(*one.into_bytes(), *two.into_bytes());
    }

    #[test]
    fn printing_shows_nothing() {
        assert_eq!(format!("{:?}", Entropy::given([7; 32])), "Entropy(..)");
    }
}
