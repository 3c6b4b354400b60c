//! The schema and how an older database gets to it.
//!
//! Migrations are numbered by their place; SQLite's `user_version` says how many a database has had. A database that
//! has had more than this program knows is left alone: it belongs to a newer one.

use super::OpenStoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_key_pairs.sql"),
    include_str!("migrations/0003_networks.sql"),
    include_str!("migrations/0004_addresses.sql"),
    include_str!("migrations/0005_network_rates.sql"),
    include_str!("migrations/0006_identity_key.sql"),
    include_str!("migrations/0007_more_interfaces.sql"),
    include_str!("migrations/0008_volumes.sql"),
    include_str!("migrations/0009_image_attributes.sql"),
    include_str!("migrations/0010_volume_limits.sql"),
    include_str!("migrations/0011_snapshot_drafts.sql"),
    include_str!("migrations/0012_product_codes.sql"),
    include_str!("migrations/0013_export_tasks.sql"),
    include_str!("migrations/0014_instance_store.sql"),
    include_str!("migrations/0015_instance_attributes.sql"),
    include_str!("migrations/0016_launch_templates.sql"),
    include_str!("migrations/0017_more_attributes.sql"),
    include_str!("migrations/0018_access_keys.sql"),
    include_str!("migrations/0019_replace_root_volume_tasks.sql"),
    include_str!("migrations/0020_image_sources.sql"),
];

/// Brings the database up to date, each migration in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenStoreError> {
    let sqlite = |source| OpenStoreError::Sqlite {
        path: path.into(),
        source,
    };
    let had: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(sqlite)?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if had > known {
        return Err(OpenStoreError::Newer {
            path: path.into(),
            version: had,
            known,
        });
    }
    for (number, sql) in (1_u32..).zip(MIGRATIONS).filter(|(number, _)| *number > had) {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sqlite)?;
        transaction.execute_batch(sql).map_err(sqlite)?;
        transaction
            .pragma_update(None, "user_version", number)
            .map_err(sqlite)?;
        transaction.commit().map_err(sqlite)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_a_newer_program_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 1000).unwrap();
        let error = migrate(&mut connection, Path::new("kiln.db")).unwrap_err();
        assert!(matches!(error, OpenStoreError::Newer { .. }), "{error}");
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("kiln.db")).unwrap();
        migrate(&mut connection, Path::new("kiln.db")).unwrap();
        let version: u32 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(version as usize, MIGRATIONS.len());
    }
}
