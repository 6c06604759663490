//! Each file has three unique names in its life: created, renamed, unlinked under the new one. And opens that must fail.

use std::{
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use serde_json::json;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many files
    #[arg(long, default_value_t = 20_000)]
    count: u32,
    /// How many failing opens
    #[arg(long, default_value_t = 5000)]
    failing: u32,
    /// Directory to work in; made when absent
    #[arg(long)]
    dir: PathBuf,
    /// Write the truth here instead of printing it
    #[arg(long)]
    truth: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    fs::create_dir_all(&args.dir)?;
    let (mut created, mut renamed, mut unlinked, mut refused) = (0u32, 0u32, 0u32, 0u32);
    for number in 0..args.count {
        let born = args.dir.join(format!("born-{number}"));
        let moved = args.dir.join(format!("moved-{number}"));
        OpenOptions::new().write(true).create_new(true).open(&born).context("create")?;
        created += 1;
        fs::rename(&born, &moved).context("rename")?;
        renamed += 1;
        fs::remove_file(&moved).context("unlink")?;
        unlinked += 1;
    }
    for number in 0..args.failing {
        match File::open(args.dir.join(format!("absent-{number}"))) {
            Err(error) if error.kind() == ErrorKind::NotFound => refused += 1,
            other => bail!("open of an absent file gave {other:?}"),
        }
    }
    let truth = json!({
        "dir": fs::canonicalize(&args.dir)?.to_string_lossy(), "create": created, "rename": renamed, "unlink": unlinked, "failing": refused,
    });
    super::tell(&truth, args.truth.as_ref())?;
    Ok(())
}
