//! A relay as sudo and script are: a program on a terminal of its own, copied byte for byte to the one outside.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::AsFd,
    process::Stdio,
    thread,
};

use anyhow::{Context, Result, ensure};
use recorder_tests::pty::{on_terminal, open_pair};
use rustix::termios::{OptionalActions, tcgetattr, tcgetwinsize, tcsetattr};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    argv: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let outside = io::stdin();
    let size = tcgetwinsize(&outside)?;
    let pair = open_pair(size.ws_col, size.ws_row)?;
    let before = tcgetattr(&outside)?;
    let mut raw = before.clone();
    raw.make_raw();
    tcsetattr(&outside, OptionalActions::Now, &raw)?;
    let mut command = on_terminal(&args.argv);
    command.stdin(Stdio::from(pair.slave.try_clone()?)).stdout(Stdio::from(pair.slave.try_clone()?));
    command.stderr(Stdio::from(pair.slave));
    let mut child = command.spawn().context("cannot start the program")?;
    drop(command);
    let mut master = File::from(pair.master);
    let mut typed = master.try_clone()?;
    let mut keys = File::from(outside.as_fd().try_clone_to_owned()?);
    thread::spawn(move || copy(&mut keys, &mut typed));
    let mut screen = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    copy(&mut master, &mut screen);
    let status = child.wait()?;
    tcsetattr(&outside, OptionalActions::Drain, &before)?;
    ensure!(status.success(), "the program ended with {status}");
    Ok(())
}

/// Until one side hangs up.
fn copy(from: &mut File, to: &mut File) {
    let mut chunk = vec![0; 65536];
    while let Ok(n @ 1..) = from.read(&mut chunk) {
        if to.write_all(chunk.get(..n).unwrap_or_default()).is_err() {
            return;
        }
    }
}
