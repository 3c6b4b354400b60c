//! What a handler gets beside its request: the world, who asks, and the files that came along.

use super::World;
use super::error::{ApiError, Code};
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// One call of an operation.
#[derive(Debug)]
pub struct Call {
    /// The daemon's parts.
    pub world: Arc<World>,
    /// Who asks.
    pub caller: Caller,
    /// The id in the answer and in the log.
    pub request_id: RequestId,
    /// What was asked, as a number to compare: for idempotency and paging.
    pub digest: Digest,
    /// The request's `DryRun`: a handler asks [`Call::checked`], not this.
    pub dry_run: bool,
    /// The open files that came with the request; a request names them `fd:0`, `fd:1`, ….
    pub files: Files,
}

impl Call {
    /// A handler that changes something calls this after its last check and before its first change.
    ///
    /// # Errors
    /// `DryRunOperation` when the client only wanted to know.
    pub fn checked(&self) -> Result<(), ApiError> {
        if self.dry_run {
            return Err(dry_run());
        }
        Ok(())
    }
}

/// EC2's answer to a request that would have succeeded.
pub(crate) fn dry_run() -> ApiError {
    let message = "Request would have succeeded, but DryRun flag is set.";
    ApiError::new(Code::DryRunOperation, message)
}

/// The process at the other end of the socket, as the kernel knew it when it connected (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its process id; for the log only, since it may be another's by now.
    pub pid: Option<i32>,
}

/// The id of one request: in the answer, in `x-amzn-requestid` and in every log line of the request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub u128);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(
            f,
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The open files of one request.
#[derive(Debug, Default)]
pub struct Files(Vec<Option<OwnedFd>>);

impl Files {
    /// The files in the order in which they came.
    #[must_use]
    pub fn new(files: Vec<OwnedFd>) -> Self {
        Self(files.into_iter().map(Some).collect())
    }

    /// Takes the file that a member of the request names (`fd:0`).
    ///
    /// # Errors
    /// `InvalidParameterValue` if it is no such name, no file of that number came, or it was taken already.
    pub fn take(&mut self, member: &str, url: &str) -> Result<OwnedFd, ApiError> {
        let invalid = |why: String| ApiError::new(Code::InvalidParameterValue, format!("{member}: {why}"));
        let index: usize = url
            .strip_prefix("fd:")
            .and_then(|index| index.parse().ok())
            .ok_or_else(|| {
                invalid(
                    "The daemon opens no path or URL; send the open file along with the request and name it fd:0"
                        .into(),
                )
            })?;
        let came = self.0.len();
        let file = self
            .0
            .get_mut(index)
            .ok_or_else(|| invalid(format!("{came} files came with the request, no fd:{index}")))?;
        file.take().ok_or_else(|| invalid(format!("fd:{index} is named twice")))
    }
}

/// A digest of a request: equal for equal operations and members, whatever their order, and blind to `ClientToken`,
/// `DryRun`, `NextToken` and `MaxResults`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
