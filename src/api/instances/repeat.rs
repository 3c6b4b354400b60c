//! RunInstances asked for again by its token: the first answer, whatever has become since of what it was launched of.

use super::super::token::ClientToken;
use super::super::{ApiError, Call};
use super::wire::{Described, WireReservation};
use crate::config::Place;
use crate::model::{Instance, ReservationId};
use crate::store;
use rusqlite::Connection;

/// The answer to the launch that was made with this token, if there was one.
///
/// # Errors
/// `IdempotentParameterMismatch` if that was another launch.
pub(super) async fn answered(call: &Call, token: Option<String>) -> Result<Option<WireReservation>, ApiError> {
    let Some(token) = ClientToken::new(token, call.digest)? else {
        return Ok(None);
    };
    let place = call.world.config.place.clone();
    let read = call.world.store.read(move |store| {
        let Some(reservation) = store::reservations::by_token(store, &token.token)? else {
            return Ok(None);
        };
        token.same_request(&reservation.request_digest)?;
        let instances = store::instances::of_reservation(store, reservation.id)?;
        described(store, &place, reservation.id, instances).map(Some)
    });
    read.await
}

/// A launch, as RunInstances answers it.
pub(super) fn described(
    store: &Connection,
    place: &Place,
    reservation: ReservationId,
    instances: Vec<Instance>,
) -> Result<WireReservation, ApiError> {
    let instances = instances
        .into_iter()
        .map(|instance| Ok(Described::read(store, instance)?.to_wire(place)))
        .collect::<Result<_, ApiError>>()?;
    Ok(WireReservation::new(reservation, place, instances))
}
