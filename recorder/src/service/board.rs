//! What the pump lets others see: open sessions and the book, as they were after its last round. Whoever asks over the
//! socket is answered from here and never waits for the pump, and the pump never waits for them.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

use super::grants::{Logins, person_of};
use crate::{
    grant::{Book, Clock},
    model::{Body, BootNanos, CoverageChange, Login, LoginWitness, Mark, SessionId},
    session::Tracked,
};

/// One open session.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) id: SessionId,
    pub(super) since: BootNanos,
    pub(super) login: LoginWitness,
    /// The last word about it; `None` if no grants are watched.
    pub(super) coverage: Option<CoverageChange>,
}

/// What decides about grants.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub(super) book: Arc<Book>,
    pub(super) clock: Clock,
    pub(super) logins: Logins,
}

impl Ledger {
    /// Whose work an audit session of that account is.
    pub(super) fn person(&self, account: &str, audit_session: u32) -> Option<&str> {
        self.logins.person(self.book.policy(), account, audit_session)
    }

    /// Whose login that is.
    pub(super) fn person_by(&self, account: &str, login: &Login) -> Option<&str> {
        person_of(self.book.policy(), account, login)
    }
}

/// Everything at one moment. A clone is cheap.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    /// The pump has gone round once: what is not here does not exist.
    pub(super) ready: bool,
    pub(super) sessions: Arc<BTreeMap<Mark, Open>>,
    /// `None` if no grants are watched.
    pub(super) ledger: Option<Arc<Ledger>>,
    /// Hooks that do not see.
    pub(super) silent: Arc<[String]>,
}

/// The reader's end.
pub(super) type Board = watch::Receiver<Snapshot>;

/// The pump's end.
#[derive(Debug)]
pub(super) struct Publisher(watch::Sender<Snapshot>);

/// A board with nothing on it.
pub(super) fn board() -> (Publisher, Board) {
    let (publisher, board) = watch::channel(Snapshot::default());
    (Publisher(publisher), board)
}

impl Publisher {
    /// Puts up which hooks do not see.
    pub(super) fn silent(&self, hooks: Vec<String>) {
        self.0.send_if_modified(|snapshot| {
            let changed = *snapshot.silent != *hooks;
            if changed {
                snapshot.silent = hooks.into();
            }
            changed
        });
    }

    /// Puts up what has changed; most rounds change nothing and cost one look at each record.
    pub(super) fn publish(&self, tracked: &[Tracked], ledger: Option<Ledger>) {
        let ready = self.0.borrow().ready;
        if ready && ledger.is_none() && !tracked.iter().any(matters) {
            return;
        }
        self.0.send_modify(|snapshot| {
            snapshot.ready = true;
            if let Some(ledger) = ledger {
                snapshot.ledger = Some(Arc::new(ledger));
            }
            if tracked.iter().any(matters) {
                let sessions = Arc::make_mut(&mut snapshot.sessions);
                for item in tracked {
                    take(sessions, item);
                }
            }
        });
    }
}

fn matters(item: &Tracked) -> bool {
    match item {
        Tracked::Opened { .. } | Tracked::Closed { .. } => true,
        Tracked::Event { record, .. } => matches!(&record.body, Body::SessionStart(_) | Body::Coverage(_)),
        Tracked::Lost { .. } => false,
    }
}

fn take(sessions: &mut BTreeMap<Mark, Open>, item: &Tracked) {
    match item {
        Tracked::Opened { mark, id, at } => {
            let open = Open { id: *id, since: *at, login: LoginWitness::default(), coverage: None };
            sessions.insert(*mark, open);
        }
        Tracked::Event { mark, record } => {
            let Some(open) = sessions.get_mut(mark) else { return };
            match &record.body {
                Body::SessionStart(start) => open.login.clone_from(&start.login),
                Body::Coverage(change) => open.coverage = Some(CoverageChange::clone(change)),
                _ => {}
            }
        }
        Tracked::Closed { mark, .. } => {
            sessions.remove(mark);
        }
        Tracked::Lost { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        index::fixture as fx,
        model::{Bytes, Coverage, EndReason, Flags, Record, Uncovered},
    };

    fn event(body: Body) -> Tracked {
        let record = Record { boot_ns: BootNanos::new(6), cpu: 0, flags: Flags::default(), task: None, body };
        Tracked::Event { mark: Mark::new(1), record }
    }

    #[test]
    fn a_session_is_up_while_it_is_open_with_the_last_word_about_it() {
        let (publisher, board) = board();
        assert!(!board.borrow().ready);
        publisher.publish(&[], None);
        assert!(board.borrow().ready);
        let opened = Tracked::Opened { mark: Mark::new(1), id: fx::session_id(1), at: BootNanos::new(5) };
        publisher.publish(&[opened, event(fx::start(1))], None);
        let coverage = Coverage::Uncovered { reason: Uncovered::NoGrant };
        let change = CoverageChange {
            from: BootNanos::new(6),
            coverage,
            person: Bytes::from("anna"),
            incident: Bytes::default(),
        };
        publisher.publish(&[event(Body::Coverage(Box::new(change)))], None);
        let before = board.borrow().clone();
        let open = before.sessions.get(&Mark::new(1)).unwrap();
        assert_eq!((open.id, open.login.audit_session), (fx::session_id(1), 3));
        assert_eq!(open.coverage.as_ref().map(|c| c.coverage), Some(coverage));
        publisher.publish(&[event(fx::exec("/bin/true", &["true"]))], None);
        assert!(Arc::ptr_eq(&before.sessions, &board.borrow().sessions), "a program changes nothing here");
        let (reason, losses, at) = (EndReason::LastTask, 0, BootNanos::new(9));
        publisher.publish(&[Tracked::Closed { mark: Mark::new(1), reason, losses, at }], None);
        assert!(board.borrow().sessions.is_empty());
        assert_eq!(before.sessions.len(), 1, "who holds a snapshot keeps it");
    }
}
