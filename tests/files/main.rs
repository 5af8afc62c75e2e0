//! The file test: whatever a file holds, an open gives a warm cache with right values, a cold one with the reason, or an
//! error that says why. Never a panic, a hang, a signal or a wrong value.
//!
//! ```text
//!   a small arena with known content -> damage by seed, or a patched superblock -> open -> read all -> settle ->
//!   read all -> write, read, remove -> close -> open again
//! ```
//!
//! Random damage is opened in a child process: a signal, a panic or a hang is reported with its seed.
//! `ALSO_CACHE_FILES=n` makes it n damages, `ALSO_CACHE_SEED=n` begins at another seed.

mod damage;
mod inspected;
mod patched;
mod places;
mod support;

use damage::Damage;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Random, Sample, builder, check, settle, use_it};

pub(crate) fn in_memory() -> tempfile::TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.expect("a folder")
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The entry of the child: seeds from a first to a last one.
#[test]
fn child() {
    let Some(folder) = std::env::var_os("FILES_FOLDER") else { return };
    let folder = Path::new(&folder);
    let (first, last) = (number("FILES_FIRST").expect("given"), number("FILES_LAST").expect("given"));
    let samples = [Sample::new(folder, "unsealed", false), Sample::new(folder, "sealed", true)];
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    for seed in first..last {
        let sample = &samples[usize::from(seed % 5 == 0)];
        let damage = Damage::new(sample, seed);
        let story = format!("{seed} {} in {}", damage.what, damage.region);
        std::fs::write(folder.join("now"), &story).expect("writable");
        sample.write(&damage.bytes);
        let outcome = open_and_use(sample, seed);
        *outcomes.entry(format!("{outcome} after {} in {}", damage.what, damage.region)).or_default() += 1;
    }
    let lines: Vec<String> = outcomes.iter().map(|(what, count)| format!("{count}\t{what}")).collect();
    std::fs::write(folder.join("outcomes"), lines.join("\n")).expect("writable");
}

fn open_and_use(sample: &Sample, seed: u64) -> &'static str {
    // Looking is safe too, whatever there is to see.
    let _ = also_cache::inspect::Inspection::of(&sample.path);
    let cache = match builder(&sample.path).open() {
        Ok(cache) => cache,
        Err(_) => return "error",
    };
    let mut content = sample.content.clone();
    let warm = matches!(cache.recovery(), also_cache::Recovery::Warm { .. });
    let mut random = Random(seed);
    if seed.is_multiple_of(2) {
        settle(&cache);
    }
    let hits = check(&cache, &content);
    assert!(warm || hits == 0, "{} and {hits} hits", cache.recovery());
    settle(&cache);
    check(&cache, &content);
    use_it(&cache, &mut content, &mut random, 600);
    check(&cache, &content);
    drop(cache);
    let cache = builder(&sample.path).open().expect("what was served before opens again");
    use_it(&cache, &mut content, &mut random, 200);
    settle(&cache);
    check(&cache, &content);
    if warm { "warm" } else { "cold" }
}

#[test]
fn damage_anywhere_never_gives_a_wrong_value() {
    let count = number("ALSO_CACHE_FILES").unwrap_or(600);
    let first = number("ALSO_CACHE_SEED").unwrap_or(0);
    println!("ALSO_CACHE_FILES={count} ALSO_CACHE_SEED={first}");
    let folder = in_memory();
    let mut child = Command::new(std::env::current_exe().expect("this test has a path"))
        .args(["--exact", "child", "--nocapture"])
        .env("FILES_FOLDER", folder.path())
        .env("FILES_FIRST", first.to_string())
        .env("FILES_LAST", (first + count).to_string())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.path().join("stderr")).expect("a file"))
        .spawn()
        .expect("the child starts");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let (mut now, mut since) = (String::new(), Instant::now());
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if read("now") != now {
            (now, since) = (read("now"), Instant::now());
        }
        if since.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            let _ = child.wait();
            panic!("seed {now}: hangs\n{}", read("stderr"));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "seed {}: {status}\n{}", read("now"), read("stderr"));
    let outcomes = read("outcomes");
    println!("{outcomes}");
    for outcome in ["warm", "cold"] {
        assert!(count < 100 || outcomes.contains(outcome), "no damage gave {outcome}");
    }
}
