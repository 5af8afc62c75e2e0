//! Close against writes: whoever finds nobody inside has seen the last change.
//!
//! The defects that must turn these red stand in `tools/xtask/bites.txt`.

#![cfg(loom)]

mod common;

use also_cache::loom_internals::engine::{Model, Stored};
use common::{Reached, explore};
use loom::sync::Arc;
use loom::thread;

const JOINED: &str = "the other thread failed";
const KEY: u8 = 1;

#[test]
fn nothing_changes_once_a_close_has_found_nobody_inside() {
    static WRITTEN: Reached = Reached::new();
    static REFUSED: Reached = Reached::new();
    static INSIDE: Reached = Reached::new();
    explore("close x write", 2, || {
        let model = Arc::new(Model::new(2, 1));
        assert_eq!(model.write(KEY, 10), Some(Stored::Yes));
        let writer = model.clone();
        let writer = thread::spawn(move || writer.write(KEY, 20));
        let at_rest = model.close().then(|| model.search(KEY));
        let written = writer.join().expect(JOINED);
        let left = model.search(KEY);
        if let Some(seen) = at_rest {
            assert_eq!(seen, left, "changed behind the seal");
        }
        assert_eq!(left, Some(if written.is_some() { 20 } else { 10 }));
        WRITTEN.note(at_rest.is_some() && written.is_some());
        REFUSED.note(written.is_none());
        INSIDE.note(at_rest.is_none());
    });
    WRITTEN.assert("the write ended before the close");
    REFUSED.assert("the write came too late");
    INSIDE.assert("the close found it inside");
}
