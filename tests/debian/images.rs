//! Volumes of a guest that works: attached and detached, grown, copied, and made images of, while it does.

use super::network::{Guest, text};
use super::until;
use kiln_harness::{Api, Debian};
use serde_json::json;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many snapshots are taken of a volume while the guest writes to it.
const SNAPSHOTS: usize = 20;

/// Has a guest write to a file system on a volume of its own, and read back what it wrote, through snapshots, a second volume
/// that comes and goes, and growth; then every snapshot is looked at.
pub fn a_volume_stands_all_that_is_done_to_it(debian: &Debian, guest: &mut Guest) {
    let api = debian.api();
    let volume = attach(&api, guest, "/dev/sdf");
    guest.shell(&format!(
        "mkfs.ext4 -q {0}; mkdir -p /mnt/data; mount {0} /mnt/data",
        disk(&volume)
    ));
    guest.install(
        "/root/verify",
        "#!/bin/sh\n\
         until test -e /root/enough; do\n\
         fio --name=verify --directory=/mnt/data --size=8M --rw=randwrite --bs=4k --ioengine=libaio --iodepth=8 --direct=1 \
         --verify=crc32c --verify_fatal=1 >> /root/verify.log 2>&1 || { echo failed > /root/verified; exit; }\n\
         done\n\
         echo well > /root/verified\n",
    );
    guest.background("/root/verify");
    guest.wait_until("grep -qs verify: /root/verify.log");
    guest.shell("sync -f /mnt/data");
    let mut snapshots = Vec::with_capacity(SNAPSHOTS);
    for number in 0..SNAPSHOTS {
        match number {
            5 => comes_and_goes(&api, guest),
            12 => grows(&api, guest, &volume),
            _ => {}
        }
        guest.shell("! test -e /root/verified");
        let made = api.call("CreateSnapshot", &json!({"VolumeId": volume}));
        snapshots.push(text(&made["SnapshotId"]));
    }
    // It ended with no error: each block that it read back was what it had written.
    guest.shell("touch /root/enough");
    guest.wait_until("test -s /root/verified");
    assert_eq!(
        guest.shell("cat /root/verified"),
        "well",
        "{}",
        guest.shell("tail /root/verify.log")
    );
    guest.shell("umount /mnt/data");
    detach(&api, guest, &volume);
    for snapshot in &snapshots {
        is_consistent(&debian.daemon.state().join(format!("snapshots/{snapshot}.raw")));
        api.call("DeleteSnapshot", &json!({"SnapshotId": snapshot}));
    }
    api.call("DeleteVolume", &json!({"VolumeId": volume}));
    println!(
        "snapshots of a volume in use that were mounted and consistent: {}",
        snapshots.len()
    );
}

/// A second volume comes while the first one is written to, is written to, too, and goes.
fn comes_and_goes(api: &Api, guest: &mut Guest) {
    let volume = attach(api, guest, "/dev/sdg");
    let disk = disk(&volume);
    guest.shell(&format!(
        "dd if=/dev/urandom of={disk} bs=1M count=4 conv=fsync 2> /dev/null"
    ));
    detach(api, guest, &volume);
    guest.wait_until(&format!("! test -e {disk}"));
    api.call("DeleteVolume", &json!({"VolumeId": volume}));
}

/// The guest is told, and its file system grows along.
fn grows(api: &Api, guest: &mut Guest, volume: &str) {
    api.call("ModifyVolume", &json!({"VolumeId": volume, "Size": 2}));
    let disk = disk(volume);
    let bytes = 2_u64 << 30;
    guest.wait_until(&format!("test $(blockdev --getsize64 {disk}) = {bytes}"));
    guest.shell(&format!("resize2fs {disk} 2> /dev/null"));
    let size = guest.shell("df --output=size -B1 /mnt/data | tail -1");
    assert!(size.trim().parse::<u64>().is_ok_and(|size| size > 3 << 29), "{size}");
}

/// The disk of a volume in its guest, by its serial number.
fn disk(volume: &str) -> String {
    format!("/dev/disk/by-id/virtio-{}", volume.replace('-', ""))
}

fn attach(api: &Api, guest: &mut Guest, device: &str) -> String {
    let made = api.call("CreateVolume", &json!({"AvailabilityZone": "local-1a", "Size": 1}));
    let volume = text(&made["VolumeId"]);
    until(|| state(api, &volume) == "available");
    let request = json!({"VolumeId": volume, "InstanceId": guest.id, "Device": device});
    api.call("AttachVolume", &request);
    guest.wait_until(&format!("test -e {}", disk(&volume)));
    volume
}

