"""BLAKE3 as far as RFC 0002 needs it: chaining values of leaves and parents.

The package `blake3` offers the hash of whole inputs only, so the compression function is written out
here; the tests compare the two.
"""

import functools

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
MASK = 0xFFFFFFFF


def compress(chain, block, counter, length, flags):
    words = [int.from_bytes(block[at:at + 4], "little") for at in range(0, 64, 4)]
    s = [*chain, *IV[:4], counter & MASK, counter >> 32, length, flags]
    for turn in range(7):
        at = 0
        for a, b, c, d in COLUMNS + DIAGONALS:
            x, y = words[at], words[at + 1]
            at += 2
            s[a] = s[a] + s[b] + x & MASK
            w = s[d] ^ s[a]
            s[d] = w >> 16 | w << 16 & MASK
            s[c] = s[c] + s[d] & MASK
            w = s[b] ^ s[c]
            s[b] = w >> 12 | w << 20 & MASK
            s[a] = s[a] + s[b] + y & MASK
            w = s[d] ^ s[a]
            s[d] = w >> 8 | w << 24 & MASK
            s[c] = s[c] + s[d] & MASK
            w = s[b] ^ s[c]
            s[b] = w >> 7 | w << 25 & MASK
        if turn < 6:
            words = [words[at] for at in ORDER]
    return [s[at] ^ s[at + 8] for at in range(8)]


def out(chain):
    return b"".join(word.to_bytes(4, "little") for word in chain)


@functools.lru_cache(maxsize=1 << 16)
def leaf(data, number, root):
    """The value of a leaf: its number is the counter."""
    blocks = [data[at:at + 64] for at in range(0, len(data), 64)] or [b""]
    chain = IV
    for at, block in enumerate(blocks):
        flags = (CHUNK_START if at == 0 else 0) | (CHUNK_END if at == len(blocks) - 1 else 0)
        if root and at == len(blocks) - 1:
            flags |= ROOT
        chain = compress(chain, block.ljust(64, b"\0"), number, len(block), flags)
    return out(chain)


@functools.lru_cache(maxsize=1 << 16)
def merge(left, right, root):
    """The value of the parent of two nodes."""
    return out(compress(IV, left + right, 0, 64, PARENT | (ROOT if root else 0)))
