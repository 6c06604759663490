"""Hashes, the tree, the checksum, strict signatures."""

import hashlib
import hmac as _hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
# y of the points of order 8: the y of the other two is its negative.
_Y8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
_SMALL_Y = {0, 1, P - 1, _Y8, P - _Y8}


def sha256(*parts):
    h = hashlib.sha256()
    for part in parts:
        h.update(part)
    return h.digest()


def hmac_sha256(key, message):
    return _hmac.new(key, message, hashlib.sha256).digest()


def leaf_hash(header_and_body):
    """Chain link and RFC 6962 leaf."""
    return sha256(b"\0", header_and_body)


class Tree:
    """The perfect subtrees of an RFC 6962 tree, largest first."""

    def __init__(self, size=0, peaks=()):
        self.size = size
        self.peaks = list(peaks)

    def copy(self):
        return Tree(self.size, self.peaks)

    def push(self, leaf):
        self.push_subtree(leaf, 1)

    def push_subtree(self, root, leaves):
        """A perfect subtree; its leaves, a power of two, divide the tree's size."""
        self.peaks.append(root)
        n = self.size // leaves
        while n & 1:
            right = self.peaks.pop()
            self.peaks[-1] = sha256(b"\1", self.peaks[-1], right)
            n >>= 1
        self.size += leaves

    def root(self):
        if not self.peaks:
            return sha256(b"")
        root = self.peaks[-1]
        for left in reversed(self.peaks[:-1]):
            root = sha256(b"\1", left, root)
        return root


def _crc_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


_CRC = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def is_small_order(point):
    """Of an encoded point: by its y alone, which the eight points of small order share with no other."""
    return (int.from_bytes(point, "little") & ((1 << 255) - 1)) % P in _SMALL_Y


def verifies(key, message, signature):
    """Strict: no small-order key, no small-order R, S reduced."""
    if is_small_order(key) or is_small_order(signature[:32]):
        return False
    if int.from_bytes(signature[32:], "little") >= L:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
