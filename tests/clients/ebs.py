"""The EBS direct API as boto3 asks it: snapshots written, compared and read block by block, against a daemon. The environment
says which."""

import base64
import hashlib
import io
import os

import boto3
import botocore.exceptions

BLOCK = 512 << 10
ebs, ec2 = boto3.client("ebs"), boto3.client("ec2")


def checksum(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def written(blocks, **what):
    """A snapshot of these blocks, by their indexes."""
    snapshot = ebs.start_snapshot(VolumeSize=1, Timeout=10, **what)
    assert snapshot["Status"] == "pending" and snapshot["BlockSize"] == BLOCK, snapshot
    sums = b""
    for index, data in sorted(blocks.items()):
        body = data if index % 2 else io.BytesIO(data)
        put = ebs.put_snapshot_block(
            SnapshotId=snapshot["SnapshotId"],
            BlockIndex=index,
            BlockData=body,
            DataLength=len(data),
            Checksum=checksum(data),
            ChecksumAlgorithm="SHA256",
        )
        assert put["Checksum"] == checksum(data), put
        sums += hashlib.sha256(data).digest()
    ebs.complete_snapshot(
        SnapshotId=snapshot["SnapshotId"],
        ChangedBlocksCount=len(blocks),
        Checksum=checksum(sums),
        ChecksumAlgorithm="SHA256",
        ChecksumAggregationMethod="LINEAR",
    )
    ec2.get_waiter("snapshot_completed").wait(
        SnapshotIds=[snapshot["SnapshotId"]], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    return snapshot["SnapshotId"]


def read(snapshot, block):
    answer = ebs.get_snapshot_block(
        SnapshotId=snapshot, BlockIndex=block["BlockIndex"], BlockToken=block["BlockToken"]
    )
    data = answer["BlockData"].read()
    assert answer["Checksum"] == checksum(data) and answer["DataLength"] == len(data) == BLOCK
    return data


def refused(code, call, **what):
    try:
        call(**what)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        return error.response
    raise AssertionError(f"expected {code}, but it was done")


first = {0: os.urandom(BLOCK), 7: os.urandom(BLOCK)}
second = {7: os.urandom(BLOCK), 2047: os.urandom(BLOCK)}
tags = [{"Key": "Name", "Value": "größer als"}]
before = written(first, Description="a  disk, by blocks", Tags=tags)
after = written(second, ParentSnapshotId=before, ClientToken="once")
described = ec2.describe_snapshots(SnapshotIds=[before])["Snapshots"][0]
assert (described["Description"], described["Tags"]) == ("a  disk, by blocks", tags), described

listed = ebs.list_snapshot_blocks(SnapshotId=before, MaxResults=100)["Blocks"]
assert {block["BlockIndex"]: read(before, block) for block in listed} == first
changed = ebs.list_changed_blocks(FirstSnapshotId=before, SecondSnapshotId=after)["ChangedBlocks"]
assert [block["BlockIndex"] for block in changed] == [7, 2047], changed
whole = ebs.list_snapshot_blocks(SnapshotId=after)["Blocks"]
assert {block["BlockIndex"]: read(after, block) for block in whole} == {**first, **second}

wrong = {"SnapshotId": after, "BlockIndex": 0, "BlockToken": "a+b/c= %"}
assert refused("ValidationException", ebs.get_snapshot_block, **wrong)["Reason"] == "INVALID_BLOCK_TOKEN"
refused("ValidationException", ebs.list_snapshot_blocks, SnapshotId="snap/ü %2f")
stranger = boto3.client("ebs", aws_secret_access_key="another", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"])
refused("InvalidSignatureException", stranger.list_snapshot_blocks, SnapshotId=after)
for snapshot in before, after:
    ec2.delete_snapshot(SnapshotId=snapshot)
refused("ResourceNotFoundException", ebs.list_snapshot_blocks, SnapshotId=after)
print("ebs: two snapshots written, compared and read")
