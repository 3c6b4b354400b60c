//! Reservations, by which launches are idempotent: a token stands with what it launched.

use super::StoreError;
use super::columns::Micros;
use crate::model::{Reservation, ReservationId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use time::OffsetDateTime;

fn read(row: &Row<'_>) -> rusqlite::Result<Reservation> {
    Ok(Reservation {
        id: row.get("id")?,
        client_token: row.get("client_token")?,
        request_digest: row.get("request_digest")?,
        created: row.get::<_, Micros>("created")?.0,
    })
}

/// Adds a reservation.
///
/// # Errors
/// The database's; a second one with the same token is one.
pub fn add(connection: &Connection, reservation: &Reservation) -> Result<(), StoreError> {
    let sql = "INSERT INTO reservations (id, client_token, request_digest, created) VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute(params![
        reservation.id,
        reservation.client_token,
        reservation.request_digest,
        Micros(reservation.created),
    ])?;
    Ok(())
}

/// The reservation of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: ReservationId) -> Result<Option<Reservation>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM reservations WHERE id = ?1")?;
    Ok(statement.query_row([id], read).optional()?)
}

/// The reservation that was made with that token.
///
/// # Errors
/// The database's.
pub fn by_token(connection: &Connection, token: &str) -> Result<Option<Reservation>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM reservations WHERE client_token = ?1")?;
    Ok(statement.query_row([token], read).optional()?)
}

/// Removes the reservations that are older than `before` and have no instance left.
///
/// # Errors
/// The database's.
pub fn remove_empty(connection: &Connection, before: OffsetDateTime) -> Result<(), StoreError> {
    let sql = "DELETE FROM reservations WHERE created < ?1 \
               AND NOT EXISTS (SELECT 1 FROM instances WHERE instances.reservation = reservations.id)";
    connection.prepare_cached(sql)?.execute([Micros(before)])?;
    Ok(())
}
