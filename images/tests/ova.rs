//! OVAs around disks that `qemu-img` makes, and ones that were made to hurt.

use kiln_images::formats::{FileFormat, ImportError, Imported, OvaError, import};
use proptest::prelude::*;
use sha1::Digest as _;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tar::{Builder, EntryType, Header};

mod common;
use common::{run, text};

/// An import of what is small must end by then, in a test build on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(30);

/// A disk of 3 MiB with data here and there.
static RAW: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut disk = vec![0; 3 << 20];
    for (at, len) in [(0, 70_000), ((1 << 20) + 513, 5000), ((3 << 20) - 512, 512)] {
        let noise = (1..).map(|i: u32| (i.wrapping_mul(2654435761) >> 13) as u8 | 1);
        disk[at..at + len].copy_from_slice(&noise.take(len).collect::<Vec<_>>());
    }
    disk
});

/// The disk in another format.
fn converted(arguments: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (raw, image) = (dir.path().join("raw"), dir.path().join("image"));
    std::fs::write(&raw, &*RAW).unwrap();
    let paths = [&*text(&raw), &*text(&image)];
    run(
        "qemu-img",
        &[&["convert", "-f", "raw", "-O"], arguments, &paths].concat(),
    );
    std::fs::read(image).unwrap()
}

static VMDK: LazyLock<Vec<u8>> = LazyLock::new(|| converted(&["vmdk", "-o", "subformat=streamOptimized"]));

/// A descriptor with what is given in `References` and `DiskSection`.
fn envelope(references: &str, disks: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>{references}</References>
  <DiskSection><Info>Virtual disk &amp; more</Info>{disks}</DiskSection>
  <VirtualSystem ovf:id="vm"><Info>A machine</Info><Name>vm</Name></VirtualSystem>
</Envelope>
"#
    )
}

const DISK: &str = r#"<Disk ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:capacity="3" ovf:capacityAllocationUnits="byte * 2^20" vmw:parentRef="x"/>"#;

