//! Reading the body of a frame field by field, each one bounded before it is looked at.

#![forbid(unsafe_code)]

use super::error::DecodeError;
use super::header::{HEADER_BYTES, Kind};
use super::list::{Item, List};
use std::ops::RangeInclusive;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// What is left of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    kind: Kind,
    whole: usize,
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    pub(crate) fn new(kind: Kind, bytes: &'a [u8]) -> Self {
        Self { kind, whole: bytes.len(), rest: bytes }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes that are left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How far the frame has been read.
    pub(crate) fn at(&self) -> u32 {
        (HEADER_BYTES + self.whole - self.rest.len()) as u32
    }

    /// The next bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((front, rest)) = self.rest.split_at_checked(count) else { return Err(self.short(count)) };
        self.rest = rest;
        Ok(front)
    }

    /// The next bytes as a structure.
    pub(crate) fn structure<T: FromBytes + KnownLayout + Immutable + Unaligned>(
        &mut self,
    ) -> Result<&'a T, DecodeError> {
        let Ok((structure, rest)) = T::ref_from_prefix(self.rest) else { return Err(self.short(size_of::<T>())) };
        self.rest = rest;
        Ok(structure)
    }

    /// The next value.
    pub(crate) fn item<T: Item>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        let before = *self;
        T::from_bytes(self.structure()?).ok_or(before.wrong(field))
    }

    /// A text behind its length.
    pub(crate) fn text(&mut self, field: &'static str, limits: RangeInclusive<usize>) -> Result<&'a str, DecodeError> {
        let before = *self;
        let length = usize::from(self.bytes(1)?[0]);
        before.within(field, length, limits)?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| before.wrong(field))
    }

    /// A list behind its count.
    pub(crate) fn list<T: Item>(&mut self, field: &'static str, most: usize) -> Result<List<'a, T>, DecodeError> {
        let before = *self;
        let count = usize::from(self.item::<u16>(field)?);
        before.within(field, count, 0..=most)?;
        let bytes = self.bytes(count * size_of::<T::Bytes>())?;
        let Ok(items) = <[T::Bytes]>::ref_from_bytes(bytes) else { return Err(before.wrong(field)) };
        if items.iter().any(|item| T::from_bytes(item).is_none()) {
            return Err(before.wrong(field));
        }
        Ok(List::Bytes(items))
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { kind: self.kind, at: self.at(), found: left as u32 }),
        }
    }

    /// A field that begins here and is not right.
    pub(crate) fn wrong(&self, field: &'static str) -> DecodeError {
        DecodeError::Field { kind: self.kind, at: self.at(), field }
    }

    /// A length of a field that begins here.
    pub(crate) fn within(
        &self,
        field: &'static str,
        found: usize,
        limits: RangeInclusive<usize>,
    ) -> Result<(), DecodeError> {
        if limits.contains(&found) {
            return Ok(());
        }
        let (min, max) = (*limits.start() as u32, *limits.end() as u32);
        Err(DecodeError::Length { kind: self.kind, at: self.at(), field, found: found as u32, min, max })
    }

    fn short(&self, needed: usize) -> DecodeError {
        let found = self.rest.len() as u32;
        DecodeError::Short { kind: self.kind, at: self.at(), found, needed: needed as u32 }
    }
}
