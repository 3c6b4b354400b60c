"""Volumes and snapshots: attaching, attributes, copies, and with whom they are shared."""

from asking import Tour, ec2, filters, instance, launch, state, stop, tags_of, terminate, until, zone


def volume(**what):
    id = ec2.create_volume(AvailabilityZone=zone(), **{"Size": 1, **what})["VolumeId"]
    until(lambda: ec2.describe_volumes(VolumeIds=[id])["Volumes"][0]["State"] == "available")
    return id


def snapshot(volume, **what):
    id = ec2.create_snapshot(VolumeId=volume, **what)["SnapshotId"]
    until(lambda: ec2.describe_snapshots(SnapshotIds=[id])["Snapshots"][0]["State"] == "completed")
    return id


class Volumes(Tour):
    def shown(self, id):
        return self.only(ec2.describe_volumes(VolumeIds=[id])["Volumes"])

    def test_a_volume_is_attached_to_one_instance(self):
        one, other = launch(), launch()
        data = volume()
        there = {"VolumeId": data, "InstanceId": one, "Device": "/dev/sdf"}
        self.refused("IncorrectState", ec2.detach_volume, VolumeId=data)
        attached = self.twice(ec2.attach_volume, **there)
        self.assertEqual((attached["VolumeId"], attached["InstanceId"], attached["Device"]), (data, one, "/dev/sdf"))
        shown = self.shown(data)
        self.assertEqual((shown["State"], shown["Attachments"][0]["State"]), ("in-use", "attached"))
        self.assertFalse(shown["Attachments"][0]["DeleteOnTermination"])
        mapped = [one["Ebs"]["VolumeId"] for one in instance(one)["BlockDeviceMappings"]]
        self.assertIn(data, mapped)
        for dry_run in [False, True]:
            self.refused("VolumeInUse", ec2.attach_volume, DryRun=dry_run, **{**there, "InstanceId": other})
            self.refused("VolumeInUse", ec2.delete_volume, VolumeId=data, DryRun=dry_run)
        second = volume()
        for dry_run in [False, True]:
            self.refused("InvalidParameterValue", ec2.attach_volume, DryRun=dry_run, **{**there, "VolumeId": second})
        self.refused("InvalidParameterValue", ec2.attach_volume, VolumeId=second, InstanceId=one, Device="nothing")
        self.refused("IncorrectState", ec2.detach_volume, VolumeId=data, InstanceId=other)
        self.refused("IncorrectState", ec2.detach_volume, VolumeId=data, Device="/dev/sdg")
        root = instance(one)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        for dry_run in [False, True]:
            self.refused("OperationNotPermitted", ec2.detach_volume, VolumeId=root, DryRun=dry_run)
        detached = self.twice(ec2.detach_volume, Force=True, **there)
        self.assertEqual(detached["State"], "detaching")
        until(lambda: self.shown(data)["State"] == "available")
        stop(one)
        # A stopped instance may be without its root, and can't start so.
        ec2.detach_volume(VolumeId=root)
        until(lambda: self.shown(root)["State"] == "available")
        for dry_run in [False, True]:
            self.refused("InvalidParameterValue", ec2.start_instances, InstanceIds=[one], DryRun=dry_run)
        ec2.attach_volume(VolumeId=root, InstanceId=one, Device=instance(one)["RootDeviceName"])
        terminate(one, other)
        self.refused("IncorrectState", ec2.attach_volume, **there)
        for id in [data, second]:
            self.twice(ec2.delete_volume, VolumeId=id)
        # It came back as one that stays.
        ec2.delete_volume(VolumeId=root)
        self.refused("InvalidVolume.NotFound", ec2.delete_volume, VolumeId=data)

    def test_a_root_volume_is_replaced_while_its_guest_runs(self):
        guest = launch()
        root = instance(guest)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        self.refused("DryRunOperation", ec2.create_replace_root_volume_task, DryRun=True, InstanceId=guest)
        made = self.by_token(
            ec2.create_replace_root_volume_task,
            {"DeleteReplacedRootVolume": True},
            lambda answer: answer["ReplaceRootVolumeTask"]["ReplaceRootVolumeTaskId"],
            InstanceId=guest,
        )["ReplaceRootVolumeTask"]["ReplaceRootVolumeTaskId"]

        def task():
            return self.only(
                ec2.describe_replace_root_volume_tasks(ReplaceRootVolumeTaskIds=[made])["ReplaceRootVolumeTasks"]
            )

        until(lambda: task()["TaskState"] == "succeeded")
        self.assertEqual((task()["InstanceId"], state(guest)), (guest, "running"))
        self.assertNotEqual(instance(guest)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"], root)
        self.assertEqual(self.shown(root)["State"], "available")
        terminate(guest)
        ec2.delete_volume(VolumeId=root)

    def test_attributes_and_status(self):
        id = volume(TagSpecifications=tags_of("volume", Name="tour"))
        self.assertEqual(
            ec2.describe_volume_attribute(VolumeId=id, Attribute="autoEnableIO")["AutoEnableIO"], {"Value": False}
        )
        self.twice(ec2.modify_volume_attribute, VolumeId=id, AutoEnableIO={"Value": True})
        self.assertTrue(ec2.describe_volume_attribute(VolumeId=id, Attribute="autoEnableIO")["AutoEnableIO"]["Value"])
        self.assertEqual(ec2.describe_volume_attribute(VolumeId=id, Attribute="productCodes")["ProductCodes"], [])
        status = self.only(ec2.describe_volume_status(VolumeIds=[id])["VolumeStatuses"])
        self.assertEqual((status["AvailabilityZone"], status["VolumeStatus"]["Status"]), (zone(), "ok"))
        ok = ec2.describe_volume_status(Filters=filters(**{"volume_status.status": "o?"}))["VolumeStatuses"]
        self.assertIn(id, [one["VolumeId"] for one in ok])
        self.assertFalse(ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"])
        for size in [0, 65537]:
            self.refused("InvalidParameterValue", ec2.create_volume, AvailabilityZone=zone(), Size=size)
        self.refused("MissingParameter", ec2.create_volume, AvailabilityZone=zone())
        self.refused("InvalidZone.NotFound", ec2.create_volume, AvailabilityZone="nowhere-1a", Size=1)
        self.refused("InvalidParameterValue", ec2.modify_volume, VolumeId=id, Size=0)
        grown = self.twice(ec2.modify_volume, VolumeId=id, Size=2)["VolumeModification"]
        self.assertEqual((grown["OriginalSize"], grown["TargetSize"]), (1, 2))
        until(lambda: self.shown(id)["Size"] == 2)
        self.refused("InvalidParameterValue", ec2.modify_volume, VolumeId=id, Size=1)
        other = self.by_token(
            ec2.create_volume, {"Size": 2}, lambda answer: answer["VolumeId"], AvailabilityZone=zone(), Size=1
        )["VolumeId"]
        for one in [id, other]:
            ec2.delete_volume(VolumeId=one)


class Snapshots(Tour):
    def test_a_snapshot_is_copied_and_shared(self):
        data = volume()
        original = snapshot(data, Description="first", TagSpecifications=tags_of("snapshot", Name="tour"))
        region = ec2.describe_regions()["Regions"][0]["RegionName"]
        copying = {"SourceRegion": region, "SourceSnapshotId": original, "Description": "second"}
        copy = self.twice(ec2.copy_snapshot, TagSpecifications=tags_of("snapshot", copy="yes"), **copying)
        self.assertEqual(copy["Tags"], [{"Key": "copy", "Value": "yes"}])
        copy = copy["SnapshotId"]
        until(lambda: ec2.describe_snapshots(SnapshotIds=[copy])["Snapshots"][0]["State"] == "completed")
        shown = self.only(ec2.describe_snapshots(SnapshotIds=[copy])["Snapshots"])
        self.assertEqual((shown["Description"], shown["VolumeSize"], shown["Progress"]), ("second", 1, "100%"))
        self.assertEqual(shown["Tags"], copy and [{"Key": "copy", "Value": "yes"}])
        self.refused("InvalidParameterValue", ec2.copy_snapshot, **{**copying, "SourceRegion": "nowhere-1"})

        def permissions():
            attribute = {"SnapshotId": copy, "Attribute": "createVolumePermission"}
            return ec2.describe_snapshot_attribute(**attribute)["CreateVolumePermissions"]

        self.assertEqual(permissions(), [])
        sharing = {"SnapshotId": copy, "Attribute": "createVolumePermission"}
        self.twice(ec2.modify_snapshot_attribute, OperationType="add", UserIds=["123456789012"], **sharing)
        ec2.modify_snapshot_attribute(SnapshotId=copy, CreateVolumePermission={"Add": [{"Group": "all"}]})
        self.assertCountEqual(permissions(), [{"UserId": "123456789012"}, {"Group": "all"}])
        public = ec2.describe_snapshots(RestorableByUserIds=["all"])["Snapshots"]
        self.assertEqual([one["SnapshotId"] for one in public], [copy])
        self.twice(ec2.modify_snapshot_attribute, OperationType="remove", GroupNames=["all"], **sharing)
        self.assertEqual(permissions(), [{"UserId": "123456789012"}])
        self.twice(ec2.reset_snapshot_attribute, **sharing)
        self.assertEqual(permissions(), [])
        self.refused("InvalidParameterValue", ec2.modify_snapshot_attribute, OperationType="add", UserIds=["x"], **sharing)
        self.assertEqual(
            ec2.describe_snapshot_attribute(SnapshotId=copy, Attribute="productCodes")["ProductCodes"], []
        )

        of_original = volume(SnapshotId=original)
        self.assertEqual(self.only(ec2.describe_volumes(VolumeIds=[of_original])["Volumes"])["SnapshotId"], original)
        self.refused("InvalidParameterValue", ec2.create_volume, AvailabilityZone=zone(), SnapshotId=original, Size=0)
        for id in [original, copy]:
            self.twice(ec2.delete_snapshot, SnapshotId=id)
            self.refused("InvalidSnapshot.NotFound", ec2.delete_snapshot, SnapshotId=id)
        for id in [data, of_original]:
            ec2.delete_volume(VolumeId=id)

    def test_all_volumes_of_an_instance_at_once(self):
        guest = launch()
        data = volume(TagSpecifications=tags_of("volume", Name="data"))
        ec2.attach_volume(VolumeId=data, InstanceId=guest, Device="/dev/sdf")
        of_guest = {"InstanceSpecification": {"InstanceId": guest}, "Description": "both"}
        made = self.twice(ec2.create_snapshots, CopyTagsFromSource="volume", **of_guest)["Snapshots"]
        self.assertEqual(len(made), 2)
        self.assertEqual({one["Description"] for one in made}, {"both"})
        of_data = self.only([one for one in made if one["VolumeId"] == data])
        self.assertEqual(of_data["Tags"], [{"Key": "Name", "Value": "data"}])
        without = ec2.create_snapshots(InstanceSpecification={"InstanceId": guest, "ExcludeBootVolume": True})["Snapshots"]
        self.assertEqual(self.only(without)["VolumeId"], data)
        terminate(guest)
        for one in made + without:
            ec2.delete_snapshot(SnapshotId=one["SnapshotId"])
        ec2.delete_volume(VolumeId=data)
