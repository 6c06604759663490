"""The records of a journal as events (docs/events.md), as far as two readers have to agree on them."""

import base64
from datetime import datetime, timezone
from uuid import UUID

from . import age, records
from . import frame as fr
from .bodies import NAMES
from .cursor import Malformed
from .decrypt import DecryptFailed, Ratchet, open_body
from .segment import BREAK, FAULT, RESUME

LEFT_OUT = 128
FLAGS = ((1, "truncated"), (2, "as_passed"), (4, "mount_unknown"), (8, "unreadable"), (16, "seeded"), (32, "deleted"), (64, "unreachable"), (128, "left_out"), (256, "redacted"))
COUNTS = "stream frames records losses sessions events lost to count open_sessions repeated execs files tty_bytes".split()
OBJECTS = {50: "coverage_change", 264: "grant_change", 265: "login", 266: "token_use"}
CUTS = {1: "argv", 2: "path", 3: "tty", 4: "cwd", 5: "value"}
FALLOC = ("KEEP_SIZE", "PUNCH_HOLE", "NO_HIDE_STALE", "COLLAPSE_RANGE", "ZERO_RANGE", "INSERT_RANGE", "UNSHARE_RANGE")
FAMILIES = {1: "unix", 2: "inet", 10: "inet6", 16: "netlink", 17: "packet", 38: "alg", 40: "vsock"}
TYPES = {1: "stream", 2: "dgram", 3: "raw", 4: "rdm", 5: "seqpacket"}
IO_URING, READS, SETTING, SEND, DIGEST, CHANGED = 39, 40, 41, 84, 59, 60
WHY = [None] + "gone replaced changed too_large unreadable queue_full late beyond special secret binary no_baseline".split()
CLASSES = [None] + "setuid authorized_keys unit cron sudoers pam passwd preload profile sshd modules udev recorder".split()
ACTS = "written created renamed moved removed other".split()
REDACTED = {1: "argv", 2: "what", 3: "to", 4: "evidence", 5: "text", 6: "diff", 7: "args", 8: "value"}


def _secret(path):
    with open(path, encoding="utf-8") as f:
        return age.identity(f.read())


