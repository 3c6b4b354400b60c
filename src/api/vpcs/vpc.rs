//! CreateVpc, CreateDefaultVpc, DescribeVpcs.

use super::super::tagging::{TagSpecification, TagSpecifications, WireTag};
use super::super::{ApiError, Call, Code, paging};
use super::listing::{Asked, Kind, Shown, list};
use super::{Changed, block, change, make, tag};
use crate::config::Place;
use crate::model::{ResourceId, Vpc, VpcId};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct CreateVpc {
    cidr_block: Option<String>,
    instance_tenancy: Option<String>,
    amazon_provided_ipv6_cidr_block: bool,
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    vpc: WireVpc,
}

pub(super) async fn create(call: Call, request: CreateVpc) -> Result<Created, ApiError> {
    if request.amazon_provided_ipv6_cidr_block {
        let message = "VPCs have no IPv6 blocks: AmazonProvidedIpv6CidrBlock is not served";
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    if let Some(tenancy) = request.instance_tenancy.filter(|tenancy| tenancy != "default") {
        let message = format!("An InstanceTenancy of {tenancy} is not served: all instances share this host");
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    let text = block::required("CidrBlock", request.cidr_block.as_ref())?;
    let block = block::parse(text, Code::InvalidVpcRange)?;
    let tags = TagSpecifications::new(request.tag_specifications, &["vpc"])?;
    let place = call.world.config.place.clone();
    let made = change(&call, move |store| {
        let vpc = make::vpc(store, &place, block, false)?;
        tag(store, ResourceId::Vpc(vpc.id), tags.of("vpc"))?;
        let shown = WireVpc::read(store, &place, &vpc)?;
        Ok(Changed::vpc(vpc.id, Created { vpc: shown }))
    });
    made.await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateDefaultVpc {}

pub(super) async fn create_default(call: Call, _: CreateDefaultVpc) -> Result<Created, ApiError> {
    let place = call.world.config.place.clone();
    let block = call.world.default_vpc_block;
    let made = change(&call, move |store| {
        if let Some(vpc) = store::vpcs::default(store)? {
            let message = format!("A default VPC already exists: {}", vpc.id);
            return Err(ApiError::new(Code::DefaultVpcAlreadyExists, message));
        }
        let vpc = make::default_vpc(store, &place, block)?;
        let shown = WireVpc::read(store, &place, &vpc)?;
        Ok(Changed::vpc(vpc.id, Created { vpc: shown }))
    });
    made.await
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedVpcs {
    vpcs: Vec<WireVpc>,
    next_token: Option<String>,
}

const VPCS: Kind = Kind {
    what: "vpc",
    malformed: Code::InvalidVpcIdMalformed,
    not_found: Code::InvalidVpcIdNotFound,
    filters: &[
        "cidr",
        "cidr-block-association.association-id",
        "cidr-block-association.cidr-block",
        "cidr-block-association.state",
        "dhcp-options-id",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.ipv6-pool",
        "ipv6-cidr-block-association.state",
        "is-default",
        "isDefault",
        "owner-id",
        "state",
        "vpc-id",
    ],
    max_results: paging::MAX_RESULTS,
};

pub(super) async fn describe(call: Call, asked: Asked) -> Result<DescribedVpcs, ApiError> {
    let place = call.world.config.place.clone();
    let read = move |store: &Connection| {
        let all = store::vpcs::list(store)?;
        all.iter().map(|vpc| WireVpc::read(store, &place, vpc)).collect()
    };
    let (vpcs, next_token) = list::<VpcId, _, _>(&call, asked, &VPCS, read).await?;
    Ok(DescribedVpcs { vpcs, next_token })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireVpc {
    vpc_id: String,
    owner_id: String,
    cidr_block: String,
    cidr_block_association_set: [WireBlock; 1],
    ipv6_cidr_block_association_set: [(); 0],
    dhcp_options_id: String,
    instance_tenancy: &'static str,
    is_default: bool,
    state: &'static str,
    block_public_access_states: WireAccess,
    tags: Vec<WireTag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireBlock {
    association_id: String,
    cidr_block: String,
    cidr_block_state: WireBlockState,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireBlockState {
    state: &'static str,
}

/// `BlockPublicAccessStates`: nobody has forbidden VPCs to be reached.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireAccess {
    internet_gateway_block_mode: &'static str,
}

impl WireAccess {
    pub(super) const OFF: Self = Self {
        internet_gateway_block_mode: "off",
    };
}

impl WireVpc {
    fn read(store: &Connection, place: &Place, vpc: &Vpc) -> Result<Self, StoreError> {
        let tags = store::tags::of(store, ResourceId::Vpc(vpc.id))?;
        let association = WireBlock {
            // A VPC has one block as long as it lives, so the association has no identity of its own.
            association_id: format!("vpc-cidr-assoc-{:017x}", vpc.id.bits()),
            cidr_block: vpc.block.to_string(),
            cidr_block_state: WireBlockState { state: "associated" },
        };
        Ok(Self {
            vpc_id: vpc.id.to_string(),
            owner_id: place.account().to_owned(),
            cidr_block: vpc.block.to_string(),
            cidr_block_association_set: [association],
            ipv6_cidr_block_association_set: [],
            dhcp_options_id: vpc.dhcp_options.map_or_else(|| "default".into(), |id| id.to_string()),
            instance_tenancy: "default",
            is_default: vpc.is_default,
            state: "available",
            block_public_access_states: WireAccess::OFF,
            tags: tags.into_iter().map(Into::into).collect(),
        })
    }
}

impl Shown for WireVpc {
    fn id(&self) -> &str {
        &self.vpc_id
    }

    fn tags(&self) -> &[WireTag] {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        let [block] = &self.cidr_block_association_set;
        vec![match filter {
            "cidr" | "cidr-block-association.cidr-block" => self.cidr_block.clone(),
            "cidr-block-association.association-id" => block.association_id.clone(),
            "cidr-block-association.state" => block.cidr_block_state.state.into(),
            "dhcp-options-id" => self.dhcp_options_id.clone(),
            "is-default" | "isDefault" => self.is_default.to_string(),
            "owner-id" => self.owner_id.clone(),
            "state" => self.state.into(),
            "vpc-id" => self.vpc_id.clone(),
            // IPv6 blocks, of which there are none.
            _ => return Vec::new(),
        }]
    }
}
