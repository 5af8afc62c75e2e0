//! Any bytes to who listens for datagrams and connections: no panic, nothing opened that no key has sealed, no bound passed.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| match data.split_first() {
    Some((0..=63, bytes)) => also_cache::fuzzing::security::channel(bytes),
    Some((64..=95, bytes)) => also_cache::fuzzing::security::datagram(bytes),
    Some((_, bytes)) => also_cache::fuzzing::membership::bodies(bytes),
    None => {}
});
