//! Looks at one segment as it lies in a log: the stub that it would leave, and whose work it holds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::super::frame::FrameType;
use super::super::record::{CODEC, decode};
use super::super::segment::{Reason, file_name};
use super::super::walk::{Event, Walk};
use super::build::{BuildFault, Successor, build};
use super::shelf::{open_file, read_file, stub_name};
use super::stub::{MAX_STUB, Stub};
use crate::model::{Body, SessionId};

/// What a segment would leave.
#[derive(Clone, Debug)]
pub struct Examined {
    /// The stub's bytes.
    pub bytes: Vec<u8>,
    /// What they say.
    pub stub: Stub,
    /// Sessions that have frames in the segment, or edges.
    pub sessions: Vec<SessionId>,
}

/// Why a segment can't go.
#[derive(Debug, thiserror::Error)]
pub enum ExamineFault {
    /// The disk refused.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It gives no stub.
    #[error("{0}")]
    Build(#[from] BuildFault),
    /// Nothing follows it: it is the last of its log.
    #[error("is the last segment of the log")]
    Last,
    /// Whose frames these are is told nowhere before them.
    #[error("has frames of stream {stream}, and where that was opened is not to be found")]
    Unknown {
        /// Which.
        stream: u64,
    },
}

/// What is there of the segment that begins with this leaf.
enum Part {
    Segment(PathBuf),
    Stub(Box<Stub>),
}

fn parts(dirs: &[PathBuf], leaf: u64) -> io::Result<Vec<Part>> {
    let mut found = Vec::new();
    for dir in dirs {
        let segment = dir.join(file_name(leaf));
        if segment.exists() {
            found.push(Part::Segment(segment));
        }
    }
    // A stub beside its segment is a deletion that did not come to its end.
    for dir in dirs.iter().filter(|_| found.is_empty()) {
        if let Some(stub) = stub_at(&dir.join(stub_name(leaf)))? {
            return Ok(vec![Part::Stub(Box::new(stub))]);
        }
    }
    Ok(found)
}

/// The stub in that file; `None` if there is none that can be read.
pub fn stub_at(path: &Path) -> io::Result<Option<Stub>> {
    match read_file(path, MAX_STUB) {
        Ok(raw) => Ok(Stub::parse(&raw).ok()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Examines the segment in `path`; `leaves` are the first leaves of all that lies in the log, segments and stubs, rising.
pub fn examine(dirs: &[PathBuf], path: &Path, first: u64, leaves: &[u64]) -> Result<Examined, ExamineFault> {
    let mut last = ExamineFault::Last;
    let Some(after) = leaves.iter().find(|leaf| **leaf > first) else { return Err(last) };
    let before = leaves.get(..leaves.partition_point(|leaf| *leaf < first)).unwrap_or_default();
    for part in parts(dirs, *after)? {
        let next = match part {
            Part::Segment(path) => Successor::read(open_file(&path)?)?,
            Part::Stub(stub) => Successor::new(stub.header, stub.first.header),
        };
        // After a storage fault two files can begin with one leaf, of which one is void.
        match build(open_file(path)?, &next) {
            Ok((bytes, stub)) => {
                let sessions = sessions(dirs, &stub, before)?;
                return Ok(Examined { bytes, stub, sessions });
            }
            Err(fault) => last = fault.into(),
        }
    }
    Err(last)
}

/// Whose work the segment holds.
fn sessions(dirs: &[PathBuf], stub: &Stub, before: &[u64]) -> Result<Vec<SessionId>, ExamineFault> {
    let mut found = Vec::new();
    let mut open: Vec<u64> = Vec::new();
    for part in &stub.streams {
        match part.session {
            Some(id) => found.push(id),
            // The log's own sealed stream is nobody's session.
            None if part.stream == 0 => {}
            None => open.push(part.stream),
        }
    }
    let mut fresh = matches!(stub.header.reason, Reason::Resume | Reason::Break);
    for leaf in before.iter().rev() {
        if open.is_empty() || fresh {
            break;
        }
        let Some(part) = parts(dirs, *leaf)?.pop() else { continue };
        let (opened, begins) = match part {
            Part::Segment(path) => opened_in(&path)?,
            Part::Stub(stub) => {
                let rows = stub.streams.iter().filter(|p| p.opened);
                let begins = matches!(stub.header.reason, Reason::Resume | Reason::Break);
                (rows.filter_map(|p| Some((p.stream, p.session?))).collect(), begins)
            }
        };
        open.retain(|stream| match opened.get(stream) {
            Some(id) => {
                found.push(*id);
                false
            }
            None => true,
        });
        fresh = begins;
    }
    match open.first() {
        None => Ok(found),
        Some(stream) => Err(ExamineFault::Unknown { stream: *stream }),
    }
}

/// The streams that a segment opens, and whether a new process of the recorder began with it.
fn opened_in(path: &Path) -> Result<(BTreeMap<u64, SessionId>, bool), ExamineFault> {
    let Ok(mut walk) = Walk::<File>::open(open_file(path)?)? else { return Err(BuildFault::Header.into()) };
    let mut opened = BTreeMap::new();
    loop {
        match walk.step()? {
            Event::Leaf(found) if found.header.kind == FrameType::CONTROL && found.header.codec == CODEC => {
                for record in decode(walk.body()).unwrap_or_default() {
                    if let Body::SessionOpened(o) = record.body {
                        opened.insert(o.stream.get(), o.id);
                    }
                }
            }
            Event::Leaf(_) | Event::Sealed(_) => {}
            Event::End | Event::Fault(_) => break,
        }
    }
    Ok((opened, matches!(walk.header.reason, Reason::Resume | Reason::Break)))
}
