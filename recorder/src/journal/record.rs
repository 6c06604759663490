//! Record codec 1: from records to the plain bytes of a frame's body and back. The law is docs/journal-format.md,
//! "Records". This is the only file that knows bincode.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::body::{self, Fixed, ROW_MARK};
use super::bytes::{Cursor, Short, narrow32, put16, put32, put64, wide, wide32};
use super::rows::{StringTable, Strings, put_columns, take_columns};
use crate::model::{Body, BootNanos, Bytes, Flags, Kind, Record, Task, TaskId};

/// This codec's number in the frame header.
pub const CODEC: u8 = 1;
/// Most plain bytes a frame's body may have.
pub const MAX_PLAIN: usize = 1 << 20;
/// Most bytes that the records of one frame may take in memory beyond their fixed size.
const MAX_CONTENT: usize = 16 << 20;
/// A longer record is refused by the writer (and declared as lost).
pub const MAX_RECORD: usize = 512 << 10;
const META: usize = 20;
const TASK: usize = 36;

/// Why a body is no list of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A length, count or number doesn't fit the bytes.
    #[error("a record's bytes break the rules of the codec")]
    Malformed,
    /// A codec that this program doesn't know.
    #[error("record codec {0} is newer than this program")]
    Codec(u8),
    /// Longer than the caps allow.
    #[error("the records of a frame exceed the limit of {MAX_PLAIN} bytes")]
    TooLong,
    /// The frame does not open with its segment's key.
    #[error("the frame does not open with its segment's key")]
    Undecryptable,
}

impl From<Short> for RecordError {
    fn from(_: Short) -> Self {
        Self::Malformed
    }
}

/// A body by bincode: fixed-int little-endian.
pub(crate) fn put_serde(out: &mut Vec<u8>, value: &impl Serialize) {
    let config = bincode::config::standard().with_fixed_int_encoding().with_little_endian();
    // Writing into memory can't fail, and our structs hold nothing that bincode refuses.
    let _ = bincode::serde::encode_into_std_write(value, out, config);
}

/// A body by bincode; all bytes must be used.
pub(crate) fn get_serde<T: DeserializeOwned>(raw: &[u8]) -> Result<T, RecordError> {
    let config =
        bincode::config::standard().with_fixed_int_encoding().with_little_endian().with_limit::<MAX_PLAIN>();
    match bincode::serde::decode_from_slice(raw, config) {
        Ok((value, used)) if used == raw.len() => Ok(value),
        _ => Err(RecordError::Malformed),
    }
}

/// A body as the bytes that it has as a free body of its own, for kinds that are bincode throughout.
pub fn body_bytes(body: &Body) -> Vec<u8> {
    let mut out = Vec::new();
    super::body::put(body, &mut super::rows::StringTable::default(), &mut out);
    out
}

/// The body of such a kind from those bytes.
pub fn body_from(kind: Kind, raw: &[u8]) -> Result<Body, RecordError> {
    super::body::get(kind, raw, &super::rows::Strings::default())
}

/// Collects records until a frame is cut.
#[derive(Debug, Default)]
pub struct Encoder {
    first: u64,
    last: u64,
    base: u64,
    previous: u64,
    count: u32,
    raw: usize,
    meta: Vec<u8>,
    tasks: Vec<u8>,
    task_numbers: HashMap<Arc<Task>, u16>,
    last_task: Option<(Arc<Task>, u16)>,
    strings: StringTable,
    fixed: [Vec<u8>; 6],
    bodies: Vec<u8>,
    scratch: Vec<u8>,
}

/// What a finished body needs in its frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Earliest time.
    pub first: BootNanos,
    /// Latest time.
    pub last: BootNanos,
    /// How many records.
    pub count: u32,
}

impl Encoder {
    /// True if there is nothing to cut.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes that the records would have without tables: what the frame's size limit counts.
    pub const fn raw_len(&self) -> usize {
        self.raw
    }

