//! The rules about the sources themselves: who may name whom, where unsafe code may be, how long things may get.
//!
//! ```text
//!   sync(0) -> types(1) -> region(2) -> arena | index | eviction(3) -> engine(4) -> cache(5)
//!   a module names only those of lower rank; those of one rank do not know each other
//! ```
//!
//! Each rule prints how much it looked at and fails if that was nothing. Each is also shown a text that breaks it.

mod rules;
mod sans_io;
mod source;

use rules::Verdict;
use source::Source;

/// Lines of a file, and of a function.
const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Files of `src/` that are still longer, each to be split.
const TOO_LONG: &[&str] = &[];

fn crate_sources() -> Vec<Source> {
    source::read(&["src"])
}

fn all_sources() -> Vec<Source> {
    source::read(&["src", "tests", "benches", "examples", "loom-tests", "tools"])
}

fn hold(rule: &str, verdict: &Verdict) {
    println!("{rule}: looked at {}", verdict.looked_at);
    assert!(verdict.looked_at > 0, "{rule}: looked at nothing");
    assert!(verdict.problems.is_empty(), "{rule}:\n  {}", verdict.problems.join("\n  "));
}

/// A rule must see what breaks it, in one place of this text.
fn bites(verdict: &Verdict) {
    assert_eq!(verdict.problems.len(), 1, "{:?}", verdict.problems);
}

fn one(path: &str, text: &str) -> Vec<Source> {
    vec![Source::new(path, text)]
}

#[test]
fn modules_name_only_lower_ranks() {
    hold("layers", &rules::modules_lead_down(&crate_sources()));
    bites(&rules::modules_lead_down(&one("src/arena/slot.rs", "use crate::sync::A;\nuse crate::index::Index;\n")));
    bites(&rules::modules_lead_down(&one("src/region.rs", "// crate::cache\nuse crate::engine::Engine;\n")));
    bites(&rules::modules_lead_down(&one("src/newcomer.rs", "//! Something.\n")));
}

#[test]
fn only_the_facade_names_atomics_loom_and_epochs() {
    hold("facade", &rules::one_facade(&crate_sources()));
    bites(&rules::one_facade(&one("src/cache/x.rs", "use std::sync::atomic::AtomicBool;\nuse x_loom::y;\n")));
    bites(&rules::one_facade(&one("src/region/x.rs", "let cell = loom::cell::Cell::new(0);\n")));
}

#[test]
fn what_decides_has_no_clock_thread_socket_or_chance() {
    hold("sans-IO", &sans_io::only_the_driver_touches_the_world(&crate_sources()));
    let node = |text| one("src/replication/node/x.rs", text);
    for text in ["use std::time::Instant;\n", "std::thread::yield_now();\n", "use mio::Poll;\n", "HashMap::new()\n"] {
        bites(&sans_io::hold_still(&node(text), &[]));
        bites(&sans_io::hold_still(&one("src/replication/membership.rs", text), &[]));
    }
    assert!(sans_io::hold_still(&one("src/replication/driver/x.rs", "use mio::Poll;\n"), &[]).problems.is_empty());
    assert!(sans_io::hold_still(&node("// mio\n#[cfg(test)]\nuse mio::Poll;\n"), &[]).problems.is_empty());
    let taken: &[(&str, &[&str])] = &[("src/replication/node/x.rs", &["mio"])];
    bites(&sans_io::hold_still(&node("use mio::Poll;\nlet a = Instant::now();\n"), taken));
    bites(&sans_io::hold_still(&node("//! Nothing.\n"), taken));
}

#[test]
fn unsafe_code_has_its_places() {
    hold("unsafe places", &rules::unsafe_has_its_places(&crate_sources()));
    bites(&rules::unsafe_has_its_places(&one("src/lib.rs", "// unsafe\nfn f() { unsafe { g() } }\n")));
    bites(&rules::unsafe_has_its_places(&one("src/types/x.rs", "//! Plain.\n")));
}

#[test]
fn every_unsafe_block_is_argued() {
    hold("SAFETY comments", &rules::unsafe_is_argued(&all_sources()));
    bites(&rules::unsafe_is_argued(&one("src/arena/x.rs", "    let a = 1;\n    unsafe { g() };\n")));
    bites(&rules::unsafe_is_argued(&one("src/arena/x.rs", "// SAFETY: far away.\nf();\nunsafe impl Send for X {}\n")));
    bites(&rules::unsafe_is_argued(&one("src/arena/x.rs", "/// Does it.\nunsafe fn f() {}\n")));
}

