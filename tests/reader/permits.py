"""What allows a stub to stand where a segment was: tombstones and permits (page: Retention)."""

import os
import re
import tomllib
from datetime import datetime, timezone

from . import frame as fr
from . import records, sshsig
from .crypto import sha256
from .cursor import Malformed
from .stub import Stub

NAMESPACE = "recorder-retention"
TOMBSTONE = 268
MAX_LEN = 64 << 10
KEYS = set("version kind signer made nonce reason until log policy holds segment".split())


def _text(value):
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _number(value):
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("no number")
    return value


def _hex(value, digits):
    if not re.fullmatch(f"[0-9a-f]{{{digits}}}", _text(value)):
        raise ValueError("no hex digits")
    return value


def _time(value):
    """Seconds since 1970 of a UTC time of whole seconds."""
    return datetime.strptime(_text(value), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()


class Permit:
    """Which segments may give way to which stubs."""

    def __init__(self, raw):
        if len(raw) > MAX_LEN:
            raise ValueError("longer than 64 KiB")
        d = tomllib.loads(raw.decode("utf-8"))
        if set(d) != KEYS or d["version"] != 1 or d["kind"] != "permit":
            raise ValueError("no permit")
        self.signer, self.until, self.log = _text(d["signer"]), _time(d["until"]), _hex(d["log"], 32)
        _time(d["made"])
        _hex(d["nonce"], 32)
        _hex(d["holds"], 64)
        _text(d["reason"]), _text(d["policy"])
        self.segments, before = [], -1
        if not isinstance(d["segment"], list) or not 1 <= len(d["segment"]) <= 400:
            raise ValueError("1 to 400 segments")
        for s in d["segment"]:
            if set(s) != {"first", "last", "stub"}:
                raise ValueError("a segment's keys")
            first, last = _number(s["first"]), _number(s["last"])
            if not before < first <= last:
                raise ValueError("segments that don't rise")
            self.segments.append((first, last, bytes.fromhex(_hex(s["stub"], 64))))
            before = last


class Permits:
    """Judges the stubs of one log."""

    def __init__(self, path, log, signers):
        self.path, self.log, self.signers = path, log, signers

    def judge(self, stub, tombstones):
        """(what breaks the log there or None, findings) of a stub with the tombstones behind it."""
        about = [t for t in tombstones if (t["first"], t["leaves"]) == (stub.leaf, stub.leaves)]
        ours = [t for t in about if t["stub"] == stub.digest]
        if not ours:
            return ("STUB_INVALID" if about else "SEGMENT_MISSING"), []
        for t in ours:
            raw = self._read(f"permit-{t['permit'].hex()}.toml")
            if raw is not None:
                return None, self._permit(stub, t, raw)
        return "SEGMENT_MISSING", []

    def _read(self, name):
        try:
            with open(os.path.join(self.path, name), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None

    def _permit(self, stub, tombstone, raw):
        seconds = tombstone["applied"] / 10**9
        try:
            if sha256(raw) != tombstone["permit"]:
                raise ValueError("another digest")
            permit = Permit(raw)
            asked = (stub.leaf, stub.leaf + stub.leaves - 1, stub.digest)
            if permit.log != self.log or asked not in permit.segments or seconds >= permit.until:
                raise ValueError("a permit for something else")
        except (ValueError, KeyError, TypeError):
            return ["PERMIT_INVALID"]
        if self.signers is None:
            return ["EXPIRED", "PERMIT_UNCHECKED"]
        signature = self._read(f"permit-{tombstone['permit'].hex()}.toml.sig")
        key = signature and sshsig.signer(raw, signature, NAMESPACE)
        if not key or not sshsig.allowed(self.signers, permit.signer, key, NAMESPACE, seconds):
            return ["PERMIT_INVALID"]
        return ["EXPIRED"]


def in_segment(segment, end):
    """The tombstones in a segment's frames up to a place."""
    for frame in segment.frames:
        if frame.header.type != fr.CONTROL or frame.header.codec != 1 or frame.end > end:
            continue
        try:
            entries = records.decode(frame.body)
        except Malformed:
            continue
        yield from (e.body for e in entries if e.kind == TOMBSTONE)


def behind(files, permits):
    """For each stub by its leaf, the tombstones of the segments and allowed stubs behind it."""
    found, known = {}, []
    for _, what in reversed(files):
        if isinstance(what, Stub):
            found[what.leaf] = list(known)
            if permits.judge(what, known)[0] is None:
                known += what.tombstones
        elif hasattr(what, "frames"):
            known += in_segment(what, what.committed.end if what.committed else 0)
    return found
