"""RFC 0014, section "Values": the notation of values in JSON, and described data."""

import re

U64 = (1 << 64) - 1
DATA_MAX = 1 << 26


class Refused(Exception):
    """Bytes or a value that an RFC has refused."""


class TooLong(Exception):
    """An answer that no line of 4 MiB holds (RFC 0014, "Resource bounds")."""


LINE_MAX = 4 << 20


def need(condition, reason):
    if not condition:
        raise Refused(reason)


def num(value, low=0, high=U64):
    """A number: decimal digits in a string, "-" in front if negative. Leading zeros are refused."""
    need(isinstance(value, str) and re.fullmatch(r"0|-?[1-9][0-9]{0,24}", value), "not a number")
    number = int(value)
    need(low <= number <= high, f"{number} is not in {low}..{high}")
    return number


def raw(value, length=None):
    """Bytes: lower-case hex."""
    need(isinstance(value, str) and re.fullmatch(r"(?:[0-9a-f]{2})*", value), "not lower-case hex")
    need(length is None or len(value) == 2 * length, "another count of bytes")
    return bytes.fromhex(value)


def text(value):
    """Text as UTF-8."""
    need(isinstance(value, str), "not text")
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Refused("text with half of a surrogate pair") from error


def runs(value):
    """A set: pairs that ascend and do not touch."""
    need(isinstance(value, list), "not a set")
    found = []
    for pair in value:
        need(isinstance(pair, list) and len(pair) == 2, "not a pair")
        start, end = num(pair[0]), num(pair[1])
        need(start < end and (not found or found[-1][1] < start), "runs are empty, touch or descend")
        found.append((start, end))
    return found


def show_runs(found):
    return [[str(start), str(end)] for start, end in found]


def described(value):
    """`{"len", "flip"?}`: byte i is i mod 251, then the bytes of `flip`, which ascends, have the lowest bit inverted."""
    length = num(value["len"], 0, DATA_MAX)
    data = bytearray((bytes(range(251)) * (length // 251 + 1))[:length])
    before = -1
    for at in map(num, value.get("flip", [])):
        need(before < at < length, "flip does not ascend or leaves the data")
        before = at
        data[at] ^= 1
    return bytes(data)
