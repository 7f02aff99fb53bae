"""RFC 0004, section "Manifest"."""

from values import number, to_bytes, to_number
from wire import Input, Refused, varint

MAGIC = b"SmraCol"
MANIFEST_MAX = 268_435_456
ENTRIES_MAX = 1_048_576
EXTENSIONS_MAX = 4096
PATH_MAX, NAME_MAX, DEPTH_MAX, TARGET_MAX = 4096, 255, 64, 4096
SIZES_MAX = (1 << 62) - 1
TIME_MIN, TIME_MAX = -(1 << 60), (1 << 60) - 1
FILE, DIRECTORY, LINK = 1, 2, 3
KINDS = {FILE: "file", DIRECTORY: "directory", LINK: "symlink"}
TIME, EXTENDED = 4, 8


def check_name(name):
    """COLL-9."""
    lower = name.lower()
    bad = not name or name in (b".", b"..") or b"/" in name or 0 in name
    if bad or lower.startswith(b".samara-") or lower.endswith(b".samara-part"):
        raise Refused(f"the name {name!r}")
    if len(name) > NAME_MAX:  # COLL-12
        raise Refused("a name is too long")


def extensions(data):
    """COLL-15 and COLL-16; the bytes as they stand."""
    if len(data) > EXTENSIONS_MAX:
        raise Refused("too many bytes of extensions")
    rest, last = Input(data), -1
    while rest.left():
        kind = rest.varint()
        rest.take(rest.varint())
        if kind <= last:
            raise Refused("extensions do not ascend")
        if kind % 2 == 0:
            raise Refused(f"the extension {kind} has to be known")
        last = kind
    return data


def decode(data):
    if len(data) > MANIFEST_MAX:
        raise Refused("too long")
    data = Input(data)
    if data.take(7) != MAGIC:
        raise Refused("not a manifest")
    if data.byte() != 1:  # COLL-2
        raise Refused("an unknown version")
    own = extensions(data.take(data.varint()))
    entries, total, time = [], 0, 0
    # Names from the top to the entry before; whether that entry is a directory.
    stack, in_directory = [], False
    while True:
        tag = data.byte()
        if tag == 0:
            break
        kind, flags = tag & 3, tag & ~3
        if kind == 0 or flags & ~(TIME | EXTENDED) or (kind == LINK and flags & TIME):  # COLL-5
            raise Refused(f"the tag {tag:#x}")
        depth, shared, length = data.byte(), data.byte(), data.byte()
        suffix = data.take(length)
        if depth > len(stack) or (depth == len(stack) and depth and not in_directory):  # COLL-7
            raise Refused("no parent")
        if depth >= DEPTH_MAX:
            raise Refused("too deep")
        sibling = stack[depth] if depth < len(stack) else b""
        if shared > len(sibling):
            raise Refused("shares more than there is")
        name = sibling[:shared] + suffix
        if depth < len(stack):  # COLL-8
            greater = suffix and (shared == len(sibling) or suffix[0] > sibling[shared])
            if not greater:
                raise Refused("names do not ascend, or share another count")
        check_name(name)
        stack[depth:] = [name]
        path = b"/".join(stack)
        if len(path) > PATH_MAX or len(entries) >= ENTRIES_MAX:  # COLL-12
            raise Refused("a path is too long, or there are too many")
        entry = {"path": path.hex(), "kind": KINDS[kind]}
        if kind == LINK:
            length = data.varint()
            if not 1 <= length <= TARGET_MAX:
                raise Refused("a target is empty or too long")
            target = data.take(length)
            if 0 in target:  # COLL-11
                raise Refused("a target has the byte 0")
            entry["target"] = target.hex()
        else:
            mode = data.varint()
            if mode > 0o777:
                raise Refused("no such mode")
            entry["mode"] = number(mode)
            if flags & TIME:
                zigzag, nanos = data.varint(), data.varint()
                time += zigzag // 2 if zigzag % 2 == 0 else -(zigzag // 2) - 1
                if not TIME_MIN <= time <= TIME_MAX or nanos > 999_999_999:
                    raise Refused("no such time")
                entry["mtime"] = [number(time), number(nanos)]
            if kind == FILE:
                size = data.varint()
                total += size
                if total > SIZES_MAX:
                    raise Refused("too many bytes")
                entry |= {"size": number(size), "id": data.take(32).hex()}
        if flags & EXTENDED:
            area = extensions(data.take(data.varint()))
            if not area:
                raise Refused("extensions that are there are not empty")
            entry["extensions"] = area.hex()
        in_directory = kind == DIRECTORY
        entries.append(entry)
    if (data.varint(), data.varint()) != (len(entries), total):  # COLL-3
        raise Refused("the end record has other figures")
    data.end()  # COLL-4
    return {"entries": entries} | ({"extensions": own.hex()} if own else {})


def encode(value):
    own = to_bytes(value.get("extensions", ""))
    out = MAGIC + b"\x01" + varint(len(own)) + own
    before, total, time = [], 0, 0
    for entry in value["entries"]:
        names = to_bytes(entry["path"]).split(b"/")
        depth, name = len(names) - 1, names[-1]
        sibling = before[depth] if depth < len(before) else b""
        shared = 0
        while shared < min(len(name), len(sibling)) and name[shared] == sibling[shared]:
            shared += 1
        suffix = name[shared:]
        if depth > 255 or len(suffix) > 255:
            raise Refused("too deep or too long")
        area = to_bytes(entry.get("extensions", ""))
        tag = {name: kind for kind, name in KINDS.items()}[entry["kind"]]
        tag |= (TIME if "mtime" in entry else 0) | (EXTENDED if area else 0)
        out += bytes([tag, depth, shared, len(suffix)]) + suffix
        if entry["kind"] == "symlink":
            target = to_bytes(entry["target"])
            out += varint(len(target)) + target
        else:
            out += varint(to_number(entry["mode"]))
            if "mtime" in entry:
                seconds = to_number(entry["mtime"][0], TIME_MIN, TIME_MAX)
                step, time = seconds - time, seconds
                out += varint(2 * step if step >= 0 else -2 * step - 1)
                out += varint(to_number(entry["mtime"][1]))
            if entry["kind"] == "file":
                size = to_number(entry["size"])
                total += size
                out += varint(size) + to_bytes(entry["id"])
        out += varint(len(area)) + area if area else b""
        before = names
    out += b"\0" + varint(len(value["entries"])) + varint(total)
    if decode(out) != value:  # COLL-1
        raise Refused("not a value of a manifest")
    return out
