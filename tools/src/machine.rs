//! What the machine says: memory of this process, free space of a file system, processors, the clock that all processes share.

use std::path::Path;

/// Memory of this process in bytes, without what the file system keeps for others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resident {
    /// Resident now: `VmRSS`.
    pub(crate) now: u64,
    /// Most since the start or the last [`forget_peak`]: `VmHWM`.
    pub(crate) peak: u64,
}

/// Reads `/proc/self/status`. Zeros where there is no such file.
pub(crate) fn resident() -> Resident {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    Resident { now: field("VmRSS:").unwrap_or(0) << 10, peak: field("VmHWM:").unwrap_or(0) << 10 }
}

/// Starts the peak of [`resident`] afresh. Where the kernel refuses, the peak stays an upper bound.
pub(crate) fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Bytes that an unprivileged process may still write below a folder, `None` where it can not be asked.
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let answer = rustix::fs::statvfs(folder).ok()?;
    Some(answer.f_bavail.saturating_mul(answer.f_frsize))
}

/// The monotonic clock in nanoseconds, the same in all processes.
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Processors that this process may use, at least 1.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
