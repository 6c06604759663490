//! Newtypes for every id, time and hash.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name($inner);
        impl $name {
            /// Wraps the raw number.
            pub const fn new(raw: $inner) -> Self {
                Self(raw)
            }
            /// The raw number.
            pub const fn get(self) -> $inner {
                self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! octets {
    ($(#[$doc:meta])* $name:ident[$len:literal]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name([u8; $len]);
        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;
            /// Wraps the raw bytes.
            pub const fn new(raw: [u8; $len]) -> Self {
                Self(raw)
            }
            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
            /// Parses lower- or upper-case hex, dashes ignored.
            pub fn from_hex(text: &str) -> Option<Self> {
                let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
                if digits.len() != $len * 2 {
                    return None;
                }
                let mut raw = [0u8; $len];
                for (out, pair) in raw.iter_mut().zip(digits.chunks_exact(2)) {
                    let text = std::str::from_utf8(pair).ok()?;
                    *out = u8::from_str_radix(text, 16).ok()?;
                }
                Some(Self(raw))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

macro_rules! plain_hex {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
    };
}

macro_rules! dashed_hex {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for (i, b) in self.0.iter().enumerate() {
                    if matches!(i, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{b:02x}")?;
                }
                Ok(())
            }
        }
    };
}

number! {
    /// `CLOCK_BOOTTIME` in nanoseconds since this boot.
    BootNanos(u64)
}
number! {
    /// `CLOCK_REALTIME` in nanoseconds since 1970-01-01T00:00:00Z.
    RealNanos(u64)
}

impl RealNanos {
    /// RFC 3339, UTC, nine digits.
    pub fn rfc3339(self) -> String {
        // u64 nanoseconds end in 2554, which every timestamp type holds.
        jiff::Timestamp::from_nanosecond(i128::from(self.0))
            .map_or_else(|_| format!("{}ns", self.0), |t| format!("{t:.9}"))
    }
}
number! {
    /// The kernel's name for a session: what task storage and the ring buffers carry. Unique within one boot.
    Mark(u64)
}
number! {
    /// A session's number in one log; 0 is the log itself.
    StreamNo(u64)
}
octets! {
    /// SHA-256 output.
    Digest[32]
}
plain_hex!(Digest);
octets! {
    /// Random identity of one log (one incarnation of one host's journal).
    LogId[16]
}
plain_hex!(LogId);
octets! {
    /// The kernel's `/proc/sys/kernel/random/boot_id`.
    BootId[16]
}
dashed_hex!(BootId);
octets! {
    /// A session's own id, a UUIDv7. Audit's loginuid and session id are witnesses to it, not its identity.
    SessionId[16]
}
dashed_hex!(SessionId);

impl SessionId {
    /// No session.
    pub const NOBODY: Self = Self([0; Self::LEN]);
}

impl StreamNo {
    /// The log's own stream: control frames.
    pub const LOG: Self = Self(0);
}

impl BootNanos {
    /// Nanoseconds from `earlier` to `self`; 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A task is never a bare pid: pids are reused, start times are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    /// Thread group id (what user space calls the pid), in the initial pid namespace.
    pub pid: u32,
    /// Start of the thread group leader, `CLOCK_BOOTTIME` nanoseconds.
    pub start: BootNanos,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_with_and_without_dashes() {
        let id = SessionId::new([0x01, 0x93, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]);
        assert_eq!(id.to_string(), "01930203-0405-0607-0809-0a0b0c0d0eff");
        assert_eq!(SessionId::from_hex(&id.to_string()), Some(id));
        assert_eq!(SessionId::from_hex("0193020304050607"), None);
        assert_eq!(SessionId::from_hex("zz930203-0405-0607-0809-0a0b0c0d0eff"), None);
    }
}
