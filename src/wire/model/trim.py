#!/usr/bin/env python3
"""Makes ec2.json.gz, the part of EC2's public API model that kiln is built on, from a botocore package.

    pip download --no-deps botocore==1.44.5
    ./trim.py botocore-1.44.5-py3-none-any.whl

Of the operations below the shapes are kept whole, without documentation; of all others only the names, so that kiln can tell what
it does not serve from what does not exist. The output is the same, byte for byte, for the same input.
"""

import gzip
import io
import json
import pathlib
import re
import sys
import zipfile

MODEL = "botocore/data/ec2/2016-11-15/service-2.json.gz"

# What one needs to launch an instance, to log in, and to be Terraform's aws_instance with its surroundings.
TIER_1 = """
RunInstances DescribeInstances DescribeInstanceStatus StartInstances StopInstances RebootInstances TerminateInstances
DescribeInstanceAttribute ModifyInstanceAttribute
DescribeInstanceTypes DescribeInstanceTypeOfferings DescribeRegions DescribeAvailabilityZones DescribeAccountAttributes
DescribeImages DescribeVolumes CreateTags DeleteTags DescribeTags
CreateKeyPair ImportKeyPair DescribeKeyPairs DeleteKeyPair
CreateSecurityGroup DescribeSecurityGroups DeleteSecurityGroup AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress
RevokeSecurityGroupIngress RevokeSecurityGroupEgress DescribeSecurityGroupRules ModifySecurityGroupRules
CreateVpc DeleteVpc DescribeVpcs DescribeVpcAttribute ModifyVpcAttribute CreateSubnet DeleteSubnet DescribeSubnets
ModifySubnetAttribute DescribeNetworkInterfaces DescribeRouteTables DescribeNetworkAcls DescribeInternetGateways
"""

# Volumes, snapshots, images, addresses, routes and launch templates, as their own resources.
TIER_2 = """
CreateImage RegisterImage CopyImage DeregisterImage DescribeImageAttribute ModifyImageAttribute ResetImageAttribute EnableImage
DisableImage EnableImageDeprecation DisableImageDeprecation EnableImageDeregistrationProtection
DisableImageDeregistrationProtection
CreateVolume DeleteVolume AttachVolume DetachVolume ModifyVolume DescribeVolumesModifications DescribeVolumeStatus
DescribeVolumeAttribute ModifyVolumeAttribute
CreateSnapshot CreateSnapshots DeleteSnapshot DescribeSnapshots CopySnapshot DescribeSnapshotAttribute ModifySnapshotAttribute
ResetSnapshotAttribute
GetConsoleOutput GetConsoleScreenshot GetPasswordData ModifyInstanceMetadataOptions GetInstanceMetadataDefaults
ModifyInstanceMetadataDefaults ResetInstanceAttribute MonitorInstances UnmonitorInstances ModifyInstancePlacement
ModifyInstanceMaintenanceOptions ModifyPrivateDnsNameOptions ModifyInstanceCpuOptions DescribeInstanceCreditSpecifications
ModifyInstanceCreditSpecification CreateReplaceRootVolumeTask DescribeReplaceRootVolumeTasks GetInstanceUefiData
CreateNetworkInterface DeleteNetworkInterface AttachNetworkInterface DetachNetworkInterface DescribeNetworkInterfaceAttribute
ModifyNetworkInterfaceAttribute ResetNetworkInterfaceAttribute AssignPrivateIpAddresses UnassignPrivateIpAddresses
AssignIpv6Addresses UnassignIpv6Addresses
AllocateAddress ReleaseAddress AssociateAddress DisassociateAddress DescribeAddresses DescribeAddressesAttribute
CreateDefaultVpc CreateDefaultSubnet CreateInternetGateway AttachInternetGateway DetachInternetGateway DeleteInternetGateway
CreateRouteTable DeleteRouteTable CreateRoute ReplaceRoute DeleteRoute AssociateRouteTable DisassociateRouteTable
ReplaceRouteTableAssociation CreateDhcpOptions DeleteDhcpOptions DescribeDhcpOptions AssociateDhcpOptions
UpdateSecurityGroupRuleDescriptionsIngress UpdateSecurityGroupRuleDescriptionsEgress GetSecurityGroupsForVpc
DescribeSecurityGroupReferences DescribeStaleSecurityGroups
CreateLaunchTemplate CreateLaunchTemplateVersion DescribeLaunchTemplates DescribeLaunchTemplateVersions ModifyLaunchTemplate
DeleteLaunchTemplate DeleteLaunchTemplateVersions GetLaunchTemplateData
ImportSnapshot DescribeImportSnapshotTasks ImportImage DescribeImportImageTasks CancelImportTask GetEbsEncryptionByDefault
"""

