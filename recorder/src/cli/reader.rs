//! `recorder-verify`: the commands that read a journal, and nothing that records. Without a subcommand it verifies.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::{Failure, Io, events, finish, refuse, replay, sessions, timeline, verify};

/// Verifies and reads a journal; records nothing and needs no privilege.
#[derive(Debug, Parser)]
#[command(
    name = "recorder-verify",
    version,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    after_help = "Without a subcommand: verify. A journal named like a subcommand is given as ./NAME."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    verify: verify::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a journal and say everything that was found
    Verify(verify::Args),
    /// List the sessions of a journal
    Sessions(sessions::Args),
    /// Print records in journal order
    Events(events::Args),
    /// Tell one session as a readable story
    Timeline(timeline::Args),
    /// Play the terminal of a session
    Replay(replay::Args),
}

fn dispatch(cli: &Cli, io: &mut Io<'_>) -> Result<u8, Failure> {
    match &cli.command {
        None => verify::run(&cli.verify, io),
        Some(Command::Verify(args)) => verify::run(args, io),
        Some(Command::Sessions(args)) => sessions::run(args, io),
        Some(Command::Events(args)) => events::run(args, io),
        Some(Command::Timeline(args)) => timeline::run(args, io),
        Some(Command::Replay(args)) => replay::run(args, io),
    }
}

/// Its definition, for man pages and completions.
#[cfg(feature = "service")]
pub(crate) fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs the command line of `recorder-verify`.
pub fn main() -> ExitCode {
    crate::replay::quiet_contained_panics();
    Io::with_process(|io| ExitCode::from(execute(std::env::args_os(), io)))
}

fn execute(args: impl IntoIterator<Item = OsString>, io: &mut Io<'_>) -> u8 {
    match Cli::try_parse_from(args) {
        Ok(cli) => finish(dispatch(&cli, io), io),
        Err(error) => refuse(&error, "recorder-verify", io),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::run;
    use super::*;

    fn line(args: &[&str]) -> (u8, String, String) {
        let args = std::iter::once("recorder-verify").chain(args.iter().copied()).map(OsString::from);
        let ran = run(|io| Ok(execute(args.collect::<Vec<_>>(), io)));
        (ran.code, ran.out, ran.err)
    }

    #[test]
    fn without_a_command_it_verifies_and_the_others_read() {
        let nowhere = "/nonexistent/journal";
        for args in [
            &[nowhere][..],
            &["verify", nowhere],
            &["--format", "json", nowhere],
            &["sessions", "--journal", nowhere],
        ] {
            let (code, _, err) = line(args);
            assert_eq!(code, 74, "{args:?}: {err}");
            assert!(err.contains("does not exist"), "{err}");
        }
        let (code, _, err) = line(&["run"]);
        assert_eq!(code, 74, "a directory of that name, not a service: {err}");
        let (code, out, _) = line(&["--help"]);
        assert_eq!(code, 0);
        for command in ["verify", "sessions", "events", "timeline", "replay", "--origin"] {
            assert!(out.contains(command), "{out}");
        }
        assert_eq!(line(&["--wrong"]).0, 64);
        assert!(line(&["--wrong"]).2.contains("see `recorder-verify --help`"));
    }
}
