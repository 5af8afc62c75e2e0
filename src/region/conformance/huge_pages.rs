//! Huge pages: where they are to be had they are got, where not it is reported, and nothing else changes.

use super::*;
use std::fs;

#[test]
fn a_large_region_is_aligned_and_gets_huge_pages_where_the_kernel_gives_any() {
    let len = 4 * HUGE_PAGE;
    let region = Region::anonymous(len, HUGE_PAGE).expect("memory");
    assert!(region.address_range().start.is_multiple_of(HUGE_PAGE as usize));
    region.populate(0..len).expect("populated");
    let setting = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let huge = region.huge_page_bytes();
    if setting.contains("[always]") || setting.contains("[madvise]") {
        assert!(huge.is_some_and(|bytes| bytes > 0), "{huge:?}");
    } else {
        eprintln!("SKIPPED: huge pages are off ({})", setting.trim());
    }
}

#[test]
fn a_file_on_tmpfs_can_be_collapsed_and_keeps_its_content() {
    let len = 4 * HUGE_PAGE;
    for (name, folder) in file_folders() {
        let region = mapped(&folder.path().join("arena"), len);
        assert!(region.address_range().start.is_multiple_of(HUGE_PAGE as usize), "{name}");
        region.view().word(HUGE_PAGE + 8).store(77, Relaxed);
        let before = region.huge_page_bytes();
        match region.collapse(0..len) {
            Ok(()) => eprintln!("{name}: {before:?} -> {:?} bytes on huge pages", region.huge_page_bytes()),
            Err(error) => eprintln!("SKIPPED: {name}: {error:?}"),
        }
        assert_eq!(region.view().word(HUGE_PAGE + 8).load(Relaxed), 77, "{name}");
    }
}

#[test]
fn a_mount_with_huge_pages_gives_them_from_the_start_and_after_reopening() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(_mount) = Mount::new(folder.path(), "tmpfs", "size=32m,huge=advise") else { return };
    let (path, len) = (folder.path().join("arena"), 4 * HUGE_PAGE);
    let region = mapped(&path, len);
    assert_eq!(region.huge_page_bytes(), Some(len));
    region.view().word(0).store(1, Relaxed);
    drop(region);
    let again = mapped(&path, len);
    again.populate(0..len).expect("populated");
    assert_eq!((again.view().word(0).load(Relaxed), again.huge_page_bytes()), (1, Some(len)));
}

#[test]
fn a_file_on_hugetlbfs_takes_pages_of_the_pool_or_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(_mount) = Mount::new(folder.path(), "hugetlbfs", "pagesize=2M") else { return };
    let (path, len) = (folder.path().join("arena"), 2 * HUGE_PAGE);
    let refused = opened(&path).map(len + PAGE, &[]);
    assert!(matches!(refused, Err(RegionError::Length { granule: HUGE_PAGE, .. })), "{refused:?}");
    match opened(&path).map(len, &[]) {
        Ok(region) => {
            region.view().word(len - 8).store(3, Relaxed);
            assert_eq!(region.huge_page_bytes(), Some(len));
            drop(region);
            assert_eq!(mapped(&path, len).view().word(len - 8).load(Relaxed), 3);
        }
        Err(RegionError::NoSpace { .. }) => {
            eprintln!("SKIPPED: pages of hugetlbfs: the pool is empty");
            assert!(opened(&path).is_new());
        }
        Err(error) => panic!("{error:?}"),
    }
}
