//! Man pages and completions: the programs write them of their own definitions.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::Built;
use crate::sh;

/// Puts completions into a directory, and the pages, packed, into `man` below it.
pub(super) fn make(built: &Built, to: &Path) -> Result<()> {
    fs::create_dir_all(to.join("man"))?;
    sh::run(sh::clean(&built.recorder).arg("papers").arg(to))?;
    for entry in fs::read_dir(to)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "1") {
            let name = path.file_name().context("a page without a name")?;
            let page = to.join("man").join(name);
            fs::rename(&path, &page)?;
            // -n: neither name nor time, which are different each time.
            sh::output(sh::clean("gzip").args(["-9", "-n", "-f"]).arg(&page))?;
        }
    }
    Ok(())
}
