//! Waiting for an instance to reach a state or a stage of its boot. The daemon's events say when to look; what is
//! believed is what the API then says.

use super::Context;
use super::api::{self, Instance};
use super::error::CommandError;
use super::progress;
use serde_json::Value;
use std::str::FromStr;
use std::time::Duration;

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// A state of EC2's.
    State(&'static str),
    /// A stage of the boot.
    Stage(&'static str),
}

const STATES: &[&str] = &["running", "stopped", "terminated"];
const STAGES: &[&str] = &["kernel", "init", "login", "ready"];

impl Goal {
    /// EC2's name of the state, or the stage's.
    pub fn name(self) -> &'static str {
        match self {
            Goal::State(name) | Goal::Stage(name) => name,
        }
    }

    /// Whether an instance in this state can't reach the goal without being asked anew.
    fn is_lost(self, state: &str) -> bool {
        match self {
            Goal::State("running") | Goal::Stage(_) => {
                matches!(state, "stopping" | "stopped" | "shutting-down" | "terminated")
            }
            Goal::State("stopped") => matches!(state, "shutting-down" | "terminated"),
            Goal::State(_) => false,
        }
    }
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Goal, String> {
        let find = |names: &[&'static str]| names.iter().copied().find(|name| *name == text);
        find(STATES)
            .map(Goal::State)
            .or_else(|| find(STAGES).map(Goal::Stage))
            .ok_or_else(|| {
                format!(
                    "it is one of the states {} or the stages {}",
                    STATES.join(", "),
                    STAGES.join(", ")
                )
            })
    }
}

/// Waits until the instance has reached the goal, `limit` at most.
///
/// # Errors
/// The time is up, the goal can't be reached any more, the daemon is gone.
pub async fn until(context: &Context, id: &str, goal: Goal, limit: Duration) -> Result<(), CommandError> {
    let label = format!("waiting for {id} to reach {}", goal.name());
    let spinner = progress::spinner(&label);
    let outcome = tokio::time::timeout(limit, watch(context, id, goal)).await;
    spinner.finish_and_clear();
    match outcome {
        Ok(outcome) => outcome,
        Err(_) => Err(CommandError::Timeout {
            instance: id.into(),
            goal: goal.name().into(),
            seconds: limit.as_secs(),
            state: api::instance(&context.client, id).await?.state.name,
        }),
    }
}

async fn watch(context: &Context, id: &str, goal: Goal) -> Result<(), CommandError> {
    // Listening first and looking then, nothing can fall in between.
    let mut events = context.client.lines("/events").await?;
    loop {
        if is_reached(context, id, goal).await? {
            return Ok(());
        }
        loop {
            match events.next().await? {
                Some(event) if concerns(&event, id) => break,
                Some(_) => {}
                None => {
                    let source = "the stream of events ended".into();
                    return Err(CommandError::Lost {
                        request: "/events".into(),
                        source,
                    });
                }
            }
        }
    }
}

async fn is_reached(context: &Context, id: &str, goal: Goal) -> Result<bool, CommandError> {
    let instance = api::instance(&context.client, id).await?;
    let reached = match goal {
        Goal::State(state) => instance.state.name == state,
        Goal::Stage(stage) => {
            let timeline = api::timeline(&context.client, id).await?;
            api::milestones(&timeline)?
                .iter()
                .any(|milestone| milestone.stage == stage)
        }
    };
    if !reached && goal.is_lost(&instance.state.name) {
        return Err(unreached(&instance, goal));
    }
    Ok(reached)
}

fn unreached(instance: &Instance, goal: Goal) -> CommandError {
    let reason = if instance.reason().is_empty() {
        "no reason is known"
    } else {
        instance.reason()
    };
    CommandError::Unreached {
        instance: instance.instance_id.clone(),
        goal: goal.name().into(),
        state: instance.state.name.clone(),
        reason: reason.into(),
    }
}

/// Whether an event is about this instance; one that is about none says that others were missed.
fn concerns(event: &Value, id: &str) -> bool {
    event
        .get("InstanceId")
        .and_then(Value::as_str)
        .is_none_or(|about| about == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_states_and_stages() {
        assert_eq!("running".parse(), Ok(Goal::State("running")));
        assert_eq!("login".parse(), Ok(Goal::Stage("login")));
        assert_eq!("ready".parse(), Ok(Goal::Stage("ready")));
        assert!(
            "pending"
                .parse::<Goal>()
                .unwrap_err()
                .contains("running, stopped, terminated")
        );
    }

    #[test]
    fn missed_events_are_a_reason_to_look() {
        assert!(concerns(
            &serde_json::json!({"InstanceId": "i-1", "State": "running"}),
            "i-1"
        ));
        assert!(!concerns(
            &serde_json::json!({"InstanceId": "i-2", "State": "running"}),
            "i-1"
        ));
        assert!(concerns(&serde_json::json!({"Event": "missed", "Count": 3}), "i-1"));
    }

    #[test]
    fn a_stopped_instance_will_not_reach_login() {
        assert!(Goal::Stage("login").is_lost("stopped"));
        assert!(Goal::State("running").is_lost("shutting-down"));
        assert!(!Goal::State("stopped").is_lost("running"));
        assert!(!Goal::State("terminated").is_lost("stopped"));
        assert!(!Goal::State("running").is_lost("pending"));
    }
}
