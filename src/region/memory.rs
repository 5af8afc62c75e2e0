//! How much memory may be taken, asked before any is.
//!
//! Taking too much does not fail: the kernel kills a process for it, later, and pages of a tmpfs file outlive the one
//! that was killed. So the limits are read first, and the tightest one decides:
//!
//! ```text
//!   control group, and each of its parents:   limit - (usage - inactive file cache)
//!     version 2   /sys/fs/cgroup/<path>          memory.max              memory.current          inactive_file
//!     version 1   /sys/fs/cgroup/memory/<path>   memory.limit_in_bytes   memory.usage_in_bytes   total_inactive_file
//!   machine:                                  MemAvailable of /proc/meminfo
//!   mount of a file:                          free blocks of statvfs
//! ```
//!
//! Inactive file cache counts as usage there but is given up without harm, so it is added back, as the "working set"
//! of Kubernetes does. What can not be read limits nothing: a missing file is a kernel without that limit.

use super::error::{MemoryLimit, RegionError};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Reads the limits below one root folder.
#[derive(Clone, Debug)]
pub(crate) struct MemoryProbe {
    root: PathBuf,
    asks_mounts: bool,
}

impl Default for MemoryProbe {
    /// The limits of this process.
    fn default() -> Self {
        Self { root: PathBuf::from("/"), asks_mounts: true }
    }
}

/// What one limit leaves.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Headroom {
    /// Bytes that may be taken.
    pub(crate) available: u64,
    /// By which limit.
    pub(crate) limited_by: MemoryLimit,
}

impl MemoryProbe {
    /// Limits presented in `proc` and `sys/fs/cgroup` below another root; mounts are not asked.
    #[cfg(test)]
    pub(crate) fn below(root: &Path) -> Self {
        Self { root: root.to_owned(), asks_mounts: false }
    }

    /// Refuses when the tightest limit on memory leaves less than `needed` bytes.
    pub(crate) fn require(&self, needed: u64) -> Result<(), RegionError> {
        refuse_below(needed, self.headroom())
    }

    /// Refuses when the mount of an open file has fewer than `needed` bytes free.
    pub(crate) fn require_on_mount(&self, file: &fs::File, path: &Path, needed: u64) -> Result<(), RegionError> {
        let free = if self.asks_mounts { free_on_mount(file) } else { None };
        let limited_by = MemoryLimit::Mount(path.to_owned());
        refuse_below(needed, free.map(|available| Headroom { available, limited_by }))
    }

    /// The tightest limit on memory, if there is any.
    pub(crate) fn headroom(&self) -> Option<Headroom> {
        let own = fs::read_to_string(self.root.join("proc/self/cgroup")).unwrap_or_default();
        let machine = fs::read_to_string(self.root.join("proc/meminfo")).ok();
        let machine = machine.as_deref().and_then(parse_mem_available);
        let machine = machine.map(|available| Headroom { available, limited_by: MemoryLimit::MemAvailable });
        let unified = parse_group_v2(&own).into_iter().flat_map(|path| self.levels(&V2, &path));
        let memory = parse_group_v1(&own).into_iter().flat_map(|path| self.levels(&V1, &path));
        machine.into_iter().chain(unified).chain(memory).min_by_key(|headroom| headroom.available)
    }

    /// What the limits of a group and all of its parents leave.
    ///
    /// In a container the mount often begins at the own group while `/proc/self/cgroup` tells the host's path; walking
    /// up to the mount's root finds it there.
    fn levels(&self, names: &Names, path: &Path) -> Vec<Headroom> {
        let mount = self.root.join(names.mount);
        let levels = path.ancestors().filter_map(|level| {
            let folder = mount.join(level);
            let available = group_available(names, &folder)?;
            Some(Headroom { available, limited_by: (names.limited_by)(folder) })
        });
        levels.collect()
    }
}

/// Free bytes for unprivileged writers. None when the mount sets no limit (0 blocks: `size=0`) or does not tell.
pub(super) fn free_on_mount(file: &fs::File) -> Option<u64> {
    let mount = rustix::fs::fstatvfs(file).ok()?;
    (mount.f_blocks > 0).then(|| mount.f_bavail.saturating_mul(mount.f_frsize))
}

fn refuse_below(needed: u64, headroom: Option<Headroom>) -> Result<(), RegionError> {
    match headroom {
        Some(Headroom { available, limited_by }) if available < needed => {
            Err(RegionError::NotEnoughMemory { needed, available, limited_by })
        }
        _ => Ok(()),
    }
}

/// How one version of control groups calls things.
struct Names {
    mount: &'static str,
    limit: &'static str,
    usage: &'static str,
    inactive: &'static str,
    limited_by: fn(PathBuf) -> MemoryLimit,
}

const V2: Names = Names {
    mount: "sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
    inactive: "inactive_file",
    limited_by: MemoryLimit::CgroupV2,
};

const V1: Names = Names {
    mount: "sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    inactive: "total_inactive_file",
    limited_by: MemoryLimit::CgroupV1,
};

fn group_available(names: &Names, folder: &Path) -> Option<u64> {
    let limit = parse_limit(&fs::read_to_string(folder.join(names.limit)).ok()?)?;
    let usage = fs::read_to_string(folder.join(names.usage)).ok()?.trim().parse::<u64>().ok()?;
    let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let inactive = parse_statistic(&statistics, names.inactive).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(inactive)))
}

