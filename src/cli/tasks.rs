//! Tasks that the daemon goes on with after its answer, imports and exports: followed to their end, with a bar.

use super::Context;
use super::error::CommandError;
use super::progress;
use super::verbs::text;
use serde_json::{Value, json};
use std::time::Duration;

/// What is to know about tasks of one kind.
pub struct Kind {
    /// What one is: `import`.
    pub noun: &'static str,
    /// What one does: `importing`.
    pub doing: &'static str,
    /// The operation that describes them.
    pub describe: &'static str,
    /// The member of its request that has their ids.
    pub ids: &'static str,
    /// The member of its answer that has the tasks.
    pub list: &'static str,
    /// The member of a task that has its id.
    pub id: &'static str,
}

/// How often a task is asked how far it is.
const INTERVAL: Duration = Duration::from_millis(250);

/// Follows a task to its end, and gives it as it is then; `what` is imported or exported, for talk.
///
/// # Errors
/// The task failed, or the daemon can't be asked.
pub async fn follow(context: &Context, kind: &Kind, mut task: Value, what: &str) -> Result<Value, CommandError> {
    let request = json!({ kind.ids: [text(&task, kind.id)] });
    let bar = progress::percent(&format!("{} {what}", kind.doing));
    while matches!(text(&task, "Status"), "active" | "deleting") {
        bar.set_position(text(&task, "Progress").parse().unwrap_or(0));
        bar.set_message(text(&task, "StatusMessage").to_owned());
        tokio::time::sleep(INTERVAL).await;
        let mut answer = context.client.call(kind.describe, &request).await?;
        let first = answer.get_mut(kind.list).and_then(|list| list.get_mut(0));
        task = first.map(Value::take).unwrap_or_default();
    }
    bar.finish_and_clear();
    match text(&task, "Status") {
        "completed" => Ok(task),
        _ => Err(CommandError::Task {
            noun: kind.noun,
            what: what.into(),
            message: text(&task, "StatusMessage").into(),
        }),
    }
}
