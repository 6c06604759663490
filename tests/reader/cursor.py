"""Hostile bytes, read through one cursor."""

import struct


class Malformed(Exception):
    """The bytes are not what the page says they must be."""


class Cursor:
    """Takes from the front; lengths are checked before anything is made of them."""

    def __init__(self, data):
        self.data = memoryview(data)
        self.at = 0

    def left(self):
        return len(self.data) - self.at

    def take(self, n):
        if n > self.left():
            raise Malformed(f"{n} bytes where {self.left()} are left")
        part = bytes(self.data[self.at : self.at + n])
        self.at += n
        return part

    def number(self, width, signed=False):
        return int.from_bytes(self.take(width), "little", signed=signed)

    def u8(self):
        return self.number(1)

    def u16(self):
        return self.number(2)

    def u32(self):
        return self.number(4)

    def u64(self):
        return self.number(8)

    def zero(self, n):
        if any(self.take(n)):
            raise Malformed("reserved bytes that are not zero")

    def finish(self):
        if self.left():
            raise Malformed(f"{self.left()} bytes left over")


def u64(n):
    return struct.pack("<Q", n)
