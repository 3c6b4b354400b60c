"""Requests as botocore signs them, one a line: signer.py ACCESS_KEY SECRET ROUNDS. Paths, queries and headers have what is
hard to write the same way twice; of EBS's direct API the requests are those of its own client."""

import json
import random
import sys
from urllib.parse import quote, urlsplit

import botocore.session
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

key, secret, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
credentials = Credentials(key, secret)
chance = random.Random(4)
HARD = "abzAZ019-._~ /%+&=?:;,!*'()$@üé中#[]"


class Caught(Exception):
    """Stops a request that is about to be sent."""


def words(most=12):
    return "".join(chance.choice(HARD) for _ in range(chance.randint(1, most)))


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def tell(request):
    url = urlsplit(request.url)
    headers = {name: text(value) for name, value in request.headers.items()}
    line = {
        "method": request.method,
        "uri": (url.path or "/") + ("?" + url.query if url.query else ""),
        "headers": {**headers, "Host": url.netloc},
        "body": text(request.body or ""),
    }
    print(json.dumps(line))


def caught(request, **_):
    raise Caught(request)


def client(scheme):
    made = botocore.session.get_session().create_client(
        "ebs",
        region_name="local-1",
        endpoint_url=f"{scheme}://127.0.0.1:8773",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
    )
    made.meta.events.register("before-send.ebs", caught)
    return made


def block(ebs):
    return ebs.put_snapshot_block, {
        "SnapshotId": words(),
        "BlockIndex": 7,
        "BlockData": words(),
        "DataLength": 524288,
        "Checksum": words(),
        "ChecksumAlgorithm": "SHA256",
    }


def calls(ebs):
    yield ebs.start_snapshot, {"VolumeSize": 1, "Description": words()}
    yield block(ebs)
    yield ebs.complete_snapshot, {"SnapshotId": words(), "ChangedBlocksCount": 1, "Checksum": "a  b"}
    yield ebs.list_snapshot_blocks, {"SnapshotId": words(), "MaxResults": 100}
    yield ebs.list_changed_blocks, {"SecondSnapshotId": words(), "FirstSnapshotId": "snap-1", "NextToken": "a/b+c=="}
    yield ebs.get_snapshot_block, {"SnapshotId": words(), "BlockIndex": 7, "BlockToken": "~a%/+="}


clients = [client("http"), client("https")]
for _ in range(rounds):
    for ebs in clients:
        for call, what in calls(ebs):
            try:
                call(**what)
            except Caught as found:
                tell(found.args[0])
    url = "http://localhost/" + quote(words(24), safe=chance.choice(["", "/", "/~+:@"]))
    pairs = [f"{quote(words(), safe='')}={quote(words(), safe='')}" for _ in range(chance.randint(0, 4))]
    url += chance.choice(["", "/", "//x/../", "/./y"]) + "?" + "&".join(pairs)
    for signer in SigV4Auth, SigV4QueryAuth:
        request = AWSRequest(method=chance.choice(["GET", "POST"]), url=url, headers={"X-Amz-Odd": "  a   b  "})
        signer(credentials, "ec2", "local-1").add_auth(request)
        tell(request.prepare())
