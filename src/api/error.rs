//! What a client is told when an operation fails: EC2's code, its HTTP status and a sentence for people.
//!
//! Each family's own error enum is turned into an [`ApiError`] with `From` at the edge, and no deeper: only `wire`
//! writes these out.

use crate::chain::chain;
use std::fmt;

/// A failed operation, as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// EC2's error code.
    pub code: Code,
    /// What failed, on which object, why, what to do.
    pub message: String,
}

impl ApiError {
    /// A failure with EC2's code and a sentence for people.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// A failure of ours. The client learns nothing of its insides but the request id, under which `error` and all
    /// its causes are logged.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %chain(error), "An operation failed inside the daemon");
        Self::new(
            Code::InternalError,
            "An internal error has occurred; the daemon's log has it under this request id",
        )
    }
}

impl From<crate::store::StoreError> for ApiError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::internal(&error)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal $status:literal,)*) => {
        /// EC2's error codes, as far as kiln gives them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "each variant is EC2's own name for it")]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// The code as EC2 spells it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }
        }
    };
}

codes! {
    // The request itself.
    AuthFailure = "AuthFailure" 401,
    DryRunOperation = "DryRunOperation" 412,
    FilterLimitExceeded = "FilterLimitExceeded" 400,
    IdempotentParameterMismatch = "IdempotentParameterMismatch" 400,
    IncompleteSignature = "IncompleteSignature" 400,
    InvalidAction = "InvalidAction" 400,
    InvalidNextToken = "InvalidNextToken" 400,
    InvalidParameter = "InvalidParameter" 400,
    InvalidParameterCombination = "InvalidParameterCombination" 400,
    InvalidParameterValue = "InvalidParameterValue" 400,
    InvalidRequest = "InvalidRequest" 400,
    LimitExceeded = "LimitExceeded" 400,
    MalformedQueryString = "MalformedQueryString" 400,
    MissingAuthenticationToken = "MissingAuthenticationToken" 403,
    MissingInput = "MissingInput" 400,
    MissingParameter = "MissingParameter" 400,
    NoSuchEntity = "NoSuchEntity" 404,
    NoSuchVersion = "NoSuchVersion" 400,
    OperationNotPermitted = "OperationNotPermitted" 400,
    RequestExpired = "RequestExpired" 400,
    RequestEntityTooLarge = "RequestEntityTooLarge" 413,
    UnauthorizedOperation = "UnauthorizedOperation" 403,
    UnknownParameter = "UnknownParameter" 400,
    Unsupported = "Unsupported" 400,
    UnsupportedOperation = "UnsupportedOperation" 400,

    // Objects by their ids.
    InvalidAkiIdMalformed = "InvalidAKIID.Malformed" 400,
    InvalidAkiIdNotFound = "InvalidAKIID.NotFound" 400,
    InvalidAddressMalformed = "InvalidAddress.Malformed" 400,
    InvalidAddressNotFound = "InvalidAddress.NotFound" 400,
    InvalidAllocationIdNotFound = "InvalidAllocationID.NotFound" 400,
    InvalidAmiIdMalformed = "InvalidAMIID.Malformed" 400,
    InvalidAmiIdNotFound = "InvalidAMIID.NotFound" 400,
    InvalidAmiIdUnavailable = "InvalidAMIID.Unavailable" 400,
    InvalidAmiNameDuplicate = "InvalidAMIName.Duplicate" 400,
    InvalidAmiNameMalformed = "InvalidAMIName.Malformed" 400,
    InvalidAriIdMalformed = "InvalidARIID.Malformed" 400,
    InvalidAriIdNotFound = "InvalidARIID.NotFound" 400,
    InvalidAttachmentIdNotFound = "InvalidAttachmentID.NotFound" 400,
    InvalidAssociationIdNotFound = "InvalidAssociationID.NotFound" 400,
    InvalidConversionTaskId = "InvalidConversionTaskId" 400,
    InvalidConversionTaskIdMalformed = "InvalidConversionTaskId.Malformed" 400,
    InvalidDhcpOptionIdMalformed = "InvalidDhcpOptionsId.Malformed" 400,
    InvalidDhcpOptionIdNotFound = "InvalidDhcpOptionID.NotFound" 400,
    InvalidExportTaskIdMalformed = "InvalidExportTaskID.Malformed" 400,
    InvalidExportTaskIdNotFound = "InvalidExportTaskID.NotFound" 400,
    InvalidGatewayIdNotFound = "InvalidGatewayID.NotFound" 400,
    InvalidGroupDuplicate = "InvalidGroup.Duplicate" 400,
    InvalidGroupIdMalformed = "InvalidGroupId.Malformed" 400,
    InvalidGroupNotFound = "InvalidGroup.NotFound" 400,
    InvalidGroupReserved = "InvalidGroup.Reserved" 400,
    InvalidId = "InvalidID" 400,
    InvalidInstanceAttributeValue = "InvalidInstanceAttributeValue" 400,
    InvalidInstanceId = "InvalidInstanceID" 400,
    InvalidInstanceIdMalformed = "InvalidInstanceID.Malformed" 400,
    InvalidInstanceIdNotFound = "InvalidInstanceID.NotFound" 400,
    InvalidInstanceType = "InvalidInstanceType" 400,
    InvalidInternetGatewayIdMalformed = "InvalidInternetGatewayId.Malformed" 400,
    InvalidInternetGatewayIdNotFound = "InvalidInternetGatewayID.NotFound" 400,
    InvalidIpAddressInUse = "InvalidIPAddress.InUse" 400,
    InvalidKeyFormat = "InvalidKey.Format" 400,
    InvalidKeyPairDuplicate = "InvalidKeyPair.Duplicate" 400,
    InvalidKeyPairNotFound = "InvalidKeyPair.NotFound" 400,
    InvalidLaunchTemplateIdMalformed = "InvalidLaunchTemplateId.Malformed" 400,
    InvalidLaunchTemplateIdNotFound = "InvalidLaunchTemplateId.NotFound" 400,
    InvalidLaunchTemplateIdVersionNotFound = "InvalidLaunchTemplateId.VersionNotFound" 400,
    InvalidLaunchTemplateNameAlreadyExists = "InvalidLaunchTemplateName.AlreadyExistsException" 400,
    InvalidLaunchTemplateNameMalformed = "InvalidLaunchTemplateName.MalformedException" 400,
    InvalidLaunchTemplateNameNotFound = "InvalidLaunchTemplateName.NotFoundException" 400,
    InvalidNetworkAclEntryNotFound = "InvalidNetworkAclEntry.NotFound" 400,
    InvalidNetworkAclIdMalformed = "InvalidNetworkAclId.Malformed" 400,
    InvalidNetworkAclIdNotFound = "InvalidNetworkAclID.NotFound" 400,
    InvalidNetworkInterfaceIdMalformed = "InvalidNetworkInterfaceId.Malformed" 400,
    InvalidNetworkInterfaceIdNotFound = "InvalidNetworkInterfaceID.NotFound" 400,
    InvalidNetworkInterfaceInUse = "InvalidNetworkInterface.InUse" 400,
    InvalidPermissionDuplicate = "InvalidPermission.Duplicate" 400,
    InvalidPermissionMalformed = "InvalidPermission.Malformed" 400,
    InvalidPermissionNotFound = "InvalidPermission.NotFound" 400,
    InvalidPrefixListIdMalformed = "InvalidPrefixListId.Malformed" 400,
    InvalidPrefixListIdNotFound = "InvalidPrefixListID.NotFound" 400,
    InvalidPrefixListModification = "InvalidPrefixListModification" 400,
    InvalidReplaceRootVolumeTaskIdMalformed = "InvalidReplaceRootVolumeTaskId.Malformed" 400,
    InvalidReplaceRootVolumeTaskIdNotFound = "InvalidReplaceRootVolumeTaskId.NotFound" 400,
    InvalidRouteNotFound = "InvalidRoute.NotFound" 400,
    InvalidRouteTableIdMalformed = "InvalidRouteTableId.Malformed" 400,
    InvalidRouteTableIdNotFound = "InvalidRouteTableID.NotFound" 400,
    InvalidSecurityGroupRuleIdMalformed = "InvalidSecurityGroupRuleId.Malformed" 400,
    InvalidSecurityGroupRuleIdNotFound = "InvalidSecurityGroupRuleId.NotFound" 400,
    InvalidSnapshotInUse = "InvalidSnapshot.InUse" 400,
    InvalidSnapshotIdMalformed = "InvalidSnapshotID.Malformed" 400,
    InvalidSnapshotNotFound = "InvalidSnapshot.NotFound" 400,
    InvalidSubnetConflict = "InvalidSubnet.Conflict" 400,
    InvalidSubnetIdMalformed = "InvalidSubnetID.Malformed" 400,
    InvalidSubnetIdNotFound = "InvalidSubnetID.NotFound" 400,
    InvalidSubnetRange = "InvalidSubnet.Range" 400,
    InvalidVolumeIdMalformed = "InvalidVolumeID.Malformed" 400,
    InvalidVolumeModificationNotFound = "InvalidVolumeModification.NotFound" 400,
    InvalidVolumeNotFound = "InvalidVolume.NotFound" 400,
    InvalidVpcIdMalformed = "InvalidVpcId.Malformed" 400,
    InvalidVpcIdNotFound = "InvalidVpcID.NotFound" 400,
    InvalidVpcRange = "InvalidVpc.Range" 400,
    InvalidZoneNotFound = "InvalidZone.NotFound" 400,

    // States and limits.
    AttachmentLimitExceeded = "AttachmentLimitExceeded" 400,
    CannotDelete = "CannotDelete" 400,
    DefaultSubnetAlreadyExists = "DefaultSubnetAlreadyExistsInAvailabilityZone" 400,
    DefaultVpcAlreadyExists = "DefaultVpcAlreadyExists" 400,
    DefaultVpcDoesNotExist = "DefaultVpcDoesNotExist" 400,
    DependencyViolation = "DependencyViolation" 400,
    GatewayNotAttached = "Gateway.NotAttached" 400,
    IncorrectInstanceState = "IncorrectInstanceState" 400,
    IncorrectModificationState = "IncorrectModificationState" 400,
    IncorrectState = "IncorrectState" 400,
    InstanceCreditSpecificationNotSupported = "InstanceCreditSpecification.NotSupported" 400,
    InstanceLimitExceeded = "InstanceLimitExceeded" 400,
    InsufficientAddressCapacity = "InsufficientAddressCapacity" 400,
    InsufficientFreeAddressesInSubnet = "InsufficientFreeAddressesInSubnet" 400,
    InsufficientInstanceCapacity = "InsufficientInstanceCapacity" 400,
    InvalidBlockDeviceMapping = "InvalidBlockDeviceMapping" 400,
    NetworkAclEntryAlreadyExists = "NetworkAclEntryAlreadyExists" 400,
    NetworkAclEntryLimitExceeded = "NetworkAclEntryLimitExceeded" 400,
    PrefixListMaxEntriesExceeded = "PrefixListMaxEntriesExceeded" 400,
    PrefixListVersionMismatch = "PrefixListVersionMismatch" 400,
    PrivateIpAddressLimitExceeded = "PrivateIpAddressLimitExceeded" 400,
    ResourceAlreadyAssociated = "Resource.AlreadyAssociated" 400,
    ResourceCountLimitExceeded = "ResourceCountLimitExceeded" 400,
    RouteAlreadyExists = "RouteAlreadyExists" 400,
    RouteLimitExceeded = "RouteLimitExceeded" 400,
    RulesPerSecurityGroupLimitExceeded = "RulesPerSecurityGroupLimitExceeded" 400,
    SecurityGroupsPerInterfaceLimitExceeded = "SecurityGroupsPerInterfaceLimitExceeded" 400,
    SnapshotLimitExceeded = "SnapshotLimitExceeded" 400,
    TagLimitExceeded = "TagLimitExceeded" 400,
    VcpuLimitExceeded = "VcpuLimitExceeded" 400,
    VolumeInUse = "VolumeInUse" 400,
    VpcIdNotSpecified = "VPCIdNotSpecified" 400,

    // Ours, not the client's. Clients ask again after a 5xx, so no fault of theirs may have one.
    /// Too much goes on at once; asking again later helps.
    RequestLimitExceeded = "RequestLimitExceeded" 503,
    Unavailable = "Unavailable" 503,
    InternalError = "InternalError" 500,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
