//! The boot id: tells a restart of the process from a restart of the machine.
//!
//! After a killed process every acknowledged store is still in the page cache; after a power loss any subset of pages
//! may be there. Linux draws a random id at each boot, so an arena that remembers it knows which of the two happened.

use std::path::Path;

/// Where Linux keeps it: a UUID in text, the same in all containers of one machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The id of the running boot. None where the kernel does not tell: then nothing is known to be the same boot, and an
/// arena without a seal has to start cold.
pub(crate) fn boot_id() -> Option<[u8; 16]> {
    boot_id_in(Path::new(BOOT_ID))
}

fn boot_id_in(path: &Path) -> Option<[u8; 16]> {
    parse(&std::fs::read_to_string(path).ok()?)
}

/// The sixteen bytes of a UUID, in the order of its text. All zeros count as no id.
fn parse(text: &str) -> Option<[u8; 16]> {
    let mut digits = text.trim().chars().filter(|character| *character != '-').map(|character| character.to_digit(16));
    let mut id = [0; 16];
    for byte in &mut id {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = (high * 16 + low) as u8;
    }
    (digits.next().is_none() && id != [0; 16]).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_becomes_its_sixteen_bytes() {
        let id = parse("00112233-4455-6677-8899-aabbccddeeff\n");
        assert_eq!(
            id,
            Some([0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff])
        );
    }

    #[test]
    fn anything_else_is_no_id() {
        for text in ["", "-", "0011", "00112233-4455-6677-8899-aabbccddeefg", "00112233-4455-6677-8899-aabbccddeeff00"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse("00000000-0000-0000-0000-000000000000"), None);
        assert_eq!(boot_id_in(Path::new("/nowhere/boot_id")), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_boot_has_one_id() {
        assert!(boot_id().is_some());
        assert_eq!(boot_id(), boot_id());
    }
}
