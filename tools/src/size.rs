//! Bytes, counts and durations as people write and read them.

use also_cache::limits::{CAPACITY_MAX, CAPACITY_MIN};
use std::time::Duration;

/// Reads `256MiB`, `64K`, `1g` or plain bytes; all units are powers of 1024.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is no number of bytes, such as 256MiB"))?;
    let unit = text[digits.len()..].trim().to_ascii_lowercase();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(format!("{unit:?} is no unit of bytes; K, M, G, T (or KiB, ...) are")),
    };
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text} does not fit 64 bits"))
}

/// Reads the capacity of an arena, within what one may have.
pub(crate) fn parse_capacity(text: &str) -> Result<u64, String> {
    within(parse_bytes(text)?, CAPACITY_MIN, CAPACITY_MAX)
}

/// Holds a number of bytes against its bounds.
pub(crate) fn within(count: u64, least: u64, most: u64) -> Result<u64, String> {
    if (least..=most).contains(&count) {
        return Ok(count);
    }
    Err(format!("{} is not within {} to {}", bytes(count), bytes(least), bytes(most)))
}

/// Bytes in the largest binary unit that keeps them readable: `256 MiB`, `1.5 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            let digits = if value.fract() < 0.05 || value >= 100.0 { 0 } else { 1 };
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A count with separators: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in two to four characters: `950`, `12 k`, `3.4 M`.
pub(crate) fn rough(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n if n >= 1e4 => format!("{:.0} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// A duration in the unit that keeps three digits: `850 us`, `2.31 ms`, `6.0 s`.
pub(crate) fn duration(span: Duration) -> String {
    match span.as_secs_f64() {
        s if s < 1e-3 => format!("{:.0} us", s * 1e6),
        s if s < 0.1 => format!("{:.2} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_any_common_spelling() {
        for (text, expected) in
            [("4096", 4096), ("64K", 65536), ("256MiB", 256 << 20), ("1g", 1 << 30), ("2 MB", 2 << 20)]
        {
            assert_eq!(parse_bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "MiB", "12 parsec", "99999999999T"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        assert_eq!(parse_capacity("1MiB"), Ok(1 << 20));
        for text in ["0", "1023K", "257G"] {
            assert!(parse_capacity(text).is_err_and(|problem| problem.contains("1 MiB to 256 GiB")), "{text}");
        }
    }

    #[test]
    fn figures_are_short_and_exact_enough() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(999), "999");
        assert_eq!(bytes(256 << 20), "256 MiB");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(rough(3_400_000.0), "3.4 M");
        assert_eq!(duration(Duration::from_micros(2310)), "2.31 ms");
    }
}
