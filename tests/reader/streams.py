"""What control records say: streams and sessions, losses, jumps, the clock (page: Streams, Records)."""

from . import frame as fr
from . import records
from .cursor import Malformed

LOSS, JUMP, BOOT, HEARTBEAT, STOP, OPENED, CLOSED, CHECKPOINT, HOOK, CLOCK = 258, 259, 256, 257, 260, 261, 262, 267, 269, 270
BACK, SLEW, SUSPEND = 2, 1, 2


class Session:
    def __init__(self, ident):
        self.id, self.completeness = ident, "open"
        # Partly in segments that gave way to stubs.
        self.expired = False


class Streams:
    """Fed with sealed frames in the order of the log."""

    def __init__(self):
        self.next = 1
        self.broken = set()
        self.losses = set()
        self.open = {}
        self.sessions = []
        self.sealed_stream = 0
        # CHECKPOINT records with the leaf that they stand in.
        self.checkpoints = []
        # Of this run: hooks that do not see with the leaf that says so, and times asleep.
        self.deaf, self.asleep = {}, []

    def run_ends(self):
        """Leaves of hooks that did not see to the end of the run, and its times asleep."""
        deaf, asleep = list(self.deaf.values()), self.asleep
        self.deaf, self.asleep = {}, []
        return deaf, asleep

    def restart(self, next_stream):
        """The recorder's process ended: so did all streams."""
        self.next = max(self.next, next_stream)
        for stream in self.open.values():
            stream["session"].completeness = "incomplete"
        self.open = {}
        self.sealed_stream = 0

    def take(self, frame):
        """Codes of what is wrong with a frame, or declared by it; one that belongs to another leaf with that."""
        if frame.header.type == fr.DATA:
            return self._data(frame.header)
        if frame.header.type != fr.CONTROL or frame.header.codec != 1:
            return []
        try:
            entries = records.decode(frame.body)
            if len(entries) != frame.header.records:
                raise Malformed("another number of records")
        except Malformed:
            return ["CONTROL_UNREADABLE"]
        found = []
        for entry in entries:
            if entry.kind == LOSS:
                # One finding for each class and reason, where it was first.
                what = (entry.body["class"], entry.body["reason"])
                if what not in self.losses:
                    found.append("LOSS")
                self.losses.add(what)
            elif entry.kind == JUMP:
                found.append("JUMP")
            elif entry.kind == HOOK:
                found += self._hook(entry.body, frame.header.leaf)
            elif entry.kind == CLOCK:
                if entry.body["event"] == SLEW:
                    found.append("SLEW")
                elif entry.body["event"] == SUSPEND:
                    found.append("SUSPEND")
                    self.asleep.append((entry.body["before"]["boot"], entry.body["after"]["boot"], abs(entry.body["nanos"])))
            elif entry.kind == CHECKPOINT:
                self.checkpoints.append((frame.header.leaf, entry.body))
            elif entry.kind == OPENED:
                found += self._opened(entry.body)
            elif entry.kind == CLOSED:
                found += self._closed(entry.body)
        return found

    def take_row(self, row):
        """A stub's row: what its segment's frames of one stream would have said. Codes of what does not fit."""
        if row.stream == 0:
            return self._own(row.first, row.frames) if row.frames else []
        found = self._opened({"stream": row.stream, "id": row.session}) if row.opened else []
        stream = self.open.get(row.stream)
        if stream is None or (row.frames and row.first != stream["frames"]):
            if stream is not None:
                stream["whole"] = False
            if row.stream not in self.broken:
                found.append("STREAM_BROKEN")
            self.broken.add(row.stream)
        else:
            stream["session"].expired = True
            stream["frames"] += row.frames
            stream["records"] += row.records
        if row.closed:
            frames, entries, losses = row.done
            done = {"stream": row.stream, "id": row.session, "frames": frames, "records": entries, "losses": losses}
            found += self._closed(done)
        return found

    def _hook(self, body, leaf):
        if body["state"] != BACK:
            self.deaf.setdefault(body["name"], leaf)
        elif body["name"] in self.deaf:
            return [("HOOK_DEAD", self.deaf.pop(body["name"]))]
        return []

    def _data(self, header):
        if header.stream == 0 and header.aead:
            return self._own(header.number, 1)
        stream = self.open.get(header.stream)
        if stream is None or header.number != stream["frames"]:
            if stream is not None:
                stream["whole"] = False
            # Once for each stream.
            again = header.stream in self.broken
            self.broken.add(header.stream)
            return [] if again else ["STREAM_BROKEN"]
        stream["frames"] += 1
        stream["records"] += header.records
        return []

    def _own(self, number, frames):
        """Frames of the log's own sealed stream. Told once, as for any stream."""
        if number == self.sealed_stream:
            self.sealed_stream += frames
            return []
        again = 0 in self.broken
        self.broken.add(0)
        return [] if again else ["STREAM_BROKEN"]

    def _opened(self, body):
        if body["stream"] < self.next:
            return ["STREAM_BROKEN"]
        self.next = body["stream"] + 1
        session = Session(body["id"])
        self.sessions.append(session)
        self.open[body["stream"]] = {"frames": 0, "records": 0, "whole": True, "session": session}
        return []

    def end(self, whole):
        """The log ends here, or what follows is not vouched for."""
        for stream in self.open.values():
            stream["session"].completeness = "open" if whole and stream["whole"] else "incomplete"

    def _closed(self, body):
        stream = self.open.pop(body["stream"], None)
        if stream is None or stream["session"].id != body["id"]:
            return ["STREAM_BROKEN"]
        done = "complete_with_loss" if body["losses"] else "complete"
        done = "expired" if stream["session"].expired else done
        stream["session"].completeness = done if stream["whole"] else "incomplete"
        # A stream that broke once counts no more.
        if stream["whole"] and (stream["frames"], stream["records"]) != (body["frames"], body["records"]):
            stream["session"].completeness = "incomplete"
            return ["SESSION_COUNT_MISMATCH"]
        return []
