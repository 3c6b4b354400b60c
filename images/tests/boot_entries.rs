//! Disks that boot by Boot Loader Specification entries, unified kernel images, or kernel files alone.

use kiln_images::boot::{self, BootError, FoundBy};
use std::fs::File;
use std::path::Path;

mod common;
use common::{Builder, ESP, EXTENDED_BOOT, LINUX, ROOT_UUID, contents, initrd};

const SYSTEMD_BOOT: (&str, &[u8]) = ("/EFI/systemd/systemd-bootx64.efi", b"MZ");

fn entry(title: &str, keys: &str) -> String {
    format!(
        "# made by a test\ntitle   {title}\n{keys}\nlinux   /{title}/linux\ninitrd  /{title}/initrd\noptions root=LABEL={title}\noptions  ro\n"
    )
}

/// Which of these entries boots: each has a file name and keys; its title is the name.
fn boots(entries: &[(&str, &str)], loader_conf: &str) -> String {
    let mut builder = Builder::new();
    let texts: Vec<_> = entries
        .iter()
        .map(|(name, keys)| (format!("/loader/entries/{name}.conf"), entry(name, keys)))
        .collect();
    let kernels: Vec<_> = entries
        .iter()
        .flat_map(|(name, _)| [format!("/{name}/linux"), format!("/{name}/initrd")])
        .collect();
    let mut files: Vec<(&str, &[u8])> = vec![SYSTEMD_BOOT, ("/loader/loader.conf", loader_conf.as_bytes())];
    files.extend(texts.iter().map(|(name, text)| (name.as_str(), text.as_bytes())));
    files.extend(kernels.iter().map(|name| (name.as_str(), name.as_bytes())));
    let esp = builder.fat(40_000, &["-F", "32"], &files);
    let disk = File::open(builder.gpt(&[(ESP, &esp)])).unwrap();
    let found = boot::find(&disk).unwrap();
    assert_eq!(found.found_by, FoundBy::BootLoaderSpec);
    assert_eq!(contents(&found.kernel), format!("/{}/linux", found.title).as_bytes());
    assert_eq!(initrd(&found), format!("/{}/initrd", found.title).as_bytes());
    assert_eq!(found.command_line, format!("root=LABEL={} ro", found.title));
    found.title
}

#[test]
fn the_newest_entry_boots_unless_loader_conf_names_another() {
    assert_eq!(
        boots(&[("debian-6.1.0-9", ""), ("debian-6.1.0-10", "")], ""),
        "debian-6.1.0-10"
    );
    let keyed = [
        ("z-old", "sort-key a\nversion 9"),
        ("a-new", "sort-key a\nversion 10"),
        ("other", "sort-key b\nversion 99"),
    ];
    assert_eq!(boots(&keyed, "timeout 3\n"), "a-new");
    assert_eq!(boots(&[("with-key", "sort-key z"), ("without", "")], ""), "with-key");
    assert_eq!(boots(&keyed, "timeout 3\ndefault oth*\n"), "other");
    assert_eq!(boots(&keyed, "default z-old.conf"), "z-old");
    assert_eq!(boots(&keyed, "default @saved"), "a-new");
    assert_eq!(boots(&keyed, "default no-such"), "a-new");
}

#[test]
fn an_entry_whose_tries_are_used_up_comes_last() {
    let mut builder = Builder::new();
    let (bad, good) = (entry("bad", "version 2"), entry("good", "version 1"));
    let files: [(&str, &[u8]); 7] = [
        SYSTEMD_BOOT,
        ("/loader/entries/k-2+0-3.conf", bad.as_bytes()),
        ("/loader/entries/k-1+2-1.conf", good.as_bytes()),
        ("/bad/linux", b"bad"),
        ("/bad/initrd", b"bad"),
        ("/good/linux", b"good"),
        ("/good/initrd", b"good"),
    ];
    let esp = builder.fat(8192, &[], &files);
    let disk = File::open(builder.gpt(&[(ESP, &esp)])).unwrap();
    assert_eq!(boot::find(&disk).unwrap().title, "good");
}

