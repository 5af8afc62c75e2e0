//! The parent's side: start a child, have it killed, open what it left, check everything.

use crate::scenario::{ARMED, EVICTIONS, MOVES, Scenario, write};
use crate::step;
use crate::support::Random;
use crate::support::ledger::{ACKNOWLEDGED, Ledger, Mark, key_bytes, key_of, may_be, sequence_of};
use also_cache::inspect::Inspection;
use also_cache::{Cache, Recovery, failpoint};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Acknowledged writes before a kill.
const WRITES: u64 = 10_000;
/// A step that takes longer has hung.
const WATCHDOG: Duration = Duration::from_secs(60);
pub(crate) const SIGKILL: i32 = 9;

/// When a child dies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kill {
    At(&'static str),
    AnyMoment,
}

/// The arenas of both workloads, over all kills.
pub(crate) struct Lives {
    folder: tempfile::TempDir,
    random: Random,
    reached: BTreeMap<&'static str, u64>,
    opened: BTreeMap<String, u64>,
    checked: u64,
    lost: u64,
    in_flight: u64,
    acknowledged: u64,
    evictions: u64,
    moves: u64,
    /// Full arenas of which every entry that was in the file was read.
    complete: u64,
    inspected: u64,
}

impl Lives {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            folder: in_memory(),
            random: Random(seed),
            reached: BTreeMap::new(),
            opened: BTreeMap::new(),
            checked: 0,
            lost: 0,
            in_flight: 0,
            acknowledged: 0,
            evictions: 0,
            moves: 0,
            complete: 0,
            inspected: 0,
        }
    }

    /// One life of a child, its death, and the check of what is left.
    pub(crate) fn one(&mut self, kill: Kill, number: u64) {
        let scenario = match kill {
            Kill::At(name) => step(name).1,
            Kill::AnyMoment if number.is_multiple_of(2) => Scenario::Roomy,
            Kill::AnyMoment => Scenario::Full,
        };
        let grows = matches!(kill, Kill::At(name) if step(name).0 == "growth");
        if grows || number.is_multiple_of(17) {
            // Growth is over once all keys are there: begin again.
            for file in
                [scenario.arena(self.folder.path()), self.folder.path().join(format!("{}.ledger", scenario.name()))]
            {
                let _ = std::fs::remove_file(file);
            }
        }
        let existed = scenario.arena(self.folder.path()).exists();
        let ledger = scenario.ledger(self.folder.path());
        ledger.word(ACKNOWLEDGED).store(0, Ordering::SeqCst);
        ledger.word(ARMED).store(0, Ordering::SeqCst);
        let story = format!("kill {number}, {kill:?}, {}", scenario.name());
        let passage = match kill {
            Kill::At(name) if grows => 1 + self.random.next() % if name == "index.page_taken" { 1 } else { 40 },
            Kill::At("close.sealing") => 1,
            _ => 1 + self.random.next() % 3,
        };
        let status = self.live_and_die(scenario, kill, passage, &ledger, &story);
        assert_eq!(status.signal(), Some(SIGKILL), "{story}: {status}\n{}", self.last_words());
        if let Kill::At(name) = kill {
            *self.reached.entry(name).or_default() += 1;
        }
        self.acknowledged += ledger.word(ACKNOWLEDGED).load(Ordering::SeqCst);
        self.evictions += ledger.word(EVICTIONS).load(Ordering::SeqCst);
        self.moves += ledger.word(MOVES).load(Ordering::SeqCst);
        self.check(scenario, &ledger, existed, number, &story);
    }

    fn live_and_die(
        &mut self,
        scenario: Scenario,
        kill: Kill,
        passage: u64,
        ledger: &Ledger,
        story: &str,
    ) -> ExitStatus {
        let at_open = matches!(kill, Kill::At(name) if name.starts_with("open."));
        let mut command = child_command(self.folder.path(), scenario);
        command.env("RESTART_SEED", self.random.next().to_string());
        command.env("RESTART_WRITES", WRITES.to_string());
        match kill {
            Kill::At(name) if at_open => {
                if !scenario.arena(self.folder.path()).exists() {
                    drop(scenario.builder(self.folder.path()).open().expect("a new arena"));
                }
                command.env("ALSO_CACHE_FAILPOINT", format!("{name}:kill:1"));
            }
            Kill::At(name) => {
                command.env("RESTART_FAILPOINT", name).env("RESTART_PASSAGE", passage.to_string());
            }
            Kill::AnyMoment => {}
        }
        let mut child = command.spawn().expect("the child starts");
        let start = Instant::now();
        if matches!(kill, Kill::AnyMoment) {
            while ledger.word(ARMED).load(Ordering::SeqCst) == 0 && ended(&mut child).is_none() {
                assert!(start.elapsed() < WATCHDOG, "{story}: no {WRITES} writes\n{}", self.last_words());
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_micros(self.random.next() % 20_000));
            let _ = child.kill();
        }
        wait_for_death(&mut child, self.folder.path(), story)
    }

    fn last_words(&self) -> String {
        last_words(self.folder.path())
    }

    /// Opens the arena and checks what is in it.
    fn check(&mut self, scenario: Scenario, ledger: &Ledger, existed: bool, number: u64, story: &str) {
        // A kill leaves splits half done and slots that nothing names, but no word that lies.
        let left = self.inspect(scenario, story);
        let cache = scenario.builder(self.folder.path()).background(false).open().expect("opens");
        let warm = matches!(cache.recovery(), Recovery::Warm { .. });
        assert!(
            warm || (!existed && ledger.word(ACKNOWLEDGED).load(Ordering::SeqCst) == 0),
            "{story}: {}",
            cache.recovery()
        );
        *self.opened.entry(if warm { "warm".to_owned() } else { cache.recovery().to_string() }).or_default() += 1;
        if number.is_multiple_of(3) {
            // Settled first, read then.
            settle(&cache, scenario, story);
        }
        let figures = self.read_all(&cache, scenario, ledger, story);
        for (key, found) in cache.iter().filter(|_| number.is_multiple_of(4)) {
            let key = key_of(&key).expect("one of our keys");
            let sequence = sequence_of(key, &found).unwrap_or_else(|wrong| panic!("{story}: in a walk: {wrong}"));
            may_be(ledger, key, sequence).unwrap_or_else(|wrong| panic!("{story}: in a walk: {wrong}"));
        }
        self.checked += figures.present;
        self.in_flight += figures.in_flight;
        if scenario == Scenario::Roomy {
            let evicted = ledger.word(EVICTIONS).load(Ordering::SeqCst);
            assert_eq!(evicted, 0, "{story}: evictions although everything fits\n{}", cache.stats());
            self.lost += figures.missing;
            assert!(
                figures.missing * 1000 <= figures.expected,
                "{story}: {} of {} entries are gone\n{}",
                figures.missing,
                figures.expected,
                cache.stats()
            );
        } else if !number.is_multiple_of(3) {
            assert!(figures.present >= left, "{story}: {} of {left} entries", figures.present);
            self.complete += u64::from(left > 0);
        }
        settle(&cache, scenario, story);
        // Housekeeping may have moved pages, which takes entries out of a full arena.
        let figures = self.read_all(&cache, scenario, ledger, story);
        audit(&cache, &figures, story);
        let stats = cache.stats();
        assert_eq!(stats.entries, figures.present, "{story}: {stats}");
        assert_eq!(stats.damaged, 0, "{story}: {stats}");
        figures.settle_ledger(ledger);
        if scenario == Scenario::Full && number.is_multiple_of(3) {
            self.fill(&cache, scenario, ledger, story);
        }
        drop(cache);
        self.inspect(scenario, story);
    }

    /// Entries that an independent look at the file finds.
    fn inspect(&mut self, scenario: Scenario, story: &str) -> u64 {
        let inspection = Inspection::of(scenario.arena(self.folder.path())).expect("an arena");
        assert_eq!(inspection.problems_found, 0, "{story}: {:#?}", inspection.problems);
        assert!(!inspection.live, "{story}");
        self.inspected += inspection.entries;
        inspection.entries
    }

    fn read_all(&mut self, cache: &Cache, scenario: Scenario, ledger: &Ledger, story: &str) -> Figures {
        let mut figures = Figures::default();
        for key in 0..scenario.keys() {
            let (begun, done) = (ledger.begun(key), ledger.done(key));
            let in_flight = begun != done;
            figures.in_flight += u64::from(in_flight);
            figures.expected += u64::from(!in_flight && !done.absent);
            let Some(found) = cache.get(key_bytes(key)) else {
                figures.missing += u64::from(!in_flight && !done.absent);
                figures.marks.push(Mark { sequence: begun.sequence.max(done.sequence), absent: true });
                continue;
            };
            let sequence = sequence_of(key, &found).unwrap_or_else(|wrong| panic!("{story}: {wrong}"));
            may_be(ledger, key, sequence).unwrap_or_else(|wrong| panic!("{story}: {wrong}"));
            figures.present += 1;
            figures.lengths.push(found.len() as u64);
            figures.marks.push(Mark { sequence, absent: false });
        }
        figures
    }

    /// Writes several times the capacity: everything is found again, and no room is missing.
    fn fill(&mut self, cache: &Cache, scenario: Scenario, ledger: &Ledger, story: &str) {
        for written in 0..20_000 {
            let key = self.random.next() % scenario.keys();
            assert!(write(cache, ledger, scenario, key, &mut self.random, written), "{story}: closed");
        }
        let stats = cache.stats();
        assert!(stats.refused_busy <= 20, "{story}: filling up: {stats}");
        settle(cache, scenario, story);
        let figures = self.read_all(cache, scenario, ledger, story);
        audit(cache, &figures, story);
        figures.settle_ledger(ledger);
    }

    pub(crate) fn require_all_reached(&self) {
        for name in failpoint::NAMES.iter().filter(|name| crate::is_of_arena(name)) {
            assert!(self.reached.contains_key(name), "no kill at {name}");
        }
        assert!(self.complete > 0 && self.inspected > 0, "{}", self.report());
        assert!(self.evictions > 0 && self.moves > 0 && self.in_flight > 0, "{}", self.report());
    }

    pub(crate) fn report(&self) -> String {
        format!(
            "kills by failpoint {:?}\nopened {:?}; {} writes acknowledged, {} in flight, {} entries checked, {} lost, {} evictions, {} pages moved",
            self.reached,
            self.opened,
            self.acknowledged,
            self.in_flight,
            self.checked,
            self.lost,
            self.evictions,
            self.moves
        )
    }
}

