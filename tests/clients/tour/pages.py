"""Pages: each that there is, put together, is the whole list; and what goes with MaxResults."""

from asking import IMAGE, SMALL, Tour, ec2, filters, refusal, state, terminate, until, zone

NAMED = {
    "describe_addresses_attribute": ("AllocationIds", "eipalloc-"),
    "describe_dhcp_options": ("DhcpOptionsIds", "dopt-"),
    "describe_images": ("ImageIds", "ami-"),
    "describe_import_image_tasks": ("ImportTaskIds", "import-ami-"),
    "describe_import_snapshot_tasks": ("ImportTaskIds", "import-snap-"),
    "describe_instance_credit_specifications": ("InstanceIds", "i-"),
    "describe_instance_status": ("InstanceIds", "i-"),
    "describe_instances": ("InstanceIds", "i-"),
    "describe_internet_gateways": ("InternetGatewayIds", "igw-"),
    "describe_launch_templates": ("LaunchTemplateIds", "lt-"),
    "describe_managed_prefix_lists": ("PrefixListIds", "pl-"),
    "describe_network_acls": ("NetworkAclIds", "acl-"),
    "describe_network_interfaces": ("NetworkInterfaceIds", "eni-"),
    "describe_route_tables": ("RouteTableIds", "rtb-"),
    "describe_security_group_rules": ("SecurityGroupRuleIds", "sgr-"),
    "describe_security_groups": ("GroupIds", "sg-"),
    "describe_snapshots": ("SnapshotIds", "snap-"),
    "describe_subnets": ("SubnetIds", "subnet-"),
    "describe_volume_status": ("VolumeIds", "vol-"),
    "describe_volumes": ("VolumeIds", "vol-"),
    "describe_volumes_modifications": ("VolumeIds", "vol-"),
    "describe_vpcs": ("VpcIds", "vpc-"),
}
# Those that have pages, and name nothing by ids; with what else they must be told.
UNNAMED = {
    "describe_export_image_tasks": {},
    "describe_instance_type_offerings": {},
    "describe_instance_types": {},
    "describe_launch_template_versions": {"Versions": ["$Latest"]},
    "describe_prefix_lists": {},
    "describe_stale_security_groups": {"VpcId": ...},
    "describe_tags": {},
    "get_managed_prefix_list_entries": {"PrefixListId": ...},
    "get_security_groups_for_vpc": {"VpcId": ...},
}
# EC2's least page is of five, but here of one.
FROM_ONE = [
    "describe_addresses_attribute",
    "describe_export_image_tasks",
    "describe_launch_template_versions",
    "describe_launch_templates",
    "describe_managed_prefix_lists",
    "get_managed_prefix_list_entries",
]
# Those whose objects have tags.
TAGGED = [
    "describe_dhcp_options",
    "describe_instances",
    "describe_internet_gateways",
    "describe_launch_templates",
    "describe_managed_prefix_lists",
    "describe_network_acls",
    "describe_network_interfaces",
    "describe_route_tables",
    "describe_security_groups",
    "describe_snapshots",
    "describe_subnets",
    "describe_volumes",
    "get_security_groups_for_vpc",
]


