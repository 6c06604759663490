"""What is left of a segment that was deleted by a permit (page: Retention)."""

from . import frame as fr
from .crypto import Tree, crc32c, sha256
from .cursor import Cursor, Malformed
from .frame import Damage
from .segment import Seal, SegmentHeader, State, Unreadable, signature_fits

MAX_LEN = 64 << 20
SEAL_FRAME = fr.frame_len(256)


class Row:
    """One stream in the segment."""

    def __init__(self, c):
        self.stream, self.opened, self.closed = c.u64(), c.u8(), c.u8()
        c.zero(6)
        self.session, self.first, self.frames, self.records = c.take(16), c.u64(), c.u64(), c.u64()
        self.done = (c.u64(), c.u64(), c.u64())
        if self.opened > 1 or self.closed > 1:
            raise Malformed("a row's marks")
        if not (self.opened or self.closed) and any(self.session):
            raise Malformed("a session of nothing")
        if not self.closed and any(self.done):
            raise Malformed("the counts of nothing")
        if not self.frames and (self.first or self.records):
            raise Malformed("the numbers of no frames")


class End:
    """What a footer said of the end."""

    def __init__(self, stopped):
        self.stopped, self.sealed = stopped, True


class Stub:
    """Joined as its segment would be: it has a segment's fields, one state at S, and no frames."""

    def __init__(self, name, data):
        self.name, self.digest = name, sha256(data)
        self.frames, self.fault, self.unsupported = [], None, []
        try:
            self._read(data)
        except (Malformed, Damage) as e:
            raise Unreadable("STUB_INVALID") from e

    def _read(self, data):
        if len(data) > MAX_LEN or len(data) < 8 or data[:4] != b"RJS1":
            raise Malformed("no stub")
        if crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise Malformed("checksum")
        if data[4] != 1:
            raise Unreadable("UNSUPPORTED_VERSION")
        c = Cursor(data[:-4])
        c.take(5)
        ending = c.u8()
        c.zero(2)
        h, n, m, t = c.u32(), c.u32(), c.u32(), c.u32()
        if ending > 2 or 128 + h + SEAL_FRAME + 32 * n + 80 * m + 88 * t + 4 != len(data):
            raise Malformed("ending or lengths")
        self.seals, self.size, self.end_of_s, self.aside, self.aside_sha256 = c.u64(), c.u64(), c.u64(), c.u64(), c.take(32)
        control, record, next_stream = c.u64(), c.u64(), c.u64()
        self.state = State()
        self.state.record, self.state.next_stream = c.u64(), c.u64()
        self._header(c.take(h))
        seal_frame = c.take(SEAL_FRAME)
        roots = [c.take(32) for _ in range(n)]
        self.rows = [Row(c) for _ in range(m)]
        self.tombstones = [tombstone(c) for _ in range(t)]
        c.finish()
        if any(a.stream >= b.stream for a, b in zip(self.rows, self.rows[1:])):
            raise Malformed("rows that don't rise")
        s = self._seal(seal_frame, roots)
        s.control, s.record, s.next_stream = control, record, next_stream
        s.end, s.footer = self.end_of_s, End(int(ending == 2)) if ending else None
        self._counts(s)
        self.states = [s]

    def _header(self, raw):
        first = _one(raw, fr.SEGMENT)
        self.header = SegmentHeader(first.body, first.header.leaf)
        if not signature_fits(first, self.header):
            raise Malformed("a signature where none belongs, or none where one does")
        self.first, self.number, self.leaf = first, first.header.number, first.header.leaf

    def _seal(self, raw, roots):
        frame, head = _one(raw, fr.SEAL), self.header
        seal, s = Seal(frame), State()
        h = frame.header
        fits = h.signature == 1 and (seal.log, seal.boot, seal.prev) == (head.log, head.boot, h.prev)
        numbers = seal.number == h.number == head.next_seal + self.seals - 1 and seal.size == h.leaf and self.seals > 0
        if not fits or not numbers or seal.size <= self.leaf:
            raise Malformed("a seal of another segment")
        tree, at = Tree(self.leaf, head.peaks), self.leaf
        for root in roots:
            if at >= seal.size:
                raise Malformed("a root too many")
            size = _largest(at, seal.size)
            tree.push_subtree(root, size)
            at += size
        if at != seal.size or tree.root() != seal.root:
            raise Malformed("roots that don't give the seal's")
        s.leaf, s.tree, s.seal, s.key = seal.size, tree, seal, seal.next_key
        s.prev, s.next_seal, s.leaves = frame.hash, seal.number + 1, seal.size - self.leaf
        s.seal_record = h.record
        return s

    def _counts(self, s):
        head, first, behind = self.header, self.first.header, self.state
        rising = (
            s.seal_record == s.record >= first.record
            and s.control >= head.next_control
            and s.next_stream >= head.next_stream
            and behind.record >= s.record
            and behind.next_stream >= s.next_stream
            and self.end_of_s + self.aside <= self.size
        )
        if not rising:
            raise Malformed("numbers that fall back")

    @property
    def leaves(self):
        return self.states[0].leaves

    @property
    def committed(self):
        return self.states[0]

    def seal_behind(self, _start, _number):
        return False

    def used_end(self, start):
        return start + self.aside

    def digest_behind(self, _start, _length):
        return self.aside_sha256


def _one(raw, kind):
    """The one whole frame that these bytes are."""
    frame = fr.read(raw, 0)
    if frame is None or frame.end != len(raw) or frame.header.type != kind or not frame.header.holds():
        raise Malformed("a frame that is not whole")
    return frame


def _largest(at, end):
    """The size of the largest perfect subtree that begins at a leaf and does not reach over the end."""
    size = 1
    while size * 2 <= end - at and at % (size * 2) == 0:
        size *= 2
    return size


def tombstone(c):
    return {"permit": c.take(32), "stub": c.take(32), "first": c.u64(), "leaves": c.u64(), "applied": c.u64()}
