//! What the integration tests share.
#![allow(dead_code, reason = "each test file uses a part")]

use kiln_images::boot::{BootEntry, BootFile};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory with a bound on its size; making one needs root.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub fn new(size: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let options = format!("size={size},mode=0700");
        run(
            "mount",
            &["-t", "tmpfs", "-o", &options, "kiln-test", &text(dir.path())],
        );
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy", &text(self.0.path())]);
    }
}

/// Runs a program that the test needs and demands that it succeeds.
pub fn run(program: &str, arguments: &[&str]) {
    run_with_input(program, arguments, "");
}

/// The same with something to read on its standard input; gives what it printed.
pub fn run_with_input(program: &str, arguments: &[&str], input: &str) -> String {
    use std::io::Write;
    use std::process::Stdio;
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut child = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed for this test and can't be run: {error}"));
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input.as_bytes())
        .expect("the input is read");
    let output = child.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} failed: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn text(path: &Path) -> String {
    path.to_str().expect("a path of plain characters").to_owned()
}

pub fn join(dir: &Path, name: &str) -> (PathBuf, String) {
    let path = dir.join(name);
    let name = text(&path);
    (path, name)
}

/// The type of a GPT partition, as `sgdisk` calls it.
pub const ESP: &str = "ef00";
pub const LINUX: &str = "8300";
pub const EXTENDED_BOOT: &str = "ea00";

/// Makes disk images out of files, as an image builder would.
pub struct Builder {
    dir: tempfile::TempDir,
    count: u32,
}

impl Builder {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a directory for the test"),
            count: 0,
        }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn next(&mut self, kind: &str) -> (PathBuf, String) {
        self.count += 1;
        join(self.dir.path(), &format!("{kind}{}", self.count))
    }

    /// A directory with files; contents that begin with `->` make a symbolic link.
    pub fn tree(&mut self, files: &[(&str, &[u8])]) -> PathBuf {
        let (root, _) = self.next("tree");
        std::fs::create_dir(&root).expect("a new directory");
        for (name, contents) in files {
            let path = root.join(name.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            match contents.strip_prefix(b"->") {
                Some(target) => {
                    std::os::unix::fs::symlink(std::str::from_utf8(target).unwrap(), &path).expect("a link")
                }
                None => std::fs::write(&path, contents).expect("a file"),
            }
        }
        root
    }

    /// A file system of the ext family; `options` go to `mkfs.ext4`.
    pub fn ext4(&mut self, size: &str, options: &[&str], files: &[(&str, &[u8])]) -> PathBuf {
        let tree = text(&self.tree(files));
        let (path, name) = self.next("ext4");
        let fixed = ["-q", "-F", "-d", &tree];
        run("mkfs.ext4", &[&fixed, options, &[&name, size]].concat());
        path
    }

    /// A FAT file system of `kib` KiB.
    pub fn fat(&mut self, kib: u32, options: &[&str], files: &[(&str, &[u8])]) -> PathBuf {
        let tree = self.tree(files);
        let (path, name) = self.next("fat");
        std::fs::File::create(&path)
            .expect("a file")
            .set_len(u64::from(kib) * 1024)
            .expect("its size");
        run("mkfs.vfat", &[options, &[&name]].concat());
        for entry in std::fs::read_dir(tree).expect("a directory") {
            run(
                "mcopy",
                &["-s", "-Q", "-i", &name, &text(&entry.expect("an entry").path()), "::/"],
            );
        }
        path
    }

    /// A disk with a GPT and these file systems.
    pub fn gpt(&mut self, parts: &[(&str, &Path)]) -> PathBuf {
        let (path, name) = self.next("disk");
        let sizes: Vec<u64> = parts
            .iter()
            .map(|(_, part)| std::fs::metadata(part).expect("a size").len())
            .collect();
        let disk = std::fs::File::create(&path).expect("a file");
        let align = |n: u64| n.next_multiple_of(1 << 20);
        disk.set_len(sizes.iter().map(|&size| align(size)).sum::<u64>() + (2 << 20))
            .expect("its size");
        let mut at = 1 << 20;
        let mut arguments = vec!["--clear".to_owned()];
        for (number, ((kind, _), size)) in (1..).zip(parts.iter().zip(&sizes)) {
            arguments.push(format!("--new={number}:{}:{}", at / 512, (at + size) / 512 - 1));
            arguments.push(format!("--typecode={number}:{kind}"));
            at += align(*size);
        }
        arguments.push(name);
        run("sgdisk", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        self.fill(&path, parts);
        path
    }

    /// A disk with an MBR and these file systems, each with the number of its type.
    pub fn mbr(&mut self, parts: &[(u8, &Path)]) -> PathBuf {
        let (path, _) = self.next("disk");
        let (mut at, mut sector) = (1 << 20, vec![0; 512]);
        sector[440..444].copy_from_slice(&0xcafe_0001u32.to_le_bytes());
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        for (nth, (kind, part)) in parts.iter().enumerate() {
            let size = std::fs::metadata(part).expect("a size").len();
            let row = &mut sector[446 + nth * 16..][..16];
            row[4] = *kind;
            row[8..12].copy_from_slice(&u32::try_from(at / 512).expect("a small disk").to_le_bytes());
            row[12..].copy_from_slice(&u32::try_from(size / 512).expect("a small disk").to_le_bytes());
            at += size.next_multiple_of(1 << 20);
        }
        sector.resize(usize::try_from(at).expect("a small disk"), 0);
        std::fs::write(&path, sector).expect("a file");
        let parts: Vec<_> = parts.iter().map(|(_, part)| ("", *part)).collect();
        self.fill(&path, &parts);
        path
    }

    /// Writes file systems where the tables put them: one after another, each at a MiB.
    fn fill(&self, disk: &Path, parts: &[(&str, &Path)]) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::options().write(true).open(disk).expect("the disk");
        let mut at = 1 << 20;
        for (_, part) in parts {
            let bytes = std::fs::read(part).expect("a file system");
            file.write_all_at(&bytes, at).expect("it is written");
            at += (bytes.len() as u64).next_multiple_of(1 << 20);
        }
    }
}

/// The UUID of a file system that [`Builder::ext4`] is told to have.
pub const ROOT_UUID: &str = "5d8a3c2e-1f0b-4a67-9c3d-2e4f6a8b0c1d";

/// What a program makes of bytes: a compressor for instance.
pub fn filter(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory for the test");
    let path = dir.path().join("input");
    std::fs::write(&path, input).expect("a file");
    let file = std::fs::File::open(&path).expect("the file");
    let output = Command::new(program)
        .args(arguments)
        .stdin(file)
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed for this test and can't be run: {error}"));
    assert!(
        output.status.success(),
        "{program} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// All bytes of a file that is to be booted.
pub fn contents(file: &BootFile<'_>) -> Vec<u8> {
    let mut bytes = vec![0; file.len() as usize];
    file.read_exact_at(&mut bytes, 0).expect("it can be read");
    bytes
}

pub fn initrd(entry: &BootEntry<'_>) -> Vec<u8> {
    contents(entry.initrd.as_ref().expect("a RAM disk"))
}
