"""What allows a stub to stand where a segment was: tombstones and permits (page: Retention)."""

import os
import re
import tomllib
from datetime import datetime, timezone

from . import frame as fr
from . import records, sshsig
from .crypto import sha256
from .cursor import Malformed

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
        if _time(d["made"]) >= self.until:
            raise ValueError("until lies before made")
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
            if not before < first < last:
                raise ValueError("segments that don't rise, or of one leaf")
            self.segments.append((first, last, bytes.fromhex(_hex(s["stub"], 64))))
            before = last


class Judgement:
    """What the log shows of one stub: `refused` is the code where nothing allows it, `invalid` why its permit is not good."""

    def __init__(self, refused=None, tombstone=None, invalid=None, unchecked=False):
        self.refused, self.tombstone, self.invalid, self.unchecked = refused, tombstone, invalid, unchecked

    @property
    def rank(self):
        return 0 if self.refused else 1 if self.invalid else 2

    @property
    def words(self):
        """Neighbours of which the same is said are said together."""
        return (self.tombstone["permit"], None if self.invalid else self.tombstone["applied"])


class Permits:
    """Judges the stubs of one log."""

    def __init__(self, path, log, signers):
        self.path, self.log, self.signers = path, log, signers

    def judge(self, stub, tombstones):
        """By the tombstones behind a stub. The best of those that name it counts."""
        about = [t for t in tombstones if t["first"] == stub.leaf]
        ours = [t for t in about if (t["leaves"], t["stub"]) == (stub.leaves, stub.digest)]
        if not ours:
            return Judgement("STUB_INVALID" if about else "SEGMENT_MISSING")
        return max((self._permit(stub, t) for t in ours), key=lambda j: j.rank)

    def _read(self, name):
        try:
            with open(os.path.join(self.path, name), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None

    def _permit(self, stub, tombstone):
        name = f"permit-{tombstone['permit'].hex()}.toml"
        raw = self._read(name)
        if raw is None:
            return Judgement("SEGMENT_MISSING")
        try:
            permit = self._named(stub, tombstone, raw)
        except (ValueError, KeyError, TypeError) as e:
            return Judgement(tombstone=tombstone, invalid=str(e))
        if self.signers is None:
            return Judgement(tombstone=tombstone, unchecked=True)
        seconds = tombstone["applied"] / 10**9
        key = sshsig.signer(raw, self._read(name + ".sig") or b"", NAMESPACE)
        if not key or not sshsig.allowed(self.signers, permit.signer, key, NAMESPACE, seconds):
            return Judgement(tombstone=tombstone, invalid="not signed by somebody who may")
        return Judgement(tombstone=tombstone)

    def _named(self, stub, tombstone, raw):
        if sha256(raw) != tombstone["permit"]:
            raise ValueError("it was changed")
        permit, last = Permit(raw), stub.leaf + stub.leaves - 1
        if permit.log != self.log:
            raise ValueError("for another log")
        if (stub.leaf, last, stub.digest) not in permit.segments:
            raise ValueError(f"it does not name the stub of leaf {stub.leaf}")
        if tombstone["applied"] >= permit.until * 10**9:
            raise ValueError(f"applied too late, at {tombstone['applied']}")
        return permit


def findings(judged):
    """(code, leaf) of stubs in their order, each with what was found of it."""
    run, unchecked, invalid = (None, None), set(), set()
    for stub, found in judged:
        if found.refused:
            yield found.refused, stub.leaf
            continue
        permit = found.tombstone["permit"]
        if found.invalid and (permit, found.invalid) not in invalid:
            yield "PERMIT_INVALID", stub.leaf
            invalid.add((permit, found.invalid))
        if found.unchecked and permit not in unchecked:
            yield "PERMIT_UNCHECKED", None
            unchecked.add(permit)
        # Neighbours under one permit are one range.
        if run != (stub.leaf, found.words):
            yield "EXPIRED", stub.leaf
        run = (stub.leaf + stub.leaves, found.words)


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
