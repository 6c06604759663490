//! Says once per login and state that a session is recorded, on the terminal where it began.

use std::collections::HashMap;

use super::terminal::Seat;
use crate::{
    model::{Body, Coverage, CoverageChange, SessionStart, Via},
    session::Tracked,
};

/// Programs that people elevate with. Others that run with more rights (passwd, ping) are no moment to speak.
const ELEVATORS: [&str; 6] = ["sudo", "su", "doas", "pkexec", "run0", "runuser"];
/// Logins that are remembered; then all are forgotten, and told again.
const LOGINS: usize = 4096;

/// What was told to whom.
#[derive(Debug, Default)]
pub(super) struct Herald {
    /// By login uid and audit session.
    told: HashMap<(u32, u32), String>,
}

impl Herald {
    /// Looks for sessions that begin in what tracking gave out.
    pub(super) fn pass(&mut self, tracked: &[Tracked]) {
        for (at, item) in tracked.iter().enumerate() {
            if let Tracked::Event { mark, record } = item
                && let Body::SessionStart(start) = &record.body
                && is_moment(start)
            {
                // Its coverage stands right behind it, if grants are watched.
                let coverage = tracked.iter().skip(at).find_map(|item| match item {
                    Tracked::Event { mark: of, record } if of == mark => match &record.body {
                        Body::Coverage(change) => Some(&**change),
                        _ => None,
                    },
                    _ => None,
                });
                self.tell(start, words(coverage));
            }
        }
    }

    fn tell(&mut self, start: &SessionStart, text: String) {
        if self.told.len() >= LOGINS {
            self.told.clear();
        }
        let login = (start.login.auid, start.login.audit_session);
        if self.told.get(&login) == Some(&text) {
            return;
        }
        Seat::of(&start.login).tell(&text);
        self.told.insert(login, text);
    }
}

fn is_moment(start: &SessionStart) -> bool {
    let path = start.elevation.path.as_utf8().unwrap_or_default();
    let program = path.rsplit('/').next().unwrap_or_default();
    start.seeded == 0
        && match start.elevation.via {
            Via::Login | Via::Unexplained => true,
            Via::Setuid | Via::FileCaps => ELEVATORS.contains(&program),
            _ => false,
        }
}

fn words(coverage: Option<&CoverageChange>) -> String {
    let recorded = "recorder: this session is recorded";
    let Some(change) = coverage else { return recorded.to_owned() };
    let incident =
        if change.incident.is_empty() { String::new() } else { format!(", {}", change.incident.escaped()) };
    let short = |grant: crate::model::Digest| grant.to_string().chars().take(12).collect::<String>();
    match change.coverage {
        Coverage::Covered { grant } => format!("{recorded} (grant {}{incident})", short(grant)),
        Coverage::BreakGlass { grant } => format!("{recorded} (glass broken {}{incident})", short(grant)),
        Coverage::Uncovered { reason } => format!("{recorded}; no grant covers it ({})", reason.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BootNanos, Bytes, Digest, Uncovered};

    fn change(coverage: Coverage) -> CoverageChange {
        CoverageChange {
            from: BootNanos::new(0),
            coverage,
            person: Bytes::default(),
            incident: Bytes::from("pd:1"),
        }
    }

    #[test]
    fn it_says_what_holds() {
        let grant = Digest::new([0xaf; 32]);
        assert_eq!(words(None), "recorder: this session is recorded");
        let covered = words(Some(&change(Coverage::Covered { grant })));
        assert_eq!(covered, "recorder: this session is recorded (grant afafafafafaf, pd:1)");
        let bare = words(Some(&change(Coverage::Uncovered { reason: Uncovered::NoGrant })));
        assert_eq!(bare, "recorder: this session is recorded; no grant covers it (no_grant)");
    }
}
