//! The parts of the API's answers that the command looks at, and lists that come in pages.

use super::client::Client;
use super::error::CommandError;
use crate::model::ImageOwner;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// An instance, as far as it is shown.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Instance {
    /// `i-…`.
    pub instance_id: String,
    /// The image it came of.
    #[serde(default)]
    pub image_id: String,
    /// Its state.
    pub state: State,
    /// Its type.
    #[serde(default)]
    pub instance_type: String,
    /// When it was last started.
    #[serde(default)]
    pub launch_time: String,
    /// Its address in its VPC.
    #[serde(default)]
    pub private_ip_address: Option<String>,
    /// Its address outside.
    #[serde(default)]
    pub public_ip_address: Option<String>,
    /// The key pair that it was launched with.
    #[serde(default)]
    pub key_name: Option<String>,
    /// Why it is in its state.
    #[serde(default)]
    pub state_reason: Option<StateReason>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// A state with EC2's name.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct State {
    /// `running` and so on.
    pub name: String,
}

/// Why an instance is in its state.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StateReason {
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// A tag.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// An image, as far as it is shown.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    /// `ami-…`.
    pub image_id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// `machine`, or `kernel` or `ramdisk` for what some images carry.
    #[serde(default)]
    pub image_type: String,
    /// `available` and so on.
    #[serde(default)]
    pub state: String,
    /// `amazon` for Quick Start images.
    #[serde(default)]
    pub image_owner_alias: Option<String>,
    /// The account that it is of.
    #[serde(default)]
    pub owner_id: String,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// `x86_64`.
    #[serde(default)]
    pub architecture: String,
    /// When it was registered.
    #[serde(default)]
    pub creation_date: String,
    /// Which of its devices is the root.
    #[serde(default)]
    pub root_device_name: Option<String>,
    /// Its devices.
    #[serde(default)]
    pub block_device_mappings: Vec<BlockDevice>,
    /// The kernel that it carries.
    #[serde(default)]
    pub kernel_id: Option<String>,
}

/// A device of an image.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BlockDevice {
    /// `/dev/sda1`.
    #[serde(default)]
    pub device_name: String,
    /// Its volume.
    #[serde(default)]
    pub ebs: Option<Ebs>,
}

/// The volume of an image's device.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ebs {
    /// In GiB.
    #[serde(default)]
    pub volume_size: Option<u64>,
}

impl Instance {
    /// The tag `Name`; empty when there is none.
    pub fn name(&self) -> &str {
        self.tags
            .iter()
            .find(|tag| tag.key == "Name")
            .map_or("", |tag| &tag.value)
    }

    /// What to call it when talking to its owner: its name, else its identifier.
    pub fn handle(&self) -> &str {
        if self.name().is_empty() {
            &self.instance_id
        } else {
            self.name()
        }
    }

    /// Why it is in its state; empty when nothing is said.
    pub fn reason(&self) -> &str {
        self.state_reason.as_ref().map_or("", |reason| &reason.message)
    }

    /// Whether it is gone for good.
    pub fn is_terminated(&self) -> bool {
        self.state.name == "terminated"
    }
}

impl Image {
    /// Whether instances can be made of it; it is no kernel or RAM disk image.
    pub fn is_machine(&self) -> bool {
        matches!(self.image_type.as_str(), "machine" | "")
    }

    /// Whether it is this owner's, who is not the account itself.
    pub fn is_of(&self, owner: ImageOwner) -> bool {
        match owner {
            ImageOwner::Account => false,
            ImageOwner::Other(account) => self.image_owner_alias.is_none() && self.owner_id == account.to_string(),
            _ => self.image_owner_alias.as_deref() == owner.alias(),
        }
    }

    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        let tag = self.tags.iter().find(|tag| tag.key == key)?;
        Some(&tag.value)
    }

    /// The root volume's size in GiB.
    pub fn size(&self) -> Option<u64> {
        let is_root = |device: &&BlockDevice| Some(&device.device_name) == self.root_device_name.as_ref();
        self.block_device_mappings
            .iter()
            .find(is_root)?
            .ebs
            .as_ref()?
            .volume_size
    }
}

/// Turns an answer, or a part of one, into the view of it.
pub fn view<T: DeserializeOwned>(operation: &str, value: Value) -> Result<T, CommandError> {
    serde_json::from_value(value).map_err(|error| CommandError::Answer {
        request: operation.into(),
        source: error.into(),
    })
}

