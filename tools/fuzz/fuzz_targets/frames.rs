//! Any bytes as those of a peer: no panic, no memory beyond one frame, no message that says something else than its bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| also_cache::fuzzing::wire::frames(data));
