//! CRC32C (Castagnoli), by the processor's instruction where it has one.

#![forbid(unsafe_code)]

/// Extends a checksum over more bytes; start with 0.
#[inline]
pub(crate) fn extend(checksum: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(checksum, bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_castagnoli() {
        assert_eq!(super::extend(0, b"123456789"), 0xe306_9283);
        assert_eq!(super::extend(super::extend(0, b"1234"), b"56789"), 0xe306_9283);
    }
}
