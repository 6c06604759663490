//! Stock kernels: which ones are wanted, where they come from, what the recorder promises on them (docs/kernel.md).

use anyhow::{Context, Result, bail};

use crate::sh;

/// What the recorder promises on a kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Support {
    /// Records, with either backend.
    Full,
    /// Says that it can't, with the reason, and ends with 69.
    Refused,
}

/// A kernel by its suite on the Debian mirror.
pub(super) struct Wanted {
    pub(super) suite: &'static str,
    repository: &'static str,
    package: &'static str,
    pub(super) support: Support,
    pub(super) optional: bool,
}

/// A kernel in the cache.
#[derive(Clone)]
pub(super) struct Kernel {
    pub(super) version: String,
}

impl Kernel {
    /// Whether the version starts so, at a boundary: 6.1 is not 6.12.
    pub(super) fn is(&self, start: &str) -> bool {
        self.version.strip_prefix(start).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    }
}

pub(super) const WANTED: &[Wanted] = &[
    wanted("bullseye-security", "debian-security", "linux-image-cloud-amd64", Support::Refused),
    wanted("bookworm-security", "debian-security", "linux-image-cloud-amd64", Support::Full),
    wanted("bookworm-security", "debian-security", "linux-image-6.12-cloud-amd64", Support::Full),
    optional("trixie-security", "debian-security"),
    optional("trixie-backports", "debian"),
    optional("sid", "debian"),
    optional("experimental", "debian"),
];

const fn wanted(
    suite: &'static str,
    repository: &'static str,
    package: &'static str,
    support: Support,
) -> Wanted {
    Wanted { suite, repository, package, support, optional: false }
}

const fn optional(suite: &'static str, repository: &'static str) -> Wanted {
    Wanted { suite, repository, package: "linux-image-cloud-amd64", support: Support::Full, optional: true }
}

impl Wanted {
    /// From the cache or the mirror; the error is why it can't be had.
    pub(super) fn get(&self) -> Result<Kernel> {
        let text =
            sh::output(super::script("get-kernel.sh").args([self.suite, self.repository, self.package]))
                .with_context(|| format!("no {} from {}", self.package, self.suite))?;
        let version = text.lines().last().unwrap_or_default().trim().to_owned();
        if version.is_empty() {
            bail!("{} has no {}", self.suite, self.package);
        }
        Ok(Kernel { version })
    }
}

/// The wanted kernel whose version starts so.
pub(super) fn find(start: &str) -> Result<Kernel> {
    WANTED
        .iter()
        .filter_map(|wanted| wanted.get().ok())
        .find(|kernel| kernel.is(start))
        .with_context(|| format!("no kernel {start} in the matrix"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_match_at_a_boundary() {
        let kernel = Kernel { version: "6.12.117+deb12-cloud-amd64".to_owned() };
        assert!(kernel.is("6.12"));
        assert!(!kernel.is("6.1"));
    }
}
