"""The examples of the RFCs, read out of their text, and BLAKE3 against the package."""

import json
import os
import pathlib
import re
import unittest

import b3
import messages
import reader
import ticket
import tree
import wire
from blake3 import blake3
from notation import described

RFCS = pathlib.Path(os.environ.get("RFCS", pathlib.Path(__file__).parent.parent))


def rfc(number):
    (path,) = RFCS.glob(f"{number}-*.md")
    return path.read_text("utf-8")


def hexes(number):
    """{title: bytes} of all hex blocks."""
    found = {}
    for title, block in re.findall(r"```hex\n# ([^\n]*)\n(.*?)```", rfc(number), re.S):
        found[title] = bytes.fromhex(re.sub("#.*", "", block))
    return found


def ask(op, codec, params, **rest):
    return reader.answer(json.dumps({"op": op, "codec": codec, "params": params, **rest}))


class Examples(unittest.TestCase):
    def both(self, codec, params, data):
        """Decodes, and encodes to the same bytes."""
        found = ask("decode", codec, params, bytes=data.hex())
        self.assertEqual(found["result"], "valid", found)
        again = ask("encode", codec, params, value=found["value"])
        self.assertEqual(again, {"result": "valid", "bytes": data.hex()})
        return found["value"]

    def test_messages(self):
        blocks = hexes("0003")
        for title in ("hello", "want", "have", "data", "end"):
            frames = self.both("frame", {"crc": False, "body_max": "1114112"}, blocks[title])
            self.assertEqual(len(frames), 1)
            body = wire.put_varint(int(frames[0]["kind"])) + bytes.fromhex(frames[0]["body"])
            self.assertEqual(self.both("message", {}, body)["message"], title)
        self.both("frame", {"crc": True, "body_max": "1114112"}, blocks["ping-crc"])
        self.both("ranges", {"runs_max": "1024"}, blocks["ranges"])
        skip, plain = (wire.take_frames(blocks[t], False, 1 << 20)[0][1] for t in ("want-from-the-future", "want"))
        self.assertEqual(messages.decode(b"\x10" + skip), messages.decode(b"\x10" + plain))

    def test_collection(self):
        data = hexes("0004")["collection"]
        self.assertEqual(len(data), 132)
        self.assertEqual(len(self.both("manifest", {}, data)["entries"]), 4)
        self.assertIn(blake3(data).hexdigest(), rfc("0004"))

    def test_ticket(self):
        data = hexes("0001")["ticket"]
        shown = re.search(r"```ticket\n(.*?)```", rfc("0001"), re.S)[1]
        self.assertEqual((ticket.PREFIX + ticket.base32(data)), shown.replace("\n", ""))
        self.both("ticket", {}, shown.replace("\n", "").encode())
        self.assertEqual(ticket.decode(shown.encode()), ticket.decode(f"<\u201c{shown.upper()}\u201d>.".encode()))

    def test_record(self):
        data = hexes("0009")['record of "abc" in segment 1']
        value = self.both("record", {"segment": "1"}, data[:75])  # without the zeros up to a multiple of 8
        self.assertEqual(value["payload"], b"abc".hex())

    def test_tree(self):
        blocks, whole = hexes("0002"), described({"len": "2049"})
        self.assertEqual(blake3(whole).digest(), blocks["id"])
        got = tree.Receiver(blocks["id"], 2049)
        one = got.take(0, 2, [], blocks["proof of leaves 2..3, base empty"], blocks["data of leaves 2..3"])
        two = got.take(0, 0, [(2, 3)], blocks["proof of leaves 0..1, base 2..3"], whole[:1024])
        three = got.take(0, 1, [(0, 1), (2, 3)], b"", whole[1024:2048])
        self.assertEqual([one, two, three], [([(2, 3)], []), ([(0, 1)], []), ([(1, 2)], [])])
        params = {"id": blocks["id"].hex(), "size": "2049", "outboard": ""}
        kept = tree.frontier(params, blocks["frontier, leaves 0..1 and 2..3 held"])
        self.assertEqual(kept, {"held": [["0", "1"], ["2", "3"]]})

    def test_session(self):
        shown = json.loads(re.search(r'```json\n({ "params.*?)```', rfc("0014"), re.S)[1])
        found = ask("decode", "session", shown["params"], bytes=hexes("0014")["session"].hex())
        self.assertEqual(found, {"result": "valid", "value": shown["value"]})

    def test_blake3(self):
        for size in (0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 16_384, 16_385, 100_000):
            data, whole = described({"len": str(size)}), (0, tree.leaves(size))
            self.assertEqual(tree.hashed(whole, data, whole), blake3(data).digest(), size)


