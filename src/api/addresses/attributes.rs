//! DescribeAddressesAttribute: the names of addresses in the DNS of the world, of which there are none here.

use super::super::listing::{Asked, Kind, Shown, list};
use super::super::tagging::WireTag;
use super::super::{ApiError, Call};
use super::describe::ADDRESSES;
use crate::model::AllocationId;
use crate::store;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

const KIND: Kind = Kind {
    filters: &[],
    max_results: 1..=1000,
    ..ADDRESSES
};

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct DescribeAddressesAttribute {
    allocation_ids: Vec<String>,
    /// The only one that there is.
    #[serde(rename = "Attribute")]
    _attribute: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    addresses: Vec<WireAttribute>,
    next_token: Option<String>,
}

/// `AddressAttribute`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireAttribute {
    allocation_id: String,
    public_ip: String,
}

impl Shown for WireAttribute {
    fn id(&self) -> &str {
        &self.allocation_id
    }

    fn tags(&self) -> &[WireTag] {
        &[]
    }

    fn values(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

pub(super) async fn describe(call: Call, request: DescribeAddressesAttribute) -> Result<Described, ApiError> {
    let asked = Asked::new(
        request.allocation_ids,
        Vec::new(),
        request.max_results,
        request.next_token,
    );
    let read = |store: &Connection| {
        let all = store::addresses::list(store)?.into_iter().map(|address| WireAttribute {
            allocation_id: address.id.to_string(),
            public_ip: address.address.to_string(),
        });
        Ok(all.collect())
    };
    let (addresses, next_token) = list::<AllocationId, _, _>(&call, asked, &KIND, read).await?;
    Ok(Described { addresses, next_token })
}
