"""RFC 0009, section "Segments and records": one record."""

import struct
import zlib

from values import number, to_bytes, to_number
from wire import Refused

HEADER = struct.Struct("<4sBBHIIQQ32sI")
PAYLOAD_MAX = 1_048_576
DATA, OUTBOARD, BINDING = 1, 2, 3


def decode(params, data):
    segment = to_number(params["segment"])
    if len(data) < 72:
        raise Refused("shorter than a header")
    fields, check = data[:68], int.from_bytes(data[68:72], "little")
    if zlib.crc32(fields) != check:  # STORE-2
        raise Refused("the CRC-32 of the header differs")
    magic, kind, flags, zeros, length, crc, size, offset, name, found = HEADER.unpack(fields)
    if magic != b"SmRc" or kind not in (DATA, OUTBOARD, BINDING) or flags & ~1 or zeros:
        raise Refused("magic, kind, flags or zeros")
    if length > PAYLOAD_MAX:  # STORE-20
        raise Refused("a payload is too long")
    if found != segment:
        raise Refused("of another segment")
    end = offset + length
    if end >= 1 << 64 or (kind == DATA and not flags and end > size):
        raise Refused("behind the end of the blob")
    payload = data[72:]
    if len(payload) != length or zlib.crc32(payload) != crc:
        raise Refused("the payload differs")
    return {
        "kind": number(kind),
        "provisional": bool(flags),
        "id": name.hex(),
        "blob_size": number(size),
        "blob_offset": number(offset),
        "payload": payload.hex(),
    }


def encode(params, value):
    payload, name = to_bytes(value["payload"]), to_bytes(value["id"])
    if len(name) != 32:
        raise Refused("an id has 32 bytes")
    fields = HEADER.pack(
        b"SmRc", to_number(value["kind"], 0, 255), int(value["provisional"]), 0, len(payload),
        zlib.crc32(payload), to_number(value["blob_size"]), to_number(value["blob_offset"]), name,
        to_number(params["segment"], 0, (1 << 32) - 1),
    )
    out = fields + zlib.crc32(fields).to_bytes(4, "little") + payload
    if decode(params, out) != value:
        raise Refused("not a value of a record")
    return out
