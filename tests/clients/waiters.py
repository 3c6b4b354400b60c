"""All waiters of boto3 that mean something here, and a key by EC2 Instance Connect, against a daemon: waiters.py IMAGE. The
environment says which."""

import sys

import boto3
import botocore.exceptions

image = sys.argv[1]
ec2 = boto3.client("ec2")
FAST = {"Delay": 1, "MaxAttempts": 120}
waited = set()


def wait(name, **what):
    ec2.get_waiter(name).wait(WaiterConfig=FAST, **what)
    waited.add(name)


def fails(name, **what):
    """The waiter must end at once, for what it waits for can't be."""
    try:
        ec2.get_waiter(name).wait(WaiterConfig={"Delay": 1, "MaxAttempts": 2}, **what)
    except botocore.exceptions.WaiterError:
        return
    sys.exit(f"{name} did not fail")


def refused(code, call, **what):
    try:
        call(**what)
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != code:
            sys.exit(f"expected {code}: {error}")
        return
    sys.exit(f"expected {code}, but it was done")


ec2.create_key_pair(KeyName="waiters")
wait("key_pair_exists", KeyNames=["waiters"])
vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
wait("vpc_exists", VpcIds=[vpc])
wait("vpc_available", VpcIds=[vpc])
subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.1.0/24")["Subnet"]["SubnetId"]
wait("subnet_available", SubnetIds=[subnet])
gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
wait("internet_gateway_exists", InternetGatewayIds=[gateway])
group = ec2.create_security_group(GroupName="waiters", Description="of a test", VpcId=vpc)["GroupId"]
wait("security_group_exists", GroupIds=[group])
interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
wait("network_interface_available", NetworkInterfaceIds=[interface])
fails("network_interface_available", NetworkInterfaceIds=["eni-00000000000000001"])
ec2.delete_network_interface(NetworkInterfaceId=interface)
ec2.delete_security_group(GroupId=group)
ec2.delete_internet_gateway(InternetGatewayId=gateway)
ec2.delete_subnet(SubnetId=subnet)
ec2.delete_vpc(VpcId=vpc)
refused("InvalidVpcID.NotFound", ec2.describe_vpcs, VpcIds=[vpc])
ec2.delete_key_pair(KeyName="waiters")
refused("InvalidKeyPair.NotFound", ec2.describe_key_pairs, KeyNames=["waiters"])

wait("image_exists", ImageIds=[image])
wait("image_available", ImageIds=[image])
zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
volume = ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]
wait("volume_available", VolumeIds=[volume])
snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
wait("snapshot_completed", SnapshotIds=[snapshot])

launch = {"ImageId": image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1, "ClientToken": "waiters"}
instance = ec2.run_instances(**launch)["Instances"][0]["InstanceId"]
again = ec2.run_instances(**launch)["Instances"][0]["InstanceId"]
assert again == instance, "the same token launched twice"
refused("IdempotentParameterMismatch", ec2.run_instances, **{**launch, "InstanceType": "t3.micro"})
wait("instance_exists", InstanceIds=[instance])
wait("instance_running", InstanceIds=[instance])
wait("system_status_ok", InstanceIds=[instance])
root = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["BlockDeviceMappings"][0]
wait("volume_in_use", VolumeIds=[root["Ebs"]["VolumeId"]])
ec2.get_password_data(InstanceId=instance)

connect = boto3.client("ec2-instance-connect")
key = ec2.create_key_pair(KeyName="sent", KeyType="ed25519")["KeyPairId"]
key = ec2.describe_key_pairs(KeyPairIds=[key], IncludePublicKey=True)["KeyPairs"][0]["PublicKey"]
send = {"InstanceId": instance, "InstanceOSUser": "admin", "SSHPublicKey": key}
sent = connect.send_ssh_public_key(**send)
assert sent["Success"] and sent["RequestId"], sent
assert connect.send_ssh_public_key(**send, AvailabilityZone=zone)["Success"]
try:
    connect.send_ssh_public_key(**{**send, "InstanceId": "i-00000000000000001"})
    sys.exit("a key was sent to nobody")
except connect.exceptions.EC2InstanceNotFoundException:
    pass
refused("InvalidArgsException", connect.send_ssh_public_key, **{**send, "InstanceOSUser": "../root"})
ec2.delete_key_pair(KeyName="sent")

ec2.stop_instances(InstanceIds=[instance])
wait("instance_stopped", InstanceIds=[instance])
refused("EC2InstanceStateInvalidException", connect.send_ssh_public_key, **send)
ec2.terminate_instances(InstanceIds=[instance])
fails("instance_running", InstanceIds=[instance])
wait("instance_terminated", InstanceIds=[instance])

ec2.delete_snapshot(SnapshotId=snapshot)
ec2.delete_volume(VolumeId=volume)
wait("volume_deleted", VolumeIds=[volume])

pages = list(ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 5}))
names = [one["InstanceType"] for page in pages for one in page["InstanceTypes"]]
assert len(pages) > 1 and len(names) == len(set(names)), names
print(f"waiters: {len(waited)} of them: {' '.join(sorted(waited))}")
