//! Images in foreign formats; the first byte says which.
#![no_main]

use kiln_images::formats::{FileFormat, Format, import};
use libfuzzer_sys::fuzz_target;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many steps are waited for: a disk of terabytes of zeroes has many.
const STEPS: u32 = 256;

fuzz_target!(|input: &[u8]| {
    let Some((kind, image)) = input.split_first() else { return };
    let disks = [Format::Raw, Format::Qcow2, Format::Vmdk, Format::Vhd].map(FileFormat::Disk);
    let formats = [disks.as_slice(), &[FileFormat::Ova]].concat();
    let format = formats.get(usize::from(*kind)).copied();
    let (source, dest) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    source.write_all_at(image, 0).unwrap();
    let (mut steps, cancel) = (0, AtomicBool::new(false));
    let mut count = |_| {
        steps += 1;
        cancel.store(steps > STEPS, Ordering::Relaxed);
    };
    let _ = import(&source, format, &dest, &File::open("/").unwrap(), &mut count, &cancel);
});
