//! What sessions asked managers for: names that will start, and for how long they are waited for.

use super::words::units_of;
use crate::model::{BootNanos, Mark};

/// A unit is waited for so long after it was asked for.
const SOON_NS: u64 = 90_000_000_000;
/// What comes by itself (timers, paths, sockets) is waited for so long.
const LATER_NS: u64 = 7 * 24 * 3600 * 1_000_000_000;
/// Names that are remembered; the oldest goes first.
const MOST: usize = 4096;

/// A name that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Who.
    pub(super) by: Mark,
    /// The unit.
    pub(super) unit: String,
    /// In his words: the method and what he named.
    pub(super) words: String,
    /// He said what it is to run.
    pub(super) is_his: bool,
    since: BootNanos,
    until: BootNanos,
    /// It starts by itself, perhaps often.
    is_standing: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Asked {
    wanted: Vec<Wanted>,
}

/// Unit types that start others.
const STARTERS: [&str; 3] = ["timer", "path", "socket"];

impl Asked {
    /// A unit is to be started, and what it starts in its turn.
    pub(super) fn start(&mut self, by: Mark, units: &[String], words: &str, is_his: bool, now: BootNanos) {
        for unit in units {
            let starter = unit.rsplit_once('.').filter(|(_, kind)| STARTERS.contains(kind));
            let named = |unit: &str, is_standing| {
                let wait = if is_standing { LATER_NS } else { SOON_NS };
                let until = BootNanos::new(now.get().saturating_add(wait));
                let (unit, words) = (unit.to_owned(), words.to_owned());
                Wanted { by, unit, words, is_his, since: now, until, is_standing }
            };
            if let Some((stem, _)) = starter {
                self.add(named(&format!("{stem}.service"), true));
            }
            // The services that a timer names are waited for as long as it.
            let is_standing = units.iter().any(|unit| is_starter(unit));
            self.add(named(unit, is_standing));
        }
    }

    fn add(&mut self, new: Wanted) {
        self.wanted.retain(|old| old.unit != new.unit || old.by != new.by);
        if self.wanted.len() >= MOST {
            self.wanted.remove(0);
        }
        self.wanted.push(new);
    }

    /// Who asked last for a unit whose control group this is, and which was made then.
    pub(super) fn of_cgroup(&mut self, path: &str, made: BootNanos) -> Option<&Wanted> {
        self.wanted.retain(|wanted| made <= wanted.until);
        let newest =
            |part: &str| self.wanted.iter().rfind(|wanted| wanted.since <= made && wanted.unit == part);
        units_of(path).find_map(newest)
    }

    /// Until when managers have to be looked at: something may start by itself.
    pub(super) fn standing_until(&self, now: BootNanos) -> Option<BootNanos> {
        self.wanted.iter().filter(|w| w.is_standing && now <= w.until).map(|w| w.until).max()
    }
}

fn is_starter(unit: &str) -> bool {
    unit.rsplit_once('.').is_some_and(|(_, kind)| STARTERS.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootNanos {
        BootNanos::new(seconds * 1_000_000_000)
    }

    #[test]
    fn a_unit_is_found_by_its_control_group() {
        let mut asked = Asked::default();
        asked.start(
            Mark::new(7),
            &["run-u5.service".into()],
            "StartTransientUnit run-u5.service",
            true,
            at(1),
        );
        let found = asked.of_cgroup("/system.slice/run-u5.service", at(2)).map(|w| w.by);
        assert_eq!(found, Some(Mark::new(7)));
        assert_eq!(
            asked.of_cgroup("/system.slice/run-u5.service/inner", at(2)).map(|w| w.by),
            Some(Mark::new(7))
        );
        for other in
            ["/system.slice/run-u55.service", "/system.slice", "/run-u5.service.d", "/xrun-u5.service", ""]
        {
            assert_eq!(asked.of_cgroup(other, at(2)), None, "{other}");
        }
        asked.start(Mark::new(9), &["system.slice".into()], "", true, at(2));
        assert_eq!(
            asked.of_cgroup("/system.slice/run-u5.service", at(2)).map(|w| w.by),
            Some(Mark::new(7)),
            "a slice takes nothing over"
        );
        assert_eq!(asked.of_cgroup("/system.slice/nginx.service", at(2)), None);
        assert_eq!(asked.of_cgroup("/system.slice", at(2)).map(|w| w.by), Some(Mark::new(9)));
        // systemd puts a _ before names that a controller has.
        asked.start(Mark::new(8), &["memory.service".into()], "", true, at(2));
        assert_eq!(asked.of_cgroup("/system.slice/_memory.service", at(3)).map(|w| w.by), Some(Mark::new(8)));
        assert_eq!(asked.of_cgroup("/system.slice/run-u5.service", at(100)), None, "too late");
    }

    #[test]
    fn a_timers_service_is_waited_for() {
        let mut asked = Asked::default();
        assert_eq!(asked.standing_until(at(1)), None);
        asked.start(Mark::new(7), &["run-u6.timer".into(), "run-u6.service".into()], "", true, at(1));
        asked.start(Mark::new(7), &["nightly.timer".into()], "", true, at(1));
        for unit in ["run-u6", "nightly"] {
            let path = format!("/system.slice/{unit}.service");
            assert_eq!(asked.of_cgroup(&path, at(86_400)).map(|w| w.by), Some(Mark::new(7)), "{unit}");
        }
        assert!(asked.standing_until(at(86_400)).is_some());
        assert_eq!(asked.standing_until(at(700_000)), None);
    }

    #[test]
    fn who_asked_last_has_it() {
        let mut asked = Asked::default();
        asked.start(Mark::new(7), &["a.service".into()], "", true, at(1));
        asked.start(Mark::new(8), &["a.service".into()], "", true, at(2));
        assert_eq!(asked.of_cgroup("/a.service", at(3)).map(|w| w.by), Some(Mark::new(8)));
        for n in 0..10_000u64 {
            asked.start(Mark::new(n), &["x.service".into()], "", true, at(3));
        }
        assert!(asked.wanted.len() <= MOST);
    }
}
