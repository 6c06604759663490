//! `recorder retention`: plans of what may go, permits for it, holds against it (docs/operations.md, "Retention").
//!
//! Planning, permitting and holding need no privilege and no running recorder; only `apply` talks to one.

mod apply;
mod hold;
mod permit;
mod plan;
mod signers;

use clap::Subcommand;

pub(super) use self::signers::Listed;
use super::{Failure, Io};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say which segments are old enough to go, and why others stay; deletes nothing
    Plan(plan::Args),
    /// Allow a plan: sign it, away from the host
    Permit(permit::Args),
    /// Have the running recorder delete what a permit allows
    Apply(apply::Args),
    /// Keep a session, an incident or a person's work until it is released
    Hold(hold::HoldArgs),
    /// End a hold
    Release(hold::ReleaseArgs),
    /// List holds and releases, and which are in force
    Holds(hold::ListArgs),
}

pub(super) fn run(command: &Command, io: &mut Io<'_>) -> Result<u8, Failure> {
    match command {
        Command::Plan(args) => plan::run(args, io),
        Command::Permit(args) => permit::run(args, io),
        Command::Apply(args) => apply::run(args, io),
        Command::Hold(args) => hold::hold(args, io),
        Command::Release(args) => hold::release(args, io),
        Command::Holds(args) => hold::list(args, io),
    }
}

#[cfg(test)]
mod tests;
