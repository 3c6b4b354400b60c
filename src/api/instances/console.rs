//! GetConsoleOutput: the end of what the guest wrote to its serial console since its last start.

use super::super::error::Code;
use super::super::instant::instant;
use super::super::{ApiError, Call, ids};
use super::must_exist;
use crate::base64;
use crate::model::InstanceId;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use time::OffsetDateTime;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct GetConsoleOutput {
    instance_id: String,
    /// Here the answer is always the latest; EC2 else gives that of the last boot or so.
    #[serde(default, rename = "Latest")]
    _latest: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConsoleOutput {
    instance_id: String,
    timestamp: String,
    output: Option<String>,
}

pub(super) async fn output(call: Call, request: GetConsoleOutput) -> Result<ConsoleOutput, ApiError> {
    let id: InstanceId = ids::parse(&request.instance_id, Code::InvalidInstanceIdMalformed)?;
    call.world.store.read(move |tx| must_exist(tx, &[id])).await?;
    let (path, limit) = (
        call.world.layout.console_log(id),
        call.world.config.console.output_limit.bytes(),
    );
    let read = tokio::task::spawn_blocking(move || tail(&path, limit)).await;
    let (bytes, written) = read
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|error| ApiError::internal(&error))?;
    Ok(ConsoleOutput {
        instance_id: id.to_string(),
        timestamp: instant(written.unwrap_or_else(OffsetDateTime::now_utc)),
        output: (!bytes.is_empty()).then(|| base64::encode(&bytes)),
    })
}

/// The last `limit` bytes of a log and when it was written to; nothing if there is none. The monitor writes it
/// meanwhile, and drops its older half when it is full: what is read is some moment's end of it, or a bit less.
fn tail(path: &Path, limit: u64) -> io::Result<(Vec<u8>, Option<OffsetDateTime>)> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), None)),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    let written = metadata.modified().ok().map(OffsetDateTime::from);
    file.seek(SeekFrom::Start(metadata.len().saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok((bytes, written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_read_and_no_more_than_asked() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        assert_eq!(tail(file.path(), 4).unwrap().0, b"6789");
        assert_eq!(tail(file.path(), 400).unwrap().0, b"0123456789");
        assert!(tail(Path::new("/nonexistent"), 4).unwrap().0.is_empty());
    }
}