#[test]
fn every_file_says_what_lives_in_it() {
    hold("module docs", &rules::files_say_what_they_are(&all_sources()));
    bites(&rules::files_say_what_they_are(&one("src/x.rs", "use std::fmt;\n//! Too late.\n")));
}

#[test]
fn no_file_is_too_long() {
    hold("file lengths", &rules::files_are_short(&crate_sources(), FILE_LINES_MAX, TOO_LONG));
    bites(&rules::files_are_short(&one("src/x.rs", &"\n".repeat(401)), FILE_LINES_MAX, &[]));
    bites(&rules::files_are_short(&one("src/x.rs", "\n"), FILE_LINES_MAX, &["src/x.rs"]));
    bites(&rules::files_are_short(&one("src/x.rs", "\n"), FILE_LINES_MAX, &["src/gone.rs"]));
}

#[test]
fn no_function_is_longer_than_a_screen() {
    hold("function lengths", &rules::functions_are_short(&crate_sources(), FUNCTION_LINES_MAX));
    let long = format!("fn short() {{}}\nfn long(a: [u8; 3]) {{{}}}\n", "\n".repeat(70));
    bites(&rules::functions_are_short(&one("src/x.rs", &long), FUNCTION_LINES_MAX));
}

#[test]
fn failpoints_and_their_list_agree() {
    hold("failpoints", &rules::failpoints_are_listed(&crate_sources()));
    let list = "pub const NAMES: &[&str] = &[\n    \"a.b\",\n];\n";
    let with = |call| vec![Source::new("src/sync/failpoint.rs", list), Source::new("src/x.rs", call)];
    bites(&rules::failpoints_are_listed(&with("failpoint!(\"a.b\"); failpoint!(\"c.d\");\n")));
    bites(&rules::failpoints_are_listed(&with("// failpoint!(\"a.b\");\n")));
}

#[test]
fn defects_have_one_place_and_stand_in_the_list() {
    let list = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/xtask/bites.txt"));
    hold("defects", &rules::defects_are_listed(&crate_sources(), &list.expect("the list is there")));
    let call = one("src/x.rs", "if bite(\"a.b\") {}\n");
    bites(&rules::defects_are_listed(&call, "# a.b | commented | out\n"));
    bites(&rules::defects_are_listed(&call, "a.b | here | loom\nc.d | nowhere | loom\n"));
    bites(&rules::defects_are_listed(&one("src/x.rs", "bite(\"a.b\") || bite(\"a.b\")\n"), "a.b | here | loom\n"));
}

#[test]
fn what_is_promised_is_tested() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONSISTENCY.md"));
    hold("promises", &rules::promises_have_tests(&page.expect("the page is there"), &all_sources()));
    let tests = one("tests/x.rs", "#[test]\nfn it_holds() {}\nfn it_helps() {}\n");
    bites(&rules::promises_have_tests("*Held by*: `it_holds`,\n`it_helps`.\n\n`it_is_gone`\n", &tests));
    bites(&rules::promises_have_tests("*Held by*: hope.\n", &tests));
}

#[test]
fn nothing_is_ignored_silenced_or_unwrapped() {
    hold("left open", &rules::nothing_is_left_open(&all_sources()));
    bites(&rules::nothing_is_left_open(&one("tests/x.rs", "#[test]\n#[ignore = \"slow\"]\nfn x() {}\n")));
    bites(&rules::nothing_is_left_open(&one("src/x.rs", "// todo!\nlet a = b.unwrap();\nlet c = \"dbg!\";\n")));
    let tests = "#[cfg(test)]\nmod tests {\n    fn a() { b.unwrap(); }\n}\nfn c() { d.unwrap() }\n";
    bites(&rules::nothing_is_left_open(&one("src/x.rs", tests)));
}

#[test]
fn quotes_comments_and_lifetimes_are_told_apart() {
    let text =
        r##"fn f<'a>(x: &'a str) { g('"', "un\"safe", r#"unsafe "here""#, b'\''); /* unsafe /* */ */ h() } // unsafe"##;
    let source = Source::new("src/x.rs", text);
    assert!(!source.code.contains("unsafe") && source.literal.contains(r#"unsafe "here""#));
    assert!(source.code.contains("fn f<'a>(x: &'a str) { g(") && source.code.contains(" h() }"));
    assert_eq!((source.code.len(), source.literal.len()), (text.len(), text.len()));
}
