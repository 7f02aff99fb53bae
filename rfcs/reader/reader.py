"""A reader of Samara's formats that shares no code with the crates: a subject of RFC 0014.

    reader.py subject          answers requests, one line of JSON each, until its input ends
    reader.py verify FILE...   holds itself to vector files
"""

import json
import sys

import manifest
import messages
import record
import ticket
import tree
import wire
from values import number, ranges, to_bytes, to_number, to_ranges
from wire import Input, Refused


def known(params):
    return [to_number(kind) for kind in params["known"]]


def decode_tlv(params, data):
    found = wire.take_tlvs(Input(data), set(known(params)))
    return [{"type": number(kind), "value": value.hex()} for kind, value in found.items()]


def encode_tlv(params, value):
    out = b"".join(wire.tlv(to_number(one["type"]), to_bytes(one["value"])) for one in value)
    if decode_tlv({"known": [one["type"] for one in value]}, out) != value:
        raise Refused("not a section")
    return out


def decode_frames(params, data):
    frames = wire.take_frames(data, params["crc"], to_number(params["body_max"]))
    return [{"kind": number(kind), "body": body.hex()} for kind, body in frames]


def encode_frames(params, value):
    frames = [(to_number(one["kind"]), to_bytes(one["body"])) for one in value]
    return wire.put_frames(frames, params["crc"], to_number(params["body_max"]))


def decode_ranges(params, data):
    most = to_number(params["runs_max"])
    return ranges(wire.whole(data, lambda data: wire.take_ranges(data, most)))


def identity(params, data):
    if data:
        raise Refused("the input has to be empty")
    return tree.identity(params)


DECODE = {
    "varint": lambda params, data: number(wire.whole(data, Input.varint)),
    "ranges": decode_ranges,
    "tlv": decode_tlv,
    "frame": decode_frames,
    "message": lambda params, data: messages.decode(data),
    "identity": identity,
    "outboard": tree.outboard,
    "transfer": tree.transfer,
    "frontier": tree.frontier,
    "ticket": lambda params, data: ticket.decode(data),
    "manifest": lambda params, data: manifest.decode(data),
    "record": record.decode,
}
# The bytes of the others do not follow from their values.
ENCODE = {
    "varint": lambda params, value: wire.varint(to_number(value)),
    "ranges": lambda params, value: wire.put_ranges(to_ranges(value), to_number(params["runs_max"])),
    "tlv": encode_tlv,
    "frame": encode_frames,
    "message": lambda params, value: messages.encode(value),
    "ticket": lambda params, value: ticket.encode(value),
    "manifest": lambda params, value: manifest.encode(value),
    "record": record.encode,
}


def answer(request):
    """CONF-4: one answer to whatever comes."""
    try:
        params = request.get("params", {})
        codec = request["codec"]
        if request["op"] == "decode":
            if codec not in DECODE:
                return {"result": "unsupported"}
            return {"result": "valid", "value": DECODE[codec](params, to_bytes(request["bytes"]))}
        if codec not in ENCODE:
            return {"result": "unsupported"}
        return {"result": "valid", "bytes": ENCODE[codec](params, request["value"]).hex()}
    except Refused as error:
        return {"result": "invalid", "reason": str(error)}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        return {"result": "invalid", "reason": f"not a request: {type(error).__name__}: {error}"}


def subject():
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except json.JSONDecodeError as error:
            reply = {"result": "invalid", "reason": f"not JSON: {error}"}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


def verify(paths):
    """Whether this reader answers all tests of some files as they say."""
    passed, failed = 0, 0
    for path in paths:
        with open(path, encoding="utf-8") as file:
            vectors = json.load(file)
        for test in vectors["tests"]:
            problem = wrong(vectors["codec"], test)
            if problem:
                print(f"FAILED {path} {test['id']} ({test['comment']}): {problem}")
            passed, failed = passed + (not problem), failed + bool(problem)
    print(f"{passed} passed, {failed} failed")
    return failed == 0


def wrong(codec, test):
    params = test.get("params", {})
    request = {"op": "decode", "codec": codec, "params": params, "bytes": test["bytes"]}
    reply = answer(request)
    if test["result"] == "invalid":
        return None if reply["result"] == "invalid" else f"has to be refused: {reply}"
    if reply != {"result": "valid", "value": test["value"]}:
        return f"means {test['value']}, was taken as {reply}"
    request = {"op": "encode", "codec": codec, "params": params, "value": test["value"]}
    reply = answer(request)
    expected = test.get("canonical", test["bytes"])
    if reply["result"] == "unsupported" or reply == {"result": "valid", "bytes": expected}:
        return None
    return f"its value was encoded as {reply}"


def main(args):
    if args[:1] == ["subject"] and len(args) == 1:
        subject()
        return 0
    if args[:1] == ["verify"] and len(args) > 1:
        return 0 if verify(args[1:]) else 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