fn file(attributes: &str) -> String {
    format!(r#"<File ovf:id="file1" {attributes}/>"#)
}

/// A descriptor of one disk in that file.
fn descriptor(href: &str) -> String {
    envelope(&file(&format!(r#"ovf:href="{href}""#)), DISK)
}

fn archive(header: impl Fn() -> Header, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, contents) in files {
        let mut header = header();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *contents).unwrap();
    }
    tar.into_inner().unwrap()
}

fn ova(files: &[(&str, &[u8])]) -> Vec<u8> {
    archive(Header::new_ustar, files)
}

/// An OVA of a raw disk with that descriptor.
fn described(descriptor: &str) -> Vec<u8> {
    ova(&[("vm.ovf", descriptor.as_bytes()), ("disk.raw", &RAW)])
}

/// Imports it, and gives what it became.
fn imported(ova: &[u8]) -> Result<(Imported, Vec<u8>), ImportError> {
    imported_until(ova, Some(FileFormat::Ova), &AtomicBool::new(false), |_| {})
}

fn imported_until(
    ova: &[u8],
    format: Option<FileFormat>,
    cancel: &AtomicBool,
    mut progress: impl FnMut(&AtomicBool),
) -> Result<(Imported, Vec<u8>), ImportError> {
    let (source, dest) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    source.write_all_at(ova, 0).unwrap();
    let dir = File::open("/").unwrap();
    let start = Instant::now();
    let result = import(&source, format, &dest, &dir, &mut |_| progress(cancel), cancel);
    assert!(start.elapsed() < PATIENCE, "it took {:?}", start.elapsed());
    let result = result?;
    let mut disk = vec![0; usize::try_from(result.virtual_size).unwrap()];
    dest.read_exact_at(&mut disk, 0).unwrap();
    Ok((result, disk))
}

#[track_caller]
fn is_the_disk(ova: &[u8]) {
    let (result, disk) = imported_until(ova, None, &AtomicBool::new(false), |_| {}).unwrap();
    assert!(disk == *RAW, "it became another disk");
    assert_eq!(
        (result.format, result.virtual_size),
        (FileFormat::Ova, RAW.len() as u64)
    );
}

#[track_caller]
fn is_refused(ova: &[u8], says: &str) {
    let error = imported(ova).expect_err(says).to_string();
    assert!(error.contains(says), "{says:?} is not in: {error}");
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha1_of(bytes: &[u8]) -> String {
    hexadecimal(&sha1::Sha1::digest(bytes))
}

fn sha256_of(bytes: &[u8]) -> String {
    hexadecimal(&<sha2::Sha256 as sha2::Digest>::digest(bytes))
}

fn sha512_of(bytes: &[u8]) -> String {
    hexadecimal(&<sha2::Sha512 as sha2::Digest>::digest(bytes))
}

#[test]
fn an_ova_is_the_disk_in_it_whatever_that_ones_format() {
    for arguments in [
        &["raw"][..],
        &["vmdk", "-o", "subformat=streamOptimized"],
        &["vmdk"],
        &["qcow2", "-c"],
        &["vpc", "-o", "subformat=dynamic,force_size=on"],
        &["vpc", "-o", "subformat=fixed,force_size=on"],
    ] {
        let disk = converted(arguments);
        // Another file before it, of odd length.
        let attributes = format!(
            r#"ovf:href="disk" ovf:size="{}" ovf:compression="identity""#,
            disk.len()
        );
        let other = r#"<File ovf:id="file2" ovf:href="readme"/>"#;
        let descriptor = envelope(&format!("{other}{}", file(&attributes)), DISK);
        is_the_disk(&ova(&[
            ("vm.ovf", descriptor.as_bytes()),
            ("readme", b"x"),
            ("disk", &disk),
        ]));
    }
}

#[test]
fn holes_of_a_raw_disk_are_holes_in_an_archive_too() {
    let file = tempfile::tempfile().unwrap();
    let descriptor = descriptor("disk.raw");
    let mut archive = ova(&[("vm.ovf", descriptor.as_bytes()), ("disk.raw", b"")]);
    archive.truncate(1024 + descriptor.len().next_multiple_of(512));
    let (size, at) = (8u64 << 30, archive.len());
    let mut header = Header::from_byte_slice(&archive[at - 512..]).clone();
    header.set_size(size);
    header.set_cksum();
    archive[at - 512..].copy_from_slice(header.as_bytes());
    file.write_all_at(&archive, 0).unwrap();
    file.write_all_at(b"x", at as u64 + (5 << 30)).unwrap();
    file.set_len(at as u64 + size).unwrap();
    let (start, dest) = (Instant::now(), tempfile::tempfile().unwrap());
    let dir = File::open("/").unwrap();
    let done = import(&file, None, &dest, &dir, &mut |_| {}, &AtomicBool::new(false)).unwrap();
    assert_eq!((done.virtual_size, done.bytes_written), (size, 4096));
    assert!(start.elapsed() < PATIENCE, "it took {:?}", start.elapsed());
}

#[test]
fn a_disk_is_found_whatever_its_name_and_wherever_it_is() {
    let long = format!("{}/disk.vmdk", "a-long-name/".repeat(20));
    for (href, name) in [
        ("disk.vmdk", "disk.vmdk"),
        ("my%20disk.vmdk", "my disk.vmdk"),
        ("a &lt;b&gt;.vmdk", "a <b>.vmdk"),
        ("100%.vmdk", "100%.vmdk"),
        ("./disk.vmdk", "disk.vmdk"),
        (&long, &long),
        ("Größe.vmdk", "Größe.vmdk"),
    ] {
        let descriptor = descriptor(href);
        let files = [("vm.ovf", descriptor.as_bytes()), (name, &**VMDK)];
        is_the_disk(&archive(Header::new_gnu, &files));
    }
    let descriptor = descriptor("disk.vmdk");
    let files: [(&str, &[u8]); 3] = [
        ("./vm.OVF", descriptor.as_bytes()),
        ("other", b""),
        ("./disk.vmdk", &VMDK),
    ];
    is_the_disk(&ova(&files));
    // Another prefix, and OVF 2.x.
    let other = descriptor
        .replace("ovf:", "o:")
        .replace("xmlns:ovf", "xmlns:o")
        .replace("envelope/1", "envelope/2");
    is_the_disk(&ova(&[("vm.ovf", format!("\u{feff}{other}").as_bytes()), files[2]]));
    // Without the blocks of zeroes that end an archive.
    let mut archive = ova(&files);
    archive.truncate(archive.len() - 1024);
    is_the_disk(&archive);
}

#[test]
fn extended_headers_name_and_measure_what_comes_after_them() {
    let (descriptor, name) = (descriptor("real.vmdk"), "real.vmdk");
    let mut tar = Builder::new(Vec::new());
    let mut append = |name: &str, contents: &[u8], size: usize| {
        let mut header = Header::new_ustar();
        header.set_size(size as u64);
        header.set_path(name).unwrap();
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, contents).unwrap();
    };
    append("vm.ovf", descriptor.as_bytes(), descriptor.len());
    let at = tar.get_ref().len();
    let size = VMDK.len().to_string();
    let records = [
        ("mtime", &b"1.5"[..]),
        ("path", name.as_bytes()),
        ("size", size.as_bytes()),
    ];
    tar.append_pax_extensions(records).unwrap();
    let mut header = Header::new_ustar();
    header.set_path("short").unwrap();
    header.set_size(0);
    header.set_cksum();
    let mut archive = tar.into_inner().unwrap();
    archive.truncate(at + 1024);
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(&VMDK);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    is_the_disk(&archive);
}

#[test]
fn an_ova_is_held_against_its_manifest() {
    let descriptor = descriptor("disk.vmdk");
    let sha1: fn(&[u8]) -> String = sha1_of;
    for (algorithm, digest) in [("SHA1", sha1), ("SHA256", sha256_of), ("sha512 ", sha512_of)] {
        let of_descriptor = format!("{algorithm}(vm.ovf)= {}\r\n", digest(descriptor.as_bytes()));
        let of_disk = format!("{algorithm}(disk.vmdk)={}\n\n", digest(&VMDK).to_uppercase());
        let with = |manifest: &str, disk: &[u8]| {
            ova(&[
                ("vm.ovf", descriptor.as_bytes()),
                ("vm.mf", manifest.as_bytes()),
                ("disk.vmdk", disk),
            ])
        };
        let manifest = format!("{of_descriptor}{of_disk}");
        is_the_disk(&with(&manifest, &VMDK));
        let mut changed = VMDK.clone();
        changed[VMDK.len() / 2] ^= 1;
        let error = imported(&with(&manifest, &changed)).unwrap_err();
        assert!(
            matches!(&error, ImportError::Ova(OvaError::Digest { name }) if name == "disk.vmdk"),
            "{error}"
        );
        is_refused(&with(&manifest.replace("= ", "= 0"), &VMDK), "\"vm.ovf\" are not those");
        is_refused(&with(&of_disk, &VMDK), "\"vm.ovf\" has no digest in the manifest");
        is_refused(
            &with(&of_descriptor, &VMDK),
            "\"disk.vmdk\" has no digest in the manifest",
        );
        is_refused(&with(&manifest.repeat(2), &VMDK), "two digests of one file");
        is_refused(&with("x", &VMDK), "no digest of a file");
        is_refused(&with("MD5(vm.ovf)= 00", &VMDK), "not SHA-1, SHA-256 or SHA-512");
    }
}

#[test]
fn an_import_can_be_cancelled_before_its_manifest_is_verified() {
    let descriptor = descriptor("disk.raw");
    let manifest = format!(
        "SHA256(vm.ovf)= {}\nSHA256(disk.raw)= 0",
        sha256_of(descriptor.as_bytes())
    );
    let files: [(&str, &[u8]); 3] = [
        ("vm.ovf", descriptor.as_bytes()),
        ("vm.mf", manifest.as_bytes()),
        ("disk.raw", &RAW),
    ];
    let error = imported_until(&ova(&files), None, &AtomicBool::new(true), |_| {}).unwrap_err();
    assert!(matches!(error, ImportError::Cancelled), "{error}");
}

#[test]
fn an_ova_without_exactly_one_whole_disk_is_refused() {
    let one = file(r#"ovf:href="disk.raw""#);
    let two = format!("{DISK}{}", DISK.replace("vmdisk1", "vmdisk2"));
    for (references, disks, says) in [
        (&*one, "", "with 0 disks"),
        (&one, &two, "with 2 disks is not supported, only with one"),
        (&one, &DISK.replace("ovf:fileRef=\"file1\"", ""), "an empty disk"),
        (&one, &DISK.replace("file1", "file9"), "exactly one file of its References"),
        (&one.repeat(2), DISK, "exactly one file of its References"),
        ("", DISK, "exactly one file of its References"),
        (&file(""), DISK, "no ovf:href"),
        (&one, &DISK.replace("vmw:parentRef", "ovf:parentRef"), "(ovf:parentRef), which is not supported"),
        (&file(r#"ovf:href="disk.raw" ovf:compression="gzip""#), DISK, "gzip (ovf:compression), which is not supported"),
        (&file(r#"ovf:href="disk.raw" ovf:compression="lzma""#), DISK, "unknown compression"),
        (&file(r#"ovf:href="disk.raw" ovf:chunkSize="7""#), DISK, "several files"),
        (&file(r#"ovf:href="disk.raw" ovf:size="7""#), DISK, "\"disk.raw\" is not as long"),
        (&file(r#"ovf:href="disk.raw" ovf:size="-7""#), DISK, "no number of bytes"),
        (&file(r#"ovf:href="disk.raw" ovf:href="x""#), DISK, "an attribute twice"),
        (&file(r#"href="disk.raw""#), DISK, "no ovf:href"),
        (
            &one,
            &DISK.replace("ovf:capacity=", "ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized\" ovf:capacity="),
            "is no vmdk image",
        ),
    ] {
        is_refused(&described(&envelope(references, disks)), says);
    }
}

#[test]
fn a_path_out_of_the_ova_is_refused_by_its_name() {
    for href in [
        "/etc/shadow",
        "../disk.raw",
        "a/../../disk.raw",
        "%2e%2e/disk.raw",
        "%2fetc/shadow",
        "file:///etc/shadow",
        "https://example.com/disk.vmdk",
        "..",
    ] {
        match imported(&described(&descriptor(href))) {
            Err(ImportError::Ova(OvaError::OutOfItself { path })) => {
                assert_eq!(path, href.replace("%2e", ".").replace("%2f", "/"));
            }
            other => panic!("{href}: {other:?}"),
        }
    }
    for href in [
        "disk2.raw",
        "",
        "DISK.RAW",
        "..\\disk.raw",
        "file:disk.raw",
        "disk.raw/",
    ] {
        match imported(&described(&descriptor(href))) {
            Err(ImportError::Ova(OvaError::Missing { name })) => assert_eq!(name, href),
            other => panic!("{href}: {other:?}"),
        }
    }
}

#[test]
fn an_archive_with_more_than_plain_files_is_refused() {
    let descriptor = descriptor("disk.raw");
    let with = |kind: EntryType, name: &str| {
        let mut tar = Builder::new(Vec::new());
        let mut append = |kind, name: &str, contents: &[u8]| {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(contents.len() as u64);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            if kind == EntryType::Symlink {
                header.set_link_name("/etc/shadow").unwrap();
            }
            header.set_cksum();
            tar.append(&header, contents).unwrap();
        };
        append(EntryType::Regular, "vm.ovf", descriptor.as_bytes());
        append(kind, name, b"");
        append(EntryType::Regular, "disk.raw", &RAW);
        tar.into_inner().unwrap()
    };
    is_the_disk(&with(EntryType::Directory, "folder"));
    is_the_disk(&with(EntryType::XGlobalHeader, "pax_global_header"));
    is_refused(&with(EntryType::Symlink, "link"), "\"link\", which is a link");
    is_refused(&with(EntryType::Link, "link"), "\"link\", which is a link");
    is_refused(&with(EntryType::Char, "c"), "\"c\", which is a device");
    is_refused(&with(EntryType::Block, "b"), "\"b\", which is a device");
    is_refused(&with(EntryType::Fifo, "p"), "\"p\", which is a pipe");
    is_refused(&with(EntryType::GNUSparse, "s"), "\"s\", which is a sparse file");
    is_refused(&with(EntryType::new(b'V'), "v"), "\"v\", which is of an unknown kind");
    is_refused(&with(EntryType::Regular, "disk.raw"), "two files of one name");
    is_refused(&with(EntryType::Regular, "vm.ovf"), "two files of one name");
    for name in ["/etc/passwd", "../x", "a/../../x"] {
        match imported(&with(EntryType::Regular, name)) {
            Err(ImportError::Ova(OvaError::OutOfItself { path })) => assert_eq!(path, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    let mut sparse = Builder::new(Vec::new());
    sparse.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).unwrap();
    is_refused(&sparse.into_inner().unwrap(), "sparse files, which is not supported");
}

#[test]
fn an_archive_that_is_no_ova_says_so() {
    is_refused(
        &ova(&[("readme.txt", b"x"), ("vm.ovf", b"x")]),
        "begins with \"readme.txt\"",
    );
    is_refused(&ova(&[]), "no file in it");
    is_refused(b"", "no file in it");
    is_refused(&ova(&[("vm.ovf", b"\xff")]), "no text in UTF-8");
    let nested = described(&descriptor("disk.raw"));
    let nested = ova(&[("vm.ovf", descriptor("in.ova").as_bytes()), ("in.ova", &nested)]);
    is_refused(&nested, "another OVA as its disk");
    let gzip = ova(&[("vm.ovf", descriptor("d").as_bytes()), ("d", b"\x1f\x8b")]);
    is_refused(&gzip, "a compressed file (gzip)");
}

#[test]
fn an_ova_that_is_cut_off_or_has_no_bounds_is_refused() {
    let descriptor = descriptor("disk.vmdk");
    let whole = ova(&[("vm.ovf", descriptor.as_bytes()), ("disk.vmdk", &VMDK)]);
    let data = 512 + descriptor.len().next_multiple_of(512);
    for len in [1, 511, 600, data + 100, data + 513, data + 512 + VMDK.len() - 1] {
        is_refused(&whole[..len], "cut off");
    }
    // Cut off between two files, it lacks one.
    is_refused(&whole[..512], "cut off");
    is_refused(&whole[..data], "the file \"disk.vmdk\", which is not in it");
    let mut wrong = whole.clone();
    wrong[data + 3] ^= 1;
    is_refused(&wrong, "checksum of a header");
    let names: Vec<String> = (0..1001).map(|nth| format!("f{nth}.ovf")).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    is_refused(&ova(&many), "more files than any OVA");
    let long = "x".repeat(70_000);
    is_refused(&archive(Header::new_gnu, &[(&long, b"")]), "absurdly long");
    is_refused(&ova(&[("vm.ovf", " ".repeat(1 << 21).as_bytes())]), "longer than 1 MiB");
    let manifest = ova(&[("vm.ovf", b""), ("vm.mf", "\n".repeat(1 << 21).as_bytes())]);
    is_refused(&manifest, "\"vm.mf\" is longer than 1 MiB");
}

#[test]
fn a_descriptor_that_was_made_to_hurt_is_refused_in_time() {
    let good = descriptor("disk.raw");
    let (head, body) = good.split_once("?>").unwrap();
    let dtd = format!(r#"{head}?><!DOCTYPE x [<!ENTITY a "disk"><!ENTITY b SYSTEM "file:///etc/shadow">]>{body}"#);
    let root = r#"<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1""#;
    let many = |each: fn(usize) -> String| (0..).map(each).take(40_000).collect::<String>();
    for (text, says) in [
        (&*dtd, "it has a DTD"),
        (&good.replace("disk.raw", "&a;.raw"), "can't be read"),
        ("", "ends before"),
        ("no XML", "ends before"),
        ("<a/>", "no Envelope"),
        (&good.replace("envelope/1", "envelope/7"), "no Envelope"),
        (&good.replace("</Envelope>", ""), "ends before"),
        (&good.replace("</References>", "</other>"), "can't be read"),
        (&format!("{good}<Envelope/>"), "two roots"),
        (&format!("{root}>{}", "<a>".repeat(100_000)), "nested too deep"),
        (
            &format!("{root}{}/>", many(|n| format!(" xmlns:a{n}='b'"))),
            "can't be read",
        ),
        (&format!("{root}{}/>", many(|n| format!(" a{n}='b'"))), "with 0 disks"),
        (
            &format!(
                "{root}><References><File{}/></References></Envelope>",
                many(|n| format!(" ovf:a{n}='b'"))
            ),
            "with 0 disks",
        ),
        (&format!("{root}>{}</Envelope>", "<a/>".repeat(100_000)), "with 0 disks"),
        (
            &format!(
                "{root}><DiskSection>{}</DiskSection></Envelope>",
                "<Disk/>".repeat(100_000)
            ),
            "with 100000 disks",
        ),
    ] {
        is_refused(&described(text), says);
    }
}

/// A small OVA with a manifest, and where its headers are.
static SMALL: LazyLock<(Vec<u8>, Vec<usize>)> = LazyLock::new(|| {
    let descriptor = descriptor("disk.vmdk");
    let of = |name: &str, bytes: &[u8]| format!("SHA256({name})= {}\n", sha256_of(bytes));
    let manifest = of("vm.ovf", descriptor.as_bytes()) + &of("disk.vmdk", &VMDK);
    let files: [(&str, &[u8]); 3] = [
        ("vm.ovf", descriptor.as_bytes()),
        ("vm.mf", manifest.as_bytes()),
        ("disk.vmdk", &VMDK),
    ];
    let mut headers = vec![0];
    for (_, contents) in &files[..2] {
        headers.push(headers[headers.len() - 1] + 512 + contents.len().next_multiple_of(512));
    }
    (ova(&files), headers)
});

/// Imports what may be broken: an import of terabytes of nothing is cancelled.
fn try_import(ova: &[u8]) -> Result<(), ImportError> {
    let start = Instant::now();
    let stop = |cancel: &AtomicBool| cancel.store(start.elapsed() > Duration::from_secs(2), Ordering::Relaxed);
    imported_until(ova, Some(FileFormat::Ova), &AtomicBool::new(false), stop).map(drop)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_an_archive_makes_trouble(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        len in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (mut ova, headers) = SMALL.clone();
        for (at, byte) in changes {
            // Every second one in a header.
            let at = at.index(2 * 512 * headers.len());
            let at = headers.get(at / 1024).map_or(0, |start| start + at % 1024);
            ova[at] = byte;
        }
        for &start in &headers {
            let mut header = Header::from_byte_slice(&ova[start..start + 512]).clone();
            header.set_cksum();
            ova[start..start + 512].copy_from_slice(header.as_bytes());
        }
        if let Some(len) = len {
            ova.truncate(len.index(ova.len()));
        }
        let _ = try_import(&ova);
    }

    #[test]
    fn no_descriptor_makes_trouble(parts in prop::collection::vec(prop::sample::select(&[
        "<Envelope", " xmlns='http://schemas.dmtf.org/ovf/envelope/1'", " xmlns:ovf='http://schemas.dmtf.org/ovf/envelope/1'",
        ">", "/>", "<References>", "<File", " ovf:id='f'", " ovf:href='disk.raw'", "</References>", "<DiskSection>", "<Disk",
        " ovf:fileRef='f'", "</DiskSection>", "</Envelope>", "<!DOCTYPE a [", "<![CDATA[", "]]>", "<!--", "-->", "<?xml", "?>",
        "&#x0;", "&amp", "&a;", "'", "\"", "\u{feff}", "é", "\0", " xmlns:xml='", ":", "<", "</", "=",
    ][..]), 0..60)) {
        let _ = try_import(&described(&parts.concat()));
    }

    #[test]
    fn no_manifest_makes_trouble(text in "(SHA(1|256|512|9)? ?[(=)]?(vm.ovf|disk.raw|\\PC{0,3})[)]?=? ?[0-9a-f]{0,3}\r?\n?){0,6}") {
        let descriptor = descriptor("disk.raw");
        let files: [(&str, &[u8]); 3] = [("vm.ovf", descriptor.as_bytes()), ("vm.mf", text.as_bytes()), ("disk.raw", &RAW)];
        prop_assert!(try_import(&ova(&files)).is_err());
    }
}
