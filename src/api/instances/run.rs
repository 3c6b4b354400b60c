//! RunInstances.

mod options;

use super::super::error::Code;
use super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::token::ClientToken;
use super::super::{ApiError, Call, ids, parameters};
use super::cpus::CpuOptions;
use super::interface::{InterfaceRequest, InterfaceSpecification, WantedInterfaces};
use super::kinds;
use super::metadata_defaults::must_have_tokens;
use super::metadata_options::MetadataOptionsRequest;
use super::repeat::described;
use super::volumes::{self, Mapping};
use super::wire::WireReservation;
use crate::api::shown::shown;
use crate::base64;
use crate::chain::chain;
use crate::instance::{LaunchOrder, LaunchOrderError};
use crate::model::{
    Architecture, Image, ImageId, ImageState, InstanceType, LaunchKey, MetadataOptions, ShutdownBehavior, Tag,
};
use crate::store;
use options::{
    CapacityReservation, CreditSpecification, Enclaves, Hibernation, Maintenance, Monitoring, Placement, PrivateName,
};
use rusqlite::Connection;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The most instances of one launch.
const MAX_COUNT: i64 = 1000;
/// The most user data, in bytes, as EC2 has it.
const MAX_USER_DATA: usize = 16 * 1024;
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct RunInstances {
    image_id: Option<String>,
    instance_type: Option<String>,
    min_count: i64,
    max_count: i64,
    #[serde(default)]
    block_device_mappings: Vec<Mapping>,
    client_token: Option<String>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
    instance_initiated_shutdown_behavior: Option<String>,
    user_data: Option<String>,
    #[serde(default)]
    placement: Placement,
    key_name: Option<String>,
    subnet_id: Option<String>,
    #[serde(default)]
    security_group_ids: Vec<String>,
    #[serde(default)]
    security_groups: Vec<String>,
    private_ip_address: Option<String>,
    #[serde(default)]
    network_interfaces: Vec<InterfaceSpecification>,
    #[serde(default)]
    metadata_options: MetadataOptionsRequest,
    /// Tags of the instances that say which template they were launched by.
    #[serde(skip)]
    pub(super) template_tags: Vec<Tag>,
    #[serde(default)]
    disable_api_termination: bool,
    #[serde(default)]
    disable_api_stop: bool,
    #[serde(default)]
    ebs_optimized: bool,
    monitoring: Option<Monitoring>,
    #[serde(default)]
    cpu_options: CpuOptions,
    credit_specification: Option<CreditSpecification>,
    #[serde(default)]
    maintenance_options: Maintenance,
    #[serde(default)]
    private_dns_name_options: PrivateName,
    capacity_reservation_specification: Option<CapacityReservation>,
    hibernation_options: Option<Hibernation>,
    enclave_options: Option<Enclaves>,
    instance_market_options: Option<IgnoredAny>,
}

pub(super) async fn run(call: Call, request: RunInstances) -> Result<WireReservation, ApiError> {
    let order = order(&call, request).await?;
    call.checked()?;
    let launched = call.world.instances.launch(order).await.map_err(to_api)?;
    let place = call.world.config.place.clone();
    let described = move |tx: &Connection| described(tx, &place, launched.reservation.id, launched.instances);
    call.world.store.read(described).await
}

/// The request, checked.
async fn order(call: &Call, request: RunInstances) -> Result<LaunchOrder, ApiError> {
    let (min, max) = counts(request.min_count, request.max_count)?;
    let image = image(call, request.image_id.as_deref()).await?;
    let instance_type = instance_type(call, &request, &image)?;
    request.must_be_possible(&call.world.config.place)?;
    let attributes = request.attributes(&call.world)?;
    let tags = TagSpecifications::new(request.tag_specifications, &["instance", "volume", "network-interface"])?;
    let token = ClientToken::new(request.client_token, call.digest)?;
    let interface = InterfaceRequest {
        subnet_id: request.subnet_id,
        security_group_ids: request.security_group_ids,
        security_groups: request.security_groups,
        private_ip_address: request.private_ip_address,
        network_interfaces: request.network_interfaces,
    };
    let wanted = WantedInterfaces::new(interface, max, tags.of("network-interface").to_vec())?;
    let (key_name, asked) = (request.key_name, request.metadata_options);
    let (devices, mappings) = ((image.clone(), instance_type.clone()), request.block_device_mappings);
    let found = call.world.store.read(move |tx| {
        let devices = volumes::order(tx, (&devices.0, &devices.1), mappings)?;
        let metadata_options = metadata_options(tx, &asked)?;
        let key = key(tx, key_name.as_deref())?;
        Ok::<_, ApiError>((wanted.order(tx)?, key, devices, metadata_options))
    });
    let (interfaces, key, devices, metadata_options) = found.await?;
    Ok(LaunchOrder {
        volumes: devices.volumes,
        instance_store: devices.instance_store,
        image,
        instance_type,
        min,
        max,
        shutdown_behavior: behavior(request.instance_initiated_shutdown_behavior.as_deref())?,
        user_data: request.user_data.map(|data| user_data(&data)).transpose()?,
        key,
        metadata_options,
        attributes,
        interfaces,
        client_token: token.map(|token| token.token),
        request_digest: call.digest.to_string(),
        instance_tags: [request.template_tags.as_slice(), tags.of("instance")].concat(),
        volume_tags: tags.of("volume").to_vec(),
    })
}

