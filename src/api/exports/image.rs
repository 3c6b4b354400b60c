//! ExportImage.

use super::super::files::for_writing;
use super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::token::ClientToken;
use super::super::{ApiError, Call, Code, ids};
use super::tasks::Task;
use crate::exports::ExportOrder;
use kiln_images::formats::{Format, ParseFormatError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ExportImage {
    client_token: Option<String>,
    description: Option<String>,
    disk_image_format: String,
    image_id: String,
    s3_export_location: Option<Value>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
    /// kiln's own: the file to write.
    url: Option<String>,
}

/// The task, with its format, which EC2 shows here and nowhere else.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Exporting {
    disk_image_format: String,
    #[serde(flatten)]
    task: Task,
}

/// Begins the export; the answer is its task.
pub(super) async fn export_image(mut call: Call, request: ExportImage) -> Result<Exporting, ApiError> {
    if request.s3_export_location.is_some() {
        let message = "S3ExportLocation: Exports to S3 are not served; send the open file to write along with the \
                       request, and name it by Url: fd:0";
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    let format = request.disk_image_format.parse::<Format>();
    let format = format.map_err(|error: ParseFormatError| {
        ApiError::new(Code::InvalidParameterValue, format!("DiskImageFormat: {error}"))
    })?;
    let tags = TagSpecifications::new(request.tag_specifications, &["export-image-task"])?;
    let tags = tags.of("export-image-task").to_vec();
    let token = ClientToken::new(request.client_token, call.digest)?;
    let order = ExportOrder {
        client_token: token.map(|token| token.token),
        request_digest: call.digest.to_string(),
        description: request.description,
        image: ids::parse(&request.image_id, Code::InvalidAmiIdMalformed)?,
        format,
        tags: tags.clone(),
    };
    let dest = for_writing(&mut call.files, request.url.as_deref())?;
    let exports = &call.world.exports;
    let task = exports.begin(order, dest, call.dry_run).await?;
    Ok(Exporting {
        disk_image_format: format.to_string().to_ascii_uppercase(),
        task: Task::new(exports, task, tags),
    })
}
