//! Following a machine: its events, and in the end its process.

use crate::machine::Machine;
use kiln_vmm::protocol::Event;
use std::sync::Arc;
use tokio::sync::mpsc;

/// How many news may wait for the actor; further ones wait in the socket.
const BACKLOG: usize = 64;

/// What a machine's follower tells.
#[derive(Debug)]
pub(super) enum News {
    /// Something happened to the machine.
    Event(Event),
    /// The monitor's process has ended; the last news.
    Ended,
}

/// Follows a machine in a task of its own, until its process has ended or nobody listens any more.
pub(super) fn follow(machine: Arc<Machine>) -> mpsc::Receiver<News> {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    tokio::spawn(async move {
        tokio::select! {
            () = machine.process().ended() => {}
            () = sender.closed() => return,
            () = events(&machine, &sender) => {
                // The stream is over before the process: that one is what counts.
                tokio::select! {
                    () = machine.process().ended() => {}
                    () = sender.closed() => return,
                }
            }
        }
        // The actor may be gone: the daemon is ending.
        let _ = sender.send(News::Ended).await;
    });
    receiver
}

async fn events(machine: &Machine, sender: &mpsc::Sender<News>) {
    let mut events = match machine.connect().await {
        Ok(control) => match control.subscribe().await {
            Ok(events) => events,
            Err(error) => return tracing::debug!(%error, "A machine's events can't be followed"),
        },
        Err(error) => return tracing::debug!(%error, "A machine's events can't be followed"),
    };
    while let Ok(event) = events.next().await {
        if sender.send(News::Event(event)).await.is_err() {
            return;
        }
    }
}
