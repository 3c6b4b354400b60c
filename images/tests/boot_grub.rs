//! Disks that boot by GRUB, as Debian, Ubuntu and Fedora make them.

use kiln_images::boot::{self, BootEntry, FoundBy};

mod common;
use common::{Builder, ESP, LINUX, ROOT_UUID};

const DEBIAN: &str = include_str!("data/debian-12.grub.cfg");

fn contents(file: &boot::BootFile<'_>) -> Vec<u8> {
    let mut bytes = vec![0; file.len() as usize];
    file.read_exact_at(&mut bytes, 0).expect("it can be read");
    bytes
}

fn initrd(entry: &BootEntry<'_>) -> Vec<u8> {
    contents(entry.initrd.as_ref().expect("a RAM disk"))
}

fn debian_files<'a>(config: &'a [u8], more: &[(&'a str, &'a [u8])]) -> Vec<(&'a str, &'a [u8])> {
    let files: [(&str, &[u8]); 5] = [
        ("/boot/grub/grub.cfg", config),
        ("/boot/vmlinuz-6.1.0-47-cloud-amd64", b"old kernel"),
        ("/boot/initrd.img-6.1.0-47-cloud-amd64", b"old ramdisk"),
        ("/boot/vmlinuz-6.1.0-56-cloud-amd64", b"new kernel"),
        ("/boot/initrd.img-6.1.0-56-cloud-amd64", b"new ramdisk"),
    ];
    [&files, more].concat()
}

#[test]
fn the_disk_of_debians_cloud_image_boots_its_newest_kernel() {
    let mut builder = Builder::new();
    let config = DEBIAN.replace("@UUID@", ROOT_UUID);
    let root = builder.ext4("64m", &["-U", ROOT_UUID], &debian_files(config.as_bytes(), &[]));
    let esp = builder.fat(4096, &[], &[("/EFI/BOOT/BOOTX64.EFI", b"MZ not a unified image")]);
    let disk = builder.gpt(&[(LINUX, &root), (ESP, &esp)]);
    let disk = std::fs::File::open(disk).unwrap();
    let entry = boot::find(&disk).unwrap();
    assert_eq!(entry.title, "Debian GNU/Linux");
    assert_eq!(entry.found_by, FoundBy::GrubConfig);
    assert_eq!(contents(&entry.kernel), b"new kernel");
    assert_eq!(initrd(&entry), b"new ramdisk");
    assert_eq!(
        entry.command_line,
        format!(
            "BOOT_IMAGE=/boot/vmlinuz-6.1.0-56-cloud-amd64 root=UUID={ROOT_UUID} ro console=tty0 console=ttyS0,115200 \
             earlyprintk=ttyS0,115200 consoleblank=0"
        )
    );
}

#[test]
fn an_entry_of_a_submenu_is_chosen_by_its_saved_name() {
    let mut builder = Builder::new();
    let config = DEBIAN
        .replace("@UUID@", ROOT_UUID)
        .replace("set default=\"0\"", "set default=\"${saved_entry}\"");
    let id = format!("gnulinux-advanced-{ROOT_UUID}>gnulinux-6.1.0-47-cloud-amd64-advanced-{ROOT_UUID}");
    let environment = format!(
        "# GRUB Environment Block\nsaved_entry={id}\nnext_entry=0\n{}",
        "#".repeat(800)
    );
    let more = [("/boot/grub/grubenv", environment.as_bytes())];
    let disk = builder.ext4("64m", &["-U", ROOT_UUID], &debian_files(config.as_bytes(), &more));
    let disk = std::fs::File::open(disk).unwrap();
    let entry = boot::find(&disk).unwrap();
    assert_eq!(entry.title, "Debian GNU/Linux, with Linux 6.1.0-47-cloud-amd64");
    assert_eq!(contents(&entry.kernel), b"old kernel");
}
