//! Events of work that is handed over, from bytes into words.

use recorder_common::{BranchEvent, ControlEvent, REQUEST_PART, REQUEST_PARTS, RequestEvent, StdinEvent};

use super::decode::{DecodeError, Reader, dev, joined};
use crate::model::{Act, BootNanos, Branch, BranchCause, Bytes, Mark, Reached, Request, RequestWhat, TaskId};

/// Something starts that may have been asked for.
pub(super) fn branch(r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: BranchEvent = r.get()?;
    let cause = match e.cause {
        BranchEvent::UNIT | BranchEvent::UNIT_AHEAD => BranchCause::Unit,
        BranchEvent::JOB => BranchCause::Job,
        BranchEvent::PLANT => BranchCause::Plant,
        BranchEvent::SCRIPT => BranchCause::Script,
        BranchEvent::ENGINE => BranchCause::Engine,
        _ => return Err(DecodeError::Cut),
    };
    let parent = (e.parent != 0).then(|| Mark::new(e.parent));
    Ok(Act::Branch(Branch {
        cause,
        is_ahead: e.cause == BranchEvent::UNIT_AHEAD,
        parent,
        object: e.object,
        device: dev(e.dev),
        dev: e.dev,
        generation: e.generation,
        path: Bytes::from(r.take(e.path_len)?),
    }))
}

/// A session spoke to a socket.
pub(super) fn request(r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: RequestEvent = r.get()?;
    let what = match e.what {
        RequestEvent::CONNECT => RequestWhat::Connect,
        RequestEvent::SEND => RequestWhat::Send,
        RequestEvent::OPAQUE => RequestWhat::Opaque,
        RequestEvent::PASSED => RequestWhat::Passed { which: e.offset, of: e.total },
        RequestEvent::TERMINAL => RequestWhat::Terminal,
        RequestEvent::RETOLD => RequestWhat::Retold,
        _ => return Err(DecodeError::Cut),
    };
    let name = r.take(e.path_len)?;
    // A path ends at its first zero; an abstract name begins with one and has its full length.
    let end = name.iter().skip(1).position(|b| *b == 0).map_or(name.len(), |at| at + 1);
    let to = if name.first() == Some(&0) { name } else { name.get(..end).unwrap_or_default() };
    let bytes = r.take(e.len)?;
    let bytes = if matches!(e.what, RequestEvent::PASSED | RequestEvent::TERMINAL) {
        joined(bytes)
    } else {
        Bytes::from(bytes)
    };
    // What lies behind the last part of a message was not taken along.
    let end = e.offset.saturating_add(e.len);
    let is_last = e.len < REQUEST_PART || end >= REQUEST_PART * REQUEST_PARTS;
    let missing = if is_last && what == RequestWhat::Send { e.total.saturating_sub(end) } else { 0 };
    Ok(Act::Request(Request {
        what,
        since: (e.since_ns != 0).then(|| BootNanos::new(e.since_ns)),
        connection: e.connection,
        peer: e.peer,
        to: Bytes::from(to),
        bytes,
        missing,
    }))
}

/// What a job reads on its standard input.
pub(super) fn stdin(r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: StdinEvent = r.get()?;
    Ok(Act::Stdin { dev: dev(e.dev), ino: e.ino, path: joined(r.take(e.path_len)?) })
}

/// A session got hold of somebody else's process.
pub(super) fn control(r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: ControlEvent = r.get()?;
    Ok(Act::Reached(Reached {
        target: TaskId { pid: e.pid, start: BootNanos::new(e.start_ns) },
        of: (e.other != 0).then(|| Mark::new(e.other)),
        call: e.call,
    }))
}
