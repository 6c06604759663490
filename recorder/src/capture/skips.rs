//! Runs of our programs that the kernel left out, because the same program was at work on that processor already: where it may
//! preempt itself this happens, and no counter of the programs' own can know of it. The kernel counts it (5.12).

use std::{collections::HashMap, fs, os::fd::AsRawFd as _};

use aya::Ebpf;

use crate::model::{Bytes, Loss, LossReason};

/// Programs that interrupts run, too: what they leave out then is nobody's act.
const OF_INTERRUPTS: [&str; 4] = ["on_data_ready", "def_readable", "security_capable", "on_capable"];

/// What was told of each program.
#[derive(Debug, Default)]
pub(super) struct Skips {
    told: HashMap<String, u64>,
    /// It was said that the kernel does not tell.
    warned: bool,
}

impl Skips {
    /// What came on since the last look.
    pub(super) fn look(&mut self, ebpf: &Ebpf) -> Vec<Loss> {
        let programs = ebpf.programs().filter(|(name, _)| !OF_INTERRUPTS.contains(name));
        let counts = programs.filter_map(|(name, program)| {
            let fd = std::os::fd::AsFd::as_fd(program.fd().ok()?).as_raw_fd();
            Some((name, misses(&fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?)?))
        });
        let counts: Vec<_> = counts.collect();
        if counts.is_empty() && !self.warned {
            self.warned = true;
            tracing::warn!(
                "runs that the kernel leaves out are not counted: its fdinfo of programs does not tell"
            );
        }
        self.more(counts)
    }

    fn more<'a>(&mut self, counts: impl IntoIterator<Item = (&'a str, u64)>) -> Vec<Loss> {
        let mut out = Vec::new();
        for (name, count) in counts {
            let told = self.told.entry(name.to_owned()).or_default();
            if count > *told {
                out.push(Loss {
                    class: Bytes::from(name),
                    ring: Bytes::from("kernel"),
                    cpu: u16::MAX,
                    from: 0,
                    to: 0,
                    count: count - *told,
                    reason: LossReason::Skipped,
                });
                *told = count;
            }
        }
        out
    }
}

/// `recursion_misses:\t3`, a line of a program's fdinfo.
fn misses(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_left_out_is_told_once() {
        let text = "pos:\t0\nprog_type:\t26\nrecursion_misses:\t3\nverified_insns:\t9\n";
        assert_eq!(misses(text), Some(3));
        assert_eq!(misses("pos:\t0\n"), None, "somebody else's descriptor");
        let mut skips = Skips::default();
        let told = |losses: Vec<Loss>| -> Vec<_> {
            losses.into_iter().map(|loss| (loss.class.escaped(), loss.count)).collect()
        };
        assert_eq!(told(skips.more([("on_fork", 3), ("on_exec", 0)])), [("on_fork".to_owned(), 3)]);
        assert_eq!(told(skips.more([("on_fork", 3), ("on_exec", 2)])), [("on_exec".to_owned(), 2)]);
    }
}
