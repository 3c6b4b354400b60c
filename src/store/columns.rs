//! How the model's types stand in columns: identifiers and states as their text, times as microseconds since 1970.

use super::ledger::ObjectKind;
use crate::model::{
    AccessKeyId, AddressAssociationId, AddressFamily, AllocationId, Architecture, AttachmentState, Block, CpuCredits,
    DhcpOptionsId, Direction, ExportTaskId, HostnameType, ImageId, ImageOwner, ImageState, ImportTaskId, InstanceId,
    InstanceState, InternetGatewayId, KernelId, KeyName, KeyPairId, KeyType, LaunchTemplateId, LaunchTemplateName,
    MacAddress, NetworkAclAssociationId, NetworkAclId, NetworkInterfaceAttachmentId, NetworkInterfaceId, PrefixListId,
    ProductCodeKind, RamdiskId, ReasonCode, ReplaceRootVolumeTaskId, ReplaceRootVolumeTaskState, ReservationId,
    ResourceId, RouteTableAssociationId, RouteTableId, SecurityGroupId, SecurityGroupRuleId, ShutdownBehavior,
    SnapshotId, SnapshotState, Stage, SubnetId, TaskState, Upkeep, VirtualName, VolumeId, VolumeState, VpcId,
};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use std::error::Error;
use std::fmt::Display;
use std::str::FromStr;
use time::OffsetDateTime;

macro_rules! as_text {
    ($($name:ident)*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.to_string().into())
            }
        }
        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str()?.parse().map_err(FromSqlError::other)
            }
        }
    )*};
}

as_text! {
    AccessKeyId AddressAssociationId AllocationId Block DhcpOptionsId ExportTaskId ImageId ImageOwner ImportTaskId InstanceId InternetGatewayId KernelId KeyName KeyPairId LaunchTemplateId LaunchTemplateName MacAddress NetworkAclAssociationId
    NetworkAclId NetworkInterfaceAttachmentId NetworkInterfaceId PrefixListId RamdiskId ReplaceRootVolumeTaskId ReservationId ResourceId
    RouteTableAssociationId RouteTableId SecurityGroupId SecurityGroupRuleId SnapshotId SubnetId VirtualName VolumeId VpcId
}

/// A type of another crate, as its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<T>(pub T);

impl<T: Display> ToSql for Text<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_string().into())
    }
}

impl<T: FromStr<Err: Error + Send + Sync + 'static>> FromSql for Text<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(FromSqlError::other)
    }
}

/// A name in a column that its type does not know.
#[derive(Debug, thiserror::Error)]
#[error("Unknown {kind} \"{name}\"")]
struct UnknownName {
    kind: &'static str,
    name: String,
}

macro_rules! as_name {
    ($($name:ident)*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.name().into())
            }
        }
        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let name = value.as_str()?;
                let unknown = || FromSqlError::other(UnknownName { kind: stringify!($name), name: name.to_owned() });
                $name::from_name(name).ok_or_else(unknown)
            }
        }
    )*};
}

as_name! {
    AddressFamily Architecture AttachmentState CpuCredits Direction HostnameType ImageState InstanceState KeyType ObjectKind ProductCodeKind ReasonCode ReplaceRootVolumeTaskState ShutdownBehavior SnapshotState Stage
    TaskState Upkeep VolumeState
}

/// A time, to the microsecond.
#[derive(Debug, Clone, Copy)]
pub(super) struct Micros(pub OffsetDateTime);

impl ToSql for Micros {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let micros = i64::try_from(self.0.unix_timestamp_nanos().div_euclid(1000));
        micros
            .map(Into::into)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }
}

impl FromSql for Micros {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let nanos = i128::from(value.as_i64()?) * 1000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

/// A size or another number that is never negative, as SQLite's signed 64 bits hold it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size(pub u64);

impl ToSql for Size {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let size = i64::try_from(self.0);
        size.map(Into::into)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }
}

impl FromSql for Size {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u64::try_from(value.as_i64()?).map(Self).map_err(FromSqlError::other)
    }
}
