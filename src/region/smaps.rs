//! What `/proc/self/smaps` says about an address range.
//!
//! ```text
//!   7f0000000000-7f0000400000 rw-s 00000000 00:1b 12   /dev/shm/arena     one line per mapping
//!   AnonHugePages:      2048 kB                                           then its counters
//!   VmFlags: rd wr sh mr mw me ms dd hg                                   and its flags
//! ```
//!
//! Advice that the kernel accepted is no proof: a page is huge once it is mapped by one entry of the page table, and
//! only these counters tell.

use std::ops::Range;

/// Counters of bytes behind huge page table entries, of whichever kind of memory.
const HUGE: [&str; 5] = ["AnonHugePages", "ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb", "Private_Hugetlb"];

/// The text for this process. None where the kernel has no such file.
pub(super) fn read() -> Option<String> {
    std::fs::read_to_string("/proc/self/smaps").ok()
}

/// Bytes behind huge page table entries, in all mappings that touch the addresses; never more than there are.
pub(super) fn huge_page_bytes(text: &str, addresses: &Range<usize>) -> u64 {
    let counters = mappings_at(text, addresses).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        HUGE.contains(&name).then(|| value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).flatten()
    });
    let bytes = counters.fold(0_u64, |sum, kibibytes| sum.saturating_add(kibibytes.saturating_mul(1024)));
    bytes.min(addresses.len() as u64)
}

/// Whether every mapping that touches the addresses has a flag of two letters.
#[cfg(test)]
pub(super) fn all_flagged(text: &str, addresses: &Range<usize>, flag: &str) -> bool {
    let mut flags = mappings_at(text, addresses).filter_map(|line| line.strip_prefix("VmFlags:")).peekable();
    flags.peek().is_some() && flags.all(|line| line.split_whitespace().any(|met| met == flag))
}

/// The lines below the headings of those mappings that touch the addresses.
fn mappings_at<'text>(text: &'text str, addresses: &Range<usize>) -> impl Iterator<Item = &'text str> {
    let mut touches = false;
    text.lines().filter(move |line| match heading(line) {
        Some(mapping) => {
            touches = mapping.start < addresses.end && addresses.start < mapping.end;
            false
        }
        None => touches,
    })
}

fn heading(line: &str) -> Option<Range<usize>> {
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "1000-3000 rw-p 00000000 00:00 0\nAnonHugePages:  4 kB\nVmFlags: rd wr dd hg\n\
        3000-5000 rw-s 00000000 00:1b 12 /dev/shm/a-b\nShmemPmdMapped:  8 kB\nFilePmdMapped: x\nVmFlags: rd wr\n\
        9000-a000 rw-p 00000000 00:00 0\nAnonHugePages:  64 kB\nVmFlags: rd\n";

    #[test]
    fn counters_of_touched_mappings_are_summed_and_bounded() {
        assert_eq!(huge_page_bytes(TEXT, &(0x1000..0x3000)), 4096);
        assert_eq!(huge_page_bytes(TEXT, &(0x2000..0x9000)), 12 * 1024);
        assert_eq!(huge_page_bytes(TEXT, &(0x5000..0x9000)), 0);
        assert_eq!(huge_page_bytes(TEXT, &(0x9000..0xa000)), 4096);
        assert_eq!(huge_page_bytes("no\nsense: at-all\n-:\n", &(0..usize::MAX)), 0);
    }

    #[test]
    fn a_flag_counts_only_if_all_touched_mappings_have_it() {
        assert!(all_flagged(TEXT, &(0x1000..0x2000), "dd"));
        assert!(!all_flagged(TEXT, &(0x1000..0x4000), "dd"));
        assert!(!all_flagged(TEXT, &(0x5000..0x6000), "dd"));
    }
}
