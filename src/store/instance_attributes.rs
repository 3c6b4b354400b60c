//! What is said of an instance and may be amended later: columns of its row.

use super::StoreError;
use super::columns::Size;
use crate::model::{Instance, InstanceAttributes, PrivateName, Protection};
use rusqlite::{Connection, Row, params};
use std::num::NonZeroU32;

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<InstanceAttributes> {
    Ok(InstanceAttributes {
        protection: Protection {
            termination: row.get("termination_protection")?,
            stop: row.get("stop_protection")?,
        },
        ebs_optimized: row.get("ebs_optimized")?,
        ena_support: row.get("ena_support")?,
        sriov_net_support: row.get("sriov_net_support")?,
        monitoring: row.get("monitoring")?,
        auto_recovery: row.get("auto_recovery")?,
        reboot_migration: row.get("reboot_migration")?,
        private_name: PrivateName {
            hostname_type: row.get("hostname_type")?,
            a_record: row.get("resource_name_a")?,
            aaaa_record: row.get("resource_name_aaaa")?,
        },
        cpu_credits: row.get("cpu_credits")?,
    })
}

/// Writes all that an amendment may change.
///
/// # Errors
/// The database's; a kernel or RAM disk that is not there is one.
pub fn amend(connection: &Connection, instance: &Instance) -> Result<(), StoreError> {
    put_type(connection, instance)?;
    put(connection, instance)?;
    let sql = "UPDATE instances SET kernel = ?2, ramdisk = ?3, shutdown_behavior = ?4, user_data = ?5 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute(params![
        instance.id,
        instance.kernel,
        instance.ramdisk,
        instance.shutdown_behavior,
        instance.user_data,
    ])?;
    Ok(())
}

fn put_type(connection: &Connection, instance: &Instance) -> Result<(), StoreError> {
    let sql = "UPDATE instances SET type_name = ?2, vcpus = ?3, threads_per_core = ?4, memory = ?5, network_mbps = ?6, \
               instance_store_disks = ?7, instance_store_disk_size = ?8 WHERE id = ?1";
    let of = &instance.instance_type;
    connection.prepare_cached(sql)?.execute(params![
        instance.id,
        of.name,
        of.vcpus,
        of.threads_per_core,
        Size(of.memory),
        of.network_mbps.map(NonZeroU32::get),
        of.instance_store.map(|store| store.disks.get()),
        of.instance_store.map(|store| Size(store.disk_size)),
    ])?;
    Ok(())
}

/// Writes an instance's attributes.
///
/// # Errors
/// The database's.
pub(super) fn put(connection: &Connection, instance: &Instance) -> Result<(), StoreError> {
    let sql = "UPDATE instances SET termination_protection = ?2, stop_protection = ?3, ebs_optimized = ?4, \
               ena_support = ?5, sriov_net_support = ?6, monitoring = ?7, auto_recovery = ?8, reboot_migration = ?9, \
               hostname_type = ?10, resource_name_a = ?11, resource_name_aaaa = ?12, cpu_credits = ?13 WHERE id = ?1";
    let attributes = &instance.attributes;
    connection.prepare_cached(sql)?.execute(params![
        instance.id,
        attributes.protection.termination,
        attributes.protection.stop,
        attributes.ebs_optimized,
        attributes.ena_support,
        attributes.sriov_net_support,
        attributes.monitoring,
        attributes.auto_recovery,
        attributes.reboot_migration,
        attributes.private_name.hostname_type,
        attributes.private_name.a_record,
        attributes.private_name.aaaa_record,
        attributes.cpu_credits,
    ])?;
    Ok(())
}