#[test]
fn entries_in_the_extended_boot_partition_are_found() {
    let mut builder = Builder::new();
    let text = entry("it", "");
    let esp = builder.fat(4096, &[], &[SYSTEMD_BOOT]);
    let files: [(&str, &[u8]); 3] = [
        ("/loader/entries/it.conf", text.as_bytes()),
        ("/it/linux", b"kernel"),
        ("/it/initrd", b"ramdisk"),
    ];
    let boot = builder.ext4("8m", &[], &files);
    let disk = File::open(builder.gpt(&[(ESP, &esp), (EXTENDED_BOOT, &boot)])).unwrap();
    let found = boot::find(&disk).unwrap();
    assert_eq!(contents(&found.kernel), b"kernel");
    assert_eq!(found.kernel.name(), "/it/linux on partition 2");
}

#[test]
fn systemd_boot_comes_before_a_grub_configuration_that_was_left_behind() {
    let mut builder = Builder::new();
    let text = entry("it", "");
    let files: [(&str, &[u8]); 4] = [
        SYSTEMD_BOOT,
        ("/loader/entries/it.conf", text.as_bytes()),
        ("/it/linux", b"it"),
        ("/it/initrd", b"it"),
    ];
    let esp = builder.fat(4096, &[], &files);
    let grub: &[u8] = b"menuentry old { linux /boot/vmlinuz-1\n}\n";
    let root = builder.ext4("8m", &[], &[("/boot/grub/grub.cfg", grub), ("/boot/vmlinuz-1", b"old")]);
    let disk = File::open(builder.gpt(&[(ESP, &esp), (LINUX, &root)])).unwrap();
    assert_eq!(contents(&boot::find(&disk).unwrap().kernel), b"it");
}

/// A PE file with these sections.
fn unified_image(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = vec![0; 0x80];
    file[..2].copy_from_slice(b"MZ");
    file[0x3c] = 0x80;
    file.extend(b"PE\0\0\x64\x86");
    file.extend((sections.len() as u16).to_le_bytes());
    file.extend([0; 12]);
    file.extend([240, 0, 0, 0]);
    file.extend([0; 240]);
    let mut at = (file.len() + sections.len() * 40).next_multiple_of(512);
    let mut data = Vec::new();
    for (name, contents) in sections {
        let padded = contents.len().next_multiple_of(512);
        let mut row = name.as_bytes().to_vec();
        row.resize(8, 0);
        for number in [contents.len(), 0x10000, padded, at] {
            row.extend((number as u32).to_le_bytes());
        }
        row.resize(40, 0);
        file.extend(row);
        data.push((at, *contents));
        at += padded;
    }
    file.resize(at, 0);
    for (at, contents) in data {
        file[at..at + contents.len()].copy_from_slice(contents);
    }
    file
}

#[test]
fn the_newest_unified_kernel_image_boots() {
    let image = |version: &str| {
        let release = format!("ID=arch\nPRETTY_NAME=\"Arch {version}\"\nVERSION_ID={version}\n");
        let kernel = vec![version.as_bytes()[0]; 70_000];
        unified_image(&[
            (".osrel", release.as_bytes()),
            (".cmdline", b"root=PARTUUID=x rw\n\0"),
            (".linux", &kernel),
            (".initrd", b"ramdisk"),
        ])
    };
    let mut builder = Builder::new();
    let (old, new) = (image("2"), image("10"));
    let esp = builder.fat(
        16384,
        &[],
        &[("/EFI/Linux/z-old.efi", &old), ("/EFI/Linux/a-new.efi", &new)],
    );
    let root = builder.ext4("8m", &[], &[("/etc/os-release", b"ID=arch")]);
    let disk = File::open(builder.gpt(&[(ESP, &esp), (LINUX, &root)])).unwrap();
    let found = boot::find(&disk).unwrap();
    assert_eq!(
        (found.found_by, found.title.as_str()),
        (FoundBy::UnifiedKernelImage, "Arch 10")
    );
    assert_eq!(contents(&found.kernel), vec![b'1'; 70_000]);
    assert_eq!(initrd(&found), b"ramdisk");
    assert_eq!(found.command_line, "root=PARTUUID=x rw");
}

