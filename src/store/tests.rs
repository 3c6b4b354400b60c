//! The store against a real database on disk.

use super::*;
use crate::model::*;
use proptest::prelude::*;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;
use time::OffsetDateTime;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap()
}

/// None of them as it is when nothing is said.
fn attributes() -> InstanceAttributes {
    InstanceAttributes {
        protection: Protection {
            termination: true,
            stop: true,
        },
        ebs_optimized: true,
        ena_support: true,
        sriov_net_support: true,
        monitoring: true,
        auto_recovery: Upkeep::Disabled,
        reboot_migration: Upkeep::Disabled,
        private_name: PrivateName {
            hostname_type: HostnameType::ResourceName,
            a_record: true,
            aaaa_record: true,
        },
        cpu_credits: Some(CpuCredits::Standard),
    }
}

fn instance(reservation: &Reservation, index: u32) -> Instance {
    Instance {
        id: InstanceId::from_random(random_bits()),
        reservation: reservation.id,
        client_token: reservation.client_token.clone(),
        launch_index: index,
        image: ImageId::from_random(7),
        instance_type: InstanceType {
            name: "t3.micro".into(),
            vcpus: 2,
            threads_per_core: 2,
            memory: GIB,
            network_mbps: std::num::NonZeroU32::new(100),
            instance_store: Some(InstanceStore {
                disks: std::num::NonZeroU8::MIN,
                disk_size: 75 * GB,
            }),
        },
        architecture: Architecture::X86_64,
        kernel: None,
        ramdisk: None,
        root_device_name: "/dev/sda1".into(),
        state: InstanceState::Pending,
        reason: None,
        ran: true,
        rebooting: false,
        launched: now(),
        terminated: None,
        shutdown_behavior: ShutdownBehavior::Stop,
        user_data: Some(vec![0, 255, 10]),
        key: Some(LaunchKey {
            name: "k".parse().unwrap(),
            public_key: "ssh-ed25519 AAAA k".into(),
        }),
        metadata_options: MetadataOptions {
            tokens_required: false,
            ..MetadataOptions::default()
        },
        attributes: attributes(),
    }
}

fn reservation(token: Option<&str>) -> Reservation {
    Reservation {
        id: ReservationId::from_random(random_bits()),
        client_token: token.map(Into::into),
        request_digest: "d".into(),
        created: now(),
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("kiln.db")).unwrap();
    (dir, store)
}

#[tokio::test]
async fn an_instance_reads_back_as_it_was_written() {
    let (_dir, store) = store();
    let launch = reservation(Some("token"));
    let mut written = instance(&launch, 3);
    written.state = InstanceState::Stopped;
    written.reason = Some(StateReason {
        code: ReasonCode::InternalError,
        detail: "Gone".into(),
        at: now(),
    });
    written.terminated = Some(now());
    let copy = written.clone();
    store
        .write(move |tx| {
            reservations::add(tx, &launch)?;
            instances::add(tx, &copy)
        })
        .await
        .unwrap();
    let id = written.id;
    let read = store.read(move |tx| instances::get(tx, id)).await.unwrap();
    assert_eq!(read, Some(written));
}

#[tokio::test]
async fn a_write_that_fails_leaves_nothing_and_takes_no_other_with_it() {
    let (_dir, store) = store();
    let one = reservation(Some("same"));
    let two = reservation(Some("same"));
    let three = reservation(Some("other"));
    let add = |launch: Reservation| {
        let volume = Volume {
            id: VolumeId::from_random(random_bits()),
            size: GIB,
            snapshot: None,
            state: VolumeState::Creating,
            limits: crate::model::VolumeLimits::default(),
            created: now(),
        };
        store.write(move |tx| {
            volumes::add(tx, &volume)?;
            reservations::add(tx, &launch)
        })
    };
    let (one, two, three) = tokio::join!(add(one), add(two), add(three));
    assert!(
        one.is_ok() && two.is_err() && three.is_ok(),
        "{one:?} {two:?} {three:?}"
    );
    let left = store.read(volumes::list).await.unwrap();
    assert_eq!(left.len(), 2, "The volume of the write that failed must not be there");
}

#[tokio::test]
async fn a_write_that_panics_is_undone_and_the_store_goes_on() {
    let (_dir, store) = store();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let died: Result<(), StoreError> = store.write(|_| panic!("a bug")).await;
    std::panic::set_hook(hook);
    assert!(matches!(died, Err(StoreError::Gone)));
    let launch = reservation(None);
    store.write(move |tx| reservations::add(tx, &launch)).await.unwrap();
}

#[tokio::test]
async fn a_reader_can_not_write() {
    let (_dir, store) = store();
    let launch = reservation(None);
    assert!(store.read(move |tx| reservations::add(tx, &launch)).await.is_err());
}

#[tokio::test]
async fn reads_go_on_while_a_write_takes_its_time() {
    let (_dir, store) = store();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let slow = {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .write(move |_| {
                    let _ = wait.recv();
                    Ok::<_, StoreError>(())
                })
                .await
        })
    };
    let read = tokio::time::timeout(Duration::from_secs(10), store.read(instances::list)).await;
    assert!(read.expect("a read waits for the writer").unwrap().is_empty());
    release.send(()).unwrap();
    slow.await.unwrap().unwrap();
}

