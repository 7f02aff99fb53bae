"""BLAKE3's compression, for chaining values of leaves and parents (RFC 0002, "Identity and shape").

The package `blake3` has the plain hash only. The rounds are unrolled into one function when the module is loaded.
"""

import functools
import struct

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
STEPS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
         (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
START, END, PARENT, ROOT = 1, 2, 4, 8
WORDS = struct.Struct("<16I")


def unrolled():
    lines = ["def compress(chain, block, counter, length, flags):",
             " " + ",".join(f"m{i}" for i in range(16)) + "=WORDS.unpack(block)",
             " s0,s1,s2,s3,s4,s5,s6,s7=chain", f" s8,s9,s10,s11={IV[:4]}",
             " s12,s13,s14,s15=counter&0xffffffff,counter>>32,length,flags"]
    order = list(range(16))
    for _ in range(7):
        for at, (a, b, c, d) in enumerate(STEPS):
            for word, one, two in ((order[2 * at], 16, 12), (order[2 * at + 1], 8, 7)):
                lines += [f" s{a}=s{a}+s{b}+m{word}&0xffffffff", f" x=s{d}^s{a}",
                          f" s{d}=x>>{one}|x<<{32 - one}&0xffffffff", f" s{c}=s{c}+s{d}&0xffffffff",
                          f" x=s{b}^s{c}", f" s{b}=x>>{two}|x<<{32 - two}&0xffffffff"]
        order = [order[at] for at in PERMUTATION]
    lines.append(" return " + ",".join(f"s{i}^s{i + 8}" for i in range(8)))
    space = {"WORDS": WORDS}
    exec("\n".join(lines), space)
    return space["compress"]


compress = unrolled()


@functools.lru_cache(maxsize=1 << 16)
def leaf(data, number, root):
    """The value of a leaf: its number is the chunk counter."""
    last = max(0, (len(data) - 1) // 64)
    chain = IV
    for at in range(last + 1):
        block = data[64 * at:64 * at + 64]
        flags = START * (at == 0) | END * (at == last) | ROOT * (root and at == last)
        chain = compress(chain, block.ljust(64, b"\0"), number, len(block), flags)
    return struct.pack("<8I", *chain)


@functools.lru_cache(maxsize=1 << 16)
def merge(left, right, root):
    """The value of an inner node from those of its children."""
    return struct.pack("<8I", *compress(IV, left + right, 0, 64, PARENT | ROOT * root))
