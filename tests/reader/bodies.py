"""Free bodies: the structs of `model/`, field by field, in the order in which they stand there.

A field is (name, type). Types: u8 u16 u32 u64 i32, `bytes`, digest (32), id (16), a list [type], an option (`?`, type), a
struct as a tuple of fields.
"""

from .cursor import Malformed

CLOCK = (("boot", "u64"), ("real", "u64"))
IDS = tuple((name, "u32") for name in ("uid", "euid", "suid", "fsuid", "gid", "egid"))
CAPS = (("effective", "u64"), ("permitted", "u64"))
TASK = (("pid", "u32"), ("start", "u64"))
DEV = (("major", "u32"), ("minor", "u32"))
LOGIN = (("auid", "u32"), ("audit_session", "u32"), ("user", "bytes"), ("tty", "bytes"), ("remote", "bytes"))
FOUND = (("size", "u64"), ("mode", "u32"), ("uid", "u32"), ("gid", "u32"), ("mtime", "u64"), ("ctime", "u64"), ("caps", "u8"), ("sha256", ("?", "digest")))
COVERAGE = (("state", "u16"), ("reason", "u16"), ("grant", "digest"))

TIME = ("?", (("seconds", "i64"), ("nanos", "u32"), ("now", "u8")))
CUT = ("?", (("field", "u16"), ("bytes", "u64"), ("sha256", ("?", "digest")), ("relay", ("?", (("no", "u32"), ("from", "u64"))))))
FILE = (("path", "bytes"), ("dev", DEV), ("ino", "u64"))

SETATTR = (
    FILE
    + (("inode_mode", "u32"), ("result", "i32"))
    + tuple((name, ("?", "u32")) for name in ("mode", "uid", "gid"))
    + (("size", ("?", "u64")), ("atime", TIME), ("mtime", TIME))
)

CALL = (("name", "bytes"), ("args", [(("name", "bytes"), ("value", "bytes"))]), ("result", "i64"))

SOCKET = tuple((name, "u16") for name in ("family", "type", "protocol")) + (("local", "bytes"), ("remote", "bytes"), ("result", "i32"), ("ino", "u64"))

