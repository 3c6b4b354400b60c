"""Network interfaces: attached, described, reset."""

from asking import Tour, ec2, filters, instance, launch, stop, tags_of, terminate, until


class Interfaces(Tour):
    def test_an_interface_is_attached_and_detached(self):
        guest = launch()
        subnet = instance(guest)["SubnetId"]
        made = ec2.create_network_interface(SubnetId=subnet, Description="second")["NetworkInterface"]
        id = made["NetworkInterfaceId"]
        there = {"NetworkInterfaceId": id, "InstanceId": guest, "DeviceIndex": 1}
        attachment = self.twice(ec2.attach_network_interface, **there)["AttachmentId"]

        def shown():
            return self.only(ec2.describe_network_interfaces(NetworkInterfaceIds=[id])["NetworkInterfaces"])

        self.assertEqual((shown()["Status"], shown()["Attachment"]["Status"]), ("in-use", "attached"))
        self.assertEqual(
            sorted(one["Attachment"]["DeviceIndex"] for one in instance(guest)["NetworkInterfaces"]), [0, 1]
        )
        described = ec2.describe_network_interface_attribute(NetworkInterfaceId=id, Attribute="attachment")["Attachment"]
        self.assertEqual((described["AttachmentId"], described["InstanceId"]), (attachment, guest))
        other = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
        for dry_run in [False, True]:
            self.refused("InvalidNetworkInterface.InUse", ec2.attach_network_interface, DryRun=dry_run, **there)
            taken = {**there, "NetworkInterfaceId": other}
            self.refused("InvalidParameterValue", ec2.attach_network_interface, DryRun=dry_run, **taken)
            self.refused("InvalidNetworkInterface.InUse", ec2.delete_network_interface, NetworkInterfaceId=id, DryRun=dry_run)
        primary = instance(guest)["NetworkInterfaces"]
        primary = self.only([one for one in primary if one["Attachment"]["DeviceIndex"] == 0])["Attachment"]["AttachmentId"]
        for dry_run in [False, True]:
            self.refused("OperationNotPermitted", ec2.detach_network_interface, AttachmentId=primary, DryRun=dry_run)
        change = {"Attachment": {"AttachmentId": attachment, "DeleteOnTermination": True}}
        self.twice(ec2.modify_network_interface_attribute, NetworkInterfaceId=id, **change)
        self.assertTrue(shown()["Attachment"]["DeleteOnTermination"])
        self.twice(ec2.modify_network_interface_attribute, NetworkInterfaceId=id, SourceDestCheck={"Value": False})
        self.assertFalse(shown()["SourceDestCheck"])
        self.twice(ec2.reset_network_interface_attribute, NetworkInterfaceId=id, SourceDestCheck="true")
        self.assertTrue(shown()["SourceDestCheck"])
        self.twice(ec2.detach_network_interface, AttachmentId=attachment, Force=True)
        until(lambda: shown()["Status"] == "available")
        self.refused("InvalidAttachmentID.NotFound", ec2.detach_network_interface, AttachmentId=attachment)
        stop(guest)
        again = ec2.attach_network_interface(**there)["AttachmentId"]
        ec2.detach_network_interface(AttachmentId=again)
        self.assertEqual(shown()["Status"], "available")
        terminate(guest)
        self.refused("IncorrectState", ec2.attach_network_interface, **there)
        self.refused("IncorrectState", ec2.attach_network_interface, DryRun=True, **there)
        for one in [id, other]:
            self.twice(ec2.delete_network_interface, NetworkInterfaceId=one)

    def test_a_token_makes_one_interface(self):
        subnet = ec2.describe_subnets(Filters=filters(default_for_az="true"))["Subnets"][0]["SubnetId"]
        made = self.by_token(
            ec2.create_network_interface,
            {"Description": "other"},
            lambda answer: answer["NetworkInterface"]["NetworkInterfaceId"],
            SubnetId=subnet,
            TagSpecifications=tags_of("network-interface", Name="tour"),
        )["NetworkInterface"]
        id = made["NetworkInterfaceId"]
        self.assertEqual(made["TagSet"], [{"Key": "Name", "Value": "tour"}])
        taken = {"SubnetId": subnet, "PrivateIpAddress": made["PrivateIpAddress"]}
        self.refused("InvalidIPAddress.InUse", ec2.create_network_interface, **taken)
        self.refused("InvalidIPAddress.InUse", ec2.create_network_interface, DryRun=True, **taken)
        self.refused("InvalidParameterValue", ec2.create_network_interface, SubnetId=subnet, PrivateIpAddress="192.0.2.1")
        described = ec2.describe_network_interface_attribute(NetworkInterfaceId=id, Attribute="groupSet")
        self.assertEqual([one["GroupName"] for one in described["Groups"]], ["default"])
        # VPCs here are of IPv4 alone: that is said when all else is right.
        self.refused("InvalidParameterValue", ec2.assign_ipv6_addresses, NetworkInterfaceId=id, Ipv6AddressCount=1)
        self.refused("InvalidParameterValue", ec2.unassign_ipv6_addresses, NetworkInterfaceId=id, Ipv6Addresses=["2001:db8::1"])
        ec2.delete_network_interface(NetworkInterfaceId=id)
