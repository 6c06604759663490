//! `cargo xtask build-verify`: the reader alone, as one static file for people who won't install a recorder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};

use crate::{build, sh};

/// What the reader must not bring along: whatever loads kernel programs or serves. The facade `log` is neither, and age needs it.
const FOREIGN: &[&str] = &["aya", "aya-log", "aya-obj", "tokio", "recorder-common", "tracing"];
/// Program header of a file that asks for a dynamic loader.
const PT_INTERP: u32 = 3;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only say whether the dependencies are right
    #[arg(long)]
    tree: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let found = foreign()?;
    if !found.is_empty() {
        bail!("recorder-verify depends on {}", found.join(", "));
    }
    if args.tree {
        println!("build-verify: no foreign dependency");
        return Ok(ExitCode::SUCCESS);
    }
    let path = reader()?;
    let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
    println!("build-verify: {} ({:.1} MB, static, without aya)", path.display(), megabytes(bytes.len()));
    Ok(ExitCode::SUCCESS)
}

/// Builds it, looks at it, and starts it once.
pub(crate) fn reader() -> Result<PathBuf> {
    let (mut cargo, dir) = build::static_build(build::Finish::Shipped);
    sh::run(cargo.args(["-p", "recorder", "--no-default-features", "--bin", "recorder-verify"]))?;
    let path = dir.join("recorder-verify");
    let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
    judge(&bytes).with_context(|| path.display().to_string())?;
    answers(&path)?;
    Ok(path)
}

/// Dependencies of the reader that it must not have, by the lock file.
pub(crate) fn foreign() -> Result<Vec<String>> {
    let tree = sh::output(sh::cargo().args([
        "tree",
        "--locked",
        "-p",
        "recorder",
        "--no-default-features",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    Ok(foreign_of(&tree))
}

fn foreign_of(tree: &str) -> Vec<String> {
    let mut found: Vec<String> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| FOREIGN.contains(name))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// A static program in which no code of aya was linked.
fn judge(elf: &[u8]) -> Result<()> {
    if asks_for_loader(elf).context("no 64-bit little-endian ELF file")? {
        bail!("is not static: it asks for a dynamic loader");
    }
    // Places in panic messages and in line tables name the crate.
    for needle in ["/aya-0.", "/aya-obj-0.", "/tokio-1."] {
        if elf.windows(needle.len()).any(|window| window == needle.as_bytes()) {
            bail!("holds code of {needle}");
        }
    }
    Ok(())
}

fn asks_for_loader(elf: &[u8]) -> Option<bool> {
    let number = |at: usize, len: usize| -> Option<usize> {
        let mut raw = [0u8; 8];
        raw.get_mut(..len)?.copy_from_slice(elf.get(at..at.checked_add(len)?)?);
        usize::try_from(u64::from_le_bytes(raw)).ok()
    };
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for n in 0..count {
        let kind = number(table.checked_add(n.checked_mul(size)?)?, 4)?;
        if u32::try_from(kind) == Ok(PT_INTERP) {
            return Some(true);
        }
    }
    Some(false)
}

/// It starts without anything around it.
fn answers(path: &Path) -> Result<()> {
    let text = sh::output(std::process::Command::new(path).env_clear().arg("--version"))?;
    if text.starts_with("recorder-verify ") { Ok(()) } else { bail!("--version says {text:?}") }
}

fn megabytes(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_dependencies_are_named() {
        let tree = "recorder v0.1.0 (/x)\nclap v4.6.0\naya v0.14.0\ntokio v1.54.0 (*)\naya v0.14.0 (*)\nlogos v1.0.0\n";
        assert_eq!(foreign_of(tree), ["aya", "tokio"]);
    }

    #[test]
    fn the_reader_has_none() {
        assert_eq!(foreign().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_dynamic_program_and_linked_code_are_seen() {
        let own = fs::read("/proc/self/exe").unwrap();
        assert_eq!(asks_for_loader(&own), Some(true), "tests are linked dynamically");
        assert_eq!(asks_for_loader(b"#!/bin/sh"), None);
        let mut elf = vec![0u8; 120];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (elf[32], elf[54], elf[56], elf[64]) = (64, 56, 1, 1);
        assert!(judge(&elf).is_ok());
        elf[64] = 3;
        assert!(judge(&elf).unwrap_err().to_string().contains("dynamic loader"));
        elf[64] = 1;
        elf.extend_from_slice(b"/registry/aya-0.14.0/src/lib.rs");
        assert!(judge(&elf).is_err());
    }
}
