//! What there may be too much of: sessions, one process below the other, programs that can't be started, addressees.

use std::{
    env,
    io::Read as _,
    net::{Ipv4Addr, UdpSocket},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A set-user-id copy of this program
    #[arg(long)]
    program: PathBuf,
    /// How many sessions, one after the other: each does nothing but have `PREFIX-N` as an argument
    #[arg(long)]
    sessions: u32,
    /// How many at once, all of which do what there is too much of; the first `PREFIX-at-once-N`
    #[arg(long)]
    at_once: u32,
    /// First part of each argument
    #[arg(long)]
    prefix: String,
    #[command(flatten)]
    each: Amounts,
}

#[derive(clap::Args)]
pub(crate) struct Amounts {
    /// Names of programs that are not there
    #[arg(long)]
    missing: u32,
    /// Addressees on this machine, one packet for each
    #[arg(long)]
    addressees: u32,
    /// Processes, each below the one before; the last has the argument `PREFIX-deepest`
    #[arg(long)]
    levels: u32,
}

#[derive(clap::Args)]
pub(crate) struct Inside {
    #[arg(long)]
    prefix: String,
    #[command(flatten)]
    amounts: Amounts,
}

/// As somebody who is not root.
pub(crate) fn run(args: &Args) -> Result<()> {
    for number in 0..args.sessions {
        let mut one = Command::new(&args.program);
        let status = one.args(["noop", &format!("{}-{number}", args.prefix)]).stdin(Stdio::null()).status();
        ensure!(status.context("a session")?.success(), "session {number}");
    }
    let me = env::current_exe()?;
    let mut all = Vec::new();
    for number in 0..args.at_once {
        let mut one = Command::new(&args.program);
        one.arg("elevate").arg(&me).args([
            "inside",
            "--prefix",
            &format!("{}-at-once-{number}", args.prefix),
        ]);
        for (name, amount) in [
            ("--missing", args.each.missing),
            ("--addressees", args.each.addressees),
            ("--levels", args.each.levels),
        ] {
            one.args([name, &amount.to_string()]);
        }
        let mut child = one.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("a session")?;
        let mut done = [0];
        child.stdout.as_mut().context("no pipe")?.read_exact(&mut done).context("it is not done")?;
        all.push(child);
    }
    // None ends before all are done.
    for mut child in all {
        drop(child.stdin.take());
        ensure!(child.wait()?.success(), "one of those at once");
    }
    Ok(())
}

/// In a session of its own: does it all, says so, and waits for the end of its input.
pub(crate) fn inside(args: &Inside) -> Result<()> {
    for number in 0..args.amounts.missing {
        let started = Command::new(format!("/nowhere/{}-{number}", args.prefix)).spawn();
        ensure!(started.is_err(), "there is something in /nowhere");
    }
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    for number in 0..args.amounts.addressees {
        let [_, _, high, low] = number.to_be_bytes();
        // Nobody listens, which a socket that is not connected is not told of.
        socket.send_to(b"x", (Ipv4Addr::new(127, 1, high, low), 9)).context("a packet")?;
    }
    below(&args.prefix, args.amounts.levels)?;
    print!(".");
    std::io::Write::flush(&mut std::io::stdout())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

#[derive(clap::Args)]
pub(crate) struct Below {
    prefix: String,
    levels: u32,
}

pub(crate) fn deeper(args: &Below) -> Result<()> {
    below(&args.prefix, args.levels)
}

fn below(prefix: &str, levels: u32) -> Result<()> {
    let mut next = Command::new(env::current_exe()?);
    if levels == 0 {
        next.args(["noop", &format!("{prefix}-deepest")]);
    } else {
        next.args(["deeper", prefix, &(levels - 1).to_string()]);
    }
    ensure!(next.stdin(Stdio::null()).status()?.success(), "{levels} levels above the deepest");
    Ok(())
}
