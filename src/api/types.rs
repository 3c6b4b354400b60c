//! DescribeInstanceTypes, DescribeInstanceTypeOfferings: the types of `instance-types.toml`.

use super::filter::{Filter, Filters};
use super::paging::{MAX_RESULTS, Page};
use super::places::zone_id;
use super::{ApiError, Call, Code, Operation};
use crate::config::InstanceTypeSpec;
use crate::model::{GB, InstanceStore};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// The operations of this file.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::new("DescribeInstanceTypes", describe),
        Operation::new("DescribeInstanceTypeOfferings", offerings),
    ]
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct DescribeInstanceTypes {
    instance_types: Vec<String>,
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
    /// Whether to list types that the region lacks, too; there are none.
    #[serde(rename = "IncludeUnsupportedInRegion")]
    _include_unsupported_in_region: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedTypes {
    instance_types: Vec<InstanceTypeInfo>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceTypeInfo {
    instance_type: String,
    current_generation: bool,
    free_tier_eligible: bool,
    supported_usage_classes: [&'static str; 1],
    supported_root_device_types: [&'static str; 1],
    supported_virtualization_types: [&'static str; 1],
    supported_boot_modes: [&'static str; 1],
    bare_metal: bool,
    hypervisor: &'static str,
    processor_info: ProcessorInfo,
    v_cpu_info: VCpuInfo,
    memory_info: MemoryInfo,
    network_info: NetworkInfo,
    instance_storage_supported: bool,
    instance_storage_info: Option<InstanceStorageInfo>,
    hibernation_supported: bool,
    burstable_performance_supported: bool,
    dedicated_hosts_supported: bool,
    auto_recovery_supported: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProcessorInfo {
    supported_architectures: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct VCpuInfo {
    default_v_cpus: u32,
    default_cores: u32,
    default_threads_per_core: u32,
    valid_cores: Vec<u32>,
    valid_threads_per_core: Vec<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MemoryInfo {
    size_in_mi_b: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkInfo {
    network_performance: String,
    maximum_network_cards: u32,
    ipv6_supported: bool,
}

impl NetworkInfo {
    fn of(spec: &InstanceTypeSpec) -> Self {
        let performance = match spec.network_mbps.map(NonZeroU32::get) {
            Some(rate) if rate.is_multiple_of(1000) => format!("{} Gigabit", rate / 1000),
            Some(rate) => format!("{rate} Megabit"),
            None => "As fast as the host".into(),
        };
        Self {
            network_performance: performance,
            maximum_network_cards: 1,
            ipv6_supported: false,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceStorageInfo {
    total_size_in_g_b: u64,
    disks: [DiskInfo; 1],
    nvme_support: &'static str,
    encryption_support: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DiskInfo {
    size_in_g_b: u64,
    count: u8,
    r#type: &'static str,
}

impl From<InstanceStore> for InstanceStorageInfo {
    fn from(store: InstanceStore) -> Self {
        let (size, count) = (store.disk_size / GB, store.disks.get());
        Self {
            total_size_in_g_b: size.saturating_mul(count.into()),
            disks: [DiskInfo {
                size_in_g_b: size,
                count,
                r#type: "ssd",
            }],
            // They are disks of virtio, and lie on the host's as they are.
            nvme_support: "unsupported",
            encryption_support: "unsupported",
        }
    }
}

impl InstanceStorageInfo {
    fn filter_value(&self, name: &str) -> String {
        let [disks] = &self.disks;
        match name {
            "disk.count" => disks.count.to_string(),
            "disk.size-in-gb" => disks.size_in_g_b.to_string(),
            "disk.type" => disks.r#type.into(),
            "encryption-support" => self.encryption_support.into(),
            "nvme-support" => self.nvme_support.into(),
            _ => self.total_size_in_g_b.to_string(),
        }
    }
}

/// What machines of this host are made for.
const ARCHITECTURE: &str = "x86_64";

impl From<&InstanceTypeSpec> for InstanceTypeInfo {
    fn from(spec: &InstanceTypeSpec) -> Self {
        Self {
            instance_type: spec.name.clone(),
            current_generation: true,
            free_tier_eligible: false,
            supported_usage_classes: ["on-demand"],
            supported_root_device_types: ["ebs"],
            supported_virtualization_types: ["hvm"],
            supported_boot_modes: ["legacy-bios"],
            bare_metal: false,
            hypervisor: "nitro",
            processor_info: ProcessorInfo {
                supported_architectures: [ARCHITECTURE],
            },
            v_cpu_info: VCpuInfo {
                default_v_cpus: spec.vcpus,
                default_cores: spec.vcpus / spec.threads_per_core.max(1),
                default_threads_per_core: spec.threads_per_core,
                valid_cores: (1..=spec.vcpus / spec.threads_per_core.max(1)).collect(),
                valid_threads_per_core: (1..=spec.threads_per_core).collect(),
            },
            memory_info: MemoryInfo {
                size_in_mi_b: spec.memory_mib,
            },
            network_info: NetworkInfo::of(spec),
            instance_storage_supported: spec.instance_store.is_some(),
            instance_storage_info: spec.instance_store.map(Into::into),
            hibernation_supported: false,
            burstable_performance_supported: spec.burstable,
            dedicated_hosts_supported: false,
            auto_recovery_supported: false,
        }
    }
}

const TYPE_FILTERS: [&str; 56] = [
    "auto-recovery-supported",
    "bare-metal",
    "burstable-performance-supported",
    "current-generation",
    "dedicated-hosts-supported",
    "ebs-info.attachment-limit-type",
    "ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps",
    "ebs-info.ebs-optimized-info.baseline-iops",
    "ebs-info.ebs-optimized-info.baseline-throughput-in-mbps",
    "ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps",
    "ebs-info.ebs-optimized-info.maximum-iops",
    "ebs-info.ebs-optimized-info.maximum-throughput-in-mbps",
    "ebs-info.ebs-optimized-support",
    "ebs-info.encryption-support",
    "ebs-info.maximum-ebs-attachments",
    "ebs-info.nvme-support",
    "free-tier-eligible",
    "hibernation-supported",
    "hypervisor",
    "instance-storage-info.disk.count",
    "instance-storage-info.disk.size-in-gb",
    "instance-storage-info.disk.type",
    "instance-storage-info.encryption-support",
    "instance-storage-info.nvme-support",
    "instance-storage-info.total-size-in-gb",
    "instance-storage-supported",
    "instance-type",
    "memory-info.size-in-mib",
    "network-info.bandwidth-weightings",
    "network-info.efa-info.maximum-efa-interfaces",
    "network-info.efa-supported",
    "network-info.ena-support",
    "network-info.encryption-in-transit-supported",
    "network-info.flexible-ena-queues-support",
    "network-info.ipv4-addresses-per-interface",
    "network-info.ipv6-addresses-per-interface",
    "network-info.ipv6-supported",
    "network-info.maximum-network-cards",
    "network-info.maximum-network-interfaces",
    "network-info.network-performance",
    "nitro-enclaves-support",
    "nitro-tpm-info.supported-versions",
    "nitro-tpm-support",
    "processor-info.supported-architecture",
    "processor-info.supported-features",
    "processor-info.sustained-clock-speed-in-ghz",
    "reboot-migration-support",
    "supported-boot-mode",
    "supported-root-device-type",
    "supported-usage-class",
    "supported-virtualization-type",
    "vcpu-info.default-cores",
    "vcpu-info.default-threads-per-core",
    "vcpu-info.default-vcpus",
    "vcpu-info.valid-cores",
    "vcpu-info.valid-threads-per-core",
];

impl InstanceTypeInfo {
    fn filter_value(&self, name: &str) -> Vec<String> {
        if let Some(name) = name.strip_prefix("instance-storage-info.") {
            let info = self.instance_storage_info.iter();
            return info.map(|info| info.filter_value(name)).collect();
        }
        vec![match name {
            "auto-recovery-supported" => self.auto_recovery_supported.to_string(),
            "bare-metal" => self.bare_metal.to_string(),
            "burstable-performance-supported" => self.burstable_performance_supported.to_string(),
            "current-generation" => self.current_generation.to_string(),
            "dedicated-hosts-supported" => self.dedicated_hosts_supported.to_string(),
            "free-tier-eligible" => self.free_tier_eligible.to_string(),
            "hibernation-supported" => self.hibernation_supported.to_string(),
            "hypervisor" => self.hypervisor.into(),
            "instance-storage-supported" => self.instance_storage_supported.to_string(),
            "instance-type" => self.instance_type.clone(),
            "memory-info.size-in-mib" => self.memory_info.size_in_mi_b.to_string(),
            "processor-info.supported-architecture" => ARCHITECTURE.into(),
            "supported-boot-mode" => "legacy-bios".into(),
            "supported-root-device-type" => "ebs".into(),
            "supported-usage-class" => "on-demand".into(),
            "supported-virtualization-type" => "hvm".into(),
            "vcpu-info.default-cores" => self.v_cpu_info.default_cores.to_string(),
            "vcpu-info.default-vcpus" => self.v_cpu_info.default_v_cpus.to_string(),
            "vcpu-info.default-threads-per-core" => self.v_cpu_info.default_threads_per_core.to_string(),
            "vcpu-info.valid-cores" => return texts(&self.v_cpu_info.valid_cores),
            "vcpu-info.valid-threads-per-core" => return texts(&self.v_cpu_info.valid_threads_per_core),
            "network-info.ipv6-supported" => self.network_info.ipv6_supported.to_string(),
            "network-info.maximum-network-cards" => self.network_info.maximum_network_cards.to_string(),
            "network-info.network-performance" => self.network_info.network_performance.clone(),
            // What only EC2's own machines have.
            _ => return Vec::new(),
        }]
    }
}

fn texts(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(ToString::to_string).collect()
}

async fn describe(call: Call, request: DescribeInstanceTypes) -> Result<DescribedTypes, ApiError> {
    let filters = Filters::new(request.filters, &TYPE_FILTERS, false)?;
    let asked = &request.instance_types;
    let (token, size) = (request.next_token.as_deref(), request.max_results);
    let page = Page::new(call.digest, token, size, &(5..=100), !asked.is_empty())?;
    let types = &call.world.types;
    let unknown: Vec<&str> = asked
        .iter()
        .map(String::as_str)
        .filter(|name| types.get(name).is_none())
        .collect();
    if !unknown.is_empty() {
        let shown: String = unknown
            .join(", ")
            .chars()
            .take(256)
            .flat_map(char::escape_debug)
            .collect();
        let message = format!("The following supplied instance types do not exist: [{shown}]");
        return Err(ApiError::new(Code::InvalidInstanceType, message));
    }
    let chosen = types
        .iter()
        .filter(|spec| asked.is_empty() || asked.contains(&spec.name));
    let passing = chosen
        .map(InstanceTypeInfo::from)
        .filter(|info| filters.pass(|name| info.filter_value(name), []));
    let (instance_types, next_token) = page.cut(passing, |info| info.instance_type.clone());
    Ok(DescribedTypes {
        instance_types,
        next_token,
    })
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct DescribeInstanceTypeOfferings {
    location_type: Option<String>,
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedOfferings {
    instance_type_offerings: Vec<Offering>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Offering {
    instance_type: String,
    location_type: String,
    location: String,
}

async fn offerings(call: Call, request: DescribeInstanceTypeOfferings) -> Result<DescribedOfferings, ApiError> {
    let filters = Filters::new(request.filters, &["instance-type", "location"], false)?;
    let (token, size) = (request.next_token.as_deref(), request.max_results);
    let page = Page::new(call.digest, token, size, &MAX_RESULTS, false)?;
    let place = &call.world.config.place;
    let location_type = request.location_type.unwrap_or_else(|| "region".into());
    let location = match location_type.as_str() {
        "region" => Some(place.region().to_owned()),
        "availability-zone" => Some(place.zone().to_owned()),
        "availability-zone-id" => Some(zone_id(place)),
        // An outpost is a place that this host has none of.
        _ => None,
    };
    let all = call.world.types.iter().filter_map(|spec| {
        Some(Offering {
            instance_type: spec.name.clone(),
            location_type: location_type.clone(),
            location: location.clone()?,
        })
    });
    let passing = all.filter(|offering| {
        let values = |name: &str| match name {
            "location" => vec![offering.location.clone()],
            _ => vec![offering.instance_type.clone()],
        };
        filters.pass(values, [])
    });
    let (instance_type_offerings, next_token) = page.cut(passing, |offering| offering.instance_type.clone());
    Ok(DescribedOfferings {
        instance_type_offerings,
        next_token,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestWorld;
    use serde_json::json;

    #[tokio::test]
    async fn types_are_those_of_the_configuration() {
        let world = TestWorld::new().await;
        let answer = world
            .call("DescribeInstanceTypes", json!({"InstanceTypes": ["t3.micro"]}))
            .await
            .unwrap();
        let micro = &answer["InstanceTypes"][0];
        assert_eq!(micro["VCpuInfo"]["DefaultVCpus"], 2);
        assert_eq!(micro["MemoryInfo"]["SizeInMiB"], 1024);
        assert_eq!(micro["BurstablePerformanceSupported"], true);
        assert_eq!(micro["NetworkInfo"]["NetworkPerformance"], "As fast as the host");
        let refused = world
            .refused(
                "DescribeInstanceTypes",
                json!({"InstanceTypes": ["t3.micro", "z9.huge"]}),
            )
            .await;
        assert_eq!(refused, "InvalidInstanceType");
    }

    #[tokio::test]
    async fn types_with_disks_of_their_own_say_what_they_are() {
        let world = TestWorld::new().await;
        let filters = |name: &str, value: &str| json!({"Filters": [{"Name": name, "Values": [value]}]});
        let with = filters("instance-storage-info.total-size-in-gb", "600");
        let answer = world.call("DescribeInstanceTypes", with).await.unwrap();
        let types = answer["InstanceTypes"].as_array().unwrap();
        let found: Vec<_> = types.iter().map(|one| one["InstanceType"].as_str().unwrap()).collect();
        assert_eq!(found, ["m5d.4xlarge", "r5d.4xlarge"]);
        assert_eq!(
            types[0]["InstanceStorageInfo"],
            json!({
                "TotalSizeInGB": 600, "Disks": [{"SizeInGB": 300, "Count": 2, "Type": "ssd"}],
                "NvmeSupport": "unsupported", "EncryptionSupport": "unsupported",
            })
        );
        let without = filters("instance-storage-supported", "false");
        let answer = world.call("DescribeInstanceTypes", without).await.unwrap();
        for one in answer["InstanceTypes"].as_array().unwrap() {
            assert_eq!(one.get("InstanceStorageInfo"), None, "{one}");
        }
    }

    #[tokio::test]
    async fn types_are_filtered_and_come_in_pages() {
        let world = TestWorld::new().await;
        let two = json!({"Filters": [{"Name": "vcpu-info.default-vcpus", "Values": ["2"]}], "MaxResults": 5});
        let answer = world.call("DescribeInstanceTypes", two).await.unwrap();
        let types = answer["InstanceTypes"].as_array().unwrap();
        assert_eq!(types.len(), 5);
        assert!(types.iter().all(|one| one["VCpuInfo"]["DefaultVCpus"] == 2));
        assert!(answer["NextToken"].is_string());
        assert_eq!(
            world.refused("DescribeInstanceTypes", json!({"MaxResults": 4})).await,
            "InvalidParameterValue"
        );
    }

    #[tokio::test]
    async fn an_offering_is_in_the_region_and_in_its_zone() {
        let world = TestWorld::new().await;
        for (location_type, location) in [("region", 1), ("availability-zone", 1), ("outpost", 0)] {
            let request = json!({
                "LocationType": location_type,
                "Filters": [{"Name": "instance-type", "Values": ["t3.micro"]}, {"Name": "location", "Values": ["local-1*"]}],
            });
            let answer = world.call("DescribeInstanceTypeOfferings", request).await.unwrap();
            assert_eq!(
                answer["InstanceTypeOfferings"].as_array().unwrap().len(),
                location,
                "{location_type}"
            );
        }
    }
}
