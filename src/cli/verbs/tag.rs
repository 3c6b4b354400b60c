//! `kiln tag` and `kiln untag`: tags of an instance (CreateTags, DeleteTags).

use super::super::Context;
use super::super::error::CommandError;
use super::super::resolve;
use serde_json::{Value, json};

/// Give an instance tags; the tag Name is what commands call it by.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln tag i-0abc Name=web stage=test")]
pub struct Arguments {
    /// The instance: its name, its identifier or the beginning of either.
    instance: String,
    /// The tags.
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = parse)]
    tags: Vec<(String, String)>,
}

/// Take tags from an instance.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln untag web stage")]
pub struct UntagArguments {
    /// The instance: its name, its identifier or the beginning of either.
    instance: String,
    /// The keys of the tags.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
}

/// Splits KEY=VALUE.
pub fn parse(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("write it as KEY=VALUE".into()),
    }
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let tags = arguments
        .tags
        .iter()
        .map(|(key, value)| json!({ "Key": key, "Value": value }))
        .collect();
    change(context, "CreateTags", &arguments.instance, tags).await
}

pub(in super::super) async fn run_untag(context: &Context, arguments: UntagArguments) -> Result<(), CommandError> {
    let tags = arguments.keys.iter().map(|key| json!({ "Key": key })).collect();
    change(context, "DeleteTags", &arguments.instance, tags).await
}

async fn change(context: &Context, operation: &str, name: &str, tags: Value) -> Result<(), CommandError> {
    let instance = resolve::instance(&context.client, name).await?;
    let request = json!({ "Resources": [instance.instance_id], "Tags": tags });
    let answer = context.client.call(operation, &request).await?;
    if context.out.json {
        context.out.answer(&answer)
    } else {
        context.out.line(&instance.instance_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_an_equals_sign_and_a_key_may_not_be_missing() {
        assert_eq!(parse("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(parse("a="), Ok(("a".into(), String::new())));
        assert!(parse("=b").is_err());
        assert!(parse("a").is_err());
    }
}
