"""VPCs from within: gateways, route tables and routes, DHCP options, the default VPC and its subnet."""

from asking import Tour, ec2, filters, tags_of, zone


class Networks(Tour):
    def setUp(self):
        self.vpc = ec2.create_vpc(CidrBlock="10.79.0.0/16")["Vpc"]["VpcId"]
        self.subnet = ec2.create_subnet(VpcId=self.vpc, CidrBlock="10.79.1.0/24")["Subnet"]["SubnetId"]

    def tearDown(self):
        ec2.delete_subnet(SubnetId=self.subnet)
        ec2.delete_vpc(VpcId=self.vpc)

    def table(self, id):
        return self.only(ec2.describe_route_tables(RouteTableIds=[id])["RouteTables"])

    def test_a_gateway_is_attached_to_one_vpc(self):
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        both = {"InternetGatewayId": gateway, "VpcId": self.vpc}
        self.refused("Gateway.NotAttached", ec2.detach_internet_gateway, **both)
        self.twice(ec2.attach_internet_gateway, **both)
        shown = ec2.describe_internet_gateways(Filters=filters(**{"attachment.vpc_id": self.vpc}))["InternetGateways"]
        self.assertEqual(self.only(shown)["Attachments"], [{"State": "available", "VpcId": self.vpc}])
        self.refused("Resource.AlreadyAssociated", ec2.attach_internet_gateway, **both)
        other = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.refused("InvalidParameterValue", ec2.attach_internet_gateway, InternetGatewayId=other, VpcId=self.vpc)
        ec2.delete_internet_gateway(InternetGatewayId=other)
        self.refused("DependencyViolation", ec2.delete_internet_gateway, InternetGatewayId=gateway)
        self.refused("DependencyViolation", ec2.delete_vpc, VpcId=self.vpc)
        self.twice(ec2.detach_internet_gateway, **both)
        self.refused("Gateway.NotAttached", ec2.detach_internet_gateway, **both)
        ec2.delete_internet_gateway(InternetGatewayId=gateway)
        self.refused("InvalidInternetGatewayID.NotFound", ec2.delete_internet_gateway, InternetGatewayId=gateway)

    def test_routes_come_and_go(self):
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        self.refused("DryRunOperation", ec2.create_route_table, VpcId=self.vpc, DryRun=True)
        made = self.by_token(
            ec2.create_route_table,
            {"TagSpecifications": tags_of("route-table", Name="other")},
            lambda answer: answer["RouteTable"]["RouteTableId"],
            VpcId=self.vpc,
        )["RouteTable"]
        table = made["RouteTableId"]
        local = {"DestinationCidrBlock": "10.79.0.0/16", "GatewayId": "local", "Origin": "CreateRouteTable", "State": "active"}
        self.assertEqual(made["Routes"], [local])
        out = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
        self.refused("InvalidParameterValue", ec2.replace_route, GatewayId=gateway, **out)
        self.assertTrue(self.twice(ec2.create_route, GatewayId=gateway, **out)["Return"])
        self.refused("RouteAlreadyExists", ec2.create_route, GatewayId=gateway, **out)
        routes = {route["DestinationCidrBlock"]: route for route in self.table(table)["Routes"]}
        self.assertEqual((routes["0.0.0.0/0"]["GatewayId"], routes["0.0.0.0/0"]["Origin"]), (gateway, "CreateRoute"))
        found = ec2.describe_route_tables(Filters=filters(**{"route.gateway_id": gateway}))["RouteTables"]
        self.assertEqual(self.only(found)["RouteTableId"], table)

        self.twice(ec2.replace_route, GatewayId=gateway, **out)
        self.twice(ec2.delete_route, **out)
        self.refused("InvalidRoute.NotFound", ec2.delete_route, **out)
        self.refused("InvalidParameterValue", ec2.delete_route, RouteTableId=table, DestinationCidrBlock="10.79.0.0/16")
        self.refused("InvalidGatewayID.NotFound", ec2.create_route, GatewayId="igw-00000000000000001", **out)
        self.refused("InvalidParameterValue", ec2.create_route, RouteTableId=table, DestinationCidrBlock="x", GatewayId=gateway)

        main = ec2.describe_route_tables(Filters=filters(**{"association.main": "true", "vpc_id": self.vpc}))["RouteTables"]
        main = self.only(main)["RouteTableId"]
        self.refused("DependencyViolation", ec2.delete_route_table, RouteTableId=main)
        both = {"RouteTableId": table, "SubnetId": self.subnet}
        associated = self.twice(ec2.associate_route_table, **both)
        self.assertEqual(associated["AssociationState"]["State"], "associated")
        self.refused("Resource.AlreadyAssociated", ec2.associate_route_table, RouteTableId=main, SubnetId=self.subnet)
        self.assertEqual(self.only(self.table(table)["Associations"])["SubnetId"], self.subnet)
        self.refused("DependencyViolation", ec2.delete_route_table, RouteTableId=table)
        id = associated["AssociationId"]
        moved = self.twice(ec2.replace_route_table_association, AssociationId=id, RouteTableId=main)["NewAssociationId"]
        self.refused("InvalidAssociationID.NotFound", ec2.disassociate_route_table, AssociationId=id)
        self.assertEqual(self.table(table)["Associations"], [])
        self.twice(ec2.disassociate_route_table, AssociationId=moved)
        self.refused("InvalidAssociationID.NotFound", ec2.disassociate_route_table, AssociationId=moved)
        self.twice(ec2.delete_route_table, RouteTableId=table)
        self.refused("InvalidRouteTableID.NotFound", ec2.delete_route_table, RouteTableId=table)
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        ec2.delete_internet_gateway(InternetGatewayId=gateway)

    def test_the_main_association_can_be_replaced_and_not_ended(self):
        of_vpc = filters(**{"vpc_id": self.vpc, "association.main": "true"})
        main = self.only(ec2.describe_route_tables(Filters=of_vpc)["RouteTables"])
        association = main["Associations"][0]["RouteTableAssociationId"]
        self.refused("InvalidParameterValue", ec2.disassociate_route_table, AssociationId=association)
        table = ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        ec2.replace_route_table_association(AssociationId=association, RouteTableId=table)
        now = self.only(ec2.describe_route_tables(Filters=of_vpc)["RouteTables"])
        self.assertEqual(now["RouteTableId"], table)
        ec2.delete_route_table(RouteTableId=main["RouteTableId"])

    def test_dhcp_options_are_of_a_vpc_or_of_none(self):
        said = [{"Key": "domain-name", "Values": ["tour.internal"]}, {"Key": "domain-name-servers", "Values": ["10.79.0.5"]}]
        made = self.twice(ec2.create_dhcp_options, DhcpConfigurations=said)["DhcpOptions"]["DhcpOptionsId"]
        shown = self.only(ec2.describe_dhcp_options(DhcpOptionsIds=[made])["DhcpOptions"])
        configurations = {one["Key"]: [value["Value"] for value in one["Values"]] for one in shown["DhcpConfigurations"]}
        self.assertEqual(configurations, {one["Key"]: one["Values"] for one in said})
        self.assertEqual(
            self.only(ec2.describe_dhcp_options(Filters=filters(key="domain-name", value="tour.*"))["DhcpOptions"]), shown
        )
        before = ec2.describe_vpcs(VpcIds=[self.vpc])["Vpcs"][0]["DhcpOptionsId"]
        self.twice(ec2.associate_dhcp_options, DhcpOptionsId=made, VpcId=self.vpc)
        self.assertEqual(ec2.describe_vpcs(VpcIds=[self.vpc])["Vpcs"][0]["DhcpOptionsId"], made)
        self.refused("DependencyViolation", ec2.delete_dhcp_options, DhcpOptionsId=made)
        ec2.associate_dhcp_options(DhcpOptionsId="default", VpcId=self.vpc)
        self.assertEqual(ec2.describe_vpcs(VpcIds=[self.vpc])["Vpcs"][0]["DhcpOptionsId"], "default")
        ec2.associate_dhcp_options(DhcpOptionsId=before, VpcId=self.vpc)
        self.twice(ec2.delete_dhcp_options, DhcpOptionsId=made)
        self.refused("InvalidDhcpOptionID.NotFound", ec2.delete_dhcp_options, DhcpOptionsId=made)
        self.refused("InvalidParameterValue", ec2.create_dhcp_options, DhcpConfigurations=[{"Key": "x", "Values": ["y"]}])

    def test_what_is_in_use_is_not_deleted(self):
        interface = ec2.create_network_interface(SubnetId=self.subnet)["NetworkInterface"]["NetworkInterfaceId"]
        group = ec2.create_security_group(GroupName="tour", Description="of a test", VpcId=self.vpc)["GroupId"]
        for dry_run in [False, True]:
            self.refused("DependencyViolation", ec2.delete_subnet, SubnetId=self.subnet, DryRun=dry_run)
            self.refused("DependencyViolation", ec2.delete_vpc, VpcId=self.vpc, DryRun=dry_run)
        self.refused("InvalidSubnet.Conflict", ec2.create_subnet, VpcId=self.vpc, CidrBlock="10.79.1.128/25")
        self.refused("InvalidSubnet.Range", ec2.create_subnet, VpcId=self.vpc, CidrBlock="10.80.1.0/24")
        self.refused("InvalidGroup.Duplicate", ec2.create_security_group, GroupName="tour", Description="x", VpcId=self.vpc)
        ec2.delete_network_interface(NetworkInterfaceId=interface)
        self.refused("InvalidNetworkInterfaceID.NotFound", ec2.delete_network_interface, NetworkInterfaceId=interface)
        ec2.delete_security_group(GroupId=group)
        self.refused("InvalidGroup.NotFound", ec2.delete_security_group, GroupId=group)


