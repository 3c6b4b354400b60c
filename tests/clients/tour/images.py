"""Images: made, copied, registered, and what their owner says of them later."""

import datetime

from asking import IMAGE, Tour, ec2, filters, instance, launch, refusal, tags_of, terminate, until


def image(id, **what):
    return ec2.describe_images(ImageIds=[id], **what)["Images"][0]


def available(id):
    until(lambda: image(id)["State"] == "available")
    return id


def deregister(id):
    ec2.deregister_image(ImageId=id, DeleteAssociatedSnapshots=True)


class Images(Tour):
    def attribute(self, id, name, member):
        return ec2.describe_image_attribute(ImageId=id, Attribute=name)[member]

    def test_an_image_says_what_it_came_of(self):
        guest = launch()
        making = {"InstanceId": guest, "Name": "tour of a guest", "NoReboot": True}
        tags = tags_of("image", Name="tour") + tags_of("snapshot", of="tour")
        made = available(self.twice(ec2.create_image, TagSpecifications=tags, **making)["ImageId"])
        shown = image(made)
        region = ec2.describe_regions()["Regions"][0]["RegionName"]
        self.assertEqual((shown["SourceInstanceId"], shown["SourceImageId"]), (guest, IMAGE))
        self.assertEqual(shown["SourceImageRegion"], region)
        self.assertEqual(shown["Tags"], [{"Key": "Name", "Value": "tour"}])
        for dry_run in [False, True]:
            self.refused("InvalidAMIName.Duplicate", ec2.create_image, DryRun=dry_run, **making)
        self.refused("InvalidAMIName.Malformed", ec2.create_image, **{**making, "Name": "no?"})
        of_guest = ec2.describe_images(Filters=filters(source_instance_id=guest))["Images"]
        self.assertEqual([one["ImageId"] for one in of_guest], [made])

        copying = {"Name": "tour of a copy", "SourceImageId": made, "SourceRegion": region}
        copied = self.by_token(ec2.copy_image, {"Name": "other"}, lambda answer: answer["ImageId"], **copying)["ImageId"]
        shown = image(available(copied))
        self.assertEqual((shown["SourceImageId"], shown["SourceImageRegion"]), (made, region))
        self.assertNotIn("SourceInstanceId", shown)
        self.assertEqual(shown["Tags"], [])
        self.refused("InvalidAMIName.Duplicate", ec2.copy_image, DryRun=True, **copying)
        of_made = ec2.describe_images(Filters=filters(source_image_id=made))["Images"]
        self.assertEqual([one["ImageId"] for one in of_made], [copied])
        self.refused("InvalidParameterValue", ec2.copy_image, **{**copying, "Name": "z" * 3, "SourceRegion": "nowhere-1"})
        terminate(guest)
        self.refused("IncorrectState", ec2.create_image, InstanceId=guest, Name="too late")
        deregister(copied)
        deregister(made)
        self.refused("InvalidAMIID.NotFound", ec2.describe_images, ImageIds=[made])
        self.refused("InvalidAMIID.NotFound", ec2.deregister_image, ImageId=made)

    def registered(self, name, **what):
        mapping = image(IMAGE)["BlockDeviceMappings"][0]
        root = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": mapping["Ebs"]["SnapshotId"]}}
        said = {"Name": name, "RootDeviceName": "/dev/xvda", "BlockDeviceMappings": [root], "Architecture": "x86_64"}
        return {**said, "VirtualizationType": "hvm", **what}

    def test_an_image_is_registered_of_a_snapshot(self):
        said = self.registered("tour registered", Description="of a snapshot", KernelId=image(IMAGE)["KernelId"])
        id = self.twice(ec2.register_image, **said)["ImageId"]
        shown = image(id)
        self.assertEqual((shown["RootDeviceName"], shown["State"]), ("/dev/xvda", "available"))
        self.assertEqual(shown["Description"], "of a snapshot")
        snapshot = shown["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
        self.refused("InvalidSnapshot.InUse", ec2.delete_snapshot, SnapshotId=snapshot)
        self.refused("InvalidSnapshot.InUse", ec2.delete_snapshot, SnapshotId=snapshot, DryRun=True)
        self.refused("InvalidAMIName.Duplicate", ec2.register_image, **said)
        guest = launch(ImageId=id)
        self.assertEqual(instance(guest)["ImageId"], id)
        terminate(guest)
        ec2.deregister_image(ImageId=id)
        nothing = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-00000000000000001"}}
        self.refused("InvalidSnapshot.NotFound", ec2.register_image, **{**said, "BlockDeviceMappings": [nothing]})

    def test_attributes(self):
        id = ec2.register_image(**self.registered("tour attributes"))["ImageId"]
        self.twice(ec2.modify_image_attribute, ImageId=id, Description={"Value": "another"})
        self.assertEqual(self.attribute(id, "description", "Description"), {"Value": "another"})
        adding = {"ImageId": id, "Attribute": "launchPermission", "OperationType": "add", "UserIds": ["123456789012"]}
        self.twice(ec2.modify_image_attribute, **adding)
        ec2.modify_image_attribute(ImageId=id, LaunchPermission={"Add": [{"Group": "all"}]})
        both = [{"UserId": "123456789012"}, {"Group": "all"}]
        self.assertCountEqual(self.attribute(id, "launchPermission", "LaunchPermissions"), both)
        self.assertTrue(image(id)["Public"])
        public = ec2.describe_images(ExecutableUsers=["all"])["Images"]
        self.assertIn(id, [one["ImageId"] for one in public])
        self.twice(ec2.reset_image_attribute, ImageId=id, Attribute="launchPermission")
        self.assertEqual(self.attribute(id, "launchPermission", "LaunchPermissions"), [])
        self.assertFalse(image(id)["Public"])

        year = datetime.date.today().year
        self.twice(ec2.enable_image_deprecation, ImageId=id, DeprecateAt=f"{year + 2}-05-01T10:20:29Z")
        # EC2 rounds to the minute.
        self.assertEqual(image(id)["DeprecationTime"], f"{year + 2}-05-01T10:20:00.000Z")
        for wrong in [year - 1, year + 11]:
            wrong = f"{wrong}-05-01T00:00:00Z"
            self.refused("InvalidParameterValue", ec2.enable_image_deprecation, ImageId=id, DeprecateAt=wrong)
        self.twice(ec2.disable_image_deprecation, ImageId=id)
        self.assertNotIn("DeprecationTime", image(id))

        self.twice(ec2.enable_image_deregistration_protection, ImageId=id)
        self.assertEqual(image(id)["DeregistrationProtection"], "enabled-without-cooldown")
        for dry_run in [False, True]:
            self.refused("OperationNotPermitted", ec2.deregister_image, ImageId=id, DryRun=dry_run)
        self.twice(ec2.disable_image_deregistration_protection, ImageId=id)

        self.twice(ec2.disable_image, ImageId=id)
        self.assertNotIn(id, [one["ImageId"] for one in ec2.describe_images()["Images"]])
        self.assertEqual(image(id, IncludeDisabled=True)["State"], "disabled")
        self.refused("InvalidAMIID.Unavailable", ec2.run_instances, ImageId=id, MinCount=1, MaxCount=1)
        self.twice(ec2.enable_image, ImageId=id)
        self.assertEqual(image(id)["State"], "available")
        self.twice(ec2.deregister_image, ImageId=id)
        self.assertEqual(refusal(ec2.disable_image, ImageId=id)[0], "InvalidAMIID.NotFound")
