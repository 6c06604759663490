//! What a daemon that runs jobs does with one of them: a process of its own, perhaps with the job on its standard input.

use std::{fs::File, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The job's standard input
    #[arg(long)]
    stdin: Option<PathBuf>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    argv: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (program, rest) = args.argv.split_first().context("no program")?;
    let mut command = Command::new(program);
    if let Some(path) = &args.stdin {
        command.stdin(File::open(path).with_context(|| path.display().to_string())?);
    }
    let status = command.args(rest).status().with_context(|| program.clone())?;
    if status.success() { Ok(()) } else { bail!("{program} ended with {status}") }
}
