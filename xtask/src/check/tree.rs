//! Files: their length, and that none names a directory of the machine it was written on.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::Result;

use crate::sh;

/// docs/architecture.md: no file over about 500 lines.
const MAX_LINES: usize = 500;

/// Rust files that are too long.
pub(super) fn too_long() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in files()?.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "rs")) {
        let lines = fs::read_to_string(sh::root().join(&path))?.lines().count();
        if lines > MAX_LINES {
            found.push(format!("{}: {lines} lines, {MAX_LINES} are allowed", path.display()));
        }
    }
    Ok(found)
}

/// Lines that name the checkout, the developer's tool directories or caches.
pub(super) fn machine_paths() -> Result<Vec<String>> {
    let mut needles = vec![sh::root().display().to_string()];
    for name in ["CARGO_HOME", "RUSTUP_HOME"] {
        needles.extend(env::var(name));
    }
    if let Ok(home) = env::var("HOME") {
        needles.extend([".cargo", ".rustup", ".cache"].map(|dir| format!("{home}/{dir}")));
    }
    // A path as short as `/` would match everything.
    needles.retain(|needle| needle.len() > 4);
    let mut found = Vec::new();
    for path in files()? {
        let Ok(text) = fs::read_to_string(sh::root().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(needle) = needles.iter().find(|needle| line.contains(needle.as_str())) {
                found.push(format!("{}:{}: names {needle}", path.display(), number + 1));
            }
        }
    }
    Ok(found)
}

/// Files of the project that exist: tracked, or new and not ignored.
fn files() -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.current_dir(sh::root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let list = sh::output(&mut git)?;
    let mut files: Vec<_> = list.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    files.retain(|path| sh::root().join(path).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}
