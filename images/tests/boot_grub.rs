//! Disks that boot by GRUB, as Debian, Ubuntu and Fedora make them.

use kiln_images::boot::{self, FoundBy};

mod common;
use common::{Builder, ESP, EXTENDED_BOOT, LINUX, ROOT_UUID, contents, initrd};

const DEBIAN: &str = include_str!("data/debian-12.grub.cfg");

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

#[test]
fn ubuntu_boots_from_a_boot_partition_with_its_ramdisks_one_after_another() {
    let mut builder = Builder::new();
    let partuuid = "01234567-89ab-cdef-0123-456789abcdef";
    let config = include_str!("data/ubuntu-24.04.grub.cfg")
        .replace("@UUID@", ROOT_UUID)
        .replace("@BOOT@", "11111111-2222-3333-4444-555555555555")
        .replace("@PARTUUID@", partuuid);
    let root = builder.ext4("16m", &["-U", ROOT_UUID], &[("/etc/os-release", b"PRETTY_NAME=Ubuntu")]);
    let boot = builder.ext4(
        "16m",
        &["-U", "11111111-2222-3333-4444-555555555555", "-L", "BOOT"],
        &[
            ("/grub/grub.cfg", config.as_bytes()),
            ("/grub/grubenv", b"# GRUB Environment Block\n###"),
            ("/vmlinuz-6.8.0-110-generic", b"ubuntu kernel"),
            ("/microcode.cpio", b"microcode"),
            ("/initrd.img-6.8.0-110-generic", b"ramdisk"),
        ],
    );
    let esp = builder.fat(4096, &[], &[("/EFI/ubuntu/grub.cfg", b"configfile /nowhere")]);
    let disk = builder.gpt(&[(LINUX, &root), (ESP, &esp), (EXTENDED_BOOT, &boot)]);
    let disk = std::fs::File::open(disk).unwrap();
    let entry = boot::find(&disk).unwrap();
    assert_eq!(entry.title, "Ubuntu");
    assert_eq!(contents(&entry.kernel), b"ubuntu kernel");
    assert_eq!(initrd(&entry), b"microcode\0\0\0ramdisk");
    let expected = format!(
        "BOOT_IMAGE=/vmlinuz-6.8.0-110-generic root=PARTUUID={partuuid} ro console=tty1 console=ttyS0 vt.handoff=7"
    );
    assert_eq!(entry.command_line, expected);
}

#[test]
fn fedoras_grub_boots_the_newest_boot_entry_or_the_saved_one() {
    let config: &[u8] = b"load_env -f ${config_directory}/grubenv\nload_env\nset default=\"${saved_entry}\"\n\
        insmod blscfg\nif [ -z \"${kernelopts}\" ]; then set kernelopts=\"root=wrong\"; fi\nblscfg\n";
    let entry_text = |version: &str| {
        format!(
            "title Fedora Linux ({version})\nversion {version}\nlinux /vmlinuz-{version}\n\
             initrd /initramfs-{version}.img $tuned_initrd\noptions $kernelopts quiet\ngrub_users $grub_users\n"
        )
    };
    let (old, new) = (entry_text("6.9.1-200.fc40"), entry_text("6.10.2-200.fc40"));
    for (saved, expected) in [("", "new"), ("saved_entry=abc-6.9.1-200.fc40\n", "old")] {
        let environment = format!("# GRUB Environment Block\nkernelopts=root=UUID={ROOT_UUID} ro\n{saved}####");
        let mut builder = Builder::new();
        let boot = builder.ext4(
            "16m",
            &[],
            &[
                ("/grub2/grub.cfg", config),
                ("/grub2/grubenv", environment.as_bytes()),
                (
                    "/loader/entries/abc-6.9.1-200.fc40.conf",
                    old.replace(" $tuned_initrd", "").as_bytes(),
                ),
                (
                    "/loader/entries/abc-6.10.2-200.fc40.conf",
                    new.replace(" $tuned_initrd", "").as_bytes(),
                ),
                ("/vmlinuz-6.9.1-200.fc40", b"old"),
                ("/initramfs-6.9.1-200.fc40.img", b"old ramdisk"),
                ("/vmlinuz-6.10.2-200.fc40", b"new"),
                ("/initramfs-6.10.2-200.fc40.img", b"new ramdisk"),
            ],
        );
        let disk = builder.gpt(&[(LINUX, &boot)]);
        let disk = std::fs::File::open(disk).unwrap();
        let entry = boot::find(&disk).unwrap();
        assert_eq!(contents(&entry.kernel), expected.as_bytes());
        assert!(
            entry.command_line.ends_with(&format!("root=UUID={ROOT_UUID} ro quiet")),
            "{}",
            entry.command_line
        );
    }
}

