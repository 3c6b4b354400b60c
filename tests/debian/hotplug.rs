//! Interfaces that come to a guest and go from it while it runs.

use super::network::{Guest, text};
use super::until;
use kiln_harness::{Api, Debian};
use serde_json::{Value, json};

/// What the slot of an instance's first interface has guests call it, and of its second.
const FIRST: &str = "ens5";
const SECOND: &str = "ens6";

/// Attaches a second interface: the guest finds it, gets its address by DHCP, sees it in its metadata, and is reached by it,
/// by its secondary address, too. Detached, it is gone from the guest before it is free, also when the daemon was killed
/// meanwhile. Then it is attached and detached again.
pub fn an_interface_comes_and_goes(debian: &mut Debian, guest: &mut Guest, other: &mut Guest) {
    let api = debian.api();
    assert_eq!(guest.shell("ls /sys/class/net | grep ^e"), FIRST);
    let subnet = api.instance(&guest.id)["SubnetId"].clone();
    let made = api.call("CreateNetworkInterface", &json!({"SubnetId": subnet}));
    let made = &made["NetworkInterface"];
    let (id, address) = (text(&made["NetworkInterfaceId"]), text(&made["PrivateIpAddress"]));

    let attachment = attach(&api, guest, &id);
    assert_eq!(interface(&api, &id)["Attachment"]["Status"], "attached");
    has_address(guest, &address);
    let mac = text(&made["MacAddress"]);
    assert_eq!(guest.shell(&format!("cat /sys/class/net/{SECOND}/address")), mac);
    let macs = format!("meta-data/network/interfaces/macs/{mac}");
    assert_eq!(guest.metadata(&format!("{macs}/device-number")), "1");
    // Answers leave by the interface that was asked, as EC2's guests with two are set up.
    guest.shell(&format!(
        "ip route add default dev {SECOND} table 10; ip rule add from {address} table 10"
    ));
    other.shell(&format!("ping -c 1 -W 20 {address}"));

    let more = json!({"NetworkInterfaceId": id, "SecondaryPrivateIpAddressCount": 1});
    let more = api.call("AssignPrivateIpAddresses", &more);
    let secondary = text(&more["AssignedPrivateIpAddresses"][0]["PrivateIpAddress"]);
    assert_eq!(
        guest.metadata(&format!("{macs}/local-ipv4s")),
        format!("{address}\n{secondary}")
    );
    guest.shell(&format!(
        "ip addr add {secondary}/32 dev {SECOND}; ip rule add from {secondary} table 10"
    ));
    other.shell(&format!("ping -c 1 -W 20 {secondary}"));

    // The guest is asked while nobody listens to its answer.
    let monitors = debian.daemon.monitors();
    let detach = json!({"AttachmentId": attachment});
    api.call("DetachNetworkInterface", &detach);
    debian.daemon.kill();
    debian.daemon.start();
    assert_eq!(debian.daemon.monitors(), monitors);
    let api = debian.api();
    guest.reconnect(&api);
    other.reconnect(&api);
    is_free(&api, guest, &id);
    other.shell(&format!("! ping -c 1 -W 5 {address}"));

    let attachment = attach(&api, guest, &id);
    has_address(guest, &address);
    api.call("DetachNetworkInterface", &json!({"AttachmentId": attachment}));
    is_free(&api, guest, &id);
    api.call("DeleteNetworkInterface", &json!({"NetworkInterfaceId": id}));
}

fn attach(api: &Api, guest: &Guest, id: &str) -> String {
    let request = json!({"NetworkInterfaceId": id, "InstanceId": guest.id, "DeviceIndex": 1});
    text(&api.call("AttachNetworkInterface", &request)["AttachmentId"])
}

fn has_address(guest: &mut Guest, address: &str) {
    guest.wait_until(&format!("ip -o -4 addr show dev {SECOND} | grep -qF {address}/"));
}

fn is_free(api: &Api, guest: &mut Guest, id: &str) {
    guest.wait_until(&format!("! test -e /sys/class/net/{SECOND}"));
    // The guest lets go of it just before the daemon hears of it, of which there is no event of EC2's.
    until(|| interface(api, id)["Status"] == "available");
    assert_eq!(guest.shell("ls /sys/class/net | grep ^e"), FIRST);
}

fn interface(api: &Api, id: &str) -> Value {
    let answer = api.call("DescribeNetworkInterfaces", &json!({"NetworkInterfaceIds": [id]}));
    answer["NetworkInterfaces"][0].clone()
}
