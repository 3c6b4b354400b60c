//! Giving an instance that runs another root volume, as CreateReplaceRootVolumeTask asks for.
//!
//! ```text
//! pending      the new volume is made, beside the guest
//! in-progress  the guest is shut down ─► its machine ends ─► the volumes change places ─► a machine boots the new one
//! succeeded    it runs; the replaced volume is kept, or goes if that was asked for
//! failing      nothing boots from it: the volumes change places again ─► a machine boots the old one
//! failed       it does; or the new volume could not be made, and the guest was left alone
//! ```
//! The instance is running all the while, as in a reboot. What comes next is told by the record alone, by the task's state and by which
//! of the volumes is attached: a daemon that starts goes on where an earlier one has ended.

use super::actor::{Actor, Message, Phase};
use super::ending::Ending;
use super::events::Happened;
use super::plan::{LastResort, Plan};
use super::policy::{self, Fate};
use super::record::Record;
use super::{Instances, Parts};
use crate::chain::chain;
use crate::model::{
    Attachment, AttachmentState, ImageId, Instance, InstanceId, InstanceState, ReasonCode, ReplaceRootVolumeTask,
    ReplaceRootVolumeTaskState as TaskState, VolumeId, VolumeState,
};
use crate::store::{self, StoreError};
use crate::volumes::{CreateVolumeError, DeleteVolumeError};
use rusqlite::Connection;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A task whose new volume is there, and where to answer that the guest goes down for it.
#[derive(Debug)]
pub(super) struct ReplaceRoot {
    task: ReplaceRootVolumeTask,
    answer: oneshot::Sender<Result<(), ReplaceRootError>>,
}

