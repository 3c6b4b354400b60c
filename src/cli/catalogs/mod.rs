//! Catalogs: indices of images that others made, subscribed to by name. `kiln catalog` keeps the subscriptions, `kiln pull`
//! brings an image here.
//!
//! All of it is the command's own doing, with the rights of who runs it: the daemon makes no connection for anybody. An
//! index comes over HTTPS or out of a local folder (`fetch`), is checked (`signature`), read into types that can't be
//! wrong (`index`) and kept (`held`). A disk is fetched into a cache file that survives being broken off (`download`),
//! verified as a whole, and then imported as any file of the user's is. docs/catalog.md describes the format.

mod address;
mod download;
mod error;
mod fetch;
mod folders;
mod held;
mod http;
mod index;
mod offers;
mod signature;
mod subscriptions;
#[cfg(test)]
mod testing;

pub use download::download;
pub use error::CatalogError;
pub use fetch::fetch;
pub use folders::Folders;
pub use held::{forget, keep, read};
pub use http::Http;
pub use index::category;
pub use offers::{Offered, find, offered};
pub use subscriptions::{Source, Subscription, Subscriptions};

/// The tag of an image that says which disk it was made of.
pub const DIGEST_TAG: &str = "kiln:digest";
/// The tag of an image that says which catalog it came from.
pub const CATALOG_TAG: &str = "kiln:catalog";
