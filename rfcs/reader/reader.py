"""A reader of the formats of RFC 0001 to 0004 and 0009, and a node of RFC 0005 and 0007, as a subject of RFC 0014.

    reader.py subject           answers requests on standard input, one JSON object per line
    reader.py verify FILE...    holds itself to vector files
"""

import json
import sys

import manifest
import messages
import record
import session
import ticket
import tree
import wire
from notation import LINE_MAX, Refused, TooLong, need, num, raw, runs, show_runs


def known(params):
    return {num(kind, 0, wire.VARINT_MAX) for kind in params["known"]}


def decode_tlv(params, data):
    found = wire.take_tlvs(wire.Cursor(data), known(params))
    return [{"type": str(kind), "value": value.hex()} for kind, value in found.items()]


def encode_tlv(params, value):
    out = b"".join(wire.put_tlv(num(one["type"]), raw(one["value"])) for one in value)
    need(decode_tlv(params, out) == value, "not a section of known types")  # ENC-3, ENC-8, ENC-11
    return out


def crc(params):
    need(isinstance(params["crc"], bool), "crc")
    return params["crc"]


def decode_frames(params, data):
    frames = wire.take_frames(data, crc(params), num(params["body_max"]))
    return [{"kind": str(kind), "body": body.hex()} for kind, body in frames]


def encode_frames(params, value):
    most = num(params["body_max"])
    out = (wire.put_frame(num(one["kind"]), raw(one["body"]), crc(params), most) for one in value)
    out = b"".join(out)
    need(decode_frames(params, out) == value, "not a list of frames")  # CONF-8
    return out


def decode_ranges(params, data):
    most = num(params["runs_max"])
    return show_runs(wire.only(data, lambda cursor: wire.take_runs(cursor, most)))


DECODE = {
    "varint": lambda params, data: str(wire.only(data, wire.Cursor.varint)),
    "ranges": decode_ranges,
    "tlv": decode_tlv,
    "frame": decode_frames,
    "message": lambda params, data: messages.decode(data),
    "identity": tree.identity,
    "outboard": tree.outboard,
    "transfer": tree.transfer,
    "frontier": tree.frontier,
    "ticket": lambda params, data: ticket.decode(data),
    "manifest": lambda params, data: manifest.decode(data),
    "record": record.decode,
    "session": session.decode,
}
ENCODE = {
    "varint": lambda params, value: wire.put_varint(num(value)),
    "ranges": lambda params, value: wire.put_runs(runs(value), num(params["runs_max"])),
    "tlv": encode_tlv,
    "frame": encode_frames,
    "message": lambda params, value: messages.encode(value),
    "ticket": lambda params, value: ticket.encode(value),
    "manifest": lambda params, value: manifest.encode(value),
    "record": record.encode,
}


def answer(line):
    """RFC 0014 "Subjects", CONF-4: one answer to any line."""
    try:
        request = json.loads(line)
        need(isinstance(request, dict), "not an object")
        op, codec, params = request["op"], request["codec"], request.get("params", {})
        need(isinstance(op, str) and isinstance(codec, str), "CONF-6: op or codec is no text")
        table = {"decode": DECODE, "encode": ENCODE}.get(op, {})
        if codec not in table:
            return {"result": "unsupported"}  # CONF-7
        need(isinstance(params, dict), "CONF-6: params")
        if table is DECODE:
            return {"result": "valid", "value": table[codec](params, raw(request["bytes"]))}
        return {"result": "valid", "bytes": table[codec](params, request["value"]).hex()}
    except TooLong:
        return {"result": "unsupported"}
    except Refused as error:
        return {"result": "invalid", "reason": str(error)}
    except Exception as error:  # a request that is malformed anywhere: CONF-4
        return {"result": "invalid", "reason": f"{type(error).__name__}: {error}"}


def answer_lines():
    for line in sys.stdin.buffer:  # bytes: a line that is not UTF-8 is refused, not fatal
        reply = json.dumps(answer(line))
        sys.stdout.write((reply if len(reply) < LINE_MAX else '{"result": "unsupported"}') + "\n")
        sys.stdout.flush()


def ask(op, test, **rest):
    return answer(json.dumps({"op": op, "params": test.get("params", {})} | rest))


def wrong(codec, test):
    """What is wrong with the answers to a test (CONF-1 to CONF-3); None if nothing."""
    reply = ask("decode", test, codec=codec, bytes=test["bytes"])
    if test["result"] == "invalid":
        return None if reply["result"] == "invalid" else f"has to be refused: {reply}"
    if reply != {"result": "valid", "value": test["value"]}:
        return f"means {test['value']}, was taken as {reply}"
    reply = ask("encode", test, codec=codec, value=test["value"])
    expected = {"result": "valid", "bytes": test.get("canonical", test["bytes"])}
    return None if reply in (expected, {"result": "unsupported"}) else f"was encoded as {reply}"


def verify(paths):
    """Whether all tests of some files are answered as they say."""
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


def main(args):
    if args == ["subject"]:
        answer_lines()
        return 0
    if args[:1] == ["verify"] and args[1:]:
        return 0 if verify(args[1:]) else 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
