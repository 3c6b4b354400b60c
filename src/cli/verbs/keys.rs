//! `kiln keys`: key pairs, listed (DescribeKeyPairs), made (CreateKeyPair), taken in (ImportKeyPair) and deleted
//! (DeleteKeyPair).

use super::super::Context;
use super::super::error::CommandError;
use super::super::output::{hint, tell};
use super::super::table::{Table, age};
use super::super::terminal;
use super::{members, text};
use crate::base64;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// List key pairs; make, import and delete them.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "\
Examples:
  kiln keys
  kiln keys import laptop ~/.ssh/id_ed25519.pub
  kiln keys create ci ci.pem
  kiln keys rm ci",
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    /// Names only.
    #[arg(short, long)]
    quiet: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Create(CreateArguments),
    Import(ImportArguments),
    Rm(RmArguments),
}

/// Make a key pair. Its private half is kept nowhere but where this puts it.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln keys create ci ci.pem
  kiln keys create ci > ci.pem
  kiln keys create --type rsa old-client old.pem")]
struct CreateArguments {
    /// The pair's name.
    name: String,
    /// Where the private key goes, a new file that only you can read; without it, to standard output.
    file: Option<PathBuf>,
    /// The kind of the key.
    #[arg(long = "type", value_name = "TYPE", default_value = "ed25519", value_parser = ["ed25519", "rsa"])]
    kind: String,
}

/// Take in the public half of a pair that you have.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln keys import laptop ~/.ssh/id_ed25519.pub")]
struct ImportArguments {
    /// The pair's name.
    name: String,
    /// The file with the public key, as ssh-keygen writes it.
    file: PathBuf,
}

/// Delete key pairs. Instances that were launched with them keep their keys.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln keys rm ci
  kiln keys rm --yes ci laptop")]
struct RmArguments {
    /// The names of the pairs.
    #[arg(required = true)]
    names: Vec<String>,
    /// Don't ask.
    #[arg(short, long)]
    yes: bool,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    match arguments.verb {
        None => list(context, arguments.quiet).await,
        Some(Verb::Create(arguments)) => create(context, &arguments).await,
        Some(Verb::Import(arguments)) => import(context, &arguments).await,
        Some(Verb::Rm(arguments)) => remove(context, &arguments).await,
    }
}

async fn list(context: &Context, quiet: bool) -> Result<(), CommandError> {
    let answer = context.client.call("DescribeKeyPairs", &json!({})).await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let pairs = members(&answer, "KeyPairs");
    if quiet {
        return pairs.iter().try_for_each(|one| context.out.line(text(one, "KeyName")));
    }
    if pairs.is_empty() {
        hint("no key pairs; kiln keys import NAME ~/.ssh/id_ed25519.pub takes yours in");
    }
    let now = OffsetDateTime::now_utc();
    let mut table = Table::new(["NAME", "ID", "TYPE", "FINGERPRINT", "AGE"]);
    for one in pairs {
        table.row([
            text(one, "KeyName").into(),
            text(one, "KeyPairId").into(),
            text(one, "KeyType").into(),
            text(one, "KeyFingerprint").into(),
            age(text(one, "CreateTime"), now).into(),
        ]);
    }
    table.print(&context.out)
}

async fn create(context: &Context, arguments: &CreateArguments) -> Result<(), CommandError> {
    // The file first: a private key that could not be written would be lost.
    let file = match arguments.file.as_deref() {
        Some(path) => Some((path, new_file(path)?)),
        None => None,
    };
    let request = json!({ "KeyName": arguments.name, "KeyType": arguments.kind });
    let answer = context.client.call("CreateKeyPair", &request).await;
    let Some((path, mut file)) = file else {
        let answer = answer?;
        return match context.out.json {
            true => context.out.answer(&answer),
            false => context.out.bytes(text(&answer, "KeyMaterial").as_bytes()),
        };
    };
    let written = answer.and_then(|answer| {
        let key = text(&answer, "KeyMaterial").as_bytes();
        file.write_all(key)
            .and_then(|()| file.sync_all())
            .map_err(|source| CommandError::File {
                path: path.into(),
                source,
            })?;
        Ok(answer)
    });
    if written.is_err() {
        // It is ours and has no whole key in it.
        let _ = std::fs::remove_file(path);
    }
    let answer = written?;
    tell(&format!(
        "the private key is in {}; there is no other copy",
        path.display()
    ));
    match context.out.json {
        true => context.out.answer(&answer),
        false => context.out.line(text(&answer, "KeyPairId")),
    }
}

/// A file that was not there before, and that its owner alone can read.
fn new_file(path: &Path) -> Result<std::fs::File, CommandError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|source| CommandError::File {
        path: path.into(),
        source,
    })
}

async fn import(context: &Context, arguments: &ImportArguments) -> Result<(), CommandError> {
    let key = std::fs::read(&arguments.file).map_err(|source| CommandError::File {
        path: arguments.file.clone(),
        source,
    })?;
    if key.windows(11).any(|part| part == b"PRIVATE KEY") {
        let file = arguments.file.display();
        let message = format!("{file} is a private key, which nobody but you should have: give {file}.pub");
        return Err(CommandError::Usage(message));
    }
    let request = json!({ "KeyName": arguments.name, "PublicKeyMaterial": base64::encode(&key) });
    let answer = context.client.call("ImportKeyPair", &request).await?;
    match context.out.json {
        true => context.out.answer(&answer),
        false => context.out.line(text(&answer, "KeyPairId")),
    }
}

async fn remove(context: &Context, arguments: &RmArguments) -> Result<(), CommandError> {
    // DeleteKeyPair does not tell that there was none; a user wants to know.
    let request = json!({ "KeyNames": arguments.names });
    context.client.call("DescribeKeyPairs", &request).await?;
    if !arguments.yes && !terminal::confirm(&format!("Delete {}?", arguments.names.join(", ")))? {
        return Err(CommandError::Usage("Nothing was deleted".into()));
    }
    for name in &arguments.names {
        let answer = context
            .client
            .call("DeleteKeyPair", &json!({ "KeyName": name }))
            .await?;
        match context.out.json {
            true => context.out.answer(&answer)?,
            false => context.out.line(name)?,
        }
    }
    Ok(())
}
