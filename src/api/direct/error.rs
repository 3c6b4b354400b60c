//! What a client of the EBS direct API is told when an operation fails: a family, a reason, and a sentence for people.

use crate::chain::chain;
use crate::store::StoreError;
use std::fmt;

/// The longest message, in characters.
const MAX_MESSAGE: usize = 256;

/// The families of errors, as far as kiln gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What is asked for is wrong.
    Validation,
    /// There is no such operation.
    NoOperation,
    /// What is asked for is not there.
    NotFound,
    /// A client token was used before, otherwise.
    Conflict,
    /// There is no more room.
    Quota,
    /// Too much goes on at once.
    Throttled,
    /// A failure of ours.
    Internal,
}

impl Kind {
    /// The API's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Validation => "ValidationException",
            Self::NoOperation => "UnknownOperationException",
            Self::NotFound => "ResourceNotFoundException",
            Self::Conflict => "ConflictException",
            Self::Quota => "ServiceQuotaExceededException",
            Self::Throttled => "RequestThrottledException",
            Self::Internal => "InternalServerException",
        }
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Validation | Self::Throttled => 400,
            Self::NoOperation | Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Quota => 402,
            Self::Internal => 500,
        }
    }
}

/// The reasons that the API knows, as far as kiln gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the API's own name for it")]
pub enum Reason {
    PageToken,
    BlockToken,
    SnapshotId,
    Block,
    ContentEncoding,
    Tag,
    ParameterValue,
    VolumeSize,
    ConflictingBlockUpdate,
    SnapshotNotFound,
    QuotaExceeded,
    AccountThrottled,
}

impl Reason {
    /// The API's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PageToken => "INVALID_PAGE_TOKEN",
            Self::BlockToken => "INVALID_BLOCK_TOKEN",
            Self::SnapshotId => "INVALID_SNAPSHOT_ID",
            Self::Block => "INVALID_BLOCK",
            Self::ContentEncoding => "INVALID_CONTENT_ENCODING",
            Self::Tag => "INVALID_TAG",
            Self::ParameterValue => "INVALID_PARAMETER_VALUE",
            Self::VolumeSize => "INVALID_VOLUME_SIZE",
            Self::ConflictingBlockUpdate => "CONFLICTING_BLOCK_UPDATE",
            Self::SnapshotNotFound => "SNAPSHOT_NOT_FOUND",
            Self::QuotaExceeded => "DEPENDENCY_SERVICE_QUOTA_EXCEEDED",
            Self::AccountThrottled => "ACCOUNT_THROTTLED",
        }
    }
}

/// A failed operation, as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", kind.name())]
pub struct DirectError {
    /// The family.
    pub kind: Kind,
    /// The reason, in families that have some.
    pub reason: Option<Reason>,
    /// What failed, on which object, why, what to do.
    pub message: String,
}

impl DirectError {
    fn new(kind: Kind, reason: Option<Reason>, message: impl fmt::Display) -> Self {
        let message = message.to_string().chars().take(MAX_MESSAGE).collect();
        Self { kind, reason, message }
    }

    /// What is asked for is wrong.
    pub fn validation(reason: Reason, message: impl fmt::Display) -> Self {
        Self::new(Kind::Validation, Some(reason), message)
    }

    /// A parameter is wrong.
    pub fn parameter(message: impl fmt::Display) -> Self {
        Self::validation(Reason::ParameterValue, message)
    }

    /// A method and a path that are no operation.
    pub fn no_operation() -> Self {
        let message = "The EBS direct API has no operation of this method and path";
        Self::new(Kind::NoOperation, None, message)
    }

    /// A snapshot is not there.
    pub(super) fn not_found(message: impl fmt::Display) -> Self {
        Self::new(Kind::NotFound, Some(Reason::SnapshotNotFound), message)
    }

    pub(super) fn conflict(message: impl fmt::Display) -> Self {
        Self::new(Kind::Conflict, None, message)
    }

    pub(super) fn quota(message: impl fmt::Display) -> Self {
        Self::new(Kind::Quota, Some(Reason::QuotaExceeded), message)
    }

    pub(super) fn throttled(message: impl fmt::Display) -> Self {
        Self::new(Kind::Throttled, Some(Reason::AccountThrottled), message)
    }

    /// A failure of ours. The client learns nothing of its insides; `error` and all its causes are logged.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %chain(error), "An operation of the EBS direct API failed inside the daemon");
        let message = "An internal error has occurred; the daemon's log has it";
        Self::new(Kind::Internal, None, message)
    }
}

impl From<StoreError> for DirectError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}
