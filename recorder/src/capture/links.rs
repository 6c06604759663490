//! What holds the programs where they are attached, and whether it still does.

use std::thread;

use aya::programs::links::FdLink;

use crate::sys::perf;

/// How many are let go at a time.
const AT_A_TIME: usize = 16;

/// Detaches all. At each the kernel waits until no processor runs it any more, 70 ms on 6.18 for a perf event: many wait together.
pub(super) fn release(mut holds: Vec<Hold>) {
    let each = holds.len().div_ceil(AT_A_TIME);
    thread::scope(|scope| {
        while !holds.is_empty() {
            let some = holds.split_off(holds.len().saturating_sub(each));
            // Without another thread it is done here: what was moved into it is dropped either way.
            let _ = thread::Builder::new().spawn_scoped(scope, || drop(some));
        }
    });
}

/// A program at its place; detached when dropped.
pub(super) struct Hold {
    /// The program and what it is attached to.
    name: String,
    program: u32,
    by: By,
}

enum By {
    Link(FdLink, u32),
    Event(perf::Attached),
}

impl Hold {
    /// By a link of the kernel's.
    pub(super) fn link(name: String, program: u32, link: FdLink) -> Self {
        let id = link.info().map_or(0, |info| info.id());
        Self { name, program, by: By::Link(link, id) }
    }

    /// By a perf event.
    pub(super) const fn event(name: String, program: u32, event: perf::Attached) -> Self {
        Self { name, program, by: By::Event(event) }
    }

    /// `sys_exit_open at sys_exit_openat`. What held it is not closed: that descriptor may be somebody else's by now.
    pub(super) fn into_name(self) -> String {
        let Self { name, by, .. } = self;
        std::mem::forget(by);
        name
    }

    /// Begins so.
    pub(super) fn is_of(&self, programs: &str) -> bool {
        self.name.starts_with(programs)
    }

    /// Its link's number, if a link holds it.
    pub(super) const fn link_id(&self) -> Option<u32> {
        match &self.by {
            By::Link(_, id) => Some(*id),
            By::Event(_) => None,
        }
    }

    /// True if the kernel says that it does, by our descriptor, which may be none of ours any more.
    pub(super) fn holds(&self) -> bool {
        match &self.by {
            By::Link(link, id) => {
                link.info().is_ok_and(|info| info.id() == *id && info.program_id() == self.program)
            }
            By::Event(event) => event.has(self.program).unwrap_or(false),
        }
    }
}
