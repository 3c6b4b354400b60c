//! The steps that an instance and its guest are at: state, boot, lease, ARP, the port, keys.

use super::super::Context;
use super::super::api::{self, Instance};
use super::super::checks::Finding;
use super::super::error::CommandError;
use super::super::ssh::{self, Route, host_keys};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// sshd's port.
pub const SSH: u16 = 22;
/// How long a guest may take to take a connection, and a server for its first word.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn state(instance: &Instance) -> Finding {
    let state = instance.state.name.as_str();
    let because = match instance.reason() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    let found = format!("it is {state}{because}");
    match state {
        "running" => Finding::pass("state", "it is running"),
        "pending" => Finding::fail("state", found, format!("kiln wait {}", instance.handle())),
        "terminated" | "shutting-down" => Finding::fail("state", found, "kiln run IMAGE starts another"),
        _ => Finding::fail("state", found, format!("kiln start {}", instance.handle())),
    }
}

/// How far it has booted, and whether it asked for its address.
pub async fn boot(context: &Context, instance: &Instance) -> Result<[Finding; 2], CommandError> {
    let timeline = api::timeline(&context.client, &instance.instance_id).await?;
    let stages: Vec<String> = api::milestones(&timeline)?.into_iter().map(|one| one.stage).collect();
    let reached = |stage: &str| stages.iter().any(|one| one == stage);
    let name = instance.handle();
    let boot = match (reached("login"), reached("init")) {
        (true, _) => Finding::pass("boot", "its console asks for a login"),
        (false, true) => Finding::warn(
            "boot",
            "its first process runs, but there is no login prompt yet",
            format!("kiln logs -f {name} shows what it does"),
        ),
        (false, false) => Finding::fail(
            "boot",
            "no first process was seen on its console",
            format!("kiln logs {name} shows how far its kernel came"),
        ),
    };
    let lease = match reached("lease") {
        true => Finding::pass("lease", "it was given its address by DHCP"),
        false => Finding::fail(
            "lease",
            "it never asked for its address",
            format!("kiln console {name}, and look at its network: ip address; journalctl -b -u systemd-networkd"),
        ),
    };
    Ok([boot, lease])
}

/// Whether machine and guest answer, by EC2's status checks.
pub async fn answers(context: &Context, instance: &Instance) -> Result<Finding, CommandError> {
    let request = json!({"InstanceIds": [instance.instance_id]});
    let answer = context.client.call("DescribeInstanceStatus", &request).await?;
    let status = |check: &str| {
        let path = format!("/InstanceStatuses/0/{check}/Status");
        let status = answer.pointer(&path).and_then(Value::as_str);
        status.unwrap_or("not-applicable").to_owned()
    };
    let name = instance.handle();
    Ok(
        match (status("SystemStatus").as_str(), status("InstanceStatus").as_str()) {
            ("ok", "ok") => Finding::pass("status checks", "its machine answers, and its guest answers ARP"),
            ("ok", other) => Finding::fail(
                "status checks",
                format!("its machine answers, but its guest does not answer ARP: {other}"),
                format!("kiln console {name}, and look whether its interface is up: ip link"),
            ),
            (other, _) => Finding::fail(
                "status checks",
                format!("its machine does not answer: {other}"),
                format!("kiln stop --force {name} && kiln start {name}; the daemon's log may say more"),
            ),
        },
    )
}

/// Whether something listens at the port; at ssh's it must be an sshd.
pub async fn port(context: &Context, instance: &Instance, port: u16) -> Result<Finding, CommandError> {
    let name = instance.handle();
    let remedy = match port {
        SSH => format!("kiln console {name}, and: systemctl status ssh"),
        _ => format!("kiln ssh {name} -- ss -ltn shows what listens"),
    };
    let path = Route::Network.path(&instance.instance_id, port.into());
    let upgrade = context.client.upgrade(&path, Route::Network.protocol());
    let mut connection = match timeout(PATIENCE, upgrade).await {
        Err(_) => return Ok(Finding::fail("port", format!("port {port} does not answer"), remedy)),
        Ok(Err(CommandError::Refused { message, .. })) => return Ok(Finding::fail("port", message, remedy)),
        Ok(connection) => connection?,
    };
    if port != SSH {
        return Ok(Finding::pass("port", format!("something listens at port {port}")));
    }
    let mut word = [0; 4];
    Ok(match timeout(PATIENCE, connection.read_exact(&mut word)).await {
        Ok(Ok(_)) if &word == b"SSH-" => Finding::pass("port", "its sshd answers"),
        Ok(Ok(_)) => Finding::fail("port", "what listens at port 22 is no sshd", remedy),
        Ok(Err(error)) => Finding::fail("port", format!("what listens at port 22 hung up: {error}"), remedy),
        Err(_) => Finding::fail("port", "what listens at port 22 says nothing", remedy),
    })
}

/// Whether `kiln ssh` has the key, and knows the guest's.
pub async fn keys(context: &Context, instance: &Instance) -> Result<[Finding; 2], CommandError> {
    let key = match &instance.key_name {
        None => Finding::warn(
            "key",
            "it was launched without a key pair",
            "kiln ssh --identity FILE, if its image has a key of yours; else kiln run --key NAME",
        ),
        Some(name) => match ssh::identity(context, instance).await? {
            Some(file) => Finding::pass("key", format!("{} goes with its key pair {name}", file.display())),
            None => Finding::fail(
                "key",
                format!("no private key in ~/.ssh goes with its key pair {name}"),
                "kiln ssh --identity FILE names another; ssh-agent may have it, too",
            ),
        },
    };
    let known = host_keys::known_hosts(context, &instance.instance_id).await?;
    let host_keys = match known.is_empty() {
        false => Finding::pass("host keys", "they were seen on its console"),
        true => Finding::warn(
            "host keys",
            "they were not seen on its console, where cloud-init prints them at the first boot",
            format!("kiln logs {}", instance.handle()),
        ),
    };
    Ok([key, host_keys])
}
