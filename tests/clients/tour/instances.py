"""Instances: what may follow what, protection, and what changes while they run and while they are stopped."""

import base64

from asking import SMALL, Tour, ec2, filters, instance, launch, state, stop, terminate, until


class States(Tour):
    def test_all_or_none_of_the_instances_that_are_named(self):
        guest, nobody = launch(), "i-00000000000000001"
        for call in [ec2.terminate_instances, ec2.stop_instances, ec2.start_instances, ec2.reboot_instances]:
            self.refused("InvalidInstanceID.NotFound", call, InstanceIds=[guest, nobody])
            self.refused("InvalidInstanceID.NotFound", call, InstanceIds=[guest, nobody], DryRun=True)
            self.refused("InvalidInstanceID.Malformed", call, InstanceIds=[guest, "i-x"])
        self.refused("InvalidInstanceID.NotFound", ec2.describe_instances, InstanceIds=[guest, nobody])
        self.refused("InvalidInstanceID.Malformed", ec2.describe_instances, InstanceIds=["x"])
        self.assertEqual(state(guest), "running")
        # To start what runs, and to stop what is stopped, is no mistake.
        started = self.only(ec2.start_instances(InstanceIds=[guest])["StartingInstances"])
        self.assertEqual((started["PreviousState"]["Name"], started["CurrentState"]["Name"]), ("running", "running"))
        stopping = self.only(self.twice(ec2.stop_instances, InstanceIds=[guest])["StoppingInstances"])
        self.assertEqual((stopping["PreviousState"]["Code"], stopping["CurrentState"]["Code"]), (16, 64))
        for dry_run in [False, True]:
            self.refused("IncorrectInstanceState", ec2.start_instances, InstanceIds=[guest], DryRun=dry_run)
        until(lambda: state(guest) == "stopped")
        stopped = self.only(ec2.stop_instances(InstanceIds=[guest])["StoppingInstances"])
        self.assertEqual(stopped["CurrentState"]["Name"], "stopped")
        self.refused("IncorrectInstanceState", ec2.reboot_instances, InstanceIds=[guest])
        shown = instance(guest)
        self.assertEqual(shown["StateReason"]["Code"], "Client.UserInitiatedShutdown")
        self.assertRegex(shown["StateTransitionReason"], r"^User initiated \(.* GMT\)$")
        self.twice(ec2.start_instances, InstanceIds=[guest])
        until(lambda: state(guest) == "running")
        self.assertEqual(instance(guest)["StateTransitionReason"], "")
        self.twice(ec2.reboot_instances, InstanceIds=[guest])

        ended = self.only(self.twice(ec2.terminate_instances, InstanceIds=[guest])["TerminatingInstances"])
        self.assertEqual(ended["CurrentState"]["Name"], "shutting-down")
        until(lambda: state(guest) == "terminated")
        shown = instance(guest)
        self.assertEqual((shown["NetworkInterfaces"], shown["BlockDeviceMappings"]), ([], []))
        again = self.only(ec2.terminate_instances(InstanceIds=[guest])["TerminatingInstances"])
        self.assertEqual((again["PreviousState"]["Code"], again["CurrentState"]["Code"]), (48, 48))
        for call in [ec2.start_instances, ec2.stop_instances, ec2.reboot_instances]:
            self.refused("IncorrectInstanceState", call, InstanceIds=[guest])
            self.refused("IncorrectInstanceState", call, InstanceIds=[guest], DryRun=True)
        running_only = ec2.describe_instance_status(InstanceIds=[guest])["InstanceStatuses"]
        self.assertEqual(running_only, [])
        all = ec2.describe_instance_status(InstanceIds=[guest], IncludeAllInstances=True)["InstanceStatuses"]
        self.assertEqual(self.only(all)["InstanceStatus"]["Status"], "not-applicable")

    def test_protection(self):
        guest = launch(DisableApiTermination=True)
        ec2.modify_instance_attribute(InstanceId=guest, DisableApiStop={"Value": True})
        other = launch()
        for dry_run in [False, True]:
            self.refused("OperationNotPermitted", ec2.terminate_instances, InstanceIds=[other, guest], DryRun=dry_run)
            self.refused("OperationNotPermitted", ec2.stop_instances, InstanceIds=[guest], DryRun=dry_run)
        self.assertEqual((state(guest), state(other)), ("running", "running"))
        ec2.reboot_instances(InstanceIds=[guest])
        for protection in ["DisableApiTermination", "DisableApiStop"]:
            self.twice(ec2.modify_instance_attribute, InstanceId=guest, **{protection: {"Value": False}})
        terminate(guest, other)

    def test_launches_are_checked_before_they_are_dry(self):
        for dry_run in [False, True]:
            for code, wrong in [
                ("InvalidAMIID.NotFound", {"ImageId": "ami-00000000000000001"}),
                ("InvalidAMIID.Malformed", {"ImageId": "ami-x"}),
                ("InvalidParameterValue", {"InstanceType": "t3.nothing"}),
                ("InvalidKeyPair.NotFound", {"KeyName": "nobody's"}),
                ("InvalidSubnetID.NotFound", {"SubnetId": "subnet-00000000000000001"}),
                ("InvalidGroup.NotFound", {"SecurityGroupIds": ["sg-00000000000000001"]}),
                ("InvalidParameterValue", {"MinCount": 2}),
                ("InvalidParameterValue", {"MinCount": 0}),
                ("InvalidBlockDeviceMapping", {"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {}}]}),
                ("InvalidSnapshot.NotFound", {"BlockDeviceMappings": mapped(SnapshotId="snap-00000000000000001")}),
                ("InvalidParameterValue", {"UserData": "x" * 16385}),
            ]:
                self.refused(code, ec2.run_instances, DryRun=dry_run, **{**SMALL, **wrong})
        self.refused("DryRunOperation", ec2.run_instances, DryRun=True, **SMALL)
        self.refused("MissingParameter", ec2.run_instances, MinCount=1, MaxCount=1)


def mapped(**ebs):
    return [{"DeviceName": "/dev/sdf", "Ebs": ebs}]


class Options(Tour):
    @classmethod
    def setUpClass(cls):
        cls.running, cls.stopped = launch(), launch()
        stop(cls.stopped)

    @classmethod
    def tearDownClass(cls):
        terminate(cls.running, cls.stopped)

    def attribute(self, id, name, member):
        return ec2.describe_instance_attribute(InstanceId=id, Attribute=name)[member]

    def test_what_the_machine_is_made_of_changes_while_it_is_stopped(self):
        changes = {
            "instanceType": {"InstanceType": {"Value": "t3.micro"}},
            "userData": {"UserData": {"Value": b"#!/bin/sh\n"}},
            "ebsOptimized": {"EbsOptimized": {"Value": True}},
        }
        for name, change in changes.items():
            for dry_run in [False, True]:
                refused = {"InstanceId": self.running, "DryRun": dry_run, **change}
                self.refused("IncorrectInstanceState", ec2.modify_instance_attribute, **refused)
            self.twice(ec2.modify_instance_attribute, InstanceId=self.stopped, **change)
        self.assertEqual(instance(self.stopped)["InstanceType"], "t3.micro")
        self.assertTrue(instance(self.stopped)["EbsOptimized"])
        data = self.attribute(self.stopped, "userData", "UserData")["Value"]
        self.assertEqual(base64.b64decode(data), b"#!/bin/sh\n")
        self.refused(
            "InvalidInstanceAttributeValue",
            ec2.modify_instance_attribute,
            InstanceId=self.stopped,
            InstanceType={"Value": "t3.nothing"},
        )
        self.refused("InvalidParameterCombination", ec2.modify_instance_attribute, InstanceId=self.stopped)
        both = {"DisableApiStop": {"Value": True}, "DisableApiTermination": {"Value": True}}
        self.refused("InvalidParameterCombination", ec2.modify_instance_attribute, InstanceId=self.stopped, **both)
        self.twice(ec2.reset_instance_attribute, InstanceId=self.stopped, Attribute="kernel")
        self.refused(
            "IncorrectInstanceState", ec2.reset_instance_attribute, InstanceId=self.running, Attribute="kernel"
        )

    def test_what_changes_while_it_runs(self):
        id = self.running
        shown = instance(id)
        group = ec2.create_security_group(GroupName="running", Description="x", VpcId=shown["VpcId"])["GroupId"]
        self.twice(ec2.modify_instance_attribute, InstanceId=id, Groups=[group])
        self.assertEqual([one["GroupId"] for one in instance(id)["SecurityGroups"]], [group])
        self.refused("DependencyViolation", ec2.delete_security_group, GroupId=group)
        self.refused("InvalidGroup.NotFound", ec2.modify_instance_attribute, InstanceId=id, Groups=["sg-00000000000000001"])
        ec2.modify_instance_attribute(InstanceId=id, Groups=[one["GroupId"] for one in shown["SecurityGroups"]])
        ec2.delete_security_group(GroupId=group)
        self.twice(ec2.modify_instance_attribute, InstanceId=id, SourceDestCheck={"Value": False})
        self.assertFalse(instance(id)["SourceDestCheck"])
        self.twice(ec2.reset_instance_attribute, InstanceId=id, Attribute="sourceDestCheck")
        self.assertTrue(instance(id)["SourceDestCheck"])
        behavior = "InstanceInitiatedShutdownBehavior"
        self.twice(ec2.modify_instance_attribute, InstanceId=id, **{behavior: {"Value": "terminate"}})
        self.assertEqual(self.attribute(id, "instanceInitiatedShutdownBehavior", behavior)["Value"], "terminate")
        self.refused("InvalidParameterValue", ec2.modify_instance_attribute, InstanceId=id, **{behavior: {"Value": "hang"}})
        root = shown["BlockDeviceMappings"][0]["DeviceName"]
        kept = [{"DeviceName": root, "Ebs": {"DeleteOnTermination": False}}]
        self.twice(ec2.modify_instance_attribute, InstanceId=id, BlockDeviceMappings=kept)
        self.assertFalse(instance(id)["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"])
        kept[0]["Ebs"]["DeleteOnTermination"] = True
        ec2.modify_instance_attribute(InstanceId=id, BlockDeviceMappings=kept)

    def test_credits(self):
        asked = [
            {"InstanceId": self.running, "CpuCredits": "standard"},
            {"InstanceId": "i-00000000000000001", "CpuCredits": "standard"},
        ]
        answer = self.twice(ec2.modify_instance_credit_specification, InstanceCreditSpecifications=asked)
        done = answer["SuccessfulInstanceCreditSpecifications"]
        self.assertEqual([one["InstanceId"] for one in done], [self.running])
        failed = self.only(answer["UnsuccessfulInstanceCreditSpecifications"])
        self.assertEqual(failed["Error"]["Code"], "InvalidInstanceID.NotFound")
        shown = ec2.describe_instance_credit_specifications(InstanceIds=[self.running, self.stopped])
        credits = {one["InstanceId"]: one["CpuCredits"] for one in shown["InstanceCreditSpecifications"]}
        self.assertEqual(credits, {self.running: "standard", self.stopped: "unlimited"})
        # Who names none is told of those that are unlimited.
        shown = ec2.describe_instance_credit_specifications()["InstanceCreditSpecifications"]
        self.assertNotIn(self.running, [one["InstanceId"] for one in shown])
        self.assertIn(self.stopped, [one["InstanceId"] for one in shown])

    def test_options_of_the_machine(self):
        cpus = {"CoreCount": 1, "ThreadsPerCore": 1}
        self.refused("IncorrectInstanceState", ec2.modify_instance_cpu_options, InstanceId=self.running, **cpus)
        answer = self.twice(ec2.modify_instance_cpu_options, InstanceId=self.stopped, **cpus)
        self.assertEqual((answer["CoreCount"], answer["ThreadsPerCore"]), (1, 1))
        self.assertEqual(instance(self.stopped)["CpuOptions"], cpus)
        wrong = {"CoreCount": 64, "ThreadsPerCore": 1}
        self.refused("InvalidParameterValue", ec2.modify_instance_cpu_options, InstanceId=self.stopped, **wrong)
        ec2.modify_instance_placement(InstanceId=self.stopped, Tenancy="default", Affinity="default")
        self.refused("IncorrectInstanceState", ec2.modify_instance_placement, InstanceId=self.running, Affinity="default")
        names = {"PrivateDnsHostnameType": "resource-name"}
        self.twice(ec2.modify_private_dns_name_options, InstanceId=self.stopped, **names)
        options = instance(self.stopped)["PrivateDnsNameOptions"]
        self.assertEqual(options["HostnameType"], "resource-name")
        self.refused("IncorrectInstanceState", ec2.modify_private_dns_name_options, InstanceId=self.running, **names)
        self.refused("UnsupportedOperation", ec2.get_instance_uefi_data, InstanceId=self.running)
        self.refused("InvalidInstanceID.NotFound", ec2.get_instance_uefi_data, InstanceId="i-00000000000000001")
        self.assertTrue(ec2.get_console_output(InstanceId=self.running)["Timestamp"])

    def test_defaults_of_metadata(self):
        self.assertEqual(ec2.get_instance_metadata_defaults()["AccountLevel"], {"ManagedBy": "account"})
        self.twice(ec2.modify_instance_metadata_defaults, HttpTokens="required", HttpPutResponseHopLimit=3)
        said = ec2.get_instance_metadata_defaults()["AccountLevel"]
        self.assertEqual((said["HttpTokens"], said["HttpPutResponseHopLimit"]), ("required", 3))
        guest = launch()
        options = instance(guest)["MetadataOptions"]
        self.assertEqual((options["HttpTokens"], options["HttpPutResponseHopLimit"]), ("required", 3))
        found = ec2.describe_instances(Filters=filters(**{"metadata_options.http_tokens": "required", "instance_id": guest}))
        self.only(found["Reservations"])
        self.refused("InvalidParameterValue", ec2.modify_instance_metadata_defaults, HttpPutResponseHopLimit=65)
        ec2.modify_instance_metadata_defaults(HttpTokens="no-preference", HttpPutResponseHopLimit=-1)
        terminate(guest)
