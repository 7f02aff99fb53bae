"""RFC 0009, section "Segments and records": one record, header and payload."""

import struct
import zlib

from notation import U64, need, num, raw
from tree import groups

HEADER = struct.Struct("<4sBBHIIQQ32sI")  # 68 bytes, little-endian; the header's CRC-32 follows
DATA, OUTBOARD, BINDING, CHUNK, MAP = 1, 2, 3, 4, 5
ENTRY = 36  # bytes: id and length of a chunk


def check_span(kind, provisional, compressed, length, size, offset):
    end = offset + length
    need(end <= U64, "STORE-21: span")
    if kind == DATA:
        need(not provisional or size == 0, "STORE-23: provisional data with a size")
        need(provisional or end <= size, "STORE-21: span")
    elif kind == OUTBOARD:
        need(not provisional, "STORE-23: a provisional outboard")
        need(offset % 32 == 0 and length % 32 == 0 and end <= 32 * groups(size), "STORE-24: outboard")
    elif kind == CHUNK:
        need(not provisional and offset == 0 and 1 <= size <= 1_048_576, "STORE-33: chunk")
        need(0 < length < size if compressed else length == size, "STORE-33: payload of a chunk")
    elif kind == MAP:
        need(provisional and size == 0 and length > 0 and length % ENTRY == 0, "STORE-34: map")
    else:
        need(provisional and length == 32 and offset == 0, "STORE-22: binding")


def decode(params, data):
    segment = num(params["segment"])
    need(len(data) >= 72, "STORE-2: shorter than a header")
    need(zlib.crc32(data[:68]) == int.from_bytes(data[68:72], "little"), "STORE-2: CRC-32 of the header")
    magic, kind, flags, zeros, length, crc, size, offset, name, number = HEADER.unpack(data[:68])
    need(magic == b"SmRc" and kind in (DATA, OUTBOARD, BINDING, CHUNK, MAP), "STORE-21: magic or kind")
    need(flags <= (3 if kind == CHUNK else 1) and zeros == 0 and number == segment, "STORE-21: flags, zeros or segment")
    need(1 <= number <= 99_999_999, "STORE-21: a number that no segment has")
    need(length <= 1_048_576, "STORE-20: the payload is too long")
    check_span(kind, flags & 1 == 1, flags & 2 == 2, length, size, offset)
    payload = data[72:]
    need(len(payload) == length and zlib.crc32(payload) == crc, "STORE-2: payload")
    if kind == MAP:
        lengths = (int.from_bytes(payload[at - 4:at], "little") for at in range(ENTRY, length + 1, ENTRY))
        need(all(1 <= it <= 1_048_576 for it in lengths), "STORE-34: length of a chunk")
    return {"kind": str(kind), "provisional": flags & 1 == 1, "compressed": flags & 2 == 2, "id": name.hex(),
            "blob_size": str(size), "blob_offset": str(offset), "payload": payload.hex()}


def encode(params, value):
    payload = raw(value["payload"])
    marks = value["provisional"], value["compressed"]
    need(all(isinstance(mark, bool) for mark in marks) and len(payload) <= 1_048_576, "marks or payload")
    head = HEADER.pack(b"SmRc", num(value["kind"], 1, 5), marks[0] + 2 * marks[1], 0, len(payload), zlib.crc32(payload),
                       num(value["blob_size"]), num(value["blob_offset"]), raw(value["id"], 32),
                       num(params["segment"], 0, 0xFFFFFFFF))
    out = head + zlib.crc32(head).to_bytes(4, "little") + payload
    need(decode(params, out) == value, "keys that a record has not")
    return out