#[test]
fn of_two_configurations_the_one_that_the_efi_partition_names_is_run() {
    let mut builder = Builder::new();
    let config = |uuid: &str| {
        format!("menuentry 'It' {{\nsearch --no-floppy --fs-uuid --set=root {uuid}\nlinux /boot/vmlinuz-1 a\n}}\n")
    };
    let other = "99999999-2222-3333-4444-555555555555";
    let (first, second) = (config(other), config(ROOT_UUID));
    let old = builder.ext4(
        "8m",
        &["-U", other],
        &[("/boot/grub/grub.cfg", first.as_bytes()), ("/boot/vmlinuz-1", b"old")],
    );
    let new = builder.ext4(
        "8m",
        &["-U", ROOT_UUID],
        &[("/boot/grub/grub.cfg", second.as_bytes()), ("/boot/vmlinuz-1", b"new")],
    );
    let stub = format!(
        "search.fs_uuid {ROOT_UUID} root hd0,gpt2 \nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"
    );
    let esp = builder.fat(4096, &[], &[("/EFI/debian/grub.cfg", stub.as_bytes())]);
    let disk = builder.gpt(&[(LINUX, &old), (LINUX, &new), (ESP, &esp)]);
    let disk = std::fs::File::open(disk).unwrap();
    assert_eq!(contents(&boot::find(&disk).unwrap().kernel), b"new");
}

#[test]
fn an_mbr_disk_boots_and_a_kernel_that_was_upgraded_is_the_next() {
    let mut builder = Builder::new();
    let config = "set root='hd0,msdos1'\nset default=0\nmenuentry x { linux /boot/vmlinuz-1 root=/dev/vda1 'a b'\n}\n";
    let upgraded = config.replace("vmlinuz-1", "vmlinuz-2");
    for (config, expected) in [(config, "one"), (&upgraded, "two")] {
        let files: [(&str, &[u8]); 3] = [
            ("/boot/grub/grub.cfg", config.as_bytes()),
            ("/boot/vmlinuz-1", b"one"),
            ("/boot/vmlinuz-2", b"two"),
        ];
        let root = builder.ext4("16m", &[], &files);
        let disk = builder.mbr(&[(0x83, &root)]);
        let disk = std::fs::File::open(disk).unwrap();
        let entry = boot::find(&disk).unwrap();
        assert_eq!(contents(&entry.kernel), expected.as_bytes());
        assert!(
            entry.command_line.ends_with("root=/dev/vda1 \"a b\""),
            "{}",
            entry.command_line
        );
        assert!(entry.initrd.is_none());
    }
}

#[test]
fn an_entry_whose_kernel_is_missing_is_named_when_nothing_boots() {
    let mut builder = Builder::new();
    let config = DEBIAN.replace("@UUID@", ROOT_UUID);
    let root = builder.ext4(
        "16m",
        &["-U", ROOT_UUID, "-L", "cloudimg"],
        &[("/boot/grub/grub.cfg", config.as_bytes())],
    );
    let disk = builder.gpt(&[(LINUX, &root)]);
    let disk = std::fs::File::open(disk).unwrap();
    let error = boot::find(&disk).unwrap_err().to_string();
    for part in [
        "a GPT",
        "On partition 1 there is ext4 with UUID 5d8a3c2e-1f0b-4a67-9c3d-2e4f6a8b0c1d labelled cloudimg",
        "names a file that can't be opened (not found): (hd0,gpt1)/boot/vmlinuz-6.1.0-56-cloud-amd64",
        "No vmlinuz",
    ] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}
