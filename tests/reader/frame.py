"""Frames, as they lie in a file (page: Frame)."""

from .crypto import crc32c, leaf_hash

HEADER = 112
MAGIC = b"RJF1"
SEGMENT, DATA, SEAL, CONTROL, FOOTER = 1, 2, 3, 4, 5
CRITICAL, LOSS, ENCRYPTED, COMPRESSED, HEARTBEAT, TERMINAL = 1, 2, 4, 8, 16, 32
KNOWN_FLAGS = 63
MAX_BODY = 1 << 20


class Damage(Exception):
    """No frame here. `code` is a finding's, or one of `cut` and `version`, which the place decides about."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Header:
    """The fields of the 112 bytes."""

    def __init__(self, raw):
        def n(at, width):
            return int.from_bytes(raw[at : at + width], "little")

        self.raw = raw
        self.magic, self.version, self.type, self.header_len = raw[:4], raw[4], raw[5], n(6, 2)
        self.body_len, self.flags = n(8, 4), n(12, 4)
        self.leaf, self.stream, self.number, self.record = n(16, 8), n(24, 8), n(32, 8), n(40, 8)
        self.earliest, self.latest = n(48, 8), n(56, 8)
        self.records, self.codec, self.aead, self.compression, self.signature = n(64, 4), raw[68], raw[69], raw[70], raw[71]
        self.reserved, self.prev = raw[72:80], raw[80:112]

    def holds(self):
        """False where two fields contradict each other. Numbers that are not known are another matter."""
        data, control = self.type == DATA, self.type == CONTROL
        if self.type not in (SEGMENT, DATA, SEAL, CONTROL, FOOTER):
            return True
        return (
            bool(self.flags & ENCRYPTED) == (self.aead != 0)
            and bool(self.flags & COMPRESSED) == (self.compression != 0)
            and (data or self.aead == 0)
            and (data or self.compression == 0)
            and (self.records > 0) == (data or control)
            and (self.codec != 0) == (self.records > 0)
            and (data or self.stream == 0)
            and self.earliest <= self.latest
            and (self.signature == 0 or self.type in (SEAL, SEGMENT))
            and (self.signature != 0 or self.type != SEAL)
        )

    def is_known(self):
        """False for what only a newer reader understands."""
        return (
            self.type in (SEGMENT, DATA, SEAL, CONTROL, FOOTER)
            and not self.flags & ~KNOWN_FLAGS
            and self.codec <= 1
            and self.aead <= 2
            and self.compression <= 1
            and self.signature <= 1
        )


class Frame:
    """A frame found whole: `stored` is header and body, `end` where the next one begins."""

    def __init__(self, header, offset, end, stored):
        self.header, self.offset, self.end, self.stored = header, offset, end, stored
        self.hash = leaf_hash(stored)

    @property
    def body(self):
        return self.stored[HEADER:]


def frame_len(body_len):
    return (HEADER + body_len + 4 + 7) // 8 * 8


def read(data, at):
    """The frame at an offset, or None where the file ends or zeros begin."""
    raw = bytes(data[at : at + HEADER])
    if not any(raw):
        return None
    if len(raw) < HEADER:
        raise Damage("cut")
    header = Header(raw)
    if header.magic != MAGIC:
        raise Damage("FRAME_BROKEN")
    if header.version != 1:
        raise Damage("version")
    if header.header_len != HEADER or any(header.reserved):
        raise Damage("FRAME_BROKEN")
    fixed = {SEAL: 256, FOOTER: 48}.get(header.type)
    if header.body_len > MAX_BODY or (fixed is not None and header.body_len != fixed):
        raise Damage("FRAME_BROKEN")
    end = at + frame_len(header.body_len)
    if end > len(data):
        raise Damage("cut")
    stored = bytes(data[at : at + HEADER + header.body_len])
    rest = bytes(data[at + len(stored) : end])
    frame = Frame(header, at, end, stored)
    if crc32c(stored) != int.from_bytes(rest[:4], "little"):
        raise Damage("CRC_MISMATCH" if _named_behind(data, end, frame.hash) else "HASH_MISMATCH")
    if any(rest[4:]):
        raise Damage("NONZERO_PADDING")
    return frame


def _named_behind(data, end, digest):
    try:
        follower = read(data, end)
    except Damage:
        return False
    return follower is not None and follower.header.prev == digest


def hunt(data, start):
    """Every whole seal behind a place, at any multiple of 8."""
    at = data.find(MAGIC, start)
    while at >= 0:
        try:
            frame = read(data, at) if at % 8 == 0 and data[at + 5 : at + 6] == bytes([SEAL]) else None
        except Damage:
            frame = None
        if frame is not None:
            yield frame
        at = data.find(MAGIC, at + 1)
