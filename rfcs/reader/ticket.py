"""RFC 0001, section "Tickets"."""

import base64
import unicodedata

from blake3 import blake3
from values import number, to_bytes, to_number
from wire import Input, Refused, take_tlvs, tlv, varint, whole

PREFIX = "samara1"
TEXT_MAX = 4096
FORMATS = ["blob", "collection"]
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def is_blank(letter):
    """TICKET-2: white space, and what takes no room."""
    return letter.isspace() or letter in "\u00ad\u2060\ufeff" or "\u200b" <= letter <= "\u200f"


def is_around(letter):
    return is_blank(letter) or unicodedata.category(letter).startswith("P") or letter in "<>`"


def checksum(body):
    return blake3(PREFIX.encode() + body).digest()[:4]


def open_text(data):
    """From text to fields."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("not UTF-8") from error
    while text and is_around(text[0]):
        text = text[1:]
    while text and is_around(text[-1]):
        text = text[:-1]
    text = "".join(letter for letter in text if not is_blank(letter))
    if len(text) > TEXT_MAX:  # TICKET-4
        raise Refused("too long")
    if not text.isascii():
        raise Refused("a character that no ticket has")
    text = text.lower()
    if not text.startswith(PREFIX):  # TICKET-3 among others
        raise Refused("not a ticket of version 1")
    letters = text[len(PREFIX):]
    if any(letter not in LETTERS for letter in letters):
        raise Refused("a character that base 32 has not")
    bits = len(letters) * 5
    number_of_bits = int("".join(f"{LETTERS.index(letter):05b}" for letter in letters) or "0", 2)
    spare = bits % 8
    if spare >= 5 or number_of_bits & (1 << spare) - 1:
        raise Refused("another count of letters, or bits that have to be zero")
    body = (number_of_bits >> spare).to_bytes(bits // 8, "big")
    rest = Input(body)
    length = rest.varint()
    if rest.left() != length + 4:  # TICKET-6
        raise Refused("cut off, or something behind it")
    fields = rest.take(length)
    if rest.take(4) != checksum(body[:-4]):  # TICKET-5
        raise Refused("the checksum differs")
    return fields


def decode(data):
    fields = take_tlvs(Input(open_text(data)), {0, 1, 2, 3, 4, 5})  # TICKET-7
    if 0 not in fields or 2 not in fields or len(fields[0]) != 32:  # TICKET-8
        raise Refused("root or format")
    form = whole(fields[2], Input.varint)
    if form >= len(FORMATS):
        raise Refused("no such format")
    out = {"root": fields[0].hex(), "format": FORMATS[form]}
    if 1 in fields:
        out["size"] = number(whole(fields[1], Input.varint))
    for kind, key, low, high in ((3, "name", 1, 255), (4, "secret", 16, 32)):
        if kind in fields:
            if not low <= len(fields[kind]) <= high:
                raise Refused(f"{key} is too short or too long")
            out[key] = fields[kind].hex()
    if 5 in fields:
        out["providers"] = providers(Input(fields[5]))
    return out


def providers(data):
    found = []
    while data.left():
        found.append(provider(Input(data.take(data.varint()))))
    peers = {one["peer"] for one in found}
    if not 1 <= len(found) <= 8 or len(peers) != len(found):
        raise Refused("no provider, too many, or one twice")
    return found


def provider(data):
    out = {"peer": data.take(32).hex(), "v4": [], "v6": []}
    fields = take_tlvs(data, {1, 3, 5})
    for kind, key, length in ((1, "v4", 4), (3, "v6", 16)):
        if kind in fields:
            out[key] = addresses(Input(fields[kind]), length)
    if len(out["v4"]) + len(out["v6"]) > 8:
        raise Refused("too many addresses")
    if 5 in fields:
        try:
            relay = fields[5].decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refused("a relay is not UTF-8") from error
        bad = any(letter.isspace() or unicodedata.category(letter) == "Cc" for letter in relay)
        if not 1 <= len(fields[5]) <= 255 or bad:
            raise Refused("no relay")
        out["relay"] = relay
    return out


def addresses(data, length):
    found = []
    while data.left():
        found.append((data.take(length), int.from_bytes(data.take(2), "big")))
    if not found or found != sorted(set(found)):
        raise Refused("addresses do not ascend, or there is none")
    if length == 16 and any(address[:12] == bytes(10) + b"\xff\xff" for address, _ in found):
        raise Refused("an address that stands for an IPv4 address")
    return [[address.hex(), number(port)] for address, port in found]


def encode(value):
    fields = tlv(0, to_bytes(value["root"]))
    if "size" in value:
        fields += tlv(1, varint(to_number(value["size"])))
    fields += tlv(2, varint(FORMATS.index(value["format"])))
    if "name" in value:
        fields += tlv(3, to_bytes(value["name"]))
    if "secret" in value:
        fields += tlv(4, to_bytes(value["secret"]))
    if "providers" in value:
        fields += tlv(5, b"".join(put_provider(one) for one in value["providers"]))
    body = varint(len(fields)) + fields
    text = base64.b32encode(body + checksum(body)).decode().rstrip("=").lower()
    out = (PREFIX + text).encode()
    if decode(out) != value:  # TICKET-1
        raise Refused("not a value of a ticket")
    return out


def put_provider(value):
    out = to_bytes(value["peer"])
    for kind, key in ((1, "v4"), (3, "v6")):
        if value[key]:
            pairs = [to_bytes(ip) + to_number(port, 0, 65535).to_bytes(2, "big") for ip, port in value[key]]
            out += tlv(kind, b"".join(pairs))
    if "relay" in value:
        out += tlv(5, value["relay"].encode())
    return varint(len(out)) + out
