//! DescribeRegions, DescribeAvailabilityZones: one of each, this host's, as the configuration names them.

use super::filter::{Filter, Filters};
use super::{ApiError, Call, Code, Operation};
use crate::api::shown::shown;
use crate::config::Place;
use serde::{Deserialize, Serialize};

/// The operations of this file.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::new("DescribeRegions", regions),
        Operation::new("DescribeAvailabilityZones", zones),
    ]
}

/// What EC2 says of a region or zone that every account has.
const OPT_IN: &str = "opt-in-not-required";

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct DescribeRegions {
    region_names: Vec<String>,
    filters: Vec<Filter>,
    /// Whether to list regions that the account has not opted into, too; there are none.
    #[serde(rename = "AllRegions")]
    _all_regions: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedRegions {
    regions: Vec<Region>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Region {
    region_name: String,
    opt_in_status: &'static str,
}

async fn regions(call: Call, request: DescribeRegions) -> Result<DescribedRegions, ApiError> {
    let filters = Filters::new(request.filters, &["endpoint", "opt-in-status", "region-name"], false)?;
    let here = call.world.config.place.region();
    must_be_here("region", &request.region_names, &[here])?;
    let values = |name: &str| match name {
        "opt-in-status" => vec![OPT_IN.to_owned()],
        "region-name" => vec![here.to_owned()],
        // Where this host is asked is not told: clients know.
        _ => Vec::new(),
    };
    let region = filters.pass(values, []).then(|| Region {
        region_name: here.into(),
        opt_in_status: OPT_IN,
    });
    Ok(DescribedRegions {
        regions: region.into_iter().collect(),
    })
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct DescribeAvailabilityZones {
    zone_names: Vec<String>,
    zone_ids: Vec<String>,
    filters: Vec<Filter>,
    /// As for regions.
    #[serde(rename = "AllAvailabilityZones")]
    _all_availability_zones: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedZones {
    availability_zones: Vec<Zone>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Zone {
    zone_name: String,
    zone_id: String,
    region_name: String,
    group_name: String,
    network_border_group: String,
    zone_type: &'static str,
    state: &'static str,
    opt_in_status: &'static str,
}

const ZONE_FILTERS: [&str; 11] = [
    "group-long-name",
    "group-name",
    "message",
    "opt-in-status",
    "parent-zone-id",
    "parent-zone-name",
    "region-name",
    "state",
    "zone-id",
    "zone-name",
    "zone-type",
];

async fn zones(call: Call, request: DescribeAvailabilityZones) -> Result<DescribedZones, ApiError> {
    let filters = Filters::new(request.filters, &ZONE_FILTERS, false)?;
    let place = &call.world.config.place;
    let zone = Zone {
        zone_name: place.zone().into(),
        zone_id: zone_id(place),
        region_name: place.region().into(),
        group_name: place.region().into(),
        network_border_group: place.region().into(),
        zone_type: "availability-zone",
        state: "available",
        opt_in_status: OPT_IN,
    };
    must_be_here("availability zone", &request.zone_names, &[&zone.zone_name])?;
    must_be_here("availability zone ID", &request.zone_ids, &[&zone.zone_id])?;
    let values = |name: &str| {
        let value = match name {
            "opt-in-status" => zone.opt_in_status,
            "state" => zone.state,
            "zone-id" => &zone.zone_id,
            "zone-name" => &zone.zone_name,
            "zone-type" => zone.zone_type,
            "group-name" | "region-name" => &zone.region_name,
            // It is part of no other, and there is nothing to say of it.
            _ => return Vec::new(),
        };
        vec![value.to_owned()]
    };
    let passes = filters.pass(values, []);
    Ok(DescribedZones {
        availability_zones: passes.then_some(zone).into_iter().collect(),
    })
}

/// `local-1-az1` for `local-1a`.
pub(super) fn zone_id(place: &Place) -> String {
    let (region, zone) = (place.region(), place.zone());
    let number = zone.bytes().last().map_or(1, |letter| letter.saturating_sub(b'a') + 1);
    format!("{region}-az{number}")
}

/// Refuses names of places that are not this one.
fn must_be_here(what: &str, asked: &[String], here: &[&str]) -> Result<(), ApiError> {
    match asked.iter().find(|name| !here.contains(&name.as_str())) {
        Some(name) => {
            let message = format!(
                "Invalid {what}: [{}]; this host is {}",
                name.escape_debug(),
                here.join(", ")
            );
            Err(ApiError::new(Code::InvalidParameterValue, message))
        }
        None => Ok(()),
    }
}

/// Refuses a zone, by its name or its identifier, that is not this host's.
///
/// # Errors
/// `code`.
pub(super) fn zone_must_be_here(
    place: &Place,
    (name, id): (Option<&str>, Option<&str>),
    code: Code,
) -> Result<(), ApiError> {
    let here = zone_id(place);
    let elsewhere = name
        .filter(|name| *name != place.zone())
        .or_else(|| id.filter(|id| *id != here));
    match elsewhere {
        Some(zone) => {
            let shown = shown(zone);
            let message = format!(
                "Value ({shown}) for parameter availabilityZone is invalid. This host is {} ({here})",
                place.zone()
            );
            Err(ApiError::new(code, message))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestWorld;
    use serde_json::json;

    #[tokio::test]
    async fn there_is_one_region_with_one_zone() {
        let world = TestWorld::new().await;
        let regions = world
            .call("DescribeRegions", json!({"RegionNames": ["local-1"]}))
            .await
            .unwrap();
        assert_eq!(regions["Regions"][0]["RegionName"], "local-1");
        let zones = world
            .call("DescribeAvailabilityZones", json!({"ZoneIds": ["local-1-az1"]}))
            .await
            .unwrap();
        assert_eq!(zones["AvailabilityZones"][0]["ZoneName"], "local-1a");
        let filter = json!({"Filters": [{"Name": "region-name", "Values": ["eu-*"]}]});
        assert_eq!(
            world.call("DescribeRegions", filter).await.unwrap(),
            json!({"Regions": []})
        );
        let refused = world
            .refused("DescribeRegions", json!({"RegionNames": ["eu-west-1"]}))
            .await;
        assert_eq!(refused, "InvalidParameterValue");
    }
}
