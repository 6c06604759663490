//! One readable story of a session: processes, files, credentials, screen and losses on one clock.
//!
//! [`Builder`] takes entries in journal order and keeps what a person wants to read; what it left out, it counted. With
//! `all` it leaves nothing out. Texts are safe characters or [`Bytes`], which whoever prints them escapes.

mod alone;
mod builder;
mod choice;
mod fold;
mod rights;
mod screens;
mod tree;

pub use builder::Builder;
pub use fold::{Acts, Fold, Line, Told, fold};

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{
    Body, Capability, Changed, CoverageChange, Cred, Delegation, Digested, Enforcement, Exec, Exit, File,
    FileOp, Jump, Loss, Overdue, Participant, Permissions, RealNanos, Redacted, SessionEnd, SessionStart,
    TaskContext,
};

/// One line of the story.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// When.
    pub time: RealNanos,
    /// Which process, where one did it.
    pub pid: Option<u32>,
    /// How deep it stands in the process tree, 0 for the root of the session.
    pub depth: u16,
    /// Where its process lives, if not with the host's.
    pub place: Option<Arc<TaskContext>>,
    /// What.
    pub what: What,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its status.
    pub exit: Exit,
    /// Nanoseconds after it was started.
    pub after: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The session began.
    Start(Box<SessionStart>),
    /// Whether a grant covers what follows.
    Coverage(Box<CoverageChange>),
    /// Work was handed over, or came from another session.
    Delegation(Box<Delegation>),
    /// Somebody sits at the session too.
    Participant(Box<Participant>),
    /// Secrets were taken out of what stands before it.
    Redacted(Box<Redacted>),
    /// A process outlives the grant that it was started under.
    Overdue(Overdue),
    /// What was done because no grant allowed it.
    Enforcement(Box<Enforcement>),
    /// A process moved into other namespaces, or back.
    Context(Arc<TaskContext>),
    /// A capability was refused to a program, or used (with `all`), for the first time.
    Capability(Box<Capability>),
    /// Capabilities that one program used or was refused, counted.
    Used(Vec<Capability>),
    /// What lay in a program (with `all`).
    Digest(Box<Digested>),
    /// What the session left in a file.
    Changed(Box<Changed>),
    /// As whom the session acted.
    Permissions(Box<Permissions>),
    /// The session ended.
    End(SessionEnd),
    /// A program ran.
    Exec {
        /// Which.
        exec: Exec,
        /// With this effective uid, as it started.
        euid: u32,
        /// Its end; `None` if it was not seen or another program took its place.
        ended: Option<Ended>,
    },
    /// A process ended that was not seen to start a program.
    Exit(Exit),
    /// A process was made (with `all`).
    Fork(u32),
    /// Credentials changed.
    Cred(Box<Cred>),
    /// A file act; equal acts in a row are one, with their number in `count`.
    File(FileOp, File),
    /// Another act, as it stands in the record.
    Act(Box<Body>),
    /// A terminal showed a line.
    Line {
        /// Number of the terminal.
        tty: u32,
        /// Its text.
        text: String,
    },
    /// A full-screen program had the terminal.
    FullScreen {
        /// Number of the terminal.
        tty: u32,
        /// For so long, nanoseconds.
        nanos: u64,
        /// It painted so many bytes.
        bytes: u64,
    },
    /// Lines that were left out here.
    Folded {
        /// Number of the terminal.
        tty: u32,
        /// How many.
        lines: u64,
    },
    /// A terminal appeared or has another size (with `all`, or from the second one on).
    Terminal {
        /// Number of the terminal.
        tty: u32,
        /// Its name.
        name: crate::model::Bytes,
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// Something was typed (with `all`).
    Typed {
        /// Number of the terminal.
        tty: u32,
        /// Bytes that were kept.
        data: crate::model::Bytes,
        /// Bytes that were not.
        hidden: u32,
    },
    /// Events are missing.
    Loss(Loss),
    /// Terminal bytes were cut.
    Cut {
        /// Number of the terminal.
        tty: u32,
        /// Full length of what was cut.
        bytes: u64,
    },
    /// What a terminal showed stands on another one, to which a relay copied it.
    Relayed {
        /// Number of the terminal.
        tty: u32,
        /// Number of the other one.
        to: u32,
        /// Bytes of this record.
        bytes: u64,
    },
    /// The clock stepped.
    Jump(Jump),
    /// The recorder stopped or started in the middle: what came between is not known.
    Gap(&'static str),
    /// A kind that this version doesn't know.
    Unknown(u16),
}

/// What was left out, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Opens for reading.
    pub reads: u64,
    /// Lookups of files that are not there.
    pub lookups: u64,
    /// Writes to devices that keep nothing.
    pub devices: u64,
    /// Processes made, exits of processes that started no program.
    pub processes: u64,
    /// Terminal sizes and typing.
    pub terminal: u64,
    /// Lines of the screen.
    pub lines: u64,
    /// Capabilities that were granted, at their first use.
    pub capabilities: u64,
    /// Sockets within the host (unix, netlink).
    pub sockets: u64,
    /// Digests of programs.
    pub digests: u64,
    /// Files mapped to be executed.
    pub mapped: u64,
}

/// The whole story.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Story {
    /// In order.
    pub items: Vec<Item>,
    /// What is not in it.
    pub hidden: Hidden,
    /// Of items by their number: the number of the program that they belong to.
    pub under: HashMap<usize, usize>,
}

#[cfg(test)]
mod tests;