class Sessions(unittest.TestCase):
    PARAMS = {"frame_body_max": "1114112", "wants_max": "1", "credit": "9", "rights_max": "1"}
    HELLO = hexes("0003")["hello"]
    WANT = hexes("0003")["want"]

    def led(self, *said, **params):
        return ask("decode", "session", self.PARAMS | params, bytes=b"".join(said).hex())

    def open(self, *said, **params):
        found = self.led(self.HELLO, *said, **params)
        self.assertEqual(found["result"], "valid", found)
        return found["value"]

    def refused(self, req, *said, **params):
        found = self.led(*said, **params)
        self.assertEqual(found["result"], "invalid", found)
        self.assertIn(req, found["reason"])

    def test_opening(self):
        self.assertEqual(self.led()["value"], {"state": "opening"})
        self.assertEqual(self.led(wait_ms="9999")["value"], {"state": "opening"})
        late = {"state": "closed", "by": "node", "code": "3"}
        self.assertEqual(self.led(self.HELLO[:-1], wait_ms="10000")["value"], late)
        self.refused("SESS-1", b"\x04\x01\x07")
        self.refused("SESS-2", self.HELLO, self.HELLO)

    def test_broken_frames(self):
        self.assertEqual(self.open(b"\x40\x7f\x01", wait_ms="0")["state"], "open")  # not whole
        self.refused("ENC-15", b"\x40\x7f\x40\x81", frame_body_max="128")  # nor does it have to be
        self.refused("ENC-20", self.HELLO, b"\x40\x7e\x00")
        gone = {"state": "closed", "by": "peer", "code": "5"}
        self.assertEqual(self.open(b"\x08\x01\x3f", b"\x40\x7e\x00"), gone)  # ENC-27, and nothing behind it

    def test_wants(self):
        held = {"id": self.WANT[3:35].hex(), "data": {"len": "6"}, "right": "07"}
        right = b"\x0a\x01\x07"
        self.assertEqual(self.open(self.WANT, held=held)["ends"], [["1", "1"]])  # XFER-15
        self.assertEqual(self.open(right, self.WANT, held=held)["served"], ["1"])
        other = self.WANT[:2] + b"\x00" + self.WANT[3:]
        value = self.open(right, self.WANT, other, b"\x18\x01\x01", held=held)
        self.assertEqual((value["ends"], value["served"]), ([["0", "2"], ["1", "5"]], []))
        self.refused("XFER-19", self.HELLO, self.WANT, self.WANT)
        self.refused("SESS-9", self.HELLO, right, right)

    def test_getting(self):
        asked = messages.decode(b"\x10" + self.WANT[2:])
        have, data, end = (hexes("0003")[name] for name in ("have", "data", "end"))
        self.refused("XFER-20", self.HELLO, have)
        self.refused("XFER-4", self.HELLO, data, asked=asked)
        self.assertEqual(self.open(have, data, end, end, asked=asked)["state"], "open")
        self.refused("XFER-5", self.HELLO, have, data, data, asked=asked, credit="99")
        self.refused("SESS-8", self.HELLO, end, data, asked=asked, credit="5")


class Lines(unittest.TestCase):
    def test_total(self):
        for line in (b"", b"\xff", b"[", b"[" * 100_000, b"1" * 5000, b"null", b'{"op":"decode","codec":[]}',
                     b'{"op":"decode","codec":"varint","bytes":"0"}', b'{"op":"encode","codec":"tlv","value":3}'):
            self.assertIn(reader.answer(line)["result"], ("invalid", "unsupported"), line[:50])


    def test_requests(self):
        path = RFCS / "reader/requests.json"
        for result, request in json.loads(path.read_text("utf-8")):
            self.assertEqual(reader.answer(json.dumps(request))["result"], result, request)

    def test_values(self):
        def encoded(codec, value, params=None):
            return ask("encode", codec, params or {}, value=value)["result"]

        def entries(mode):
            return {"entries": [{"path": "61", "kind": "directory", "mode": mode}]}

        ping = {"message": "ping", "token": "7"}
        for codec, value in (("manifest", entries("511")), ("message", ping), ("varint", "7")):
            self.assertEqual(encoded(codec, value), "valid")
        for codec, value in (("manifest", entries("512")), ("message", ping | {"a": "b"}), ("varint", "07")):
            self.assertEqual(encoded(codec, value), "invalid")
        self.assertEqual(encoded("tlv", [{"type": "3", "value": ""}], {"known": ["1"]}), "invalid")
        frames = [{"kind": "4", "body": "07"}]
        self.assertEqual(encoded("frame", frames, {"crc": False, "body_max": "9"}), "valid")
        self.assertEqual(encoded("frame", [frames[0] | {"a": "b"}], {"crc": False, "body_max": "9"}), "invalid")


if __name__ == "__main__":
    unittest.main()