# The rest that a host of one's own can mean something by.
TIER_3 = """
CreateNetworkAcl DeleteNetworkAcl CreateNetworkAclEntry DeleteNetworkAclEntry ReplaceNetworkAclEntry ReplaceNetworkAclAssociation
CreateNatGateway DeleteNatGateway DescribeNatGateways CreateEgressOnlyInternetGateway DeleteEgressOnlyInternetGateway
DescribeEgressOnlyInternetGateways AssociateVpcCidrBlock DisassociateVpcCidrBlock AssociateSubnetCidrBlock
DisassociateSubnetCidrBlock CreateSubnetCidrReservation DeleteSubnetCidrReservation GetSubnetCidrReservations
CreateManagedPrefixList ModifyManagedPrefixList DeleteManagedPrefixList DescribeManagedPrefixLists DescribePrefixLists
GetManagedPrefixListEntries
RequestSpotInstances CancelSpotInstanceRequests DescribeSpotInstanceRequests DescribeSpotPriceHistory
CreateFleet DeleteFleets DescribeFleets DescribeFleetInstances
CreatePlacementGroup DeletePlacementGroup DescribePlacementGroups
AssociateIamInstanceProfile DisassociateIamInstanceProfile DescribeIamInstanceProfileAssociations
ReplaceIamInstanceProfileAssociation
ExportImage DescribeExportImageTasks CreateInstanceExportTask DescribeExportTasks CancelExportTask CreateStoreImageTask
DescribeStoreImageTasks CreateRestoreImageTask
EnableEbsEncryptionByDefault DisableEbsEncryptionByDefault EnableFastSnapshotRestores DisableFastSnapshotRestores
DescribeFastSnapshotRestores ModifySnapshotTier RestoreSnapshotTier DescribeSnapshotTierStatus
ListSnapshotsInRecycleBin RestoreSnapshotFromRecycleBin ListImagesInRecycleBin RestoreImageFromRecycleBin
EnableSerialConsoleAccess DisableSerialConsoleAccess GetSerialConsoleAccessStatus
CreateFlowLogs DeleteFlowLogs DescribeFlowLogs AllocateHosts ReleaseHosts DescribeHosts ModifyHosts
EnableImageBlockPublicAccess DisableImageBlockPublicAccess GetImageBlockPublicAccessState EnableAllowedImagesSettings
DisableAllowedImagesSettings GetAllowedImagesSettings ReplaceImageCriteriaInAllowedImagesSettings
CreateInstanceEventWindow ModifyInstanceEventWindow DeleteInstanceEventWindow DescribeInstanceEventWindows
"""

# Enumerations whose values are the host's own and not EC2's: instance types come from instance-types.toml.
OPEN_ENUMS = {"InstanceType"}

# kiln's own members, which EC2 does not have: docs/extensions.md says what they mean.
EXTENSIONS = {
    "ImageDiskContainer": {"CommandLine": {"shape": "String"}},
    "ImportImageRequest": {
        "ImageOwnerAlias": {"shape": "String"},
        "OwnerId": {"shape": "String"},
        "ProductCodes": {"shape": "ProductCodeList"},
    },
    "ExportImageRequest": {"Url": {"shape": "String"}},
}

# Values of enumerations that are kiln's own, and members that EC2 requires and kiln does not.
MORE_VALUES = {"DiskImageFormat": ["QCOW2"]}
NOT_REQUIRED = {"ExportImageRequest": {"S3ExportLocation"}}

SHAPE_KEYS = ("type", "required", "enum", "min", "max")
MEMBER_KEYS = ("shape", "locationName", "queryName", "idempotencyToken")


def trim_shape(name, shape):
    """A shape without its documentation."""
    kept = {key: shape[key] for key in SHAPE_KEYS if key in shape}
    if name in OPEN_ENUMS:
        kept.pop("enum", None)
    if name in MORE_VALUES:
        kept["enum"] = kept["enum"] + MORE_VALUES[name]
    if name in NOT_REQUIRED:
        kept["required"] = [member for member in kept["required"] if member not in NOT_REQUIRED[name]]
    if "members" in shape:
        members = shape["members"] | EXTENSIONS.get(name, {})
        kept["members"] = {name: trim_member(member) for name, member in members.items()}
    if "member" in shape:
        kept["member"] = trim_member(shape["member"])
    return kept


def trim_member(member):
    return {key: member[key] for key in MEMBER_KEYS if key in member}


def reach(shapes, name, reached):
    """Collects the shape and all that it is made of."""
    if name in reached:
        return
    reached.add(name)
    shape = shapes[name]
    for member in [*shape.get("members", {}).values(), *filter(None, [shape.get("member")])]:
        reach(shapes, member["shape"], reached)


def trim(model, source):
    whole = {name for tier in (TIER_1, TIER_2, TIER_3) for name in tier.split()}
    unknown = sorted(whole - set(model["operations"]))
    if unknown:
        sys.exit(f"Not in {source}: {' '.join(unknown)}")
    operations, reached = {}, set()
    for name, operation in sorted(model["operations"].items()):
        operations[name] = {}
        if name in whole:
            for side in ("input", "output"):
                if side in operation:
                    operations[name][side] = operation[side]["shape"]
                    reach(model["shapes"], operation[side]["shape"], reached)
    shapes = {name: trim_shape(name, model["shapes"][name]) for name in sorted(reached)}
    return {"source": source, "version": model["metadata"]["apiVersion"], "operations": operations, "shapes": shapes}


def main(wheel):
    source = re.match(r"botocore-[0-9.]+[0-9]", pathlib.Path(wheel).name).group()
    with zipfile.ZipFile(wheel) as package:
        model = json.loads(gzip.decompress(package.read(MODEL)))
    text = json.dumps(trim(model, source), separators=(",", ":"), sort_keys=True).encode()
    packed = io.BytesIO()
    # Neither a time nor a file name in the header: the same input gives the same bytes.
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=9, mtime=0) as out:
        out.write(text)
    pathlib.Path(__file__).with_name("ec2.json.gz").write_bytes(packed.getvalue())
    print(f"{source}: {len(text)} bytes, {len(packed.getvalue())} packed")


if __name__ == "__main__":
    main(*sys.argv[1:])
