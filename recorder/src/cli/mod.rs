//! The edge: one file per subcommand; the only place for printing and exit codes. docs/cli.md is the law.
//!
//! A subcommand is one file with its `Args` and a `run(args, io) -> Result<u8, Failure>`, one variant of [`Command`] and
//! one arm in [`dispatch`].

mod args;
mod brief;
mod checkpoint;
mod contents;
mod control;
#[cfg(feature = "service")]
mod doctor;
mod events;
mod files;
mod grant;
mod identity;
mod io;
mod journal;
mod key;
mod paint;
#[cfg(feature = "service")]
mod papers;
mod play;
mod programs;
mod reader;
mod replay;
mod retention;
#[cfg(feature = "service")]
mod run;
mod sessions;
mod setup;
mod status;
mod table;
mod timeline;
mod tried;
mod verify;
#[cfg(feature = "service")]
mod witness;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

pub(crate) use self::io::{Failure, Io};
pub use self::reader::main as reader_main;

/// Exit code for a command line that makes no sense.
const USAGE: u8 = 64;

/// Host session recorder.
#[derive(Debug, Parser)]
#[command(name = "recorder", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write this host's configuration: who may read its journal, and where it lies
    Setup(setup::Args),
    /// Record: the service in the foreground
    #[cfg(feature = "service")]
    Run(run::Args),
    /// Say what this kernel offers and what can't be seen
    #[cfg(feature = "service")]
    Doctor(doctor::Args),
    /// Say whether you are recorded, since when, under which grant, and how much time is left
    Status(status::Args),
    /// List the sessions of a journal
    Sessions(sessions::Args),
    /// Print records in journal order
    Events(events::Args),
    /// Tell one session as a readable story
    Timeline(timeline::Args),
    /// Play the terminal of a session
    Replay(replay::Args),
    /// Check a journal and say everything that was found
    Verify(verify::Args),
    /// Show the public parts of a journal's keys
    Key(key::Args),
    /// Print the signed note of where the log stands, to be kept elsewhere
    Checkpoint(checkpoint::Args),
    /// Countersign checkpoints of other hosts' logs
    #[cfg(feature = "service")]
    Witness(witness::Args),
    /// Ask for access, answer, and check what others signed
    #[command(subcommand)]
    Grant(grant::Command),
    /// Delete what is old by a signed permit, and keep what is held
    #[command(subcommand)]
    Retention(retention::Command),
    /// Man pages and completions, for the package
    #[cfg(feature = "service")]
    #[command(hide = true)]
    Papers(papers::Args),
}

fn dispatch(command: &Command, io: &mut Io<'_>) -> Result<u8, Failure> {
    match command {
        Command::Setup(args) => setup::run(args, io),
        #[cfg(feature = "service")]
        Command::Run(args) => run::run(args, io),
        #[cfg(feature = "service")]
        Command::Doctor(args) => doctor::run(args, io),
        Command::Status(args) => status::run(args, io),
        Command::Sessions(args) => sessions::run(args, io),
        Command::Events(args) => events::run(args, io),
        Command::Timeline(args) => timeline::run(args, io),
        Command::Replay(args) => replay::run(args, io),
        Command::Verify(args) => verify::run(args, io),
        Command::Key(args) => key::run(args, io),
        Command::Checkpoint(args) => checkpoint::run(args, io),
        #[cfg(feature = "service")]
        Command::Witness(args) => witness::run(args, io),
        Command::Grant(command) => grant::run(command, io),
        Command::Retention(command) => retention::run(command, io),
        #[cfg(feature = "service")]
        Command::Papers(args) => papers::run(args, io),
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    // The program that the exec canary starts: nothing may happen before it ends.
    #[cfg(feature = "service")]
    if std::env::args_os().nth(1).is_some_and(|a| a == crate::capture::EXIT_ARGUMENT) {
        return ExitCode::SUCCESS;
    }
    crate::replay::quiet_contained_panics();
    Io::with_process(|io| ExitCode::from(execute(std::env::args_os(), io)))
}

/// Parses and runs; every error becomes one line and an exit code here.
fn execute(args: impl IntoIterator<Item = std::ffi::OsString>, io: &mut Io<'_>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, "recorder", io),
    };
    finish(dispatch(&cli.command, io), io)
}

/// What was printed goes out; a failure becomes its line and code.
fn finish(done: Result<u8, Failure>, io: &mut Io<'_>) -> u8 {
    match done.and_then(|code| io.out.flush().map(|()| code).map_err(Failure::from)) {
        Ok(code) => code,
        Err(failure) => {
            // What was printed so far stays; a closed pipe says nothing and is no error.
            let _ = io.out.flush();
            failure.report(io)
        }
    }
}

/// Help and version are clap's; an error becomes one line. clap's exit code 2 means something else here.
fn refuse(error: &clap::Error, program: &str, io: &mut Io<'_>) -> u8 {
    let text = error.render();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let color = io.color();
            let printed = if color { write!(io.out, "{}", text.ansi()) } else { write!(io.out, "{text}") };
            printed.and_then(|()| io.out.flush()).map_or_else(|e| Failure::from(e).report(io), |()| 0)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = write!(io.err, "{text}");
            USAGE
        }
        _ => {
            let text = text.to_string();
            let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
            let line = lines.collect::<Vec<_>>().join(" ");
            let line = line.strip_prefix("error: ").unwrap_or(&line);
            Failure::Usage(format!("{line}; see `{program} --help`")).report(io)
        }
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod permissions;
#[cfg(test)]
mod redacted;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;
