"""RFC 0003: varints, range sets, TLV sections and frames."""

import zlib

VARINT_MAX = (1 << 62) - 1
LEAVES_END_MAX = 1 << 54
FRAME_BODY_MAX = 1_114_112
RUNS_MAX = 1024
TLVS_MAX = 32
TLV_VALUE_MAX = 16_383


class Refused(Exception):
    """The bytes, or the value, are not what the RFC allows."""


class Input:
    """Bytes that are taken from the front."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        """The next bytes. ENC-4: fields end before the bytes do."""
        if count > self.left():
            raise Refused(f"{count - self.left()} bytes are missing")
        start, self.at = self.at, self.at + count
        return self.data[start:self.at]

    def rest(self):
        return self.take(self.left())

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        """ENC-2: the shortest form only."""
        first = self.byte()
        length = 1 << (first >> 6)
        value = int.from_bytes(bytes([first & 0x3F]) + self.take(length - 1), "big")
        if length > 1 and value < 1 << (8 * (length // 2) - 2):
            raise Refused("a varint has a shorter form")
        return value

    def end(self):
        if self.left():
            raise Refused(f"{self.left()} bytes are left over")


def varint(value):
    """The shortest form (ENC-1)."""
    if not 0 <= value <= VARINT_MAX:
        raise Refused(f"{value} is no varint")
    for bits in range(4):
        length = 1 << bits
        if value < 1 << (8 * length - 2):
            return (value | bits << (8 * length - 2)).to_bytes(length, "big")
    raise Refused(f"{value} is no varint")


def take_ranges(data, runs_max):
    """A set of leaves as a list of (start, end)."""
    count = data.varint()
    if count > min(runs_max, RUNS_MAX):  # ENC-5
        raise Refused("more runs than the field allows")
    runs, floor = [], 0
    for _ in range(count):
        start = floor + data.varint()
        end = start + data.varint() + 1
        if end > LEAVES_END_MAX:  # ENC-6
            raise Refused("a run ends above 2^54")
        runs.append((start, end))
        floor = end + 1
    return runs


def put_ranges(runs, runs_max):
    if len(runs) > min(runs_max, RUNS_MAX):
        raise Refused("more runs than the field allows")
    if runs and runs[-1][1] > LEAVES_END_MAX:
        raise Refused("a run ends above 2^54")
    out, floor = varint(len(runs)), 0
    for start, end in runs:
        out += varint(start - floor) + varint(end - start - 1)
        floor = end + 1
    return out


def take_tlvs(data, known):
    """The section at the end of a body: values of known types, by type."""
    found, last, count = {}, -1, 0
    while data.left():
        count += 1
        if count > TLVS_MAX:  # ENC-11
            raise Refused("more than 32 TLVs")
        kind, length = data.varint(), data.varint()
        if length > TLV_VALUE_MAX:  # ENC-12
            raise Refused("a TLV is longer than 16,383 bytes")
        value = data.take(length)
        if kind <= last:  # ENC-8
            raise Refused("types do not ascend")
        last = kind
        if kind in known:
            found[kind] = value
        elif kind % 2 == 0:  # ENC-9; odd ones are skipped, ENC-10
            raise Refused(f"the TLV type {kind} has to be known")
    return found


def tlv(kind, value):
    if len(value) > TLV_VALUE_MAX:
        raise Refused("a TLV is longer than 16,383 bytes")
    return varint(kind) + varint(len(value)) + value


def whole(data, take):
    """All of `data` as one thing, with nothing after it (ENC-13 where it is the value of a TLV)."""
    data = Input(data)
    value = take(data)
    data.end()
    return value


def take_frames(data, crc, body_max):
    """A stream of whole frames as a list of (kind, body)."""
    data, frames = Input(data), []
    while data.left():
        start = data.at
        kind, length = data.varint(), data.varint()
        if length > min(body_max, FRAME_BODY_MAX):  # ENC-15
            raise Refused("a body is above its limit")
        body = data.take(length)
        covered = data.data[start:data.at]
        if crc and int.from_bytes(data.take(4), "little") != zlib.crc32(covered):  # ENC-18
            raise Refused("the CRC-32 differs")
        frames.append((kind, body))
    return frames


def put_frames(frames, crc, body_max):
    out = b""
    for kind, body in frames:
        if len(body) > min(body_max, FRAME_BODY_MAX):
            raise Refused("a body is above its limit")
        frame = varint(kind) + varint(len(body)) + body
        out += frame + (zlib.crc32(frame).to_bytes(4, "little") if crc else b"")  # ENC-17
    return out
