//! CreateInternetGateway, AttachInternetGateway, DetachInternetGateway, DeleteInternetGateway, DescribeInternetGateways.

use super::super::tagging::{TagSpecification, TagSpecifications, WireTag};
use super::super::{ApiError, Call, Code, Operation, paging};
use super::listing::{Asked, Kind, Shown, list};
use super::{Changed, change, found, make, tag};
use crate::config::Place;
use crate::model::{InternetGateway, InternetGatewayId, ResourceId};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

pub(super) fn rows() -> Vec<Operation> {
    vec![
        Operation::new("AttachInternetGateway", attach),
        Operation::new("CreateInternetGateway", create),
        Operation::new("DeleteInternetGateway", delete),
        Operation::new("DescribeInternetGateways", describe),
        Operation::new("DetachInternetGateway", detach),
    ]
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct CreateInternetGateway {
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    internet_gateway: WireGateway,
}

async fn create(call: Call, request: CreateInternetGateway) -> Result<Created, ApiError> {
    let tags = TagSpecifications::new(request.tag_specifications, &["internet-gateway"])?;
    let place = call.world.config.place.clone();
    let made = change(&call, move |store| {
        let gateway = make::gateway();
        store::internet_gateways::add(store, &gateway)?;
        tag(
            store,
            ResourceId::InternetGateway(gateway.id),
            tags.of("internet-gateway"),
        )?;
        let internet_gateway = WireGateway::read(store, &place, &gateway)?;
        Ok(Changed::nothing(Created { internet_gateway }))
    });
    made.await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Attachment {
    internet_gateway_id: String,
    vpc_id: String,
}

async fn attach(call: Call, request: Attachment) -> Result<(), ApiError> {
    let id = found::gateway_id(&request.internet_gateway_id)?;
    let vpc = found::vpc_id(&request.vpc_id)?;
    let done = change(&call, move |store| {
        let gateway = found::gateway(store, id)?;
        found::vpc(store, vpc)?;
        if let Some(other) = gateway.vpc {
            let message = format!("resource {id} is already attached to network {other}");
            return Err(ApiError::new(Code::ResourceAlreadyAssociated, message));
        }
        if store::internet_gateways::of_vpc(store, vpc)?.is_some() {
            let message = format!("Network {vpc} already has an internet gateway attached");
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        store::internet_gateways::attach(store, id, Some(vpc))?;
        Ok(Changed::vpc(vpc, ()))
    });
    done.await
}

/// Detaches a gateway. The routes to it stay, and lead nowhere.
async fn detach(call: Call, request: Attachment) -> Result<(), ApiError> {
    let id = found::gateway_id(&request.internet_gateway_id)?;
    let vpc = found::vpc_id(&request.vpc_id)?;
    let done = change(&call, move |store| {
        let gateway = found::gateway(store, id)?;
        found::vpc(store, vpc)?;
        if gateway.vpc != Some(vpc) {
            let message = format!("resource {id} is not attached to network {vpc}");
            return Err(ApiError::new(Code::GatewayNotAttached, message));
        }
        store::internet_gateways::attach(store, id, None)?;
        Ok(Changed::vpc(vpc, ()))
    });
    done.await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteInternetGateway {
    internet_gateway_id: String,
}

async fn delete(call: Call, request: DeleteInternetGateway) -> Result<(), ApiError> {
    let id = found::gateway_id(&request.internet_gateway_id)?;
    let done = change(&call, move |store| {
        if let Some(vpc) = found::gateway(store, id)?.vpc {
            return Err(found::in_use("internetGateway", id, &[vpc.to_string()]));
        }
        store::tags::remove_all(store, ResourceId::InternetGateway(id))?;
        store::internet_gateways::remove(store, id)?;
        Ok(Changed::nothing(()))
    });
    done.await
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedGateways {
    internet_gateways: Vec<WireGateway>,
    next_token: Option<String>,
}

const GATEWAYS: Kind = Kind {
    what: "internetGateway",
    malformed: Code::InvalidInternetGatewayIdMalformed,
    not_found: Code::InvalidInternetGatewayIdNotFound,
    filters: &[
        "attachment.state",
        "attachment.vpc-id",
        "internet-gateway-id",
        "owner-id",
    ],
    max_results: paging::MAX_RESULTS,
};

async fn describe(call: Call, asked: Asked) -> Result<DescribedGateways, ApiError> {
    let place = call.world.config.place.clone();
    let read = move |store: &Connection| {
        let all = store::internet_gateways::list(store)?;
        all.iter()
            .map(|gateway| WireGateway::read(store, &place, gateway))
            .collect()
    };
    let (internet_gateways, next_token) = list::<InternetGatewayId, _, _>(&call, asked, &GATEWAYS, read).await?;
    Ok(DescribedGateways {
        internet_gateways,
        next_token,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireGateway {
    internet_gateway_id: String,
    owner_id: String,
    attachments: Vec<WireAttachment>,
    tags: Vec<WireTag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireAttachment {
    vpc_id: String,
    state: &'static str,
}

impl WireGateway {
    fn read(store: &Connection, place: &Place, gateway: &InternetGateway) -> Result<Self, StoreError> {
        let tags = store::tags::of(store, ResourceId::InternetGateway(gateway.id))?;
        let attachment = gateway.vpc.map(|vpc| WireAttachment {
            vpc_id: vpc.to_string(),
            // EC2 has this word for gateways, and not its model's `attached`.
            state: "available",
        });
        Ok(Self {
            internet_gateway_id: gateway.id.to_string(),
            owner_id: place.account().to_owned(),
            attachments: attachment.into_iter().collect(),
            tags: tags.into_iter().map(Into::into).collect(),
        })
    }
}

impl Shown for WireGateway {
    fn id(&self) -> &str {
        &self.internet_gateway_id
    }

    fn tags(&self) -> &[WireTag] {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        let attachments = self.attachments.iter();
        match filter {
            "attachment.state" => attachments.map(|one| one.state.to_owned()).collect(),
            "attachment.vpc-id" => attachments.map(|one| one.vpc_id.clone()).collect(),
            "internet-gateway-id" => vec![self.internet_gateway_id.clone()],
            _ => vec![self.owner_id.clone()],
        }
    }
}
