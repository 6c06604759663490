//! Events of terminals, and of standard streams that are none, as the model's acts.

use recorder_common::{Flag, Kind, StreamEvent, StreamKey, TtyEvent};

use super::decode::{DecodeError, Reader};
use crate::model::{Act, Bytes, Streamed, TtyAct, TtyOp, stream_name, terminal_name};

pub(super) fn tty(kind: u16, flags: u16, r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: TtyEvent = r.get()?;
    let op = match kind {
        Kind::TTY_OUTPUT => TtyOp::Output,
        Kind::TTY_INPUT => TtyOp::Input,
        _ => TtyOp::Resize,
    };
    let name = match StreamKey::fd(e.tty) {
        Some(fd) => stream_name(fd).to_owned(),
        // The driver's major is the first of the eight that its ptys have.
        None if e.major == 136 => format!("pts/{}", e.index),
        None => terminal_name(e.major, e.minor),
    };
    Ok(Act::Tty(
        op,
        TtyAct {
            key: e.tty,
            is_new: flags & Flag::OPENED != 0,
            name: Bytes::from(name.as_str()),
            data: Bytes::from(r.take(e.len)?),
            hidden: e.hidden,
            cols: e.cols,
            rows: e.rows,
        },
    ))
}

pub(super) fn stream(r: &mut Reader<'_>) -> Result<Act, DecodeError> {
    let e: StreamEvent = r.get()?;
    Ok(Act::Streamed(Streamed { key: e.key, fd: StreamKey::fd(e.key).unwrap_or(1), away: e.skipped }))
}
