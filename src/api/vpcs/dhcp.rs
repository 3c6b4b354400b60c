//! CreateDhcpOptions, DeleteDhcpOptions, DescribeDhcpOptions, AssociateDhcpOptions.

use super::super::tagging::{TagSpecification, TagSpecifications, WireTag};
use super::super::{ApiError, Call, Code, Operation, paging};
use super::listing::{Asked, Kind, Shown, list};
use super::{Changed, change, found, make, tag};
use crate::config::Place;
use crate::model::{DhcpOption, DhcpOptionError, DhcpOptions, DhcpOptionsId, ResourceId, VpcId};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

pub(super) fn rows() -> Vec<Operation> {
    vec![
        Operation::new("AssociateDhcpOptions", associate),
        Operation::new("CreateDhcpOptions", create),
        Operation::new("DeleteDhcpOptions", delete),
        Operation::new("DescribeDhcpOptions", describe),
    ]
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateDhcpOptions {
    dhcp_configurations: Vec<NewConfiguration>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct NewConfiguration {
    key: String,
    values: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    dhcp_options: WireDhcpOptions,
}

async fn create(call: Call, request: CreateDhcpOptions) -> Result<Created, ApiError> {
    let options = options(&request.dhcp_configurations)?;
    let tags = TagSpecifications::new(request.tag_specifications, &["dhcp-options"])?;
    let place = call.world.config.place.clone();
    let made = change(&call, move |store| {
        let set = make::dhcp_options(options);
        store::dhcp_options::add(store, &set)?;
        tag(store, ResourceId::DhcpOptions(set.id), tags.of("dhcp-options"))?;
        let dhcp_options = WireDhcpOptions::read(store, &place, &set)?;
        Ok(Changed::nothing(Created { dhcp_options }))
    });
    made.await
}

/// The options of a request, each once.
fn options(configurations: &[NewConfiguration]) -> Result<Vec<DhcpOption>, ApiError> {
    let invalid = |message: String| ApiError::new(Code::InvalidParameterValue, message);
    if configurations.is_empty() {
        return Err(invalid("A set of DHCP options has at least one option".into()));
    }
    let mut options: Vec<DhcpOption> = Vec::new();
    for configuration in configurations {
        if configuration.key == "ipv6-address-preferred-lease-time" {
            let message = "Interfaces have no IPv6 addresses: ipv6-address-preferred-lease-time is not served";
            return Err(ApiError::new(Code::UnsupportedOperation, message));
        }
        let option = DhcpOption::from_values(&configuration.key, &configuration.values);
        let option = option.map_err(|error: DhcpOptionError| invalid(error.to_string()))?;
        if options.iter().any(|other| other.key() == option.key()) {
            return Err(invalid(format!("The DHCP option {} comes twice", option.key())));
        }
        options.push(option);
    }
    Ok(options)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteDhcpOptions {
    dhcp_options_id: String,
}

async fn delete(call: Call, request: DeleteDhcpOptions) -> Result<(), ApiError> {
    let id = found::dhcp_options_id(&request.dhcp_options_id)?;
    let done = change(&call, move |store| {
        found::dhcp_options(store, id)?;
        let vpcs = store::vpcs::list(store)?.into_iter();
        let users: Vec<String> = vpcs
            .filter(|vpc| vpc.dhcp_options == Some(id))
            .map(|vpc| vpc.id.to_string())
            .collect();
        if !users.is_empty() {
            return Err(found::in_use("dhcpOptions", id, &users));
        }
        store::tags::remove_all(store, ResourceId::DhcpOptions(id))?;
        store::dhcp_options::remove(store, id)?;
        Ok(Changed::nothing(()))
    });
    done.await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AssociateDhcpOptions {
    dhcp_options_id: String,
    vpc_id: String,
}

/// Gives a VPC a set of options, or none (`default`).
async fn associate(call: Call, request: AssociateDhcpOptions) -> Result<(), ApiError> {
    let vpc: VpcId = found::vpc_id(&request.vpc_id)?;
    let id = match request.dhcp_options_id.as_str() {
        "default" => None,
        id => Some(found::dhcp_options_id(id)?),
    };
    let done = change(&call, move |store| {
        let mut found = found::vpc(store, vpc)?;
        if let Some(id) = id {
            found::dhcp_options(store, id)?;
        }
        found.dhcp_options = id;
        store::vpcs::update(store, &found)?;
        Ok(Changed::vpc(vpc, ()))
    });
    done.await
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedDhcpOptions {
    dhcp_options: Vec<WireDhcpOptions>,
    next_token: Option<String>,
}

const DHCP_OPTIONS: Kind = Kind {
    what: "dhcpOption",
    malformed: Code::InvalidDhcpOptionIdMalformed,
    not_found: Code::InvalidDhcpOptionIdNotFound,
    filters: &["dhcp-options-id", "key", "owner-id", "value"],
    max_results: paging::MAX_RESULTS,
};

async fn describe(call: Call, asked: Asked) -> Result<DescribedDhcpOptions, ApiError> {
    let place = call.world.config.place.clone();
    let read = move |store: &Connection| {
        let all = store::dhcp_options::list(store)?;
        all.iter()
            .map(|set| WireDhcpOptions::read(store, &place, set))
            .collect()
    };
    let (dhcp_options, next_token) = list::<DhcpOptionsId, _, _>(&call, asked, &DHCP_OPTIONS, read).await?;
    Ok(DescribedDhcpOptions {
        dhcp_options,
        next_token,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireDhcpOptions {
    dhcp_options_id: String,
    owner_id: String,
    dhcp_configurations: Vec<WireConfiguration>,
    tags: Vec<WireTag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireConfiguration {
    key: &'static str,
    values: Vec<WireValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireValue {
    value: String,
}

impl WireDhcpOptions {
    fn read(store: &Connection, place: &Place, set: &DhcpOptions) -> Result<Self, StoreError> {
        let tags = store::tags::of(store, ResourceId::DhcpOptions(set.id))?;
        let configurations = set.options.iter().map(|option| WireConfiguration {
            key: option.key(),
            values: option.values().into_iter().map(|value| WireValue { value }).collect(),
        });
        Ok(Self {
            dhcp_options_id: set.id.to_string(),
            owner_id: place.account().to_owned(),
            dhcp_configurations: configurations.collect(),
            tags: tags.into_iter().map(Into::into).collect(),
        })
    }
}

impl Shown for WireDhcpOptions {
    fn id(&self) -> &str {
        &self.dhcp_options_id
    }

    fn tags(&self) -> &[WireTag] {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        let configurations = self.dhcp_configurations.iter();
        match filter {
            "dhcp-options-id" => vec![self.dhcp_options_id.clone()],
            "key" => configurations.map(|one| one.key.to_owned()).collect(),
            "value" => configurations
                .flat_map(|one| &one.values)
                .map(|one| one.value.clone())
                .collect(),
            _ => vec![self.owner_id.clone()],
        }
    }
}
