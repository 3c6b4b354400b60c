//! Disks that were made to hurt: nothing panics, hangs, or takes memory without end.

use kiln_images::boot::{self, BootError};
use kiln_images::formats::{Format, import};
use proptest::prelude::*;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

mod common;
use common::{Builder, ESP, LINUX, ROOT_UUID, run, run_with_input, text};

/// Looking at a disk, and at all that it says to boot, must end by then, in a test build on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(30);

/// Finds, and reads what was found; gives the error.
fn look(disk: &Vec<u8>) -> Option<BootError> {
    let start = Instant::now();
    let result = boot::find(disk);
    if let Ok(found) = &result {
        let mut buffer = vec![0; 1 << 20];
        for file in std::iter::once(&found.kernel).chain(&found.initrd) {
            let len = file.len().min(1 << 20) as usize;
            let _ = file.read_exact_at(&mut buffer[..len], 0);
            let _ = boot::kernel::identify(file);
        }
    }
    assert!(start.elapsed() < PATIENCE, "it took {:?}", start.elapsed());
    result.err()
}

fn debian_config() -> String {
    include_str!("data/debian-12.grub.cfg").replace("@UUID@", ROOT_UUID)
}

/// A disk that boots: GPT, a FAT with an entry, an ext4 with blocks of 1 KiB and GRUB's configuration.
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut builder = Builder::new();
    let config = debian_config();
    let files: [(&str, &[u8]); 5] = [
        ("/boot/grub/grub.cfg", config.as_bytes()),
        ("/boot/vmlinuz-6.1.0-56-cloud-amd64", &[1; 3000]),
        ("/boot/initrd.img-6.1.0-56-cloud-amd64", &[2; 20_000]),
        ("/vmlinuz", b"->boot/vmlinuz-6.1.0-56-cloud-amd64"),
        ("/etc/os-release", b"PRETTY_NAME=x"),
    ];
    let root = builder.ext4("2m", &["-U", ROOT_UUID, "-b", "1024", "-O", "^metadata_csum"], &files);
    let entry: &[u8] = b"title x\nlinux /a/b/linux\n";
    let esp = builder.fat(
        1024,
        &[],
        &[("/loader/entries/a long name.conf", entry), ("/a/b/linux", &[3; 5000])],
    );
    std::fs::read(builder.gpt(&[(LINUX, &root), (ESP, &esp)])).unwrap()
});

/// The places of bytes that are not zero, but for long runs of contents: there a change means something.
static TELLING: LazyLock<Vec<usize>> = LazyLock::new(|| {
    GOOD.iter()
        .enumerate()
        .filter(|(_, byte)| !matches!(byte, 0..=3))
        .map(|(at, _)| at)
        .collect()
});

#[test]
fn the_disk_that_is_mutated_below_boots() {
    assert!(look(&GOOD).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_a_disk_makes_trouble(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(0xff)], 1usize..5), 1..12),
        anywhere in prop::option::of((any::<prop::sample::Index>(), any::<[u8; 8]>())),
        keep in prop::option::weighted(0.1, 0.0f64..1.0),
    ) {
        let mut disk = GOOD.clone();
        for (at, byte, len) in changes {
            let at = *at.get(&TELLING);
            disk[at..].iter_mut().take(len).for_each(|old| *old = byte);
        }
        if let Some((at, bytes)) = anywhere {
            let at = at.index(disk.len() - 8);
            disk[at..at + 8].copy_from_slice(&bytes);
        }
        if let Some(keep) = keep {
            disk.truncate((disk.len() as f64 * keep) as usize);
        }
        look(&disk);
    }

    #[test]
    fn no_bytes_at_all_make_trouble(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
        look(&bytes);
    }
}

