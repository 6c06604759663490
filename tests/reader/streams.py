"""What control records say: streams and sessions, losses, jumps, the clock (page: Streams, Records)."""

from . import frame as fr
from . import records
from .cursor import Malformed

LOSS, JUMP, BOOT, HEARTBEAT, STOP, OPENED, CLOSED = 258, 259, 256, 257, 260, 261, 262


class Session:
    def __init__(self, ident, log):
        self.id, self.log, self.completeness = ident, log, "open"


class Streams:
    """Fed with sealed frames in the order of the log."""

    def __init__(self, log):
        self.log = log
        self.next = 1
        self.open = {}
        self.sessions = []
        self.sealed_stream = 0

    def restart(self, keeps):
        """A segment that restarts the chain: all streams end, but for a storage fault."""
        if keeps:
            return
        for stream in self.open.values():
            stream["session"].completeness = "incomplete"
        self.open = {}
        self.sealed_stream = 0

    def take(self, frame):
        """Codes of what is wrong with a frame, or declared by it."""
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
                found.append("LOSS")
            elif entry.kind == JUMP:
                found.append("JUMP")
            elif entry.kind == OPENED:
                found += self._opened(entry.body)
            elif entry.kind == CLOSED:
                found += self._closed(entry.body)
        return found

    def _data(self, header):
        if header.stream == 0 and header.aead:
            if header.number != self.sealed_stream:
                return ["STREAM_BROKEN"]
            self.sealed_stream += 1
            return []
        stream = self.open.get(header.stream)
        if stream is None or header.number != stream["frames"]:
            return ["STREAM_BROKEN"]
        stream["frames"] += 1
        stream["records"] += header.records
        return []

    def _opened(self, body):
        if body["stream"] < self.next:
            return ["STREAM_BROKEN"]
        self.next = body["stream"] + 1
        session = Session(body["id"], self.log)
        self.sessions.append(session)
        self.open[body["stream"]] = {"frames": 0, "records": 0, "session": session}
        return []

    def _closed(self, body):
        stream = self.open.pop(body["stream"], None)
        if stream is None or stream["session"].id != body["id"]:
            return ["STREAM_BROKEN"]
        stream["session"].completeness = "complete_with_loss" if body["losses"] else "complete"
        if (stream["frames"], stream["records"]) != (body["frames"], body["records"]):
            stream["session"].completeness = "incomplete"
            return ["SESSION_COUNT_MISMATCH"]
        return []
