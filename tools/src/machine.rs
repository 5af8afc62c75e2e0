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

/// Processor time of this thread in nanoseconds.
#[inline]
pub(crate) fn thread_cpu_ns() -> u64 {
    cpu_ns(rustix::time::ClockId::ThreadCPUTime)
}

/// Processor time of this process in nanoseconds.
pub(crate) fn process_cpu_ns() -> u64 {
    cpu_ns(rustix::time::ClockId::ProcessCPUTime)
}

fn cpu_ns(clock: rustix::time::ClockId) -> u64 {
    let spent = rustix::time::clock_gettime(clock);
    spent.tv_sec as u64 * 1_000_000_000 + spent.tv_nsec as u64
}

/// Processor time of another process in nanoseconds, to 10 ms; 0 where it can not be asked.
pub(crate) fn cpu_ns_of(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Behind the name, which may have blanks: the state is the first field, user and system time the 12th and the 13th.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_ascii_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks * 10_000_000
}

/// Processors that this process may use, at least 1.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
