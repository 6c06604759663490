//! Grants in the daemon: documents come in from a directory and over the socket, the book is kept, and every stretch of every session gets
//! its coverage. The rules are `grant`'s; here are the files, the clock and the records.

mod desk;
mod enforce;
mod intake;
mod logins;
mod memory;
mod recall;
mod watch;

pub(super) use desk::{Added, Desk};
pub(super) use enforce::Enforcer;
pub(super) use logins::{Logins, person_of};
