//! `GET /events`: what happens to instances, a line of JSON each, from the moment of the answer on.

use crate::api::World;
use crate::api::instant::precise;
use crate::instance::{Happened, InstanceEvent};
use crate::wire::server::body::{Answer, typed};
use crate::wire::server::stopping;
use bytes::Bytes;
use hyper::Response;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

/// How many lines wait for a slow client before the backlog of the events does.
const LINES: usize = 64;

/// Begins to listen, and answers with what comes. The stream ends with the daemon or when the client hangs up.
pub(super) fn stream(world: &World, permit: OwnedSemaphorePermit, stop: watch::Receiver<bool>) -> Response<Answer> {
    let events = world.instances.parts().events.listen();
    let (lines, body) = mpsc::channel(LINES);
    tokio::spawn(pass_on(events, lines, stop, permit));
    typed(200, "application/jsonl", Answer::Stream(body))
}

async fn pass_on(
    mut events: Receiver<InstanceEvent>,
    lines: mpsc::Sender<Bytes>,
    mut stop: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    loop {
        let line = tokio::select! {
            event = events.recv() => match event {
                Ok(event) => describe(&event),
                Err(RecvError::Lagged(missed)) => {
                    json!({"Time": precise(OffsetDateTime::now_utc()), "Event": "missed", "Count": missed})
                }
                Err(RecvError::Closed) => return,
            },
            () = stopping(&mut stop) => return,
            () = lines.closed() => return,
        };
        let sent = tokio::select! {
            sent = lines.send(format!("{line}\n").into()) => sent,
            () = stopping(&mut stop) => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// An event as clients see it.
fn describe(event: &InstanceEvent) -> Value {
    let mut line = match &event.what {
        Happened::State {
            previous,
            state,
            reason,
        } => {
            let mut line = json!({"Event": "state", "State": state.name()});
            if let Some(previous) = previous {
                line["PreviousState"] = previous.name().into();
            }
            if let Some(reason) = reason {
                line["Reason"] = reason.as_str().into();
            }
            line
        }
        Happened::Reached(stage) => json!({"Event": "stage", "Stage": stage.name()}),
        Happened::Rebooting => json!({"Event": "rebooting"}),
        Happened::Reset => json!({"Event": "reset"}),
        Happened::RootVolume { task, state, reason } => {
            let mut line = json!({
                "Event": "root-volume",
                "ReplaceRootVolumeTaskId": task.to_string(),
                "TaskState": state.name(),
            });
            if let Some(reason) = reason {
                line["Reason"] = reason.as_str().into();
            }
            line
        }
        Happened::DeviceNeedsReset { device, reason } => {
            json!({"Event": "device-needs-reset", "Device": device, "Reason": reason})
        }
    };
    line["Time"] = precise(event.at).into();
    line["InstanceId"] = event.instance.to_string().into();
    line
}
