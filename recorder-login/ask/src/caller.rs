//! Who logged in, by the kernel: the audit loginuid and session of the process that asks.

use std::{ffi::CStr, fs::File, io::Read, str};

use crate::sys;

/// The name for uid 0, whatever else the user database calls it: `toor` is no way around `root`.
pub const ROOT: &[u8] = b"root";
/// The kernel's word for "never set".
const UNSET: u32 = u32::MAX;
/// Bytes of an environment that are looked at.
const MAX_ENVIRONMENT: u64 = 1 << 20;

/// Who logged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The account; `None` if nobody did (a service, a container without audit).
    pub account: Option<Vec<u8>>,
    /// The kernel's audit session.
    pub audit_session: Option<u32>,
}

impl Caller {
    /// The calling process.
    pub fn current() -> Self {
        Self {
            account: number("/proc/self/loginuid").map(Self::name),
            audit_session: number("/proc/self/sessionid"),
        }
    }

    /// The account with this uid, `#uid` if it has no name.
    pub fn name(uid: u32) -> Vec<u8> {
        if uid == 0 {
            return ROOT.to_vec();
        }
        sys::name_of(uid).unwrap_or_else(|| format!("#{uid}").into_bytes())
    }

    /// The account under the name that counts: `root` for every name of uid 0.
    pub fn canonical(name: &[u8]) -> Vec<u8> {
        if sys::uid_of(name) == Some(0) { ROOT.to_vec() } else { name.to_vec() }
    }
}

/// A variable of the environment that the calling program was started with. Not getenv(3): in sudo that is a function of
/// sudo's own, which gives what it has cleaned for the command.
pub fn started_with(name: &CStr) -> Option<Vec<u8>> {
    let mut environment = Vec::new();
    File::open("/proc/self/environ").ok()?.take(MAX_ENVIRONMENT).read_to_end(&mut environment).ok()?;
    variable(&environment, name)
}

fn variable(environment: &[u8], name: &CStr) -> Option<Vec<u8>> {
    environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(name.to_bytes())?.strip_prefix(b"="))
        .map(<[u8]>::to_vec)
}

fn number(path: &str) -> Option<u32> {
    let mut buffer = [0; 16];
    let count = File::open(path).ok()?.read(&mut buffer).ok()?;
    parse(buffer.get(..count)?)
}

fn parse(bytes: &[u8]) -> Option<u32> {
    let number = str::from_utf8(bytes).ok()?.trim_end().parse().ok()?;
    (number != UNSET).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::TOKEN;

    #[test]
    fn numbers_of_the_kernel() {
        assert_eq!(parse(b"1000"), Some(1000));
        assert_eq!(parse(b"1000\n"), Some(1000));
        assert_eq!(parse(b"4294967295"), None);
        assert_eq!(parse(b"-1"), None);
        assert_eq!(parse(b""), None);
        assert_eq!(number("/proc/self/no-such-file"), None);
    }

    #[test]
    fn variables_of_an_environment() {
        let environment = b"HOME=/\0RECORDER_TOKENS=no\0RECORDER_TOKEN=a=b\0RECORDER_TOKEN=c\0";
        assert_eq!(variable(environment, TOKEN), Some(b"a=b".to_vec()));
        assert_eq!(variable(environment, c"HOM"), None);
        assert_eq!(variable(b"", TOKEN), None);
        assert!(started_with(c"PATH").is_some());
        assert_eq!(started_with(TOKEN), None);
    }

    #[test]
    fn every_name_of_uid_0_is_root() {
        assert_eq!(Caller::name(0), b"root");
        assert_eq!(Caller::canonical(b"root"), b"root");
        assert_eq!(Caller::canonical(b"no-such-user"), b"no-such-user");
        assert_eq!(Caller::name(4_000_000_000), b"#4000000000");
    }
}
