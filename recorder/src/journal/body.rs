//! Bodies of single records: which are rows of a table, which stand alone, and their bytes.

use super::bytes::{Cursor, narrow32, put16, put32, put64, wide32};
use super::record::{RecordError, get_serde, put_serde};
use super::rows::{StringTable, Strings};
use crate::model::{
    ArgvExtent, Body, BootNanos, Bytes, CallOp, Cut, CutField, Digest, Exec, Exit, File, FileOp, Fork, Kind,
    Relay, SetattrOp, SocketOp, TaskId, Tty, TtyOp,
};

/// Length field of a record whose body is a row of its kind's table.
pub(super) const ROW_MARK: u32 = u32::MAX;

/// Kinds with rows of a fixed width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fixed {
    Fork,
    Exit,
    File(FileOp),
}

impl Fixed {
    /// In the order in which the tables stand in a body.
    pub(super) const ALL: [Self; 6] = [
        Self::Fork,
        Self::Exit,
        Self::File(FileOp::Open),
        Self::File(FileOp::Create),
        Self::File(FileOp::Rename),
        Self::File(FileOp::Unlink),
    ];

    pub(super) const fn of(kind: Kind) -> Option<Self> {
        Some(match kind {
            Kind::FORK => Self::Fork,
            Kind::EXIT => Self::Exit,
            Kind::OPEN => Self::File(FileOp::Open),
            Kind::CREATE => Self::File(FileOp::Create),
            Kind::RENAME => Self::File(FileOp::Rename),
            Kind::UNLINK => Self::File(FileOp::Unlink),
            _ => return None,
        })
    }

    pub(super) const fn table(self) -> usize {
        match self {
            Self::Fork => 0,
            Self::Exit => 1,
            Self::File(FileOp::Open) => 2,
            Self::File(FileOp::Create) => 3,
            Self::File(FileOp::Rename) => 4,
            // `of` gives no other.
            Self::File(_) => 5,
        }
    }

    pub(super) const fn width(self) -> usize {
        match self {
            Self::Fork => 12,
            Self::Exit => 3,
            Self::File(_) => 40,
        }
    }
}

/// The table that takes this body, if one does: what was cut stands alone.
pub(super) fn fixed_of(body: &Body) -> Option<Fixed> {
    match body {
        Body::Fork(_) => Some(Fixed::Fork),
        Body::Exit(_) => Some(Fixed::Exit),
        Body::File(_, file) if file.cut.is_none() => Fixed::of(body.kind()),
        _ => None,
    }
}

/// Appends a row; returns how many bytes the record counts for.
pub(super) fn put_row(body: &Body, strings: &mut StringTable, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    match body {
        Body::Fork(fork) => {
            put32(out, fork.child.pid);
            put64(out, fork.child.start.get());
        }
        Body::Exit(exit) => out.extend_from_slice(&[exit.code, exit.signal, exit.core]),
        Body::File(_, file) => put_file(file, strings, out),
        _ => {}
    }
    (out.len() - start).saturating_add(interned_len(body))
}

/// Reads a row.
pub(super) fn get_row(fixed: Fixed, row: &mut Cursor<'_>, strings: &Strings) -> Result<Body, RecordError> {
    Ok(match fixed {
        Fixed::Fork => {
            Body::Fork(Fork { child: TaskId { pid: row.u32()?, start: BootNanos::new(row.u64()?) } })
        }
        Fixed::Exit => {
            let [code, signal, core] = row.array()?;
            Body::Exit(Exit { code, signal, core })
        }
        Fixed::File(op) => Body::File(op, get_file(row, strings)?),
    })
}

fn put_file(file: &File, strings: &mut StringTable, out: &mut Vec<u8>) {
    put32(out, strings.intern(file.path.as_slice()));
    put32(out, file.to.as_ref().map_or(0, |to| strings.intern(to.as_slice()).saturating_add(1)));
    put32(out, file.flags);
    put32(out, file.mode);
    out.extend_from_slice(&file.result.to_le_bytes());
    put32(out, file.dev.0);
    put32(out, file.dev.1);
    put64(out, file.ino);
    put32(out, file.count);
}

