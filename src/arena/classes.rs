//! Slot sizes: 64 bytes, in steps of 16 to 160, then growing by about an eighth up to a sixteenth of a page.
//!
//! Above 160 bytes a size is `page / k`, rounded down to 16, for whole `k`: so a page is filled to its end.
//!
//! ```text
//!   64  80  96  112  128  144  160 | page/k ...  page/20  page/18  page/16 | larger: blocks of page/128
//! ```

use crate::types::limits::PAGE_BYTES_MAX;

/// A size class, by its rank.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ClassId(pub(crate) u8);

impl ClassId {
    /// The class of values that take whole blocks.
    pub(crate) const LARGE: Self = Self(CLASSES_MAX as u8);
    /// The class of overflow buckets.
    pub(crate) const OVERFLOW: Self = Self(CLASSES_MAX as u8 + 1);

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Size classes that a page size can have; one more is [`ClassId::LARGE`].
pub(crate) const CLASSES_MAX: usize = if cfg!(loom) { 4 } else { 80 };
/// All classes, with large values and overflow buckets.
pub(crate) const CLASS_SLOTS: usize = CLASSES_MAX + 2;
/// Bytes of an overflow bucket.
const OVERFLOW_BYTES: u32 = 64;
/// Blocks of a page of kind large.
pub(crate) const BLOCKS_PER_PAGE: u64 = 128;

/// Slots of the largest class in a page. Fewer under loom: there a page of 128 B has one class, one of 256 B has two.
const SLOTS_IN_PAGE_MIN: u32 = if cfg!(loom) { 3 } else { 16 };
const SMALLEST: u32 = 64;
const LINEAR_END: u32 = 160;
const STEP: u32 = 16;

/// The slot sizes of one page size.
#[derive(Clone, Debug)]
pub(crate) struct Classes {
    sizes: Vec<u32>,
    shapes: Box<[Shape; CLASS_SLOTS]>,
    /// The class of every size up to the largest, by steps of 16.
    by_step: Box<[u8]>,
}

/// A class in a page.
#[derive(Clone, Copy, Debug)]
struct Shape {
    slot_bytes: u32,
    slots: u32,
    /// 2^43 / `slot_bytes`, rounded up: what is below 2 MiB is divided by a multiplication.
    reciprocal: u64,
}

const RECIPROCAL_SHIFT: u32 = 43;
// The error of a product is below dividend * divisor / 2^43.
const _: () = assert!(PAGE_BYTES_MAX * PAGE_BYTES_MAX / 16 < 1 << RECIPROCAL_SHIFT);

impl Shape {
    fn new(slot_bytes: u32, page_bytes: u32) -> Self {
        let reciprocal = (1 << RECIPROCAL_SHIFT) / u64::from(slot_bytes) + 1;
        Self { slot_bytes, slots: page_bytes / slot_bytes, reciprocal }
    }
}

impl Classes {
    pub(crate) fn new(page_bytes: u64) -> Self {
        let page_bytes = u32::try_from(page_bytes.min(PAGE_BYTES_MAX)).expect("a page has at most 2 MiB");
        let mut sizes = above_linear(page_bytes);
        let linear_end = LINEAR_END.min((page_bytes / SLOTS_IN_PAGE_MIN).max(SMALLEST));
        sizes.extend((SMALLEST..=linear_end).step_by(STEP as usize));
        sizes.sort_unstable();
        assert!(sizes.len() <= CLASSES_MAX, "{} classes exceed {CLASSES_MAX}", sizes.len());
        let largest = sizes.last().copied().unwrap_or(SMALLEST);
        let by_step =
            (0..=largest / STEP).map(|step| sizes.partition_point(|size| *size < step * STEP) as u8).collect();
        let shape = |class: usize| {
            let block_bytes = page_bytes / BLOCKS_PER_PAGE as u32;
            let bytes = match sizes.get(class) {
                Some(bytes) => *bytes,
                None if class == ClassId::LARGE.index() => block_bytes.max(1),
                None => OVERFLOW_BYTES,
            };
            Shape::new(bytes, page_bytes)
        };
        let shapes = Box::new(std::array::from_fn(shape));
        Self { sizes, shapes, by_step }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sizes.len()
    }

    /// The smallest class whose slots hold so many bytes, headers included; `None` above the largest.
    #[inline]
    pub(crate) fn of(&self, bytes: u64) -> Option<ClassId> {
        let step = usize::try_from(bytes.div_ceil(u64::from(STEP))).ok()?;
        self.by_step.get(step).map(|class| ClassId(*class))
    }