FREE = {
    4: (("old", IDS), ("new", IDS), ("old_caps", CAPS), ("new_caps", CAPS)),
    24: SETATTR,
    25: SETATTR,
    26: SETATTR,
    27: SETATTR,
    28: FILE + (("result", "i32"), ("name", "bytes"), ("value", ("?", "bytes")), ("cut", CUT)),
    29: FILE + (("result", "i32"), ("flags", "u32"), ("offset", "u64"), ("len", "u64")),
    30: (("path", "bytes"), ("errno", "u32"), ("by", TASK)) + tuple((name, "u64") for name in ("count", "first", "last")),
    31: FILE + (("how", "u16"), ("by", TASK)) + tuple((name, "u64") for name in ("count", "first", "last")),
    35: (("argc", "u32"), ("bytes", "u64"), ("kept_argc", "u32"), ("kept", "u64"), ("from", "u32"), ("argv", ["bytes"])),
    36: FILE,
    39: CALL,
    41: FILE + (("value", "bytes"), ("bytes", "u64")),
    40: FILE + (("mode", "u32"), ("flags", "u32"), ("count", "u64"), ("first", "u64"), ("last", "u64")),
    **dict.fromkeys(range(64, 70), CALL),
    **dict.fromkeys(range(80, 84), SOCKET),
    84: SOCKET + tuple((name, "u64") for name in ("count", "bytes", "first", "last")),
    48: (
        ("id", "id"),
        ("root", TASK),
        ("login", LOGIN),
        ("elevation", (("from", IDS), ("to", IDS), ("caps", CAPS), ("via", "u16"), ("path", "bytes"))),
        ("seeded", "u8"),
    ),
    49: (("reason", "u16"), ("code", ("?", "u8")), ("signal", "u8"), ("execs", "u64"), ("files", "u64"), ("tty_bytes", "u64")),
    50: (("from", "u64"), ("coverage", COVERAGE), ("person", "bytes"), ("incident", "bytes")),
    51: (("task", TASK), ("grant", "digest"), ("since", "u64"), ("reason", "u16")),
    52: (("act", "u16"), ("coverage", COVERAGE), ("task", TASK), ("count", "u32"), ("text", "bytes")),
    53: tuple((name, "u16") for name in ("role", "trigger", "confidence"))
    + (("session", "id"), ("peer", "u32"))
    + tuple((name, "bytes") for name in ("to", "what", "evidence")),
    54: (("program", "bytes"), ("dev", DEV), ("ino", "u64"), ("by", TASK), ("number", "u32"), ("granted", "u8"), ("inner", "u8"))
    + tuple((name, "u64") for name in ("count", "first", "last")),
    55: (("own", "u16"),)
    + tuple((name, "u32") for name in ("mnt_ns", "pid_ns", "user_ns", "cgroup_ns"))
    + (("cgroup", "u64"), ("path", "bytes"), ("engine", "u16"), ("container", "bytes")),
    56: (
        ("users", [(("uid", "u32"), ("program", "bytes"), ("by", TASK), ("first", "u64"), ("count", "u64"))]),
        (
            "programs",
            [
                (("path", "bytes"), ("dev", DEV), ("ino", "u64"), ("how", "u16"), ("by", TASK))
                + tuple((name, "u64") for name in ("first", "count", "gained"))
            ],
        ),
    ),
    57: (
        ("session", "id"),
        ("login", LOGIN),
        ("terminal", "bytes"),
        ("server", TASK),
        ("program", "bytes"),
        ("person", "bytes"),
        ("coverage", ("?", COVERAGE)),
    ),
    59: (
        ("path", "bytes"),
        ("dev", DEV),
        ("ino", "u64"),
        ("found", ("?", FOUND)),
        ("why", "u16"),
        ("device", "u8"),
        ("count", "u64"),
    ),
    60: (
        ("path", "bytes"),
        ("other", ("?", "bytes")),
        ("acts", "u16"),
        ("class", "u16"),
        ("dev", DEV),
        ("ino", "u64"),
        ("link", ("?", "bytes")),
        ("after", ("?", FOUND)),
        ("why", "u16"),
        ("before", ("?", FOUND)),
        ("diff", ("?", (("text", "bytes"), ("bytes", "u64")))),
        ("no_diff", "u16"),
        ("untouched", "u8"),
        ("count", "u64"),
    ),
    58: (
        ("of", "u16"),
        (
            "places",
            [(("field", "u16"), ("index", "u32"), ("offset", "u64"), ("bytes", "u64"), ("rule", "bytes"), ("hash", ("?", "digest")))],
        ),
    ),
    256: (
        ("boot_id", "id"),
        ("clock", CLOCK),
        ("host", "bytes"),
        ("kernel", "bytes"),
        ("cmdline_sha256", "digest"),
        ("object_sha256", "digest"),
        ("recorder_sha256", "digest"),
        ("config_sha256", "digest"),
        ("version", "bytes"),
        ("backend", "bytes"),
        ("hooks", ["bytes"]),
        ("blind", ["bytes"]),
        ("lsm", ["bytes"]),
        ("lockdown", "bytes"),
        ("previous_end", "u16"),
    ),
    257: (("clock", CLOCK), ("sessions", "u32"))
    + tuple((n, "u64") for n in ("events", "lost", "free_bytes", "canaries", "canaries_missed", "hooks_live")),
    258: (
        ("class", "bytes"),
        ("ring", "bytes"),
        ("cpu", "u16"),
        ("from", "u64"),
        ("to", "u64"),
        ("count", "u64"),
        ("reason", "u16"),
    ),
    259: (("before", CLOCK), ("after", CLOCK)),
    260: (("clock", CLOCK), ("signal", "u8"), ("open_sessions", "u32")),
    261: (("stream", "u64"), ("id", "id")),
    262: (("stream", "u64"), ("id", "id"), ("reason", "u16"), ("frames", "u64"), ("records", "u64"), ("losses", "u64")),
    263: (("operation", "bytes"), ("errno", "i32"), ("repeated", "u64")),
    264: (
        ("act", "u16"),
        ("document", "digest"),
        ("request", "digest"),
        ("kind", "bytes"),
        ("signer", "bytes"),
        ("person", "bytes"),
        ("key", "bytes"),
        ("received", "u64"),
        ("text", "bytes"),
        ("bytes", "bytes"),
        ("signature", "bytes"),
        ("kept", "digest"),
    ),
    265: (
        ("account", "bytes"),
        ("service", "bytes"),
        ("remote", "bytes"),
        ("tty", "bytes"),
        ("auth", "bytes"),
        ("key", "bytes"),
        ("certificate", "bytes"),
        ("serial", "u64"),
        ("authority", "bytes"),
        ("audit_session", "u32"),
        ("pid", "u32"),
        ("person", "bytes"),
        ("kept", "digest"),
    ),
    266: (
        ("act", "u16"),
        ("token", "digest"),
        ("grant", "digest"),
        ("person", "bytes"),
        ("host", "bytes"),
        ("signer", "bytes"),
        ("key", "bytes"),
        ("received", "u64"),
        ("until", "u64"),
        ("text", "bytes"),
        ("bytes", "bytes"),
        ("signature", "bytes"),
        ("kept", "digest"),
    ),
    267: (("leaves", "u64"), ("root", "digest"), ("note", "bytes")),
    268: (("permit", "digest"), ("stub", "digest"), ("first", "u64"), ("leaves", "u64"), ("applied", "u64")),
    269: (("name", "bytes"), ("state", "u16"), ("misses", "u64"), ("since", "u64"), ("clock", CLOCK)),
    270: (("event", "u16"), ("before", CLOCK), ("after", CLOCK), ("nanos", "i64")),
    271: (("key", "bytes"),),
    320: (
        ("act", "u16"),
        ("object", "u16"),
        ("denied", "u8"),
        ("detail", "u32"),
        ("path", "bytes"),
        ("to", "bytes"),
        ("session", "id"),
        ("by", TASK),
        ("count", "u64"),
        ("first", "u64"),
        ("last", "u64"),
    ),
    300: (
        ("act", "u16"),
        ("before", "digest"),
        ("after", "digest"),
        ("keys", [(("key", "bytes"), ("before", ("?", "bytes")), ("after", ("?", "bytes")), ("takes", "u16"))]),
        ("text", "bytes"),
    ),
}