fn get_file(c: &mut Cursor<'_>, strings: &Strings) -> Result<File, RecordError> {
    let path = Bytes::from(strings.get(c.u32()?)?);
    let to = match c.u32()?.checked_sub(1) {
        None => None,
        Some(no) => Some(Bytes::from(strings.get(no)?)),
    };
    Ok(File {
        path,
        to,
        flags: c.u32()?,
        mode: c.u32()?,
        result: i32::from_le_bytes(c.array()?),
        dev: (c.u32()?, c.u32()?),
        ino: c.u64()?,
        count: c.u32()?,
        cut: None,
    })
}

fn put_cut(cut: Option<&Cut>, out: &mut Vec<u8>) {
    let Some(cut) = cut else { return out.push(0) };
    let relay = cut.relay.filter(|_| cut.sha256.is_some());
    out.push(match (&cut.sha256, relay) {
        (None, _) => 1,
        (Some(_), None) => 2,
        (Some(_), Some(_)) => 3,
    });
    put16(out, cut.field.code());
    put64(out, cut.bytes);
    if let Some(sha256) = &cut.sha256 {
        out.extend_from_slice(sha256.as_bytes());
    }
    if let Some(Relay { no, from }) = relay {
        put32(out, no);
        put64(out, from);
    }
}

fn get_cut(c: &mut Cursor<'_>) -> Result<Option<Cut>, RecordError> {
    let tag = c.u8()?;
    if tag == 0 {
        return Ok(None);
    }
    let field = CutField::from_code(c.u16()?);
    let bytes = c.u64()?;
    let sha256 = match tag {
        1 => None,
        2 | 3 => Some(Digest::new(c.array()?)),
        _ => return Err(RecordError::Malformed),
    };
    let relay = if tag == 3 { Some(Relay { no: c.u32()?, from: c.u64()? }) } else { None };
    Ok(Some(Cut { field, bytes, sha256, relay }))
}

/// Appends a body that stands alone.
pub(super) fn put(body: &Body, strings: &mut StringTable, out: &mut Vec<u8>) {
    match body {
        Body::Exec(exec) => {
            put32(out, strings.intern(exec.path.as_slice()));
            put32(out, strings.intern(exec.cwd.as_slice()));
            put32(out, exec.dev.0);
            put32(out, exec.dev.1);
            put64(out, exec.ino);
            put_cut(exec.cut.as_ref(), out);
            put32(out, wide32(exec.argv.len()));
            for arg in &exec.argv {
                put32(out, strings.intern(arg.as_slice()));
            }
        }
        Body::File(_, file) => {
            put_file(file, strings, out);
            put_cut(file.cut.as_ref(), out);
        }
        Body::Tty(_, tty) => {
            put32(out, strings.intern(tty.name.as_slice()));
            put32(out, tty.no);
            put32(out, tty.hidden);
            put16(out, tty.cols);
            put16(out, tty.rows);
            put_cut(tty.cut.as_ref(), out);
            out.extend_from_slice(tty.data.as_slice());
        }
        Body::Reads(x) => put_serde(out, x),
        Body::Setattr(_, x) => put_serde(out, x),
        Body::Xattr(x) => put_serde(out, x),
        Body::Allocate(x) => put_serde(out, x),
        Body::Call(_, x) => put_serde(out, x),
        Body::Socket(_, x) => put_serde(out, x),
        Body::Sent(x) => put_serde(out, x),
        Body::Setting(x) => put_serde(out, x),
        Body::Fork(x) => put_serde(out, x),
        Body::Exit(x) => put_serde(out, x),
        Body::Cred(x) => put_serde(out, x),
        Body::SessionStart(x) => put_serde(out, x),
        Body::SessionEnd(x) => put_serde(out, x),
        Body::Boot(x) => put_serde(out, x),
        Body::Heartbeat(x) => put_serde(out, x),
        Body::Loss(x) => put_serde(out, x),
        Body::Jump(x) => put_serde(out, x),
        Body::Stop(x) => put_serde(out, x),
        Body::SessionOpened(x) => put_serde(out, x),
        Body::SessionClosed(x) => put_serde(out, x),
        Body::Storage(x) => put_serde(out, x),
        Body::Coverage(x) => put_serde(out, x),
        Body::Overdue(x) => put_serde(out, x),
        Body::Delegation(x) => put_serde(out, x),
        Body::Participant(x) => put_serde(out, x),
        Body::Digest(x) => put_serde(out, x),
        Body::Changed(x) => put_serde(out, x),
        Body::Redacted(x) => put_serde(out, x),
        Body::RedactionKey(x) => put_serde(out, x),
        Body::Config(x) => put_serde(out, x),
        Body::Guard(x) => put_serde(out, x),
        Body::Enforcement(x) => put_serde(out, x),
        Body::ExecFailed(x) => put_serde(out, x),
        Body::Script(x) => put_serde(out, x),
        Body::Arguments(x) => put_serde(out, x),
        Body::Mapped(x) => put_serde(out, x),
        Body::Capability(x) => put_serde(out, x),
        Body::Context(x) => put_serde(out, &**x),
        Body::Permissions(x) => put_serde(out, x),
        Body::Grant(x) => put_serde(out, x),
        Body::Login(x) => put_serde(out, x),
        Body::Token(x) => put_serde(out, x),
        Body::Checkpoint(x) => put_serde(out, x),
        Body::Hook(x) => put_serde(out, x),
        Body::Clock(x) => put_serde(out, x),
        Body::Tombstone(x) => put_serde(out, x),
        Body::Unknown { bytes, .. } => out.extend_from_slice(bytes),
    }
}

