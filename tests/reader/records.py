"""Records, codec 1: columns, strings, tasks, tables, free bodies (page: Records, codec 1)."""

from .bodies import FREE, Struct
from .cursor import Cursor, Malformed

MAX_BODY = 1 << 20
MAX_STRINGS = 2 << 20
MAX_CONTENT = 16 << 20
ROW = 2**32 - 1
EXEC, FORK, EXIT, CRED = 1, 2, 3, 4
OPEN, CREATE, RENAME, UNLINK = 16, 17, 18, 19
LINK, SYMLINK, MKDIR, MKNOD, WRITE = 20, 21, 22, 23, 38
TTY = (32, 33, 34)
# With encryption these have a digest behind their fields.
TWINS = (264, 265, 266)
FILES = (OPEN, CREATE, RENAME, UNLINK, LINK, SYMLINK, MKDIR, MKNOD, WRITE)
ROWS = {FORK: 12, EXIT: 3, OPEN: 40, CREATE: 40, RENAME: 40, UNLINK: 40}


class Record:
    def __init__(self, kind, flags, cpu, task, boot_ns, body):
        self.kind, self.flags, self.cpu, self.task, self.boot_ns, self.body = kind, flags, cpu, task, boot_ns, body


def unpack(compression, stored):
    """The plain body."""
    if compression == 0:
        return stored
    import zstandard

    c = Cursor(stored)
    length = c.u32()
    if length > MAX_BODY:
        raise Malformed("a plain body beyond 1 MiB")
    reader = zstandard.ZstdDecompressor().decompressobj()
    plain, rest = b"", c.take(c.left())
    try:
        # In small steps: what gives more than it says is left where it does.
        for at in range(0, len(rest), 256):
            if reader.eof:
                break
            plain += reader.decompress(rest[at : at + 256])
            if len(plain) > length:
                raise Malformed("more than the plain length")
    except zstandard.ZstdError as e:
        raise Malformed(str(e)) from e
    if len(plain) != length or not reader.eof:
        raise Malformed("not the plain length")
    return plain


def _columns(c, rows, widths, delta):
    """Rows as bytes, by field."""
    size = sum(widths)
    raw = c.take(size * rows)
    out = [bytearray(size) for _ in range(rows)]
    for k in range(size):
        before = 0
        for i in range(rows):
            byte = raw[k * rows + i]
            if delta:
                byte = before = (byte + before) & 0xFF
            out[i][k] = byte
    fields = []
    for row in out:
        inner = Cursor(row)
        fields.append([inner.take(w) for w in widths])
    return fields


def _n(raw):
    return int.from_bytes(raw, "little")


class _Strings:
    def __init__(self, c, count):
        rows = _columns(c, count, (2, 4), False)
        self.list, total, before = [], 0, b""
        for shared, own in rows:
            shared, own = _n(shared), _n(own)
            if shared > len(before):
                raise Malformed("shares more than there is")
            total += shared + own
            if total > MAX_STRINGS:
                raise Malformed("strings beyond 2 MiB")
            before = before[:shared] + c.take(own)
            self.list.append(before)
        self.spent = 0

    def at(self, index):
        if index >= len(self.list):
            raise Malformed("no such string")
        text = self.list[index]
        self.spent += len(text)
        if self.spent > MAX_CONTENT:
            raise Malformed("more than 16 MiB of content")
        return text


def decode(plain):
    """The records of a plain body."""
    c = Cursor(plain)
    tasks, strings, count, free, base = c.u32(), c.u32(), c.u32(), c.u32(), c.u64()
    if 20 * count + 6 * strings + 36 * tasks + free > c.left():
        raise Malformed("counts beyond the bytes")
    meta = _columns(c, count, (2, 2, 2, 2, 8, 4), False)
    strings = _Strings(c, strings)
    table = []
    for row in _columns(c, tasks, (4, 8, 4, 4, 4, 4, 4, 4), True):
        pid, start, tid, ppid, comm, auid, uid, euid = map(_n, row)
        table.append({"pid": pid, "start": start, "tid": tid, "ppid": ppid, "comm": strings.at(comm), "auid": auid, "uid": uid, "euid": euid})
    rows = {}
    for kind, width in ROWS.items():
        n = sum(1 for m in meta if _n(m[0]) == kind and _n(m[5]) == ROW)
        rows[kind] = iter(_columns(c, n, (width,), True))
    bodies = Cursor(c.take(free))
    c.finish()
    records, now = [], base
    for m in meta:
        kind, flags, cpu, task, delta, length = map(_n, m)
        now = (now + ((delta >> 1) ^ -(delta & 1))) % 2**64
        if task > len(table):
            raise Malformed("no such task")
        if length == ROW and kind in ROWS:
            body = _row(kind, next(rows[kind])[0], strings)
        else:
            body = _free(kind, bodies.take(length), strings)
        records.append(Record(kind, flags, cpu, table[task - 1] if task else None, now, body))
    bodies.finish()
    return records


def _row(kind, raw, strings):
    c = Cursor(raw)
    if kind == FORK:
        body = {"pid": c.u32(), "start": c.u64()}
    elif kind == EXIT:
        body = {"code": c.u8(), "signal": c.u8(), "core": c.u8()}
    else:
        body = _file(c, strings)
    c.finish()
    return body


def _file(c, strings):
    path, to = strings.at(c.u32()), c.u32()
    body = {"path": path, "to": strings.at(to - 1) if to else None, "flags": c.u32(), "mode": c.u32()}
    body.update(result=c.number(4, signed=True), major=c.u32(), minor=c.u32(), ino=c.u64(), count=c.u32(), cut=None)
    return body


def _cut(c):
    tag = c.u8()
    if tag > 3:
        raise Malformed("cut")
    if tag == 0:
        return None
    cut = {"field": c.u16(), "bytes": c.u64(), "sha256": c.take(32) if tag > 1 else None}
    cut["relay"] = {"no": c.u32(), "from": c.u64()} if tag == 3 else None
    return cut


def _free(kind, raw, strings):
    c = Cursor(raw)
    if kind in FILES:
        body = _file(c, strings)
        body["cut"] = _cut(c)
    elif kind == EXEC:
        body = {"path": strings.at(c.u32()), "cwd": strings.at(c.u32()), "major": c.u32(), "minor": c.u32(), "ino": c.u64(), "cut": _cut(c)}
        count = c.u32()
        if count * 4 > c.left():
            raise Malformed("arguments beyond the bytes")
        body["argv"] = [strings.at(c.u32()) for _ in range(count)]
    elif kind in TTY:
        body = {"name": strings.at(c.u32()), "no": c.u32(), "hidden": c.u32(), "cols": c.u16(), "rows": c.u16(), "cut": _cut(c)}
        body["data"] = c.take(c.left())
    elif kind in FREE:
        body = Struct(FREE[kind]).read(c)
    elif kind in ROWS:
        raise Malformed("a kind that has rows only")
    else:
        return {"unknown": bytes(raw)}
    c.finish()
    return body
