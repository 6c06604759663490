//! Says something to a socket, as a client of a daemon does, and waits for an answer.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
};

use anyhow::{Context, Result};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The socket
    socket: PathBuf,
    /// What to say, in one write
    file: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut stream = UnixStream::connect(&args.socket).with_context(|| args.socket.display().to_string())?;
    stream.write_all(&fs::read(&args.file)?)?;
    let mut answer = [0];
    stream.read_exact(&mut answer).context("no answer")
}