/// Reads a body that stands alone.
pub(super) fn get(kind: Kind, raw: &[u8], strings: &Strings) -> Result<Body, RecordError> {
    let file = |op| -> Result<Body, RecordError> {
        let mut c = Cursor::new(raw);
        let mut file = get_file(&mut c, strings)?;
        file.cut = get_cut(&mut c)?;
        c.finish()?;
        Ok(Body::File(op, file))
    };
    Ok(match kind {
        Kind::EXEC => Body::Exec(get_exec(raw, strings)?),
        Kind::OPEN => file(FileOp::Open)?,
        Kind::CREATE => file(FileOp::Create)?,
        Kind::RENAME => file(FileOp::Rename)?,
        Kind::UNLINK => file(FileOp::Unlink)?,
        Kind::LINK => file(FileOp::Link)?,
        Kind::SYMLINK => file(FileOp::Symlink)?,
        Kind::MKDIR => file(FileOp::Mkdir)?,
        Kind::MKNOD => file(FileOp::Mknod)?,
        Kind::WRITE => file(FileOp::Write)?,
        Kind::READS => Body::Reads(get_serde(raw)?),
        Kind::CHMOD => Body::Setattr(SetattrOp::Chmod, get_serde(raw)?),
        Kind::CHOWN => Body::Setattr(SetattrOp::Chown, get_serde(raw)?),
        Kind::TRUNCATE => Body::Setattr(SetattrOp::Truncate, get_serde(raw)?),
        Kind::UTIMES => Body::Setattr(SetattrOp::Utimes, get_serde(raw)?),
        Kind::XATTR => Body::Xattr(get_serde(raw)?),
        Kind::FALLOCATE => Body::Allocate(get_serde(raw)?),
        Kind::MOUNT => Body::Call(CallOp::Mount, get_serde(raw)?),
        Kind::UMOUNT => Body::Call(CallOp::Umount, get_serde(raw)?),
        Kind::MODULE => Body::Call(CallOp::Module, get_serde(raw)?),
        Kind::BPF => Body::Call(CallOp::Bpf, get_serde(raw)?),
        Kind::NAMESPACE => Body::Call(CallOp::Namespace, get_serde(raw)?),
        Kind::KERNEL => Body::Call(CallOp::Kernel, get_serde(raw)?),
        Kind::IO_URING => Body::Call(CallOp::IoUring, get_serde(raw)?),
        Kind::CONNECT => Body::Socket(SocketOp::Connect, get_serde(raw)?),
        Kind::BIND => Body::Socket(SocketOp::Bind, get_serde(raw)?),
        Kind::LISTEN => Body::Socket(SocketOp::Listen, get_serde(raw)?),
        Kind::ACCEPT => Body::Socket(SocketOp::Accept, get_serde(raw)?),
        Kind::SETTING => Body::Setting(get_serde(raw)?),
        Kind::SEND => Body::Sent(get_serde(raw)?),
        Kind::TTY_OUTPUT => Body::Tty(TtyOp::Output, get_tty(raw, strings)?),
        Kind::TTY_INPUT => Body::Tty(TtyOp::Input, get_tty(raw, strings)?),
        Kind::TTY_RESIZE => Body::Tty(TtyOp::Resize, get_tty(raw, strings)?),
        Kind::FORK => Body::Fork(get_serde(raw)?),
        Kind::EXIT => Body::Exit(get_serde(raw)?),
        Kind::CRED => Body::Cred(get_serde(raw)?),
        Kind::SESSION_START => Body::SessionStart(get_serde(raw)?),
        Kind::SESSION_END => Body::SessionEnd(get_serde(raw)?),
        Kind::BOOT => Body::Boot(get_serde(raw)?),
        Kind::HEARTBEAT => Body::Heartbeat(get_serde(raw)?),
        Kind::LOSS => Body::Loss(get_serde(raw)?),
        Kind::JUMP => Body::Jump(get_serde(raw)?),
        Kind::STOP => Body::Stop(get_serde(raw)?),
        Kind::SESSION_OPENED => Body::SessionOpened(get_serde(raw)?),
        Kind::SESSION_CLOSED => Body::SessionClosed(get_serde(raw)?),
        Kind::STORAGE => Body::Storage(get_serde(raw)?),
        Kind::DELEGATION => Body::Delegation(get_serde(raw)?),
        Kind::PARTICIPANT => Body::Participant(get_serde(raw)?),
        Kind::DIGEST => Body::Digest(get_serde(raw)?),
        Kind::CHANGED => Body::Changed(get_serde(raw)?),
        Kind::REDACTED => Body::Redacted(get_serde(raw)?),
        Kind::REDACTION_KEY => Body::RedactionKey(get_serde(raw)?),
        Kind::CONFIG => Body::Config(get_serde(raw)?),
        Kind::GUARD => Body::Guard(get_serde(raw)?),
        Kind::OVERDUE => Body::Overdue(get_serde(raw)?),
        Kind::ENFORCEMENT => Body::Enforcement(get_serde(raw)?),
        Kind::EXEC_FAILED => Body::ExecFailed(get_serde(raw)?),
        Kind::SCRIPT => Body::Script(get_serde(raw)?),
        Kind::ARGUMENTS => Body::Arguments(get_serde(raw)?),
        Kind::MAPPED => Body::Mapped(get_serde(raw)?),
        Kind::CAPABILITY => Body::Capability(get_serde(raw)?),
        Kind::CONTEXT => Body::Context(std::sync::Arc::new(get_serde(raw)?)),
        Kind::PERMISSIONS => Body::Permissions(get_serde(raw)?),
        Kind::COVERAGE => Body::Coverage(get_serde(raw)?),
        Kind::GRANT => Body::Grant(get_serde(raw)?),
        Kind::LOGIN => Body::Login(get_serde(raw)?),
        Kind::TOKEN => Body::Token(get_serde(raw)?),
        Kind::CHECKPOINT => Body::Checkpoint(get_serde(raw)?),
        Kind::HOOK => Body::Hook(get_serde(raw)?),
        Kind::CLOCK => Body::Clock(get_serde(raw)?),
        Kind::TOMBSTONE => Body::Tombstone(get_serde(raw)?),
        kind => Body::Unknown { kind, bytes: raw.to_vec() },
    })
}

