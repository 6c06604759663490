"""One segment file: its header, the walk along its chain, its seals (page: Seal, Segment header)."""

from . import frame as fr
from .crypto import Tree, sha256, verifies
from .cursor import Cursor, Malformed
from .frame import Damage

ORIGIN, ROTATE, RESUME, BREAK, FAULT = range(5)
NONE = 2**64 - 1
LABEL_ORIGIN = b"recorder-journal/v1/origin-segment\0"
LABEL_RESTART = b"recorder-journal/v1/restart\0"
LABEL_SEAL = b"recorder-journal/v1/seal\0"


class SegmentHeader:
    def __init__(self, body, leaf):
        c = Cursor(body)
        self.log, self.admission = c.take(16), c.take(32)
        self.incarnation, self.reason = c.u32(), c.u8()
        c.zero(3)
        self.capacity, self.boot, self.boot_ns, self.real_ns = c.u64(), c.take(16), c.u64(), c.u64()
        self.last_seal, self.last_hash = c.u64(), c.take(32)
        self.next_seal, self.next_key, self.next_control, self.next_stream = c.u64(), c.take(32), c.u64(), c.u64()
        self.aside_at, self.aside_bytes, self.aside_sha256 = c.u64(), c.u64(), c.take(32)
        self.commitment, self.recipients = c.take(32), c.u16()
        c.zero(2)
        peaks, wrapped = c.u32(), c.u32()
        c.zero(4)
        if self.reason > FAULT or peaks != bin(leaf).count("1"):
            raise Malformed("reason or peaks")
        self.peaks = [c.take(32) for _ in range(peaks)]
        self.wrapped = c.take(wrapped)
        self.signature = c.take(64)
        c.finish()
        if (self.last_seal == NONE and any(self.last_hash)) or (self.aside_bytes == NONE and any(self.aside_sha256)):
            raise Malformed("a digest of nothing")
        sealed = (self.recipients > 0, wrapped > 0, any(self.commitment))
        if len(set(sealed)) > 1:
            raise Malformed("half of an encryption")

    def signed_by(self, key, label, stored):
        return verifies(key, label + self.log + self.admission + stored[:-64], self.signature)


def signature_fits(frame, header):
    """A rotated segment has no signature, every other has one."""
    rotated = header.reason == ROTATE
    return (frame.header.signature == 1) != rotated and not (rotated and any(header.signature))


class Seal:
    def __init__(self, frame):
        c = Cursor(frame.body)
        self.log, self.number, self.size = c.take(16), c.u64(), c.u64()
        self.prev, self.root, self.next_key, self.recovery_key = c.take(32), c.take(32), c.take(32), c.take(32)
        self.boot, self.boot_ns, self.real_ns = c.take(16), c.u64(), c.u64()
        self.signature = c.take(64)
        c.finish()
        self.hash, self.offset, self.end = frame.hash, frame.offset, frame.end


class State:
    """Where a walk is: what the next frame has to continue."""

    def __init__(self):
        self.leaf = self.record = self.control = self.next_seal = self.next_stream = 0
        self.prev = bytes(32)
        self.tree = Tree()
        self.key = None
        self.seal = None
        self.end = 0
        self.leaves = 0
        self.footer = None

    def copy(self):
        other = State()
        other.__dict__.update(self.__dict__)
        other.tree = self.tree.copy()
        return other


