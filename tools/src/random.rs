//! Random numbers that repeat from a seed, and the Zipf distribution by which real keys are asked for.
//!
//! Zipf by rejection and inversion: W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates from monotone
//! discrete distributions" (ACM TOMACS 6, 1996). No table, about 1.1 tries per number.

/// SplitMix64 (Steele, Lea, Flood 2014): fast, seedable, good enough to spread keys. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream that belongs to a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, which must not be 0. The bias is below `bound` / 2^64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        debug_assert!(bound > 0, "a number below 0 was asked for");
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Spreads 64 bits over 64 bits, one to one.
pub(crate) fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Ranks 0 to `count` - 1 with probability proportional to 1 / (rank + 1)^exponent.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    count: f64,
    exponent: f64,
    area_first: f64,
    area_all: f64,
    shortcut: f64,
}

impl Zipf {
    /// `count` of at least 1, an exponent above 0 and other than 1.
    pub(crate) fn new(count: u64, exponent: f64) -> Self {
        assert!(count > 0 && exponent > 0.0 && exponent != 1.0, "zipf over {count} ranks with exponent {exponent}");
        let mut zipf = Self { count: count as f64, exponent, area_first: 0.0, area_all: 0.0, shortcut: 0.0 };
        zipf.area_first = zipf.area(1.5) - 1.0;
        zipf.area_all = zipf.area(zipf.count + 0.5);
        zipf.shortcut = 2.0 - zipf.area_inverse(zipf.area(2.5) - zipf.height(2.0));
        zipf
    }

    /// The next rank; 0 is the most frequent.
    pub(crate) fn next(&self, random: &mut Random) -> u64 {
        loop {
            let area = self.area_all + random.unit() * (self.area_first - self.area_all);
            let x = self.area_inverse(area);
            let rank = x.round().clamp(1.0, self.count);
            if rank - x <= self.shortcut || area >= self.area(rank + 0.5) - self.height(rank) {
                return rank as u64 - 1;
            }
        }
    }

    fn height(&self, x: f64) -> f64 {
        x.powf(-self.exponent)
    }

    fn area(&self, x: f64) -> f64 {
        (x.powf(1.0 - self.exponent) - 1.0) / (1.0 - self.exponent)
    }

    fn area_inverse(&self, area: f64) -> f64 {
        (1.0 + area * (1.0 - self.exponent)).max(0.0).powf(1.0 / (1.0 - self.exponent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_draws_each_rank_as_often_as_its_law_says() {
        let (ranks, draws) = (1000, 400_000);
        let zipf = Zipf::new(ranks, 0.99);
        let mut random = Random::new(7);
        let mut seen = vec![0_u32; ranks as usize];
        (0..draws).for_each(|_| seen[zipf.next(&mut random) as usize] += 1);
        let norm: f64 = (1..=ranks).map(|rank| (rank as f64).powf(-0.99)).sum();
        for rank in [0_u64, 1, 2, 9, 99] {
            let expected = f64::from(draws) * ((rank + 1) as f64).powf(-0.99) / norm;
            let met = f64::from(seen[rank as usize]);
            assert!((met - expected).abs() < 5.0 * expected.sqrt(), "rank {rank}: {met} draws, {expected} expected");
        }
    }
}
