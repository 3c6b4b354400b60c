//! Stock Debian guests through the daemon: their kernel, initramfs and init are Debian's own. They need a KVM that runs stock
//! kernels, so `make test` starts them through `tests/lab/lab auto`. A boot takes half a minute in the lab, so each test
//! shows several things of one guest.

mod hotplug;
mod images;
mod machine;
mod network;
mod vsock;

use kiln_harness::{Console, Debian};
use network::Guest;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a guest may take for a command: it is emulated, and others are beside it.
const SOON: Duration = Duration::from_secs(300);
const LONG: Duration = Duration::from_secs(900);

fn start(release: u8) -> Debian {
    Debian::start(env!("CARGO_BIN_EXE_kilnd"), release, "")
}

/// Waits for what EC2 has no event for.
#[track_caller]
fn until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "It does not come true");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Bytes in use on the file system of a folder.
fn used(folder: &Path) -> u64 {
    let status = rustix::fs::statvfs(folder).unwrap();
    (status.f_blocks - status.f_bfree) * status.f_frsize
}

#[test]
#[ignore = "boots Debian, which needs a KVM that runs stock kernels; make test sees to it"]
fn two_debians_run_at_once_and_outlive_the_daemon() {
    let mut debian = start(12);
    let api = debian.api();

    // On XFS an 8 GiB root volume takes no copying.
    let before = used(&debian.daemon.state());
    let one = debian.run("t3.small");
    let written = used(&debian.daemon.state()).saturating_sub(before);
    println!("bytes that the launch of an 8 GiB root volume wrote: {written}");
    assert!(
        written < 32 << 20,
        "The launch wrote {written} bytes: the volume was copied"
    );

    let four = debian.run("t3.large");
    let (mut idle, mut loaded) = (debian.booted(&one, 1), debian.booted(&four, 1));
    assert_eq!(idle.shell("nproc", SOON), "1");
    assert_eq!(loaded.shell("nproc", SOON), "4");
    machine::is_as_ec2_has_it(&mut idle);
    machine::no_vcpu_waits_for_a_disk(&debian.daemon, &mut loaded);

    let (mut near, mut far) = (Guest::new(&api, &one, idle), Guest::new(&api, &four, loaded));
    let in_their_vpc = debian.daemon.monitors();
    let twin = network::run_twin(&debian, &far);
    network::metadata_is_each_ones_own(&mut near, &mut far);
    network::tokens_go_as_far_as_the_hop_limit(&api, &mut near);
    network::private_names_are_resolved(&api, &mut near, &far);
    network::every_path_of_the_metadata_is_there(&mut near);
    network::a_key_that_is_sent_is_there(&api, &mut near);
    vsock::reaches_the_guest_without_a_network(&debian, &mut near);
    hotplug::an_interface_comes_and_goes(&mut debian, &mut near, &mut far);
    let mut neighbour = Guest::new(&api, &twin, debian.booted(&twin, 1));
    network::instances_of_two_vpcs_do_not_meet(&mut near, &far, &mut neighbour);
    network::its_status_check_is_true(&api, &mut neighbour);
    network::they_meet_as_their_group_says(&api, &mut near, &mut far);

    let monitors = debian.daemon.monitors();
    network::answer_when_asked(&mut near);
    debian.daemon.kill();
    network::metadata_and_dhcp_go_on(in_their_vpc[0], &near);
    debian.daemon.start();
    assert_eq!(debian.daemon.monitors(), monitors);
    assert_eq!(
        (api.state(&one), api.state(&four)),
        ("running".into(), "running".into())
    );

    debian.finish(&[one, four, twin]);
}

