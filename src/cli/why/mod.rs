//! Why an instance can't be reached: the steps of `kiln why`. [`guest`] looks at the machine and what runs in it, [`paths`] at
//! what the network lets through.

mod guest;
mod paths;

use super::Context;
use super::api::{Instance, view};
use super::checks::Finding;
use super::error::CommandError;
use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::{Value, json};

/// What is to be reached, and from where.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// The TCP port.
    pub port: u16,
    /// The addresses; those of the instance's VPC if none.
    pub from: Option<Ipv4Net>,
}

/// Where an instance is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Place {
    #[serde(default)]
    subnet_id: Option<String>,
    #[serde(default)]
    vpc_id: Option<String>,
    #[serde(default)]
    public_ip_address: Option<String>,
    #[serde(default)]
    security_groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Group {
    group_id: String,
    group_name: String,
}

/// Looks at each step.
///
/// # Errors
/// The daemon can't be asked.
pub async fn explain(context: &Context, instance: &Instance, ask: Ask) -> Result<Vec<Finding>, CommandError> {
    let mut findings = vec![guest::state(instance)];
    if instance.state.name == "running" {
        findings.extend(guest::boot(context, instance).await?);
        findings.push(guest::answers(context, instance).await?);
    }
    let request = json!({"InstanceIds": [instance.instance_id]});
    let answer = context.client.call("DescribeInstances", &request).await?;
    let described = answer.pointer("/Reservations/0/Instances/0").cloned();
    let place: Place = view("DescribeInstances", described.unwrap_or_default())?;
    if let (Some(subnet), Some(vpc)) = (&place.subnet_id, &place.vpc_id) {
        let vpcs = context.client.call("DescribeVpcs", &json!({"VpcIds": [vpc]})).await?;
        let block = vpcs.pointer("/Vpcs/0/CidrBlock").and_then(Value::as_str);
        let block: Ipv4Net = block.and_then(|text| text.parse().ok()).unwrap_or_default();
        let request = json!({"SubnetIds": [subnet]});
        let subnets = context.client.call("DescribeSubnets", &request).await?;
        let own = subnets.pointer("/Subnets/0/CidrBlock").and_then(Value::as_str);
        let way = paths::Way {
            port: ask.port,
            from: ask.from.unwrap_or(block),
            block,
            subnet: own.and_then(|text| text.parse().ok()).unwrap_or(block),
        };
        findings.push(route(context, way, (subnet, vpc), &place).await?);
        findings.push(groups(context, way, &place).await?);
        findings.push(acl(context, way, subnet).await?);
    }
    if instance.state.name == "running" {
        findings.push(guest::port(context, instance, ask.port).await?);
    }
    if ask.port == guest::SSH {
        findings.extend(guest::keys(context, instance).await?);
    }
    Ok(findings)
}

async fn route(
    context: &Context,
    way: paths::Way,
    (subnet, vpc): (&str, &str),
    place: &Place,
) -> Result<Finding, CommandError> {
    let ask = async |filters: Value| -> Result<Value, CommandError> {
        let request = json!({ "Filters": filters });
        let answer = context.client.call("DescribeRouteTables", &request).await?;
        Ok(answer.pointer("/RouteTables/0").cloned().unwrap_or_default())
    };
    let own = ask(json!([{"Name": "association.subnet-id", "Values": [subnet]}])).await?;
    let table = match own {
        Value::Null => {
            ask(json!([{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}])).await?
        }
        own => own,
    };
    let table = view("DescribeRouteTables", table)?;
    Ok(paths::route(way, &table, place.public_ip_address.as_deref()))
}

async fn groups(context: &Context, way: paths::Way, place: &Place) -> Result<Finding, CommandError> {
    let ids: Vec<&str> = place
        .security_groups
        .iter()
        .map(|group| group.group_id.as_str())
        .collect();
    let request = json!({"Filters": [{"Name": "group-id", "Values": ids}]});
    let answer = super::api::pages(
        &context.client,
        "DescribeSecurityGroupRules",
        &request,
        "SecurityGroupRules",
    )
    .await?;
    let rules = answer.get("SecurityGroupRules").cloned().unwrap_or_default();
    let rules: Vec<paths::Rule> = view("DescribeSecurityGroupRules", rules)?;
    let group = place.security_groups.first().map_or("GROUP", |group| &group.group_name);
    Ok(paths::groups(way, &rules, group))
}

async fn acl(context: &Context, way: paths::Way, subnet: &str) -> Result<Finding, CommandError> {
    let request = json!({"Filters": [{"Name": "association.subnet-id", "Values": [subnet]}]});
    let answer = context.client.call("DescribeNetworkAcls", &request).await?;
    let entries = answer
        .pointer("/NetworkAcls/0/Entries")
        .cloned()
        .unwrap_or_else(|| json!([]));
    let id = answer.pointer("/NetworkAcls/0/NetworkAclId").and_then(Value::as_str);
    Ok(paths::acl(
        way,
        view("DescribeNetworkAcls", entries)?,
        id.unwrap_or_default(),
    ))
}
