//! What clients of EC2 need to find this daemon: the endpoint's URL, an access key, the region. Used by `kiln env` and
//! `kiln aws`.
//!
//! The access key is the user's own. Its secret is kept under `$XDG_CONFIG_HOME/kiln/access-keys`, a file a daemon's socket,
//! since a daemon tells it once only.

use super::Context;
use super::error::CommandError;
use super::verbs::text;
use serde_json::Value;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;

/// The variable that names the endpoint.
pub const ENDPOINT: &str = "AWS_ENDPOINT_URL";

/// Variables that would lead a client of EC2 elsewhere.
pub const MISLEADING: [&str; 6] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_ENDPOINT_URL_EC2",
];

/// The variables that a client of EC2 goes by, with their values.
pub async fn environment(context: &Context) -> Result<Vec<(&'static str, String)>, CommandError> {
    let status = context.client.get("/status").await?;
    let endpoint = status.get("Ec2Endpoint").and_then(Value::as_str);
    let endpoint = endpoint.ok_or(CommandError::NoEndpoint)?;
    let key = access_key(context).await?;
    let region = text(&status, "Region");
    Ok(vec![
        (ENDPOINT, endpoint.into()),
        ("AWS_ACCESS_KEY_ID", text(&key, "AccessKeyId").into()),
        ("AWS_SECRET_ACCESS_KEY", text(&key, "SecretAccessKey").into()),
        ("AWS_REGION", region.into()),
        ("AWS_DEFAULT_REGION", region.into()),
        // Nothing here is asked on the metadata service of the host that the client runs on.
        ("AWS_EC2_METADATA_DISABLED", "true".into()),
    ])
}

/// The user's access key: the one that is kept, if the daemon still has it, else a new one.
async fn access_key(context: &Context) -> Result<Value, CommandError> {
    let path = path(context)?;
    let failed = |source| CommandError::File {
        path: path.clone(),
        source,
    };
    let kept: Option<Value> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    if let Some(kept) = kept {
        let there = context.client.get("/access-keys").await?;
        let there = there.get("AccessKeyMetadata").and_then(Value::as_array);
        let is_it = |key: &Value| text(key, "AccessKeyId") == text(&kept, "AccessKeyId");
        if there.is_some_and(|keys| keys.iter().any(is_it)) {
            return Ok(kept);
        }
    }
    let made = context.client.post("/access-keys").await?;
    let key = made.get("AccessKey").cloned().unwrap_or_default();
    keep(&path, &key).map_err(failed)?;
    Ok(key)
}

/// Where the key of this daemon is kept.
fn path(context: &Context) -> Result<PathBuf, CommandError> {
    let socket = std::path::absolute(context.client.socket()).map_err(|source| CommandError::File {
        path: context.client.socket().into(),
        source,
    })?;
    let name = socket.to_string_lossy().trim_start_matches('/').replace('/', "-");
    let folders = super::catalogs::Folders::of_user()?;
    Ok(folders.access_keys().join(format!("{name}.json")))
}

/// Writes the key whole, for nobody but the user.
fn keep(path: &PathBuf, key: &Value) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.as_file().set_permissions(PermissionsExt::from_mode(0o600))?;
    file.write_all(key.to_string().as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}
