//! Sizes both sides agree on.

/// Names a path walk takes: deeper paths are cut and say so.
pub const PATH_PARTS: usize = 64;
/// Bytes a walked path can take in an event, a power of two (the kernel's own `PATH_MAX`).
pub const PATH_ROOM: usize = 4096;
/// Bytes of a string that was passed by the program.
pub const STR_MAX: usize = 4096;
/// Bytes of arguments in one event.
pub const ARGV_PART: usize = 4096;
/// Argument events of one exec at most, for two mebibytes; as many are sent as the configuration asks for.
pub const ARGV_PARTS: u32 = 512;
/// Terminal bytes in one event.
pub const TTY_CHUNK: usize = 4096;
/// A scratch buffer: header, fixed part, two walked paths, two passed strings, and room for the verifier's bounds.
/// The largest value a per-CPU map takes.
pub const SCRATCH: usize = 32768;
/// Argument bytes in the exec event itself; the rest goes through the bulk ring.
pub const ARGV_CORE: usize = 1024;
/// Scratch buffers a processor has: programs of preempted tasks may hold one each.
pub const SCRATCH_SLOTS: usize = 4;
/// Bytes of an extended attribute's value that are kept, a power of two minus one.
pub const XATTR_MOST: usize = 1023;
/// Bytes of a setting's value that are kept, a power of two minus one.
pub const SETTING_MOST: usize = 255;
/// Ring buffers.
pub const RINGS: usize = 2;
/// Room for event classes that losses are counted by, a power of two.
pub const CLASSES: usize = 16;
