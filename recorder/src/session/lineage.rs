//! Sessions that came of others: what is about to begin, and who the others were, also when they are over.

use std::collections::{BTreeMap, HashMap};

use super::Host;
use crate::model::{
    Act, BootNanos, Bytes, Came, Caps, Delegation, DelegationRole, Elevated, Elevation, Flags, Handed, Ids,
    KernelEvent, Lived, LoginWitness, Mark, SessionId, SessionStart, Task, TaskId, Via,
};

/// Sessions that are over and may still have work come of them.
const MOST_PAST: usize = 16 * 1024;

/// Who a session is and who logged in.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) id: SessionId,
    pub(super) login: LoginWitness,
}

/// Known to be somebody's, and no program of it has run.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) handed: Handed,
    pub(super) alive: HashMap<u32, BootNanos>,
}

/// What is coming, and what is over.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    coming: HashMap<Mark, Coming>,
    /// All that ever came: a unit runs one program after the other, and its control group has one mark.
    came: BTreeMap<Mark, Handed>,
    /// Marks rise, so the lowest is the oldest.
    past: BTreeMap<Mark, Origin>,
    /// Logins of sessions that were open when the recorder started again.
    remembered: HashMap<Mark, LoginWitness>,
}

impl Lineage {
    /// Something starts that is somebody's.
    pub(super) fn comes(&mut self, mark: Mark, handed: Handed) {
        self.came.insert(mark, handed.clone());
        if self.came.len() > MOST_PAST
            && let Some((oldest, _)) = self.came.pop_first()
        {
            self.coming.remove(&oldest);
        }
        self.coming.insert(mark, Coming { handed, alive: HashMap::new() });
    }

    /// Something of a session that is over, or that never began: what came of somebody comes again.
    pub(super) fn again(&mut self, mark: Mark) {
        if let Some(handed) = self.came.get(&mark) {
            let again = || Coming { handed: handed.clone(), alive: HashMap::new() };
            self.coming.entry(mark).or_insert_with(again);
        }
    }

    /// Takes an event of what is coming: processes are counted, the first program begins the session. `Err`: it is nothing that is
    /// coming.
    pub(super) fn take(&mut self, event: &KernelEvent) -> Result<Option<Coming>, ()> {
        let coming = self.coming.get_mut(&event.mark).ok_or(())?;
        match &event.act {
            Act::Exec(_) | Act::Seeded(_) => return Ok(self.coming.remove(&event.mark)),
            Act::Fork(child) => {
                coming.alive.insert(child.pid, child.start);
            }
            Act::Exit(_) => {
                coming.alive.remove(&event.task.id.pid);
            }
            // What the daemon's child does before it runs the program is the daemon's.
            _ => {}
        }
        Ok(None)
    }

    /// A session is over: what it asked for may still come.
    pub(super) fn ended(&mut self, mark: Mark, origin: Origin) {
        self.past.insert(mark, origin);
        if self.past.len() > MOST_PAST {
            self.past.pop_first();
        }
    }

    /// What is left of a session of an earlier run has that mark.
    pub(super) fn lived(&mut self, mark: Mark, lived: &Lived) {
        if lived.came.is_some() {
            self.ended(lived.mark, Origin { id: lived.id, login: lived.login.clone() });
        } else {
            self.remembered.insert(mark, lived.login.clone());
        }
    }

    /// Who logged in, by what was known before the recorder started again.
    pub(super) fn remembered(&mut self, mark: Mark) -> Option<LoginWitness> {
        self.remembered.remove(&mark)
    }

    /// By what means it came of another one.
    pub(super) fn came(&self, mark: Mark) -> Option<Came> {
        self.came.get(&mark).map(Came::of)
    }

    /// Who a session that is over was.
    pub(super) fn past(&self, mark: Mark) -> Option<&Origin> {
        self.past.get(&mark)
    }
}

/// The first record of a session that came of another, or of a job. The witness of the login is the other's, whoever it runs as; a
/// job that is nobody's has its owner's, by the name that `owner` finds.
pub(super) fn start(
    id: SessionId,
    who: &Task,
    handed: &Handed,
    path: Bytes,
    (origin, seeded): (Option<&Origin>, u8),
    owner: impl FnOnce() -> Bytes,
) -> SessionStart {
    let ids = Ids { uid: who.uid, euid: who.euid, suid: who.euid, fsuid: who.euid, ..Ids::default() };
    let login = origin.map_or_else(
        || LoginWitness { auid: who.auid, audit_session: u32::MAX, user: owner(), ..LoginWitness::default() },
        |origin| origin.login.clone(),
    );
    let via = if handed.from.is_some() { Via::Delegated } else { Via::Scheduled };
    SessionStart {
        id,
        root: who.id,
        login,
        elevation: Elevation { from: ids, to: ids, caps: Caps::default(), via, path },
        seeded,
    }
}

/// Both ends of a delegation, as each stream has it.
pub(super) fn ends(handed: &Handed, child: SessionId, parent: Option<SessionId>) -> (Delegation, Delegation) {
    let of = |role, session: Option<SessionId>| Delegation {
        role,
        trigger: handed.trigger,
        confidence: handed.confidence,
        session: session.unwrap_or(SessionId::NOBODY),
        peer: 0,
        to: handed.to.clone(),
        what: handed.what.clone(),
        evidence: handed.evidence.clone(),
    };
    (of(DelegationRole::By, parent), of(DelegationRole::To, Some(child)))
}

/// The first record of a session that began with an elevation.
pub(super) fn opened(
    id: SessionId,
    who: &Task,
    elevated: &Elevated,
    path: Bytes,
    flags: Flags,
    host: &mut impl Host,
) -> SessionStart {
    SessionStart {
        id,
        root: who.id,
        login: host.login(who, Some(elevated.audit_session)),
        elevation: Elevation {
            from: elevated.old,
            to: elevated.new,
            caps: elevated.caps,
            via: Via::from_code(elevated.via),
            path,
        },
        seeded: u8::from(flags.has(Flags::SEEDED)),
    }
}

/// What stands for the elevation of a session whose first event was lost.
pub(super) fn unseen(task: &Task) -> Elevated {
    Elevated {
        old: Ids::default(),
        new: Ids { uid: task.uid, euid: task.euid, ..Default::default() },
        caps: Caps::default(),
        audit_session: u32::MAX,
        via: Via::Unexplained.code(),
    }
}

/// A task that is alive from the start on.
pub(super) fn first(id: TaskId) -> HashMap<u32, BootNanos> {
    HashMap::from([(id.pid, id.start)])
}
