//! Workloads that count for themselves and print the truth as one line of JSON. Static-able; needs no users, shell or libc data.
#![deny(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command line program talks on standard output")]

mod assault;
mod changes;
mod contents;
mod crowd;
mod daemon;
mod execs;
mod files;
mod keep;
mod masses;
mod odd;
mod races;
mod reach;
mod relay;
mod rights;
mod say;
mod show;
mod starts;
mod storm;
mod system;
mod uring;
mod ways;

use std::{io, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use recorder_tests::human;

/// Workloads for the recorder's suites and benchmarks.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Do nothing, successfully; the arguments are what matters
    Noop {
        /// Whatever
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<std::ffi::OsString>,
    },
    /// As root without a loginuid: become a logged-in user and run a program
    Human {
        /// User id, which also becomes the loginuid
        #[arg(long)]
        uid: u32,
        /// Group id
        #[arg(long)]
        gid: u32,
        /// Name for the environment
        #[arg(long)]
        name: String,
        /// Home directory
        #[arg(long)]
        home: PathBuf,
        /// The program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        argv: Vec<String>,
    },
    /// From a setuid-root copy of this file: become root and run a program
    Elevate {
        /// The program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        argv: Vec<String>,
    },
    /// Have files open, and mapped, until standard input ends
    Keep(keep::Args),
    /// Say something to a socket and wait for an answer
    Say(say::Args),
    /// Start one job, as a daemon does that is named like this file
    Daemon(daemon::Args),
    /// Do nothing until a file is there
    Hold(contents::Hold),
    /// Run a program out of memory
    Memfd(contents::Memfd),
    /// Change files in every way
    Edits(contents::Edits),
    /// Sessions in masses, and all that there may be too much of
    Crowd(crowd::Args),
    /// One of them
    Inside(crowd::Inside),
    /// One level of many
    Deeper(crowd::Below),
    /// Many execs with unique arguments
    Execs(execs::Args),
    /// Creates, renames, unlinks and failing opens with unique names
    Files(files::Args),
    /// Links, directories, nodes, modes, owners, times, attributes, space
    Changes(changes::Args),
    /// Files reached, written and copied in other ways than by their names
    Ways(ways::Args),
    /// Writes to descriptors that others opened
    Older(ways::Older),
    /// Names of every form, and acts in masses
    Masses(masses::Args),
    /// Mounts, namespaces, names, sockets
    System(system::Args),
    /// Programs that can't be started, mapped files, a 32-bit program, long arguments
    Starts(starts::Args),
    /// Programs whose arguments and paths are changed while they are started
    Races(races::Args),
    /// Write down what this program was given
    Told(races::Told),
    /// Terminal output with a known hash
    Show(show::Args),
    /// Take hold of another process: ptrace, its memory, its descriptors
    Reach(reach::Args),
    /// Stop one thread of another process
    Halt(reach::Halt),
    /// Try to blind or end a recorder
    Assault(assault::Args),
    /// A program on a terminal inside this one, as sudo and script do it
    Relay(relay::Args),
    /// Rights used and refused, users changed to, a set-user-id program passed through
    Rights(rights::Args),
    /// Odd bytes: names, arguments, sizes
    Odd(odd::Args),
    /// One measured load for the benchmarks
    Storm(storm::Args),
}

fn main() -> ExitCode {
    // Thousands of these are started, on emulated machines too: nothing is parsed.
    if std::env::args_os().nth(1).is_some_and(|word| word == "noop") {
        return ExitCode::SUCCESS;
    }
    match run(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("recorder-workload: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Noop { rest: _ } => Ok(()),
        Command::Human { uid, gid, name, home, argv } => {
            Err(human::log_in(uid, gid, &name, &home, &argv).into())
        }
        Command::Elevate { argv } => Err(human::elevate(&argv).into()),
        Command::Keep(args) => keep::run(&args),
        Command::Say(args) => say::run(&args),
        Command::Daemon(args) => daemon::run(&args),
        Command::Hold(args) => contents::wait(&args),
        Command::Memfd(args) => contents::memfd(&args),
        Command::Edits(args) => contents::edits(&args),
        Command::Crowd(args) => crowd::run(&args),
        Command::Inside(args) => crowd::inside(&args),
        Command::Deeper(args) => crowd::deeper(&args),
        Command::Execs(args) => execs::run(&args),
        Command::Files(args) => files::run(&args),
        Command::Changes(args) => changes::run(&args),
        Command::Ways(args) => ways::run(&args),
        Command::Older(args) => ways::older(&args),
        Command::Masses(args) => masses::run(&args),
        Command::System(args) => system::run(&args),
        Command::Starts(args) => starts::run(&args),
        Command::Races(args) => races::run(&args),
        Command::Told(args) => races::tell(&args),
        Command::Show(args) => show::run(&args),
        Command::Odd(args) => odd::run(&args),
        Command::Reach(args) => reach::run(&args),
        Command::Halt(args) => reach::halt(&args),
        Command::Assault(args) => assault::run(&args),
        Command::Relay(args) => relay::run(&args),
        Command::Rights(args) => rights::run(&args),
        Command::Storm(args) => storm::run(&args),
    }
}

/// Prints the truth, or writes it where a terminal would garble it.
fn tell(truth: &serde_json::Value, file: Option<&PathBuf>) -> io::Result<()> {
    let Some(path) = file else {
        println!("{truth}");
        return Ok(());
    };
    // Appears whole or not at all: its existence is the signal that the work is done.
    let fresh = path.with_extension("part");
    std::fs::write(&fresh, truth.to_string())?;
    std::fs::rename(&fresh, path)
}
