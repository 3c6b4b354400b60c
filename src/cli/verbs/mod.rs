//! The verbs of the command, one file each: its arguments, and what it does with the API.

pub mod access_key;
pub mod addresses;
pub mod aws;
pub mod catalog;
pub mod completion;
pub mod connect;
pub mod console;
pub mod cp;
pub mod doctor;
pub mod env;
pub mod events;
pub mod exec;
pub mod export;
pub mod groups;
pub mod host_keys;
pub mod images;
pub mod import;
pub mod keys;
pub mod logs;
pub mod pool;
pub mod ps;
pub mod pull;
pub mod reboot;
pub mod replace_root;
pub mod rm;
pub mod run;
pub mod snapshots;
pub mod ssh;
pub mod ssh_config;
pub mod start;
pub mod status;
pub mod stop;
pub mod subnets;
pub mod tag;
pub mod timeline;
pub mod types;
pub mod volumes;
pub mod vpcs;
pub mod wait;
pub mod why;

use super::Context;
use super::api::Instance;
use super::error::CommandError;
use super::terminal;
use serde_json::{Value, json};

/// The identifiers of instances, as requests take them.
fn ids(instances: &[Instance]) -> Value {
    instances.iter().map(|one| json!(one.instance_id)).collect()
}

/// The text under a key of the API's answer; empty when there is none.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The list under a key of the API's answer.
fn members<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    let list = value.get(key).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// Prints what a request has made, or the API's own answer.
fn done(context: &Context, answer: &Value, what: &str) -> Result<(), CommandError> {
    match context.out.json {
        true => context.out.answer(answer),
        false => context.out.line(what),
    }
}

/// Deletes what has these identifiers, each by an operation that names it in one member; first its user is asked, if there
/// is a question.
async fn delete(
    context: &Context,
    (operation, member): (&str, &str),
    ids: &[String],
    question: Option<String>,
) -> Result<(), CommandError> {
    if let Some(question) = question
        && !terminal::confirm(&question)?
    {
        return Err(CommandError::Usage("Nothing was deleted".into()));
    }
    for id in ids {
        let answer = context.client.call(operation, &json!({ member: id })).await?;
        done(context, &answer, id)?;
    }
    Ok(())
}

/// The tag `Name` of an object; empty when there is none.
fn name(value: &Value) -> &str {
    let tag = members(value, "Tags").iter().find(|tag| text(tag, "Key") == "Name");
    tag.map_or("", |tag| text(tag, "Value"))
}
