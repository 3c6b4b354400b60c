//! The one writer: a thread that owns the writing connection.
//!
//! Work comes as closures over a transaction. What is waiting when a transaction begins goes into the same one, each
//! piece in a savepoint of its own, so that one `fsync` serves them all and one that fails takes no other with it.
//! Answers go out after the commit.

use super::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// How many pieces of work may wait.
const QUEUE: usize = 256;
/// How many pieces go into one transaction at most.
const BATCH: usize = 64;

/// A piece of work whose types are forgotten.
trait Work: Send {
    /// Does it, within the transaction.
    fn run(&mut self, connection: &Connection) -> Result<(), rusqlite::Error>;
    /// Says how it went, now that the transaction is durable or lost.
    fn settle(self: Box<Self>, commit: Result<(), Arc<rusqlite::Error>>);
}

struct Task<F, T, E> {
    work: Option<F>,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Work for Task<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let Some(work) = self.work.take() else { return Ok(()) };
        connection.execute_batch("SAVEPOINT piece")?;
        // A closure that panics leaves no answer: its caller is told that the store is gone, the others go on.
        self.result = catch_unwind(AssertUnwindSafe(|| work(connection))).ok();
        match self.result {
            Some(Ok(_)) => connection.execute_batch("RELEASE piece"),
            _ => connection.execute_batch("ROLLBACK TO piece; RELEASE piece"),
        }
    }

    fn settle(self: Box<Self>, commit: Result<(), Arc<rusqlite::Error>>) {
        let answer = match (self.result, commit) {
            (Some(Ok(_)), Err(error)) => Err(StoreError::Commit(error).into()),
            (Some(result), _) => result,
            (None, Err(error)) => Err(StoreError::Commit(error).into()),
            (None, Ok(())) => return,
        };
        // Whoever asked may have gone; what was done stays done.
        let _ = self.answer.send(answer);
    }
}

/// The way to the writer's thread, which ends when the last of these is gone.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Work>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (queue, work) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || serve(connection, work))?;
        Ok(Self { queue })
    }

    /// Has `work` done in a transaction and waits until it is durable.
    pub(super) async fn run<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let task = Task {
            work: Some(work),
            result: None,
            answer,
        };
        if self.queue.send(Box::new(task)).await.is_err() {
            return Err(StoreError::Gone.into());
        }
        result.await.unwrap_or_else(|_| Err(StoreError::Gone.into()))
    }
}

fn serve(mut connection: Connection, mut queue: mpsc::Receiver<Box<dyn Work>>) {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            let Ok(next) = queue.try_recv() else { break };
            batch.push(next);
        }
        let commit = commit(&mut connection, &mut batch).map_err(Arc::new);
        if let Err(error) = &commit {
            tracing::error!(%error, "The store could not commit");
        }
        for task in batch {
            task.settle(commit.clone());
        }
    }
}

fn commit(connection: &mut Connection, batch: &mut [Box<dyn Work>]) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for task in batch {
        task.run(&transaction)?;
    }
    transaction.commit()
}