#[test]
fn a_unified_kernel_image_may_be_the_loader_of_removable_media() {
    let mut builder = Builder::new();
    let image = unified_image(&[(".linux", b"kernel"), (".cmdline", b"quiet")]);
    let esp = builder.fat(4096, &[], &[("/efi/boot/bootx64.efi", &image)]);
    let disk = File::open(builder.gpt(&[(ESP, &esp)])).unwrap();
    let found = boot::find(&disk).unwrap();
    assert_eq!(
        (contents(&found.kernel), found.initrd.is_none()),
        (b"kernel".to_vec(), true)
    );
}

#[test]
fn a_disk_without_a_loader_boots_what_its_links_name() {
    let mut builder = Builder::new();
    let files: [(&str, &[u8]); 6] = [
        ("/etc/os-release", b"NAME=x\nPRETTY_NAME='Debian GNU/Linux 12'\n"),
        ("/vmlinuz", b"->boot/vmlinuz-6.1.0-9"),
        ("/initrd.img", b"->/boot/initrd.img-6.1.0-9"),
        ("/boot/vmlinuz-6.1.0-9", b"kernel"),
        ("/boot/initrd.img-6.1.0-9", b"ramdisk"),
        ("/boot/vmlinuz-9.9.9", b"not linked"),
    ];
    let disk = File::open(builder.ext4("16m", &["-U", ROOT_UUID], &files)).unwrap();
    let found = boot::find(&disk).unwrap();
    assert_eq!(
        (found.found_by, found.title.as_str()),
        (FoundBy::KernelFile, "Debian GNU/Linux 12")
    );
    assert_eq!(
        (contents(&found.kernel), initrd(&found)),
        (b"kernel".to_vec(), b"ramdisk".to_vec())
    );
    assert_eq!(found.command_line, format!("root=UUID={ROOT_UUID} ro"));
}

#[test]
fn without_links_the_newest_kernel_boots_with_its_own_ramdisk() {
    let mut builder = Builder::new();
    let files: [(&str, &[u8]); 5] = [
        ("/boot/vmlinuz-6.1.0-9-amd64", b"old"),
        ("/boot/vmlinuz-6.1.0-10-amd64", b"new"),
        ("/boot/vmlinuz-0-rescue-abc", b"rescue"),
        ("/boot/initrd.img-6.1.0-9-amd64", b"old ramdisk"),
        ("/boot/initramfs-6.1.0-10-amd64.img", b"new ramdisk"),
    ];
    let root = builder.ext4("16m", &["-U", ROOT_UUID], &files);
    let disk = File::open(builder.gpt(&[(LINUX, &root)])).unwrap();
    let found = boot::find(&disk).unwrap();
    assert_eq!(
        (contents(&found.kernel), initrd(&found)),
        (b"new".to_vec(), b"new ramdisk".to_vec())
    );
}

#[test]
fn without_a_ramdisk_the_root_is_named_by_its_partition() {
    let mut builder = Builder::new();
    let root = builder.ext4(
        "16m",
        &[],
        &[("/boot/vmlinuz-1", b"kernel"), ("/etc/os-release", b"PRETTY_NAME=x")],
    );
    let disk = File::open(builder.mbr(&[(0x83, &root)])).unwrap();
    assert_eq!(boot::find(&disk).unwrap().command_line, "root=PARTUUID=cafe0001-01 ro");
    let disk = File::open(root).unwrap();
    assert_eq!(boot::find(&disk).unwrap().command_line, "root=/dev/vda ro");
}

