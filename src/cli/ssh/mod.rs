//! Getting into a guest with the system's own `ssh` and `scp`: how they reach it (a connection through the daemon, from
//! within the guest's VPC), by which host keys they know it, as which user and with which key.

pub mod host_keys;
mod identity;

use super::Context;
use super::api::Instance;
use super::error::CommandError;
use super::progress;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

/// sshd's port.
const PORT: u32 = 22;
/// How long a guest is left alone between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Users of images by the beginning of their names, as their distributions have it.
const USERS: [(&str, &str); 6] = [
    ("debian", "debian"),
    ("ubuntu", "ubuntu"),
    ("fedora", "fedora"),
    ("rocky", "rocky"),
    ("alma", "almalinux"),
    ("alpine", "alpine"),
];
/// The user of all others, as Amazon's own.
const OTHER_USER: &str = "ec2-user";

/// How a guest's port is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// TCP, from within the guest's VPC.
    Network,
    /// The guest's vsock device.
    Vsock,
}

impl Route {
    /// The path of a guest's port among the daemon's resources.
    pub fn path(self, instance: &str, port: u32) -> String {
        let ports = match self {
            Route::Network => "ports",
            Route::Vsock => "vsock",
        };
        format!("/instances/{instance}/{ports}/{port}")
    }

    /// The protocol that a connection to it is turned into.
    pub fn protocol(self) -> &'static str {
        match self {
            Route::Network => "kiln-tcp",
            Route::Vsock => "kiln-vsock",
        }
    }
}

/// What `ssh` and `scp` are told, as options of theirs.
#[derive(Debug)]
pub struct Way {
    /// `-o` and a setting, `-i` and a file.
    pub options: Vec<String>,
    /// The user that the image's maker has made.
    pub user: String,
}

impl Way {
    /// The way into an instance.
    ///
    /// # Errors
    /// The daemon can't be asked.
    pub async fn to(context: &Context, instance: &Instance, route: Route) -> Result<Self, CommandError> {
        let settings = settings(context, &instance.instance_id, route)?;
        let mut options: Vec<String> = settings
            .into_iter()
            .flat_map(|setting| ["-o".into(), setting])
            .collect();
        if let Some(file) = identity(context, instance).await? {
            options.extend([
                "-i".into(),
                file.display().to_string(),
                "-o".into(),
                "IdentitiesOnly=yes".into(),
            ]);
        }
        let user = user(context, instance).await?;
        Ok(Self { options, user })
    }
}

/// The settings that hold for any user and key; `host` is the instance, or ssh's own word for it.
fn settings(context: &Context, host: &str, route: Route) -> Result<[String; 6], CommandError> {
    let kiln = std::env::current_exe().map_err(CommandError::Terminal)?;
    let socket = context.client.socket().to_string_lossy().into_owned();
    let kiln = format!("{} --socket {}", quoted(&kiln.to_string_lossy()), quoted(&socket));
    let connect = match route {
        Route::Network => "connect",
        Route::Vsock => "connect --vsock",
    };
    Ok([
        format!("ProxyCommand {kiln} {connect} {host} %p"),
        format!("KnownHostsCommand {kiln} host-keys {host}"),
        format!("HostKeyAlias {host}"),
        "UserKnownHostsFile none".into(),
        "GlobalKnownHostsFile none".into(),
        "StrictHostKeyChecking yes".into(),
    ])
}

/// A part of ssh's configuration for all instances, named by their identifiers.
///
/// # Errors
/// The command's own path can't be found out.
pub fn config(context: &Context) -> Result<Vec<String>, CommandError> {
    let settings = settings(context, "%n", Route::Network)?;
    let lines = settings.iter().map(|setting| format!("    {setting}"));
    Ok(std::iter::once("Host i-*".to_owned()).chain(lines).collect())
}