class Unreadable(Exception):
    """The file has no segment header that could be believed."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Segment:
    """A file, walked as far as it follows its own header."""

    def __init__(self, name, data):
        self.name, self.data = name, data
        self.frames, self.states, self.fault, self.unsupported = [], [], None, []
        try:
            first = fr.read(data, 0)
            if first is None:
                raise Damage("FRAME_BROKEN" if data else "cut")
        except Damage as damage:
            raise Unreadable(self._first(damage)) from damage
        if first.header.type != fr.SEGMENT or not first.header.holds():
            raise Unreadable("FRAME_INVALID")
        try:
            self.header = SegmentHeader(first.body, first.header.leaf)
        except Malformed as e:
            raise Unreadable("FRAME_INVALID") from e
        self.first, self.number, self.leaf = first, first.header.number, first.header.leaf
        if not signature_fits(first, self.header):
            raise Unreadable("FRAME_INVALID")
        self._walk()

    def _first(self, damage):
        seals = any(fr.hunt(self.data, 1))
        if damage.code == "cut":
            return "FRAME_BROKEN" if seals else "SEGMENT_CUT"
        if damage.code == "CRC_MISMATCH":
            return "HASH_MISMATCH"
        if damage.code != "version":
            return damage.code
        whole = bytearray(self.data)
        whole[4] = 1
        try:
            fr.read(bytes(whole), 0)
            return "FRAME_BROKEN"
        except Damage:
            pass
        return "FRAME_BROKEN" if seals else "UNSUPPORTED_VERSION"

    def _walk(self):
        h, first = self.header, self.first.header
        self.state = s = State()
        s.leaf, s.record, s.control, s.next_seal = first.leaf, first.record, h.next_control, h.next_seal
        s.next_stream = h.next_stream
        s.prev, s.tree, s.key = first.prev, Tree(first.leaf, h.peaks), h.next_key
        frame = self.first
        while frame is not None:
            code = self._accept(frame)
            if code is not None:
                self.fault = (code, s.leaf)
                return
            try:
                frame = fr.read(self.data, s.end)
            except Damage as damage:
                code = damage.code
                if code == "version":
                    code = "FRAME_BROKEN"
                if code == "cut":
                    code = "FRAME_BROKEN" if self.seal_behind(s.end, s.next_seal) else "SEGMENT_CUT"
                self.fault = (code, s.leaf)
                return

    def _accept(self, frame):
        h, s = frame.header, self.state
        if s.footer is not None and h.type != fr.SEAL:
            return "TRAILING_DATA"
        if s.footer is not None and s.footer.sealed:
            return "TRAILING_DATA"
        if h.prev != s.prev or h.record != s.record:
            return "CHAIN_BROKEN"
        if h.type == fr.SEAL:
            return self._seal(frame)
        if h.leaf != s.leaf:
            return "CHAIN_BROKEN"
        if not h.holds() or (h.type == fr.SEGMENT and s.leaves > 0):
            return "FRAME_INVALID"
        if h.type == fr.DATA and (self.header.recipients > 0) != (h.aead != 0):
            return "FRAME_INVALID"
        if h.type == fr.CONTROL:
            if h.number != s.control:
                return "CHAIN_BROKEN"
            s.control += 1
        if h.type == fr.DATA and h.stream == 0 and h.aead == 0:
            return "FRAME_INVALID"
        if h.type == fr.DATA:
            s.next_stream = max(s.next_stream, h.stream + 1)
        if h.type == fr.FOOTER:
            s.footer = Footer(frame)
            if not s.footer.fits(self, s):
                return "FOOTER_MISMATCH"
        if not h.is_known():
            self.unsupported.append(h.leaf)
        s.tree.push(frame.hash)
        s.leaf += 1
        s.leaves += 1
        s.record += h.records
        s.prev, s.end = frame.hash, frame.end
        self.frames.append(frame)
        return None

    def _seal(self, frame):
        h, s, head = frame.header, self.state, self.header
        seal = Seal(frame)
        if seal.number != s.next_seal or h.number != s.next_seal:
            return "SEAL_SKIPPED"
        if seal.size != s.leaf or h.leaf != s.leaf or seal.root != s.tree.root():
            return "TREE_MISMATCH"
        stored = frame.stored
        fields = h.holds() and h.signature == 1 and seal.log == head.log and seal.prev == s.prev and seal.boot == head.boot
        if not fields or not verifies(s.key, LABEL_SEAL + head.log + head.admission + stored[:-64], seal.signature):
            return "SEAL_INVALID"
        s.next_seal += 1
        s.key, s.seal, s.prev, s.end = seal.next_key, seal, frame.hash, frame.end
        if s.footer is not None:
            s.footer.sealed = True
        self.states.append(s.copy())
        return None

    @property
    def committed(self):
        """At the last seal that verifies."""
        return self.states[-1] if self.states else None

    @property
    def closed(self):
        """The footer, if it is sealed."""
        return self.committed.footer if self.states else None

    def seal_behind(self, start, number):
        """Whether a whole seal of this log with this number or a later one lies behind a place."""
        for found in fr.hunt(self.data, start):
            seal = Seal(found)
            if seal.log == self.header.log and seal.number >= number and found.header.number == seal.number:
                return True
        return False

    def used_end(self, start):
        """Behind the last byte that is not zero, at least `start`."""
        return max(start, len(self.data.rstrip(b"\0")))

    @property
    def size(self):
        """The file's length."""
        return len(self.data)

    def digest_behind(self, start, length):
        return sha256(self.data[start : start + length])


class Footer:
    def __init__(self, frame):
        c = Cursor(frame.body)
        self.first, self.leaves, self.records, self.seals, self.bytes, self.stopped = (c.u64() for _ in range(6))
        self.number, self.sealed = frame.header.number, False

    def fits(self, segment, s):
        seals = s.next_seal - segment.header.next_seal
        records = s.record - segment.first.header.record
        counted = (segment.leaf, s.leaves + 1, records, seals, s.end)
        return (
            counted == (self.first, self.leaves, self.records, self.seals, self.bytes)
            and self.stopped <= 1
            and self.number == segment.number
        )