def rfc3339(ns):
    return datetime.fromtimestamp(ns // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % 10**9:09d}Z"


def _put(out, name, raw):
    """A string if it is UTF-8; the exact bytes in any case where it is not."""
    try:
        out[name] = raw.decode("utf-8")
    except UnicodeDecodeError:
        out[name], out[name + "_b64"] = None, base64.b64encode(raw).decode()


def _time(time):
    if time is None or time["now"]:
        return time and "now"
    return rfc3339(time["seconds"] * 10**9 + time["nanos"]) if time["seconds"] >= 0 else str(time["seconds"])


def _attributes(b):
    """What an act on a file itself shares with those on its name, and what it set."""
    out = {"to": None, "flags": [], "mode": b.get("inode_mode", 0), "result": b["result"], "count": 1}
    _put(out, "path", b["path"])
    out.update(dev=f"{b['dev']['major']}:{b['dev']['minor']}", ino=b["ino"])
    if "size" in b:
        out["set"] = {name: b[name] for name in ("mode", "uid", "gid", "size")}
        out["set"].update({name: _time(b[name]) for name in ("atime", "mtime")})
    elif "name" in b:
        _put(out, "name", b["name"])
        out["value"] = None if b["value"] is None else base64.b64encode(b["value"]).decode()
    else:
        out["flags"] = ["FALLOC_FL_" + name for n, name in enumerate(FALLOC) if b["flags"] >> n & 1]
        out.update(offset=b["offset"], len=b["len"])
    return "file", out


def _reads(b):
    """Opens for reading that are told by their number."""
    out = {"to": None, "mode": b["mode"], "result": 0, "count": b["count"], "first_ns": b["first"], "last_ns": b["last"]}
    _put(out, "path", b["path"])
    out.update(dev=f"{b['dev']['major']}:{b['dev']['minor']}", ino=b["ino"])
    return out


def _system(kind, b):
    """A call that changed the system, or an act on a socket."""
    if kind < 80:
        out = {"args": [], "result": b["result"]}
        _put(out, "name", b["name"])
        for arg in b["args"]:
            out["args"].append({})
            _put(out["args"][-1], "name", arg["name"])
            _put(out["args"][-1], "value", arg["value"])
        return "call", out
    out = {"family": FAMILIES.get(b["family"], str(b["family"])), "type": TYPES.get(b["type"], str(b["type"]))}
    out.update(protocol=b["protocol"], result=b["result"], ino=b["ino"])
    for name in ("local", "remote"):
        if b[name]:
            _put(out, name, b[name])
        else:
            out[name] = None
    if kind == SEND:
        out.update(count=b["count"], bytes=b["bytes"], first_ns=b["first"], last_ns=b["last"])
    return "socket", out


def _body(entry):
    """The kind's object, for kinds with hand-laid bodies and for the log's own clocks and counts."""
    b, kind = entry.body, entry.kind
    out = {}
    if kind == records.EXEC:
        _put(out, "path", b["path"])
        _put(out, "cwd", b["cwd"])
        out["argv_b64"] = [base64.b64encode(a).decode() for a in b["argv"]]
        out["dev"], out["ino"] = f"{b['major']}:{b['minor']}", b["ino"]
        return "exec", out
    if kind == records.FORK:
        return "fork", {"pid": b["pid"], "start_ns": b["start"]}
    if kind == records.EXIT:
        killed = b["signal"] != 0
        return "exit", {"code": None if killed else b["code"], "signal": b["signal"] if killed else None, "core": b["core"] != 0}
    if kind in records.FILES:
        _put(out, "path", b["path"])
        if b["to"] is None:
            out["to"] = None
        else:
            _put(out, "to", b["to"])
        out.update(mode=b["mode"], result=b["result"], dev=f"{b['major']}:{b['minor']}", ino=b["ino"], count=b["count"])
        return "file", out
    if kind in records.TTY:
        _put(out, "name", b["name"])
        out.update(no=b["no"], data=base64.b64encode(b["data"]).decode(), hidden=b["hidden"], cols=b["cols"], rows=b["rows"])
        return "tty", out
    if kind in range(24, 30):
        return _attributes(b)
    if kind == SETTING:
        _put(out, "path", b["path"])
        _put(out, "value", b["value"])
        return "setting", {**out, "dev": f"{b['dev']['major']}:{b['dev']['minor']}", "ino": b["ino"], "bytes": b["bytes"]}
    if kind == READS:
        return "file", _reads(b)
    if (kind == IO_URING or kind in range(64, 85)) and "unknown" not in b:
        return _system(kind, b)
    if kind in (30, 31, 35, 36) and "unknown" not in b:
        return NAMES[kind], _program(kind, b)
    if kind in (DIGEST, CHANGED):
        return NAMES[kind], _content(b)
    if kind == 58:
        return "redacted", {"kind": NAMES.get(b["of"], "unknown"), "places": [_place(place) for place in b["places"]]}
    if kind == 271:
        return "redaction_key", {"key": b["key"].hex() or None}
    if kind == 300:
        return "config", _config(b)
    if kind == 320:
        return "guard", _guard(b)
    if "unknown" in b:
        return "unknown", {"code": kind, "data": base64.b64encode(b["unknown"]).decode()}
    for name in ("clock", "before", "after"):
        if name in b:
            out[name] = {"boot_ns": b[name]["boot"], "time": rfc3339(b[name]["real"])}
    for name in COUNTS:
        if isinstance(b.get(name), int):
            out[name] = b[name]
    return OBJECTS.get(kind, NAMES[kind]), out


def _found(f):
    """A file as it was found; nothing if it was not."""
    if f is None:
        return None
    out = {name: f[name] for name in ("size", "mode", "uid", "gid")}
    sha256 = f["sha256"].hex() if f["sha256"] else None
    return {**out, "mtime": rfc3339(f["mtime"]), "ctime": rfc3339(f["ctime"]), "file_caps": f["caps"] != 0, "sha256": sha256}


GUARD_ACTS = ("", "signal", "trace", "limit", "priority", "open", "create", "unlink", "rename", "link", "attributes", "truncate", "xattr", "ioctl", "map", "mount", "umount", "lock", "watch", "held")
GUARD_OBJECTS = ("", "process", "journal", "map", "switch", "cgroup", "config", "unit", "program", "device")


def _guard(b):
    """Attempts on the recorder itself."""
    out = {"act": GUARD_ACTS[b["act"]] if 0 < b["act"] < len(GUARD_ACTS) else "unknown"}
    out["object"] = GUARD_OBJECTS[b["object"]] if 0 < b["object"] < len(GUARD_OBJECTS) else "unknown"
    out["denied"] = b["denied"] != 0
    out["signal"] = b["detail"] if b["act"] == 1 else None
    out["resource"] = b["detail"] if b["act"] == 3 else None
    _put(out, "path", b["path"])
    if b["to"]:
        _put(out, "to", b["to"])
    else:
        out["to"] = None
    out["session"] = str(UUID(bytes=b["session"])) if any(b["session"]) else None
    out.update(pid=b["by"]["pid"], start_ns=b["by"]["start"], count=b["count"], first_ns=b["first"], last_ns=b["last"])
    return out


def _config(b):
    """A configuration that was read again."""
    out = {"act": {1: "taken", 2: "refused"}.get(b["act"], "unknown"), "before": b["before"].hex(), "keys": []}
    out["after"] = b["after"].hex() if any(b["after"]) else None
    _put(out, "text", b["text"])
    for key in b["keys"]:
        told = {"takes": {1: "next_segment", 2: "restart"}.get(key["takes"], "unknown")}
        _put(told, "key", key["key"])
        for name in ("before", "after"):
            if key[name] is None:
                told[name] = None
            else:
                _put(told, name, key[name])
        out["keys"].append(told)
    return out


def _content(b):
    """What lay in a program or a file."""
    out = {"dev": f"{b['dev']['major']}:{b['dev']['minor']}", "ino": b["ino"], "count": b["count"]}
    _put(out, "path", b["path"])
    for name in ("other", "link"):
        if b.get(name) is not None:
            _put(out, name, b[name])
    for name in ("found", "after", "before"):
        if name in b:
            out[name] = _found(b[name])
    if b.get("diff"):
        out["diff"] = {"bytes": b["diff"]["bytes"]}
        _put(out["diff"], "text", b["diff"]["text"])
    for name, words in (("why", WHY), ("no_diff", WHY), ("class", CLASSES)):
        if name in b:
            out[name] = words[b[name]] if b[name] < len(words) else "unknown"
    if "acts" in b:
        out["acts"] = [name for n, name in enumerate(ACTS) if b["acts"] >> n & 1]
    return out


def _program(kind, b):
    """What could not be started, what was mapped to be executed, more arguments."""
    if kind == 35:
        out = {"kept_bytes": b["kept"], "argv_b64": [base64.b64encode(a).decode() for a in b["argv"]]}
        return {**out, **{name: b[name] for name in ("argc", "bytes", "kept_argc", "from")}}
    if kind == 36:
        out = {"dev": f"{b['dev']['major']}:{b['dev']['minor']}", "ino": b["ino"]}
        _put(out, "path", b["path"])
        return out
    out = {"pid": b["by"]["pid"], "start_ns": b["by"]["start"], "first_ns": b["first"], "last_ns": b["last"], "count": b["count"]}
    _put(out, "path", b["path"])
    if kind == 30:
        out["errno"] = b["errno"]
    else:
        out["dev"], out["ino"] = f"{b['dev']['major']}:{b['dev']['minor']}", b["ino"]
        out["how"] = {1: "mmap", 2: "mprotect"}.get(b["how"], "unknown")
    return out


def _place(place):
    out = {name: place[name] for name in ("index", "offset", "bytes")}
    out["field"], out["hash"] = REDACTED.get(place["field"], "unknown"), place["hash"].hex() if place["hash"] else None
    _put(out, "rule", place["rule"])
    return out


class _Log:
    """One log, read again from its joined segments."""

    def __init__(self, log, secret):
        self.log, self.secret, self.seq, self.streams = log, secret, 0, {}
        self.clock, self.failed = (0, 0), []
        self.sealed = self.opened = 0

    def events(self):
        parts = self.log.parts
        for n, part in enumerate(parts):
            segment, end = part.segment, part.sealed_end
            head = segment.header
            self.clock, self.boot = (head.boot_ns, head.real_ns), str(UUID(bytes=head.boot))
            # What a storage fault repeats elsewhere is not read twice.
            repeated = n + 1 < len(parts) and parts[n + 1].segment.header.reason == FAULT
            if head.reason in (RESUME, BREAK):
                self.streams = {}
            self.streams.update({row.stream: row.session for row in getattr(segment, "rows", ()) if row.opened})
            ratchet = self._ratchet(segment)
            seals = iter([s.seal for s in segment.states] + [None])
            seal = next(seals)
            for frame in segment.frames:
                while seal is not None and seal.offset < frame.offset:
                    self.clock, seal = (seal.boot_ns, seal.real_ns), next(seals)
                if frame.header.records and frame.header.type in (fr.DATA, fr.CONTROL) and not (repeated and frame.end > end):
                    yield from self._frame(frame, ratchet, frame.end <= end)

    def _ratchet(self, segment):
        if self.secret is None or segment.header.recipients == 0 or not segment.frames:
            return None
        self.sealed += 1
        try:
            ratchet = Ratchet.unwrap(segment.header, segment.leaf, self.secret)
        except DecryptFailed:
            self.failed.append(segment.leaf)
            return None
        self.opened += ratchet is not None
        return ratchet

    def _frame(self, frame, ratchet, sealed):
        header, body = frame.header, frame.body
        try:
            if header.aead:
                if ratchet is None:
                    return
                body = open_body(ratchet.next(), header, body)
            entries = records.decode(records.unpack(header.compression, body))
            if len(entries) != header.records:
                raise Malformed("another number of records")
        except DecryptFailed:
            self.failed.append(header.leaf)
            return
        except Malformed:
            return
        for n, entry in enumerate(entries):
            if header.type == fr.CONTROL:
                self._control(entry)
                if ratchet is not None and entry.flags & LEFT_OUT:
                    continue
            yield self._event(header, header.record + n, entry, sealed)

    def _control(self, entry):
        b = entry.body
        if entry.kind == 261:
            self.streams[b["stream"]] = b["id"]
        clock = b.get("after") if entry.kind == 259 else b.get("clock") if entry.kind in (256, 257, 260) else None
        if clock:
            self.clock = (clock["boot"], clock["real"])

    def _event(self, header, seq, entry, sealed):
        task, cut = entry.task, entry.body.get("cut")
        session = self.streams.get(header.stream) if header.type == fr.DATA else None
        out = {
            "v": 1,
            "log": self.log.id,
            "seq": seq,
            "time": rfc3339(self.clock[1] + entry.boot_ns - self.clock[0]),
            "boot_ns": entry.boot_ns,
            "boot_id": self.boot,
            "cpu": None if entry.cpu == 0xFFFF else entry.cpu,
            "session": str(UUID(bytes=session)) if session else None,
            "kind": NAMES.get(entry.kind, "unknown"),
            "flags": [name for bit, name in FLAGS if entry.flags & bit],
            "sealed": sealed,
            "task": None,
            "user": None,
            "cut": None,
        }
        if task:
            out["task"] = {"pid": task["pid"], "tid": task["tid"], "ppid": task["ppid"], "start_ns": task["start"]}
            _put(out["task"], "comm", task["comm"])
            out["user"] = {"auid": None if task["auid"] == 2**32 - 1 else task["auid"], "uid": task["uid"], "euid": task["euid"]}
        if cut:
            digest = cut["sha256"].hex() if cut["sha256"] else None
            out["cut"] = {"field": CUTS.get(cut["field"], "unknown"), "bytes": cut["bytes"], "sha256": digest, "relay": cut["relay"]}
        name, body = _body(entry)
        out[name] = body
        return out


def events(report, identity=None):
    """All records in the order of the journal. With an identity the bodies of encrypted segments, too."""
    secret = _secret(identity) if identity else None
    for log in report.logs:
        yield from _Log(log, secret).events()


def open_all(report, identity):
    """Adds DECRYPT_FAILED to the report, where the identity opens nothing or a tag doesn't fit."""
    secret = _secret(identity)
    for log in report.logs:
        reader = _Log(log, secret)
        for _ in reader.events():
            pass
        # One that opens no segment at all is the wrong one; one that opens some is another's here and there.
        if reader.sealed and not reader.opened and not reader.failed:
            log.tell("DECRYPT_FAILED")
        for leaf in reader.failed:
            log.tell("DECRYPT_FAILED", leaf)
    report.__init__(report.logs, report.across)
