"""All logs of a journal, and the verdict (page: Verdicts)."""

import os
import re

from . import checkpoint
from . import origin as notes
from .codes import exit_of
from .log import Log

WORDS = {
    0: "verified", 1: "verified_with_gaps", 2: "tampered", 3: "incomplete", 4: "untrusted", 5: "unsupported", 6: "decrypt",
}  # fmt: skip
ABANDONED = {
    "damaged": "LOG_ABANDONED",
    "recovery-key-mismatch": "RESTART_UNAUTHORISED",
    "recovery-key-missing": "RECOVERY_KEY_MISSING",
}


class Report:
    def __init__(self, logs, across=()):
        self.logs, self.across = logs, across
        self.findings = [*across] + [(code, log.id, leaf) for log in logs for code, leaf in log.findings]
        exits = {exit_of(code) for code, _, _ in self.findings}
        self.exit = next((n for n in (2, 3, 4, 5, 6, 1) if n in exits), 0)
        self.verdict = WORDS[self.exit]
        self.sessions = [s for log in logs for s in log.streams.sessions]

    def json(self):
        from uuid import UUID

        return {
            "verdict": self.verdict,
            "exit": self.exit,
            "findings": [{"code": c, "log": g, "leaf": n} for c, g, n in self.findings],
            "sessions": [{"id": str(UUID(bytes=s.id)), "completeness": s.completeness} for s in self.sessions],
            "logs": [
                {"id": g.id, "first": g.first, "last": g.last, "root": g.root.hex()} for g in self.logs
            ],
        }


def verify(journal, origin=None, stopped_is_an_end=False, spare=None, anchors=(), policy=None, signers=None):
    """The report on a journal's directory. Reads and nothing else.

    `anchors` are files or directories of checkpoints, `policy` and `signers` (of permits) files.
    """
    names = sorted(n for n in os.listdir(journal) if re.fullmatch(r"[0-9a-f]{32}", n))
    if not names:
        raise FileNotFoundError(f"no log in {journal}")
    given = [found for path in anchors for found in checkpoint.anchors(path)]
    policy = policy and checkpoint.Policy(_text(policy))
    signers = None if signers is None else _text(signers)
    logs = [Log(os.path.join(journal, n), spare and os.path.join(spare, n), signers) for n in names]
    logs.sort(key=lambda log: (log.origin.incarnation if log.origin else 0, log.id))
    _between(logs)
    across, known = _origins(logs, origin)
    for log in logs:
        proven = checkpoint.hold(log, given, policy, _admission(log, known))
        if log.ended and not proven and not (log.stopped and stopped_is_an_end):
            log.tell("END_UNPROVEN", log.last)
    if anchors and not any(anchor.log == log.id for anchor in given for log in logs):
        across.append(("ANCHOR_INVALID", None, None))
    return Report(logs, across)


def _text(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def _admission(log, given):
    """The key that signs a log's checkpoints: as the note that was kept elsewhere names it, if it is this log's."""
    if given is not None and given.log.hex() == log.id:
        return given.admission
    if log.origin is not None:
        return log.origin.admission
    return log.parts[0].segment.header.admission if log.parts else bytes(32)


def _between(logs):
    known = {log.id: log for log in logs}
    hosts, seen = None, {}
    for log in logs:
        if log.origin is None:
            continue
        hosts = hosts or log.origin.host_id
        if log.origin.host_id != hosts:
            log.tell("FOREIGN_LOG")
        elif log.origin.incarnation in seen:
            log.tell("FORK")
        seen[log.origin.incarnation] = log
        if log.origin.previous is not None:
            old = known.get(log.origin.previous)
            if old is None:
                log.tell("LOG_MISSING")
            else:
                old.tell(ABANDONED[log.origin.why])


def _origins(logs, origin):
    """Holds logs against a note that was kept elsewhere; gives what belongs to no log, and the note."""
    if origin is None:
        for log in logs:
            log.tell("ORIGIN_UNCHECKED")
        return [], None
    with open(origin, "rb") as f:
        given = notes.parse(f.read())
    if given is None:
        raise OSError("the origin that was given is no origin note")
    for log in logs:
        first = log.parts[0].segment.header if log.parts else None
        if first is None:
            log.tell("ORIGIN_UNCHECKED")
        elif (given.log, given.admission, given.first_seal, given.incarnation) != (
            first.log,
            first.admission,
            first.next_key,
            first.incarnation,
        ):
            later = log.origin and log.origin.previous and log.origin.host_id == given.host_id
            log.tell("ORIGIN_UNCHECKED" if later else "ORIGIN_MISMATCH")
    here = any(log.id == given.log.hex() for log in logs)
    return ([] if here else [("ORIGIN_MISMATCH", None, None)]), given
