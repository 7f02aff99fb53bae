"""RFC 0003, sections "Varint", "Range set", "TLV section" and "Frame"."""

import zlib

from notation import Refused, need

VARINT_MAX = (1 << 62) - 1
END_MAX = 1 << 54
BODY_MAX = 1_114_112


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    @property
    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        """ENC-4: bytes end before their last field does."""
        need(count <= self.left, "the bytes end too early")
        self.at += count
        return self.data[self.at - count:self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        """RFC 0003 "Varint", ENC-2 (minimal), ENC-4."""
        first = self.byte()
        size = 1 << (first >> 6)
        value = int.from_bytes(bytes([first & 63]) + self.take(size - 1), "big")
        need(size == 1 or value >> (4 * size - 2), "not minimal")
        return value

    def done(self):
        need(self.left == 0, "bytes after the last field")


def only(data, take):
    """The whole of `data` as one thing; ENC-13 if it is the value of a TLV."""
    cursor = Cursor(data)
    value = take(cursor)
    cursor.done()
    return value


def put_varint(value):
    """ENC-1, ENC-3."""
    for bits, size in enumerate((1, 2, 4, 8)):
        if 0 <= value < 1 << (8 * size - 2):
            return (value | bits << (8 * size - 2)).to_bytes(size, "big")
    raise Refused("no varint holds it")


def take_runs(cursor, runs_max):
    """RFC 0003 "Range set": ENC-5, ENC-6; ENC-7, as nothing is reserved."""
    count = cursor.varint()
    need(count <= runs_max, "more runs than the field allows")
    found, floor = [], 0
    for _ in range(count):
        start = floor + cursor.varint()
        end = start + cursor.varint() + 1
        need(end <= END_MAX, "a run ends above 2^54")
        found.append((start, end))
        floor = end + 1
    return found


def put_runs(found, runs_max):
    """ENC-3 for ENC-5 and ENC-6; `found` ascends and does not touch."""
    need(len(found) <= runs_max, "more runs than the field allows")
    need(not found or found[-1][1] <= END_MAX, "a run ends above 2^54")
    out, floor = [put_varint(len(found))], 0
    for start, end in found:
        out += put_varint(start - floor), put_varint(end - start - 1)
        floor = end + 1
    return b"".join(out)


def take_tlvs(cursor, known):
    """RFC 0003 "TLV section" to the end: {type: value} of the known types."""
    found, before, count = {}, -1, 0
    while cursor.left:
        kind = cursor.varint()
        value_len = cursor.varint()
        count += 1
        need(count <= 32, "ENC-11: more than 32 TLVs")
        need(value_len <= 16_383, "ENC-12: a value above 16,383 bytes")
        value = cursor.take(value_len)
        need(kind > before, "ENC-8: types do not ascend")
        before = kind
        if kind in known:
            found[kind] = value
        else:  # ENC-10: an odd one is skipped
            need(kind & 1, "ENC-9: an unknown even type")
    return found


def put_tlv(kind, value):
    """ENC-3 for ENC-12."""
    need(len(value) <= 16_383, "ENC-12: a value above 16,383 bytes")
    return put_varint(kind) + put_varint(len(value)) + value


def take_frames(data, crc, body_max):
    """RFC 0003 "Frame". RFC 0014: a stream that ends within a frame is invalid here."""
    cursor, found = Cursor(data), []
    while cursor.left:
        start = cursor.at
        kind = cursor.varint()
        length = cursor.varint()
        need(length <= min(body_max, BODY_MAX), "ENC-15: a body above its limit")
        body = cursor.take(length)
        if crc:
            whole = data[start:cursor.at]
            need(zlib.crc32(whole).to_bytes(4, "little") == cursor.take(4), "ENC-18: the CRC-32 differs")
        found.append((kind, body))  # ENC-19: the first error ends it all
    return found


def put_frame(kind, body, crc, body_max):
    """ENC-3 for ENC-15; ENC-17."""
    need(len(body) <= min(body_max, BODY_MAX), "ENC-15: a body above its limit")
    whole = put_varint(kind) + put_varint(len(body)) + body
    return whole + (zlib.crc32(whole).to_bytes(4, "little") if crc else b"")
