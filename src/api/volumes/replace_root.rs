//! CreateReplaceRootVolumeTask, DescribeReplaceRootVolumeTasks: another root volume for an instance that runs.
//!
//! The task and its new volume are on record when this answers; what is done about them is `crate::instance`'s.

use super::super::change::{Changed, change, tag};
use super::super::instant::instant;
use super::super::listing::{self, Asked, Kind, Shown};
use super::super::tagging::{TagSpecification, TagSpecifications, WireTag};
use super::super::token::ClientToken;
use super::super::{ApiError, Call, Code, ids};
use super::create::least_size;
use super::found;
use crate::model::{
    AttachmentState, Image, ImageId, ImageState, Instance, InstanceId, InstanceState, ReplaceRootVolumeTask,
    ReplaceRootVolumeTaskId, ReplaceRootVolumeTaskState as TaskState, ResourceId, SnapshotId, Tag, Volume, VolumeId,
    VolumeState,
};
use crate::store::{self, random_bits};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The name of the resource type in tags.
const RESOURCE_TYPE: &str = "replace-root-volume-task";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreateTask {
    client_token: Option<String>,
    #[serde(default)]
    delete_replaced_root_volume: bool,
    image_id: Option<String>,
    instance_id: String,
    snapshot_id: Option<String>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
    volume_id: Option<String>,
}

/// What the new root volume is.
#[derive(Clone, Copy)]
enum Source {
    /// What the instance was launched with.
    LaunchState,
    /// What an image is launched with.
    Image(ImageId),
    /// Made of a snapshot.
    Snapshot(SnapshotId),
    /// A volume that is there.
    Volume(VolumeId),
}

