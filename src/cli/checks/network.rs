//! What guests' networks need of the host.

use super::Finding;
use super::host::is_installed;
use crate::config::Config;
use std::path::Path;

pub fn taps() -> Finding {
    let check = "taps";
    if Path::new("/dev/net/tun").exists() {
        return Finding::pass(check, "/dev/net/tun is there");
    }
    Finding::fail(
        check,
        "there is no /dev/net/tun",
        "modprobe tun; to keep it: echo tun > /etc/modules-load.d/kiln.conf",
    )
}

pub fn vhost(config: &Config) -> Finding {
    let check = "vhost-net";
    if !config.network.vhost_net {
        return Finding::pass(check, "not used, as network.vhost_net says");
    }
    if Path::new("/dev/vhost-net").exists() {
        return Finding::pass(check, "/dev/vhost-net is there");
    }
    Finding::warn(
        check,
        "there is no /dev/vhost-net: guests' networks are slower",
        "modprobe vhost_net; to keep it: echo vhost_net >> /etc/modules-load.d/kiln.conf",
    )
}

pub fn firewall() -> Finding {
    let check = "firewall";
    if is_installed("nft") {
        return Finding::pass(check, "nft is there");
    }
    Finding::fail(
        check,
        "nft not found",
        "apt-get install nftables; guests get no network without it",
    )
}

/// kiln routes between its own links, but never changes what the host does with the others.
pub fn forwarding() -> Finding {
    let check = "way out";
    match std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward") {
        Ok(text) if text.trim() == "1" => Finding::pass(check, "the host forwards packets"),
        Ok(_) => Finding::warn(
            check,
            "the host does not forward packets: guests reach each other, but nothing outside",
            "sysctl -w net.ipv4.ip_forward=1; to keep it: echo net.ipv4.ip_forward=1 > /etc/sysctl.d/50-kiln.conf",
        ),
        Err(error) => Finding::warn(check, format!("ip_forward can't be read: {error}"), "mount /proc"),
    }
}
