"""RFC 0002: identity, outboard, check of transfers, frontier. A node is a pair (first leaf, end)."""

from bisect import bisect_left, bisect_right

from b3 import leaf, merge
from blake3 import blake3
from notation import Refused, described, need, num, raw, runs, show_runs

UNIT = 16  # leaves of a group of the outboard (TREE-15)


def leaves(size):
    """The empty blob has one empty leaf."""
    return max(1, -(-size // 1024))


def split(node):
    """TREE-2; TREE-3, as integers do not overflow."""
    left = 1 << ((node[1] - node[0] - 1).bit_length() - 1)
    return (node[0], node[0] + left), (node[0] + left, node[1])


def count(node):
    return node[1] - node[0]


def meets(node, found):
    """Whether a node shares a leaf with runs or nodes, which ascend and do not overlap."""
    at = bisect_right(found, node[0], key=lambda run: run[1])
    return at < len(found) and found[at][0] < node[1]


def joined(nodes):
    """Runs out of nodes in any order."""
    out = []
    for start, end in sorted(nodes):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def hashed(node, data, whole):
    """The value of a node from its bytes."""
    if count(node) == 1:
        return leaf(data, node[0], node == whole)
    left, right = split(node)
    cut = count(left) * 1024
    return merge(hashed(left, data[:cut], whole), hashed(right, data[cut:], whole), node == whole)


def identity(params, data):
    """TREE-1. RFC 0014: the input is empty."""
    need(data == b"", "the input is not empty")
    return blake3(described(params["data"])).hexdigest()


def groups(size):
    return 0 if size <= UNIT * 1024 else -(-size // (UNIT * 1024))


def outboard(params, data):
    """TREE-15 (length), TREE-16 (merges to the id; there is nothing to merge in an empty one)."""
    size, name = num(params["size"]), raw(params["id"], 32)
    need(len(data) == 32 * groups(size), "TREE-15: length")
    whole = (0, leaves(size))

    def value(node):
        if count(node) <= UNIT:
            at = node[0] // UNIT * 32
            return data[at:at + 32]
        left, right = split(node)
        return merge(value(left), value(right), node == whole)

    need(not data or value(whole) == name, "TREE-16: does not merge to the id")
    return {"groups": str(groups(size))}


class Receiver:
    """Section "Check". Open nodes have values; held leaves are runs."""

    def __init__(self, name, size):
        self.size, self.whole = size, (0, leaves(size))
        self.open, self.held = {self.whole: name}, []

    def is_held(self, node):
        at = bisect_right(self.held, node[0], key=lambda run: run[1])
        return at < len(self.held) and self.held[at][0] <= node[0] and node[1] <= self.held[at][1]

    def pair_sent(self, node):
        """TREE-4."""
        return count(node) > self.unit and meets(node, [self.range]) and not meets(node, self.base)

    def pairs(self, node):
        """How many pairs of nodes from `node` down the proof has."""
        if count(node) <= self.unit or not meets(node, [self.range]):
            return 0
        left, right = split(node)
        return self.pair_sent(node) + self.pairs(left) + self.pairs(right)

    def take(self, group, first, base, proof, data):
        """(nodes that became held, nodes whose data is bad); Refused leaves all as it was (TREE-12, TREE-21)."""
        end, last = first + max(1, -(-len(data) // 1024)), self.whole[1]
        self.unit, self.range, self.base = 1 << group, (first, end), base
        need(end <= last, "TREE-7: out of range")
        need(len(data) == min(1024 * end, self.size) - 1024 * first, "TREE-7: data length")
        need(first % self.unit == 0 and (end % self.unit == 0 or end == last), "TREE-7: not whole groups")
        need(-(-(end - first) // self.unit) <= 65_536, "TREE-22: groups in one transfer")
        need(len(proof) == 64 * self.pairs(self.whole), "TREE-7: proof length")
        self.proof, self.at = proof, 0
        self.gone, self.new, self.due = [], {}, {}
        self.check(self.whole)
        for node in self.gone:
            del self.open[node]
        self.open |= self.new
        good, bad = [], []
        for node, value in self.due.items():
            part = data[1024 * (node[0] - first):1024 * (node[1] - first)]
            if hashed(node, part, self.whole) == value:  # TREE-10
                good.append(node)  # TREE-11, TREE-23
            else:
                self.open[node] = value
                bad.append(node)
        self.held = joined(self.held + good)
        return good, bad

    def check(self, node):
        if not meets(node, [self.range]):
            return
        if self.is_held(node):
            self.at += 64 * self.pairs(node)  # TREE-9
        elif node in self.open:
            self.gone.append(node)
            self.unfold(node, self.open[node])
        else:
            self.at += 64 * self.pair_sent(node)  # TREE-9
            for child in split(node):
                self.check(child)

    def unfold(self, node, value):
        if not meets(node, [self.range]):
            self.new[node] = value
        elif count(node) <= self.unit:
            self.due[node] = value
        else:
            need(self.pair_sent(node), "TREE-6: the base leaves out a pair that is needed")
            left, right = self.proof[self.at:self.at + 32], self.proof[self.at + 32:self.at + 64]
            self.at += 64
            need(merge(left, right, node == self.whole) == value, "TREE-8: a pair does not merge")
            for child, its in zip(split(node), (left, right)):
                self.unfold(child, its)


def transfer(params, proof):
    """RFC 0014: `before` is taken first, whatever becomes of each; then the transfer itself."""
    receiver = Receiver(raw(params["id"], 32), num(params["size"]))

    def step(one, its):
        first, end = num(one["first"]), num(one["end"])
        data = described(one["data"])[1024 * first:1024 * end]
        return receiver.take(num(one["group"], 0, 10), first, runs(one["base"]), its, data)

    for one in params["before"]:
        try:
            step(one, raw(one["proof"]))
        except Refused:
            pass
    good, bad = step(params, proof)
    need(not bad, "TREE-10: bad groups")
    last = receiver.whole[1]
    return {"good": show_runs(joined(good)), "size_proven": receiver.is_held((last - 1, last))}  # TREE-13


def frontier(params, data):
    """TREE-18 (canonical form), TREE-19 (merges to the id), TREE-20 (65,536 nodes)."""
    size, name, stored = num(params["size"]), raw(params["id"], 32), raw(params["outboard"])
    last = leaves(size)
    whole = (0, last)
    need(len(stored) == 32 * groups(size), "TREE-15: length of the outboard")
    need(len(data) >= 16 and data[:4] == b"SFR1", "TREE-18: magic or length")
    total = int.from_bytes(data[4:8], "little")
    need(total <= 65_536, "TREE-20: nodes")
    need(len(data) == 16 + 40 * total, "TREE-18: count")
    need(blake3(data[:-8]).digest()[:8] == data[-8:], "TREE-18: check")
    values, held, opened, at = {}, [], [], 0
    for start in range(8, 8 + 40 * total, 40):
        head = int.from_bytes(data[start:start + 8], "little")
        first, level = head & (1 << 56) - 1, head >> 56 & 127
        need(at <= first < last, "TREE-18: not ascending, overlapping or outside of the blob")
        need(level <= 54 and first % (1 << level) == 0, "TREE-18: first leaf of a node")
        node = (first, min(first + (1 << level), last))
        need((count(node) - 1).bit_length() == level, "TREE-18: level of a node")
        values[node] = data[start + 8:start + 40]
        (held if head >> 63 else opened).append(node)
        at = node[1]
    for node in held:
        start = node[0] // UNIT * UNIT
        group = (start, min(start + UNIT, last))
        inside = count(node) < count(group) and meets(group, opened)
        need(inside or (node == whole and last <= UNIT), "TREE-18: a held node that is not listed")

    firsts = sorted(values)

    def has_nodes(node):
        i = bisect_left(firsts, node)
        return i < len(firsts) and firsts[i][0] < node[1]

    def value(node):
        if node in values:
            return values[node]
        whole_group = node[0] % UNIT == 0 and (count(node) == UNIT or (count(node) < UNIT and node[1] == last))
        if stored and whole_group and not has_nodes(node):
            return stored[node[0] // UNIT * 32:node[0] // UNIT * 32 + 32]
        need(count(node) > 1, "TREE-19: no value of a leaf")
        left, right = split(node)
        return merge(value(left), value(right), node == whole)

    need(value(whole) == name, "TREE-19: does not merge to the id")
    out, at = [], 0
    for start, end in joined(opened) + [(last, last)]:
        if at < start:
            out.append((at, start))
        at = end
    return {"held": show_runs(out)}