fn detach(api: &Api, guest: &Guest, volume: &str) {
    api.call("DetachVolume", &json!({"VolumeId": volume, "InstanceId": guest.id}));
    until(|| state(api, volume) == "available");
}

fn state(api: &Api, volume: &str) -> String {
    let answer = api.call("DescribeVolumes", &json!({"VolumeIds": [volume]}));
    text(&answer["Volumes"][0]["State"])
}

/// Mounts the file system on a disk, which plays its journal back, and has it checked.
fn is_consistent(disk: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("disk");
    run(Command::new("cp").arg("--reflink=auto").arg(disk).arg(&copy));
    let place = folder.path().join("place");
    fs::create_dir(&place).unwrap();
    run(Command::new("mount").args(["-o", "loop"]).arg(&copy).arg(&place));
    let written = fs::metadata(place.join("verify.0.0")).map(|file| file.len());
    run(Command::new("umount").arg(&place));
    assert_eq!(written.unwrap(), 8 << 20);
    run(Command::new("e2fsck").args(["-f", "-n"]).arg(&copy));
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} can't be run: {error}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&said)
    );
}

/// Makes an AMI of a guest that runs, which reboots for it, and launches two instances of that; gives their ids. Both have what
/// the guest had written, on root file systems that are clean, and identities of their own.
pub fn an_image_of_a_guest_is_it_again(debian: &Debian, guest: &mut Guest) -> Vec<String> {
    let api = debian.api();
    guest.shell("echo cake > /root/marker");
    let before = used(&debian.daemon.state());
    let made = api.call("CreateImage", &json!({"InstanceId": guest.id, "Name": "cake"}));
    let image = text(&made["ImageId"]);
    let monitors = debian.daemon.monitors();
    let shown = |image: &str| api.call("DescribeImages", &json!({"ImageIds": [image]}))["Images"][0].clone();
    until(|| shown(&image)["State"] != "pending");
    assert_eq!(shown(&image)["State"], "available", "{}", shown(&image));
    assert_eq!(debian.daemon.monitors(), monitors, "The reboot took another process");
    println!(
        "bytes that CreateImage of an 8 GiB root volume wrote, and its guest's shutdown: {}",
        used(&debian.daemon.state()).saturating_sub(before)
    );
    let root = shown(&image)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"].clone();
    root_is_clean(&debian.daemon.state().join(format!("snapshots/{}.raw", text(&root))));
    let request = json!({"ImageId": image, "InstanceType": "t3.micro", "MinCount": 2, "MaxCount": 2});
    let twins = api.run(&request);
    assert_ne!(twins[0], twins[1]);
    twins
}

/// Gives a guest the root volume of an image of another moment of it: it powers itself off, and boots from that as the same instance.
pub fn a_guest_gets_the_root_of_an_image(debian: &Debian, mut guest: Guest, image: &str) {
    let api = debian.api();
    guest.shell("rm /root/marker; sync");
    let old = api.instance(&guest.id)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"].clone();
    debian.daemon.run_kiln(&["replace-root", &guest.id, "--image", image]);
    let mut guest = Guest::new(&api, &guest.id, debian.booted(&guest.id, 2));
    assert_eq!(guest.shell("cat /root/marker"), "cake");
    assert_eq!(guest.metadata("meta-data/instance-id"), guest.id);
    assert_eq!(guest.metadata("meta-data/ami-id"), image);
    root_is_clean(&debian.daemon.state().join(format!("volumes/{}.raw", text(&old))));
    api.call("DeleteVolume", &json!({"VolumeId": old}));
}

/// Whether the root file system in an image of a disk needs no repair, nor its journal.
fn root_is_clean(disk: &Path) {
    let attached = Command::new("losetup")
        .args(["-f", "-r", "-P", "--show"])
        .arg(disk)
        .output()
        .unwrap();
    assert!(attached.status.success());
    let device = PathBuf::from(String::from_utf8(attached.stdout).unwrap().trim());
    let root = PathBuf::from(format!("{}p1", device.display()));
    let checked = Command::new("e2fsck").args(["-f", "-n"]).arg(&root).output();
    run(Command::new("losetup").arg("-d").arg(&device));
    let checked = checked.unwrap();
    let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    assert!(checked.status.success() && !said.contains("journal"), "{said}");
}

/// Bytes in use on the file system of a folder.
fn used(folder: &Path) -> u64 {
    File::open(folder).unwrap().sync_all().unwrap();
    super::used(folder)
}