fn get_exec(raw: &[u8], strings: &Strings) -> Result<Exec, RecordError> {
    let mut c = Cursor::new(raw);
    let path = Bytes::from(strings.get(c.u32()?)?);
    let cwd = Bytes::from(strings.get(c.u32()?)?);
    let dev = (c.u32()?, c.u32()?);
    let ino = c.u64()?;
    let cut = get_cut(&mut c)?;
    let args = narrow32(c.u32()?);
    // Four bytes an argument are still to come, so the count can't promise more than the bytes hold.
    if args.checked_mul(4) != Some(c.rest().len()) {
        return Err(RecordError::Malformed);
    }
    let mut argv = Vec::with_capacity(args);
    let mut content = 0usize;
    for _ in 0..args {
        let arg = strings.get(c.u32()?)?;
        content = content.saturating_add(arg.len());
        if content > super::record::MAX_PLAIN * 4 {
            return Err(RecordError::TooLong);
        }
        argv.push(Bytes::from(arg));
    }
    Ok(Exec { path, argv, cwd, dev, ino, cut, extent: ArgvExtent::default() })
}

fn get_tty(raw: &[u8], strings: &Strings) -> Result<Tty, RecordError> {
    let mut c = Cursor::new(raw);
    let name = Bytes::from(strings.get(c.u32()?)?);
    let (no, hidden) = (c.u32()?, c.u32()?);
    let (cols, rows) = (c.u16()?, c.u16()?);
    let cut = get_cut(&mut c)?;
    Ok(Tty { name, no, data: Bytes::from(c.rest()), hidden, cols, rows, cut })
}

