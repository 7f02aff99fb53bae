"""The hex examples of the RFCs, read out of their text, and BLAKE3 against the package."""

import pathlib
import re
import unittest

import messages
import ticket
import tree
import wire
from blake3 import blake3
from values import pattern

RFCS = pathlib.Path(__file__).parent.parent


def example(rfc, name):
    """The bytes of the hex block whose first line is the comment `# name`."""
    (path,) = RFCS.glob(f"{rfc}-*.md")
    block = re.search(rf"```hex\n# {re.escape(name)}\n(.*?)```", path.read_text("utf-8"), re.S)
    lines = (line.split("#")[0] for line in block[1].splitlines())
    return bytes.fromhex("".join(lines))


class Encoding(unittest.TestCase):
    def body(self, name):
        ((kind, body),) = wire.take_frames(example("0003", name), False, wire.FRAME_BODY_MAX)
        return messages.decode(wire.varint(kind) + body)

    def test_messages(self):
        self.assertEqual(self.body("hello")["agent"], "samara/0.1")
        self.assertEqual(self.body("want")["ranges"], [["0", "1"]])
        self.assertEqual(self.body("have")["size"], "6")
        self.assertEqual(bytes.fromhex(self.body("data")["data"]), b"samara")
        self.assertEqual(self.body("end")["code"], "0")
        self.assertEqual(self.body("want-from-the-future"), self.body("want"))

    def test_checksum(self):
        frames = wire.take_frames(example("0003", "ping-crc"), True, wire.FRAME_BODY_MAX)
        self.assertEqual(frames, [(4, b"\x07")])

    def test_ranges(self):
        runs = wire.whole(example("0003", "ranges"), lambda data: wire.take_ranges(data, 1024))
        self.assertEqual(runs, [(0, 16), (32, 48), (49, 50)])


class Tree(unittest.TestCase):
    def test_values_are_those_of_blake3(self):
        for length in (0, 1, 64, 65, 1023, 1024, 1025, 2048, 2049, 5000, 16_385):
            data = pattern({"len": str(length)})
            root = (0, tree.leaves_of(length))
            self.assertEqual(tree.value_of(root, data, True), blake3(data).digest(), length)

    def test_proofs(self):
        data, root = pattern({"len": "2049"}), example("0002", "id")
        receiver = tree.Receiver(root, 2049)
        proof = example("0002", "proof of leaves 2..3, base empty")
        last = example("0002", "data of leaves 2..3")
        self.assertEqual(receiver.take(0, 2, [], proof, last), ([(2, 3)], []))
        proof = example("0002", "proof of leaves 0..1, base 2..3")
        self.assertEqual(receiver.take(0, 0, [(2, 3)], proof, data[:1024]), ([(0, 1)], []))
        self.assertEqual(receiver.take(0, 1, [(0, 1), (2, 3)], b"", data[1024:2048]), ([(1, 2)], []))

    def test_frontier(self):
        kept = example("0002", "frontier, leaves 0..1 and 2..3 held")
        params = {"id": example("0002", "id").hex(), "size": "2049", "outboard": ""}
        self.assertEqual(tree.frontier(params, kept), {"held": [["0", "1"], ["2", "3"]]})


class Ticket(unittest.TestCase):
    def test_ticket(self):
        (path,) = RFCS.glob("0001-*.md")
        text = re.search(r"```ticket\n(.*?)```", path.read_text("utf-8"), re.S)[1]
        found = ticket.decode(text.encode())
        self.assertEqual((found["size"], bytes.fromhex(found["name"])), ("0", b"a"))
        self.assertEqual(found["providers"][0]["v4"], [["c0000201", "4433"]])
        self.assertEqual(ticket.encode(found), text.replace("\n", "").encode())


if __name__ == "__main__":
    unittest.main()
