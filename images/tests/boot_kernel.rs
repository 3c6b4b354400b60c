//! Kernels: small ones made here, and a real one named by `KILN_BOOT_KERNEL`.

use kiln_images::boot::kernel::{BzImage, Compression, Elf, Kernel, KernelError, identify};

mod common;
use common::filter;

const PVH_ENTRY: u64 = 0x100_0370;

/// An ELF kernel that is nothing but headers, a PVH note, and some filling that can be compressed.
fn elf() -> Vec<u8> {
    let mut file = vec![0; 0xc0];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &[2, 0, 62, 0, 1, 0, 0, 0]);
    put(32, &64u64.to_le_bytes());
    put(52, &[64, 0, 56, 0, 1, 0]);
    put(64, &4u32.to_le_bytes());
    put(72, &0x80u64.to_le_bytes());
    put(96, &44u64.to_le_bytes());
    put(0x80, b"\x04\0\0\0\x01\0\0\0\x07\0\0\0GNU\0x\0\0\0");
    put(0x94, b"\x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0");
    put(0xa4, &PVH_ENTRY.to_le_bytes());
    file.extend((0..10_000_000u32).map(|i| (i / 7) as u8));
    file
}

/// A bzImage with this payload, and the length that it says it has unpacked.
fn bzimage(payload: &[u8], unpacked: usize) -> Vec<u8> {
    let mut file = vec![0; 1024];
    file[0x1f1] = 1;
    file[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    file[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
    file[0x236] = 0x7f;
    file[0x248..0x24c].copy_from_slice(&100u32.to_le_bytes());
    file[0x24c..0x250].copy_from_slice(&(payload.len() as u32 + 4).to_le_bytes());
    file.resize(1124, 0x90);
    file.extend(payload);
    file.extend((unpacked as u32).to_le_bytes());
    file.extend([0; 64]);
    file
}

fn parse(file: &[u8]) -> BzImage {
    match identify(&file) {
        Ok(Kernel::BzImage(image)) => image,
        other => panic!("{other:?}"),
    }
}

fn packed(compression: Compression, elf: &[u8]) -> Vec<u8> {
    match compression {
        Compression::Lz4 => filter("lz4", &["-l", "-c"], elf),
        Compression::Zstd => filter("zstd", &["-19", "-c"], elf),
        Compression::Gzip => filter("gzip", &["-c"], elf),
        Compression::Xz => filter("xz", &["--check=crc32", "--x86", "--lzma2=dict=1MiB", "-c"], elf),
        Compression::None => elf.to_vec(),
    }
}

#[test]
fn an_elf_kernel_is_known_by_its_pvh_note() {
    assert_eq!(identify(&elf()).unwrap(), Kernel::Elf(Elf { pvh_entry: PVH_ENTRY }));
    let mut without = elf();
    without[0x9c] = 0x11;
    assert!(matches!(identify(&without), Err(KernelError::NoEntry(_))));
}

#[test]
fn the_elf_file_is_taken_out_of_a_bzimage() {
    let elf = elf();
    for compression in [
        Compression::Lz4,
        Compression::Zstd,
        Compression::Gzip,
        Compression::None,
    ] {
        let file = bzimage(&packed(compression, &elf), elf.len());
        let image = parse(&file);
        assert_eq!((image.compression, image.protocol), (Some(compression), 0x020f));
        let unpacked = image.unpack(&file).unwrap();
        // A payload that is not compressed ends with its length too.
        assert!(unpacked.is_some_and(|bytes| bytes.starts_with(&elf)), "{compression}");
    }
}

#[test]
fn what_is_faster_or_safer_in_the_guest_is_left_to_it() {
    let elf = elf();
    let xz = bzimage(&packed(Compression::Xz, &elf), elf.len());
    assert_eq!(parse(&xz).compression, Some(Compression::Xz));
    assert!(parse(&xz).unpack(&xz).unwrap().is_none());
    let mut no_pvh = elf.clone();
    no_pvh[0x9c] = 0x11;
    let no_pvh = bzimage(&packed(Compression::Lz4, &no_pvh), elf.len());
    assert!(parse(&no_pvh).unpack(&no_pvh).unwrap().is_none());
    let unknown = bzimage(&[0xde; 100], 1000);
    assert!(parse(&unknown).unpack(&unknown).unwrap().is_none());
}

#[test]
fn a_damaged_payload_is_an_error_and_takes_no_memory_that_it_does_not_fill() {
    let elf = elf();
    for compression in [Compression::Lz4, Compression::Zstd, Compression::Gzip] {
        let payload = packed(compression, &elf);
        let mut broken = payload.clone();
        let middle = broken.len() / 2;
        broken[middle..middle + 8].iter_mut().for_each(|byte| *byte ^= 0xff);
        for (what, payload, length) in [
            ("cut off", &payload[..payload.len() / 2], elf.len()),
            ("with a length that is too long", &payload[..], elf.len() + 1),
            ("with a length of 4 GiB", &payload[..], u32::MAX as usize),
            ("changed", &broken[..], elf.len() * 2),
        ] {
            let file = bzimage(payload, length);
            let result = parse(&file).unpack(&file);
            assert!(matches!(result, Err(KernelError::Damaged(_))), "{compression} {what}");
        }
    }
}

#[test]
fn kernels_for_other_machines_are_named() {
    let mut arm = vec![0; 4096];
    arm[0x38..0x3c].copy_from_slice(b"ARMd");
    let mut arm_elf = elf();
    arm_elf[18] = 183;
    let mut old = bzimage(&[0; 64], 0);
    old[0x236] = 0;
    for (file, says) in [
        (&arm, "64-bit ARM"),
        (&arm_elf, "64-bit ARM"),
        (&old, "32-bit"),
        (&b"#!/bin/sh\n".repeat(100), "neither"),
        (&vec![0; 3], "3 bytes"),
    ] {
        let error = identify(file).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_real_kernel_can_be_looked_at_by_hand() {
    let Some(path) = std::env::var_os("KILN_BOOT_KERNEL") else {
        println!("KILN_BOOT_KERNEL names no kernel: nothing to look at");
        return;
    };
    let file = std::fs::File::open(&path).unwrap();
    let start = std::time::Instant::now();
    match identify(&file).unwrap() {
        Kernel::BzImage(image) => {
            let elf = image.unpack(&file).unwrap();
            println!(
                "{path:?}: {image:?}, {:?} bytes after {:?}",
                elf.as_ref().map(Vec::len),
                start.elapsed()
            );
            println!("{:?}", elf.map(|elf| identify(&elf)));
        }
        kernel => println!("{path:?}: {kernel:?}"),
    }
}
