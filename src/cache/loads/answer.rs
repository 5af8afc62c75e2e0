//! What a loader may answer: bytes, or that there is nothing.

#![forbid(unsafe_code)]

use crate::cache::value::PinnedValue;
use std::borrow::Cow;
use std::sync::Arc;

mod sealed {
    pub trait Sealed {}
}

/// What a loader answers: bytes, or an `Option` of bytes where the database may have nothing.
///
/// Bytes are answered with by the loaded value itself, an `Option` by an `Option` of it. That there is nothing is cached as well, with
/// a time to live of its own ([`crate::Builder::negative_time_to_live`]). Bytes of another type come in a [`Bytes`].
pub trait Answer: sealed::Sealed {
    /// What the call returns, of a loaded value of type `T`.
    type Of<T>;

    /// The bytes; `None` if there is nothing.
    fn bytes(&self) -> Option<&[u8]>;

    /// What the call returns, of a value or of none; `None` if this kind of answer can not say that there is none.
    fn of<T>(value: Option<T>) -> Option<Self::Of<T>>;
}

/// Bytes of any type, as a loader's answer.
///
/// ```
/// # use also_cache::{Bytes, Cache};
/// # let cache = Cache::builder().capacity(1 << 20).open()?;
/// struct Row(Vec<u8>);
/// impl AsRef<[u8]> for Row {
///     fn as_ref(&self) -> &[u8] {
///         &self.0
///     }
/// }
/// let value = cache.get_or_load("k", |_| Ok::<_, std::io::Error>(Bytes(Row(vec![7]))))?;
/// assert_eq!(*value, [7]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bytes<B>(pub B);

macro_rules! answers {
    ($([$($generics:tt)*] $type:ty: $self:ident => $bytes:expr;)+) => {$(
        impl<$($generics)*> sealed::Sealed for $type {}

        impl<$($generics)*> Answer for $type {
            type Of<T> = T;

            fn bytes(&$self) -> Option<&[u8]> {
                Some($bytes)
            }

            fn of<T>(value: Option<T>) -> Option<T> {
                value
            }
        }
    )+};
}

answers! {
    [] Vec<u8>: self => self;
    [] Box<[u8]>: self => self;
    [] Arc<[u8]>: self => self;
    ['a] &'a [u8]: self => self;
    [const N: usize] [u8; N]: self => self;
    [] String: self => self.as_bytes();
    ['a] &'a str: self => self.as_bytes();
    [] Box<str>: self => self.as_bytes();
    [] Arc<str>: self => self.as_bytes();
    ['a] Cow<'a, [u8]>: self => self;
    ['a] Cow<'a, str>: self => self.as_bytes();
    [] PinnedValue: self => self;
    [B: AsRef<[u8]>] Bytes<B>: self => self.0.as_ref();
}

impl<A: Answer> sealed::Sealed for Option<A> {}

impl<A: Answer> Answer for Option<A> {
    type Of<T> = Option<A::Of<T>>;

    fn bytes(&self) -> Option<&[u8]> {
        self.as_ref()?.bytes()
    }

    fn of<T>(value: Option<T>) -> Option<Self::Of<T>> {
        Some(value.and_then(|value| A::of(Some(value))))
    }
}

/// What a call returns for an answer that was given.
pub(super) fn of_answer<A: Answer, T>(value: Option<T>) -> A::Of<T> {
    A::of(value).expect("an answer without bytes is of a kind that can say so")
}
