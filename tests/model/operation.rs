//! One random operation, as it prints in a failure, and how operations are drawn.

use crate::support::Random;

/// Which version an insert brings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish {
    None,
    Row(u64),
    /// A version that an earlier write returned, by its place in the list of the last ones.
    Given(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) key: u64,
    pub(crate) len: usize,
    pub(crate) ttl_ms: Option<u64>,
    pub(crate) wish: Wish,
    pub(crate) cost: u8,
}

/// How a key is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Get,
    Read,
    Reader,
    Pinned,
    Contains,
    Explain,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Insert(Write),
    Reserve {
        write: Write,
        commit: bool,
    },
    /// Read, or loaded where it is missing.
    Load(Write),
    /// A value above `value_bytes_max`.
    TooLarge {
        key: u64,
    },
    Get {
        key: u64,
        how: How,
    },
    GetMany {
        first: u64,
        count: u64,
    },
    /// Keeps a pinned value for a while.
    Pin {
        key: u64,
    },
    Unpin {
        at: usize,
    },
    Remove {
        key: u64,
    },
    Clear,
    Advance {
        ms: u64,
    },
    Maintain,
    /// Everything that is there, and how much.
    Walk,
    /// Holds a reader while so many keys are written.
    Starve {
        first: u64,
        count: u64,
        len: usize,
    },
    Reopen {
        close: bool,
    },
}

/// What a scenario draws from.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    pub(crate) keys: u64,
    /// Lengths of most values, and of one in `large_one_in`.
    pub(crate) len: usize,
    pub(crate) large_len: usize,
    pub(crate) large_one_in: u64,
    pub(crate) ttl_percent: u64,
    pub(crate) ttl_ms_max: u64,
    pub(crate) reopen_one_in: u64,
    pub(crate) clear_one_in: u64,
    pub(crate) starve_one_in: u64,
}

pub(crate) fn draw(mix: &Mix, random: &mut Random) -> Operation {
    let one_in = |random: &mut Random, n: u64| n > 0 && random.below(n) == 0;
    if one_in(random, mix.reopen_one_in) {
        return Operation::Reopen { close: random.chance(30) };
    }
    if one_in(random, mix.clear_one_in) {
        return Operation::Clear;
    }
    if one_in(random, mix.starve_one_in) {
        let (first, count) = (random.below(mix.keys), 20 + random.below(2_000));
        return Operation::Starve { first, count, len: random.below(mix.len as u64 + 1) as usize };
    }
    // Half of all operations on an eighth of the keys: some are hot, most are not.
    let key = if random.chance(50) { random.below(mix.keys.div_ceil(8)) } else { random.below(mix.keys) };
    match random.below(1000) {
        0..300 => Operation::Insert(write(mix, random, key)),
        300..350 => Operation::Load(write(mix, random, key)),
        350..390 => Operation::Reserve { write: write(mix, random, key), commit: random.chance(70) },
        390..396 => Operation::TooLarge { key },
        396..800 => Operation::Get { key, how: how(random) },
        800..830 => Operation::GetMany { first: key, count: random.below(40) },
        830..845 => Operation::Pin { key },
        845..862 => Operation::Unpin { at: random.next() as usize },
        862..930 => Operation::Remove { key },
        930..970 => Operation::Advance { ms: random.below(mix.ttl_ms_max / 20 + 2) },
        970..998 => Operation::Maintain,
        _ => Operation::Walk,
    }
}

fn how(random: &mut Random) -> How {
    match random.below(20) {
        0..9 => How::Get,
        9..12 => How::Read,
        12..14 => How::Reader,
        14..16 => How::Pinned,
        16..18 => How::Contains,
        _ => How::Explain,
    }
}

fn write(mix: &Mix, random: &mut Random, key: u64) -> Write {
    let large = mix.large_one_in > 0 && random.below(mix.large_one_in) == 0;
    let len = match random.below(20) {
        0 => 0,
        _ if large => random.below(mix.large_len as u64 + 1) as usize,
        _ => random.below(mix.len as u64 + 1) as usize,
    };
    let wish = match random.below(20) {
        0..2 => Wish::Row(random.below(12)),
        2 => Wish::Given(random.next() as usize),
        _ => Wish::None,
    };
    let ttl_ms = random.chance(mix.ttl_percent).then(|| 1 + random.below(mix.ttl_ms_max));
    Write { key, len, ttl_ms, wish, cost: random.below(3) as u8 }
}