/// All pages of a list, as one answer: the member `list` of each page joined.
pub async fn pages(client: &Client, operation: &str, request: &Value, list: &str) -> Result<Value, CommandError> {
    let mut request = request.clone();
    let mut whole = client.call(operation, &request).await?;
    while let Some(token) = whole.get("NextToken").filter(|token| !token.is_null()).cloned() {
        request["NextToken"] = token;
        let mut page = client.call(operation, &request).await?;
        let next = page.get("NextToken").cloned().unwrap_or_default();
        if let (Some(Value::Array(all)), Some(Value::Array(more))) = (whole.get_mut(list), page.get_mut(list)) {
            all.append(more);
        }
        whole["NextToken"] = next;
    }
    if let Some(members) = whole.as_object_mut() {
        members.remove("NextToken");
    }
    Ok(whole)
}

/// The instances of a DescribeInstances answer.
pub fn instances_of(answer: &Value) -> Result<Vec<Instance>, CommandError> {
    let reservations = answer
        .get("Reservations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let instances = reservations
        .filter_map(|reservation| reservation.get("Instances")?.as_array())
        .flatten();
    instances
        .map(|instance| view("DescribeInstances", instance.clone()))
        .collect()
}

/// Every instance there is.
pub async fn instances(client: &Client) -> Result<Vec<Instance>, CommandError> {
    instances_of(&pages(client, "DescribeInstances", &json!({}), "Reservations").await?)
}

/// One instance.
pub async fn instance(client: &Client, id: &str) -> Result<Instance, CommandError> {
    let answer = client
        .call("DescribeInstances", &json!({ "InstanceIds": [id] }))
        .await?;
    instances_of(&answer)?.pop().ok_or_else(|| CommandError::NotFound {
        noun: "instance",
        name: id.into(),
        alike: Vec::new(),
        advice: "kiln ps -a lists all".into(),
    })
}

/// Every image there is.
pub async fn images(client: &Client) -> Result<Vec<Image>, CommandError> {
    let answer = pages(client, "DescribeImages", &json!({}), "Images").await?;
    view(
        "DescribeImages",
        answer.get("Images").cloned().unwrap_or_else(|| json!([])),
    )
}

/// A security group, as far as the command has to know one.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Group {
    /// `sg-…`.
    pub group_id: String,
    /// Its name, which groups of other VPCs may have too.
    pub group_name: String,
}

/// Every security group there is.
pub async fn groups(client: &Client) -> Result<Vec<Group>, CommandError> {
    let answer = pages(client, "DescribeSecurityGroups", &json!({}), "SecurityGroups").await?;
    let groups = answer.get("SecurityGroups").cloned();
    view("DescribeSecurityGroups", groups.unwrap_or_else(|| json!([])))
}

/// A step of an instance's last start.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Milestone {
    /// `request`, `volume`, `monitor`, `kernel`, `init` or `login`.
    pub stage: String,
    /// When it was reached, RFC 3339.
    pub time: String,
}

/// The steps of an instance's last start, as the daemon has them.
pub async fn timeline(client: &Client, id: &str) -> Result<Value, CommandError> {
    client.get(&format!("/instances/{id}/timeline")).await
}

/// The view of a timeline.
pub fn milestones(timeline: &Value) -> Result<Vec<Milestone>, CommandError> {
    view(
        "timeline",
        timeline.get("Timeline").cloned().unwrap_or_else(|| json!([])),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_called_by_its_name_where_it_has_one() {
        let answer = json!({"Reservations": [{"Instances": [
            {"InstanceId": "i-1", "State": {"Name": "running", "Code": 16}, "Tags": [{"Key": "Name", "Value": "web"}]},
            {"InstanceId": "i-2", "State": {"Name": "stopped", "Code": 80}, "StateReason": {"Code": "x", "Message": "why"}},
        ]}, {"Instances": []}]});
        let instances = instances_of(&answer).unwrap();
        assert_eq!(
            instances.iter().map(Instance::handle).collect::<Vec<_>>(),
            ["web", "i-2"]
        );
        assert_eq!(instances[1].reason(), "why");
    }

    #[test]
    fn an_answer_that_is_not_one_is_an_error() {
        assert!(instances_of(&json!({"Reservations": [{"Instances": [{"InstanceId": 5}]}]})).is_err());
    }

    #[test]
    fn the_size_of_an_image_is_its_roots() {
        let image: Image = view(
            "DescribeImages",
            json!({
                "ImageId": "ami-1", "RootDeviceName": "/dev/sda1",
                "BlockDeviceMappings": [
                    {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 100}},
                    {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8}},
                ],
            }),
        )
        .unwrap();
        assert_eq!(image.size(), Some(8));
    }
}
