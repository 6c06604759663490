//! Terminal output in pieces that a reader would make.
//!
//! The line discipline hands a line to the terminal in two to ten calls, and `fexit` on pty_write sees each of them: one
//! record per call would cost twenty times the bytes shown. Pieces of one terminal, written by one thread within a
//! moment, become one record with the time of the first; whatever else the session does in between ends it, so no
//! record moves past another. Output of the session's other terminals may lie in between: sudo copies every piece from
//! its inner terminal to the outer one.

use crate::model::{Act, Captured, KernelEvent, Mark, TtyAct, TtyOp};

/// From the first byte to the last of one record: a hundredth of a second, below what replay can show.
const MOMENT_NS: u64 = 10_000_000;
/// A record that reached this many bytes grows no further.
const ENOUGH: usize = 32 * 1024;

/// Output records of one drain that may still grow.
#[derive(Default)]
pub(super) struct Joiner {
    growing: Vec<Growing>,
}

struct Growing {
    mark: Mark,
    /// The terminal.
    key: u64,
    /// Position in what was given out.
    at: usize,
}

impl Joiner {
    /// Adds an event to `out`, or its bytes to an event that is there already.
    pub(super) fn push(&mut self, out: &mut Vec<Captured>, event: KernelEvent) {
        if let Act::Tty(TtyOp::Output, more) = &event.act {
            let known = self.growing.iter_mut().find(|g| g.mark == event.mark && g.key == more.key);
            if let Some(growing) = known {
                if let Some(Captured::Event(first)) = out.get_mut(growing.at)
                    && let Some(data) = extensible(first, &event, more)
                {
                    data.extend(&more.data);
                    return;
                }
                growing.at = out.len();
            } else {
                self.growing.push(Growing { mark: event.mark, key: more.key, at: out.len() });
            }
        } else {
            self.growing.retain(|g| g.mark != event.mark);
        }
        out.push(Captured::Event(Box::new(event)));
    }
}

/// The bytes of `first` if `next` may be added to them.
fn extensible<'a>(
    first: &'a mut KernelEvent,
    next: &KernelEvent,
    more: &TtyAct,
) -> Option<&'a mut crate::model::Bytes> {
    let near = next.boot_ns.get().saturating_sub(first.boot_ns.get()) <= MOMENT_NS;
    if !near || first.task != next.task || first.place != next.place || first.flags != next.flags {
        return None;
    }
    let Act::Tty(TtyOp::Output, act) = &mut first.act else { return None };
    let same = act.cols == more.cols && act.rows == more.rows && act.name == more.name;
    (same && act.data.len() < ENOUGH).then_some(&mut act.data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BootNanos, Bytes, Flags, Task, TaskId};
    use std::sync::Arc;

    fn output(ms: u64, pid: u32, tty: u64, text: &str) -> KernelEvent {
        let act = TtyAct {
            key: tty,
            is_new: false,
            name: Bytes::from(format!("pts/{tty}").as_str()),
            data: Bytes::from(text),
            hidden: 0,
            cols: 80,
            rows: 24,
        };
        event(ms, pid, Act::Tty(TtyOp::Output, act))
    }

    fn event(ms: u64, pid: u32, act: Act) -> KernelEvent {
        let id = TaskId { pid, start: BootNanos::new(1) };
        let task = Arc::new(Task { id, ..Task::default() });
        let boot_ns = BootNanos::new(ms * 1_000_000);
        let (mark, flags, place) = (Mark::new(1), Flags::default(), crate::model::Place::default());
        KernelEvent { boot_ns, cpu: 0, mark, flags, task, place, act }
    }

    fn joined(events: Vec<KernelEvent>) -> Vec<String> {
        let (mut joiner, mut out) = (Joiner::default(), Vec::new());
        for event in events {
            joiner.push(&mut out, event);
        }
        let show = |item: &Captured| match item {
            Captured::Event(e) => match &e.act {
                Act::Tty(_, act) => format!("{}:{}", act.key, act.data.escaped()),
                _ => "other".to_owned(),
            },
            Captured::Lost(_) => "lost".to_owned(),
        };
        out.iter().map(show).collect()
    }

    #[test]
    fn pieces_of_a_moment_become_one_across_other_terminals() {
        let events =
            vec![output(1, 7, 0, "a"), output(2, 7, 1, "x"), output(3, 7, 0, "b"), output(4, 7, 1, "y")];
        assert_eq!(joined(events), ["0:ab", "1:xy"]);
    }

    #[test]
    fn another_writer_or_a_later_moment_begins_a_new_record() {
        let events =
            vec![output(1, 7, 0, "a"), output(2, 8, 0, "b"), output(20, 8, 0, "c"), output(21, 8, 0, "d")];
        assert_eq!(joined(events), ["0:a", "0:b", "0:cd"]);
    }

    #[test]
    fn nothing_moves_past_another_act_of_the_session() {
        let fork = event(2, 7, Act::Fork(TaskId { pid: 9, start: BootNanos::new(2) }));
        assert_eq!(joined(vec![output(1, 7, 0, "a"), fork, output(3, 7, 0, "b")]), ["0:a", "other", "0:b"]);
    }

    #[test]
    fn a_record_stops_growing_when_it_is_long() {
        let long = "x".repeat(ENOUGH);
        assert_eq!(joined(vec![output(1, 7, 0, &long), output(1, 7, 0, "b")]).len(), 2);
    }
}
