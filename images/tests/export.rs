//! Disks that were exported: `qemu-img` finds them as they were and whole, and so does our own import.

use kiln_images::formats::{ExportError, Exported, Format, Progress, digest_of, export, import};
use proptest::prelude::*;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

mod common;
use common::{SmallDisk, run, run_with_input, text};

const ALL: [Format; 4] = [Format::Raw, Format::Qcow2, Format::Vmdk, Format::Vhd];
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Bytes that don't compress well.
fn noise(len: u64, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// A raw disk of `size` bytes with data at some places.
fn disk(dir: &Path, size: u64, data: &[(u64, Vec<u8>)]) -> PathBuf {
    let path = dir.join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(size).unwrap();
    for (at, bytes) in data {
        file.write_all_at(bytes, *at).unwrap();
    }
    path
}

fn new_file(path: &Path) -> File {
    let mut options = File::options();
    options.read(true).write(true).create_new(true).open(path).unwrap()
}

fn export_to(disk: &Path, format: Format, dest: &Path) -> Result<Exported, ExportError> {
    let (source, dest) = (File::open(disk).unwrap(), new_file(dest));
    export(
        &source,
        &dest,
        format,
        0x1234_5678_9abc,
        &mut |_| {},
        &AtomicBool::new(false),
    )
}

/// What QEMU calls it.
fn qemu_name(format: Format) -> String {
    match format {
        Format::Vhd => "vpc".into(),
        other => other.to_string(),
    }
}

/// Demands that QEMU finds the disk in the image, and nothing beyond it.
fn is_the_same(disk: &Path, image: &Path, format: Format) {
    let (disk, image, qemu) = (text(disk), text(image), qemu_name(format));
    run("qemu-img", &["compare", "-q", "-f", "raw", "-F", &qemu, &disk, &image]);
    let told = run_with_input("qemu-img", &["info", "--output=json", "-f", &qemu, &image], "");
    let size = std::fs::metadata(&disk).unwrap().len().next_multiple_of(512);
    assert!(told.contains(&format!("\"virtual-size\": {size},")), "{told}");
}

/// Exports a disk in each format, and demands that QEMU and we ourselves read the same disk back; gives the space that each image
/// takes, in bytes.
fn round_trip(dir: &Path, disk: &Path) -> Vec<(Format, u64)> {
    let expected = digest_of(&File::open(disk).unwrap()).unwrap();
    let size = std::fs::metadata(disk).unwrap().len();
    let mut taken = Vec::new();
    for format in ALL {
        let (image, back) = (dir.join(format!("image.{format}")), dir.join("back"));
        let exported = export_to(disk, format, &image).unwrap_or_else(|error| panic!("{format}: {error}"));
        assert_eq!(exported.virtual_size, size, "{format}");
        let qemu = qemu_name(format);
        if matches!(format, Format::Qcow2 | Format::Vmdk) {
            run("qemu-img", &["check", "-q", "-f", &qemu, &text(&image)]);
        }
        is_the_same(disk, &image, format);
        let (source, folder) = (File::open(&image).unwrap(), File::open(dir).unwrap());
        let dest = new_file(&back);
        let never = AtomicBool::new(false);
        // What is in a raw disk may look like any format.
        let said = (format == Format::Raw).then_some(format.into());
        let imported = import(&source, said, &dest, &folder, &mut |_| {}, &never).unwrap();
        assert_eq!((imported.format, imported.virtual_size), (format.into(), size));
        assert_eq!(imported.digest, expected, "{format} gave another disk");
        taken.push((format, std::fs::metadata(&image).unwrap().blocks() * 512));
        std::fs::remove_file(&image).unwrap();
        std::fs::remove_file(&back).unwrap();
    }
    taken
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_disk_is_the_same_in_every_format(
        sectors in 1_u64..200_000,
        places in prop::collection::vec((any::<prop::sample::Index>(), 1_u64..300_000, any::<u64>()), 0..6),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let size = sectors * 512;
        let data: Vec<(u64, Vec<u8>)> = places
            .iter()
            .map(|(place, len, seed)| {
                let at = place.index(usize::try_from(size).unwrap()) as u64;
                (at, noise((*len).min(size - at), *seed))
            })
            .collect();
        round_trip(dir.path(), &disk(dir.path(), size, &data));
    }
}

#[test]
fn disks_of_odd_sizes_and_with_data_at_their_ends_are_whole() {
    for size in [
        512,
        1024,
        64 << 10,
        (64 << 10) + 512,
        2 * MIB,
        2 * MIB + 512,
        32 * MIB - 512,
        32 * MIB,
        32 * MIB + 512,
    ] {
        let dir = tempfile::tempdir().unwrap();
        let data = [(0, vec![1; 512]), (size - 512, noise(512, size))];
        round_trip(dir.path(), &disk(dir.path(), size, &data));
    }
}

#[test]
fn a_disk_that_is_not_whole_sectors_is_filled_up() {
    let dir = tempfile::tempdir().unwrap();
    let odd = disk(dir.path(), 1000, &[(0, vec![3; 1000])]);
    for format in ALL {
        let image = dir.path().join(format.to_string());
        assert_eq!(export_to(&odd, format, &image).unwrap().virtual_size, 1024);
        run(
            "qemu-img",
            &[
                "compare",
                "-f",
                "raw",
                "-F",
                &qemu_name(format),
                &text(&odd),
                &text(&image),
            ],
        );
    }
}

#[test]
fn an_empty_disk_takes_next_to_nothing_and_neither_do_zeroes_that_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let zeroes = [(0, vec![0; 8 << 20])];
    for data in [&[][..], &zeroes] {
        for (format, taken) in round_trip(dir.path(), &disk(dir.path(), 5 * GIB + 512, data)) {
            // A raw image may share the blocks of the disk, whatever is in them.
            assert!(
                taken <= 512 << 10 || format == Format::Raw,
                "{format} takes {taken} bytes"
            );
        }
    }
}

