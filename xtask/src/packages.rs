//! Debian packages: what is missing is installed as root, or named.

use std::{path::Path, process::Command, sync::OnceLock};

use anyhow::Result;

use crate::{missing::Missing, sh};

/// A package, and the sign by which its content is found on any distribution.
#[derive(Clone, Copy)]
pub(crate) struct Need {
    pub(crate) package: &'static str,
    pub(crate) sign: Sign,
}

/// How to see that the content is there.
#[derive(Clone, Copy)]
pub(crate) enum Sign {
    /// Any of these programs, by PATH.
    Program(&'static [&'static str]),
    /// A path.
    Path(&'static str),
}

impl Need {
    pub(crate) const fn program(package: &'static str, names: &'static [&'static str]) -> Self {
        Self { package, sign: Sign::Program(names) }
    }

    pub(crate) const fn path(package: &'static str, path: &'static str) -> Self {
        Self { package, sign: Sign::Path(path) }
    }

    fn is_met(&self) -> bool {
        match self.sign {
            Sign::Program(names) => names.iter().any(|name| sh::which(name).is_some()),
            Sign::Path(path) => Path::new(path).exists(),
        }
    }
}

/// Installs what is missing. Not root, or no apt-get: names the packages (exit 69).
pub(crate) fn ensure(purpose: &str, needs: &[Need]) -> Result<()> {
    let missing: Vec<_> = needs.iter().filter(|need| !need.is_met()).map(|need| need.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !sh::is_root() || sh::which("apt-get").is_none() {
        return Err(Missing(format!(
            "{purpose}: missing packages (Debian names): {list}. As root: apt-get install --no-install-recommends {list}"
        ))
        .into());
    }
    println!("setup: {purpose}: installing {list}");
    update_once()?;
    sh::run(
        apt()
            .args(["install", "-y", "-q", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"])
            .args(&missing),
    )?;
    let still: Vec<_> = needs.iter().filter(|need| !need.is_met()).map(|need| need.package).collect();
    if still.is_empty() {
        return Ok(());
    }
    Err(Missing(format!("{purpose}: installed, and yet not found: {}", still.join(" "))).into())
}

/// Whether apt can install the package here.
pub(crate) fn available(package: &str) -> bool {
    sh::which("apt-cache").is_some()
        && sh::output(Command::new("apt-cache").args(["policy", package])).is_ok_and(|text| {
            text.lines().any(|l| l.trim().starts_with("Candidate:") && !l.contains("(none)"))
        })
}

/// Refreshes apt's lists once per run of xtask.
pub(crate) fn update_once() -> Result<()> {
    static DONE: OnceLock<()> = OnceLock::new();
    if DONE.get().is_none() {
        sh::run(apt().args(["update", "-q"]))?;
        let _ = DONE.set(());
    }
    Ok(())
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
