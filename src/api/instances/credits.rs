//! CPU credits of burstable types: which option an instance has is on record; nothing is counted.

use super::super::token::ClientToken;
use super::super::{ApiError, Call, Code, World, found};
use super::amend::amend;
use super::asked::{Asked, Wanted};
use super::kinds;
use super::search::{Portions, named as named_instances};
use crate::model::{Amendment, CpuCredits, Instance};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The option of that name for an instance of a type, which must be burstable.
pub(super) fn option(world: &World, type_name: &str, name: &str) -> Result<CpuCredits, ApiError> {
    let option = named(name)?;
    must_be_burstable(world, type_name)?;
    Ok(option)
}

fn named(name: &str) -> Result<CpuCredits, ApiError> {
    CpuCredits::from_name(name).ok_or_else(|| {
        let message = "CpuCredits must be standard or unlimited";
        ApiError::new(Code::InvalidParameterValue, message)
    })
}

fn must_be_burstable(world: &World, type_name: &str) -> Result<(), ApiError> {
    if kinds::is_burstable(world, type_name) {
        return Ok(());
    }
    Err(not_burstable(type_name))
}

fn not_burstable(type_name: &str) -> ApiError {
    let message = format!("The {type_name} instance type does not use CPU credits");
    ApiError::new(Code::InstanceCreditSpecificationNotSupported, message)
}

/// The option of an instance; none if its type is not burstable.
fn option_of(world: &World, instance: &Instance) -> Option<CpuCredits> {
    let name = &instance.instance_type.name;
    let said = instance.attributes.cpu_credits;
    kinds::is_burstable(world, name).then(|| said.unwrap_or_else(|| CpuCredits::of_type(name)))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedCredits {
    instance_credit_specifications: Vec<WireCredits>,
    next_token: Option<String>,
}

/// `InstanceCreditSpecification`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireCredits {
    instance_id: String,
    cpu_credits: &'static str,
}

/// Those that are named, which must be of burstable types; else those that go on without credits.
pub(super) async fn describe(call: Call, request: Asked) -> Result<DescribedCredits, ApiError> {
    let Wanted { ids, filters, page } = request.parse(&call, &["instance-id"], false)?;
    let world = Arc::clone(&call.world);
    let read = call.world.store.read(move |store| {
        let passes = |one: &WireCredits| filters.pass(|_| vec![one.instance_id.clone()], []);
        let mut found: Vec<WireCredits> = Vec::new();
        if !ids.is_empty() {
            for instance in named_instances(store, &ids)? {
                let option = option_of(&world, &instance);
                let option = option.ok_or_else(|| not_burstable(&instance.instance_type.name))?;
                found.push(WireCredits::new(&instance, option));
            }
            found.retain(passes);
            return Ok(page.cut(found, WireCredits::id));
        }
        let mut portions = Portions::new(&page);
        while found.len() < page.needed() {
            let portion = portions.instances(store)?;
            if portion.is_empty() {
                break;
            }
            let unlimited = portion.iter().filter_map(|instance| {
                let option = option_of(&world, instance)?;
                (option == CpuCredits::Unlimited).then(|| WireCredits::new(instance, option))
            });
            found.extend(unlimited.filter(passes));
        }
        Ok::<_, ApiError>(page.cut(found, WireCredits::id))
    });
    let (instance_credit_specifications, next_token) = read.await?;
    Ok(DescribedCredits {
        instance_credit_specifications,
        next_token,
    })
}

impl WireCredits {
    fn new(instance: &Instance, option: CpuCredits) -> Self {
        Self {
            instance_id: instance.id.to_string(),
            cpu_credits: option.name(),
        }
    }

    fn id(&self) -> String {
        self.instance_id.clone()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyInstanceCreditSpecification {
    instance_credit_specifications: Vec<CreditRequest>,
    /// The same again makes no difference.
    client_token: Option<String>,
}

/// `InstanceCreditSpecificationRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreditRequest {
    instance_id: String,
    cpu_credits: Option<String>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifiedCredits {
    successful_instance_credit_specifications: Vec<Successful>,
    unsuccessful_instance_credit_specifications: Vec<Unsuccessful>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Successful {
    instance_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Unsuccessful {
    instance_id: String,
    error: ItemError,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ItemError {
    code: &'static str,
    message: String,
}

/// Each instance for itself: what is wrong with one is said beside it, and is no matter to the others.
pub(super) async fn modify(
    call: Call,
    request: ModifyInstanceCreditSpecification,
) -> Result<ModifiedCredits, ApiError> {
    ClientToken::new(request.client_token, call.digest)?;
    let items = request.instance_credit_specifications.into_iter();
    let items = items.map(|item| {
        let name = item.cpu_credits.unwrap_or_default();
        Ok((item.instance_id, named(&name)?))
    });
    let items: Vec<_> = items.collect::<Result<_, ApiError>>()?;
    call.checked()?;
    let mut answer = ModifiedCredits::default();
    for (instance_id, option) in items {
        match modify_one(&call, &instance_id, option).await {
            Ok(()) => {
                let done = Successful { instance_id };
                answer.successful_instance_credit_specifications.push(done);
            }
            Err(error) if error.code.status() >= 500 => return Err(error),
            Err(ApiError { code, message }) => {
                let error = ItemError {
                    code: code.as_str(),
                    message,
                };
                let failed = Unsuccessful { instance_id, error };
                answer.unsuccessful_instance_credit_specifications.push(failed);
            }
        }
    }
    Ok(answer)
}

async fn modify_one(call: &Call, instance: &str, option: CpuCredits) -> Result<(), ApiError> {
    let id = found::instance_id(instance)?;
    let world = Arc::clone(&call.world);
    amend(call, id, move |_, instance| {
        must_be_burstable(&world, &instance.instance_type.name)?;
        Ok(Amendment::CpuCredits(option))
    })
    .await
}
