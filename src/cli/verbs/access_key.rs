//! `kiln access-key`: with what clients of EC2 sign what they ask of this host.

use super::super::Context;
use super::super::error::CommandError;
use super::super::output::hint;
use super::super::table::{Table, age};
use super::{done, members, text};
use serde_json::Value;
use time::OffsetDateTime;

/// List access keys; make and delete them.
///
/// A key acts in the name of the user who made it. `kiln env` makes one by itself; make your own for a program on its own.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "\
Examples:
  kiln access-key
  kiln access-key create
  kiln access-key rm AKIAABCDEFGHIJKLMNOP",
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    List(ListArguments),
    Create(CreateArguments),
    Rm(RmArguments),
}

/// List your keys; root sees all.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln access-key list")]
struct ListArguments {}

/// Make a key. Its secret is shown now, and never again.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln access-key create
  kiln access-key create --json")]
struct CreateArguments {}

/// Delete keys: what is signed with them is refused from then on.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln access-key rm AKIAABCDEFGHIJKLMNOP")]
struct RmArguments {
    /// The ids of the keys.
    #[arg(required = true)]
    keys: Vec<String>,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    match arguments.verb {
        None | Some(Verb::List(_)) => list(context).await,
        Some(Verb::Create(_)) => create(context).await,
        Some(Verb::Rm(arguments)) => remove(context, &arguments).await,
    }
}

async fn list(context: &Context) -> Result<(), CommandError> {
    let answer = context.client.get("/access-keys").await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let keys = members(&answer, "AccessKeyMetadata");
    if keys.is_empty() {
        hint("no access keys; kiln access-key create makes one, and kiln env puts one into a shell");
    }
    let now = OffsetDateTime::now_utc();
    let mut table = Table::new(["ID", "USER", "AGE"]);
    for key in keys {
        table.row([
            text(key, "AccessKeyId").into(),
            text(key, "UserId").into(),
            age(text(key, "CreateDate"), now).into(),
        ]);
    }
    table.print(&context.out)
}

async fn create(context: &Context) -> Result<(), CommandError> {
    let answer = context.client.post("/access-keys").await?;
    let key = answer.get("AccessKey").unwrap_or(&Value::Null);
    let shown = format!(
        "AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}",
        text(key, "AccessKeyId"),
        text(key, "SecretAccessKey")
    );
    done(context, &answer, &shown)
}

async fn remove(context: &Context, arguments: &RmArguments) -> Result<(), CommandError> {
    for key in &arguments.keys {
        let answer = context.client.delete(&format!("/access-keys/{key}")).await?;
        done(context, &answer, key)?;
    }
    Ok(())
}
