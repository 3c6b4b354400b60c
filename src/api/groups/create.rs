//! CreateSecurityGroup.

use super::super::tagging::{TagSpecification, TagSpecifications, WireTag};
use super::super::{ApiError, Call, Code};
use super::{Changed, arn, change, default_vpc, found, tag, texts};
use crate::model::{
    Direction, Peer, ResourceId, SecurityGroup, SecurityGroupId, SecurityGroupRule, SecurityGroupRuleId, Traffic, VpcId,
};
use crate::store::{self, random_bits};
use ipnet::Ipv4Net;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreateSecurityGroup {
    group_name: String,
    description: String,
    vpc_id: Option<String>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    group_id: String,
    security_group_arn: String,
    tags: Vec<WireTag>,
}

pub(super) async fn create(call: Call, request: CreateSecurityGroup) -> Result<Created, ApiError> {
    let name = texts::group_name(&request.group_name)?;
    let description = texts::group_description(request.description)?;
    let vpc = request.vpc_id.as_deref().map(found::vpc_id).transpose()?;
    let tags = TagSpecifications::new(request.tag_specifications, &["security-group"])?;
    let place = call.world.config.place.clone();
    let made = change(&call, move |store| {
        let vpc = place_of(store, vpc)?;
        if store::security_groups::named(store, vpc, &name)?.is_some() {
            let message = format!("The security group '{name}' already exists for VPC '{vpc}'");
            return Err(ApiError::new(Code::InvalidGroupDuplicate, message));
        }
        let group = SecurityGroup {
            id: SecurityGroupId::from_random(random_bits()),
            vpc,
            name,
            description,
            created: OffsetDateTime::now_utc(),
        };
        store::security_groups::add(store, &group)?;
        store::security_groups::add_rule(store, &lets_all_out(group.id))?;
        let tags = tags.of("security-group");
        tag(store, ResourceId::SecurityGroup(group.id), tags)?;
        // No interface is in it yet.
        Ok(Changed::nothing(Created {
            group_id: group.id.to_string(),
            security_group_arn: arn(&place, ResourceId::SecurityGroup(group.id)),
            tags: tags.iter().cloned().map(Into::into).collect(),
        }))
    });
    made.await
}

/// The VPC of a new group.
fn place_of(store: &Connection, vpc: Option<VpcId>) -> Result<VpcId, ApiError> {
    match vpc {
        Some(vpc) => found::vpc(store, vpc).map(|vpc| vpc.id),
        None => default_vpc(store),
    }
}

/// The rule that every new group has.
fn lets_all_out(group: SecurityGroupId) -> SecurityGroupRule {
    SecurityGroupRule {
        id: SecurityGroupRuleId::from_random(random_bits()),
        group,
        direction: Direction::Egress,
        traffic: Traffic::All,
        peer: Peer::Block(Ipv4Net::default().into()),
        description: None,
    }
}
