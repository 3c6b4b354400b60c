//! The open files that requests bring (`"Url": "fd:0"`): the daemon opens no path and no URL for anybody.

use super::call::Files;
use super::{ApiError, Code};
use rustix::fs::OFlags;
use std::fs::File;

/// A file that a member of a request names, with what may be done with it.
struct Named<'u> {
    file: File,
    /// As it was opened.
    flags: OFlags,
    member: String,
    url: &'u str,
}

impl<'u> Named<'u> {
    /// Takes the file that the `Url` of `member` names: a regular one.
    fn take(files: &mut Files, member: String, url: Option<&'u str>) -> Result<Self, ApiError> {
        let Some(url) = url else {
            let message =
                format!("The request must contain the parameter {member}, fd:0 for the first file that comes along");
            return Err(ApiError::new(Code::MissingParameter, message));
        };
        let mut named = Self {
            file: File::from(files.take(&member, url)?),
            flags: OFlags::PATH,
            member,
            url,
        };
        let metadata = named.file.metadata();
        match metadata.map_err(|_| named.invalid("can't be looked at"))?.is_file() {
            true => {
                let flags = rustix::fs::fcntl_getfl(&named.file);
                named.flags = flags.map_err(|_| named.invalid("can't be looked at"))?;
                Ok(named)
            }
            false => Err(named.invalid("is not a regular file")),
        }
    }

    fn invalid(&self, why: &str) -> ApiError {
        let message = format!("{}: The file behind {} {why}", self.member, self.url);
        ApiError::new(Code::InvalidParameterValue, message)
    }
}

/// The file that the member `Url` of `container` names: a regular one that is open for reading.
///
/// # Errors
/// `MissingParameter`, `InvalidParameterValue`.
pub(super) fn for_reading(files: &mut Files, container: &str, url: Option<&str>) -> Result<File, ApiError> {
    let named = Named::take(files, format!("{container}.Url"), url)?;
    if named.flags.contains(OFlags::PATH) || named.flags.contains(OFlags::WRONLY) {
        return Err(named.invalid("is not open for reading"));
    }
    Ok(named.file)
}

/// The file that the member `Url` names: a regular one that is empty and open for writing, wherever in it.
///
/// # Errors
/// `MissingParameter`, `InvalidParameterValue`.
pub(super) fn for_writing(files: &mut Files, url: Option<&str>) -> Result<File, ApiError> {
    let named = Named::take(files, "Url".into(), url)?;
    let writes = named.flags.intersects(OFlags::WRONLY | OFlags::RDWR);
    if named.flags.contains(OFlags::PATH) || !writes {
        return Err(named.invalid("is not open for writing"));
    }
    if named.flags.contains(OFlags::APPEND) {
        return Err(named.invalid("is open for appending, so that only its end could be written"));
    }
    match named.file.metadata().map(|metadata| metadata.len()) {
        Ok(0) => Ok(named.file),
        Ok(size) => Err(named.invalid(&format!("is not empty: it has {size} bytes"))),
        Err(_) => Err(named.invalid("can't be looked at")),
    }
}