/// A limit in bytes. None for `max`, and for the huge number by which version 1 says the same.
fn parse_limit(text: &str) -> Option<u64> {
    const UNLIMITED_FROM: u64 = 1 << 60;
    text.trim().parse::<u64>().ok().filter(|limit| *limit < UNLIMITED_FROM)
}

/// A line `name value` of `memory.stat`.
fn parse_statistic(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The line `MemAvailable:  123 kB` of `/proc/meminfo`, in bytes.
fn parse_mem_available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The path of the line `0::/path` of `/proc/self/cgroup`.
fn parse_group_v2(text: &str) -> Option<PathBuf> {
    text.lines().find_map(|line| line.strip_prefix("0::")).map(inside)
}

/// The path of the line `4:cpu,memory:/path` of `/proc/self/cgroup`.
fn parse_group_v1(text: &str) -> Option<PathBuf> {
    let paths = text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        controllers.split(',').any(|controller| controller == "memory").then_some(path)
    });
    paths.map(inside).next()
}

/// A group's path relative to the mount; a path that leads out of the visible tree becomes the mount itself.
fn inside(path: &str) -> PathBuf {
    let relative = Path::new(path.trim_start_matches('/'));
    let plain = relative.components().all(|component| matches!(component, Component::Normal(_)));
    if plain { relative.to_owned() } else { PathBuf::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(files: &[(&str, &str)]) -> (tempfile::TempDir, MemoryProbe) {
        let root = tempfile::tempdir().expect("a temporary folder");
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
        let probe = MemoryProbe::below(root.path());
        (root, probe)
    }

    #[test]
    fn texts_of_the_kernel_are_read() {
        assert_eq!(parse_mem_available("MemTotal:  9 kB\nMemAvailable:   24672156 kB\n"), Some(24_672_156 * 1024));
        assert_eq!(parse_mem_available("MemAvailable: lots\n"), None);
        assert_eq!(parse_limit("max\n"), None);
        assert_eq!(parse_limit("9223372036854771712\n"), None);
        assert_eq!(parse_limit("1048576\n"), Some(1 << 20));
        let statistics = "inactive_file_x 5\ninactive_file 7\ntotal_inactive_file 9\n";
        assert_eq!(parse_statistic(statistics, "inactive_file"), Some(7));
        assert_eq!(parse_statistic(statistics, "total_inactive_file"), Some(9));
        assert_eq!(parse_statistic("", "inactive_file"), None);
    }

    #[test]
    fn own_groups_are_found_and_never_lead_out_of_the_mount() {
        let text = "9:name=systemd:/\n4:cpu,memory:/kube/a:b\n0::/user.slice/one.scope\n";
        assert_eq!(parse_group_v1(text), Some(PathBuf::from("kube/a:b")));
        assert_eq!(parse_group_v2(text), Some(PathBuf::from("user.slice/one.scope")));
        assert_eq!(parse_group_v2("0::/../../other\n"), Some(PathBuf::new()));
        assert_eq!(parse_group_v1("3:cpu:/\n"), None);
    }

    #[test]
    fn the_tightest_of_own_group_parents_and_machine_decides() {
        let (root, probe) = present(&[
            ("proc/meminfo", "MemAvailable: 1000 kB\n"),
            ("proc/self/cgroup", "0::/slice/pod\n"),
            ("sys/fs/cgroup/slice/pod/memory.max", "max\n"),
            ("sys/fs/cgroup/slice/pod/memory.current", "1\n"),
            ("sys/fs/cgroup/slice/memory.max", "900000\n"),
            ("sys/fs/cgroup/slice/memory.current", "600000\n"),
            ("sys/fs/cgroup/slice/memory.stat", "anon 1\ninactive_file 100000\n"),
        ]);
        let limited_by = MemoryLimit::CgroupV2(root.path().join("sys/fs/cgroup/slice"));
        assert_eq!(probe.headroom(), Some(Headroom { available: 400_000, limited_by }));
        assert!(probe.require(400_000).is_ok());
        let refused = probe.require(400_001).expect_err("one byte too many");
        assert!(matches!(refused, RegionError::NotEnoughMemory { needed: 400_001, available: 400_000, .. }));
    }

    #[test]
    fn a_container_that_sees_only_its_own_group_of_version_1_is_limited_by_it() {
        let (_root, probe) = present(&[
            ("proc/self/cgroup", "4:memory:/docker/abc\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "6000\n"),
            ("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 1500\n"),
        ]);
        let headroom = probe.headroom().expect("a limit");
        assert_eq!(headroom.available, 500);
        assert!(matches!(headroom.limited_by, MemoryLimit::CgroupV1(_)));
    }

    #[test]
    fn usage_above_the_limit_leaves_nothing_and_unreadable_limits_limit_nothing() {
        let (_root, over) = present(&[
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "10\n"),
            ("sys/fs/cgroup/memory.current", "20\n"),
        ]);
        assert_eq!(over.headroom().map(|headroom| headroom.available), Some(0));
        let (_root, garbled) = present(&[
            ("proc/self/cgroup", "0::\nx\n::::\n"),
            ("proc/meminfo", "MemAvailable:"),
            ("sys/fs/cgroup/memory.max", "many"),
        ]);
        assert_eq!(garbled.headroom(), None);
        assert!(garbled.require(u64::MAX).is_ok());
    }

    #[test]
    fn this_machine_tells_a_limit() {
        assert!(MemoryProbe::default().headroom().is_some_and(|headroom| headroom.available > 0));
    }
}
