//! `recorder grant`: documents that people sign with their SSH keys, and what signatures are worth (docs/grants.md).
//!
//! Making, reading and checking documents needs no privilege and no running recorder; only `add` talks to one. `list` and
//! `show ID` read a journal.

mod add;
mod answer;
mod ask;
mod certificate;
mod check;
mod import;
pub(super) mod issue;
mod list;
mod note;
pub(super) mod read;
pub(super) mod recheck;
mod show;
mod token;
mod wish;

use clap::Subcommand;

use super::{Failure, Io};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Ask for access; without flags on a terminal it asks you
    Request(wish::RequestArgs),
    /// Allow what somebody else asked for
    Approve(answer::ApproveArgs),
    /// Say no to a request
    Reject(answer::RefuseArgs),
    /// End a grant
    Revoke(answer::RefuseArgs),
    /// Give a grant more time
    Extend(answer::ExtendArgs),
    /// Take access at once, with a reason; flagged in every report
    BreakGlass(wish::BreakGlassArgs),
    /// Tie your work to an incident without asking for anything
    Note(note::Args),
    /// Hand signed documents to the running recorder
    Add(add::Args),
    /// Make a grant of an SSH user certificate
    ImportCert(certificate::Args),
    /// Bring in what another system approved
    Import(import::Args),
    /// Allow one use of a grant on one host; prints the token
    IssueToken(token::Args),
    /// List the grants of a journal
    List(list::Args),
    /// Print one document, its signature and its signer; or one grant of a journal with its whole story
    Show(show::Args),
    /// Check documents against a list of signers
    Check(check::Args),
}

pub(super) fn run(command: &Command, io: &mut Io<'_>) -> Result<u8, Failure> {
    match command {
        Command::Request(args) => wish::request(args, io),
        Command::Approve(args) => answer::approve(args, io),
        Command::Reject(args) => answer::reject(args, io),
        Command::Revoke(args) => answer::revoke(args, io),
        Command::Extend(args) => answer::extend(args, io),
        Command::BreakGlass(args) => wish::break_glass(args, io),
        Command::Note(args) => note::run(args, io),
        Command::Add(args) => add::run(args, io),
        Command::ImportCert(args) => certificate::run(args, io),
        Command::Import(args) => import::run(args, io),
        Command::IssueToken(args) => token::run(args, io),
        Command::List(args) => list::run(args, io),
        Command::Show(args) => show::run(args, io),
        Command::Check(args) => check::run(args, io),
    }
}

#[cfg(test)]
mod tests;