NAMES = {
    1: "exec", 2: "fork", 3: "exit", 4: "cred", 16: "open", 17: "create", 18: "rename", 19: "unlink", 20: "link", 21: "symlink",
    22: "mkdir", 23: "mknod", 24: "chmod", 25: "chown", 26: "truncate", 27: "utimes", 28: "xattr", 29: "fallocate",
    64: "mount", 65: "umount", 66: "module", 67: "bpf", 68: "namespace", 69: "kernel", 80: "connect", 81: "bind", 82: "listen", 83: "accept", 30: "exec_failed", 31: "mapped", 35: "arguments", 36: "script", 84: "send", 32: "tty_output",
    33: "tty_input", 34: "tty_resize", 38: "write", 39: "io_uring", 40: "reads", 41: "setting", 48: "session_start", 49: "session_end", 50: "coverage", 51: "overdue",
    52: "enforcement", 53: "delegation", 54: "capability", 55: "context", 56: "permissions", 57: "participant", 58: "redacted", 59: "digest", 60: "changed", 256: "boot", 257: "heartbeat", 258: "loss", 259: "jump", 260: "stop", 261: "session_opened",
    262: "session_closed", 263: "storage", 264: "grant", 265: "login", 266: "token", 267: "checkpoint",
    268: "tombstone", 269: "hook", 270: "clock", 271: "redaction_key", 300: "config", 320: "guard",
}  # fmt: skip


class Struct:
    def __init__(self, fields):
        self.fields = fields

    def read(self, c):
        return {name: _value(kind, c) for name, kind in self.fields}


def _value(kind, c):
    if isinstance(kind, list):
        count = c.u64()
        # An item has a byte at least (its length alone has eight).
        if count > c.left():
            raise Malformed("a list beyond the bytes")
        return [_value(kind[0], c) for _ in range(count)]
    if isinstance(kind, tuple):
        if kind[0] == "?":
            some = c.u8()
            if some > 1:
                raise Malformed("an option")
            return _value(kind[1], c) if some else None
        return Struct(kind).read(c)
    if kind == "bytes":
        return c.take(c.u64())
    if kind in ("digest", "id"):
        return c.take({"digest": 32, "id": 16}[kind])
    return c.number(int(kind[1:]) // 8, signed=kind[0] == "i")
