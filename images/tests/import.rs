//! Images of all formats, made by `qemu-img`, and broken ones.

use kiln_images::formats::{FileFormat, Format, ImportError, Imported, Progress, detect, import};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

mod common;
use common::{SmallDisk, run, text};

const SIZE: u64 = 40 << 20;

/// A raw disk of 40 MiB: data of several kinds here and there, most of it a hole.
fn raw(dir: &Path) -> PathBuf {
    let path = dir.join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(SIZE).unwrap();
    let noise = |len: u32, seed: u32| {
        (0..len)
            .map(|i| (i.wrapping_mul(2654435761) >> 13 ^ seed) as u8)
            .collect::<Vec<u8>>()
    };
    file.write_all_at(&noise(300_000, 1), 0).unwrap();
    file.write_all_at(&[b'a'; 200_000], 5 << 20).unwrap();
    file.write_all_at(&noise(70_000, 2), (17 << 20) + 513).unwrap();
    file.write_all_at(&noise(4096, 3), SIZE - 4096).unwrap();
    path
}

fn convert(raw: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let path = raw.with_file_name(name);
    run(
        "qemu-img",
        &[&["convert", "-f", "raw"], arguments, &[&text(raw), &text(&path)]].concat(),
    );
    path
}

fn import_to(source: &Path, format: Option<FileFormat>, dest: &Path) -> Result<Imported, ImportError> {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(dest)
        .unwrap();
    let dir = File::open(dest.parent().unwrap()).unwrap();
    import(
        &File::open(source).unwrap(),
        format,
        &file,
        &dir,
        &mut |_| {},
        &AtomicBool::new(false),
    )
}

fn fails(source: &Path, format: Option<FileFormat>) -> ImportError {
    let dir = tempfile::tempdir().unwrap();
    import_to(source, format, &dir.path().join("dest")).expect_err("it is refused")
}

/// Cuts a file off and imports it.
fn cut(source: &Path, len: u64) -> ImportError {
    let copy = source.with_file_name("cut");
    std::fs::copy(source, &copy).unwrap();
    File::options().write(true).open(&copy).unwrap().set_len(len).unwrap();
    fails(&copy, Some(detect(&File::open(source).unwrap()).unwrap()))
}

/// Changes bytes of a copy and imports it.
fn patched(source: &Path, at: u64, bytes: &[u8]) -> Result<Imported, ImportError> {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("patched");
    std::fs::copy(source, &copy).unwrap();
    File::options()
        .write(true)
        .open(&copy)
        .unwrap()
        .write_all_at(bytes, at)
        .unwrap();
    import_to(&copy, None, &dir.path().join("dest"))
}

#[test]
fn every_format_gives_the_same_disk_and_the_same_digest() {
    let dir = tempfile::tempdir().unwrap();
    let raw = raw(dir.path());
    let images = [
        (Format::Raw, raw.clone()),
        (Format::Qcow2, convert(&raw, "a", &["-O", "qcow2"])),
        (Format::Qcow2, convert(&raw, "b", &["-O", "qcow2", "-c"])),
        (
            Format::Qcow2,
            convert(
                &raw,
                "c",
                &["-O", "qcow2", "-c", "-o", "compression_type=zstd,cluster_size=2M"],
            ),
        ),
        (
            Format::Qcow2,
            convert(&raw, "d", &["-O", "qcow2", "-o", "compat=0.10,cluster_size=512"]),
        ),
        (Format::Vmdk, convert(&raw, "e", &["-O", "vmdk"])),
        (
            Format::Vmdk,
            convert(&raw, "f", &["-O", "vmdk", "-o", "subformat=streamOptimized"]),
        ),
        (
            Format::Vhd,
            convert(&raw, "g", &["-O", "vpc", "-o", "subformat=fixed,force_size=on"]),
        ),
        (
            Format::Vhd,
            convert(&raw, "h", &["-O", "vpc", "-o", "subformat=dynamic,force_size=on"]),
        ),
    ];
    let (expected, mut digests) = (std::fs::read(&raw).unwrap(), Vec::new());
    for (nth, (format, path)) in images.iter().enumerate() {
        let dest = dir.path().join(format!("dest{nth}"));
        let imported = import_to(path, None, &dest).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_eq!(
            (imported.format, imported.virtual_size),
            ((*format).into(), SIZE),
            "{path:?}"
        );
        assert!(
            std::fs::read(&dest).unwrap() == expected,
            "{path:?} became another disk"
        );
        let blocks = std::fs::metadata(&dest).unwrap().blocks() * 512;
        assert!(
            blocks < 2 << 20 && imported.bytes_written < 1 << 20,
            "{path:?}: {blocks} bytes are on the disk"
        );
        digests.push(imported.digest);
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

#[test]
fn another_disk_has_another_digest() {
    let dir = tempfile::tempdir().unwrap();
    let raw = raw(dir.path());
    let first = import_to(&raw, None, &dir.path().join("dest")).unwrap();
    assert_ne!(patched(&raw, 30 << 20, b"x").unwrap().digest, first.digest);
}

#[test]
fn a_disk_that_ends_within_a_sector_is_filled_up() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("odd");
    std::fs::write(&source, [3; 1000]).unwrap();
    let imported = import_to(&source, Some(Format::Raw.into()), &dir.path().join("dest")).unwrap();
    assert_eq!(imported.virtual_size, 1024);
    assert_eq!(
        std::fs::read(dir.path().join("dest")).unwrap(),
        [&[3; 1000][..], &[0; 24]].concat()
    );
}

#[test]
fn an_image_that_is_cut_off_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let raw = raw(dir.path());
    for (name, arguments) in [
        ("a", &["-O", "qcow2"][..]),
        ("b", &["-O", "qcow2", "-c"]),
        ("e", &["-O", "vmdk"]),
        ("f", &["-O", "vmdk", "-o", "subformat=streamOptimized"]),
        ("h", &["-O", "vpc", "-o", "subformat=dynamic"]),
    ] {
        let image = convert(&raw, name, arguments);
        let len = std::fs::metadata(&image).unwrap().len();
        for part in [len / 2, len / 4, 70_000, 100] {
            let error = cut(&image, part);
            assert!(
                matches!(error, ImportError::Damaged { .. } | ImportError::NotThat { .. }),
                "{name} {part}: {error}"
            );
        }
    }
}

