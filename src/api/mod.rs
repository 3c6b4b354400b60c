//! EC2's operations: one file a family, `request → checks → actors and store → answer`.
//!
//! Called by `wire`, with requests that were checked against EC2's model. A handler is an
//! `async fn(Call, Request) -> Result<Answer, ApiError>`; `Request` and `Answer` are small serde structs in PascalCase
//! with the members that kiln serves, turned into `model` types with `TryFrom` before anything is done. Handlers run in
//! tasks of their own: a client that hangs up interrupts none.

pub mod access_keys;
mod account;
mod addresses;
mod attribute;
pub mod call;
mod change;
pub mod direct;
pub mod error;
mod exports;
mod files;
pub mod filter;
mod found;
mod groups;
mod hotplug;
pub mod ids;
mod images;
mod imports;
pub mod instance_connect;
mod instance_store;
mod instances;
pub mod instant;
mod interfaces;
mod keys;
mod listing;
pub mod operation;
pub mod paging;
pub mod parameters;
mod permissions;
mod places;
pub mod shown;
mod snapshots;
pub mod tagging;
mod tags;
mod tasks;
mod templates;
#[cfg(test)]
pub(crate) mod testing;
pub mod token;
mod types;
mod volumes;
mod vpcs;
mod world;

pub use call::{Call, Caller, RequestId};
pub use error::{ApiError, Code};
pub use operation::{Operation, Operations};
pub use world::{OpenWorldError, World};

/// The rows of all families.
#[must_use]
pub fn operations() -> Operations {
    Operations::new(
        [
            account::rows(),
            addresses::rows(),
            exports::rows(),
            groups::rows(),
            images::rows(),
            imports::rows(),
            instances::rows(),
            interfaces::rows(),
            keys::rows(),
            places::rows(),
            snapshots::rows(),
            tags::rows(),
            templates::rows(),
            types::rows(),
            volumes::rows(),
            vpcs::rows(),
        ]
        .into_iter()
        .flatten(),
    )
}
