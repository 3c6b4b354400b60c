//! What is asked of the tables whose rows note the client token that they were made with, whatever the rows are.

/// The queries of a table that has the columns `client_token` and `request_digest`.
macro_rules! queries {
    ($table:literal, $id:ident) => {
        /// Notes the token that a row was made with, and the digest of the request.
        ///
        /// # Errors
        /// The database's; a token that made another one is one.
        pub fn set_token(connection: &Connection, id: $id, token: &str, digest: &str) -> Result<(), StoreError> {
            let sql = concat!(
                "UPDATE ",
                $table,
                " SET client_token = ?2, request_digest = ?3 WHERE id = ?1"
            );
            connection
                .prepare_cached(sql)?
                .execute(params![id, token, digest])?;
            Ok(())
        }

        /// The id of the row that was made with that token, and the digest of the request.
        ///
        /// # Errors
        /// The database's.
        pub fn by_token(connection: &Connection, token: &str) -> Result<Option<($id, String)>, StoreError> {
            let sql = concat!(
                "SELECT id, request_digest FROM ",
                $table,
                " WHERE client_token = ?1"
            );
            let mut statement = connection.prepare_cached(sql)?;
            let read = |row: &Row<'_>| Ok((row.get("id")?, row.get("request_digest")?));
            Ok(statement.query_row([token], read).optional()?)
        }
    };
}

pub(super) use queries;
