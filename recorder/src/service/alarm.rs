//! What the service's own log tells of alarms, for whoever watches journald: each has a MESSAGE_ID that never changes
//! (docs/operations.md, Alarms). What happened is in the journal of ours; this is how somebody hears of it.

/// A hook does not see.
pub(super) const HOOK_DEAD: &str = "9d1f5f0c2f1c4c0b8f6a51e3a7d0c401";
/// A link is gone from the kernel.
pub(super) const LINK_MISSING: &str = "9d1f5f0c2f1c4c0b8f6a51e3a7d0c402";
/// A write does not come back.
pub(super) const JOURNAL_HANGS: &str = "9d1f5f0c2f1c4c0b8f6a51e3a7d0c403";
/// Nothing takes writes.
pub(super) const JOURNAL_FAILS: &str = "9d1f5f0c2f1c4c0b8f6a51e3a7d0c404";
/// Only what is essential is recorded.
pub(super) const NO_ROOM: &str = "9d1f5f0c2f1c4c0b8f6a51e3a7d0c405";
/// Somebody does not take checkpoints.
pub(super) const CHECKPOINT_FAILS: &str = "9d1f5f0c2f1c4c0b8f6a51e3a7d0c406";
/// A configuration that was read again has faults.
pub(super) const CONFIG_REFUSED: &str = "9d1f5f0c2f1c4c0b8f6a51e3a7d0c407";
/// A stretch of a session that nothing allows.
pub(super) const UNCOVERED: &str = "9d1f5f0c2f1c4c0b8f6a51e3a7d0c408";
/// Somebody tries something with the recorder itself.
pub(super) const GUARD: &str = "9d1f5f0c2f1c4c0b8f6a51e3a7d0c420";
/// Metrics can't be served: the place is taken, or can't be.
pub(super) const METRICS_REFUSED: &str = "9d1f5f0c2f1c4c0b8f6a51e3a7d0c409";