    /// Records so far.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// True if no further task number is free.
    pub fn is_full(&self) -> bool {
        self.task_numbers.len() >= usize::from(u16::MAX) - 1
    }

    fn task_number(&mut self, task: &Arc<Task>) -> u16 {
        if let Some((last, no)) = &self.last_task
            && Arc::ptr_eq(last, task)
        {
            return *no;
        }
        let no = if let Some(no) = self.task_numbers.get(task) {
            *no
        } else {
            let no = u16::try_from(self.task_numbers.len() + 1).unwrap_or(u16::MAX);
            let comm = self.strings.intern(task.comm.as_slice());
            put32(&mut self.tasks, task.id.pid);
            put64(&mut self.tasks, task.id.start.get());
            for n in [task.tid, task.ppid, comm, task.auid, task.uid, task.euid] {
                put32(&mut self.tasks, n);
            }
            self.raw = self.raw.saturating_add(TASK + task.comm.len());
            self.task_numbers.insert(Arc::clone(task), no);
            no
        };
        self.last_task = Some((Arc::clone(task), no));
        no
    }

    /// Adds a record.
    pub fn push(&mut self, record: &Record) {
        let now = record.boot_ns.get();
        let task = record.task.as_ref().map_or(0, |t| self.task_number(t));
        if self.count == 0 {
            (self.first, self.last, self.base, self.previous) = (now, now, now, now);
        }
        self.first = self.first.min(now);
        self.last = self.last.max(now);
        let kind = record.body.kind();
        let len = if let Some(fixed) = body::fixed_of(&record.body)
            && let Some(table) = self.fixed.get_mut(fixed.table())
        {
            self.raw = self.raw.saturating_add(body::put_row(&record.body, &mut self.strings, table));
            ROW_MARK
        } else {
            let start = self.bodies.len();
            body::put(&record.body, &mut self.strings, &mut self.bodies);
            let len = self.bodies.len() - start;
            self.raw = self.raw.saturating_add(len).saturating_add(body::interned_len(&record.body));
            wide32(len)
        };
        put16(&mut self.meta, kind.code());
        put16(&mut self.meta, record.flags.bits());
        put16(&mut self.meta, record.cpu);
        put16(&mut self.meta, task);
        put64(&mut self.meta, zigzag(now.wrapping_sub(self.previous)));
        put32(&mut self.meta, len);
        self.previous = now;
        self.raw = self.raw.saturating_add(META);
        self.count = self.count.saturating_add(1);
    }

    /// Appends the plain body and starts anew.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Summary {
        put32(out, wide32(self.task_numbers.len()));
        put32(out, wide32(self.strings.len()));
        put32(out, self.count);
        put32(out, wide32(self.bodies.len()));
        put64(out, self.base);
        put_columns(out, &self.meta, META, false);
        self.strings.put(out, &mut self.scratch);
        put_columns(out, &self.tasks, TASK, true);
        for (table, fixed) in self.fixed.iter_mut().zip(Fixed::ALL) {
            put_columns(out, table, fixed.width(), true);
            table.clear();
        }
        out.extend_from_slice(&self.bodies);
        let summary =
            Summary { first: BootNanos::new(self.first), last: BootNanos::new(self.last), count: self.count };
        (self.first, self.last, self.previous, self.count, self.raw) = (0, 0, 0, 0, 0);
        self.meta.clear();
        self.tasks.clear();
        self.task_numbers.clear();
        self.last_task = None;
        self.strings.clear();
        self.bodies.clear();
        summary
    }
}

/// Signed difference as an unsigned number with small values for small distances.
const fn zigzag(delta: u64) -> u64 {
    (delta << 1) ^ (if delta >> 63 == 1 { u64::MAX } else { 0 })
}

const fn unzigzag(stored: u64) -> u64 {
    (stored >> 1) ^ (if stored & 1 == 1 { u64::MAX } else { 0 })
}