/// Stops by the power button, and starts from the same root volume.
fn stop_and_start(debian: &Debian, id: &str, mut console: Console) {
    let api = debian.api();
    console.shell("echo kept > /root/kept; sync", SOON);
    let stopping = Instant::now();
    api.call("StopInstances", &json!({"InstanceIds": [id]}));
    let stopped = api.wait_for_state(id, "stopped", SOON);
    println!("a stop by the power button took {:?}", stopping.elapsed());
    assert_eq!(stopped["StateReason"]["Code"], "Client.UserInitiatedShutdown");
    let said = console.wait_for_end(SOON);
    assert!(
        said.contains("Power down") || said.contains("Powering off"),
        "The guest did not power itself off"
    );

    api.call("StartInstances", &json!({"InstanceIds": [id]}));
    let mut console = debian.booted(id, 3);
    assert_eq!(console.shell("cat /root/kept", SOON), "kept");
}

#[test]
#[ignore = "boots Debian, which needs a KVM that runs stock kernels; make test sees to it"]
fn debian_boots_the_kernel_it_installed_and_keeps_its_volume_over_a_stop() {
    let debian = start(12);
    let api = debian.api();
    let id = debian.run("t3.small");
    let mut console = debian.booted(&id, 1);
    let before = console.shell("uname -r", SOON);
    // A smaller initramfs is made sooner, and says as much.
    console.shell(
        "printf 'MODULES=dep\\nCOMPRESSLEVEL=1\\n' > /etc/initramfs-tools/conf.d/kiln",
        SOON,
    );
    console.type_line("dpkg --force-unsafe-io -i /root/*.deb > /root/dpkg.log 2>&1; echo KILN-'UPGRADED' $?");
    console.wait_for("KILN-UPGRADED 0", LONG);
    let monitors = debian.daemon.monitors();
    api.call("RebootInstances", &json!({"InstanceIds": [id]}));
    let mut console = debian.booted(&id, 2);
    let after = console.shell("uname -r", SOON);
    assert!(
        before.starts_with("6.1.") && after.starts_with("6.12."),
        "{before} was booted, then {after}"
    );
    assert_eq!(debian.daemon.monitors(), monitors, "A reboot took another process");
    stop_and_start(&debian, &id, console);
    debian.finish(&[id]);
}

#[test]
#[ignore = "boots Debian, which needs a KVM that runs stock kernels; make test sees to it"]
fn a_debian_is_copied_while_it_works_and_lives_again_in_others() {
    let debian = start(12);
    let api = debian.api();
    let id = debian.run("t3.small");
    let mut guest = Guest::new(&api, &id, debian.booted(&id, 1));
    images::a_volume_stands_all_that_is_done_to_it(&debian, &mut guest);
    let twins = images::an_image_of_a_guest_is_it_again(&debian, &mut guest);
    // The image is of the moment between its first boot and its second.
    let identities: Vec<String> = twins
        .iter()
        .map(|twin| {
            let mut twin = Guest::new(&api, twin, debian.booted(twin, 2));
            assert_eq!(twin.shell("cat /root/marker"), "cake");
            assert_eq!(twin.metadata("meta-data/instance-id"), twin.id);
            twin.shell("cat /sys/class/dmi/id/product_uuid")
        })
        .collect();
    assert_ne!(identities[0], identities[1]);
    let image = api.instance(&twins[0])["ImageId"].as_str().unwrap().to_owned();
    images::a_guest_gets_the_root_of_an_image(&debian, guest, &image);
    debian.daemon.run_kiln(&["images", "rm", "--yes", &image]);
    debian.finish(&[vec![id], twins].concat());
}

/// A stock Debian 13 whose interface is down does what `kiln exec` says.
#[test]
#[ignore = "boots Debian, which needs a KVM that runs stock kernels; make test sees to it"]
fn debian_13_boots_and_obeys_without_a_network() {
    let debian = start(13);
    let key = vsock::Key::create(&debian.daemon);
    let id = debian.run_with("t3.small", &json!({"KeyName": vsock::Key::NAME}));
    let mut guest = Guest::new(&debian.api(), &id, debian.booted(&id, 1));
    guest.shell("ip link set dev $(ls /sys/class/net | grep ^e) down");
    vsock::obeys_without_a_network(&debian, &mut guest, &key);
    debian.finish(&[id]);
}
