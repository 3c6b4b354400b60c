//! What a launch says of its instances beside what their machines are made of.

use super::super::super::{ApiError, Code, World};
use super::super::maintenance::upkeep;
use super::super::names::hostname_type;
use super::super::{credits, placement};
use super::{RunInstances, invalid};
use crate::config::Place;
use crate::model::{self, InstanceAttributes, Protection};
use serde::Deserialize;

/// What an instance is when nothing is said.
const DEFAULT_TYPE: &str = "t3.micro";

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct Placement {
    availability_zone: Option<String>,
    tenancy: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Monitoring {
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreditSpecification {
    cpu_credits: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct Maintenance {
    auto_recovery: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct PrivateName {
    hostname_type: Option<String>,
    enable_resource_name_dns_a_record: bool,
    #[serde(rename = "EnableResourceNameDnsAAAARecord")]
    enable_resource_name_dns_aaaa_record: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CapacityReservation {
    capacity_reservation_preference: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct Hibernation {
    configured: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct Enclaves {
    enabled: bool,
}

impl RunInstances {
    /// The name of the type that is asked for.
    pub(super) fn type_name(&self) -> &str {
        self.instance_type.as_deref().unwrap_or(DEFAULT_TYPE)
    }

    /// Refuses what one host can't have.
    pub(super) fn must_be_possible(&self, place: &Place) -> Result<(), ApiError> {
        let unserved = |message: &str| Err(ApiError::new(Code::UnsupportedOperation, message));
        if let Some(zone) = self
            .placement
            .availability_zone
            .as_ref()
            .filter(|zone| *zone != place.zone())
        {
            let here = place.zone();
            return Err(invalid(format!(
                "Invalid availability zone: [{zone}]; this host is {here}"
            )));
        }
        placement::must_be_shared(self.placement.tenancy.as_deref())?;
        if self.instance_market_options.is_some() {
            return unserved("Spot instances and capacity blocks are not served: leave InstanceMarketOptions out");
        }
        if self.hibernation_options.as_ref().is_some_and(|one| one.configured) {
            return unserved("Hibernation is not served: leave HibernationOptions out");
        }
        if self.enclave_options.as_ref().is_some_and(|one| one.enabled) {
            return unserved("Nitro Enclaves are not served: leave EnclaveOptions out");
        }
        let reservation = self.capacity_reservation_specification.as_ref();
        match reservation.and_then(|one| one.capacity_reservation_preference.as_deref()) {
            // There are no reservations: who takes any that is open takes none, too.
            None | Some("none" | "open") => Ok(()),
            Some(_) => unserved("There are no capacity reservations here: the preference may be none or open"),
        }
    }

    /// What is said of each instance.
    pub(super) fn attributes(&self, world: &World) -> Result<InstanceAttributes, ApiError> {
        let recovery = self.maintenance_options.auto_recovery.as_deref();
        let recovery = recovery.map(|name| upkeep("AutoRecovery", name));
        let name = &self.private_dns_name_options;
        let hostname = name.hostname_type.as_deref().map(hostname_type);
        let credits = self.credit_specification.as_ref();
        let credits = credits.map(|credits| credits::option(world, self.type_name(), &credits.cpu_credits));
        Ok(InstanceAttributes {
            protection: Protection {
                termination: self.disable_api_termination,
                stop: self.disable_api_stop,
            },
            ebs_optimized: self.ebs_optimized,
            monitoring: self.monitoring.as_ref().is_some_and(|one| one.enabled),
            auto_recovery: recovery.transpose()?.unwrap_or_default(),
            private_name: model::PrivateName {
                hostname_type: hostname.transpose()?.unwrap_or_default(),
                a_record: name.enable_resource_name_dns_a_record,
                aaaa_record: name.enable_resource_name_dns_aaaa_record,
            },
            cpu_credits: credits.transpose()?,
            ..InstanceAttributes::default()
        })
    }
}
