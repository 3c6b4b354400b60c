//! DescribeAccountAttributes: what there is of an account's limits and defaults.

use super::interfaces::MAX_GROUPS;
use super::{ApiError, Call, Code, Operation};
use crate::api::shown::shown;
use crate::store;
use serde::{Deserialize, Serialize};

/// The operations of this file.
pub fn rows() -> Vec<Operation> {
    vec![Operation::new("DescribeAccountAttributes", describe)]
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct DescribeAccountAttributes {
    attribute_names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedAttributes {
    account_attributes: Vec<AccountAttribute>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccountAttribute {
    attribute_name: &'static str,
    attribute_values: [AttributeValue; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttributeValue {
    attribute_value: String,
}

async fn describe(call: Call, request: DescribeAccountAttributes) -> Result<DescribedAttributes, ApiError> {
    let default_vpc = call.world.store.read(store::vpcs::default).await?;
    let pool = call.world.config.network.public_pool.iter();
    let addresses: usize = pool.map(|block| block.hosts().count()).sum();
    // An instance has one vCPU at least: no more than these can run beside each other.
    let instances = call.world.instances.parts().capacity.vcpus;
    let all = [
        ("supported-platforms", "VPC".to_owned()),
        (
            "default-vpc",
            default_vpc.map_or_else(|| "none".into(), |vpc| vpc.id.to_string()),
        ),
        ("max-instances", instances.to_string()),
        ("vpc-max-security-groups-per-interface", MAX_GROUPS.to_string()),
        ("max-elastic-ips", addresses.to_string()),
        ("vpc-max-elastic-ips", addresses.to_string()),
    ];
    let known = |name: &String| all.iter().any(|(known, _)| known == name);
    if let Some(unknown) = request.attribute_names.iter().find(|name| !known(name)) {
        let shown = shown(unknown);
        let message = format!("Value ({shown}) for parameter attributeName is invalid: there is no such attribute");
        return Err(ApiError::new(Code::InvalidParameterValue, message));
    }
    call.checked()?;
    let wanted =
        |name: &str| request.attribute_names.is_empty() || request.attribute_names.iter().any(|one| one == name);
    let shown = all.into_iter().filter(|(name, _)| wanted(name));
    let shown = shown.map(|(attribute_name, attribute_value)| AccountAttribute {
        attribute_name,
        attribute_values: [AttributeValue { attribute_value }],
    });
    Ok(DescribedAttributes {
        account_attributes: shown.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestWorld;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn an_account_says_its_default_vpc_and_its_limits() {
        let pool =
            |config: &mut crate::config::Config| config.network.public_pool = vec!["192.0.2.8/30".parse().unwrap()];
        let test = TestWorld::with(pool).await;
        let values = async |request: Value| {
            let answer = test.call("DescribeAccountAttributes", request).await.unwrap();
            let all = answer["AccountAttributes"].as_array().unwrap().clone();
            let value = |one: &Value| {
                (
                    one["AttributeName"].clone(),
                    one["AttributeValues"][0]["AttributeValue"].clone(),
                )
            };
            all.iter().map(value).collect::<Vec<_>>()
        };
        let vpcs = json!({"Filters": [{"Name": "is-default", "Values": ["true"]}]});
        let vpcs = test.call("DescribeVpcs", vpcs).await.unwrap();
        let vpc = vpcs["Vpcs"][0]["VpcId"].clone();
        let one = values(json!({"AttributeNames": ["default-vpc"]})).await;
        assert_eq!(one, [(json!("default-vpc"), vpc)]);
        let all = values(json!({})).await;
        assert_eq!(all.len(), 6);
        for (name, value) in [
            ("supported-platforms", json!("VPC")),
            ("vpc-max-security-groups-per-interface", json!("5")),
            ("vpc-max-elastic-ips", json!("2")),
        ] {
            assert!(all.contains(&(json!(name), value)), "{all:?}");
        }
    }
}