class Defaults(Tour):
    def test_the_default_vpc_is_made_again(self):
        default = filters(**{"is_default": "true"})
        vpc = self.only(ec2.describe_vpcs(Filters=default)["Vpcs"])["VpcId"]
        self.refused("DefaultVpcAlreadyExists", ec2.create_default_vpc)
        self.refused("DefaultSubnetAlreadyExistsInAvailabilityZone", ec2.create_default_subnet, AvailabilityZone=zone())
        self.refused("InvalidParameterValue", ec2.create_default_subnet, AvailabilityZone="nowhere-1a")
        subnet = self.only(ec2.describe_subnets(Filters=filters(vpc_id=vpc, default_for_az="true"))["Subnets"])
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
        again = self.twice(ec2.create_default_subnet, AvailabilityZone=zone())["Subnet"]
        self.assertTrue(again["DefaultForAz"] and again["MapPublicIpOnLaunch"])
        self.assertEqual(again["VpcId"], vpc)
        ec2.delete_subnet(SubnetId=again["SubnetId"])
        gateways = ec2.describe_internet_gateways(Filters=filters(**{"attachment.vpc_id": vpc}))["InternetGateways"]
        gateway = self.only(gateways)["InternetGatewayId"]
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        ec2.delete_internet_gateway(InternetGatewayId=gateway)
        ec2.delete_vpc(VpcId=vpc)
        self.refused("DefaultVpcDoesNotExist", ec2.create_default_subnet, AvailabilityZone=zone())
        made = self.twice(ec2.create_default_vpc)["Vpc"]
        self.assertEqual((made["CidrBlock"], made["IsDefault"]), ("172.31.0.0/16", True))
        shown = self.only(ec2.describe_subnets(Filters=filters(vpc_id=made["VpcId"]))["Subnets"])
        self.assertTrue(shown["DefaultForAz"])
        gateways = ec2.describe_internet_gateways(Filters=filters(**{"attachment.vpc_id": made["VpcId"]}))
        self.only(gateways["InternetGateways"])

    def test_the_place_is_described(self):
        self.assertEqual(self.only(ec2.describe_regions()["Regions"])["OptInStatus"], "opt-in-not-required")
        attributes = {one["AttributeName"]: one for one in ec2.describe_account_attributes()["AccountAttributes"]}
        self.assertEqual(attributes["supported-platforms"]["AttributeValues"], [{"AttributeValue": "VPC"}])
        default = self.only(ec2.describe_account_attributes(AttributeNames=["default-vpc"])["AccountAttributes"])
        vpc = self.only(ec2.describe_vpcs(Filters=filters(is_default="true"))["Vpcs"])["VpcId"]
        self.assertEqual(default["AttributeValues"], [{"AttributeValue": vpc}])
        offered = ec2.describe_instance_type_offerings(
            LocationType="availability-zone", Filters=filters(instance_type="t3.*")
        )["InstanceTypeOfferings"]
        self.assertIn("t3.nano", [one["InstanceType"] for one in offered])
        self.assertEqual({one["Location"] for one in offered}, {zone()})
