"""Random values of every shape, through botocore's serialiser and parser: codec.py ROUNDS OPERATION...

Called by the test of wire::query's codec, with which it talks by lines of JSON. It says {"operation", "form", "request"} and is
answered with what kiln read out of the form; it says {"operation", "answer"} and is answered with the XML that kiln wrote of it.
"""

import base64
import json
import random
import sys
import urllib.parse

import botocore.parsers
import botocore.serialize
import botocore.session

MAX_DEPTH = 6
LETTERS = "abcXYZ019 <>&\"'/.:-_+=%*?~\t\n\r\u00fc\u20ac\U0001f980\x7f"

model = botocore.session.get_session().get_service_model("ec2")
serialiser = botocore.serialize.create_serializer("ec2", include_validation=False)
parser = botocore.parsers.create_parser("ec2")
chance = random.Random(2016_11_15)


def text():
    return "".join(chance.choice(LETTERS) for _ in range(chance.randrange(8)))


def value(shape, depth=0):
    """A value as kiln's JSON has it: blobs in base64, times as text."""
    kind = shape.type_name
    if kind == "structure":
        likely = min(1.0, 6 / max(1, len(shape.members))) if depth else 0.5
        return {
            name: value(member, depth + 1)
            for name, member in shape.members.items()
            if depth < MAX_DEPTH and chance.random() < likely
        }
    if kind == "list":
        return [value(shape.member, depth + 1) for _ in range(chance.randrange(3))]
    return {
        "string": text,
        "integer": lambda: chance.randrange(-(2**31), 2**31),
        "long": lambda: chance.randrange(-(2**63), 2**63),
        "double": lambda: chance.randrange(-1000, 1000) / 8,
        "float": lambda: chance.randrange(-1000, 1000) / 8,
        "boolean": lambda: chance.random() < 0.5,
        "blob": lambda: base64.b64encode(chance.randbytes(chance.randrange(9))).decode(),
        "timestamp": lambda: f"20{chance.randrange(10, 38)}-0{chance.randrange(1, 10)}-1{chance.randrange(10)}T01:02:03Z",
    }[kind]()


def of_python(shape, given):
    """The same as botocore's callers have it."""
    if shape.type_name == "structure":
        return {name: of_python(shape.members[name], member) for name, member in given.items()}
    if shape.type_name == "list":
        return [of_python(shape.member, item) for item in given]
    return base64.b64decode(given) if shape.type_name == "blob" else given


def of_json(shape, parsed):
    """What botocore's parser gives, as kiln's JSON has it."""
    if shape.type_name == "structure":
        return {name: of_json(shape.members[name], member) for name, member in parsed.items()}
    if shape.type_name == "list":
        return [of_json(shape.member, item) for item in parsed]
    if shape.type_name == "blob":
        return base64.b64encode(parsed).decode()
    if shape.type_name == "timestamp":
        return parsed.strftime("%Y-%m-%dT%H:%M:%SZ")
    return parsed


def without_empty(given):
    """A client sends no empty list, and of a structure only its members."""
    if isinstance(given, dict):
        kept = {name: without_empty(member) for name, member in given.items()}
        return {name: member for name, member in kept.items() if member not in ([], {})}
    if isinstance(given, list):
        return [item for item in map(without_empty, given) if item not in ([], {})]
    return given


def ask(**line):
    print(json.dumps(line), flush=True)
    return json.loads(sys.stdin.readline())


def same(operation, what, got, expected):
    if got != expected:
        sys.exit(f"{operation}: {what}: got {json.dumps(got)}, expected {json.dumps(expected)}")


def request(operation):
    given = without_empty(value(operation.input_shape))
    sent = serialiser.serialize_to_request(of_python(operation.input_shape, given), operation)
    form = urllib.parse.urlencode(sent["body"])
    same(operation.name, "request", ask(operation=operation.name, form=form), given)


def answer(operation):
    given = value(operation.output_shape)
    xml = ask(operation=operation.name, answer=given)
    response = {"body": xml.encode(), "headers": {}, "status_code": 200}
    parsed = parser.parse(response, operation.output_shape)
    parsed.pop("ResponseMetadata")
    same(operation.name, "answer", of_json(operation.output_shape, parsed), given)


rounds, names = int(sys.argv[1]), sys.argv[2:]
for name in names:
    operation = model.operation_model(name)
    for _ in range(rounds):
        request(operation)
        if operation.output_shape:
            answer(operation)
