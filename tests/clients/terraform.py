"""What Terraform's AWS provider asks for on create, read, update and delete of its resources, asked by boto3:
terraform.py IMAGE. The environment says which daemon. The order and the members are the provider's."""

import sys

import boto3
import botocore.exceptions

image = sys.argv[1]
ec2 = boto3.client("ec2")
FAST = {"Delay": 1, "MaxAttempts": 120}


def gone(code, call, **what):
    try:
        call(**what)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return
    sys.exit(f"{call.__name__} of {what} is still answered")


def tags(name):
    return [{"Key": "Name", "Value": name}]


def specification(kind, name):
    return [{"ResourceType": kind, "Tags": tags(name)}]


# The provider's start.
account = boto3.client("sts").get_caller_identity()["Account"]
assert len(account) == 12

# data aws_ami
found = ec2.describe_images(Owners=["self"], Filters=[{"Name": "image-id", "Values": [image]}], IncludeDeprecated=False)
assert [one["ImageId"] for one in found["Images"]] == [image]
assert found["Images"][0]["CreationDate"].endswith(".000Z")

# aws_key_pair
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl terraform"
key = ec2.import_key_pair(KeyName="terraform", PublicKeyMaterial=PUBLIC, TagSpecifications=specification("key-pair", "k"))
read = ec2.describe_key_pairs(KeyNames=["terraform"], IncludePublicKey=True)["KeyPairs"][0]
assert read["KeyPairId"] == key["KeyPairId"] and read["PublicKey"].split()[1] == PUBLIC.split()[1]
ec2.create_tags(Resources=[key["KeyPairId"]], Tags=[{"Key": "more", "Value": ""}])

# aws_vpc
vpc = ec2.create_vpc(CidrBlock="10.78.0.0/16", InstanceTenancy="default", TagSpecifications=specification("vpc", "v"))
vpc = vpc["Vpc"]["VpcId"]
ec2.get_waiter("vpc_available").wait(VpcIds=[vpc])
ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
assert ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"] is True
assert ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsSupport")["EnableDnsSupport"]["Value"] is True
usage = ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableNetworkAddressUsageMetrics")
assert usage["EnableNetworkAddressUsageMetrics"]["Value"] is False
of_vpc = {"Name": "vpc-id", "Values": [vpc]}
assert ec2.describe_network_acls(Filters=[of_vpc, {"Name": "default", "Values": ["true"]}])["NetworkAcls"]
assert ec2.describe_route_tables(Filters=[of_vpc, {"Name": "association.main", "Values": ["true"]}])["RouteTables"]
default = ec2.describe_security_groups(Filters=[of_vpc, {"Name": "group-name", "Values": ["default"]}])
assert len(default["SecurityGroups"]) == 1

# aws_subnet
subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.78.1.0/24", TagSpecifications=specification("subnet", "s"))
subnet = subnet["Subnet"]["SubnetId"]
ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
assert ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["MapPublicIpOnLaunch"] is True
ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": False})

# aws_security_group
group = ec2.create_security_group(
    GroupName="terraform", Description="Managed", VpcId=vpc, TagSpecifications=specification("security-group", "g")
)["GroupId"]
ec2.get_waiter("security_group_exists").wait(GroupIds=[group])
everything = {"IpProtocol": "-1", "FromPort": 0, "ToPort": 0}
ec2.revoke_security_group_egress(
    GroupId=group, IpPermissions=[{**everything, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
)
gone(
    "InvalidPermission.NotFound",
    ec2.revoke_security_group_egress,
    GroupId=group,
    IpPermissions=[{**everything, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}],
)
ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "a"}]}
made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh])
rule = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
ssh["IpRanges"][0]["Description"] = "b"
ec2.update_security_group_rule_descriptions_ingress(GroupId=group, IpPermissions=[ssh])
assert ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule])["SecurityGroupRules"][0]["Description"] == "b"
ec2.modify_security_group_rules(
    GroupId=group,
    SecurityGroupRules=[
        {
            "SecurityGroupRuleId": rule,
            "SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIpv4": "10.78.0.0/16"},
        }
    ],
)
ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule])
assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"] == []

# aws_ebs_volume
zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
volume = ec2.create_volume(AvailabilityZone=zone, Size=1, VolumeType="gp3", TagSpecifications=specification("volume", "d"))
volume = volume["VolumeId"]
ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig=FAST)
ec2.modify_volume(VolumeId=volume, Size=2)
modification = ec2.describe_volumes_modifications(VolumeIds=[volume])["VolumesModifications"][0]
assert modification["TargetSize"] == 2
assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"] == 2

