//! Clones, on the file system of `KILN_TEST_DIR` (default: the directory for temporary files).

use kiln_images::clone::{CloneError, Method, clone_file};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

mod common;
use common::SmallDisk;

fn test_dir() -> tempfile::TempDir {
    match std::env::var_os("KILN_TEST_DIR") {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .expect("a directory for the test")
}

fn create(path: &Path) -> File {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .expect("a new file")
}

/// A file of 64 MiB with 1 MiB of data in its middle and one block at its end.
fn sparse_file(path: &Path) -> File {
    let file = create(path);
    file.set_len(64 << 20).unwrap();
    let data: Vec<u8> = (0..1u32 << 20).map(|i| (i % 251) as u8 + 1).collect();
    file.write_all_at(&data, 31 << 20).unwrap();
    file.write_all_at(&[7; 4096], (64 << 20) - 4096).unwrap();
    file
}

#[test]
fn a_clone_has_the_same_bytes_and_the_same_holes() {
    let dir = test_dir();
    let source = sparse_file(&dir.path().join("source"));
    let dest = create(&dir.path().join("dest"));
    let cloned = clone_file(&source, &dest, &File::open(dir.path()).unwrap(), None).unwrap();
    println!("cloned by {:?}, {} bytes copied", cloned.method, cloned.bytes_copied);
    assert_eq!(
        std::fs::read(dir.path().join("source")).unwrap(),
        std::fs::read(dir.path().join("dest")).unwrap()
    );
    assert!(dest.metadata().unwrap().blocks() * 512 < 4 << 20, "holes became data");
    match cloned.method {
        Method::Reflink => assert_eq!(cloned.bytes_copied, 0),
        _ => assert!(
            (1 << 20..4 << 20).contains(&cloned.bytes_copied),
            "{}",
            cloned.bytes_copied
        ),
    }
}

#[test]
fn a_clone_grows_to_the_size_asked_for_and_never_shrinks() {
    let dir = test_dir();
    let handle = File::open(dir.path()).unwrap();
    let source = sparse_file(&dir.path().join("source"));
    let dest = create(&dir.path().join("dest"));
    clone_file(&source, &dest, &handle, Some(8 << 30)).unwrap();
    assert_eq!(dest.metadata().unwrap().len(), 8 << 30);
    let mut end = [1; 512];
    dest.read_exact_at(&mut end, (8 << 30) - 512).unwrap();
    assert_eq!(end, [0; 512]);

    let small = create(&dir.path().join("small"));
    let error = clone_file(&source, &small, &handle, Some(1 << 20)).unwrap_err();
    assert!(
        matches!(
            error,
            CloneError::Shrinks {
                wanted: 1048576,
                original: 67108864
            }
        ),
        "{error:?}"
    );
    assert_eq!(small.metadata().unwrap().len(), 0);
}

#[test]
fn a_file_that_holds_something_is_not_written_over() {
    let dir = test_dir();
    let source = sparse_file(&dir.path().join("source"));
    let dest = create(&dir.path().join("dest"));
    dest.write_all_at(b"mine", 0).unwrap();
    let error = clone_file(&source, &dest, &File::open(dir.path()).unwrap(), None).unwrap_err();
    assert!(matches!(error, CloneError::NotEmpty { size: 4 }), "{error:?}");
}

#[test]
fn a_clone_to_another_file_system_copies_the_data_only() {
    let (dir, disk) = (test_dir(), SmallDisk::new("8m"));
    let source = sparse_file(&dir.path().join("source"));
    let dest = create(&disk.path().join("dest"));
    let cloned = clone_file(&source, &dest, &File::open(disk.path()).unwrap(), None).unwrap();
    assert_ne!(cloned.method, Method::Reflink);
    assert!(cloned.bytes_copied < 4 << 20, "{}", cloned.bytes_copied);
    assert_eq!(
        std::fs::read(dir.path().join("source")).unwrap(),
        std::fs::read(disk.path().join("dest")).unwrap()
    );
}

#[test]
fn a_full_disk_ends_a_clone_with_an_error_that_says_so() {
    let (dir, disk) = (test_dir(), SmallDisk::new("512k"));
    let source = sparse_file(&dir.path().join("source"));
    let path = disk.path().join("dest");
    let error = clone_file(&source, &create(&path), &File::open(disk.path()).unwrap(), None).unwrap_err();
    assert!(matches!(error, CloneError::NoSpace { .. }), "{error:?}");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, vec![1; 300 << 10]).expect("the space is free again");
}