/// A bare FAT whose `grub.cfg` can be written over: it has room for 8 KiB.
static SCRIPTED: LazyLock<(Vec<u8>, usize)> = LazyLock::new(|| {
    let mut builder = Builder::new();
    let room = vec![b'@'; 8192];
    let disk = builder.fat(1024, &[], &[("/grub/grub.cfg", &room), ("/vmlinuz-1", b"kernel")]);
    let disk = std::fs::read(disk).unwrap();
    let at = disk
        .windows(512)
        .position(|window| window == &room[..512])
        .expect("the file is in one piece");
    (disk, at)
});

fn run_script(script: &str) -> (Vec<u8>, Option<BootError>) {
    let (mut disk, at) = SCRIPTED.clone();
    disk[at..at + 8192].fill(b'\n');
    let script = &script.as_bytes()[..script.len().min(8192)];
    disk[at..at + script.len()].copy_from_slice(script);
    let error = look(&disk);
    (disk, error)
}

/// Words that mean something to GRUB, and some that don't.
fn script_word() -> impl Strategy<Value = String> {
    let words = [
        "if",
        "then",
        "elif",
        "else",
        "fi",
        "for",
        "in",
        "do",
        "done",
        "while",
        "until",
        "function",
        "f",
        "{",
        "}",
        "menuentry",
        "submenu",
        "[",
        "]",
        "!",
        "(",
        ")",
        "-a",
        "-o",
        "-s",
        "=",
        "\n",
        ";",
        "set",
        "a=$a$a",
        "a=b",
        "$a",
        "\"${a}\"",
        "'",
        "\"",
        "\\",
        "source",
        "configfile",
        "/grub/grub.cfg",
        "linux",
        "initrd",
        "/vmlinuz-1",
        "search",
        "--set=root",
        "--fs-uuid",
        "$1",
        "$@",
        "$?",
        "load_env",
        "blscfg",
        "true",
        "false",
        "x",
        "default=0>0>0",
        "menu 'a' --id b",
    ];
    prop_oneof![8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_script_makes_trouble(words in prop::collection::vec(script_word(), 0..120)) {
        run_script(&words.join(" "));
    }
}

#[test]
fn scripts_without_end_are_given_up() {
    let deep = "if true; then ".repeat(500);
    let nested = format!("{}linux /vmlinuz-1\n{}", "submenu x {\n".repeat(200), "}\n".repeat(200));
    for script in [
        "while true; do set a=b\ndone",
        "until false; do\ndone",
        "function f {\nf\n}\nf",
        "function f {\nf a; f b\n}\nf",
        "source /grub/grub.cfg; source /grub/grub.cfg",
        "configfile /grub/grub.cfg",
        "set a=aaaaaaaaaaaaaaaa\nwhile true; do set a=$a$a\ndone",
        "set a='a a a a a a a'\nfor i in $a $a $a $a; do for j in $a $a $a $a; do for k in $a $a $a $a; do for l in $a $a $a $a; do for m in $a $a $a $a; do for n in $a; do true; done; done; done; done; done; done",
        "while true; do menuentry x { linux /vmlinuz-1\n}\ndone",
        &deep,
        &nested,
    ] {
        let start = Instant::now();
        run_script(script);
        assert!(start.elapsed() < PATIENCE, "{script:.60}");
    }
}

#[test]
fn a_directory_that_contains_itself_is_no_way_without_end() {
    let mut builder = Builder::new();
    let config: &[u8] = b"menuentry x {\nlinux /boot/loop/loop/../loop/./vmlinuz-1 ro\n}\n";
    let disk = builder.ext4(
        "8m",
        &[],
        &[("/boot/grub/grub.cfg", config), ("/boot/vmlinuz-1", b"kernel")],
    );
    run_with_input(
        "debugfs",
        &["-w", "-f", "-", &text(&disk)],
        "ln /boot /boot/loop\nln / /boot/top\n",
    );
    let file = File::open(&disk).unwrap();
    assert_eq!(common::contents(&boot::find(&file).unwrap().kernel), b"kernel");
    let long: String = "/boot/loop".to_owned() + &"/loop".repeat(1000) + "/vmlinuz-1";
    let config = format!("menuentry x {{\nlinux {long}\n}}\n");
    let disk = builder.ext4(
        "8m",
        &[],
        &[("/boot/grub/grub.cfg", config.as_bytes()), ("/boot/x", b"kernel")],
    );
    run_with_input("debugfs", &["-w", "-f", "-", &text(&disk)], "ln /boot /boot/loop\n");
    let error = boot::find(&File::open(&disk).unwrap()).unwrap_err().to_string();
    assert!(error.contains("a path never ends"), "{error}");
}

#[test]
fn links_that_lead_in_a_circle_are_an_error() {
    let mut builder = Builder::new();
    let files: [(&str, &[u8]); 4] = [
        ("/vmlinuz", b"->boot/vmlinuz"),
        ("/boot/vmlinuz", b"->../vmlinuz"),
        ("/boot/grub/grub.cfg", b"menuentry x {\nlinux /a/b\n}\n"),
        ("/a", b"->a/../a"),
    ];
    let disk = File::open(builder.ext4("8m", &[], &files)).unwrap();
    let error = boot::find(&disk).unwrap_err().to_string();
    assert!(error.contains("symbolic links lead in a circle"), "{error}");
}

#[test]
fn a_link_of_any_length_takes_no_memory() {
    let mut builder = Builder::new();
    let target = format!("->{}vmlinuz-1", "./".repeat(60));
    let disk = builder.ext4(
        "8m",
        &["-O", "^metadata_csum"],
        &[("/vmlinuz", target.as_bytes()), ("/vmlinuz-1", b"kernel")],
    );
    let command = "set_inode_field /vmlinuz size 0x7fffffffffff\n";
    let file = File::open(&disk).unwrap();
    assert_eq!(common::contents(&boot::find(&file).unwrap().kernel), b"kernel");
    run_with_input("debugfs", &["-w", "-f", "-", &text(&disk)], command);
    // The link is unusable; the file is found by its name.
    assert_eq!(common::contents(&boot::find(&file).unwrap().kernel), b"kernel");
}

#[test]
fn a_chain_of_fat_clusters_that_bites_its_tail_ends() {
    let mut builder = Builder::new();
    let disk = builder.fat(
        4096,
        &["-F", "16", "-s", "1"],
        &[("/loader/entries/x.conf", &[b'x'; 5000]), ("/grub/grub.cfg", b"true")],
    );
    let mut bytes = std::fs::read(disk).unwrap();
    // All clusters lead to cluster 3, which leads to 4, which leads back.
    let reserved = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
    let table = usize::from(u16::from_le_bytes([bytes[22], bytes[23]])) * 512;
    for (nth, entry) in bytes[reserved..reserved + table]
        .chunks_exact_mut(2)
        .enumerate()
        .skip(2)
    {
        entry.copy_from_slice(&[if nth == 3 { 4 } else { 3 }, 0]);
    }
    let error = look(&bytes).unwrap().to_string();
    assert!(error.contains("FAT directory never ends"), "{error}");
}

/// Changes the header of the GPT, with its checksum made right; the backup stays.
fn with_gpt_header(disk: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut disk = disk.to_vec();
    for start in [512, disk.len() - 512] {
        let header = &mut disk[start..start + 512];
        header[at..at + bytes.len()].copy_from_slice(bytes);
        header[16..20].fill(0);
        let mut crc = flate2::Crc::new();
        crc.update(&header[..92]);
        header[16..20].copy_from_slice(&crc.sum().to_le_bytes());
    }
    disk
}

#[test]
fn a_gpt_with_absurd_entries_is_refused_in_words() {
    for (at, bytes, says) in [
        (80, &u32::MAX.to_le_bytes()[..], "absurd"),
        (84, &u32::MAX.to_le_bytes(), "absurd"),
        (84, &0u32.to_le_bytes(), "absurd"),
        (84, &127u32.to_le_bytes(), "absurd"),
        (72, &u64::MAX.to_le_bytes(), "beyond the disk's end"),
        (88, &7u32.to_le_bytes(), "entries' checksum"),
        (24, &9u64.to_le_bytes(), "elsewhere"),
    ] {
        let error = look(&with_gpt_header(&GOOD, at, bytes)).unwrap().to_string();
        assert!(error.contains(says), "{says} is not in: {error}");
    }
}

#[test]
fn a_gpt_whose_first_copy_is_lost_is_read_from_its_backup() {
    let mut disk = GOOD.clone();
    disk[512..1024].fill(0);
    assert!(look(&disk).is_none());
}

#[test]
fn an_absurd_superblock_is_refused_in_words() {
    let root = 1 << 20;
    for (at, bytes, says) in [
        (0x18, &31u32.to_le_bytes()[..], "block size is absurd"),
        (0x18, &7u32.to_le_bytes(), "block size is absurd"),
        (0x20, &0u32.to_le_bytes(), "contradicts itself"),
        (0x28, &0u32.to_le_bytes(), "contradicts itself"),
        (0x58, &3u16.to_le_bytes(), "contradicts itself"),
        (0x04, &u32::MAX.to_le_bytes(), "larger than its partition"),
        (0x60, &0x8000_0000u32.to_le_bytes(), "only a newer reader"),
    ] {
        let mut disk = GOOD.clone();
        disk[root + 1024 + at..][..bytes.len()].copy_from_slice(bytes);
        let start = Instant::now();
        // The other partition boots: a broken one is noted, and passed over.
        look(&disk);
        let other = GOOD.len() - (2 << 20);
        disk[other..].fill(0);
        let error = look(&disk).unwrap().to_string();
        assert!(error.contains(says), "{says} is not in: {error}");
        assert!(start.elapsed() < PATIENCE);
    }
}

/// Small images of each foreign format.
static IMAGES: LazyLock<Vec<(Format, Vec<u8>)>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("raw");
    let data: Vec<u8> = (0..200_000u32).map(|i| (i / 3) as u8).collect();
    std::fs::write(&raw, data).unwrap();
    let arguments = [
        (Format::Qcow2, &["-O", "qcow2", "-o", "cluster_size=4096"][..]),
        (Format::Qcow2, &["-O", "qcow2", "-c", "-o", "compression_type=zstd"]),
        (Format::Qcow2, &["-O", "qcow2", "-c"]),
        (Format::Vmdk, &["-O", "vmdk"]),
        (Format::Vmdk, &["-O", "vmdk", "-o", "subformat=streamOptimized"]),
        (Format::Vhd, &["-O", "vpc"]),
    ];
    let convert = |(format, arguments): &(Format, &[&str])| {
        let path = dir.path().join("image");
        run(
            "qemu-img",
            &[&["convert", "-f", "raw"], *arguments, &[&text(&raw), &text(&path)]].concat(),
        );
        (*format, std::fs::read(path).unwrap())
    };
    arguments.iter().map(convert).collect()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_an_image_makes_trouble(
        nth in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..10),
    ) {
        let (format, mut image) = nth.get(&IMAGES).clone();
        let telling: Vec<usize> = (0..image.len()).filter(|&at| image[at] != 0 && (at < 4096 || at % 512 < 64)).collect();
        changes.iter().for_each(|(at, byte)| image[*at.get(&telling)] = *byte);
        let (source, dest) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        source.write_all_at(&image, 0).unwrap();
        let dir = File::open("/").unwrap();
        let start = Instant::now();
        // A disk of terabytes of nothing may take a while: it can be cancelled.
        let cancel = std::sync::atomic::AtomicBool::new(false);
        let mut stop = |_| cancel.store(start.elapsed() > Duration::from_secs(2), std::sync::atomic::Ordering::Relaxed);
        let _ = import(&source, Some(format.into()), &dest, &dir, &mut stop, &cancel);
        prop_assert!(start.elapsed() < PATIENCE);
    }
}
