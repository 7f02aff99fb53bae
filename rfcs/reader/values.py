"""RFC 0014: the notation of values in JSON."""

from wire import Refused


def number(value):
    return str(value)


def to_number(value, low=0, high=(1 << 64) - 1):
    """A number out of its decimal digits."""
    if not isinstance(value, str) or not value.lstrip("-").isascii() or not value.lstrip("-").isdigit():
        raise Refused(f"{value!r} is no number")
    found = int(value)
    if not low <= found <= high:
        raise Refused(f"{found} is out of range")
    return found


def to_bytes(value):
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError) as error:
        raise Refused(f"not hex: {error}") from error


def ranges(runs):
    return [[number(start), number(end)] for start, end in runs]


def to_ranges(value):
    runs = []
    for start, end in value:
        start, end = to_number(start), to_number(end)
        if start >= end or (runs and start <= runs[-1][1]):
            raise Refused("runs have to ascend without touching")
        runs.append((start, end))
    return runs


def pattern(value):
    """Data that is described: byte i is i mod 251, some with the lowest bit flipped."""
    length = to_number(value["len"], 0, 64 << 20)
    data = bytearray((bytes(range(251)) * (length // 251 + 1))[:length])
    for at in value.get("flip", []):
        at = to_number(at)
        if at < length:
            data[at] ^= 1
    return bytes(data)