/// What was found in an arena.
#[derive(Default)]
struct Figures {
    present: u64,
    expected: u64,
    missing: u64,
    in_flight: u64,
    lengths: Vec<u64>,
    marks: Vec<Mark>,
}

impl Figures {
    /// From here on the ledger says what is there.
    fn settle_ledger(&self, ledger: &Ledger) {
        for (key, mark) in self.marks.iter().enumerate() {
            ledger.settle(key as u64, *mark);
        }
    }
}

fn settle(cache: &Cache, scenario: Scenario, story: &str) {
    let start = Instant::now();
    while cache.maintain(Duration::from_millis(20)) || !cache.stats().settled {
        assert!(start.elapsed() < WATCHDOG, "{story}: {} is never settled\n{}", scenario.name(), cache.stats());
    }
}

/// Every slot exactly once: live, free, retired, or not looked at.
fn audit(cache: &Cache, figures: &Figures, story: &str) {
    let stats = cache.stats();
    let mut pages = stats.pages_free;
    let largest = stats.page_bytes / 16 / 16 * 16;
    let slot = |bytes: &u64| (32_u64 + 20).next_multiple_of(8) + bytes;
    for class in &stats.classes {
        pages += class.pages;
        let slots = class.pages * (stats.page_bytes / class.slot_bytes);
        let mut used = class.live;
        if class.is_large {
            let blocks = |bytes: &u64| Some(slot(bytes)).filter(|all| *all > largest && *all <= stats.page_bytes);
            used = figures.lengths.iter().filter_map(blocks).map(|all| all.div_ceil(class.slot_bytes)).sum();
        }
        let sum = used + class.free + class.retired + class.unprepared;
        assert_eq!(sum, slots, "{story}: class of {} bytes: {used} in use\n{stats}", class.slot_bytes);
    }
    let runs = figures.lengths.iter().map(slot).filter(|all| *all > stats.page_bytes);
    pages += runs.map(|all| all.div_ceil(stats.page_bytes)).sum::<u64>();
    let index = (stats.index_buckets * 64).div_ceil(stats.page_bytes);
    assert!(pages + index <= stats.pages, "{story}: {pages} pages and {index} of the index\n{stats}");
    // A page of overflow buckets or two, and one that the index has taken ahead.
    assert!(pages + index + 4 >= stats.pages, "{story}: only {pages} pages and {index} of the index\n{stats}");
}

/// What a child has said on standard error.
fn last_words(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("stderr")).unwrap_or_default()
}

/// Waits until a child has ended.
pub(crate) fn wait_for_death(child: &mut Child, folder: &Path, story: &str) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = ended(child) {
            if status.signal() != Some(SIGKILL) {
                eprintln!("{story}: {}", last_words(folder));
            }
            return status;
        }
        if start.elapsed() > WATCHDOG {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{story}: never reached\n{}", last_words(folder));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn ended(child: &mut Child) -> Option<ExitStatus> {
    child.try_wait().expect("a child can be waited for")
}

pub(crate) fn child_command(folder: &Path, scenario: Scenario) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test has a path"));
    let output = || File::create(folder.join("stderr")).expect("a file for the child's words");
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    command.env("RESTART_FOLDER", folder).env("RESTART_SCENARIO", scenario.name());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output());
    command
}

pub(crate) fn in_memory() -> tempfile::TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.expect("a folder")
}
