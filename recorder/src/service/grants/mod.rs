//! Grants in the daemon: documents come in from a directory, the book is kept, and every stretch of every session gets
//! its coverage. The rules are `grant`'s; here are the files, the clock and the records.

mod desk;
mod enforce;
mod intake;
mod memory;
mod watch;

pub(super) use desk::Desk;