/// Bytes of a body that lie in the string table or are of free length.
pub(super) fn interned_len(body: &Body) -> usize {
    match body {
        Body::Exec(x) => {
            x.argv.iter().map(|a| a.len() + 10).sum::<usize>().saturating_add(x.path.len() + x.cwd.len())
        }
        Body::File(_, x) => x.path.len() + x.to.as_ref().map_or(0, Bytes::len),
        Body::Setattr(_, x) => x.path.len(),
        Body::Xattr(x) => x.path.len() + x.name.len() + x.value.as_ref().map_or(0, Bytes::len),
        Body::Allocate(x) => x.path.len(),
        Body::Call(_, x) => {
            x.name.len() + x.args.iter().map(|(name, value)| name.len() + value.len() + 16).sum::<usize>()
        }
        Body::Socket(_, x) => x.local.len() + x.remote.len(),
        Body::Sent(x) => x.socket.local.len() + x.socket.remote.len(),
        Body::Reads(x) => x.path.len(),
        Body::Setting(x) => x.path.len() + x.value.len(),
        Body::Tty(_, x) => x.data.len() + x.name.len(),
        Body::Boot(x) => {
            let lists = [&x.hooks, &x.blind, &x.lsm];
            lists.into_iter().flatten().map(|b| b.len() + 8).sum::<usize>()
                + [&x.host, &x.kernel, &x.version, &x.backend, &x.lockdown]
                    .map(Bytes::len)
                    .iter()
                    .sum::<usize>()
        }
        Body::SessionStart(x) => {
            x.login.user.len() + x.login.tty.len() + x.login.remote.len() + x.elevation.path.len()
        }
        Body::Delegation(x) => x.to.len() + x.what.len() + x.evidence.len(),
        Body::Participant(x) => {
            [&x.login.user, &x.login.tty, &x.login.remote, &x.terminal, &x.program, &x.person]
                .map(Bytes::len)
                .iter()
                .sum()
        }
        Body::Digest(x) => x.path.len(),
        Body::Changed(x) => {
            let texts = [x.other.as_ref(), x.link.as_ref(), x.diff.as_ref().map(|diff| &diff.text)];
            texts.into_iter().flatten().map(Bytes::len).sum::<usize>() + x.path.len()
        }
        Body::Redacted(x) => x.places.iter().map(|place| place.rule.len() + 71).sum(),
        Body::RedactionKey(x) => x.key.len(),
        Body::Config(x) => {
            let value = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
            let keys = x.keys.iter().map(|k| k.key.len() + value(&k.before) + value(&k.after) + 28);
            keys.sum::<usize>() + x.text.len() + 80
        }
        Body::Guard(x) => x.path.len() + x.to.len(),
        Body::Loss(x) => x.class.len() + x.ring.len(),
        Body::Storage(x) => x.operation.len(),
        Body::Checkpoint(x) => x.note.len(),
        Body::Hook(x) => x.name.len(),
        Body::ExecFailed(x) => x.path.len(),
        Body::Arguments(x) => x.argv.iter().map(|arg| arg.len() + 8).sum(),
        Body::Script(x) => x.path.len(),
        Body::Mapped(x) => x.path.len(),
        Body::Capability(x) => x.program.len(),
        Body::Context(x) => x.path.len() + x.container.len(),
        Body::Permissions(x) => {
            let users = x.users.iter().map(|user| user.program.len() + 40);
            users.chain(x.programs.iter().map(|program| program.path.len() + 60)).sum()
        }
        Body::Coverage(x) => x.person.len() + x.incident.len(),
        Body::Grant(x) => [&x.kind, &x.signer, &x.person, &x.key, &x.text, &x.bytes, &x.signature]
            .map(Bytes::len)
            .iter()
            .sum(),
        Body::Login(x) => [
            &x.account,
            &x.service,
            &x.remote,
            &x.tty,
            &x.auth,
            &x.key,
            &x.certificate,
            &x.authority,
            &x.person,
        ]
        .map(Bytes::len)
        .iter()
        .sum(),
        Body::Token(x) => [&x.person, &x.host, &x.signer, &x.key, &x.text, &x.bytes, &x.signature]
            .map(Bytes::len)
            .iter()
            .sum(),
        Body::Unknown { bytes, .. } => bytes.len(),
        _ => 0,
    }
}
