"""RFC 0003, section "Messages": bodies of frames."""

import wire
from values import number, ranges, to_bytes, to_number, to_ranges
from wire import FRAME_BODY_MAX, RUNS_MAX, Input, Refused, take_ranges, take_tlvs, tlv, varint, whole

KNOWN_RUNS_MAX = 64
KINDS = {
    0x00: "hello", 0x02: "credit", 0x04: "ping", 0x06: "pong", 0x08: "close", 0x0A: "present",
    0x10: "want", 0x12: "have", 0x14: "data", 0x16: "end", 0x18: "cancel",
}
NUMBERS = {name: kind for kind, name in KINDS.items()}
ONE_NUMBER = {"credit": "total", "ping": "token", "pong": "token", "cancel": "want"}


def text(data, least, most):
    if not least <= len(data) <= most:
        raise Refused("a text is too short or too long")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("a text is not UTF-8") from error


def hello(data):
    tlvs = take_tlvs(data, {0, 1, 2, 4, 6, 8})
    for kind in (0, 2, 4, 6, 8):  # ENC-22
        if kind not in tlvs:
            raise Refused(f"HELLO lacks TLV {kind}")
    low, high = whole(tlvs[0], lambda value: (value.varint(), value.varint()))
    if low > high:  # ENC-23
        raise Refused("the lowest version is above the highest")
    out = {"min": number(low), "max": number(high)}
    if 1 in tlvs:  # ENC-25
        out["agent"] = text(tlvs[1], 1, 64)
    for kind, key in ((2, "frame_body_max"), (4, "wants_max"), (6, "credit"), (8, "features")):
        out[key] = number(whole(tlvs[kind], Input.varint))
    if not 128 <= int(out["frame_body_max"]) <= FRAME_BODY_MAX:  # ENC-24
        raise Refused("frame_body_max is out of range")
    return out


def close(data):
    code = data.varint()  # any code: ENC-27
    return {"code": number(code), "reason": text(data.rest(), 0, 256)}  # ENC-26


def present(data):
    right = data.rest()
    if not 1 <= len(right) <= 256:  # ENC-28
        raise Refused("a right is empty or too long")
    return {"right": right.hex()}


def want(data):
    out = {"want": number(data.varint()), "blob": data.take(32).hex()}
    group, kind = data.byte(), data.byte()
    if group > 10 or kind > 4:  # ENC-29
        raise Refused("no such group or class")
    wanted, known = take_ranges(data, RUNS_MAX), take_ranges(data, KNOWN_RUNS_MAX)
    check_want(wanted, known)
    out |= {"group": number(group), "class": number(kind)}
    out |= {"ranges": ranges(wanted), "known": ranges(known)}
    tlvs = take_tlvs(data, {1})
    if 1 in tlvs:
        out["size"] = number(whole(tlvs[1], Input.varint))
    return out


def check_want(wanted, known):
    """ENC-30."""
    if not wanted:
        raise Refused("a WANT of nothing")
    for start, end in known:
        if any(start < other_end and other_start < end for other_start, other_end in wanted):
            raise Refused("what is known is wanted")


def have(data):
    out = {"want": number(data.varint()), "size": number(data.varint())}
    out["held"] = ranges(take_ranges(data, RUNS_MAX))
    take_tlvs(data, set())
    return out


def data_(data):
    out = {"want": number(data.varint())}
    first, length = data.varint(), data.varint()
    if length > 8192 or length % 64:  # ENC-31
        raise Refused("a proof is too long or not made of pairs")
    proof, content = data.take(length), data.rest()
    check_data(first, proof, content)
    return out | {"first": number(first), "proof": proof.hex(), "data": content.hex()}


def check_data(first, proof, content):
    if not content and (first or proof):  # ENC-32
        raise Refused("DATA without data")
    if first + max(1, -(-len(content) // 1024)) > wire.LEAVES_END_MAX:  # ENC-33
        raise Refused("DATA ends above 2^54")


def end(data):
    out = {"want": number(data.varint()), "code": number(data.varint())}
    out["missing"] = ranges(take_ranges(data, RUNS_MAX))
    tlvs = take_tlvs(data, {1})
    if 1 in tlvs:
        out["retry_ms"] = number(whole(tlvs[1], Input.varint))
    return out


def one_number(key):
    def take(data):
        out = {key: number(data.varint())}
        take_tlvs(data, set())
        return out

    return take


BODIES = {
    "hello": hello, "close": close, "present": present, "want": want, "have": have, "data": data_,
    "end": end,
} | {name: one_number(key) for name, key in ONE_NUMBER.items()}


def decode(data):
    """Kind and body."""
    data = Input(data)
    kind = data.varint()
    if data.left() > FRAME_BODY_MAX:
        raise Refused("no frame has a body this long")
    if kind not in KINDS:
        if kind % 2 == 0:  # ENC-20
            raise Refused(f"the kind {kind} has to be known")
        return {"message": "skipped", "kind": number(kind)}  # ENC-21
    name = KINDS[kind]
    out = {"message": name} | BODIES[name](data)
    data.end()
    return out


def encode(value):
    """Kind and body; ENC-3: what breaks a limit is refused."""
    name = value["message"]
    if name == "skipped":
        return b""
    body = put(name, value)
    if len(body) > FRAME_BODY_MAX:
        raise Refused("no frame has a body this long")
    out = varint(NUMBERS[name]) + body
    # Whatever is encoded has to decode to the same: that checks every limit once more.
    if decode(out) != value:
        raise Refused("the value has parts that its message has not")
    return out


def put(name, value):
    def n(key):
        return varint(to_number(value[key]))

    if name in ONE_NUMBER:
        return n(ONE_NUMBER[name])
    if name == "hello":
        out = tlv(0, n("min") + n("max"))
        if "agent" in value:
            out += tlv(1, value["agent"].encode())
        return out + tlv(2, n("frame_body_max")) + tlv(4, n("wants_max")) + tlv(6, n("credit")) + tlv(8, n("features"))
    if name == "close":
        return n("code") + value["reason"].encode()
    if name == "present":
        return to_bytes(value["right"])
    if name == "want":
        group, kind = to_number(value["group"], 0, 10), to_number(value["class"], 0, 4)
        out = n("want") + to_bytes(value["blob"]) + bytes([group, kind])
        out += wire.put_ranges(to_ranges(value["ranges"]), RUNS_MAX)
        out += wire.put_ranges(to_ranges(value["known"]), KNOWN_RUNS_MAX)
        return out + (tlv(1, n("size")) if "size" in value else b"")
    if name == "have":
        return n("want") + n("size") + wire.put_ranges(to_ranges(value["held"]), RUNS_MAX)
    if name == "data":
        proof = to_bytes(value["proof"])
        return n("want") + n("first") + varint(len(proof)) + proof + to_bytes(value["data"])
    if name == "end":
        out = n("want") + n("code") + wire.put_ranges(to_ranges(value["missing"]), RUNS_MAX)
        return out + (tlv(1, n("retry_ms")) if "retry_ms" in value else b"")
    raise Refused(f"there is no message {name}")