/// Reads the records of a plain body.
pub fn decode(plain: &[u8]) -> Result<Vec<Record>, RecordError> {
    if plain.len() > MAX_PLAIN {
        return Err(RecordError::TooLong);
    }
    let mut c = Cursor::new(plain);
    let task_count = narrow32(c.u32()?);
    let string_count = narrow32(c.u32()?);
    let count = narrow32(c.u32()?);
    let bodies_len = narrow32(c.u32()?);
    let mut now = c.u64()?;
    let meta = take_columns(&mut c, count, META, false)?;
    let strings = Strings::take(&mut c, string_count, MAX_PLAIN * 2)?;
    let tasks = decode_tasks(&take_columns(&mut c, task_count, TASK, true)?, &strings)?;
    let mut metas = Vec::with_capacity(count);
    let mut rows_of = [0usize; 6];
    let mut m = Cursor::new(&meta);
    for _ in 0..count {
        let meta = Meta {
            kind: Kind::new(m.u16()?),
            flags: Flags::new(m.u16()?),
            cpu: m.u16()?,
            task: m.u16()?,
            delta: m.u64()?,
            len: m.u32()?,
        };
        if meta.len == ROW_MARK {
            let fixed = Fixed::of(meta.kind).ok_or(RecordError::Malformed)?;
            let n = rows_of.get_mut(fixed.table()).ok_or(RecordError::Malformed)?;
            *n = n.saturating_add(1);
        }
        metas.push(meta);
    }
    let mut tables = Vec::with_capacity(6);
    for (fixed, n) in Fixed::ALL.into_iter().zip(rows_of) {
        tables.push(take_columns(&mut c, n, fixed.width(), true)?);
    }
    let mut rows: Vec<Cursor<'_>> = tables.iter().map(|t| Cursor::new(t)).collect();
    let mut bodies = Cursor::new(c.take(bodies_len)?);
    c.finish()?;
    let mut records = Vec::with_capacity(count);
    let mut content = 0usize;
    for meta in metas {
        now = now.wrapping_add(unzigzag(meta.delta));
        let task = match usize::from(meta.task).checked_sub(1) {
            None => None,
            Some(n) => Some(Arc::clone(tasks.get(n).ok_or(RecordError::Malformed)?)),
        };
        let body = if meta.len == ROW_MARK {
            let fixed = Fixed::of(meta.kind).ok_or(RecordError::Malformed)?;
            let row = rows.get_mut(fixed.table()).ok_or(RecordError::Malformed)?;
            body::get_row(fixed, row, &strings)?
        } else {
            body::get(meta.kind, bodies.take(narrow32(meta.len))?, &strings)?
        };
        content = content.saturating_add(body::interned_len(&body));
        if content > MAX_CONTENT {
            return Err(RecordError::TooLong);
        }
        records.push(Record { boot_ns: BootNanos::new(now), cpu: meta.cpu, flags: meta.flags, task, body });
    }
    bodies.finish()?;
    Ok(records)
}

struct Meta {
    kind: Kind,
    flags: Flags,
    cpu: u16,
    task: u16,
    delta: u64,
    len: u32,
}

fn decode_tasks(rows: &[u8], strings: &Strings) -> Result<Vec<Arc<Task>>, RecordError> {
    let mut tasks = Vec::new();
    let mut content = 0usize;
    for row in rows.chunks_exact(TASK) {
        let mut r = Cursor::new(row);
        let id = TaskId { pid: r.u32()?, start: BootNanos::new(r.u64()?) };
        let (tid, ppid) = (r.u32()?, r.u32()?);
        let comm = Bytes::from(strings.get(r.u32()?)?);
        content = content.saturating_add(comm.len());
        if content > MAX_CONTENT {
            return Err(RecordError::TooLong);
        }
        tasks.push(Arc::new(Task { id, tid, ppid, comm, auid: r.u32()?, uid: r.u32()?, euid: r.u32()? }));
    }
    Ok(tasks)
}

/// A record's length for the writer's limit, without encoding it.
pub fn rough_len(body: &Body) -> u64 {
    wide(body::interned_len(body))
}
