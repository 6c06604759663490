//! Standard streams of sessions that are no terminals: what the kernel side knows of them.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
};

use aya::maps::{HashMap as BpfHashMap, MapData, MapError};
use recorder_common::{StreamKey, StreamState};
use zerocopy::transmute;

use crate::model::{Mark, Streamed};

/// The kernel's table.
pub(super) struct Streams(BpfHashMap<MapData, [u8; 16], [u8; 48]>);

impl Streams {
    pub(super) fn new(map: BpfHashMap<MapData, [u8; 16], [u8; 48]>) -> Self {
        Self(map)
    }

    fn entries(&self) -> impl Iterator<Item = (StreamKey, StreamState)> {
        self.0.iter().filter_map(Result::ok).map(|(key, value)| (transmute!(key), transmute!(value)))
    }

    /// What of these sessions' streams was not taken along so far, exact.
    pub(super) fn of(&self, sessions: &[Mark]) -> Vec<(Mark, Streamed)> {
        let own = self.entries().filter(|(key, _)| sessions.contains(&Mark::new(key.mark)));
        let both = own.flat_map(|(key, state)| {
            let written: u32 = if state.fds & 2 == 0 { 2 } else { 1 };
            [(written, state.skipped), (0, state.taken)].map(|(fd, away)| {
                let streamed = Streamed { key: StreamKey::of(key.ino, u64::from(fd)), fd, away };
                (Mark::new(key.mark), streamed)
            })
        });
        both.filter(|(_, streamed)| streamed.away > 0).collect()
    }

    /// Makes room: the sessions are over. True if no stream is left.
    pub(super) fn forget(&mut self, sessions: &[Mark]) -> bool {
        let stale: Vec<StreamKey> = self
            .entries()
            .map(|(key, _)| key)
            .filter(|key| sessions.contains(&Mark::new(key.mark)))
            .collect();
        for key in stale {
            let key: [u8; 16] = transmute!(key);
            let _ = self.0.remove(&key);
        }
        self.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.keys().next().is_none()
    }

    /// A session was found running: its streams are those of the task that stands for it.
    pub(super) fn found(&mut self, mark: Mark, pid: u32) -> Result<(), MapError> {
        for fd in 0..3_u64 {
            // Gone, or closed: nothing goes through it.
            let Ok(meta) = fs::metadata(format!("/proc/{pid}/fd/{fd}")) else { continue };
            if !meta.file_type().is_fifo() && !meta.file_type().is_socket() {
                continue;
            }
            let key: [u8; 16] = transmute!(StreamKey { mark: mark.get(), ino: meta.ino() });
            let old: StreamState = self.0.get(&key, 0).map(|old| transmute!(old)).unwrap_or_default();
            let state: [u8; 48] = transmute!(StreamState { fds: old.fds | 1 << fd, ..old });
            self.0.insert(key, state, 0)?;
        }
        Ok(())
    }
}
