//! Instances: RunInstances, DescribeInstances, their states, their status, their attributes, their console.

mod amend;
mod asked;
mod attributes;
mod change;
mod console;
mod cpus;
mod credits;
mod describe;
mod guest_data;
mod interface;
mod interface_wire;
mod kinds;
mod maintenance;
mod metadata_defaults;
mod metadata_options;
mod monitoring;
mod names;
mod network_filters;
mod placement;
mod repeat;
mod run;
mod search;
mod status;
mod template;
#[cfg(test)]
mod tests;
mod volumes;
mod wire;

use super::error::{ApiError, Code};
use super::{Operation, ids};
use crate::model::InstanceId;
use crate::store;
use rusqlite::Connection;
use std::collections::BTreeSet;

/// The operations of this directory.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::new("DescribeInstanceAttribute", attributes::describe),
        Operation::new("DescribeInstanceCreditSpecifications", credits::describe),
        Operation::new("DescribeInstanceStatus", status::describe),
        Operation::new("DescribeInstances", describe::describe),
        Operation::new("GetConsoleOutput", console::output),
        Operation::refusing("GetConsoleScreenshot", guest_data::screenshot),
        Operation::new("GetInstanceMetadataDefaults", metadata_defaults::get),
        Operation::refusing("GetInstanceUefiData", guest_data::uefi),
        Operation::new("GetPasswordData", guest_data::password),
        Operation::new("ModifyInstanceAttribute", attributes::modify),
        Operation::new("ModifyInstanceCpuOptions", cpus::modify),
        Operation::new("ModifyInstanceCreditSpecification", credits::modify),
        Operation::new("ModifyInstanceMaintenanceOptions", maintenance::modify),
        Operation::new("ModifyInstanceMetadataDefaults", metadata_defaults::modify),
        Operation::new("ModifyInstanceMetadataOptions", metadata_options::modify),
        Operation::new("ModifyInstancePlacement", placement::modify),
        Operation::new("ModifyPrivateDnsNameOptions", names::modify),
        Operation::new("MonitorInstances", monitoring::monitor),
        Operation::new("RebootInstances", change::reboot),
        Operation::new("ResetInstanceAttribute", attributes::reset),
        Operation::new("RunInstances", template::run),
        Operation::new("StartInstances", change::start),
        Operation::new("StopInstances", change::stop),
        Operation::new("TerminateInstances", change::terminate),
        Operation::new("UnmonitorInstances", monitoring::unmonitor),
    ]
}

/// The instances that a request names: each once, all well formed.
fn parse_ids(texts: &[String]) -> Result<Vec<InstanceId>, ApiError> {
    let ids: BTreeSet<InstanceId> = ids::parse_all(texts, Code::InvalidInstanceIdMalformed)?
        .into_iter()
        .collect();
    Ok(ids.into_iter().collect())
}

/// As [`parse_ids`], where the request must name at least one.
fn some_ids(texts: &[String]) -> Result<Vec<InstanceId>, ApiError> {
    let ids = parse_ids(texts)?;
    if ids.is_empty() {
        let message = "The request must contain the parameter InstanceId";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    Ok(ids)
}

/// Checks that all instances that a request names are there.
fn must_exist(connection: &Connection, ids: &[InstanceId]) -> Result<(), ApiError> {
    let there: BTreeSet<InstanceId> = store::instances::present(connection, ids)?.into_iter().collect();
    let missing: Vec<InstanceId> = ids.iter().copied().filter(|id| !there.contains(id)).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(not_found(&missing))
    }
}

fn not_found(ids: &[InstanceId]) -> ApiError {
    ids::not_found(Code::InvalidInstanceIdNotFound, "instance", ids)
}
