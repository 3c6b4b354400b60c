"""What all parts of the tour share: a client, instances to ask about, and how an answer is held to what EC2 documents."""

import os
import time
import unittest

import boto3
import botocore.exceptions
from botocore.config import Config

IMAGE = os.environ.get("TOUR_IMAGE")
# What is wrong is to go to the daemon, and not to be found before.
ec2 = boto3.client("ec2", config=Config(parameter_validation=False))
SMALL = {"ImageId": IMAGE, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1}


def zone():
    return ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]


def tags_of(kind, **tags):
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]


def filters(**wanted):
    """Filters by keyword: underscores stand for dashes, and a text for a list of one."""
    values = {name.replace("_", "-"): value for name, value in wanted.items()}
    return [{"Name": name, "Values": [value] if isinstance(value, str) else value} for name, value in values.items()]


def until(is_so, seconds=30):
    """Looks again and again, for a short time."""
    deadline = time.monotonic() + seconds
    while not (answer := is_so()):
        if time.monotonic() > deadline:
            raise AssertionError("it did not become so")
        time.sleep(0.05)
    return answer


def instance(id):
    return ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]


def state(id):
    return instance(id)["State"]["Name"]


def launch(**what):
    launched = ec2.run_instances(**{**SMALL, **what})["Instances"]
    for one in launched:
        until(lambda: state(one["InstanceId"]) == "running")
    return launched[0]["InstanceId"]


def stop(id):
    ec2.stop_instances(InstanceIds=[id])
    until(lambda: state(id) == "stopped")


def terminate(*ids):
    ec2.terminate_instances(InstanceIds=list(ids))
    for id in ids:
        until(lambda: state(id) == "terminated")


def refusal(call, **what):
    """Code, HTTP status and message of a call that fails."""
    try:
        done = call(**what)
    except botocore.exceptions.ClientError as error:
        said = error.response
        return said["Error"]["Code"], said["ResponseMetadata"]["HTTPStatusCode"], said["Error"]["Message"]
    return "done", 200, done


class Tour(unittest.TestCase):
    """A part of the tour."""

    maxDiff = None

    def refused(self, code, call, **what):
        """The call must fail with this code."""
        with self.subTest(call=call.__name__, code=code, **what):
            answered = refusal(call, **what)
            self.assertEqual(answered[:2], (code, 412 if code == "DryRunOperation" else 400), answered[2])

    def twice(self, call, **what):
        """A call that changes something: a dry run of it would succeed, and changes nothing, so that it succeeds then."""
        self.refused("DryRunOperation", call, DryRun=True, **what)
        return call(**what)

    def only(self, items):
        self.assertEqual(len(items), 1, items)
        return items[0]

    def by_token(self, call, other, made, **what):
        """The same token and request get the same answer, the same token and another request are a mismatch."""
        first = call(ClientToken="tour-" + call.__name__, **what)
        again = call(ClientToken="tour-" + call.__name__, **what)
        self.assertEqual(made(first), made(again), call.__name__)
        self.refused("IdempotentParameterMismatch", call, ClientToken="tour-" + call.__name__, **{**what, **other})
        return first
