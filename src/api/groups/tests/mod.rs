//! Security groups and prefix lists, through the API, in a real store.

mod groups;
mod lists;
mod rules;

use super::super::testing::TestWorld;
use serde_json::{Value, json};

/// The text under a key, an identifier mostly.
fn text(value: &Value, key: &str) -> String {
    let text = value[key].as_str();
    text.unwrap_or_else(|| panic!("No {key} in {value}")).to_owned()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v Vec<Value> {
    let list = value[key].as_array();
    list.unwrap_or_else(|| panic!("No list {key} in {value}"))
}

async fn make_vpc(world: &TestWorld) -> String {
    let made = world
        .call("CreateVpc", json!({"CidrBlock": "10.0.0.0/16"}))
        .await
        .unwrap();
    text(&made["Vpc"], "VpcId")
}

/// Makes a group in the default VPC.
async fn make_group(world: &TestWorld, name: &str) -> String {
    let request = json!({"GroupName": name, "Description": "For a test"});
    let made = world.call("CreateSecurityGroup", request).await.unwrap();
    text(&made, "GroupId")
}

/// Makes a list of IPv4 blocks.
async fn make_list(world: &TestWorld, blocks: &[&str]) -> String {
    let entries: Vec<Value> = blocks.iter().map(|block| json!({"Cidr": block})).collect();
    let request = json!({
        "PrefixListName": "offices", "AddressFamily": "IPv4", "MaxEntries": 3, "Entries": entries,
    });
    let made = world.call("CreateManagedPrefixList", request).await.unwrap();
    text(&made["PrefixList"], "PrefixListId")
}

/// A permission for a TCP port.
fn tcp(port: u16, ranges: &[&str]) -> Value {
    let ranges: Vec<Value> = ranges.iter().map(|block| json!({"CidrIp": block})).collect();
    json!({"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": ranges})
}

/// Lets in what the permissions say; gives the rules that were made.
async fn authorize(world: &TestWorld, group: &str, permissions: Value) -> Vec<Value> {
    let request = json!({"GroupId": group, "IpPermissions": permissions});
    let answer = world.call("AuthorizeSecurityGroupIngress", request).await.unwrap();
    list(&answer, "SecurityGroupRules").clone()
}

/// A group as it is described.
async fn describe(world: &TestWorld, group: &str) -> Value {
    let answer = world
        .call("DescribeSecurityGroups", json!({"GroupIds": [group]}))
        .await
        .unwrap();
    answer["SecurityGroups"][0].clone()
}
