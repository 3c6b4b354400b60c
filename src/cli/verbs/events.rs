//! `kiln events`: what happens, as it happens.

use super::super::Context;
use super::super::error::CommandError;
use serde_json::Value;

/// Watch what happens, one line an event, until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln events
  kiln events --json | jq -c 'select(.State)'")]
pub struct Arguments {}

pub(in super::super) async fn run(context: &Context, _: Arguments) -> Result<(), CommandError> {
    let mut events = context.client.lines("/events").await?;
    while let Some(event) = events.next().await? {
        let line = if context.out.json {
            event.to_string()
        } else {
            readable(&event)
        };
        context.out.line(&line)?;
    }
    Ok(())
}

/// The time, the object, then the rest as `key=value`.
fn readable(event: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
    let Some(members) = event.as_object() else {
        return event.to_string();
    };
    let first = ["Time", "InstanceId"]
        .iter()
        .filter_map(|key| members.get(*key))
        .map(text);
    let rest = members
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "Time" | "InstanceId"));
    let rest = rest.map(|(key, value)| format!("{key}={}", text(value)));
    let line = first.chain(rest).collect::<Vec<_>>().join("  ");
    line.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_a_line_with_its_time_first() {
        let event = json!({"State": "running", "InstanceId": "i-1", "Time": "2026-01-01T00:00:00Z"});
        assert_eq!(readable(&event), "2026-01-01T00:00:00Z  i-1  State=running");
    }
}
