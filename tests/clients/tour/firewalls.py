"""Network ACLs, prefix lists, and what is asked of security groups beside their rules."""

from asking import Tour, ec2, filters, tags_of


class Firewalls(Tour):
    def setUp(self):
        self.vpc = ec2.create_vpc(CidrBlock="10.81.0.0/16")["Vpc"]["VpcId"]
        self.subnet = ec2.create_subnet(VpcId=self.vpc, CidrBlock="10.81.1.0/24")["Subnet"]["SubnetId"]

    def tearDown(self):
        ec2.delete_subnet(SubnetId=self.subnet)
        ec2.delete_vpc(VpcId=self.vpc)

    def entries(self, acl):
        shown = self.only(ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"])
        return {(one["Egress"], one["RuleNumber"]): one for one in shown["Entries"]}

    def test_an_acl_is_made_used_and_deleted(self):
        self.refused("DryRunOperation", ec2.create_network_acl, VpcId=self.vpc, DryRun=True)
        made = self.by_token(
            ec2.create_network_acl,
            {"TagSpecifications": tags_of("network-acl", Name="other")},
            lambda answer: answer["NetworkAcl"]["NetworkAclId"],
            VpcId=self.vpc,
        )["NetworkAcl"]
        acl = made["NetworkAclId"]
        self.assertFalse(made["IsDefault"])
        self.assertEqual({(one["RuleNumber"], one["RuleAction"]) for one in made["Entries"]}, {(32767, "deny")})
        number = {"NetworkAclId": acl, "Egress": False, "RuleNumber": 100}
        entry = {**number, "Protocol": "6", "RuleAction": "allow", "CidrBlock": "10.0.0.0/8"}
        entry["PortRange"] = {"From": 22, "To": 22}
        self.refused("InvalidNetworkAclEntry.NotFound", ec2.replace_network_acl_entry, **entry)
        self.twice(ec2.create_network_acl_entry, **entry)
        self.refused("NetworkAclEntryAlreadyExists", ec2.create_network_acl_entry, **entry)
        shown = self.entries(acl)[False, 100]
        self.assertEqual((shown["Protocol"], shown["PortRange"]), ("6", {"From": 22, "To": 22}))
        self.twice(ec2.replace_network_acl_entry, **{**entry, "RuleAction": "deny"})
        self.assertEqual(self.entries(acl)[False, 100]["RuleAction"], "deny")
        self.refused("InvalidParameterValue", ec2.create_network_acl_entry, **{**entry, "RuleNumber": 32767})
        self.refused("InvalidParameterValue", ec2.create_network_acl_entry, **{**entry, "RuleNumber": 0})
        self.refused("InvalidParameterValue", ec2.create_network_acl_entry, **{**entry, "RuleNumber": 1, "CidrBlock": "x"})
        self.twice(ec2.delete_network_acl_entry, **number)
        self.refused("InvalidNetworkAclEntry.NotFound", ec2.delete_network_acl_entry, **number)

        of_subnet = filters(**{"association.subnet_id": self.subnet})
        default = self.only(ec2.describe_network_acls(Filters=of_subnet)["NetworkAcls"])
        association = default["Associations"][0]["NetworkAclAssociationId"]
        moved = self.twice(ec2.replace_network_acl_association, AssociationId=association, NetworkAclId=acl)
        moved = moved["NewAssociationId"]
        self.refused(
            "InvalidAssociationID.NotFound",
            ec2.replace_network_acl_association,
            AssociationId=association,
            NetworkAclId=acl,
        )
        self.assertEqual(self.only(ec2.describe_network_acls(Filters=of_subnet)["NetworkAcls"])["NetworkAclId"], acl)
        self.refused("DependencyViolation", ec2.delete_network_acl, NetworkAclId=acl)
        ec2.replace_network_acl_association(AssociationId=moved, NetworkAclId=default["NetworkAclId"])
        self.refused("InvalidParameterValue", ec2.delete_network_acl, NetworkAclId=default["NetworkAclId"])
        self.twice(ec2.delete_network_acl, NetworkAclId=acl)
        self.refused("InvalidNetworkAclID.NotFound", ec2.delete_network_acl, NetworkAclId=acl)

    def test_a_prefix_list_has_versions(self):
        said = {"PrefixListName": "tour", "MaxEntries": 2, "AddressFamily": "IPv4", "Entries": [{"Cidr": "10.0.0.0/8"}]}
        self.refused("DryRunOperation", ec2.create_managed_prefix_list, DryRun=True, **said)
        made = self.by_token(
            ec2.create_managed_prefix_list,
            {"MaxEntries": 3},
            lambda answer: answer["PrefixList"]["PrefixListId"],
            **said,
        )["PrefixList"]
        list = made["PrefixListId"]
        self.assertEqual((made["Version"], made["MaxEntries"]), (1, 2))
        more = {"PrefixListId": list, "CurrentVersion": 1, "AddEntries": [{"Cidr": "192.0.2.0/24", "Description": "a"}]}
        modified = self.twice(ec2.modify_managed_prefix_list, **more)["PrefixList"]
        self.assertEqual(modified["Version"], 2)
        self.refused("PrefixListVersionMismatch", ec2.modify_managed_prefix_list, **more)
        self.refused(
            "PrefixListMaxEntriesExceeded",
            ec2.modify_managed_prefix_list,
            PrefixListId=list,
            CurrentVersion=2,
            AddEntries=[{"Cidr": "198.51.100.0/24"}],
        )
        entries = ec2.get_managed_prefix_list_entries(PrefixListId=list)["Entries"]
        self.assertEqual(sorted(one["Cidr"] for one in entries), ["10.0.0.0/8", "192.0.2.0/24"])
        first = ec2.get_managed_prefix_list_entries(PrefixListId=list, TargetVersion=1)["Entries"]
        self.assertEqual([one["Cidr"] for one in first], ["10.0.0.0/8"])
        shown = self.only(ec2.describe_managed_prefix_lists(PrefixListIds=[list])["PrefixLists"])
        self.assertEqual((shown["PrefixListName"], shown["State"]), ("tour", "modify-complete"))
        found = ec2.describe_managed_prefix_lists(Filters=filters(prefix_list_name="to?r"))["PrefixLists"]
        self.assertEqual([one["PrefixListId"] for one in found], [list])
        # Only those of AWS are listed so.
        self.assertNotIn(list, [one["PrefixListId"] for one in ec2.describe_prefix_lists()["PrefixLists"]])

        group = ec2.create_security_group(GroupName="lists", Description="x", VpcId=self.vpc)["GroupId"]
        allowed = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "PrefixListIds": [{"PrefixListId": list}]}]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=allowed)
        self.refused("DependencyViolation", ec2.delete_managed_prefix_list, PrefixListId=list)
        ec2.delete_security_group(GroupId=group)
        deleted = self.twice(ec2.delete_managed_prefix_list, PrefixListId=list)["PrefixList"]
        self.assertEqual(deleted["State"], "delete-complete")
        self.refused("InvalidPrefixListID.NotFound", ec2.delete_managed_prefix_list, PrefixListId=list)

    def test_groups_refer_to_groups(self):
        one = ec2.create_security_group(GroupName="one", Description="x", VpcId=self.vpc)["GroupId"]
        two = ec2.create_security_group(GroupName="two", Description="x", VpcId=self.vpc)["GroupId"]
        self.assertEqual(
            sorted(group["GroupName"] for group in ec2.get_security_groups_for_vpc(VpcId=self.vpc)["SecurityGroupForVpcs"]),
            ["default", "one", "two"],
        )
        pair = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "UserIdGroupPairs": [{"GroupId": two}]}]
        ec2.authorize_security_group_ingress(GroupId=one, IpPermissions=pair)
        self.refused("InvalidPermission.Duplicate", ec2.authorize_security_group_ingress, GroupId=one, IpPermissions=pair)
        # What is told of references are those across peerings, of which there are none.
        self.assertEqual(ec2.describe_security_group_references(GroupId=[two])["SecurityGroupReferenceSet"], [])
        self.assertEqual(ec2.describe_stale_security_groups(VpcId=self.vpc)["StaleSecurityGroupSet"], [])
        self.refused("DependencyViolation", ec2.delete_security_group, GroupId=two)
        ec2.revoke_security_group_ingress(GroupId=one, IpPermissions=pair)

        everywhere = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "all"}]}]
        self.twice(ec2.update_security_group_rule_descriptions_egress, GroupId=one, IpPermissions=everywhere)
        shown = self.only(ec2.describe_security_groups(GroupIds=[one])["SecurityGroups"])
        self.assertEqual(shown["IpPermissionsEgress"][0]["IpRanges"], everywhere[0]["IpRanges"])
        everywhere[0]["IpRanges"][0]["CidrIp"] = "10.0.0.0/8"
        self.refused(
            "InvalidPermission.NotFound",
            ec2.update_security_group_rule_descriptions_egress,
            GroupId=one,
            IpPermissions=everywhere,
        )
        for group in [one, two]:
            self.twice(ec2.delete_security_group, GroupId=group)
        default = self.only(ec2.describe_security_groups(Filters=filters(vpc_id=self.vpc))["SecurityGroups"])["GroupId"]
        self.refused("CannotDelete", ec2.delete_security_group, GroupId=default)