/// Why a root volume is not replaced; the guest runs on undisturbed.
#[derive(Debug, thiserror::Error)]
enum ReplaceRootError {
    #[error("The instance {0} does not run any more")]
    NotRunning(InstanceId),
    #[error("The volume {0} is in use or gone")]
    NoVolume(VolumeId),
    #[error("The new root volume can't be made")]
    Volume(#[from] CreateVolumeError),
    #[error("The task can't be read or recorded")]
    Store(#[from] StoreError),
    #[error("The daemon is ending")]
    Closing,
}

/// Why a task could not be brought to its next step yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("The task that replaces the root volume can't be read or recorded")]
    Store(#[from] StoreError),
    #[error("A root volume that is not wanted any more can't be deleted")]
    Volume(#[from] DeleteVolumeError),
}

impl Instances {
    /// Carries out a task that is on record as pending, beside the caller.
    pub fn replace_root(&self, task: ReplaceRootVolumeTask) {
        let this = self.clone();
        tokio::spawn(async move {
            match this.take_down_for(&task).await {
                // The next daemon goes on with it.
                Ok(()) | Err(ReplaceRootError::Closing) => {}
                Err(error) => {
                    if let Err(error) = fail(&this.parts, task, &chain(&error)).await {
                        tracing::error!(error = %chain(&error), "The end of a task can't be recorded");
                    }
                }
            }
        });
    }

    /// Makes the new volume, then has the guest go down.
    async fn take_down_for(&self, task: &ReplaceRootVolumeTask) -> Result<(), ReplaceRootError> {
        let (id, store) = (task.volume, &self.parts.store);
        let volume = store.read(move |tx: &Connection| store::volumes::get(tx, id));
        match volume.await? {
            Some(volume) if volume.state == VolumeState::Creating => {
                self.parts.volumes.create(&volume).await?;
                let made = store.write(move |tx| store::volumes::set_state(tx, id, VolumeState::Available));
                made.await?;
            }
            Some(volume) if volume.state == VolumeState::Available => {}
            _ => return Err(ReplaceRootError::NoVolume(id)),
        }
        let handle = self
            .handle(task.instance)
            .ok_or(ReplaceRootError::NotRunning(task.instance))?;
        let (answer, answered) = oneshot::channel();
        let message = Message::ReplaceRoot(ReplaceRoot {
            task: task.clone(),
            answer,
        });
        let sent = handle.mailbox.send(message).await;
        sent.map_err(|_| ReplaceRootError::Closing)?;
        answered.await.map_err(|_| ReplaceRootError::Closing)?
    }

    /// At the daemon's start: goes on with the tasks whose guests were not yet asked to go down.
    pub(super) async fn go_on_replacing(&self) -> Result<(), StoreError> {
        let unfinished = self.parts.store.read(store::replace_root_volume_tasks::unfinished);
        for task in unfinished.await? {
            if task.state == TaskState::Pending {
                self.replace_root(task);
            }
        }
        Ok(())
    }
}

impl Actor {
    /// The new volume is there: the guest goes down for it, if it still runs.
    pub(super) async fn replace_root(&mut self, what: ReplaceRoot) {
        let begun = self.begin_replacing(what.task).await;
        // Whoever asked may have gone; what was begun goes on.
        let _ = what.answer.send(begun);
    }

    async fn begin_replacing(&mut self, task: ReplaceRootVolumeTask) -> Result<(), ReplaceRootError> {
        let (Phase::Running { plan, .. }, InstanceState::Running) = (&mut self.phase, self.record.instance.state)
        else {
            return Err(ReplaceRootError::NotRunning(task.instance));
        };
        let task = ReplaceRootVolumeTask {
            state: TaskState::InProgress,
            ..task
        };
        let happened = told(&task, None);
        let begun = self.record.change_with(
            |instance| instance.rebooting = true,
            move |tx| store::replace_root_volume_tasks::put(tx, &task),
        );
        begun.await?;
        self.record.tell(Happened::Rebooting);
        self.record.tell(happened);
        let now = Instant::now();
        *plan = Some(Plan::gentle(now, now + self.parts.stop_time_limit, LastResort::End));
        Ok(())
    }

    /// The guest runs, maybe from a new root volume.
    pub(super) async fn is_up(&self) -> Result<(), StepError> {
        match under_way(&self.parts, self.instance().id).await? {
            Some(task) => boots(&self.parts, task).await,
            None => Ok(()),
        }
    }
}

/// The task that an instance's guest went down for, or is to.
async fn under_way(parts: &Parts, id: InstanceId) -> Result<Option<ReplaceRootVolumeTask>, StoreError> {
    let unfinished = move |tx: &Connection| store::replace_root_volume_tasks::unfinished_of(tx, id);
    let unfinished = parts.store.read(unfinished).await?;
    Ok(unfinished.filter(|task| task.state != TaskState::Pending))
}

/// How far the task is that the guest of a running instance is down for, or goes down for; none if there is none.
async fn progress(parts: &Parts, instance: &Instance) -> Option<TaskState> {
    if instance.state != InstanceState::Running {
        return None;
    }
    let task = under_way(parts, instance.id).await.unwrap_or_else(|error| {
        tracing::error!(instance = %instance.id, error = %chain(&error), "It can't be read whether a root volume is replaced");
        None
    });
    task.map(|task| task.state)
}

/// Whether the guest of a running instance is going down because its root volume is replaced.
pub(super) async fn is_replacing(parts: &Parts, instance: &Instance) -> bool {
    progress(parts, instance).await == Some(TaskState::InProgress)
}

/// What becomes of an instance whose machine has ended.
pub(super) async fn fate(parts: &Parts, instance: &Instance, ending: &Ending) -> Fate {
    match progress(parts, instance).await {
        Some(_) => Fate::Boot(None),
        None => policy::fate(instance.state, instance.shutdown_behavior, ending),
    }
}

/// What becomes of an instance that could not be started.
pub(super) async fn failed_start(parts: &Parts, instance: &Instance, code: ReasonCode, why: String) -> Fate {
    match progress(parts, instance).await {
        Some(TaskState::InProgress) => Fate::Boot(Some(why)),
        _ => policy::failed_start(instance.state, instance.ran, code, why),
    }
}

/// What is left to do about a running instance whose machine an earlier daemon has started; none if no root volume is replaced, or it
/// is by now.
pub(super) async fn taken_back(parts: &Parts, record: &mut Record) -> Result<Option<Plan>, StepError> {
    let Some(task) = under_way(parts, record.instance.id).await? else {
        return Ok(None);
    };
    if task.state == TaskState::Failing || is_in_place(parts, &task).await? {
        record.set_rebooting(false).await?;
        boots(parts, task).await?;
        return Ok(None);
    }
    let now = Instant::now();
    Ok(Some(Plan::gentle(now, now + parts.stop_time_limit, LastResort::End)))
}

/// The instance has no machine: a task that is under way comes to its next step, or to its end if the instance does.
pub(super) async fn step(parts: &Parts, record: &mut Record, fate: &Fate) -> Result<(), StepError> {
    let Some(task) = under_way(parts, record.instance.id).await? else {
        return Ok(());
    };
    let in_place = is_in_place(parts, &task).await?;
    match fate {
        Fate::Boot(None) if task.state == TaskState::Failing => Ok(()),
        Fate::Boot(Some(why)) => give_up(parts, record, task, why).await,
        Fate::Terminate(_) if !in_place => fail(parts, task, "The instance is terminated").await,
        Fate::Stop(_) if task.state == TaskState::Failing => fail(parts, task, "The instance is stopped").await,
        Fate::Terminate(_) => succeed(parts, task).await,
        Fate::Boot(None) | Fate::Stop(_) => {
            let root = Root {
                out: task.replaced,
                into: task.volume,
                image: task.image.unwrap_or(task.replaced_image),
            };
            if !in_place && !root.put(record).await? {
                let why = "One of the two volumes was detached or attached meanwhile";
                return match fate {
                    Fate::Stop(_) => fail(parts, task, why).await,
                    _ => give_up(parts, record, task, why).await,
                };
            }
            match fate {
                Fate::Stop(_) => succeed(parts, task).await,
                _ => Ok(()),
            }
        }
    }
}

/// The instance gets back the root volume that it had, and boots from it.
async fn give_up(parts: &Parts, record: &mut Record, task: ReplaceRootVolumeTask, why: &str) -> Result<(), StepError> {
    tracing::warn!(instance = %task.instance, task = %task.id, why, "A root volume is not replaced");
    let back = Root {
        out: task.volume,
        into: task.replaced,
        image: task.replaced_image,
    };
    back.put(record).await?;
    let failing = ReplaceRootVolumeTask {
        state: TaskState::Failing,
        ..task
    };
    let told = told(&failing, Some(why));
    let recorded = parts
        .store
        .write(move |tx| store::replace_root_volume_tasks::put(tx, &failing));
    recorded.await?;
    record.tell(told);
    Ok(())
}

/// Whether the new volume is the root already.
async fn is_in_place(parts: &Parts, task: &ReplaceRootVolumeTask) -> Result<bool, StoreError> {
    let (volume, instance) = (task.volume, task.instance);
    let attachment = parts.store.read(move |tx| store::volumes::attachment(tx, volume));
    Ok(attachment.await?.is_some_and(|there| there.instance == instance))
}

/// A root volume for another.
#[derive(Clone, Copy)]
struct Root {
    out: VolumeId,
    into: VolumeId,
    /// What the instance is of then.
    image: ImageId,
}

impl Root {
    /// Has the volumes change places. Gives whether they have: not if a user has done something else with one of them.
    async fn put(self, record: &mut Record) -> Result<bool, StoreError> {
        let id = record.instance.id;
        record
            .change_if(|instance| instance.image = self.image, move |tx| self.exchange(tx, id))
            .await
    }

    fn exchange(self, tx: &Connection, instance: InstanceId) -> Result<bool, StoreError> {
        let place = store::volumes::attachment(tx, self.out)?.filter(|place| place.instance == instance);
        let into = store::volumes::get(tx, self.into)?.filter(|volume| volume.state == VolumeState::Available);
        let (Some(place), Some(_)) = (place, into) else {
            return Ok(false);
        };
        store::volumes::detach(tx, self.out)?;
        store::volumes::set_state(tx, self.out, VolumeState::Available)?;
        let attachment = Attachment {
            volume: self.into,
            attached: OffsetDateTime::now_utc(),
            state: AttachmentState::Attached,
            ..place
        };
        store::volumes::attach(tx, &attachment)?;
        store::volumes::set_state(tx, self.into, VolumeState::InUse)?;
        Ok(true)
    }
}

/// The guest runs from the volume that is attached.
async fn boots(parts: &Parts, task: ReplaceRootVolumeTask) -> Result<(), StepError> {
    match task.state {
        TaskState::Failing => fail(parts, task, "The instance runs from the root volume that it had").await,
        _ => succeed(parts, task).await,
    }
}

async fn succeed(parts: &Parts, task: ReplaceRootVolumeTask) -> Result<(), StepError> {
    let doomed = task.delete_replaced.then_some(task.replaced);
    end(parts, task, TaskState::Succeeded, doomed, None).await
}

/// The instance keeps its root volume; one that was made for it goes.
async fn fail(parts: &Parts, task: ReplaceRootVolumeTask, why: &str) -> Result<(), StepError> {
    tracing::warn!(instance = %task.instance, task = %task.id, why, "The replacement of a root volume failed");
    let doomed = task.snapshot.is_some().then_some(task.volume);
    end(parts, task, TaskState::Failed, doomed, Some(why)).await
}

/// Deletes a volume that nobody wants any more, unless somebody has attached it meanwhile, and records the end of a task.
async fn end(
    parts: &Parts,
    task: ReplaceRootVolumeTask,
    state: TaskState,
    doomed: Option<VolumeId>,
    why: Option<&str>,
) -> Result<(), StepError> {
    let ended = ReplaceRootVolumeTask {
        state,
        completed: Some(OffsetDateTime::now_utc()),
        ..task
    };
    let deleted = match doomed {
        Some(volume) => delete_unless_attached(parts, volume).await,
        None => Ok(()),
    };
    // A volume that can't be deleted is marked, and deleted by the next daemon.
    let row = ended.clone();
    let recorded = parts.store.write(move |tx| {
        // The instance may be gone, and the task with it.
        match store::replace_root_volume_tasks::get(tx, row.id)? {
            Some(_) => store::replace_root_volume_tasks::put(tx, &row),
            None => Ok(()),
        }
    });
    recorded.await?;
    parts.events.tell(ended.instance, told(&ended, why));
    deleted
}

async fn delete_unless_attached(parts: &Parts, id: VolumeId) -> Result<(), StepError> {
    let marked = parts.store.write(move |tx| {
        let is_free = store::volumes::get(tx, id)?.is_some() && store::volumes::attachment(tx, id)?.is_none();
        if is_free {
            store::volumes::set_state(tx, id, VolumeState::Deleting)?;
        }
        Ok::<_, StoreError>(is_free)
    });
    if marked.await? {
        parts.volumes.delete(id).await?;
    }
    Ok(())
}

fn told(task: &ReplaceRootVolumeTask, why: Option<&str>) -> Happened {
    Happened::RootVolume {
        task: task.id,
        state: task.state,
        reason: why.map(ToOwned::to_owned),
    }
}
