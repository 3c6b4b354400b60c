//! Security groups, their rules, and the prefix lists that rules may name.

mod create;
mod delete;
mod describe;
mod lists;
mod permission;
mod rules;
#[cfg(test)]
mod tests;
mod texts;

use super::change::{Changed, change, tag};
use super::{ApiError, Code, Operation, found, listing};
use crate::api::shown::shown;
use crate::config::Place;
use crate::model::{ResourceId, SecurityGroup, SecurityGroupId, VpcId};
use crate::store;
use rusqlite::Connection;

/// The operations of this directory.
pub fn rows() -> Vec<Operation> {
    let groups = vec![
        Operation::new("CreateSecurityGroup", create::create),
        Operation::new("DeleteSecurityGroup", delete::delete),
        Operation::new("DescribeSecurityGroupReferences", describe::references),
        Operation::new("DescribeSecurityGroups", describe::describe),
        Operation::new("DescribeStaleSecurityGroups", describe::stale),
        Operation::new("GetSecurityGroupsForVpc", describe::for_vpc),
    ];
    [groups, rules::rows(), lists::rows()].into_iter().flatten().collect()
}

/// How a request names a group: by its id, or by its name in the default VPC.
enum Named {
    Id(SecurityGroupId),
    Name(String),
}

impl Named {
    /// What the members `GroupId` and `GroupName` say.
    ///
    /// # Errors
    /// `InvalidGroupId.Malformed`; `MissingParameter` or `InvalidParameterCombination` if not just one is there.
    fn parse(id: Option<&str>, name: Option<String>) -> Result<Self, ApiError> {
        match (id, name) {
            (Some(id), None) => found::group_id(id).map(Self::Id),
            (None, Some(name)) => Ok(Self::Name(name)),
            (None, None) => {
                let message = "The request must name a security group, by GroupId or by GroupName";
                Err(ApiError::new(Code::MissingParameter, message))
            }
            (Some(_), Some(_)) => {
                let message = "The parameters GroupId and GroupName can't be used together";
                Err(ApiError::new(Code::InvalidParameterCombination, message))
            }
        }
    }

    /// The group.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound`; `VPCIdNotSpecified` for a name while there is no default VPC.
    fn find(&self, store: &Connection) -> Result<SecurityGroup, ApiError> {
        match self {
            Self::Id(id) => found::group(store, *id),
            Self::Name(name) => named(store, default_vpc(store)?, name),
        }
    }
}

/// The group of that name in a VPC.
fn named(store: &Connection, vpc: VpcId, name: &str) -> Result<SecurityGroup, ApiError> {
    store::security_groups::named(store, vpc, name)?.ok_or_else(|| {
        let shown = shown(name);
        let message = format!("The security group '{shown}' does not exist in VPC '{vpc}'");
        ApiError::new(Code::InvalidGroupNotFound, message)
    })
}

/// The VPC that is meant where a request names none.
fn default_vpc(store: &Connection) -> Result<VpcId, ApiError> {
    let vpc = store::vpcs::default(store)?;
    vpc.map(|vpc| vpc.id).ok_or_else(|| {
        let message = "There is no default VPC: name a VPC by VpcId, and a security group by GroupId";
        ApiError::new(Code::VpcIdNotSpecified, message)
    })
}

/// The Amazon Resource Name of a group, a rule or a list.
fn arn(place: &Place, resource: ResourceId) -> String {
    let (region, account) = (place.region(), place.account());
    format!("arn:aws:ec2:{region}:{account}:{}/{resource}", resource.resource_type())
}
