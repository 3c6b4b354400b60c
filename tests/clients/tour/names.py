"""What is named: ids that nothing has, ids that are none, and filters that there are not; in each operation, and before a dry
run's own answer."""

import re

from asking import Tour, ec2, filters, refusal, tags_of, zone

# By the prefix of an id: the codes for one that nothing has and for one that is none.
CODES = {
    "acl-": ("InvalidNetworkAclID.NotFound", "InvalidNetworkAclId.Malformed"),
    "ami-": ("InvalidAMIID.NotFound", "InvalidAMIID.Malformed"),
    "dopt-": ("InvalidDhcpOptionID.NotFound", "InvalidDhcpOptionsId.Malformed"),
    "eipalloc-": ("InvalidAllocationID.NotFound", "InvalidAllocationID.NotFound"),
    "eni-": ("InvalidNetworkInterfaceID.NotFound", "InvalidNetworkInterfaceId.Malformed"),
    "eni-attach-": ("InvalidAttachmentID.NotFound", "InvalidAttachmentID.NotFound"),
    "i-": ("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"),
    "igw-": ("InvalidInternetGatewayID.NotFound", "InvalidInternetGatewayId.Malformed"),
    "import-ami-": ("InvalidConversionTaskId", "InvalidConversionTaskId.Malformed"),
    "lt-": ("InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.Malformed"),
    "pl-": ("InvalidPrefixListID.NotFound", "InvalidPrefixListId.Malformed"),
    "rtb-": ("InvalidRouteTableID.NotFound", "InvalidRouteTableId.Malformed"),
    "sg-": ("InvalidGroup.NotFound", "InvalidGroupId.Malformed"),
    "sgr-": ("InvalidSecurityGroupRuleId.NotFound", "InvalidSecurityGroupRuleId.Malformed"),
    "snap-": ("InvalidSnapshot.NotFound", "InvalidSnapshotID.Malformed"),
    "subnet-": ("InvalidSubnetID.NotFound", "InvalidSubnetID.Malformed"),
    "vol-": ("InvalidVolume.NotFound", "InvalidVolumeID.Malformed"),
    "vpc-": ("InvalidVpcID.NotFound", "InvalidVpcId.Malformed"),
}
PERMISSIONS = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
RULES = [{"SecurityGroupRuleId": "sgr-00000000000000001", "SecurityGroupRule": {"IpProtocol": "-1", "CidrIpv4": "10.0.0.0/8"}}]
# Each with the member that names something, the prefix of its ids, and what else the request must have.
OPERATIONS = [
    ("assign_private_ip_addresses", "NetworkInterfaceId", "eni-", {"SecondaryPrivateIpAddressCount": 1}),
    ("assign_ipv6_addresses", "NetworkInterfaceId", "eni-", {"Ipv6AddressCount": 1}),
    ("attach_volume", "InstanceId", "i-", {"VolumeId": "vol-00000000000000001", "Device": "/dev/sdf"}),
    ("authorize_security_group_egress", "GroupId", "sg-", {"IpPermissions": PERMISSIONS}),
    ("authorize_security_group_ingress", "GroupId", "sg-", {"IpPermissions": PERMISSIONS}),
    ("cancel_import_task", "ImportTaskId", "import-ami-", {}),
    ("create_image", "InstanceId", "i-", {"Name": "nothing"}),
    ("create_network_acl", "VpcId", "vpc-", {}),
    ("create_network_interface", "SubnetId", "subnet-", {}),
    ("create_route", "RouteTableId", "rtb-", {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-00000000000000001"}),
    ("create_route_table", "VpcId", "vpc-", {}),
    ("create_security_group", "VpcId", "vpc-", {"GroupName": "nothing", "Description": "x"}),
    ("create_snapshot", "VolumeId", "vol-", {}),
    ("create_snapshots", "InstanceSpecification.InstanceId", "i-", {}),
    ("create_subnet", "VpcId", "vpc-", {"CidrBlock": "10.0.0.0/24"}),
    ("create_volume", "SnapshotId", "snap-", {"AvailabilityZone": ...}),
    ("delete_dhcp_options", "DhcpOptionsId", "dopt-", {}),
    ("delete_internet_gateway", "InternetGatewayId", "igw-", {}),
    ("delete_launch_template", "LaunchTemplateId", "lt-", {}),
    ("delete_managed_prefix_list", "PrefixListId", "pl-", {}),
    ("delete_network_acl", "NetworkAclId", "acl-", {}),
    ("delete_network_acl_entry", "NetworkAclId", "acl-", {"RuleNumber": 1, "Egress": True}),
    ("delete_network_interface", "NetworkInterfaceId", "eni-", {}),
    ("delete_route", "RouteTableId", "rtb-", {"DestinationCidrBlock": "0.0.0.0/0"}),
    ("delete_route_table", "RouteTableId", "rtb-", {}),
    ("delete_security_group", "GroupId", "sg-", {}),
    ("delete_snapshot", "SnapshotId", "snap-", {}),
    ("delete_subnet", "SubnetId", "subnet-", {}),
    ("delete_volume", "VolumeId", "vol-", {}),
    ("delete_vpc", "VpcId", "vpc-", {}),
    ("deregister_image", "ImageId", "ami-", {}),
    ("describe_image_attribute", "ImageId", "ami-", {"Attribute": "description"}),
    ("describe_instance_attribute", "InstanceId", "i-", {"Attribute": "userData"}),
    ("describe_network_interface_attribute", "NetworkInterfaceId", "eni-", {"Attribute": "description"}),
    ("describe_snapshot_attribute", "SnapshotId", "snap-", {"Attribute": "productCodes"}),
    ("describe_volume_attribute", "VolumeId", "vol-", {"Attribute": "autoEnableIO"}),
    ("describe_vpc_attribute", "VpcId", "vpc-", {"Attribute": "enableDnsSupport"}),
    ("detach_network_interface", "AttachmentId", "eni-attach-", {}),
    ("detach_volume", "VolumeId", "vol-", {}),
    ("disable_image", "ImageId", "ami-", {}),
    ("disable_image_deprecation", "ImageId", "ami-", {}),
    ("disable_image_deregistration_protection", "ImageId", "ami-", {}),
    ("enable_image", "ImageId", "ami-", {}),
    ("enable_image_deregistration_protection", "ImageId", "ami-", {}),
    ("get_console_output", "InstanceId", "i-", {}),
    ("get_instance_uefi_data", "InstanceId", "i-", {}),
    ("get_launch_template_data", "InstanceId", "i-", {}),
    ("get_managed_prefix_list_entries", "PrefixListId", "pl-", {}),
    ("get_password_data", "InstanceId", "i-", {}),
    ("get_security_groups_for_vpc", "VpcId", "vpc-", {}),
    ("describe_stale_security_groups", "VpcId", "vpc-", {}),
    ("modify_image_attribute", "ImageId", "ami-", {"Description": {"Value": "x"}}),
    ("modify_instance_attribute", "InstanceId", "i-", {"DisableApiStop": {"Value": True}}),
    ("modify_instance_cpu_options", "InstanceId", "i-", {"CoreCount": 1, "ThreadsPerCore": 1}),
    ("modify_instance_maintenance_options", "InstanceId", "i-", {"AutoRecovery": "default"}),
    ("modify_instance_metadata_options", "InstanceId", "i-", {"HttpTokens": "required"}),
    ("modify_managed_prefix_list", "PrefixListId", "pl-", {"PrefixListName": "x"}),
    ("modify_network_interface_attribute", "NetworkInterfaceId", "eni-", {"Description": {"Value": "x"}}),
    ("modify_private_dns_name_options", "InstanceId", "i-", {"PrivateDnsHostnameType": "ip-name"}),
    ("modify_security_group_rules", "GroupId", "sg-", {"SecurityGroupRules": RULES}),
    ("modify_snapshot_attribute", "SnapshotId", "snap-", {"CreateVolumePermission": {"Add": [{"Group": "all"}]}}),
    ("modify_volume", "VolumeId", "vol-", {"Size": 1}),
    ("modify_volume_attribute", "VolumeId", "vol-", {"AutoEnableIO": {"Value": True}}),
    ("monitor_instances", "InstanceIds", "i-", {}),
    ("reboot_instances", "InstanceIds", "i-", {}),
    ("release_address", "AllocationId", "eipalloc-", {}),
    ("reset_image_attribute", "ImageId", "ami-", {"Attribute": "launchPermission"}),
    ("reset_instance_attribute", "InstanceId", "i-", {"Attribute": "kernel"}),
    ("reset_network_interface_attribute", "NetworkInterfaceId", "eni-", {"SourceDestCheck": "x"}),
    ("reset_snapshot_attribute", "SnapshotId", "snap-", {"Attribute": "createVolumePermission"}),
    ("revoke_security_group_egress", "GroupId", "sg-", {"IpPermissions": PERMISSIONS}),
    ("revoke_security_group_ingress", "GroupId", "sg-", {"IpPermissions": PERMISSIONS}),
    ("start_instances", "InstanceIds", "i-", {}),
    ("stop_instances", "InstanceIds", "i-", {}),
    ("terminate_instances", "InstanceIds", "i-", {}),
    ("unassign_private_ip_addresses", "NetworkInterfaceId", "eni-", {"PrivateIpAddresses": ["10.0.0.1"]}),
    ("unmonitor_instances", "InstanceIds", "i-", {}),
    ("update_security_group_rule_descriptions_egress", "GroupId", "sg-", {"IpPermissions": PERMISSIONS}),
    ("describe_dhcp_options", "DhcpOptionsIds", "dopt-", {}),
    ("describe_images", "ImageIds", "ami-", {}),
    ("describe_import_image_tasks", "ImportTaskIds", "import-ami-", {}),
    ("describe_instance_credit_specifications", "InstanceIds", "i-", {}),
    ("describe_instance_status", "InstanceIds", "i-", {}),
    ("describe_instances", "InstanceIds", "i-", {}),
    ("describe_internet_gateways", "InternetGatewayIds", "igw-", {}),
    ("describe_launch_templates", "LaunchTemplateIds", "lt-", {}),
    ("describe_managed_prefix_lists", "PrefixListIds", "pl-", {}),
    ("describe_network_acls", "NetworkAclIds", "acl-", {}),
    ("describe_network_interfaces", "NetworkInterfaceIds", "eni-", {}),
    ("describe_route_tables", "RouteTableIds", "rtb-", {}),
    ("describe_security_group_rules", "SecurityGroupRuleIds", "sgr-", {}),
    ("describe_security_groups", "GroupIds", "sg-", {}),
    ("describe_snapshots", "SnapshotIds", "snap-", {}),
    ("describe_subnets", "SubnetIds", "subnet-", {}),
    ("describe_volume_status", "VolumeIds", "vol-", {}),
    ("describe_volumes", "VolumeIds", "vol-", {}),
    ("describe_vpcs", "VpcIds", "vpc-", {}),
]

# All operations that take filters.
SERVED = [
    "describe_addresses",
    "describe_availability_zones",
    "describe_dhcp_options",
    "describe_images",
    "describe_instance_credit_specifications",
    "describe_instance_status",
    "describe_instance_type_offerings",
    "describe_instance_types",
    "describe_instances",
    "describe_internet_gateways",
    "describe_key_pairs",
    "describe_launch_template_versions",
    "describe_launch_templates",
    "describe_managed_prefix_lists",
    "describe_network_acls",
    "describe_network_interfaces",
    "describe_prefix_lists",
    "describe_regions",
    "describe_route_tables",
    "describe_security_group_rules",
    "describe_security_groups",
    "describe_snapshots",
    "describe_subnets",
    "describe_tags",
    "describe_volume_status",
    "describe_volumes",
    "describe_volumes_modifications",
    "describe_vpcs",
    "get_security_groups_for_vpc",
]


class Names(Tour):
    def test_ids_that_nothing_has_and_that_are_none(self):
        for operation, member, prefix, more in OPERATIONS:
            unknown, malformed = CODES[prefix]
            more = {name: zone() if value is ... else value for name, value in more.items()}
            for id, code in [(prefix + "00000000000000001", unknown), (prefix + "x", malformed)]:
                dry_runs = [{}, {"DryRun": True}]
                if "DryRun" not in ec2.meta.service_model.operation_model(self.name(operation)).input_shape.members:
                    dry_runs.pop()
                for dry_run in dry_runs:
                    self.refused(code, getattr(ec2, operation), **self.naming(member, id), **dry_run, **more)

    def name(self, operation):
        return ec2.meta.method_to_api_mapping[operation]

    def naming(self, member, id):
        outer, _, inner = member.partition(".")
        value = {inner: id} if inner else id
        return {outer: [value] if outer.endswith("s") else value}


class Filters(Tour):
    """Filters as all of them are, each kind of object by its own."""

    @classmethod
    def setUpClass(cls):
        cls.vpc = ec2.create_vpc(CidrBlock="10.91.0.0/16", TagSpecifications=tags_of("vpc", Role="a*b", Team="red"))
        cls.vpc = cls.vpc["Vpc"]["VpcId"]
        cls.other = ec2.create_vpc(CidrBlock="10.92.0.0/16", TagSpecifications=tags_of("vpc", Role="axb", Group="red"))
        cls.other = cls.other["Vpc"]["VpcId"]

    @classmethod
    def tearDownClass(cls):
        for vpc in [cls.vpc, cls.other]:
            ec2.delete_vpc(VpcId=vpc)

    def found(self, **wanted):
        ours = filters(vpc_id=[self.vpc, self.other])
        return {one["VpcId"] for one in ec2.describe_vpcs(Filters=ours + filters(**wanted))["Vpcs"]}

    def test_wildcards_and_tags(self):
        one, other = {self.vpc}, {self.other}
        self.assertEqual(self.found(**{"tag:Role": "a*b"}), one | other)
        self.assertEqual(self.found(**{"tag:Role": "a?b"}), one | other)
        self.assertEqual(self.found(**{"tag:Role": "a\\*b"}), one)
        self.assertEqual(self.found(**{"tag:Role": "A*"}), set())
        self.assertEqual(self.found(**{"tag:Role": ["axb", "nothing"]}), other)
        self.assertEqual(self.found(tag_key="Team"), one)
        self.assertEqual(self.found(tag_key=["Team", "Group"]), one | other)
        self.assertEqual(self.found(**{"tag_key": "Team", "tag_value": "red"}), one)
        self.assertEqual(self.found(tag_value="red"), one | other)
        self.assertEqual(self.found(**{"tag:Team": "red", "cidr": "10.9?.0.0/16"}), one)
        self.assertEqual(self.found(cidr="10.92*"), other)
        self.assertEqual(self.found(is_default="false"), one | other)
        self.assertEqual(self.found(**{"tag:Nothing": "*"}), set())

    def test_each_operation_has_the_filters_that_ec2_documents(self):
        for operation, names in documented().items():
            for name in names:
                with self.subTest(operation=operation, filter=name):
                    asked = {"Filters": [{"Name": name, "Values": ["no such value"]}]}
                    if operation == "describe_launch_template_versions":
                        asked["Versions"] = ["$Latest"]
                    if operation == "get_security_groups_for_vpc":
                        asked["VpcId"] = self.vpc
                    self.assertEqual(refusal(getattr(ec2, operation), **asked)[1], 200)
            for code, wrong in [
                ("InvalidParameterValue", [{"Name": "nothing", "Values": ["x"]}]),
                ("InvalidParameterValue", [{"Name": names[0], "Values": []}]),
                ("FilterLimitExceeded", [{"Name": names[0], "Values": [f"{n}" for n in range(201)]}]),
            ]:
                asked = {**asked, "Filters": wrong}
                self.assertEqual(refusal(getattr(ec2, operation), **asked)[0], code, operation)


def documented():
    """The names of filters in botocore's own pages, by operation that is served."""
    # Of what the network interfaces of an instance are tagged with it is not found; and these are values in a list of names.
    unserved = {"network-interface.tag-key", "network-interface.tag-value"}
    unserved |= {"informational", "low", "medium", "high", "critical"}
    pages = {}
    for operation in SERVED:
        members = ec2.meta.service_model.operation_model(ec2.meta.method_to_api_mapping[operation]).input_shape.members
        names = re.findall(r"<li>\s*<p>\s*<code>([^<]+)", members["Filters"].documentation)
        names = [name for name in names if name not in unserved and not name.startswith("tag")]
        pages[operation] = names
    return pages
