//! The vsock device of a guest, which needs no network.

use super::SOON;
use super::network::{Guest, text};
use kiln_harness::{Daemon, Debian};
use serde_json::json;
use std::fs;
use tempfile::TempDir;

/// The port of the host at which a guest says that it is ready, and one of the guest's.
const NOTIFY_PORT: u32 = 9999;
const ECHO_PORT: u32 = 7002;

/// A key pair whose private key lies where `kiln exec` looks for it.
pub struct Key {
    home: TempDir,
}

impl Key {
    pub const NAME: &str = "key";

    pub fn create(daemon: &Daemon) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".ssh")).unwrap();
        let path = home.path().join(".ssh/id_ed25519");
        daemon.run_kiln(&["keys", "create", Self::NAME, path.to_str().unwrap()]);
        Self { home }
    }
}

/// A guest without a network does what `kiln exec` says: its systemd (256 and later) has sshd listen on the vsock device.
pub fn obeys_without_a_network(debian: &Debian, guest: &mut Guest, key: &Key) {
    guest.shell("! ip route | grep .");
    // What cloud-init does at a first boot, which the test image leaves out.
    let described = debian
        .api()
        .call("DescribeKeyPairs", &json!({"IncludePublicKey": true}));
    guest.shell("mkdir -p -m 700 /root/.ssh; ssh-keygen -A");
    guest.install(
        "/root/.ssh/authorized_keys",
        &text(&described["KeyPairs"][0]["PublicKey"]),
    );
    let mark = |word| format!("echo -----{word} SSH HOST KEY KEYS-----");
    guest.shell(&format!(
        "{{ {}; cat /etc/ssh/ssh_host_*_key.pub; {}; }} > /dev/console",
        mark("BEGIN"),
        mark("END")
    ));

    let word = ["exec", &guest.id, "--user", "root", "--", "cat", "/etc/debian_version"];
    let output = debian.daemon.kiln(&word).env("HOME", key.home.path()).output().unwrap();
    let [said, told] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{said}{told}");
    assert_eq!(said.trim(), guest.shell("cat /etc/debian_version"), "{told}");
}

/// A guest with a server on its vsock device is reached past its network by `kiln connect`; and it can say that it is ready.
pub fn reaches_the_guest_without_a_network(debian: &Debian, guest: &mut Guest) {
    // Once one side has ended, socat waits half a second for the other if not told otherwise: too short for a slow guest.
    guest.background(&format!("socat -t 60 VSOCK-LISTEN:{ECHO_PORT},fork EXEC:cat"));
    guest.wait_until(&format!("ss -l --vsock | grep -q :{ECHO_PORT}"));
    let said = debian.daemon.kiln_with_input(
        &["connect", "--vsock", &guest.id, &ECHO_PORT.to_string()],
        b"there and back",
    );
    assert_eq!(said, "there and back");

    let told = guest.shell("grep -a -o 'io.systemd.credential:[[:graph:]]*' /sys/firmware/dmi/tables/DMI");
    let socket = format!("io.systemd.credential:vmm.notify_socket=vsock-stream:2:{NOTIFY_PORT}");
    assert_eq!(told, socket);
    guest.shell(&format!(
        "echo READY=1 | timeout 60 socat -u STDIN VSOCK-CONNECT:2:{NOTIFY_PORT}"
    ));
    debian.api().events().until(SOON, "the guest to be ready", || {
        let timeline = debian.daemon.run_kiln(&["timeline", &guest.id]);
        timeline.contains("ready").then_some(())
    });
}