fn counts(min: i64, max: i64) -> Result<(u32, u32), ApiError> {
    if min < 1 || max < min || max > MAX_COUNT {
        let message = format!(
            "MinCount {min} and MaxCount {max} are invalid: expecting 1 <= MinCount <= MaxCount <= {MAX_COUNT}"
        );
        return Err(invalid(message));
    }
    let count = |count: i64| u32::try_from(count).map_err(|_| invalid(format!("{count} is no number of instances")));
    Ok((count(min)?, count(max)?))
}

async fn image(call: &Call, id: Option<&str>) -> Result<Image, ApiError> {
    let id =
        id.ok_or_else(|| ApiError::new(Code::MissingParameter, "The request must contain the parameter ImageId"))?;
    let id = parameters::resolve(&call.world, id.to_owned()).await?;
    let id: ImageId = ids::parse(&id, Code::InvalidAmiIdMalformed)?;
    let image = call.world.store.read(move |tx| store::images::get(tx, id)).await?;
    let image = image.ok_or_else(|| ids::not_found(Code::InvalidAmiIdNotFound, "image", &[id]))?;
    if image.state != ImageState::Available {
        let message = format!("The image '{id}' is {}: it can't be launched", image.state.name());
        return Err(ApiError::new(Code::InvalidAmiIdUnavailable, message));
    }
    Ok(image)
}

fn instance_type(call: &Call, request: &RunInstances, image: &Image) -> Result<InstanceType, ApiError> {
    let name = request.type_name();
    let whole = kinds::named(&call.world, name, Code::InvalidParameterValue)?;
    if image.architecture != Architecture::X86_64 {
        let of = image.architecture.name();
        let message = format!("The architecture '{of}' of the image does not match the x86_64 of the type {name}");
        return Err(invalid(message));
    }
    Ok(match request.cpu_options.of(&whole)? {
        Some((cores, threads_per_core)) => whole.with_cpus(cores, threads_per_core),
        None => whole,
    })
}

/// What the request says, and the account where it says nothing.
fn metadata_options(store: &Connection, request: &MetadataOptionsRequest) -> Result<MetadataOptions, ApiError> {
    let defaults = store::metadata_defaults::get(store)?;
    let options = request.apply(defaults.options())?;
    must_have_tokens(&defaults, &options)?;
    Ok(options)
}

/// The key pair of that name, as the guest gets it.
fn key(store: &Connection, name: Option<&str>) -> Result<Option<LaunchKey>, ApiError> {
    let Some(name) = name else {
        return Ok(None);
    };
    let pair = match name.parse() {
        Ok(name) => store::key_pairs::named(store, &name)?,
        Err(_) => None,
    };
    let pair = pair.ok_or_else(|| {
        let shown = shown(name);
        let message = format!("The key pair '{shown}' does not exist");
        ApiError::new(Code::InvalidKeyPairNotFound, message)
    })?;
    Ok(Some(LaunchKey {
        name: pair.name,
        public_key: pair.public_key,
    }))
}

pub(super) fn behavior(name: Option<&str>) -> Result<ShutdownBehavior, ApiError> {
    let Some(name) = name else {
        return Ok(ShutdownBehavior::default());
    };
    ShutdownBehavior::from_name(name)
        .ok_or_else(|| invalid("InstanceInitiatedShutdownBehavior must be stop or terminate".into()))
}

/// User data, as the guest reads it.
pub(super) fn user_data(text: &str) -> Result<Vec<u8>, ApiError> {
    let data = base64::decode(text).ok_or_else(|| invalid("Invalid BASE64 encoding of user data".into()))?;
    if data.len() > MAX_USER_DATA {
        return Err(invalid(format!("User data is limited to {MAX_USER_DATA} bytes")));
    }
    Ok(data)
}

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::InvalidParameterValue, message)
}

fn to_api(error: LaunchOrderError) -> ApiError {
    match &error {
        LaunchOrderError::Capacity(_) | LaunchOrderError::Space(crate::volumes::SpaceError::Full { .. }) => {
            ApiError::new(Code::InsufficientInstanceCapacity, chain(&error))
        }
        LaunchOrderError::ImageGone(id) => ids::not_found(Code::InvalidAmiIdNotFound, "image", &[id]),
        LaunchOrderError::TokenMismatch => ApiError::new(Code::IdempotentParameterMismatch, error.to_string()),
        LaunchOrderError::Interface(error) => error.into(),
        LaunchOrderError::Space(_) | LaunchOrderError::Store(_) => ApiError::internal(&error),
    }
}
