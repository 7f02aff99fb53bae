"""RFC 0001, section "Tickets"."""

import unicodedata

from blake3 import blake3
from notation import Refused, need, num, raw, text
from wire import Cursor, only, put_tlv, put_varint, take_tlvs

PREFIX = "samara1"
DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
FORMATS = ("blob", "collection")
# Unicode's property White_Space (not str.isspace, which has U+001C to U+001F too), then what takes no room: TICKET-2.
BLANKS = set("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000\xad\u2060\ufeff")
BLANKS |= {chr(one) for one in (*range(0x2000, 0x200B), *range(0x200B, 0x2010))}
AROUND = BLANKS | set("\"'`<>()[]{}.,;:!?*_\u2018\u2019\u201a\u201c\u201d\u201e\u2026\u2039\u203a\xab\xbb")


def open_text(data):
    """The fields that a text holds: section "Text", "Bytes"; TICKET-2 to TICKET-6 and TICKET-10."""
    try:
        shown = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("TICKET-10: not UTF-8") from error
    start, end = 0, len(shown)
    while start < end and shown[start] in AROUND:
        start += 1
    while start < end and shown[end - 1] in AROUND:
        end -= 1
    shown = "".join(one for one in shown[start:end] if one not in BLANKS)
    need(len(shown) <= 4096, "TICKET-4: more than 4,096 characters")
    need(shown.isascii(), "TICKET-10: a character of no ticket")
    shown = shown.lower()
    need(not (shown[:6] == "samara" and shown[6:7] in set("23456789")), "TICKET-3: another version")
    need(shown.startswith(PREFIX), "TICKET-10: no prefix")
    letters = shown[len(PREFIX):]
    need(set(letters) <= set(DIGITS), "TICKET-10: no digit of base 32")
    bits = value = 0
    body = bytearray()
    for letter in letters:
        value, bits = value << 5 | DIGITS.index(letter), bits + 5
        if bits >= 8:
            bits -= 8
            body.append(value >> bits)
            value &= (1 << bits) - 1
    need(bits < 5, "TICKET-6: a count of letters that no bytes have")
    need(value == 0, "TICKET-1: spare bits that are not zero")
    c = Cursor(bytes(body))
    length = c.varint()
    need(c.left == length + 4, "TICKET-6: cut off, or text behind it")
    fields = c.take(length)
    need(blake3(PREFIX.encode() + body[:-4]).digest()[:4] == c.take(4), "TICKET-5: checksum")
    return fields


def decode(data):
    fields = take_tlvs(Cursor(open_text(data)), range(6))  # TICKET-7, by ENC-9
    need(0 in fields and 2 in fields and len(fields[0]) == 32, "TICKET-8: root or format")
    form = only(fields[2], Cursor.varint)
    need(form < len(FORMATS), "TICKET-8: format")
    out = {"root": fields[0].hex(), "format": FORMATS[form]}
    if 1 in fields:
        out["size"] = str(only(fields[1], Cursor.varint))
    for kind, key, low, high in ((3, "name", 1, 255), (4, "secret", 16, 32)):
        if kind in fields:
            need(low <= len(fields[kind]) <= high, f"TICKET-8: length of {key}")
            out[key] = fields[kind].hex()
    if 5 in fields:
        c, found = Cursor(fields[5]), []
        while c.left:
            found.append(provider(Cursor(c.take(c.varint()))))
            need(len(found) <= 8, "TICKET-8: more than 8 providers")
        need(found and len({one["peer"] for one in found}) == len(found), "TICKET-8: no provider, or a peer twice")
        out["providers"] = found
    return out


def provider(c):
    out = {"peer": c.take(32).hex(), "v4": [], "v6": []}
    fields = take_tlvs(c, (1, 3, 5))
    for kind, key, size in ((1, "v4", 6), (3, "v6", 18)):
        if kind not in fields:
            continue
        value = fields[kind]
        need(value and len(value) % size == 0, "TICKET-8: length of addresses")
        found = [value[at:at + size] for at in range(0, len(value), size)]
        need(all(a < b for a, b in zip(found, found[1:])), "TICKET-8: addresses do not ascend")
        need(kind == 1 or not any(one.startswith(bytes(10) + b"\xff\xff") for one in found), "TICKET-8: IPv4 in IPv6")
        need(all(one[-2:] != bytes(2) for one in found), "TICKET-11: port 0")
        out[key] = [[one[:-2].hex(), str(int.from_bytes(one[-2:], "big"))] for one in found]
    need(len(out["v4"]) + len(out["v6"]) <= 8, "TICKET-8: more than 8 addresses")
    if 5 in fields:
        try:
            relay = fields[5].decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refused("TICKET-8: relay is not UTF-8") from error
        plain = not any(one in BLANKS or unicodedata.category(one) == "Cc" for one in relay)
        need(1 <= len(fields[5]) <= 255 and plain, "TICKET-8: relay")
        out["relay"] = relay
    return out


def base32(data):
    bits = "".join(f"{one:08b}" for one in data)
    bits += "0" * (-len(bits) % 5)
    return "".join(DIGITS[int(bits[at:at + 5], 2)] for at in range(0, len(bits), 5))


def put_provider(value):
    out = raw(value["peer"], 32)
    for kind, key, size in ((1, "v4", 4), (3, "v6", 16)):
        if value[key]:
            out += put_tlv(kind, b"".join(raw(ip, size) + num(port, 0, 65535).to_bytes(2, "big") for ip, port in value[key]))
    return out + (put_tlv(5, text(value["relay"])) if "relay" in value else b"")


def encode(value):
    """TICKET-1; the limits are checked by decoding the result."""
    fields = put_tlv(0, raw(value["root"], 32))
    if "size" in value:
        fields += put_tlv(1, put_varint(num(value["size"])))
    need(value["format"] in FORMATS, "TICKET-8: format")
    fields += put_tlv(2, put_varint(FORMATS.index(value["format"])))
    for kind, key in ((3, "name"), (4, "secret")):
        if key in value:
            fields += put_tlv(kind, raw(value[key]))
    if "providers" in value:
        all_of_them = [put_provider(one) for one in value["providers"]]
        fields += put_tlv(5, b"".join(put_varint(len(one)) + one for one in all_of_them))
    body = put_varint(len(fields)) + fields
    out = (PREFIX + base32(body + blake3(PREFIX.encode() + body).digest()[:4])).encode()
    need(decode(out) == value, "not what a ticket can say")
    return out