    /// Bytes of a slot; of a block for large values, of a bucket for overflow.
    #[inline]
    pub(crate) fn slot_bytes(&self, class: ClassId) -> u32 {
        self.shape(class).slot_bytes
    }

    /// A class that no page can have is one of overflow buckets.
    #[inline]
    fn shape(&self, class: ClassId) -> &Shape {
        &self.shapes[class.index().min(ClassId::OVERFLOW.index())]
    }

    /// The number of the slot that a byte of a page is in, and whether the slot starts there.
    #[inline]
    pub(crate) fn slot_at(&self, class: ClassId, within: u64) -> (u32, bool) {
        let shape = self.shape(class);
        let number = (within * shape.reciprocal) >> RECIPROCAL_SHIFT;
        (number as u32, number * u64::from(shape.slot_bytes) == within)
    }

    /// Slots of a page.
    #[inline]
    pub(crate) fn slots_per_page(&self, class: ClassId) -> u32 {
        self.shape(class).slots
    }

    /// Bytes of a block in pages of kind large.
    pub(crate) fn block_bytes(&self) -> u64 {
        u64::from(self.slot_bytes(ClassId::LARGE))
    }

    /// Whether a class of this rank exists.
    pub(crate) fn contains(&self, class: ClassId) -> bool {
        class.index() < self.sizes.len()
    }

    /// The largest slot, in bytes.
    #[cfg(test)]
    pub(crate) fn largest(&self) -> u32 {
        self.sizes.last().copied().unwrap_or(SMALLEST)
    }
}

fn above_linear(page_bytes: u32) -> Vec<u32> {
    let mut sizes = Vec::new();
    let mut size = page_bytes / SLOTS_IN_PAGE_MIN / STEP * STEP;
    while size > LINEAR_END {
        sizes.push(size);
        // An eighth of the next one less, then up again to what divides the page best.
        let wanted = size - (size / 9 / STEP * STEP).max(STEP);
        size = (page_bytes / (page_bytes / wanted) / STEP * STEP).min(size - STEP);
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_numbered_as_by_division() {
        for page in [16 << 10, 128 << 10, 2 << 20] {
            let classes = Classes::new(page);
            for class in (0..classes.len() as u8).map(ClassId).chain([ClassId::LARGE, ClassId::OVERFLOW]) {
                let bytes = u64::from(classes.slot_bytes(class));
                let near =
                    (0..page / bytes).flat_map(|slot| [slot * bytes, slot * bytes + 1, slot * bytes + bytes - 1]);
                for within in near {
                    let expected = ((within / bytes) as u32, within.is_multiple_of(bytes));
                    assert_eq!(classes.slot_at(class, within), expected, "{within} in slots of {bytes}");
                }
            }
        }
    }

    #[test]
    fn sizes_rise_by_at_most_an_eighth_above_160() {
        for page in [16 << 10, 32 << 10, 256 << 10, 2 << 20] {
            let classes = Classes::new(page);
            assert_eq!(classes.slot_bytes(ClassId(0)), 64);
            for pair in classes.sizes.windows(2) {
                assert!(pair[0] < pair[1] && pair[1] % 16 == 0);
                assert!(pair[1] <= 160 || u64::from(pair[1]) * 100 <= u64::from(pair[0]) * 118, "{page}: {pair:?}");
            }
        }
    }

    #[test]
    fn the_class_of_a_size_is_the_smallest_that_holds_it() {
        let classes = Classes::new(2 << 20);
        for bytes in 1..=u64::from(classes.largest()) {
            let class = classes.of(bytes).expect("within the largest");
            assert!(u64::from(classes.slot_bytes(class)) >= bytes);
            if class.0 > 0 {
                assert!(u64::from(classes.slot_bytes(ClassId(class.0 - 1))) < bytes);
            }
        }
        assert_eq!(classes.of(u64::from(classes.largest()) + 1), None);
    }

    #[test]
    fn uniform_sizes_waste_at_most_seven_percent() {
        let classes = Classes::new(2 << 20);
        for top in [4 << 10, 128 << 10_u64] {
            let (mut used, mut taken) = (0, 0);
            for bytes in 64..=top {
                used += bytes;
                taken += u64::from(classes.slot_bytes(classes.of(bytes).expect("fits")));
            }
            let waste = (taken - used) as f64 / taken as f64;
            assert!(waste <= 0.07, "up to {top}: {waste}");
        }
    }
}
