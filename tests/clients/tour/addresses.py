"""Elastic addresses, from their allocation to their release."""

from asking import Tour, ec2, filters, instance, launch, tags_of, terminate


class Addresses(Tour):
    def test_an_address_goes_from_one_interface_to_another(self):
        made = self.twice(ec2.allocate_address, Domain="vpc", TagSpecifications=tags_of("elastic-ip", Name="tour"))
        self.assertEqual(made["Domain"], "vpc")
        id, ip = made["AllocationId"], made["PublicIp"]
        shown = self.only(ec2.describe_addresses(AllocationIds=[id])["Addresses"])
        self.assertEqual((shown["PublicIp"], shown["Tags"]), (ip, [{"Key": "Name", "Value": "tour"}]))
        self.assertNotIn("AssociationId", shown)
        self.assertEqual(ec2.describe_addresses(PublicIps=[ip])["Addresses"], [shown])
        attributes = ec2.describe_addresses_attribute(AllocationIds=[id], Attribute="domain-name")["Addresses"]
        self.assertEqual(self.only(attributes)["PublicIp"], ip)

        guest = launch()
        associated = self.twice(ec2.associate_address, AllocationId=id, InstanceId=guest)["AssociationId"]
        shown = self.only(ec2.describe_addresses(Filters=filters(association_id=associated))["Addresses"])
        self.assertEqual((shown["AllocationId"], shown["InstanceId"]), (id, guest))
        described = instance(guest)
        self.assertEqual(described["PublicIpAddress"], ip)
        self.assertEqual(described["PrivateIpAddress"], shown["PrivateIpAddress"])
        interface = described["NetworkInterfaces"][0]
        self.assertEqual(interface["Association"]["PublicIp"], ip)
        self.refused("InvalidIPAddress.InUse", ec2.release_address, AllocationId=id)
        self.refused("InvalidIPAddress.InUse", ec2.release_address, AllocationId=id, DryRun=True)

        subnet = described["SubnetId"]
        other = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
        to_other = {"AllocationId": id, "NetworkInterfaceId": other}
        self.refused("Resource.AlreadyAssociated", ec2.associate_address, AllowReassociation=False, **to_other)
        moved = ec2.associate_address(AllowReassociation=True, **to_other)["AssociationId"]
        self.assertNotEqual(moved, associated)
        self.assertNotIn("Association", instance(guest)["NetworkInterfaces"][0])
        self.refused("InvalidAssociationID.NotFound", ec2.disassociate_address, AssociationId=associated)
        self.twice(ec2.disassociate_address, AssociationId=moved)
        self.refused("InvalidAssociationID.NotFound", ec2.disassociate_address, AssociationId=moved)
        self.assertNotIn("AssociationId", self.only(ec2.describe_addresses(AllocationIds=[id])["Addresses"]))
        ec2.delete_network_interface(NetworkInterfaceId=other)
        self.twice(ec2.release_address, AllocationId=id)
        self.refused("InvalidAllocationID.NotFound", ec2.release_address, AllocationId=id)
        self.refused("InvalidAllocationID.NotFound", ec2.describe_addresses, AllocationIds=[id])
        self.refused("InvalidAddress.NotFound", ec2.describe_addresses, PublicIps=[ip])
        terminate(guest)

    def test_an_address_lets_go_of_an_instance_that_ends(self):
        id = ec2.allocate_address()["AllocationId"]
        guest = launch()
        ec2.associate_address(AllocationId=id, InstanceId=guest)
        terminate(guest)
        self.assertNotIn("AssociationId", self.only(ec2.describe_addresses(AllocationIds=[id])["Addresses"]))
        self.refused("InvalidInstanceID.NotFound", ec2.associate_address, AllocationId=id, InstanceId="i-00000000000000001")
        self.refused("InvalidInstanceID.Malformed", ec2.associate_address, AllocationId=id, InstanceId="i-x")
        self.refused("InvalidInstanceID", ec2.associate_address, AllocationId=id, InstanceId=guest)
        ec2.release_address(AllocationId=id)

    def test_what_is_named_must_be_named_once(self):
        self.refused("MissingParameter", ec2.associate_address, InstanceId="i-00000000000000001")
        self.refused("MissingParameter", ec2.release_address)
        self.refused("MissingParameter", ec2.disassociate_address)
        self.refused("InvalidAllocationID.NotFound", ec2.release_address, AllocationId="eipalloc-00000000000000001")
        self.refused("InvalidAddress.NotFound", ec2.release_address, PublicIp="198.51.100.1")
        self.refused("InvalidAddress.Malformed", ec2.describe_addresses, PublicIps=["x"])
