"""RFC 0014, section "Sessions": RFC 0005 "States", RFC 0007 "State of a request"."""

import messages
from notation import described, need, num, raw, runs
from tree import leaves
from wire import BODY_MAX, Cursor, put_varint

WAIT_MAX, HELLO_MS, CLOSE_CODES = 3_600_000, 10_000, 6


def varint_here(cursor):
    return cursor.left > 0 and cursor.left >= 1 << (cursor.data[cursor.at] >> 6)


def frames(data, body_max):
    """Whole frames, one by one: what stands behind a CLOSE is not looked at."""
    cursor = Cursor(data)
    while varint_here(cursor):
        kind = cursor.varint()
        if not varint_here(cursor):
            return
        length = cursor.varint()
        need(length <= body_max, "ENC-15: a body above its limit")  # before the body is there
        if cursor.left < length:
            return
        yield put_varint(kind) + cursor.take(length)


class Node:
    def __init__(self, params):
        self.body_max = num(params["frame_body_max"], 128, BODY_MAX)
        self.wants_max, self.rights_max = num(params["wants_max"]), num(params["rights_max"])
        self.granted, self.bulk = num(params["credit"]), 0
        self.state, self.closed, self.credit = "opening", None, 0
        self.pongs, self.ends, self.rights, self.wants = [], [], [], {}
        self.held = self.right = self.asked = None
        if "held" in params:
            held = params["held"]
            described(held["data"])
            self.held = raw(held["id"], 32).hex()
            self.right = raw(held["right"]).hex() if "right" in held else None
        if "asked" in params:
            self.asked = params["asked"]
            messages.encode(self.asked)
            need(self.asked["message"] == "want", "asked is no WANT")
            self.over, self.sent = False, []
            self.size = int(self.asked["size"]) if "size" in self.asked else None

    def close(self, by, code):
        self.state, self.closed = "closed", (by, code)

    def hear(self, content):
        """One frame; Refused where CLOSE 2 is due (SESS-4)."""
        message = messages.decode(content)
        name = message["message"]
        if name == "close":
            code = int(message["code"])
            self.close("peer", code if code < CLOSE_CODES else 5)  # ENC-27
        elif self.state == "opening":
            need(name == "hello", "SESS-1: a frame before HELLO")
            if int(message["min"]) <= 1 <= int(message["max"]):
                self.state, self.credit = "open", int(message["credit"])
            else:
                self.close("node", 1)  # SESS-3
        else:
            getattr(self, f"on_{name}")(message)

    def on_hello(self, _):
        need(False, "SESS-2: HELLO twice")

    def on_skipped(self, _):
        """ENC-21."""

    def on_pong(self, _):
        """One that nobody asked for changes nothing; one that answers a PING is not in the value."""

    def on_credit(self, message):
        self.credit = max(self.credit, int(message["total"]))  # SESS-7

    def on_ping(self, message):
        self.pongs.append(message["token"])  # SESS-11

    def on_present(self, message):
        need(len(self.rights) < self.rights_max, "SESS-9: too many rights")
        self.rights.append(message["right"])

    def on_want(self, message):
        number = int(message["want"])
        need(number not in self.wants, "XFER-19: a number in use")
        if len(self.wants) >= self.wants_max:
            self.ends.append((number, 2))
        else:
            self.wants[number] = message["blob"]

    def on_cancel(self, message):
        if self.wants.pop(int(message["want"]), None) is not None:
            self.ends.append((int(message["want"]), 5))  # XFER-13

    def known(self, message, req):
        need(self.asked and message["want"] == self.asked["want"], f"{req}: a number that was never used")

    def on_have(self, message):
        self.known(message, "XFER-20")
        self.size = int(message["size"])

    def on_end(self, message):
        self.known(message, "XFER-20")
        self.over = True

    def on_data(self, message):
        content = raw(message["data"])
        self.bulk += len(raw(message["proof"])) + len(content)
        need(self.bulk <= self.granted, "SESS-8: DATA beyond the credit")
        self.known(message, "XFER-5")
        if self.over:
            return
        need(self.size is not None, "XFER-4: DATA before the size")
        first, unit, last = int(message["first"]), 1 << int(self.asked["group"]), leaves(self.size)
        stop = first + max(1, -(-len(content) // 1024))
        need(first % unit == 0 and (stop % unit == 0 or stop == last), "XFER-5: not whole groups")
        wanted = any(low <= first and stop <= high for low, high in runs(self.asked["ranges"]))
        need(wanted and stop <= last, "XFER-5: not asked for, or behind the end")
        need(all(stop <= low or high <= first for low, high in self.sent), "XFER-5: DATA twice")
        self.sent.append((first, stop))

    def look_up(self):
        """What the store answers last: XFER-15."""
        for number, blob in list(self.wants.items()):
            if blob != self.held or (self.right is not None and self.right not in self.rights):
                del self.wants[number]
                self.ends.append((number, 1))

    def value(self):
        if self.state == "opening":
            return {"state": "opening"}
        if self.state == "closed":
            return {"state": "closed", "by": self.closed[0], "code": str(self.closed[1])}
        ends = sorted(self.ends, key=lambda end: end[0])
        return {"state": "open", "version": "1", "features": "0", "credit": str(self.credit), "pongs": self.pongs,
                "ends": [[str(number), str(code)] for number, code in ends],
                "served": [str(number) for number in sorted(self.wants)]}


def decode(params, data):
    wait_ms = num(params.get("wait_ms", "0"), 0, WAIT_MAX)
    node = Node(params)
    for content in frames(data, node.body_max):
        node.hear(content)
        if node.closed:
            break
    if node.state == "opening" and wait_ms >= HELLO_MS:
        node.close("node", 3)  # SESS-5
    node.look_up()
    return node.value()
