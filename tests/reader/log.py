"""The segments of one log, joined (page: Segment header, Recovery and restarts, The end)."""

import os
import re

from . import origin as notes
from . import permits
from . import segment as sg
from .codes import is_tampering
from .crypto import Tree
from .permits import Permits, in_segment
from .segment import BREAK, FAULT, ORIGIN, RESUME, ROTATE, Segment, Unreadable
from .streams import Streams
from .stub import Stub

GAP_NS = 30 * 10**9
NAME = re.compile(r"seg-([0-9a-f]{16})\.(rj|stub)")
RESTARTS = {RESUME: "RESUME", BREAK: "RESTART", FAULT: "FAULT_RESTART"}


class Break(Exception):
    """The log is vouched for up to here and no further."""

    def __init__(self, code, leaf):
        super().__init__(code)
        self.code, self.leaf = code, leaf


class Part:
    """A segment in the log: `end` is its state at the seal up to which it counts."""

    def __init__(self, segment, follower):
        self.segment, self.end, self.reached = segment, segment.committed, False
        if follower is None or follower.number != segment.number + 1 or follower.header.reason not in RESTARTS:
            return
        for state in segment.states:
            if state.seal.number == follower.header.last_seal:
                self.end, self.reached = state, True

    @property
    def leaf(self):
        """Behind the last sealed leaf."""
        return self.end.leaf if self.end else self.segment.leaf + 1

    @property
    def closed(self):
        return self.end is not None and self.end.footer is not None

    @property
    def stopped(self):
        return self.closed and self.end.footer.stopped == 1

    @property
    def fault(self):
        """What broke the walk. Behind a closed segment it is trailing data, whatever it looks like."""
        if self.segment.fault and self.closed and not self.reached:
            return ("TRAILING_DATA", self.leaf)
        return self.segment.fault

    @property
    def sealed_end(self):
        return self.end.end if self.end else 0

    def right_length(self):
        size = self.segment.size
        return size == self.segment.header.capacity or (self.closed and size == self.sealed_end)

    def later_seal(self):
        """A seal that no crash leaves behind the end: that of the one torn commit may be there, the next may not."""
        return self.end is not None and self.segment.seal_behind(self.sealed_end, self.end.next_seal + 1)


