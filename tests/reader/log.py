"""The segments of one log, joined (page: Segment header, Recovery and restarts, The end)."""

import os
import re

from . import origin as notes
from . import segment as sg
from .segment import BREAK, FAULT, ORIGIN, RESUME, ROTATE, Segment, Unreadable
from .streams import Streams

GAP_NS = 30 * 10**9
NAME = re.compile(r"seg-([0-9a-f]{16})\.rj")


class Log:
    def __init__(self, path, spare=None):
        self.id = os.path.basename(path)
        self.findings = []
        self.streams = Streams(self.id)
        self.path = path
        self.stopped = False
        self.last = None
        self.reads = []
        self.at = None
        self.origin = self._origin()
        self._join(self._load(path, spare))

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
        if note is None or note.log.hex() != self.id:
            self.tell("ORIGIN_INVALID")
            return None
        return note

    def _load(self, path, spare):
        files = []
        for home in filter(None, (path, spare)):
            for name in sorted(os.listdir(home)) if os.path.isdir(home) else []:
                if match := NAME.fullmatch(name):
                    with open(os.path.join(home, name), "rb") as f:
                        files.append((int(match[1], 16), home == spare, name, f.read()))
        segments = []
        for leaf, _, name, data in sorted(files, key=lambda f: f[:2]):
            try:
                segment = Segment(name, data)
            except Unreadable as bad:
                self.tell(bad.code, leaf)
                segments.append((leaf, None))
                continue
            if segment.header.log.hex() != self.id or (self.origin and segment.header.admission != self.origin.admission):
                self.tell("FOREIGN_SEGMENT", leaf)
                segments.append((leaf, None))
                continue
            if segment.leaf != leaf:
                self.tell("CHAIN_BROKEN", leaf)
                segments.append((leaf, None))
                continue
            segments.append((leaf, segment))
        return segments

    def _join(self, segments):
        if not segments:
            self.tell("SEGMENT_MISSING", 0)
            return
        if segments[0][0] != 0:
            self.tell("SEGMENT_MISSING", 0)
        before, whole = None, True
        for i, (leaf, segment) in enumerate(segments):
            if segment is None:
                before, whole = None, False
                continue
            follower = segments[i + 1][1] if i + 1 < len(segments) else None
            is_last = i + 1 == len(segments)
            if leaf == 0:
                whole = self._first(segment) and whole
            elif before is not None:
                whole = self._link(before, segment) and whole
            if segment.header.reason in (RESUME, BREAK, FAULT):
                if whole:
                    self.streams.restart(segment.header.reason == FAULT)
                self.tell({RESUME: "RESUME", BREAK: "RESTART", FAULT: "FAULT_RESTART"}[segment.header.reason], leaf)
            end = self._end_of(segment, follower, is_last)
            if end is None:
                before, whole = None, False
                continue
            self._sealed(segment, end, whole)
            before = (segment, end)
        if before is not None and segments[-1][1] is not None:
            self.last = before[1]

    def _first(self, segment):
        if segment.header.reason != ORIGIN or segment.number != 0 or segment.header.next_seal != 0:
            self.tell("CHAIN_BROKEN", 0)
            return False
        head = segment.header
        if not head.signed_by(head.admission, sg.LABEL_ORIGIN, segment.first.stored):
            self.tell("ORIGIN_INVALID", 0)
            return False
        o = self.origin
        if o and (o.incarnation, o.first_seal) != (head.incarnation, head.next_key):
            self.tell("ORIGIN_INVALID", 0)
        return True

    def _end_of(self, segment, follower, is_last):
        """The seal up to which a segment counts; None where its damage is proven."""
        last = segment.committed
        if last is None:
            code, leaf = segment.fault or ("SEGMENT_CUT", segment.state.leaf)
            self.tell(code, leaf)
            return None
        if is_last:
            return self._tail(segment, last)
        if segment.closed:
            return self._closed(segment, last, follower)
        if follower is not None and follower.header.reason in (RESUME, BREAK, FAULT):
            return self._named(segment, follower)
        if segment.fault:
            self.tell(*segment.fault)
            return None
        if len(segment.data) < segment.header.capacity:
            self.tell("SEGMENT_CUT", last.leaf)
            return None
        return last

    def _tail(self, segment, last):
        size = len(segment.data)
        if segment.closed:
            if segment.used_end(last.end) > last.end or size not in (last.end, segment.header.capacity):
                self.tell("TRAILING_DATA", last.leaf)
            if size != last.end or not segment.closed.stopped:
                self.tell("UNCLEAN_END", last.leaf)
            self.stopped = size == last.end and bool(segment.closed.stopped)
            return last
        if segment.seal_behind(last.end, last.next_seal + 1):
            self.tell(*(segment.fault or ("CHAIN_BROKEN", last.leaf)))
            return None
        self.tell("UNCLEAN_END", last.leaf)
        if size != segment.header.capacity or segment.used_end(last.end) > last.end:
            self.tell("UNSEALED_TAIL", last.leaf)
        return last

    def _closed(self, segment, last, follower):
        size = len(segment.data)
        restarts = follower is not None and follower.header.reason != ROTATE
        if restarts and follower.leaf < last.leaf:
            return self._named(segment, follower)
        zeros = restarts and size == segment.header.capacity
        if segment.used_end(last.end) > last.end or (size != last.end and not zeros):
            self.tell("TRAILING_DATA", last.leaf)
            return None
        return last

    def _named(self, segment, follower):
        """The seal that a restart names."""
        for state in segment.states:
            if state.seal.number == follower.header.last_seal:
                return state
        if segment.fault:
            self.tell(*segment.fault)
            return None
        return segment.committed

    def _link(self, before, segment):
        """Whether a segment continues the one before it."""
        old, end = before
        head, leaf, first = segment.header, segment.leaf, segment.first.header
        if leaf > end.leaf:
            short = not old.closed and len(old.data) < old.header.capacity
            self.tell("SEGMENT_CUT" if short else "SEGMENT_MISSING", end.leaf)
            return False
        if leaf < end.leaf:
            self.tell("FORK", leaf)
            return False
        numbers = (
            first.prev == end.prev,
            head.last_seal == end.seal.number,
            head.last_hash == end.seal.hash,
            head.peaks == end.tree.peaks,
            head.next_seal == end.next_seal,
            head.next_control == end.control,
            segment.number == old.number + 1,
            head.incarnation == old.header.incarnation,
        )
        if not all(numbers) or head.reason == ORIGIN:
            self.tell("CHAIN_BROKEN", leaf)
            return False
        if head.reason == ROTATE:
            return self._rotation(old, end, segment)
        return self._restart(old, end, segment)

    def _rotation(self, old, end, segment):
        head = segment.header
        if not old.closed or old.closed.stopped or head.boot != old.header.boot:
            self.tell("CHAIN_BROKEN", segment.leaf)
            return False
        if segment.first.header.record != end.record or head.next_stream != self.streams.next:
            self.tell("CHAIN_BROKEN", segment.leaf)
            return False
        if head.next_key != end.key:
            self.tell("SEAL_KEY_MISMATCH", segment.leaf)
            return False
        return True

    def _restart(self, old, end, segment):
        head, leaf = segment.header, segment.leaf
        good = True

        def bad(code):
            nonlocal good
            self.tell(code, leaf)
            good = False

        if not head.signed_by(end.seal.recovery_key, sg.LABEL_RESTART, segment.first.stored):
            bad("RESTART_UNAUTHORISED")
        void = sum(1 for s in old.states if s.seal.number > end.seal.number)
        if void > (1 if head.reason == FAULT else 0):
            bad("FORK")
        elif old.seal_behind(old.committed.end, end.next_seal + 1):
            bad("FORK")
        stopped = bool(old.closed and old.closed.stopped)
        behind = old.state if head.reason != FAULT else end
        if head.reason in (RESUME, BREAK) and stopped != (head.reason == RESUME):
            bad("RESTART_MISDECLARED")
        elif segment.first.header.record < behind.record or head.next_stream < self.streams.next:
            bad("RESTART_MISDECLARED")
        self._aside(old, end, segment, bad)
        size = len(old.data)
        if size != old.header.capacity and not (old.closed and size == old.committed.end):
            bad("SEGMENT_CUT")
        return good

    def _aside(self, old, end, segment, bad):
        head = segment.header
        if head.aside_bytes == sg.NONE:
            if head.reason != FAULT or any(head.aside_sha256) or head.aside_at != end.end:
                bad("SET_ASIDE_MISMATCH")
            return
        length = old.used_end(end.end) - end.end
        told = (head.aside_at, head.aside_bytes, head.aside_sha256)
        if told != (end.end, length, old.digest(end.end, length)):
            bad("SET_ASIDE_MISMATCH")

    def _sealed(self, segment, end, whole):
        """The sealed frames of a segment: what they declare, and the pauses between its seals."""
        if not whole:
            # What is open can't be known behind a hole; a restart begins anew.
            self.streams.open.clear()
        for frame in segment.frames:
            if frame.end > end.end:
                break
            codes = self.streams.take(frame)
            for code in codes:
                if whole or code in ("LOSS", "JUMP", "CONTROL_UNREADABLE"):
                    self.tell(code, frame.header.leaf)
            self.reads.append((segment, frame, True))
        for leaf in segment.unsupported:
            if leaf < end.leaf:
                self.tell("UNSUPPORTED_VERSION", leaf)
        if segment.header.reason != ROTATE:
            self.at = None
        for state in segment.states:
            if state.end <= end.end:
                if self.at is not None and state.seal.boot_ns - self.at > GAP_NS:
                    self.tell("GAP", state.leaf)
                self.at = state.seal.boot_ns
