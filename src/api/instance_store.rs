//! What requests say of instance store: the mappings of RegisterImage, CreateImage and RunInstances that name a disk of
//! the instance's type instead of a volume.

use super::{ApiError, Code};
use crate::api::shown::shown;
use crate::model::InstanceStoreMapping;

/// A mapping with a `VirtualName`, if it is not a volume's, too.
pub(super) fn mapping(
    device_name: String,
    virtual_name: &str,
    has_ebs: bool,
) -> Result<InstanceStoreMapping, ApiError> {
    if has_ebs {
        return Err(invalid(format!(
            "The device {device_name} is a volume (Ebs) or a disk of the instance's type (VirtualName), not both"
        )));
    }
    let virtual_name = virtual_name.parse().map_err(|error| {
        let shown = shown(virtual_name);
        invalid(format!(
            "Invalid virtual name '{shown}' of the device {device_name}: {error}"
        ))
    })?;
    Ok(InstanceStoreMapping {
        virtual_name,
        device_name,
    })
}

/// Refuses two names for one disk, and two disks of one name.
pub(super) fn once_each(mappings: &[InstanceStoreMapping]) -> Result<(), ApiError> {
    for (place, one) in mappings.iter().enumerate() {
        let contradicts = |other: &&InstanceStoreMapping| {
            other.virtual_name == one.virtual_name || other.device_name == one.device_name
        };
        if let Some(other) = mappings.iter().skip(place + 1).find(contradicts) {
            return Err(invalid(format!(
                "{} as {} and {} as {} contradict one another: leave one of them out, with NoDevice if it is the image's",
                one.virtual_name, one.device_name, other.virtual_name, other.device_name
            )));
        }
    }
    Ok(())
}

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::InvalidBlockDeviceMapping, message)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestWorld, file, stopped_instance};
    use crate::instance::Facts;
    use crate::model::{InstanceId, ResourceId};
    use crate::store::{self, StoreError};
    use serde_json::{Value, json};
    use std::time::Duration;

    /// Two types, one with a disk of 1 GB.
    const TYPES: &str = "[x1]\nthreads_per_core = 1\nsizes.nano = { vcpus = 1, memory_mib = 128 }\n[x1d]\nthreads_per_core = 1\n\
                         sizes.nano = { vcpus = 1, memory_mib = 128, instance_store = { disks = 1, disk_gb = 1 } }\n";

    struct Lab {
        world: TestWorld,
        snapshot: String,
        _types: tempfile::NamedTempFile,
    }

    impl Lab {
        async fn new() -> Self {
            let types = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(types.path(), TYPES).unwrap();
            let path = types.path().to_owned();
            let world = TestWorld::with(|config| config.capacity.instance_types = Some(path)).await;
            let request = json!({"DiskContainer": {"Format": "raw", "Url": "fd:0"}});
            let task = world
                .call_with("ImportSnapshot", request, vec![file(b"disk", 1 << 20)])
                .await;
            let task = world.ended(&task.unwrap()).await;
            let snapshot = task["SnapshotTaskDetail"]["SnapshotId"].as_str().unwrap().to_owned();
            Self {
                world,
                snapshot,
                _types: types,
            }
        }

        fn register(&self, name: &str, more: &[Value]) -> Value {
            let mut mappings = vec![json!({"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": self.snapshot}})];
            mappings.extend_from_slice(more);
            json!({"Name": name, "RootDeviceName": "/dev/sda1", "BlockDeviceMappings": mappings})
        }

        async fn image(&self, more: &[Value]) -> Value {
            let made = self.world.call("RegisterImage", self.register("stored", more)).await;
            made.unwrap()["ImageId"].clone()
        }

        /// The virtual names of an image, by device name.
        async fn mapped(&self, image: &Value) -> Vec<(String, String)> {
            let shown = self
                .world
                .call("DescribeImages", json!({"ImageIds": [image]}))
                .await
                .unwrap();
            let shown = shown["Images"][0]["BlockDeviceMappings"].as_array().unwrap().clone();
            let asked = json!({"ImageId": image, "Attribute": "blockDeviceMapping"});
            let attribute = self.world.call("DescribeImageAttribute", asked).await.unwrap();
            assert_eq!(attribute["BlockDeviceMappings"], json!(shown));
            let text = |one: &Value, member: &str| Some(one.get(member)?.as_str()?.to_owned());
            let named = shown
                .iter()
                .filter_map(|one| Some((text(one, "DeviceName")?, text(one, "VirtualName")?)));
            named.collect()
        }
    }

    fn disk(device: &str, name: &str) -> Value {
        json!({"DeviceName": device, "VirtualName": name})
    }

    fn pair(device: &str, name: &str) -> (String, String) {
        (device.into(), name.into())
    }

    #[tokio::test]
    async fn an_image_carries_the_names_of_disks_and_so_does_its_copy() {
        let lab = Lab::new().await;
        let mut both = disk("/dev/sdb", "ephemeral0");
        both["Ebs"] = json!({"SnapshotId": lab.snapshot});
        for wrong in [
            &[disk("/dev/sdb", "ephemeral24")][..],
            &[disk("/dev/sdb", "swap")],
            &[json!({"VirtualName": "ephemeral0"})],
            &[disk("/dev/sda1", "ephemeral0")],
            &[disk("/dev/sdb", "ephemeral0"), disk("/dev/sdb", "ephemeral1")],
            &[disk("/dev/sdb", "ephemeral0"), disk("/dev/sdc", "ephemeral0")],
            &[both],
        ] {
            let refused = lab.world.refused("RegisterImage", lab.register("wrong", wrong)).await;
            assert_eq!(refused, "InvalidBlockDeviceMapping", "{wrong:?}");
        }
        let image = lab
            .image(&[disk("/dev/sdb", "ephemeral0"), disk("/dev/sdc", "ephemeral23")])
            .await;
        let names = [pair("/dev/sdb", "ephemeral0"), pair("/dev/sdc", "ephemeral23")];
        assert_eq!(lab.mapped(&image).await, names);
        let filter = json!({"Filters": [{"Name": "block-device-mapping.device-name", "Values": ["/dev/sdc"]}]});
        let found = lab.world.call("DescribeImages", filter).await.unwrap();
        assert_eq!(found["Images"].as_array().unwrap().len(), 1);
        let copy = json!({"SourceImageId": image, "SourceRegion": "local-1", "Name": "copy"});
        let copy = lab.world.call("CopyImage", copy).await.unwrap();
        assert_eq!(lab.mapped(&copy["ImageId"]).await, names);
    }

    /// The names that an instance has on record.
    async fn names(world: &TestWorld, id: InstanceId) -> Vec<(String, String)> {
        let read = world
            .world
            .store
            .read(move |tx| store::instance_store::of(tx, ResourceId::Instance(id)));
        let mappings = read.await.unwrap().into_iter();
        mappings
            .map(|one| (one.device_name, one.virtual_name.to_string()))
            .collect()
    }

    #[tokio::test]
    async fn a_launch_names_disks_as_its_image_and_its_request_say_and_leaves_no_file() {
        let lab = Lab::new().await;
        let image = lab
            .image(&[disk("/dev/sdb", "ephemeral0"), disk("/dev/sdc", "ephemeral1")])
            .await;
        let request = |mappings: &[Value]| {
            json!({
                "ImageId": image, "InstanceType": "x1d.nano", "MinCount": 1, "MaxCount": 1,
                "BlockDeviceMappings": mappings,
            })
        };
        let none = |device: &str| json!({"DeviceName": device, "NoDevice": ""});
        let volume = |device: &str| json!({"DeviceName": device, "Ebs": {"VolumeSize": 1}});
        let full: Vec<Value> = (b'd'..=b'v')
            .map(|letter| volume(&format!("/dev/sd{}", char::from(letter))))
            .collect();
        for wrong in [
            &[disk("/dev/sdd", "ephemeral0")][..],
            &[disk("/dev/sda", "ephemeral2")],
            &[disk("/dev/nvme0", "ephemeral2")],
            &[disk("", "ephemeral2")],
            &[disk("/dev/sdd", "floppy0")],
            // 19 and the root: the disk has the place of the twentieth.
            &full,
        ] {
            let refused = lab.world.refused("RunInstances", request(wrong)).await;
            assert_eq!(refused, "InvalidBlockDeviceMapping", "{wrong:?}");
        }
        for (said, expected) in [
            (
                &[][..],
                &[pair("/dev/sdb", "ephemeral0"), pair("/dev/sdc", "ephemeral1")][..],
            ),
            (&[none("/dev/sdb")], &[pair("/dev/sdc", "ephemeral1")]),
            (&[volume("/dev/xvdb")], &[pair("/dev/sdc", "ephemeral1")]),
            (
                &[disk("/dev/sdd", "ephemeral0"), none("/dev/sdb")],
                &[pair("/dev/sdc", "ephemeral1"), pair("/dev/sdd", "ephemeral0")],
            ),
        ] {
            let launched = lab.world.call("RunInstances", request(said)).await.unwrap();
            let instance = &launched["Instances"][0];
            let id: InstanceId = instance["InstanceId"].as_str().unwrap().parse().unwrap();
            assert_eq!(names(&lab.world, id).await, expected);
            let mut watch = lab.world.world.instances.watch(id).unwrap();
            let gone = watch.wait_for(|view| view.state.name() == "terminated");
            tokio::time::timeout(Duration::from_secs(60), gone)
                .await
                .unwrap()
                .unwrap();
            let owner = id.to_string();
            let ledger = lab
                .world
                .world
                .store
                .read(move |tx| store::ledger::of(tx, &owner))
                .await
                .unwrap();
            assert_eq!(ledger.len(), 1, "There is more than the folder: {ledger:?}");
            let folder = std::fs::read_dir(lab.world.world.layout.instance_dir(id)).unwrap();
            let files: Vec<_> = folder.map(|file| file.unwrap().file_name()).collect();
            assert!(
                files.iter().all(|name| !name.to_string_lossy().contains("ephemeral")),
                "{files:?}"
            );
        }
        let mut allowed = request(&full);
        allowed["InstanceType"] = "x1.nano".into();
        lab.world.call("RunInstances", allowed).await.unwrap();
    }

    /// A stopped instance that has one disk, and names for two.
    async fn with_disk(world: TestWorld) -> (TestWorld, InstanceId) {
        let id = stopped_instance(&world).await;
        let written = world.world.store.write(move |store| {
            let sql =
                "UPDATE instances SET instance_store_disks = 1, instance_store_disk_size = 1000000000 WHERE id = ?1";
            store.execute(sql, [id])?;
            let mapping = |disk, device| super::mapping(String::from(device), disk, false);
            let mappings = [mapping("ephemeral0", "/dev/sdb"), mapping("ephemeral5", "/dev/sdc")].map(Result::unwrap);
            store::instance_store::put(store, ResourceId::Instance(id), &mappings)
        });
        written.await.unwrap();
        (world.restart().await, id)
    }

    #[tokio::test]
    async fn a_disk_keeps_its_name_from_volumes_and_gives_it_to_images() {
        let (world, id) = with_disk(TestWorld::new().await).await;
        let made = json!({"AvailabilityZone": "local-1a", "Size": 1});
        let volume = world.call("CreateVolume", made).await.unwrap()["VolumeId"].clone();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let state = json!({"VolumeIds": [volume]});
        while world.call("DescribeVolumes", state.clone()).await.unwrap()["Volumes"][0]["State"] != "available" {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let attach = |device: &str| json!({"VolumeId": volume, "InstanceId": id.to_string(), "Device": device});
        for taken in ["/dev/sdb", "xvdb"] {
            assert_eq!(
                world.refused("AttachVolume", attach(taken)).await,
                "InvalidParameterValue"
            );
        }
        // The instance has no sixth disk, so that name is free.
        world.call("AttachVolume", attach("/dev/sdc")).await.unwrap();
        let facts = world
            .world
            .store
            .read(move |tx| Facts::read(tx, id))
            .await
            .unwrap()
            .unwrap();
        let told = facts.leaves(&world.world.config.place);
        assert_eq!(told["meta-data/block-device-mapping/ephemeral0"], "sdb");
        assert_eq!(told["meta-data/block-device-mapping/ebs1"], "sdc");
        assert_eq!(told.get("meta-data/block-device-mapping/ephemeral5"), None);

        let create = |name: &str, mappings: &[Value]| json!({"InstanceId": id.to_string(), "Name": name, "BlockDeviceMappings": mappings});
        for wrong in [
            disk("/dev/sdd", "ephemeral0"),
            disk("/dev/sda1", "ephemeral1"),
            disk("/dev/sd?", "ephemeral1"),
        ] {
            let refused = world.refused("CreateImage", create("wrong", &[wrong])).await;
            assert_eq!(refused, "InvalidBlockDeviceMapping");
        }
        let none = json!({"DeviceName": "/dev/sdb", "NoDevice": ""});
        for (name, said, expected) in [
            ("same", vec![], vec![pair("/dev/sdb", "ephemeral0")]),
            ("none", vec![none.clone()], vec![]),
            (
                "moved",
                vec![none, disk("/dev/sde", "ephemeral0")],
                vec![pair("/dev/sde", "ephemeral0")],
            ),
            (
                "instead",
                vec![disk("/dev/sdc", "ephemeral1")],
                vec![pair("/dev/sdb", "ephemeral0"), pair("/dev/sdc", "ephemeral1")],
            ),
        ] {
            let made = world.call("CreateImage", create(name, &said)).await.unwrap();
            let image = made["ImageId"].as_str().unwrap().parse().unwrap();
            let image = world
                .world
                .store
                .read(move |tx| store::images::get(tx, image))
                .await
                .unwrap()
                .unwrap();
            let mappings = image.instance_store.into_iter();
            let found: Vec<_> = mappings
                .map(|one| (one.device_name, one.virtual_name.to_string()))
                .collect();
            assert_eq!(found, expected, "{name}");
            assert_eq!(image.block_devices.is_empty(), name == "instead");
        }
    }

    #[tokio::test]
    async fn what_a_killed_daemon_left_of_a_disk_goes_with_the_next_one() {
        let (world, id) = with_disk(TestWorld::new().await).await;
        let path = world.world.layout.instance_store(id, "ephemeral0".parse().unwrap());
        let files = world.world.volumes.files();
        files.create_dir(&id.to_string(), path.parent().unwrap()).await.unwrap();
        files.create_sparse(&id.to_string(), &path, 1 << 20).await.unwrap();
        let world = world.restart().await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while path.exists() {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ledger = async || {
            let read = world
                .world
                .store
                .read(move |tx| Ok::<_, StoreError>(store::ledger::of(tx, &id.to_string())?.len()));
            read.await.unwrap()
        };
        while ledger().await > 1 {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
