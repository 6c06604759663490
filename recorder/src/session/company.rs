//! Who sits at a session besides the one who began it: people who handed their terminals to the server (tmux, screen) that it runs in.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::Host;
use crate::model::{
    Body, BootNanos, Bytes, Confidence, Delegation, DelegationRole, Flags, LoginWitness, Mark, Participant,
    Record, SessionId, Shared, Task, TaskId, Trigger,
};

/// Servers that are remembered, and people at each of them; the oldest go first.
const MOST_SERVERS: usize = 256;
const MOST_GUESTS: usize = 32;

/// Somebody at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guest {
    /// His client.
    pub(super) client: Arc<Task>,
    pub(super) login: LoginWitness,
    /// His own session, if he has one.
    pub(super) session: Option<(Mark, SessionId)>,
    terminal: Bytes,
    server: TaskId,
    program: Bytes,
}

/// All servers.
#[derive(Debug, Default)]
pub(super) struct Company(BTreeMap<TaskId, VecDeque<Guest>>);

impl Company {
    /// Somebody hands his terminal over; `None` if the server is gone.
    pub(super) fn sits_down(
        &mut self,
        client: &Arc<Task>,
        shared: &Shared,
        own: Option<(Mark, SessionId, LoginWitness)>,
        host: &mut impl Host,
    ) -> Option<Guest> {
        let server = host.above(TaskId { pid: shared.server, ..TaskId::default() }).first().copied()?;
        let (session, login) = match own {
            Some((mark, id, login)) => (Some((mark, id)), login),
            None => (None, host.login(client, None)),
        };
        let guest = Guest {
            client: Arc::clone(client),
            login,
            session,
            terminal: shared.terminal.clone(),
            server,
            program: host.program(server),
        };
        if self.0.len() >= MOST_SERVERS && !self.0.contains_key(&server) {
            self.0.retain(|server, _| !host.above(*server).is_empty());
            while self.0.len() >= MOST_SERVERS {
                self.0.pop_first();
            }
        }
        let guests = self.0.entry(server).or_default();
        // Each terminal is sent several times: input, output, errors.
        guests.retain(|known| known.client.id != client.id);
        if guests.len() >= MOST_GUESTS {
            guests.pop_front();
        }
        guests.push_back(guest.clone());
        Some(guest)
    }

    /// Those who sit at a server that this process descends from, and are still there.
    pub(super) fn of(&self, task: TaskId, host: &mut impl Host) -> Vec<Guest> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let above = host.above(task);
        let guests = above.iter().filter_map(|task| self.0.get(task)).flatten();
        guests.filter(|guest| !host.above(guest.client.id).is_empty()).cloned().collect()
    }

    /// True if somebody already sits there with that client.
    pub(super) fn knows(&self, client: TaskId, server: u32) -> bool {
        let of_server = self.0.iter().filter(|(task, _)| task.pid == server);
        of_server.flat_map(|(_, guests)| guests).any(|guest| guest.client.id == client)
    }
}

impl Guest {
    /// The server that he sits at.
    pub(super) fn server(&self) -> TaskId {
        self.server
    }

    /// True if it is the login that the session belongs to.
    pub(super) fn is(&self, login: &LoginWitness) -> bool {
        let ours = &self.login;
        ours.audit_session != u32::MAX && (ours.auid, ours.audit_session) == (login.auid, login.audit_session)
    }

    /// For the session that he sits at.
    pub(super) fn record(&self, at: BootNanos, cpu: u16) -> Record {
        let body = Body::Participant(Box::new(Participant {
            session: self.session.map_or(SessionId::NOBODY, |(_, id)| id),
            login: self.login.clone(),
            terminal: self.terminal.clone(),
            server: self.server,
            program: self.program.clone(),
            // Whoever knows the grants says whose login it is.
            person: Bytes::default(),
            coverage: None,
        }));
        Record { boot_ns: at, cpu, flags: Flags::default(), task: Some(Arc::clone(&self.client)), body }
    }

    /// For his own session: which one he sits at, `None` if none is recorded there.
    pub(super) fn asked(&self, to: &Bytes, of: Option<SessionId>) -> Body {
        Body::Delegation(Box::new(Delegation {
            role: DelegationRole::Asked,
            trigger: Trigger::Terminal,
            confidence: if of.is_some() { Confidence::Certain } else { Confidence::Unresolved },
            session: of.unwrap_or(SessionId::NOBODY),
            peer: self.server.pid,
            to: to.clone(),
            what: self.program.clone(),
            evidence: self.terminal.clone(),
        }))
    }
}
