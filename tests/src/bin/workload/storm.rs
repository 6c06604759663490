//! The loads of docs/performance.md, one at a time. The time is taken here, inside, so that starting up is not measured.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::json;

use crate::show::{Dice, line};

/// Which load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Load {
    /// W1: fork and exec
    Exec,
    /// W2: open and close, existing files
    Open,
    /// W2b: create, rename, unlink
    Change,
    /// W4: terminal flood
    Flood,
    /// W5: give every key back
    Echo,
    /// Set the uid to what it is
    Cred,
    /// Send a byte to a socket and take it
    Send,
    /// Write a byte to a pipe and read it
    Pipe,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which load
    #[arg(value_enum)]
    load: Load,
    /// Operations; bytes for the flood; keys for the echo
    #[arg(long)]
    count: u64,
    /// Directory to work in
    #[arg(long)]
    dir: PathBuf,
    /// Write the truth here
    #[arg(long)]
    truth: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    fs::create_dir_all(&args.dir)?;
    let cpu_before = cpu();
    let start = Instant::now();
    let done = match args.load {
        Load::Exec => execs(args.count)?,
        Load::Open => opens(args)?,
        Load::Change => changes(args)?,
        Load::Flood => flood(args.count)?,
        Load::Echo => echo(args.count)?,
        Load::Cred => creds(args.count)?,
        Load::Send => {
            let (one, other) = UnixStream::pair()?;
            to_and_fro(one, other, args.count)?
        }
        Load::Pipe => {
            let (from, to) = io::pipe()?;
            to_and_fro(from, to, args.count)?
        }
    };
    let wall = start.elapsed();
    let truth = json!({
        "load": format!("{:?}", args.load).to_lowercase(), "done": done, "wall_s": wall.as_secs_f64(), "cpu_s": cpu() - cpu_before,
    });
    super::tell(&truth, Some(&args.truth))?;
    Ok(())
}

fn execs(count: u64) -> Result<u64> {
    let me = env::current_exe()?;
    for number in 0..count {
        Command::new(&me)
            .args(["noop", &format!("w1-{number}")])
            .stdin(Stdio::null())
            .status()
            .context("spawn")?;
    }
    Ok(count)
}

fn opens(args: &Args) -> Result<u64> {
    const FILES: u64 = 64;
    let paths: Vec<_> = (0..FILES).map(|n| args.dir.join(format!("w2-{n}"))).collect();
    for path in &paths {
        File::create(path)?;
    }
    for path in paths.iter().cycle().take(usize::try_from(args.count)?) {
        // For writing: reads of the same file are folded by design, and the fold is not what is measured.
        OpenOptions::new().write(true).open(path)?;
    }
    Ok(args.count)
}

fn changes(args: &Args) -> Result<u64> {
    let (born, moved) = (args.dir.join("w2b-born"), args.dir.join("w2b-moved"));
    for _ in 0..args.count {
        File::create(&born)?;
        fs::rename(&born, &moved)?;
        fs::remove_file(&moved)?;
    }
    Ok(args.count)
}

fn flood(bytes: u64) -> Result<u64> {
    let mut dice = Dice::new(4);
    let mut text = String::new();
    let mut number = 0;
    while text.len() < 1 << 20 {
        line(&mut dice, number, &mut text);
        number += 1;
    }
    let mut stdout = io::stdout().lock();
    let mut done = 0u64;
    while done < bytes {
        for chunk in text.as_bytes().chunks(4096) {
            stdout.write_all(chunk)?;
        }
        done += u64::try_from(text.len())?;
    }
    stdout.flush()?;
    Ok(done)
}

/// The caller has put the terminal into raw mode and takes the times; this side only answers.
fn echo(keys: u64) -> Result<u64> {
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout().lock());
    let mut key = [0u8; 1];
    for _ in 0..keys {
        stdin.read_exact(&mut key)?;
        stdout.write_all(&key)?;
        stdout.flush()?;
    }
    Ok(keys)
}

fn creds(count: u64) -> Result<u64> {
    for _ in 0..count {
        // The raw call, which changes this thread only, and to what it already is.
        rustix::thread::set_thread_uid(rustix::process::getuid())?;
    }
    Ok(count)
}

fn to_and_fro(mut from: impl Read, mut to: impl Write, count: u64) -> Result<u64> {
    let mut byte = [0u8; 1];
    for _ in 0..count {
        to.write_all(b"b")?;
        from.read_exact(&mut byte)?;
    }
    Ok(count)
}

/// Seconds of processor time of this process and its waited-for children.
fn cpu() -> f64 {
    // Fields 14 to 17 behind the parenthesised name, in ticks of 1/100 s on every Linux architecture.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = stat.rsplit(')').next().unwrap_or_default();
    behind.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>()
        / 100.0
}