#[test]
fn a_disk_that_is_all_data_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let full = disk(dir.path(), 40 * MIB, &[(0, noise(40 * MIB, 7))]);
    for (format, taken) in round_trip(dir.path(), &full) {
        assert!(
            (40 * MIB..41 * MIB).contains(&taken) || taken > 39 * MIB && format == Format::Vmdk,
            "{format} takes {taken} bytes"
        );
    }
}

#[test]
fn a_large_sparse_disk_has_holes_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    // Beyond 2^32 bytes, in more than one table of each kind, and more than cylinders, heads and sectors can tell.
    let data = [
        (0, noise(100_000, 1)),
        (3 * GIB - 700, noise(1400, 2)),
        (5 * GIB + 12345, noise(200_000, 3)),
        (130 * GIB - 512, noise(512, 4)),
    ];
    let large = disk(dir.path(), 130 * GIB, &data);
    for (format, taken) in round_trip(dir.path(), &large) {
        assert!(taken < 3 * MIB, "{format} takes {taken} bytes");
    }
}

/// A qcow2 file has two clusters of reference counts from 2 GiB on, most of which are holes here.
#[test]
fn a_disk_with_gigabytes_of_data_is_whole() {
    // In memory: so many small pieces take a disk minutes.
    let small = SmallDisk::new("400m");
    let path = disk(small.path(), 5 * GIB, &[]);
    let file = File::options().write(true).open(&path).unwrap();
    // A byte in each cluster makes all of them data.
    for cluster in 0..(2 * GIB + 200 * MIB) / (64 << 10) {
        file.write_all_at(&[1], cluster * (64 << 10)).unwrap();
    }
    let image = small.path().join("image.qcow2");
    export_to(&path, Format::Qcow2, &image).unwrap();
    run("qemu-img", &["check", "-q", "-f", "qcow2", &text(&image)]);
    is_the_same(&path, &image, Format::Qcow2);
}

#[test]
fn what_a_format_cannot_hold_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let large = disk(dir.path(), 2041 * GIB, &[]);
    let error = export_to(&large, Format::Vhd, &dir.path().join("image")).unwrap_err();
    assert!(
        matches!(
            error,
            ExportError::TooLarge {
                format: Format::Vhd,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("raw or qcow2"), "{error}");
}

#[test]
fn a_file_that_is_not_empty_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (disk(dir.path(), MIB, &[(0, vec![1; 512])]), dir.path().join("dest"));
    std::fs::write(&dest, "mine").unwrap();
    let (source, open) = (
        File::open(source).unwrap(),
        File::options().write(true).open(&dest).unwrap(),
    );
    for format in ALL {
        let refused = export(&source, &open, format, 0, &mut |_| {}, &AtomicBool::new(false));
        assert!(
            matches!(refused, Err(ExportError::NotEmpty { size: 4 })),
            "{format}: {refused:?}"
        );
    }
    assert_eq!(std::fs::read(&dest).unwrap(), b"mine");
}

#[test]
fn a_full_disk_ends_an_export_with_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let full = disk(dir.path(), 4 * MIB, &[(0, noise(4 * MIB, 5))]);
    for format in ALL {
        let small = SmallDisk::new("1m");
        let error = export_to(&full, format, &small.path().join("image")).unwrap_err();
        assert!(matches!(error, ExportError::NoSpace { .. }), "{format}: {error}");
    }
}

#[test]
fn progress_grows_to_the_whole_and_an_export_can_be_cancelled() {
    // In memory, where no file shares another's blocks.
    let small = SmallDisk::new("64m");
    let source = disk(small.path(), 20 * MIB, &[(0, noise(8 * MIB, 6))]);
    let source = File::open(source).unwrap();
    for format in ALL {
        let (mut seen, never): (Vec<Progress>, _) = (Vec::new(), AtomicBool::new(false));
        let dest = new_file(&small.path().join("whole"));
        let mut note = |progress| seen.push(progress);
        export(&source, &dest, format, 0, &mut note, &never).unwrap();
        assert!(
            seen.len() > 4 && seen.is_sorted_by_key(|progress| progress.done),
            "{format}: {seen:?}"
        );
        let whole = Progress {
            done: 20 * MIB,
            total: 20 * MIB,
        };
        assert_eq!(seen.last(), Some(&whole), "{format}");

        let (cancel, part) = (AtomicBool::new(false), small.path().join("part"));
        let mut stop = |_| cancel.store(true, Ordering::Relaxed);
        let error = export(&source, &new_file(&part), format, 0, &mut stop, &cancel).unwrap_err();
        assert!(matches!(error, ExportError::Cancelled), "{format}: {error}");
        if format != Format::Raw {
            let (part, folder) = (File::open(&part).unwrap(), File::open(small.path()).unwrap());
            let dest = new_file(&small.path().join("back"));
            let taken = import(&part, Some(format.into()), &dest, &folder, &mut |_| {}, &never);
            assert!(taken.is_err(), "A part of a {format} image passes for a whole one");
            std::fs::remove_file(small.path().join("back")).unwrap();
        }
        std::fs::remove_file(small.path().join("whole")).unwrap();
        std::fs::remove_file(small.path().join("part")).unwrap();
    }
}