/// Makes a file system in many pieces and of many kinds, with a kernel of this length, and reads it back.
fn reads_back(options: &[&str], length: usize) {
    let kernel: Vec<u8> = (0..length as u32)
        .map(|i| (i.wrapping_mul(2654435761) >> 11) as u8)
        .collect();
    let mut builder = Builder::new();
    let mut files: Vec<(String, Vec<u8>)> = (0..600)
        .map(|i| (format!("/boot/a-rather-long-name-{i}"), vec![1; 9]))
        .collect();
    files.push(("/boot/vmlinuz-1".into(), kernel.clone()));
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    let disk = File::open(builder.ext4("64m", options, &files)).unwrap();
    let found = boot::find(&disk).unwrap_or_else(|error| panic!("{options:?}: {error}"));
    assert!(contents(&found.kernel) == kernel, "{options:?}");
}

#[test]
fn every_member_of_the_ext_family_is_read() {
    for options in [
        &["-b", "4096"][..],
        &["-b", "1024"],
        &["-b", "65536"],
        &["-t", "ext2", "-b", "1024"],
        &["-t", "ext3", "-b", "1024"],
        &["-O", "^64bit,^metadata_csum"],
        &["-O", "^has_journal,^extents,^64bit"],
        &["-O", "meta_bg,^resize_inode", "-b", "1024"],
        &["-I", "128", "-O", "^flex_bg"],
    ] {
        // Over 268 KiB needs the second level of a block map where blocks have 1 KiB.
        reads_back(options, (1 << 20) + 70_003);
    }
}

#[test]
fn every_width_of_fat_is_read() {
    let kernel: Vec<u8> = (0..300_000u32)
        .map(|i| (i.wrapping_mul(2654435761) >> 11) as u8)
        .collect();
    let image = unified_image(&[(".linux", &kernel)]);
    for (kib, options) in [
        (2048, &["-F", "12"][..]),
        (16384, &["-F", "16"]),
        (40000, &["-F", "32"]),
    ] {
        let mut builder = Builder::new();
        let path = "/EFI/Linux/A rather long name, in two parts and more.efi";
        let esp = builder.fat(kib, options, &[("/EFI/Linux/short.txt", b"x"), (path, &image)]);
        let disk = File::open(builder.gpt(&[(ESP, &esp)])).unwrap();
        let found = boot::find(&disk).unwrap_or_else(|error| panic!("{options:?}: {error}"));
        assert!(contents(&found.kernel) == kernel, "{options:?}");
        assert!(found.title.starts_with("A rather long name"), "{}", found.title);
    }
}

#[test]
fn what_is_on_the_disk_is_said_when_nothing_boots() {
    let mut builder = Builder::new();
    let esp = builder.fat(4096, &["-n", "EFI", "-i", "1234abcd"], &[]);
    let mut xfs = vec![0; 1 << 20];
    xfs[..4].copy_from_slice(b"XFSB");
    let path = builder.dir().join("xfs");
    std::fs::write(&path, xfs).unwrap();
    let disk = File::open(builder.gpt(&[(ESP, &esp), (LINUX, &path)])).unwrap();
    let error = boot::find(&disk).unwrap_err();
    assert!(matches!(error, BootError::NothingFound(_)));
    let text = error.to_string();
    for part in [
        "On partition 1 there is FAT with UUID 1234-ABCD labelled EFI",
        "On partition 2 there is XFS, which is not supported",
        "No grub.cfg was found",
        "No Boot Loader Specification entry",
        "No vmlinuz",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn an_image_can_be_looked_at_by_hand() {
    let Some(path) = std::env::var_os("KILN_BOOT_IMAGE") else {
        println!("KILN_BOOT_IMAGE names no image: nothing to look at");
        return;
    };
    let disk = File::open(Path::new(&path)).unwrap();
    let start = std::time::Instant::now();
    println!("{:#?}", boot::find(&disk));
    println!("found after {:?}", start.elapsed());
}