#[tokio::test]
async fn user_ids_are_given_once_and_given_back() {
    let (_dir, store) = store();
    let launch = reservation(None);
    let instances: Vec<Instance> = (0..3).map(|index| instance(&launch, index)).collect();
    let ids: Vec<InstanceId> = instances.iter().map(|instance| instance.id).collect();
    let given = store
        .write(move |tx| {
            reservations::add(tx, &launch)?;
            for instance in &instances {
                instances::add(tx, instance)?;
            }
            let mut given = Vec::new();
            for &id in &ids {
                given.push(machines::record(tx, id, "boot", 500..502)?);
            }
            machines::forget(tx, ids[0])?;
            given.push(machines::record(tx, ids[2], "boot", 500..502)?);
            Ok::<_, StoreError>(given)
        })
        .await
        .unwrap();
    assert_eq!(given, [Some(500), Some(501), None, Some(500)]);
}

#[tokio::test]
async fn an_image_with_its_devices_reads_back_and_holds_its_snapshot() {
    let (_dir, store) = store();
    let snapshot = Snapshot {
        id: SnapshotId::from_random(1),
        size: GIB,
        volume: None,
        state: SnapshotState::Completed,
        state_message: None,
        description: None,
        digest: Some("00".into()),
        created: now(),
    };
    let image = Image {
        id: ImageId::from_random(2),
        name: "debian-12".into(),
        description: None,
        owner: ImageOwner::QuickStart,
        state: ImageState::Available,
        state_reason: None,
        architecture: Architecture::X86_64,
        root_device_name: "/dev/sda1".into(),
        block_devices: vec![BlockDevice {
            device_name: "/dev/sda1".into(),
            snapshot: snapshot.id,
            size: GIB,
            delete_on_termination: true,
        }],
        instance_store: vec![InstanceStoreMapping {
            virtual_name: "ephemeral1".parse().unwrap(),
            device_name: "/dev/sdb".into(),
        }],
        kernel: None,
        ramdisk: None,
        source: crate::model::ImageSource {
            image: Some(ImageId::from_random(3)),
            instance: None,
        },
        attributes: crate::model::ImageAttributes::default(),
        created: now(),
    };
    let (written, id) = (image.clone(), snapshot.id);
    store
        .write(move |tx| {
            snapshots::put(tx, &snapshot)?;
            images::put(tx, &written)
        })
        .await
        .unwrap();
    assert_eq!(store.read(images::list).await.unwrap(), std::slice::from_ref(&image));
    assert!(
        store.write(move |tx| snapshots::remove(tx, id)).await.is_err(),
        "An image needs the snapshot"
    );
    let image = image.id;
    store.write(move |tx| images::remove(tx, image)).await.unwrap();
    store.write(move |tx| snapshots::remove(tx, id)).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn tags_hold_any_text(key in "\\PC{1,127}", value in "\\PC{0,255}") {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection, Path::new("kiln.db")).unwrap();
        let resource = ResourceId::Instance(InstanceId::from_random(1));
        let tag = Tag { key, value };
        tags::put(&connection, resource, &tag).unwrap();
        tags::put(&connection, resource, &tag).unwrap();
        prop_assert_eq!(tags::of(&connection, resource).unwrap(), vec![tag.clone()]);
        tags::remove(&connection, resource, &tag.key, Some("another value\0")).unwrap();
        prop_assert_eq!(tags::list(&connection).unwrap().len(), 1);
        tags::remove(&connection, resource, &tag.key, None).unwrap();
        prop_assert!(tags::list(&connection).unwrap().is_empty());
    }
}

#[test]
#[ignore = "what_was_answered_survives_a_kill runs it as another process, and kills it"]
fn writer_that_will_be_killed() {
    let Some(path) = std::env::var_os("KILN_TEST_DOOMED_DB") else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Store::open(Path::new(&path)).unwrap();
        loop {
            let launch = reservation(None);
            let id = launch.id;
            let instance = instance(&launch, 0);
            let written = store.write(move |tx| {
                reservations::add(tx, &launch)?;
                instances::add(tx, &instance)
            });
            written.await.unwrap();
            println!("answered {id}");
        }
    });
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kiln.db");
    let mut answered = Vec::new();
    for round in 1..=8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "store::tests::writer_that_will_be_killed",
                "--exact",
                "--nocapture",
                "--ignored",
            ])
            .env("KILN_TEST_DOOMED_DB", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut ids = lines
            .by_ref()
            .filter_map(|line| line.strip_prefix("answered ").map(str::to_owned));
        answered.extend(ids.by_ref().take(round * 7));
        child.kill().unwrap();
        child.wait().unwrap();
        answered.extend(ids);

        let store = Store::open(&path).unwrap();
        let launches = store.read(instances::list).await.unwrap();
        let there: std::collections::HashSet<String> = launches.iter().map(|one| one.reservation.to_string()).collect();
        assert_eq!(there.len(), launches.len());
        for id in &answered {
            assert!(there.contains(id), "round {round}: {id} was answered and is lost");
        }
    }
    assert!(answered.len() >= 8 * 7);
}
