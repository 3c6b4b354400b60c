//! A kernel that was installed just before the machine was stopped hard: its name is only in the journal.

use kiln_images::boot;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

mod common;
use common::{Builder, contents, run_with_input, text};

const BLOCK: u64 = 4096;
const MAGIC: u32 = 0xc03b_3998;
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const REVOKE: u32 = 5;

/// A file system whose log the test writes.
struct Disk {
    _builder: Builder,
    path: PathBuf,
    file: File,
    /// The blocks of the journal, in its order.
    journal: Vec<u64>,
}

fn blocks(path: &Path, of: &str) -> Vec<u64> {
    let list = run_with_input("debugfs", &["-R", &format!("blocks {of}"), &text(path)], "");
    list.split_whitespace()
        .map(|number| number.parse().expect("a block"))
        .collect()
}

impl Disk {
    fn new() -> Self {
        let mut builder = Builder::new();
        let files: [(&str, &[u8]); 4] = [
            ("/etc/os-release", b"PRETTY_NAME=Debian"),
            ("/boot/vmlinuz-1", b"old kernel"),
            ("/boot/vmlinux-2", b"new kernel"),
            ("/boot/initrd.img-2", b"ramdisk"),
        ];
        let options = ["-b", "4096", "-J", "size=4", "-O", "^metadata_csum,64bit"];
        let path = builder.ext4("32m", &options, &files);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let journal = blocks(&path, "<8>");
        assert_eq!(journal.len(), 1024);
        Self {
            _builder: builder,
            path,
            file,
            journal,
        }
    }

    fn block(&self, number: u64) -> Vec<u8> {
        let mut bytes = vec![0; BLOCK as usize];
        self.file.read_exact_at(&mut bytes, number * BLOCK).unwrap();
        bytes
    }

    /// Writes the journal's nth block.
    fn write(&self, nth: usize, bytes: &[u8]) {
        self.file.write_all_at(bytes, self.journal[nth] * BLOCK).unwrap();
    }

    /// Says where the log begins, and that it must be replayed.
    fn begin(&self, start: u32, sequence: u32) {
        let mut superblock = self.block(self.journal[0]);
        superblock[24..28].copy_from_slice(&sequence.to_be_bytes());
        superblock[28..32].copy_from_slice(&start.to_be_bytes());
        superblock[0x28..0x2c].copy_from_slice(&3u32.to_be_bytes());
        self.write(0, &superblock);
        let mut features = [0; 4];
        self.file.read_exact_at(&mut features, 1024 + 0x60).unwrap();
        features[0] |= 4;
        self.file.write_all_at(&features, 1024 + 0x60).unwrap();
    }

    fn descriptor(&self, nth: usize, sequence: u32, homes: &[(u64, u32)]) {
        let mut block = header(DESCRIPTOR, sequence);
        for (i, (home, flags)) in homes.iter().enumerate() {
            let last = if i + 1 == homes.len() { 8 } else { 0 };
            let first = if i == 0 { 0 } else { 2 };
            block.extend((*home as u32).to_be_bytes());
            block.extend([0, 0]);
            block.extend(((flags | last | first) as u16).to_be_bytes());
            block.extend(((home >> 32) as u32).to_be_bytes());
            block.extend(if i == 0 { &[7; 16][..] } else { &[] });
        }
        self.write(nth, &block);
    }

    fn commit(&self, nth: usize, sequence: u32) {
        self.write(nth, &header(COMMIT, sequence));
    }

    fn revoke(&self, nth: usize, sequence: u32, home: u64) {
        let mut block = header(REVOKE, sequence);
        block.extend(24u32.to_be_bytes());
        block.extend(home.to_be_bytes());
        self.write(nth, &block);
    }

    /// The directory `/boot` as it is after the upgrade.
    fn upgraded(&self) -> (u64, Vec<u8>) {
        let home = blocks(&self.path, "/boot")[0];
        let mut block = self.block(home);
        let at = block.windows(9).position(|name| name == b"vmlinux-2").unwrap();
        block[at..at + 9].copy_from_slice(b"vmlinuz-2");
        (home, block)
    }
}

fn header(kind: u32, sequence: u32) -> Vec<u8> {
    [MAGIC, kind, sequence]
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .collect()
}

#[test]
fn a_kernel_whose_name_is_only_in_the_journal_boots() {
    let disk = Disk::new();
    let read = || {
        boot::find(&disk.file)
            .map(|found| (contents(&found.kernel), found.title))
            .unwrap()
    };
    assert_eq!(read().0, b"old kernel");
    let (home, upgraded) = disk.upgraded();
    let etc = blocks(&disk.path, "/etc")[0];

    // The log goes around the end of its ring, and its numbers around theirs.
    disk.begin(1021, u32::MAX);
    disk.descriptor(1021, u32::MAX, &[(etc, 0), (home, 0)]);
    disk.write(1022, &[0xff; BLOCK as usize]);
    disk.write(1023, &upgraded);
    assert_eq!(read().0, b"old kernel", "nothing is committed");
    disk.commit(1, u32::MAX);
    assert_eq!(read().0, b"new kernel");
    assert_eq!(read().1, "Linux", "/etc is nonsense now");

    // A revocation makes void what an earlier transaction wrote, once it is committed.
    disk.revoke(2, 0, etc);
    assert_eq!(read().1, "Linux");
    disk.commit(3, 0);
    assert_eq!(read(), (b"new kernel".to_vec(), "Debian".to_owned()));

    // What was not committed does not count, nor what is left of an older round.
    disk.descriptor(4, 1, &[(home, 0)]);
    disk.write(5, &[0; BLOCK as usize]);
    disk.commit(6, 77);
    assert_eq!(read().0, b"new kernel");
}

#[test]
fn contents_that_are_journaled_themselves_are_read_from_there() {
    let disk = Disk::new();
    let home = blocks(&disk.path, "/boot/vmlinuz-1")[0];
    disk.begin(1, 5);
    disk.descriptor(1, 5, &[(home, 0)]);
    let mut block = b"odd kernel".to_vec();
    block.resize(BLOCK as usize, 0);
    disk.write(2, &block);
    disk.commit(3, 5);
    assert_eq!(contents(&boot::find(&disk.file).unwrap().kernel), b"odd kernel");

    // One that began like the journal itself was changed for the log: it can't be read as it lies there.
    disk.descriptor(1, 5, &[(home, 1)]);
    let error = boot::find(&disk.file).unwrap_err().to_string();
    assert!(error.contains("journaled contents"), "{error}");
}

#[test]
fn a_journal_that_lies_is_an_error_and_no_end_of_reading() {
    let disk = Disk::new();
    for (start, what) in [(5000, "begins outside itself"), (u32::MAX, "begins outside itself")] {
        disk.begin(start, 1);
        let error = boot::find(&disk.file).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    // Each transaction is followed by the next, all around the ring.
    disk.begin(1, 0);
    (1..1024).for_each(|nth| disk.commit(nth, nth as u32 - 1));
    assert_eq!(contents(&boot::find(&disk.file).unwrap().kernel), b"old kernel");
}