class Log:
    def __init__(self, path, spare=None, signers=None):
        self.id = os.path.basename(os.path.abspath(path))
        self.path, self.permits = path, Permits(path, self.id, signers)
        files = self._load(path, spare)
        self._fold(files, {})
        judged = self._judged()
        hole = next((n for n, (_, found) in enumerate(judged) if found.refused), None)
        # What lies behind a hole that nothing allows is not vouched for: all is folded again, up to there.
        if hole is not None and self.ended:
            stub, found = judged[hole]
            self._fold(files, {stub.leaf: found.refused})
            judged = judged[:hole]
        for code, leaf in permits.findings(judged):
            self.tell(code, leaf)

    def _fold(self, files, refused):
        """Reads the log once, up to the first stub that is refused (its leaf and the code)."""
        self.findings, self.streams, self.refused = [], Streams(), refused
        self.parts, self.stopped, self.seal_at, self.quiet = [], False, None, []
        self.last, self.root = 0, bytes(32)
        self.origin = self._origin()
        self._join(files)

    def _judged(self):
        """The stubs that were joined, each held against the tombstones behind it."""
        judged, known = [], []
        for part in reversed(self.parts):
            if not isinstance(part.segment, Stub):
                known += in_segment(part.segment, part.sealed_end)
                continue
            found = self.permits.judge(part.segment, known)
            if not found.refused:
                known += part.segment.tombstones
            judged.insert(0, (part.segment, found))
        return judged

    def tell(self, code, leaf=None):
        if (code, leaf) not in self.findings:
            self.findings.append((code, leaf))

    def _origin(self):
        try:
            with open(os.path.join(self.path, "origin.note"), "rb") as f:
                note = notes.parse(f.read())
        except FileNotFoundError:
            self.tell("ORIGIN_MISSING")
            return None
        if note is None:
            self.tell("ORIGIN_INVALID")
        elif note.log.hex() != self.id:
            self.tell("FOREIGN_LOG")
        return note

    def _load(self, path, spare):
        """(leaf of the name, segment or why there is none), in order."""
        files = []
        for home in filter(None, (path, spare)):
            for name in os.listdir(home) if os.path.isdir(home) else []:
                match = NAME.fullmatch(name)
                if match and (match[2] == "rj" or home == path):
                    with open(os.path.join(home, name), "rb") as f:
                        files.append((int(match[1], 16), home == spare, name, f.read()))
        # A stub beside its segment is nothing yet.
        there = {leaf for leaf, _, name, _ in files if name.endswith(".rj")}
        found = []
        for leaf, _, name, data in sorted(files, key=lambda f: f[:2]):
            if name.endswith(".stub") and leaf in there:
                continue
            try:
                found.append((leaf, (Stub if name.endswith(".stub") else Segment)(name, data)))
            except Unreadable as bad:
                found.append((leaf, bad))
        return _without_void(found)

    def _join(self, files):
        whole = False
        try:
            if not files:
                raise Break("SEGMENT_MISSING", 0)
            before = None
            for i, (leaf, segment) in enumerate(files):
                follower = files[i + 1][1] if i + 1 < len(files) else None
                before = self._next(before, leaf, segment, None if isinstance(follower, Unreadable) else follower)
            if isinstance(before.segment, Stub):
                raise Break("SEGMENT_MISSING", self.last)
            whole = self._ends(before)
            self.stopped = whole and before.stopped and before.segment.size == before.sealed_end
            self.ended = True
        except Break as found:
            self.tell(found.code, found.leaf)
            self.ended = False
        self._run_ends()
        # Of stubs there are no bodies that could lie in clear.
        sealed = [p.segment.header.recipients > 0 for p in self.parts if p.segment.frames]
        if not all(sealed) or not sealed:
            self.tell("ENCRYPTION_OFF")
        self.streams.end(whole)

    def _next(self, before, leaf, segment, follower):
        """Accepts a segment behind the one before it."""
        if isinstance(segment, Unreadable):
            if before is not None and before.fault and not before.reached:
                self.tell(*before.fault)
            raise Break(segment.code, leaf)
        if leaf in self.refused:
            raise Break(self.refused[leaf], leaf)
        part, known = Part(segment, follower), len(self.findings)
        blamed = isinstance(segment, Stub) or (before is not None and isinstance(before.segment, Stub))
        try:
            self._accept(before, leaf, part)
        except Break as e:
            code = "STUB_INVALID" if blamed and is_tampering(e.code) else e.code
            raise Break(code, e.leaf) from e
        finally:
            if blamed:
                # Where a stub and its neighbour don't fit, the stub is what anybody could have made.
                told = [("STUB_INVALID" if is_tampering(code) else code, at) for code, at in self.findings[known:]]
                self.findings[known:] = told
        self._take(part)
        return part

    def _accept(self, before, leaf, part):
        """Holds a segment, or a stub as its segment, against the one before it."""
        segment, head = part.segment, part.segment.header
        if head.log.hex() != self.id or (self.origin and head.admission != self.origin.admission):
            raise Break("FOREIGN_SEGMENT", segment.leaf)
        if segment.leaf != leaf:
            raise Break("CHAIN_BROKEN", segment.leaf)
        for unknown in segment.unsupported[:1]:
            if unknown < part.leaf:
                self.tell("UNSUPPORTED_VERSION", unknown)
        if before is None:
            self._first(segment)
        else:
            self._follows(before, part)
        if head.reason in (RESUME, BREAK):
            self.streams.restart(head.next_stream)

    def _first(self, segment):
        head, o = segment.header, self.origin
        if segment.leaf != 0 or head.reason != ORIGIN:
            raise Break("SEGMENT_MISSING", 0)
        if not head.signed_by(head.admission, sg.LABEL_ORIGIN, segment.first.stored):
            raise Break("SEAL_INVALID", 0)
        if o and (o.log, o.incarnation, o.first_seal) != (head.log, head.incarnation, head.next_key):
            self.tell("ORIGIN_INVALID", 0)

    def _follows(self, before, part):
        old, new = before.segment, part.segment
        head, leaf = new.header, new.leaf
        if before.fault and not before.reached:
            raise Break(*before.fault)
        if leaf > before.leaf:
            if before.closed or new.number > old.number + 1:
                raise Break("SEGMENT_MISSING", before.leaf)
            newer = any(n >= before.leaf for n in old.unsupported)
            if before.reached or before.right_length() or newer:
                raise Break("CHAIN_BROKEN", leaf)
            raise Break("SEGMENT_CUT", before.leaf)
        if leaf < before.leaf:
            raise Break("FORK", leaf)
        end = before.end
        linked = end is not None and (
            new.first.header.prev == end.prev
            and head.last_seal == end.seal.number
            and head.last_hash == end.seal.hash
            and head.peaks == end.tree.peaks
            and head.next_seal == end.next_seal
            and head.next_control == end.control
            and new.number == old.number + 1
            and head.incarnation == old.header.incarnation
            and head.reason != ORIGIN
        )
        if not linked:
            raise Break("CHAIN_BROKEN", leaf)
        if head.reason == ROTATE:
            self._rotates(before, new)
        else:
            self._restarts(before, new)

    def _rotates(self, before, new):
        old, end, head = before.segment, before.end, new.header
        fits = before.closed and not before.stopped and head.boot == old.header.boot
        if not fits or new.first.header.record != end.record or head.next_stream < end.next_stream:
            raise Break("CHAIN_BROKEN", new.leaf)
        if head.next_key != end.key:
            raise Break("SEAL_KEY_MISMATCH", new.leaf)
        if old.size != before.sealed_end:
            self.tell("TRAILING_DATA", before.leaf)

    def _restarts(self, before, new):
        old, end, head, leaf = before.segment, before.end, new.header, new.leaf
        if not head.signed_by(end.seal.recovery_key, sg.LABEL_RESTART, new.first.stored):
            raise Break("RESTART_UNAUTHORISED", leaf)
        void = sum(1 for s in old.states if s.seal.number > end.seal.number)
        if void > (head.reason == FAULT) or before.later_seal():
            raise Break("FORK", leaf)
        behind = end if head.reason == FAULT else old.state
        numbers = new.first.header.record == behind.record and head.next_stream >= behind.next_stream
        if not numbers or (head.reason != FAULT and before.stopped != (head.reason == RESUME)):
            self.tell("RESTART_MISDECLARED", leaf)
        length = old.used_end(end.end) - end.end
        unknown = head.aside_bytes == sg.NONE and head.reason == FAULT
        measured = (head.aside_bytes, head.aside_sha256) == (length, old.digest_behind(end.end, length))
        if head.aside_at != end.end or not (unknown or measured):
            self.tell("SET_ASIDE_MISMATCH", leaf)
        if not before.right_length():
            self.tell("SEGMENT_CUT", leaf)
        self.tell(RESTARTS[head.reason], leaf)

    def _run_ends(self):
        """Hooks that never saw again, and silences that no sleep explains."""
        deaf, asleep = self.streams.run_ends()
        for leaf in deaf:
            self.tell("HOOK_DEAD", leaf)
        for start, end, leaf in self.quiet:
            slept = sum(ns for before, after, ns in asleep if after > start and before < end)
            if end - start - slept > GAP_NS:
                self.tell("GAP", leaf)
        self.quiet = []

    def _take(self, part):
        """What a segment that belongs to the log declares, and the pauses between its seals."""
        segment = part.segment
        if segment.header.reason not in (ROTATE, FAULT):
            self._run_ends()
            self.seal_at = None
        expired = isinstance(segment, Stub)
        for n, state in enumerate(segment.states):
            if state.end > part.sealed_end:
                break
            # Silences in an expired segment are gone with it.
            if self.seal_at is not None and not expired and state.seal.boot_ns - self.seal_at > GAP_NS:
                self.quiet.append((self.seal_at, state.seal.boot_ns, state.leaf if n else segment.leaf))
            self.seal_at = state.seal.boot_ns
        for frame in segment.frames:
            if frame.end <= part.sealed_end:
                for code in self.streams.take(frame):
                    self.tell(*(code if isinstance(code, tuple) else (code, frame.header.leaf)))
        for row in segment.rows if expired else ():
            for code in self.streams.take_row(row):
                self.tell(code, segment.leaf)
        self.last = part.leaf
        tree = part.end.tree if part.end else Tree(segment.leaf, segment.header.peaks)
        if not part.end:
            tree.push(segment.first.hash)
        self.root = tree.root()
        self.parts.append(part)

    def _ends(self, part):
        """Judges how the log ends; False where that is proven to be no end that the recorder makes."""
        size, leaf = part.segment.size, part.leaf
        used = part.segment.used_end(part.sealed_end)
        code, at = part.segment.fault or ("TRAILING_DATA", leaf)
        if part.end is None:
            cut = not part.segment.fault and size < part.segment.header.capacity
            self.tell("SEGMENT_CUT" if cut else code, at)
            return False
        if part.later_seal():
            self.tell(code, at)
            return False
        if part.closed and used > part.sealed_end:
            self.tell("TRAILING_DATA", leaf)
            return False
        if used > part.sealed_end or not part.right_length():
            self.tell("UNSEALED_TAIL", leaf)
        if not part.stopped or size != part.sealed_end:
            self.tell("UNCLEAN_END", leaf)
        return True

    @property
    def first(self):
        """The first leaf that is still there."""
        return next((part.segment.leaf for part in self.parts if part.segment.frames), 0)

    def fits_before(self, leaf, leaves, root):
        """Whether the tree had that root, by the seals before a leaf in its segment; None if none of them has that size."""
        for part in self.parts:
            if part.segment.leaf <= leaf < part.leaf:
                for state in part.segment.states:
                    if state.leaf == leaves and state.leaf <= leaf:
                        return state.seal.root == root
        return None

    def root_at(self, leaves):
        """The tree's root over the first leaves; None if they have expired, or are not vouched for."""
        for part in self.parts:
            segment = part.segment
            if leaves == part.leaf and part.end:
                return part.end.tree.root()
            if segment.leaf < leaves <= part.leaf and segment.frames:
                tree = Tree(segment.leaf, segment.header.peaks)
                for frame in segment.frames[: leaves - segment.leaf]:
                    tree.push(frame.hash)
                return tree.root()
        return None


def _without_void(files):
    """A rotated segment that was never acknowledged is void: a storage fault made another one of the same leaf."""
    void = set()
    for i in range(len(files) - 1):
        for mine, other in ((i, i + 1), (i + 1, i)):
            (leaf, a), (same, b) = files[mine], files[other]
            if leaf != same or not isinstance(a, Segment) or not isinstance(b, Segment):
                continue
            replaced = a.header.reason == ROTATE and b.header.reason == FAULT
            seal = (a.header.last_seal, a.header.last_hash) == (b.header.last_seal, b.header.last_hash)
            if replaced and seal and len(a.states) == 1 and not a.seal_behind(a.committed.end, a.committed.next_seal + 1):
                void.add(mine)
    return [f for i, f in enumerate(files) if i not in void]