# aws_instance: create
root = ec2.describe_images(ImageIds=[image])["Images"][0]["RootDeviceName"]
launched = ec2.run_instances(
    ImageId=image,
    InstanceType="t3.nano",
    MinCount=1,
    MaxCount=1,
    KeyName="terraform",
    SubnetId=subnet,
    SecurityGroupIds=[group],
    UserData="#!/bin/sh\n",
    BlockDeviceMappings=[{"DeviceName": root, "Ebs": {"DeleteOnTermination": True}}],
    TagSpecifications=specification("instance", "i") + specification("volume", "i"),
    MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
)
instance = launched["Instances"][0]["InstanceId"]
ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig=FAST)
described = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
ec2.create_tags(Resources=[described["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]], Tags=[{"Key": "x", "Value": "y"}])

# read
assert ec2.describe_instance_types(InstanceTypes=[described["InstanceType"]])["InstanceTypes"]
assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [instance]}])["Tags"]
assert ec2.describe_vpcs(VpcIds=[described["VpcId"]])["Vpcs"][0]["IsDefault"] is False
assert ec2.describe_volumes(VolumeIds=[described["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]])["Volumes"]


def attribute(name):
    return ec2.describe_instance_attribute(InstanceId=instance, Attribute=name)


assert attribute("instanceInitiatedShutdownBehavior")["InstanceInitiatedShutdownBehavior"]["Value"] == "stop"
assert attribute("disableApiStop")["DisableApiStop"]["Value"] is False
assert attribute("disableApiTermination")["DisableApiTermination"]["Value"] is False
assert attribute("userData")["UserData"]["Value"]
assert ec2.describe_instance_credit_specifications(InstanceIds=[instance])["InstanceCreditSpecifications"]

# update
ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": True})
gone("OperationNotPermitted", ec2.terminate_instances, InstanceIds=[instance])
ec2.modify_instance_attribute(InstanceId=instance, InstanceInitiatedShutdownBehavior={"Value": "terminate"})
ec2.modify_instance_metadata_options(InstanceId=instance, HttpPutResponseHopLimit=3)
options = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["MetadataOptions"]
assert options["State"] == "applied" and options["HttpPutResponseHopLimit"] == 3
interface = described["NetworkInterfaces"][0]["NetworkInterfaceId"]
ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[default["SecurityGroups"][0]["GroupId"]])
ec2.assign_private_ip_addresses(NetworkInterfaceId=interface, SecondaryPrivateIpAddressCount=1)
addresses = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]["PrivateIpAddresses"]
secondary = [one["PrivateIpAddress"] for one in addresses if not one["Primary"]]
ec2.unassign_private_ip_addresses(NetworkInterfaceId=interface, PrivateIpAddresses=secondary)
ec2.monitor_instances(InstanceIds=[instance])
ec2.unmonitor_instances(InstanceIds=[instance])
ec2.modify_instance_maintenance_options(InstanceId=instance, AutoRecovery="disabled")
ec2.stop_instances(InstanceIds=[instance])
ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance], WaiterConfig=FAST)
ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "t3.micro"})
ec2.modify_instance_attribute(InstanceId=instance, UserData={"Value": b"#!/bin/sh\ntrue\n"})
ec2.start_instances(InstanceIds=[instance])
ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig=FAST)
described = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
assert described["InstanceType"] == "t3.micro"

# delete
ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": False})
ec2.modify_instance_attribute(InstanceId=instance, DisableApiStop={"Value": False})
ec2.terminate_instances(InstanceIds=[instance])
ec2.get_waiter("instance_terminated").wait(InstanceIds=[instance], WaiterConfig=FAST)
ec2.delete_volume(VolumeId=volume)
ec2.get_waiter("volume_deleted").wait(VolumeIds=[volume], WaiterConfig=FAST)
assert ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": [group]}])["NetworkInterfaces"] == []
ec2.delete_security_group(GroupId=group)
gone("InvalidGroup.NotFound", ec2.describe_security_groups, GroupIds=[group])
assert ec2.describe_network_interfaces(Filters=[{"Name": "subnet-id", "Values": [subnet]}])["NetworkInterfaces"] == []
ec2.delete_subnet(SubnetId=subnet)
gone("InvalidSubnetID.NotFound", ec2.describe_subnets, SubnetIds=[subnet])
ec2.delete_vpc(VpcId=vpc)
gone("InvalidVpcID.NotFound", ec2.describe_vpcs, VpcIds=[vpc])
ec2.delete_key_pair(KeyName="terraform")
print("terraform: aws_ami aws_key_pair aws_vpc aws_subnet aws_security_group aws_ebs_volume aws_instance: done")