#[test]
fn an_image_that_needs_another_file_is_refused_by_that_files_name() {
    let dir = tempfile::tempdir().unwrap();
    let base = convert(&raw(dir.path()), "base.qcow2", &["-O", "qcow2"]);
    let overlay = dir.path().join("overlay.qcow2");
    run(
        "qemu-img",
        &[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "qcow2",
            "-b",
            &text(&base),
            &text(&overlay),
        ],
    );
    match fails(&overlay, None) {
        ImportError::NeedsFile { name } => assert_eq!(name, text(&base)),
        error => panic!("{error}"),
    }
    let split = dir.path().join("split.qcow2");
    let data = format!("data_file={}", text(&dir.path().join("data")));
    run(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", "-o", &data, &text(&split), "1M"],
    );
    assert!(matches!(fails(&split, None), ImportError::NeedsFile { .. }));
}

#[test]
fn an_encrypted_image_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = text(&dir.path().join("locked.qcow2"));
    // LUKS would have qemu-img time its own key derivation, which it can't on a busy machine.
    let options = "encrypt.format=aes,encrypt.key-secret=k";
    run(
        "qemu-img",
        &[
            "create",
            "-q",
            "-f",
            "qcow2",
            "--object",
            "secret,id=k,data=x",
            "-o",
            options,
            &image,
            "1M",
        ],
    );
    let error = fails(Path::new(&image), None);
    assert!(error.to_string().contains("encrypted"), "{error}");
}

#[test]
fn a_header_that_lies_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = convert(&raw(dir.path()), "a", &["-O", "qcow2"]);
    for (what, at, bytes) in [
        ("clusters of 1 byte", 20, &0u32.to_be_bytes()[..]),
        ("clusters of 2 GiB", 20, &31u32.to_be_bytes()),
        ("a first table that is too short", 36, &0u32.to_be_bytes()),
        ("a first table beyond the end", 40, &(1u64 << 60).to_be_bytes()),
        ("a disk of 2^60 bytes", 24, &(1u64 << 60).to_be_bytes()),
        ("no disk", 24, &0u64.to_be_bytes()),
        ("version 9", 4, &9u32.to_be_bytes()),
        ("features of another age", 72, &(1u64 << 50).to_be_bytes()),
    ] {
        let error = patched(&image, at, bytes).expect_err(what);
        println!("{what}: {error}");
    }
}

#[test]
fn known_formats_that_are_not_read_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let raw = raw(dir.path());
    for (name, format) in [("x", "vhdx"), ("y", "vdi"), ("z", "qed")] {
        let error = fails(&convert(&raw, name, &["-O", format]), None);
        assert!(matches!(error, ImportError::Unsupported { .. }), "{format}: {error}");
    }
}

#[test]
fn a_format_that_was_said_wrongly_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let raw = raw(dir.path());
    for format in [Format::Qcow2, Format::Vmdk, Format::Vhd] {
        assert!(
            matches!(fails(&raw, Some(format.into())), ImportError::NotThat { .. }),
            "{format}"
        );
    }
}

#[test]
fn something_that_is_no_file_is_refused() {
    assert!(matches!(
        fails(Path::new("/dev/zero"), Some(Format::Raw.into())),
        ImportError::NotAFile
    ));
    assert!(matches!(fails(Path::new("/"), None), ImportError::NotAFile));
}

#[test]
fn a_full_disk_ends_an_import_with_an_error_that_says_so() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), SmallDisk::new("256k"));
    let error = import_to(&raw(dir.path()), None, &disk.path().join("dest")).unwrap_err();
    assert!(matches!(error, ImportError::NoSpace { .. }), "{error}");
}

#[test]
fn progress_grows_to_the_whole_and_an_import_can_be_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let (source, handle) = (File::open(raw(dir.path())).unwrap(), File::open(dir.path()).unwrap());
    let mut seen: Vec<Progress> = Vec::new();
    let cancel = AtomicBool::new(false);
    let dest = File::create(dir.path().join("dest")).unwrap();
    import(
        &source,
        None,
        &dest,
        &handle,
        &mut |progress| seen.push(progress),
        &cancel,
    )
    .unwrap();
    assert!(seen.is_sorted_by_key(|progress| progress.done));
    assert_eq!(
        seen.last(),
        Some(&Progress {
            done: SIZE,
            total: SIZE
        })
    );

    let dest = File::create(dir.path().join("dest2")).unwrap();
    let mut stop = |_| cancel.store(true, Ordering::Relaxed);
    let error = import(&source, None, &dest, &handle, &mut stop, &cancel).unwrap_err();
    assert!(matches!(error, ImportError::Cancelled), "{error}");
}