class Pages(Tour):
    """Eleven of each, which are three pages of five."""

    @classmethod
    def setUpClass(cls):
        made = cls.made = {}
        cls.vpc = vpc = ec2.create_vpc(CidrBlock="10.90.0.0/16")["Vpc"]["VpcId"]
        subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.90.{n}.0/24")["Subnet"]["SubnetId"] for n in range(11)]
        made["describe_subnets"] = subnets
        interfaces = [ec2.create_network_interface(SubnetId=subnets[0])["NetworkInterface"] for _ in range(11)]
        made["describe_network_interfaces"] = [one["NetworkInterfaceId"] for one in interfaces]
        groups = [ec2.create_security_group(GroupName=f"page-{n}", Description="x", VpcId=vpc) for n in range(11)]
        made["describe_security_groups"] = made["get_security_groups_for_vpc"] = [one["GroupId"] for one in groups]
        tables = [ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in range(11)]
        made["describe_route_tables"] = tables
        acls = [ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"] for _ in range(11)]
        made["describe_network_acls"] = acls
        gateways = [ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"] for _ in range(11)]
        made["describe_internet_gateways"] = gateways
        options = [{"Key": "domain-name", "Values": ["page.internal"]}]
        options = [ec2.create_dhcp_options(DhcpConfigurations=options)["DhcpOptions"] for _ in range(11)]
        made["describe_dhcp_options"] = [one["DhcpOptionsId"] for one in options]
        lists = {"MaxEntries": 9, "AddressFamily": "IPv4", "Entries": [{"Cidr": f"10.{n}.0.0/16"} for n in range(9)]}
        lists = [ec2.create_managed_prefix_list(PrefixListName=f"page-{n}", **lists)["PrefixList"] for n in range(3)]
        made["describe_managed_prefix_lists"] = [one["PrefixListId"] for one in lists]
        templates = [
            ec2.create_launch_template(LaunchTemplateName=f"page-{n}", LaunchTemplateData={"ImageId": IMAGE})["LaunchTemplate"]
            for n in range(3)
        ]
        made["describe_launch_templates"] = [one["LaunchTemplateId"] for one in templates]
        addresses = [ec2.allocate_address()["AllocationId"] for _ in range(3)]
        made["describe_addresses_attribute"] = addresses
        volumes = [ec2.create_volume(AvailabilityZone=zone(), Size=1)["VolumeId"] for _ in range(11)]
        made["describe_volumes"] = made["describe_volume_status"] = volumes
        for volume in volumes:
            until(lambda: ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available")
            ec2.modify_volume(VolumeId=volume, Size=2)
        made["describe_volumes_modifications"] = volumes
        made["describe_snapshots"] = [ec2.create_snapshot(VolumeId=volumes[0])["SnapshotId"] for _ in range(11)]
        made["describe_tags"] = volumes
        instances = ec2.run_instances(**{**SMALL, "MinCount": 11, "MaxCount": 11})["Instances"]
        instances = [one["InstanceId"] for one in instances]
        for instance in instances:
            until(lambda: state(instance) == "running")
        made["describe_instances"] = made["describe_instance_status"] = instances
        made["describe_instance_credit_specifications"] = instances
        for operation in TAGGED:
            ec2.create_tags(Resources=made[operation], Tags=[{"Key": "page", "Value": "a*b"}])

    @classmethod
    def tearDownClass(cls):
        made = cls.made
        terminate(*made["describe_instances"])
        deletions = {
            "describe_addresses_attribute": (ec2.release_address, "AllocationId"),
            "describe_dhcp_options": (ec2.delete_dhcp_options, "DhcpOptionsId"),
            "describe_internet_gateways": (ec2.delete_internet_gateway, "InternetGatewayId"),
            "describe_launch_templates": (ec2.delete_launch_template, "LaunchTemplateId"),
            "describe_managed_prefix_lists": (ec2.delete_managed_prefix_list, "PrefixListId"),
            "describe_network_acls": (ec2.delete_network_acl, "NetworkAclId"),
            "describe_network_interfaces": (ec2.delete_network_interface, "NetworkInterfaceId"),
            "describe_route_tables": (ec2.delete_route_table, "RouteTableId"),
            "describe_security_groups": (ec2.delete_security_group, "GroupId"),
            "describe_snapshots": (ec2.delete_snapshot, "SnapshotId"),
            "describe_subnets": (ec2.delete_subnet, "SubnetId"),
            "describe_volumes": (ec2.delete_volume, "VolumeId"),
        }
        for described, (delete, member) in deletions.items():
            for id in made[described]:
                delete(**{member: id})
        ec2.delete_vpc(VpcId=cls.vpc)

    def asked(self, operation):
        told = UNNAMED.get(operation, {})
        known = {"VpcId": self.vpc, "PrefixListId": self.made["describe_managed_prefix_lists"][0]}
        return {name: known[name] if value is ... else value for name, value in told.items()}

    def test_all_pages_are_the_whole_list(self):
        for operation in [*NAMED, *UNNAMED]:
            with self.subTest(operation=operation):
                asked = self.asked(operation)
                least = 1 if operation in FROM_ONE else 5
                if ec2.can_paginate(operation):
                    paginator = ec2.get_paginator(operation)
                    pages = list(paginator.paginate(PaginationConfig={"PageSize": least}, **asked))
                    keys = [key.expression for key in paginator.result_keys]
                else:
                    pages = self.by_hand(operation, MaxResults=least, **asked)
                    keys = [next(key for key, value in pages[0].items() if isinstance(value, list))]
                items = [item for page in pages for item in self.flat(page[keys[0]])]
                whole = self.flat(getattr(ec2, operation)(**asked)[keys[0]])
                self.assertCountEqual(items, whole)
                self.assertTrue(all(len(self.flat(page[keys[0]])) == least for page in pages[:-1]))
                made = self.made.get(operation, [])
                self.assertTrue(not made or len(pages) >= 3, len(pages))
                text = str(items)
                self.assertTrue(all(id in text for id in made))

    def test_what_is_tagged_is_found_by_its_tags(self):
        for operation in TAGGED:
            asked, made = self.asked(operation), self.made[operation]
            for wanted, is_found in [
                ({"tag:page": "a*b"}, True),
                ({"tag:page": "a\\*?"}, True),
                ({"tag:page": "a\\?b"}, False),
                ({"tag:page": ["x", "?*b"]}, True),
                ({"tag:Page": "a*b"}, False),
                ({"tag_key": ["nothing", "pag?"]}, True),
                ({"tag_key": "page", "tag:page": "A*"}, False),
            ]:
                with self.subTest(operation=operation, **wanted):
                    answer = getattr(ec2, operation)(Filters=filters(**wanted), **asked)
                    items = self.flat(next(value for value in answer.values() if isinstance(value, list)))
                    self.assertEqual(len(items), len(made) if is_found else 0)
                    self.assertTrue(all(id in str(items) for id in made if is_found))

    def flat(self, items):
        """Instances, which are what is counted, come by reservation."""
        return [one for item in items for one in item.get("Instances", [item])]

    def by_hand(self, operation, **asked):
        pages = [getattr(ec2, operation)(**asked)]
        while "NextToken" in pages[-1]:
            pages.append(getattr(ec2, operation)(NextToken=pages[-1]["NextToken"], **asked))
        return pages

    def test_what_goes_with_max_results(self):
        for operation, (member, prefix) in NAMED.items():
            named = {member: [prefix + "00000000000000001"]}
            self.refused("InvalidParameterCombination", getattr(ec2, operation), MaxResults=5, **named)
        for operation in [*NAMED, *UNNAMED]:
            asked = self.asked(operation)
            call = getattr(ec2, operation)
            least = 1 if operation in FROM_ONE else 5
            for wrong in [least - 1, 1001]:
                self.refused("InvalidParameterValue", call, MaxResults=wrong, **asked)
            self.refused("InvalidNextToken", call, NextToken="nothing", **asked)
            self.assertEqual(refusal(call, DryRun=True, **asked)[0], "DryRunOperation")

    def test_a_token_is_of_its_own_request(self):
        token = ec2.describe_volumes(MaxResults=5)["NextToken"]
        other = [{"Name": "size", "Values": ["2"]}]
        self.refused("InvalidNextToken", ec2.describe_volumes, MaxResults=5, NextToken=token, Filters=other)
        self.refused("InvalidNextToken", ec2.describe_snapshots, MaxResults=5, NextToken=token)
        # Another size of the page is the same request.
        self.assertTrue(ec2.describe_volumes(MaxResults=6, NextToken=token)["Volumes"])