/// A word of a command in ssh's configuration: a percent sign begins a token there.
fn quoted(word: &str) -> String {
    let plain = word
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"/._-+=:@".contains(&b));
    match plain {
        true => word.into(),
        false => format!(
            "\"{}\"",
            word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")
        ),
    }
}

/// The file with the private key that goes with an instance's key pair, if the user has one.
///
/// # Errors
/// The daemon can't be asked.
pub async fn identity(context: &Context, instance: &Instance) -> Result<Option<PathBuf>, CommandError> {
    let Some(name) = &instance.key_name else {
        return Ok(None);
    };
    let request = json!({ "Filters": [{"Name": "key-name", "Values": [name]}], "IncludePublicKey": true });
    let answer = context.client.call("DescribeKeyPairs", &request).await?;
    let public = answer.pointer("/KeyPairs/0/PublicKey").and_then(Value::as_str);
    let folder = std::env::home_dir().map(|home| home.join(".ssh"));
    Ok(public
        .zip(folder)
        .and_then(|(public, folder)| identity::find(&folder, public)))
}

async fn user(context: &Context, instance: &Instance) -> Result<String, CommandError> {
    let request = json!({ "Filters": [{"Name": "image-id", "Values": [instance.image_id]}] });
    let answer = context.client.call("DescribeImages", &request).await?;
    let name = answer
        .pointer("/Images/0/Name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let user = USERS.iter().find(|(prefix, _)| name.starts_with(prefix));
    Ok(user.map_or(OTHER_USER, |(_, user)| user).into())
}

/// Waits until a guest's sshd answers on one of `routes`, the preferred first, and its host keys are known, `limit` at most.
/// Says on which it does, and what was in the way of those before it.
///
/// # Errors
/// The instance does not run, or the time is up: then the last reason is told.
pub async fn until_reachable(
    context: &Context,
    instance: &Instance,
    routes: &[Route],
    limit: Duration,
) -> Result<(Route, Option<String>), CommandError> {
    let spinner = progress::spinner(&format!("waiting for sshd in {}", instance.handle()));
    let outcome = wait(context, &instance.instance_id, routes, Instant::now() + limit).await;
    spinner.finish_and_clear();
    outcome
}

async fn wait(
    context: &Context,
    id: &str,
    routes: &[Route],
    deadline: Instant,
) -> Result<(Route, Option<String>), CommandError> {
    loop {
        let mut problem = None;
        for &route in routes {
            let attempt = tokio::time::timeout_at(deadline, obstacle(context, id, route)).await;
            match attempt.unwrap_or_else(|_| Ok(Some("its sshd does not answer".into()))) {
                Ok(None) => return Ok((route, problem)),
                Ok(Some(next)) => problem = Some(next),
                // What does not run is not reached by any route; what has no network may be by another.
                Err(CommandError::Refused { code, message, .. })
                    if problem.is_some() && code == "IncorrectInstanceState" =>
                {
                    problem = Some(message);
                }
                Err(error) => return Err(error),
            }
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(CommandError::NoSsh {
                instance: id.into(),
                problem: problem.unwrap_or_default(),
            });
        }
        sleep(PAUSE).await;
    }
}

/// What still keeps `ssh` out; nothing, once sshd has said its first word and its keys are known.
async fn obstacle(context: &Context, id: &str, route: Route) -> Result<Option<String>, CommandError> {
    let upgraded = context.client.upgrade(&route.path(id, PORT), route.protocol()).await;
    let mut connection = match upgraded {
        Err(CommandError::Refused { code, message, .. }) if code == "Unavailable" => return Ok(Some(message)),
        connection => connection?,
    };
    if let Err(error) = connection.read_exact(&mut [0; 4]).await {
        return Ok(Some(format!("its port {PORT} is no sshd's: {error}")));
    }
    let known = !host_keys::known_hosts(context, id).await?.is_empty();
    Ok((!known).then(|| "its sshd answers, but its host keys were never seen on the console".into()))
}
