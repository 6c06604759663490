"""Checkpoints kept elsewhere, and the policy on who had to sign them (page: Checkpoint, witness)."""

import os
import re

from . import note as notes

_TEXT = re.compile(
    r"recorder-journal/v1/(?P<log>[0-9a-f]{32})\n"
    r"(?P<leaves>0|[1-9][0-9]*)\n"
    r"(?P<root>[A-Za-z0-9+/=]+)\n"
    r"(?:[^\n]+\n)*"
)
_WORD = re.compile(r"recorder-anchor=([A-Za-z0-9+/=]+)")
_FIRST = re.compile(r"recorder-journal/v1/[0-9a-f]{32}")


class Checkpoint:
    """A note that says where a log stands. Whose signatures hold is asked of it."""

    def __init__(self, text, lines, match, root):
        self.text, self.lines = text, lines
        self.log, self.leaves, self.root = match["log"], int(match["leaves"]), root

    def by(self, admission):
        return notes.signed(self.text, self.lines, f"recorder-journal/v1/{self.log}", admission)


def parse(note):
    """The checkpoint, or None where a byte is not as it must be."""
    found = notes.split(note)
    match = found and _TEXT.fullmatch(found[0])
    root = match and notes.unbase64(match["root"], 32)
    if not root or int(match["leaves"]) >= 2**64:
        return None
    return Checkpoint(*found, match, root)


def _in_text(raw):
    """The notes in a text, as lines or as words, among whatever else; what begins as one and is none, too."""
    text = raw.decode("utf-8", "replace")
    for word in _WORD.findall(text):
        yield notes.unbase64(word) or b""
    lines = text.split("\n")
    for n, line in enumerate(lines):
        # An origin note begins in the same way.
        if not _FIRST.fullmatch(line) or "".join(lines[n + 1 : n + 2]).startswith("host-id "):
            continue
        end = n
        while end < len(lines) and lines[end]:
            end += 1
        end += 1
        while end < len(lines) and lines[end].startswith("\u2014 "):
            end += 1
        yield "".join(part + "\n" for part in lines[n:end]).encode()


def anchors(path):
    """The checkpoints in a file, or in the files of a directory. A file that was named holds one at least."""
    files = [path]
    if os.path.isdir(path):
        files = [os.path.join(path, n) for n in sorted(os.listdir(path))]
        files = [f for f in files if os.path.isfile(f)]
    found = []
    for name in files:
        with open(name, "rb") as f:
            here = list(_in_text(f.read()))
        if not here and name == path:
            raise OSError(f"no anchor in {path}")
        found += filter(None, map(parse, here))
    return found


class Policy:
    """A C2SP tlog-policy: which logs, which witnesses, how many of them."""

    def __init__(self, text):
        self.logs, self.members, self.quorum = [], {}, None
        asked = None
        for line in text.split("\n"):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] == "log" and len(words) in (2, 3):
                self.logs.append(notes.Vkey(words[1]))
            elif words[0] == "witness" and len(words) in (3, 4):
                self._add(words[1], notes.Vkey(words[2]))
            elif words[0] == "group" and len(words) > 3:
                self._add(words[1], self._group(words[2], words[3:]))
            elif words[0] == "quorum" and len(words) == 2 and asked is None:
                asked = words[1]
                if asked != "none" and asked not in self.members:
                    raise ValueError("a quorum that nobody is")
            else:
                raise ValueError(f"a line of a policy: {line!r}")
        if asked is None:
            raise ValueError("a policy without a quorum")
        self.quorum = asked

    def _add(self, name, what):
        if name in self.members or name == "none":
            raise ValueError("a name twice")
        self.members[name] = what

    def _group(self, count, names):
        count = {"all": len(names), "any": 1}.get(count) or int(count)
        if not 1 <= count <= len(names) or len(set(names)) != len(names) or any(n not in self.members for n in names):
            raise ValueError("a group")
        return (count, names)

    def signed(self, checkpoint):
        """Whether the quorum signed."""
        return self.quorum == "none" or self._at(self.quorum, checkpoint) is not None

    def _at(self, name, checkpoint):
        """The time by which this witness, or enough of this group, had signed."""
        member = self.members[name]
        if isinstance(member, notes.Vkey):
            return member.cosigned(checkpoint.text, checkpoint.lines)
        count, names = member
        times = sorted(t for t in (self._at(n, checkpoint) for n in names) if t is not None)
        return times[count - 1] if len(times) >= count else None

    def names(self, log, admission):
        """False if it names logs, and this is none of them."""
        name = f"recorder-journal/v1/{log}"
        return not self.logs or any((k.name, k.kind, k.key) == (name, notes.ED25519, admission) for k in self.logs)


def hold(log, anchors, policy, admission):
    """Holds a log against anchors, and against its own CHECKPOINT records if there is a policy.

    True if an anchor shows its end.
    """
    ours = [anchor for anchor in anchors if anchor.log == log.id]
    good = [anchor for anchor in ours if anchor.by(admission)]
    if len(good) < len(ours):
        log.tell("ANCHOR_INVALID")
    fits, forks = [], []
    for anchor in good:
        root = log.root_at(anchor.leaves)
        if root is not None:
            (fits if root == anchor.root else forks).append(anchor)
        elif anchor.leaves > log.last and log.ended:
            log.tell("ROLLED_BACK", log.last)
    if forks:
        log.tell("FORK", min(anchor.leaves for anchor in forks))
    proven = any(anchor.leaves == log.last for anchor in fits)
    if policy is None:
        return proven
    fits += _records(log, admission)
    if not policy.names(log.id, admission):
        log.tell("WITNESSES_SHORT")
    elif policy.quorum != "none":
        reached = max((c.leaves for c in fits if policy.signed(c)), default=0)
        if reached < log.last:
            log.tell("WITNESSES_SHORT", reached)
    return proven


def _records(log, admission):
    """The CHECKPOINT records that fit the log."""
    for leaf, body in log.streams.checkpoints:
        record = parse(body["note"])
        mine = record is not None and record.log == log.id and record.by(admission)
        if not mine or (record.leaves, record.root) != (body["leaves"], body["root"]):
            log.tell("CONTROL_UNREADABLE", leaf)
            continue
        fits = log.fits_before(leaf, record.leaves, record.root)
        if fits:
            yield record
        elif fits is not None:
            log.tell("FORK", leaf)
