"""RFC 0002: ids, outboards, proofs and frontiers."""

from blake3_tree import leaf, merge
from blake3 import blake3
from values import number, pattern, ranges, to_bytes, to_number, to_ranges
from wire import Refused

GROUP = 16  # leaves of a stored value
NODES_MAX = 65_536


def leaves_of(size):
    return max(1, -(-size // 1024))


def children(node):
    """TREE-2: the left child has the largest power of two that is smaller."""
    first, end = node
    if end - first == 1:
        return None
    left = 1 << (end - first - 1).bit_length() - 1
    return (first, first + left), (first + left, end)


def level(node):
    return (node[1] - node[0] - 1).bit_length()


def meets(node, runs):
    return any(node[0] < end and start < node[1] for start, end in runs)


def value_of(node, data, root):
    """The value of a node whose bytes are `data`."""
    parts = children(node)
    if parts is None:
        return leaf(data, node[0], root)
    left, right = parts
    cut = (left[1] - left[0]) * 1024
    return merge(value_of(left, data[:cut], False), value_of(right, data[cut:], False), root)


def identity(params):
    return blake3(pattern(params["data"])).hexdigest()  # TREE-1


def outboard(params, data):
    """TREE-15 and TREE-16."""
    size, root = to_number(params["size"]), to_bytes(params["id"])
    groups = -(-size // (GROUP * 1024)) if size > GROUP * 1024 else 0
    if len(data) != 32 * groups:
        raise Refused("not as many values as the size says")
    stored = [data[at:at + 32] for at in range(0, len(data), 32)]
    whole = (0, leaves_of(size))

    def value(node):
        if node[1] - node[0] <= GROUP:
            return stored[node[0] // GROUP]
        left, right = children(node)
        return merge(value(left), value(right), node == whole)

    if stored and value(whole) != root:
        raise Refused("the values do not merge to the id")
    return {"groups": number(groups)}


class Receiver:
    """What section "Check" keeps: held leaves, and open nodes with their proven values."""

    def __init__(self, root, size):
        self.size = size
        self.whole = (0, leaves_of(size))
        self.held = set()
        self.open = {self.whole: root}

    def in_proof(self, node):
        """TREE-4."""
        return (
            node[1] - node[0] > self.unit
            and meets(node, [self.range])
            and not meets(node, self.base)
        )

    def pairs(self, node):
        """How many pairs of a subtree the proof has."""
        if node[1] - node[0] <= self.unit or not meets(node, [self.range]):
            return 0
        left, right = children(node)
        return self.in_proof(node) + self.pairs(left) + self.pairs(right)

    def take(self, group, first, base, proof, data):
        """Checks a transfer and books it; the leaves that are new, and those that are bad."""
        end = first + max(1, -(-len(data) // 1024))
        self.unit, self.range, self.base = 1 << group, (first, end), base
        last = self.whole[1]
        # TREE-7
        if end > last:
            raise Refused("outside of the blob")
        if len(data) != min(end * 1024, self.size) - first * 1024:
            raise Refused("the data is not as long as its leaves")
        if first % self.unit or (end % self.unit and end != last):
            raise Refused("not whole groups")
        if len(proof) != 64 * self.pairs(self.whole):
            raise Refused("the proof is not as long as it has to be")
        self.proof = [proof[at:at + 64] for at in range(0, len(proof), 64)]
        self.opened, self.kept, self.targets = [], {}, {}
        self.check(self.whole)  # what it refuses has changed nothing: TREE-12
        for node in self.opened:
            del self.open[node]
        self.open |= self.kept
        good, bad = [], []
        for node, value in self.targets.items():
            content = data[(node[0] - first) * 1024:(node[1] - first) * 1024]
            if value_of(node, content, node == self.whole) == value:  # TREE-10
                self.held |= set(range(*node))
                good.append(node)  # TREE-11
            else:
                self.open[node] = value
                bad.append(node)
        return good, bad

    def check(self, node):
        if not meets(node, [self.range]):
            return
        if all(leaf in self.held for leaf in range(*node)):
            del self.proof[:self.pairs(node)]  # TREE-9
        elif node in self.open:
            self.opened.append(node)
            self.unfold(node, self.open[node])
        else:
            if self.in_proof(node):
                del self.proof[:1]  # TREE-9
            for child in children(node):
                self.check(child)

    def unfold(self, node, value):
        if not meets(node, [self.range]):
            self.kept[node] = value
        elif node[1] - node[0] <= self.unit:
            self.targets[node] = value
        elif not self.in_proof(node):
            raise Refused("the base leaves out a pair that is needed")  # TREE-6
        else:
            pair = self.proof.pop(0)
            left, right = pair[:32], pair[32:]
            if merge(left, right, node == self.whole) != value:
                raise Refused("a pair does not merge to its node")  # TREE-8
            for child, child_value in zip(children(node), (left, right)):
                self.unfold(child, child_value)


def step(receiver, params, proof):
    first, end = to_number(params["first"]), to_number(params["end"])
    data = pattern(params["data"])[first * 1024:end * 1024]
    group = to_number(params["group"], 0, 10)
    return receiver.take(group, first, to_ranges(params["base"]), proof, data)


def union(nodes):
    runs = []
    for start, end in sorted(nodes):
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    return runs


def transfer(params, proof):
    receiver = Receiver(to_bytes(params["id"]), to_number(params["size"]))
    for before in params["before"]:
        try:
            step(receiver, before, to_bytes(before["proof"]))
        except Refused:
            pass
    good, bad = step(receiver, params, proof)
    if bad:
        raise Refused(f"the data of {union(bad)} is bad")
    last = receiver.whole[1] - 1
    return {"good": ranges(union(good)), "size_proven": last in receiver.held}  # TREE-13


def frontier(params, data):
    """TREE-18 and TREE-19."""
    size, root = to_number(params["size"]), to_bytes(params["id"])
    stored = to_bytes(params["outboard"])
    whole = (0, leaves_of(size))
    if len(data) < 16 or data[:4] != b"SFR1":
        raise Refused("not a frontier")
    count = int.from_bytes(data[4:8], "little")
    if count > NODES_MAX or len(data) != 16 + 40 * count:
        raise Refused("not as long as its count says")
    if blake3(data[:-8]).digest()[:8] != data[-8:]:
        raise Refused("the check differs")
    nodes, at = {}, 0
    for start in range(8, 8 + 40 * count, 40):
        head = int.from_bytes(data[start:start + 8], "little")
        first, depth, held = head & (1 << 56) - 1, head >> 56 & 0x7F, bool(head >> 63)
        if first < at or first >= whole[1] or depth > 54 or first % (1 << depth):
            raise Refused("a node where none can be")
        node = (first, min(first + (1 << depth), whole[1]))
        if level(node) != depth:
            raise Refused("a node has not its level")
        nodes[node], at = (data[start + 8:start + 40], held), node[1]
    opened = [node for node, (_, held) in nodes.items() if not held]
    small = whole[1] <= GROUP
    for node, (_, held) in nodes.items():
        group = (node[0] // GROUP * GROUP, min(node[0] // GROUP * GROUP + GROUP, whole[1]))
        inside = node[1] - node[0] < group[1] - group[0] and meets(group, opened)
        if held and not inside and not (small and node == whole):
            raise Refused("a held node that has to be in the outboard")

    def value(node):
        if node in nodes:
            return nodes[node][0]
        if not small and node[1] - node[0] <= GROUP and node[0] % GROUP == 0 and not meets(node, nodes):
            if node[1] - node[0] == GROUP or node[1] == whole[1]:
                at = node[0] // GROUP * 32
                if at + 32 > len(stored):
                    raise Refused("the outboard ends too early")
                return stored[at:at + 32]
        parts = children(node)
        if parts is None:
            raise Refused("a leaf without a value")
        return merge(value(parts[0]), value(parts[1]), node == whole)

    if value(whole) != root:
        raise Refused("the values do not merge to the id")
    held, at = [], 0
    for start, end in union(opened):
        if at < start:
            held.append((at, start))
        at = end
    if at < whole[1]:
        held.append((at, whole[1]))
    return {"held": ranges(held)}
