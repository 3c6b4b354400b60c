//! The host keys of a guest, as cloud-init prints them to the serial console at the first boot: by them a connection is
//! known to be one to that guest. Once seen they are kept in a file of the user's, for the console forgets.

use super::super::Context;
use super::super::error::CommandError;
use crate::base64;
use serde_json::{Value, json};
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const BEGIN: &str = "-----BEGIN SSH HOST KEY KEYS-----";
const END: &str = "-----END SSH HOST KEY KEYS-----";
/// The most keys of one guest; a distribution makes three or four.
const MAX_KEYS: usize = 16;
/// The longest key, in characters.
const MAX_LENGTH: usize = 2048;

/// The lines of `known_hosts` for an instance; none if its keys were never seen.
pub async fn known_hosts(context: &Context, instance: &str) -> Result<Vec<String>, CommandError> {
    let path = kept()?;
    let request = json!({ "InstanceId": instance, "Latest": true });
    let answer = context.client.call("GetConsoleOutput", &request).await?;
    let text = answer.get("Output").and_then(Value::as_str).unwrap_or_default();
    let console = base64::decode(text).unwrap_or_default();
    let keys = on_console(&String::from_utf8_lossy(&console));
    let failed = |source| CommandError::File {
        path: path.clone(),
        source,
    };
    if keys.is_empty() {
        return of_instance(&path, instance).map_err(failed);
    }
    let lines: Vec<String> = keys.iter().map(|key| format!("{instance} {key}")).collect();
    keep(&path, instance, &lines).map_err(failed)?;
    Ok(lines)
}

/// Where host keys are kept: `known_hosts` in kiln's part of `$XDG_STATE_HOME`.
fn kept() -> Result<PathBuf, CommandError> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let state = state.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")));
    let state = state.ok_or_else(|| CommandError::Usage("HOME is not set: host keys can't be kept".into()))?;
    Ok(state.join("kiln/known_hosts"))
}

/// The keys between the last two marks: kind and key, nothing else that the guest said.
fn on_console(text: &str) -> Vec<String> {
    let Some((_, after)) = text.rsplit_once(BEGIN) else {
        return Vec::new();
    };
    let Some((between, _)) = after.split_once(END) else {
        return Vec::new();
    };
    between.lines().filter_map(key).take(MAX_KEYS).collect()
}

fn key(line: &str) -> Option<String> {
    let mut words = line.split_ascii_whitespace();
    let (kind, key) = (words.next()?, words.next()?);
    let is_kind = ["ssh-", "ecdsa-sha2-", "sk-"]
        .iter()
        .any(|prefix| kind.starts_with(prefix));
    let plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-@.+/=".contains(&b))
    };
    (is_kind && plain(kind) && plain(key) && key.len() <= MAX_LENGTH).then(|| format!("{kind} {key}"))
}

fn of_instance(path: &Path, instance: &str) -> io::Result<Vec<String>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let own = text.lines().filter(|line| is_of(line, instance));
    Ok(own.map(str::to_owned).collect())
}

fn is_of(line: &str, instance: &str) -> bool {
    line.split_ascii_whitespace().next() == Some(instance)
}

/// Puts the instance's lines in the place of those it had; the file is replaced whole.
fn keep(path: &Path, instance: &str, lines: &[String]) -> io::Result<()> {
    if of_instance(path, instance)? == lines {
        return Ok(());
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let others = std::fs::read_to_string(path).unwrap_or_default();
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = File::create(&fresh)?;
    for line in others.lines().filter(|line| !is_of(line, instance)) {
        writeln!(file, "{line}")?;
    }
    for line in lines {
        writeln!(file, "{line}")?;
    }
    std::fs::rename(fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_read_between_the_marks_and_nothing_else_of_the_guests_is() {
        let console = format!(
            "boot\r\n{BEGIN}\r\nold AAAA\r\n{END}\r\n{BEGIN}\r\nssh-ed25519 AAAAC3Nz root@ip-10-0-0-5\r\n\
             ecdsa-sha2-nistp256 AAAAE2Vj+/= x\r\n@cert-authority * ssh-rsa AAAA\r\nssh-rsa AA\u{7}AA\r\n{END}\r\nlogin: "
        );
        assert_eq!(
            on_console(&console),
            ["ssh-ed25519 AAAAC3Nz", "ecdsa-sha2-nistp256 AAAAE2Vj+/="]
        );
        assert!(on_console(&format!("{BEGIN}\nssh-rsa AAAA\n")).is_empty());
    }

    #[test]
    fn keys_of_an_instance_take_the_place_of_its_old_ones_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kiln/known_hosts");
        assert!(of_instance(&path, "i-1").unwrap().is_empty());
        keep(&path, "i-1", &["i-1 ssh-rsa A".into()]).unwrap();
        keep(&path, "i-2", &["i-2 ssh-rsa B".into()]).unwrap();
        keep(&path, "i-1", &["i-1 ssh-rsa C".into()]).unwrap();
        assert_eq!(of_instance(&path, "i-1").unwrap(), ["i-1 ssh-rsa C"]);
        assert_eq!(of_instance(&path, "i-2").unwrap(), ["i-2 ssh-rsa B"]);
    }

    proptest! {
        #[test]
        fn no_console_makes_a_line_for_another_host(text in ".{0,200}") {
            for line in on_console(&format!("{BEGIN}\n{text}\n{END}")) {
                prop_assert_eq!(line.split(' ').count(), 2);
                prop_assert!(!line.contains('\n'));
            }
        }
    }
}
