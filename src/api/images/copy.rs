//! CopyImage: within this host's one region. The copy's snapshots are its own.

use super::super::change::{Changed, change, tag};
use super::super::snapshots::{add_pending_copy, must_be_here, to_api};
use super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::token::ClientToken;
use super::super::{ApiError, Call, Code, ids};
use super::image_not_found;
use super::register::{name_is_free, parse_name};
use crate::instance::{CopyInstant, CopyOrder};
use crate::model::{Image, ImageId, ImageOwner, ImageSource, ImageState, ResourceId, SnapshotId, Tag};
use crate::store::{self, random_bits};
use crate::volumes::Original;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CopyImage {
    name: String,
    source_image_id: String,
    source_region: String,
    description: Option<String>,
    client_token: Option<String>,
    #[serde(default)]
    copy_image_tags: bool,
    #[serde(default)]
    encrypted: bool,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Copied {
    image_id: String,
}

/// A request that is right in itself.
struct Wanted {
    original: ImageId,
    name: String,
    description: Option<String>,
    copies_tags: bool,
    image_tags: Vec<Tag>,
    snapshot_tags: Vec<Tag>,
}

pub(super) async fn copy(call: Call, request: CopyImage) -> Result<Copied, ApiError> {
    must_be_here(&call, &request.source_region)?;
    if request.encrypted {
        let message = "Encrypted images are not served";
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    let tags = TagSpecifications::new(request.tag_specifications, &["image", "snapshot"])?;
    let token = ClientToken::new(request.client_token, call.digest)?;
    let wanted = Wanted {
        original: ids::parse(&request.source_image_id, Code::InvalidAmiIdMalformed)?,
        name: parse_name(&request.name)?,
        description: request.description,
        copies_tags: request.copy_image_tags,
        image_tags: tags.of("image").to_vec(),
        snapshot_tags: tags.of("snapshot").to_vec(),
    };
    let begun = change(&call, move |store| {
        let before = made_before(store, token.as_ref())?;
        let (image, copies) = before.map_or_else(|| wanted.record(store, token.as_ref()), |id| Ok((id, Vec::new())))?;
        Ok(Changed::nothing((image, copies)))
    });
    let (image, copies) = begun.await?;
    let copied = Copied {
        image_id: image.to_string(),
    };
    if copies.is_empty() {
        return Ok(copied);
    }
    let order = CopyOrder {
        instance: None,
        copies,
        image: Some(image),
        instant: CopyInstant::Now,
    };
    let done = call.world.instances.copy(order).await;
    done.map_err(|error| to_api(&error))?;
    Ok(copied)
}

/// The copy that the same request has made before.
fn made_before(store: &Connection, token: Option<&ClientToken>) -> Result<Option<ImageId>, ApiError> {
    ClientToken::made_before(token, |token| store::images::by_token(store, token))
}

impl Wanted {
    /// Puts the copy and its snapshots on record, as pending.
    fn record(
        self,
        store: &Connection,
        token: Option<&ClientToken>,
    ) -> Result<(ImageId, Vec<(Original, SnapshotId)>), ApiError> {
        let missing = || image_not_found(ResourceId::Image(self.original));
        let original = store::images::get(store, self.original)?.ok_or_else(missing)?;
        if original.state != ImageState::Available {
            let message = format!(
                "The image '{}' is {}: it can't be copied",
                original.id,
                original.state.name()
            );
            return Err(ApiError::new(Code::InvalidAmiIdUnavailable, message));
        }
        name_is_free(store, ImageOwner::Account, &self.name)?;
        let id = ImageId::from_random(random_bits());
        let (mut copies, mut devices) = (Vec::new(), original.block_devices.clone());
        for device in &mut devices {
            let description = format!("Copied for {id} from {}", original.id);
            let copy = add_pending_copy(store, device.snapshot, Some(description), &self.snapshot_tags)?;
            copies.push((Original::Snapshot(device.snapshot), copy.id));
            device.snapshot = copy.id;
        }
        let image = Image {
            id,
            name: self.name,
            description: self.description.or(original.description),
            owner: ImageOwner::Account,
            state: ImageState::Pending,
            block_devices: devices,
            source: ImageSource {
                image: Some(original.id),
                instance: None,
            },
            attributes: crate::model::ImageAttributes::default(),
            created: OffsetDateTime::now_utc(),
            ..original
        };
        store::images::put(store, &image)?;
        if let Some(token) = token {
            store::images::set_token(store, id, &token.token, &token.digest.to_string())?;
        }
        if self.copies_tags {
            tag(
                store,
                ResourceId::Image(id),
                &store::tags::of(store, ResourceId::Image(self.original))?,
            )?;
        }
        tag(store, ResourceId::Image(id), &self.image_tags)?;
        Ok((id, copies))
    }
}
