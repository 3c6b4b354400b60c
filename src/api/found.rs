//! What a request names, looked up in its transaction: EC2's codes for ids that are malformed or unknown.

use super::{ApiError, Code, ids};
use crate::api::shown::shown;
use crate::model::{
    DhcpOptions, DhcpOptionsId, ExportTask, ExportTaskId, Instance, InstanceId, InternetGateway, InternetGatewayId,
    LaunchTemplate, LaunchTemplateId, NetworkAcl, NetworkAclId, NetworkInterface, NetworkInterfaceId, PrefixList,
    PrefixListId, RouteTable, RouteTableId, SecurityGroup, SecurityGroupId, Snapshot, SnapshotId, Subnet, SubnetId,
    Volume, VolumeId, Vpc, VpcId,
};
use crate::store::{self, StoreError};
use rusqlite::Connection;

macro_rules! lookups {
    ($($name:ident, $parse:ident: $table:ident $id:ident $noun:ident $what:literal $malformed:ident $not_found:ident;)*) => {$(
        #[doc = concat!("The identifier of a ", $what, ".")]
        pub(super) fn $parse(text: &str) -> Result<$id, ApiError> {
            ids::parse(text, Code::$malformed)
        }

        #[doc = concat!("The ", $what, " of that identifier.")]
        pub(super) fn $name(store: &Connection, id: $id) -> Result<$noun, ApiError> {
            let found: Result<Option<$noun>, StoreError> = store::$table::get(store, id);
            found?.ok_or_else(|| ids::not_found(Code::$not_found, $what, &[id]))
        }
    )*};
}

lookups! {
    vpc, vpc_id: vpcs VpcId Vpc "vpc" InvalidVpcIdMalformed InvalidVpcIdNotFound;
    subnet, subnet_id: subnets SubnetId Subnet "subnet" InvalidSubnetIdMalformed InvalidSubnetIdNotFound;
    gateway, gateway_id: internet_gateways InternetGatewayId InternetGateway "internetGateway"
        InvalidInternetGatewayIdMalformed InvalidInternetGatewayIdNotFound;
    route_table, route_table_id: route_tables RouteTableId RouteTable "routeTable"
        InvalidRouteTableIdMalformed InvalidRouteTableIdNotFound;
    dhcp_options, dhcp_options_id: dhcp_options DhcpOptionsId DhcpOptions "dhcpOption"
        InvalidDhcpOptionIdMalformed InvalidDhcpOptionIdNotFound;
    group, group_id: security_groups SecurityGroupId SecurityGroup "security group"
        InvalidGroupIdMalformed InvalidGroupNotFound;
    prefix_list, prefix_list_id: prefix_lists PrefixListId PrefixList "prefix list"
        InvalidPrefixListIdMalformed InvalidPrefixListIdNotFound;
    launch_template, launch_template_id: launch_templates LaunchTemplateId LaunchTemplate "launch template"
        InvalidLaunchTemplateIdMalformed InvalidLaunchTemplateIdNotFound;
    interface, interface_id: network_interfaces NetworkInterfaceId NetworkInterface "networkInterface"
        InvalidNetworkInterfaceIdMalformed InvalidNetworkInterfaceIdNotFound;
    volume, volume_id: volumes VolumeId Volume "volume" InvalidVolumeIdMalformed InvalidVolumeNotFound;
    snapshot, snapshot_id: snapshots SnapshotId Snapshot "snapshot" InvalidSnapshotIdMalformed InvalidSnapshotNotFound;
    instance, instance_id: instances InstanceId Instance "instance" InvalidInstanceIdMalformed InvalidInstanceIdNotFound;
    export, export_id: exports ExportTaskId ExportTask "export task" InvalidExportTaskIdMalformed InvalidExportTaskIdNotFound;
    acl, acl_id: network_acls NetworkAclId NetworkAcl "networkAcl" InvalidNetworkAclIdMalformed InvalidNetworkAclIdNotFound;
}

/// The error for an association that is not there. EC2 has no other code for an id that is none.
pub(super) fn no_association(id: &str) -> ApiError {
    let shown = shown(id);
    ids::not_found(Code::InvalidAssociationIdNotFound, "association", &[shown])
}

/// The error for what can't be deleted, for this still stands on it.
pub(super) fn in_use(what: &str, id: impl ToString, by: &[String]) -> ApiError {
    /// How many are named.
    const NAMED: usize = 10;
    let mut named = by.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if let Some(more) = by.len().checked_sub(NAMED).filter(|more| *more > 0) {
        named.push_str(&format!(" and {more} more"));
    }
    let message = format!(
        "The {what} '{}' has dependencies and cannot be deleted: {named}",
        id.to_string()
    );
    ApiError::new(Code::DependencyViolation, message)
}
