"""RFC 0003, section "Messages"; the keys are those of RFC 0014."""

from notation import Refused, need, num, raw, runs, show_runs, text
from tree import leaves
from wire import BODY_MAX, END_MAX, Cursor, only, put_runs, put_tlv, put_varint, take_runs, take_tlvs

RUNS, KNOWN_RUNS = 1024, 64
KINDS = {0x00: "hello", 0x02: "credit", 0x04: "ping", 0x06: "pong", 0x08: "close", 0x0A: "present",
         0x10: "want", 0x12: "have", 0x14: "data", 0x16: "end", 0x18: "cancel"}
SINGLE = {"credit": "total", "ping": "token", "pong": "token", "cancel": "want"}
HELLO = ((2, "frame_body_max"), (4, "wants_max"), (6, "credit"), (8, "features"))


def utf8(data, reason):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(reason) from error


def hello(c):
    tlvs = take_tlvs(c, {0, 1, 2, 4, 6, 8})
    need({0, 2, 4, 6, 8} <= set(tlvs), "ENC-22: a TLV of HELLO is missing")
    low, high = only(tlvs[0], lambda v: (v.varint(), v.varint()))  # ENC-13 here and below
    need(low <= high, "ENC-23: lowest version above highest")
    out = {"min": str(low), "max": str(high)}
    for kind, key in HELLO:
        out[key] = str(only(tlvs[kind], Cursor.varint))
    need(128 <= int(out["frame_body_max"]) <= BODY_MAX, "ENC-24: frame_body_max")
    if 1 in tlvs:
        need(1 <= len(tlvs[1]) <= 64, "ENC-25: length of agent")
        out["agent"] = utf8(tlvs[1], "ENC-25: agent is not UTF-8")
    return out


def single(key):
    def take(c):
        out = {key: str(c.varint())}
        take_tlvs(c, ())
        return out
    return take


def close(c):
    code, reason = c.varint(), c.take(c.left)  # ENC-27: any code
    need(len(reason) <= 256, "ENC-26: length of reason")
    return {"code": str(code), "reason": utf8(reason, "ENC-26: reason is not UTF-8")}


def present(c):
    right = c.take(c.left)
    need(1 <= len(right) <= 256, "ENC-28: length of right")
    return {"right": right.hex()}


def want(c):
    out = {"want": str(c.varint()), "blob": c.take(32).hex()}
    group, klass = c.byte(), c.byte()
    need(group <= 10 and klass <= 4, "ENC-29: group or class")
    wanted, known = take_runs(c, RUNS), take_runs(c, KNOWN_RUNS)
    need(wanted, "ENC-30: ranges are empty")
    # Both ascend: one pass beside each other.
    at = 0
    for start, end in known:
        while at < len(wanted) and wanted[at][1] <= start:
            at += 1
        need(at == len(wanted) or wanted[at][0] >= end, "ENC-30: known overlaps ranges")
    out |= {"group": str(group), "class": str(klass), "ranges": show_runs(wanted), "known": show_runs(known)}
    return optional(c, out, "size")


def optional(c, out, key):
    """The section whose only known type is 1."""
    tlvs = take_tlvs(c, {1})
    if 1 in tlvs:
        out[key] = str(only(tlvs[1], Cursor.varint))
    return out


def have(c):
    number, size = c.varint(), c.varint()
    held = take_runs(c, RUNS)
    need(not held or held[-1][1] <= leaves(size), "ENC-34: a leaf behind the end")
    take_tlvs(c, ())
    return {"want": str(number), "size": str(size), "held": show_runs(held)}


def data(c):
    number, first, length = c.varint(), c.varint(), c.varint()
    need(length <= 8192 and length % 64 == 0, "ENC-31: length of the proof")
    proof, content = c.take(length), c.take(c.left)
    need(content or (first == 0 and not proof), "ENC-32: no data")
    need(first + -(-len(content) // 1024) <= END_MAX, "ENC-33: the last leaf ends above 2^54")
    return {"want": str(number), "first": str(first), "proof": proof.hex(), "data": content.hex()}


def end(c):
    out = {"want": str(c.varint()), "code": str(c.varint()), "missing": show_runs(take_runs(c, RUNS))}
    return optional(c, out, "retry_ms")


TAKE = {"hello": hello, "close": close, "present": present, "want": want, "have": have, "data": data, "end": end}
TAKE |= {name: single(key) for name, key in SINGLE.items()}


def decode(content):
    c = Cursor(content)
    kind = c.varint()
    need(c.left <= BODY_MAX, "ENC-15: a body above its limit")
    if kind not in KINDS:
        need(kind & 1, "ENC-20: an unknown even kind")
        return {"message": "skipped", "kind": str(kind)}  # ENC-21
    out = {"message": KINDS[kind]} | TAKE[KINDS[kind]](c)
    c.done()
    return out


def put(name, value):
    """The fields of a body (ENC-1)."""
    def v(key):
        return put_varint(num(value[key]))

    def r(key, most):
        return put_runs(runs(value[key]), most)

    def last(key):
        return put_tlv(1, v(key)) if key in value else b""

    if name in SINGLE:
        return v(SINGLE[name])
    if name == "hello":
        agent = put_tlv(1, text(value["agent"])) if "agent" in value else b""
        return put_tlv(0, v("min") + v("max")) + agent + b"".join(put_tlv(kind, v(key)) for kind, key in HELLO)
    if name == "close":
        return v("code") + text(value["reason"])
    if name == "present":
        return raw(value["right"])
    if name == "want":
        group = bytes([num(value["group"], 0, 10), num(value["class"], 0, 4)])  # ENC-29
        return v("want") + raw(value["blob"], 32) + group + r("ranges", RUNS) + r("known", KNOWN_RUNS) + last("size")
    if name == "have":
        return v("want") + v("size") + r("held", RUNS)
    if name == "data":
        proof = raw(value["proof"])
        return v("want") + v("first") + put_varint(len(proof)) + proof + raw(value["data"])
    return v("want") + v("code") + r("missing", RUNS) + last("retry_ms")


def encode(value):
    """ENC-3: what is encoded has to decode to the value, so that every limit is checked."""
    name = value["message"]
    if name == "skipped":
        return b""  # RFC 0014: its canonical bytes are empty
    kinds = {known: kind for kind, known in KINDS.items()}
    need(name in kinds, "no such message")
    out = put_varint(kinds[name]) + put(name, value)
    need(decode(out) == value, "keys that the message has not")
    return out
