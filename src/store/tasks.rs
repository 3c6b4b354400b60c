//! What is asked of the tables of tasks, whatever the tasks do.

/// The queries of a table of tasks, for a module that has `read`, which makes a task of a row.
macro_rules! queries {
    ($table:literal, $task:ident, $id:ident) => {
        /// The task of that id.
        ///
        /// # Errors
        /// The database's.
        pub fn get(connection: &Connection, id: $id) -> Result<Option<$task>, StoreError> {
            let sql = concat!("SELECT * FROM ", $table, " WHERE id = ?1");
            let mut statement = connection.prepare_cached(sql)?;
            Ok(rusqlite::OptionalExtension::optional(
                statement.query_row([id], read),
            )?)
        }

        /// The task that was begun with that token.
        ///
        /// # Errors
        /// The database's.
        pub fn by_token(connection: &Connection, token: &str) -> Result<Option<$task>, StoreError> {
            let sql = concat!("SELECT * FROM ", $table, " WHERE client_token = ?1");
            let mut statement = connection.prepare_cached(sql)?;
            Ok(rusqlite::OptionalExtension::optional(
                statement.query_row([token], read),
            )?)
        }

        /// All tasks, by id.
        ///
        /// # Errors
        /// The database's.
        pub fn list(connection: &Connection) -> Result<Vec<$task>, StoreError> {
            let sql = concat!("SELECT * FROM ", $table, " ORDER BY id");
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        }
    };
}

/// For tables whose tasks are forgotten when they have been over for long.
macro_rules! forgetting {
    ($table:literal) => {
        /// Forgets the tasks that ended and were begun before `before`, with their tags.
        ///
        /// # Errors
        /// The database's.
        pub fn forget_ended(connection: &Connection, before: time::OffsetDateTime) -> Result<(), StoreError> {
            let sql = concat!(
                "DELETE FROM ",
                $table,
                " WHERE state <> 'active' AND created < ?1 RETURNING id"
            );
            let mut statement = connection.prepare_cached(sql)?;
            let forgotten = statement.query_map([Micros(before)], |row| row.get::<_, crate::model::ResourceId>(0))?;
            for id in forgotten.collect::<Result<Vec<_>, _>>()? {
                super::tags::remove_all(connection, id)?;
            }
            Ok(())
        }
    };
}

pub(super) use {forgetting, queries};
