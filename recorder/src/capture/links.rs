//! What holds the programs where they are attached, and whether it still does.

use aya::programs::links::FdLink;

use crate::sys::perf;

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
