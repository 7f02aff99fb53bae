"""RFC 0004, sections "Manifest" and "Limits"."""

from notation import LINE_MAX, TooLong, need, num, raw
from wire import Cursor, put_varint

KINDS = {1: "file", 2: "directory", 3: "symlink"}
TAGS = {0x01, 0x05, 0x02, 0x06, 0x03, 0x09, 0x0D, 0x0A, 0x0E, 0x0B}
SIZE_MAX = (1 << 62) - 1
SECONDS = -(1 << 60), (1 << 60) - 1


def area(cursor):
    """An area of extensions with its length in front: COLL-12, COLL-15, COLL-16, COLL-22."""
    length = cursor.varint()
    need(length <= 4096, "COLL-12: extensions above 4,096 bytes")
    data = cursor.take(length)
    inner, before = Cursor(data), -1
    while inner.left:
        kind = inner.varint()
        inner.take(inner.varint())
        need(kind > before, "COLL-22: extensions do not ascend")
        need(kind & 1, "COLL-15: an unknown even extension")
        before = kind
    return data


def name_of(cursor, sibling):
    """shared, length, suffix: COLL-8 (order, exact count), COLL-9, COLL-12. `sibling` is None without one."""
    shared, length = cursor.byte(), cursor.byte()
    suffix = cursor.take(length)
    if sibling is None:
        need(shared == 0, "COLL-8: shares with no sibling")
    else:
        need(shared <= len(sibling) and suffix, "COLL-8: not greater")
        need(shared == len(sibling) or suffix[0] > sibling[shared], "COLL-8: not greater, or another count")
    name = (sibling or b"")[:shared] + suffix
    need(len(name) <= 255, "COLL-12: a name above 255 bytes")
    lower = name.lower()  # of bytes: ASCII only
    need(name not in (b"", b".", b"..") and not set(name) & {0, 0x2F}, "COLL-9: name")
    need(not lower.startswith(b".samara-") and not lower.endswith(b".samara-part"), "COLL-9: reserved name")
    return name


def decode(data):
    need(len(data) <= 268_435_456, "COLL-12: a manifest above 268,435,456 bytes")
    c = Cursor(data)  # COLL-4 (cut), COLL-6 (minimal) in its methods
    need(c.take(7) == b"SmraCol", "COLL-22: magic")
    need(c.byte() == 1, "COLL-2: version")
    own = area(c)
    entries, total, time = [], 0, 0
    shown = count = 0  # the length of the answer: an entry of six bytes can stand for a path of 4,096
    path, below = [], True  # the entry before; whether it can have entries below it
    while tag := c.byte():
        need(tag in TAGS, "COLL-5: tag")
        kind = KINDS[tag & 3]
        depth = c.byte()
        need(depth <= 63, "COLL-12: more than 64 names")
        need(depth < len(path) or (depth == len(path) and below), "COLL-7: parent")
        name = name_of(c, path[depth] if depth < len(path) else None)
        path, below = path[:depth] + [name], kind == "directory"
        full = b"/".join(path)
        need(len(full) <= 4096, "COLL-12: a path above 4,096 bytes")
        entry = {"path": full.hex(), "kind": kind}
        if kind == "symlink":
            length = c.varint()
            need(1 <= length <= 4096, "COLL-11, COLL-12: length of a target")
            target = c.take(length)
            need(0 not in target, "COLL-11: a target with the byte 0")
            entry["target"] = target.hex()
        else:
            mode = c.varint()
            need(mode <= 0o777, "COLL-12: mode")
            entry["mode"] = str(mode)
            if tag & 4:
                step, nanos = c.varint(), c.varint()
                time += -(step + 1) // 2 if step & 1 else step // 2
                need(SECONDS[0] <= time <= SECONDS[1] and nanos <= 999_999_999, "COLL-12: time")
                entry["mtime"] = [str(time), str(nanos)]
            if kind == "file":
                size = c.varint()
                total += size
                need(total <= SIZE_MAX, "COLL-12: size of all files")
                entry |= {"size": str(size), "id": c.take(32).hex()}
        if tag & 8:
            extra = area(c)
            need(extra, "COLL-22: extensions tagged and empty")
            entry["extensions"] = extra.hex()
        shown += 2 * len(full)
        if shown <= LINE_MAX:
            entries.append(entry)
        count += 1
        need(count <= 1_048_576, "COLL-12: entries")
    need(c.varint() == count and c.varint() == total, "COLL-3: figures of the end record")
    need(c.left == 0, "COLL-4: bytes after the end record")
    if count != len(entries):
        raise TooLong
    return {"entries": entries} | ({"extensions": own.hex()} if own else {})


def common(a, b):
    count = 0
    while count < min(len(a), len(b)) and a[count] == b[count]:
        count += 1
    return count


def encode(value):
    """COLL-1. Entries that are not in order and modes that are none are refused, by decoding the result."""
    tags = {name: tag for tag, name in KINDS.items()}
    own = raw(value.get("extensions", ""))
    out, path, total, time = [b"SmraCol\x01", put_varint(len(own)), own], [], 0, 0
    for entry in value["entries"]:
        kind, names = entry["kind"], raw(entry["path"]).split(b"/")
        depth, name = len(names) - 1, names[-1]
        # Without this, a parent that is not there would pass as the one of the entry before.
        need(depth <= 63 and names[:-1] == path[:depth], "COLL-7: parent")
        sibling = path[depth] if depth < len(path) else b""
        shared = common(name, sibling)
        need(len(name) <= 255, "COLL-12: a name above 255 bytes")
        extra = raw(entry.get("extensions", ""))
        tag = tags.get(kind, 0) | ("mtime" in entry) << 2 | bool(extra) << 3
        out += bytes([tag, depth, shared, len(name) - shared]), name[shared:]
        if kind == "symlink":
            target = raw(entry["target"])
            out += put_varint(len(target)), target
        else:
            out.append(put_varint(num(entry["mode"])))
            if "mtime" in entry:
                seconds, nanos = entry["mtime"]
                step = num(seconds, *SECONDS) - time
                time += step
                out += put_varint(2 * step if step >= 0 else -2 * step - 1), put_varint(num(nanos))
            if kind == "file":
                size = num(entry["size"])
                total += size
                out += put_varint(size), raw(entry["id"], 32)
        if extra:
            out += put_varint(len(extra)), extra
        path = names
    out += b"\0", put_varint(len(value["entries"])), put_varint(total)
    done = b"".join(out)
    need(decode(done) == value, "not what a manifest can say")
    return done