impl Source {
    fn new(request: &CreateTask) -> Result<Self, ApiError> {
        match (&request.image_id, &request.snapshot_id, &request.volume_id) {
            (None, None, None) => Ok(Self::LaunchState),
            (Some(id), None, None) => ids::parse(id, Code::InvalidAmiIdMalformed).map(Self::Image),
            (None, Some(id), None) => found::snapshot_id(id).map(Self::Snapshot),
            (None, None, Some(id)) => found::volume_id(id).map(Self::Volume),
            _ => {
                let message = "Only one of ImageId, SnapshotId and VolumeId can be given";
                Err(ApiError::new(Code::InvalidParameterCombination, message))
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    replace_root_volume_task: WireTask,
}

pub(super) async fn create(call: Call, request: CreateTask) -> Result<Created, ApiError> {
    let instance = found::instance_id(&request.instance_id)?;
    let source = Source::new(&request)?;
    let tags = TagSpecifications::new(request.tag_specifications, &[RESOURCE_TYPE])?;
    let token = ClientToken::new(request.client_token, call.digest)?;
    let digest = call.digest.to_string();
    let delete_replaced = request.delete_replaced_root_volume;
    let made = change(&call, move |store| {
        if let Some(task) = made_before(store, token.as_ref())? {
            let tags = store::tags::of(store, ResourceId::ReplaceRootVolumeTask(task.id))?;
            return Ok(Changed::nothing((task, tags, false)));
        }
        let instance = can_be_replaced(store, instance)?;
        let root = root_of(store, &instance)?;
        let volume = source.volume(store, &instance, &root)?;
        let task = ReplaceRootVolumeTask {
            id: ReplaceRootVolumeTaskId::from_random(random_bits()),
            client_token: token.map(|token| token.token),
            request_digest: digest,
            instance: instance.id,
            image: match source {
                Source::Image(id) => Some(id),
                _ => None,
            },
            snapshot: match source {
                Source::Volume(_) => None,
                _ => volume.snapshot,
            },
            volume: volume.id,
            replaced: root.id,
            replaced_image: instance.image,
            delete_replaced,
            state: TaskState::Pending,
            started: OffsetDateTime::now_utc(),
            completed: None,
        };
        store::replace_root_volume_tasks::put(store, &task)?;
        let tags = tags.of(RESOURCE_TYPE).to_vec();
        tag(store, ResourceId::ReplaceRootVolumeTask(task.id), &tags)?;
        Ok(Changed::nothing((task, tags, true)))
    });
    let (task, tags, is_new) = made.await?;
    if is_new {
        call.world.instances.replace_root(task.clone());
    }
    Ok(Created {
        replace_root_volume_task: WireTask::new(&task, tags),
    })
}

/// The task that the same request has made before.
fn made_before(store: &Connection, token: Option<&ClientToken>) -> Result<Option<ReplaceRootVolumeTask>, ApiError> {
    ClientToken::made_before(token, |token| {
        let task = store::replace_root_volume_tasks::by_token(store, token)?;
        Ok(task.map(|task| (task.clone(), task.request_digest)))
    })
}

/// The instance, which runs and is not given another root volume already.
fn can_be_replaced(store: &Connection, id: InstanceId) -> Result<Instance, ApiError> {
    let instance = found::instance(store, id)?;
    if instance.state != InstanceState::Running {
        let message = format!(
            "The instance '{id}' is '{}'; the root volume of a 'running' one can be replaced",
            instance.state.name()
        );
        return Err(ApiError::new(Code::IncorrectInstanceState, message));
    }
    if let Some(task) = store::replace_root_volume_tasks::unfinished_of(store, id)? {
        let message = format!(
            "The root volume of '{id}' is being replaced by the task '{}'; ask again when that has ended",
            task.id
        );
        return Err(ApiError::new(Code::IncorrectState, message));
    }
    Ok(instance)
}

/// The root volume that an instance has.
fn root_of(store: &Connection, instance: &Instance) -> Result<Volume, ApiError> {
    let volumes = store::volumes::of_instance(store, instance.id)?;
    let root = volumes.into_iter().find(|(_, attachment)| {
        attachment.device_name == instance.root_device_name && attachment.state == AttachmentState::Attached
    });
    root.map(|(volume, _)| volume).ok_or_else(|| {
        let message = format!("The instance '{}' has no root volume to replace", instance.id);
        ApiError::new(Code::UnsupportedOperation, message)
    })
}

impl Source {
    /// The new root volume, on record; of the size and with the limits of the one that it replaces, or larger if it has to be.
    fn volume(self, store: &Connection, instance: &Instance, root: &Volume) -> Result<Volume, ApiError> {
        let snapshot = match self {
            Self::Volume(id) => return available(store, id),
            Self::Snapshot(id) => id,
            Self::Image(id) => root_snapshot(store, instance, id)?,
            Self::LaunchState => root.snapshot.ok_or_else(|| {
                let message = format!(
                    "The root volume '{}' of '{}' was made of no snapshot; say by ImageId, SnapshotId or VolumeId what to replace it with",
                    root.id, instance.id
                );
                ApiError::new(Code::UnsupportedOperation, message)
            })?,
        };
        let volume = Volume {
            id: VolumeId::from_random(random_bits()),
            size: root.size.max(least_size(store, snapshot)?),
            snapshot: Some(snapshot),
            state: VolumeState::Creating,
            limits: root.limits,
            created: OffsetDateTime::now_utc(),
        };
        store::volumes::add(store, &volume)?;
        Ok(volume)
    }
}

/// A volume that no instance has.
fn available(store: &Connection, id: VolumeId) -> Result<Volume, ApiError> {
    let volume = found::volume(store, id)?;
    match volume.state {
        VolumeState::Available => Ok(volume),
        state => {
            let message = format!("The volume '{id}' is '{}', and not 'available'", state.name());
            Err(ApiError::new(Code::IncorrectState, message))
        }
    }
}

/// The snapshot of an image's root volume. The image must be one of which the instance could have been launched as it is.
fn root_snapshot(store: &Connection, instance: &Instance, id: ImageId) -> Result<SnapshotId, ApiError> {
    let image = store::images::get(store, id)?;
    let image = image.ok_or_else(|| ids::not_found(Code::InvalidAmiIdNotFound, "image", &[id]))?;
    if image.state != ImageState::Available {
        let message = format!("The image '{id}' is {}", image.state.name());
        return Err(ApiError::new(Code::InvalidAmiIdUnavailable, message));
    }
    let differs = |what: &str| {
        let message = format!(
            "The image '{id}' has another {what} than the instance '{}'",
            instance.id
        );
        Err(ApiError::new(Code::InvalidParameterValue, message))
    };
    let Image {
        architecture,
        kernel,
        ramdisk,
        ..
    } = image;
    if architecture != instance.architecture {
        return differs("architecture");
    }
    if (kernel, ramdisk) != (instance.kernel, instance.ramdisk) {
        return differs("kernel or RAM disk");
    }
    image.root().map(|root| root.snapshot).ok_or_else(|| {
        let message = format!("The image '{id}' has no root volume");
        ApiError::new(Code::InvalidParameterValue, message)
    })
}

/// A task as EC2 shows it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireTask {
    replace_root_volume_task_id: String,
    instance_id: String,
    task_state: &'static str,
    start_time: String,
    complete_time: Option<String>,
    image_id: Option<String>,
    snapshot_id: Option<String>,
    delete_replaced_root_volume: bool,
    tags: Vec<WireTag>,
}

impl WireTask {
    fn new(task: &ReplaceRootVolumeTask, tags: Vec<Tag>) -> Self {
        Self {
            replace_root_volume_task_id: task.id.to_string(),
            instance_id: task.instance.to_string(),
            task_state: task.state.name(),
            start_time: instant(task.started),
            complete_time: task.completed.map(instant),
            image_id: task.image.map(|id| id.to_string()),
            snapshot_id: task.snapshot.map(|id| id.to_string()),
            delete_replaced_root_volume: task.delete_replaced,
            tags: tags.into_iter().map(Into::into).collect(),
        }
    }
}

impl Shown for WireTask {
    fn id(&self) -> &str {
        &self.replace_root_volume_task_id
    }

    fn tags(&self) -> &[WireTag] {
        &self.tags
    }

    fn values(&self, _filter: &str) -> Vec<String> {
        vec![self.instance_id.clone()]
    }
}

const KIND: Kind = Kind {
    what: "root volume replacement task",
    malformed: Code::InvalidReplaceRootVolumeTaskIdMalformed,
    not_found: Code::InvalidReplaceRootVolumeTaskIdNotFound,
    filters: &["instance-id"],
    max_results: 1..=50,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tasks {
    replace_root_volume_tasks: Vec<WireTask>,
    next_token: Option<String>,
}

pub(super) async fn describe(call: Call, asked: Asked) -> Result<Tasks, ApiError> {
    let read = listing::list::<ReplaceRootVolumeTaskId, _, _>(&call, asked, &KIND, |store| {
        let shown = |task: ReplaceRootVolumeTask| {
            let tags = store::tags::of(store, ResourceId::ReplaceRootVolumeTask(task.id))?;
            Ok(WireTask::new(&task, tags))
        };
        let tasks = store::replace_root_volume_tasks::list(store)?;
        tasks.into_iter().map(shown).collect()
    });
    let (replace_root_volume_tasks, next_token) = read.await?;
    Ok(Tasks {
        replace_root_volume_tasks,
        next_token,
    })
}

#[cfg(test)]
mod tests;
