//! Execs with unique arguments: half by vfork or posix_spawn (how std starts programs), half by a shell's fork.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::json;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many in all
    #[arg(long, default_value_t = 4000)]
    count: u32,
    /// First part of each argument; `-v-N` and `-s-N` follow
    #[arg(long)]
    prefix: String,
    /// Write the truth here instead of printing it
    #[arg(long)]
    truth: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let me = env::current_exe()?;
    let half = args.count / 2;
    let mut done = 0u32;
    for number in 0..half {
        let status = Command::new(&me)
            .args(["noop", &format!("{}-v-{number}", args.prefix)])
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("spawn {number}"))?;
        if status.success() {
            done += 1;
        }
    }
    let by_shell = args.count - half;
    // `set -e`: a failed exec ends the loop, so the exit code vouches for the count.
    let script = r#"set -e; i=0; while [ $i -lt "$2" ]; do "$0" noop "$1-s-$i"; i=$((i+1)); done"#;
    let shell = Command::new("sh")
        .args(["-c", script])
        .arg(&me)
        .args([&args.prefix, &by_shell.to_string()])
        .stdin(Stdio::null())
        .status()
        .context("sh")?;
    if !shell.success() {
        bail!("the shell's loop ended with {shell}");
    }
    let truth = json!({"prefix": args.prefix, "spawned": done, "shell": by_shell, "count": done + by_shell});
    super::tell(&truth, args.truth.as_ref())?;
    Ok(())
}
