//! What the pump does for the socket, between two rounds.

use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;

use crate::{
    model::{
        Body, BootNanos, Bytes, Coverage, Digest, Enforcement, EnforcementAct, Flags, Login, Mark, Record,
        TaskId,
    },
    service::{
        board::Publisher,
        grants::{Added, Desk},
    },
    session::Tracked,
    sys::{bell::Bell, process},
};

/// Orders that may wait, and no more are carried out in one round: nobody stops the pump by asking.
pub(super) const ORDERS: usize = 64;

/// Something to be done.
#[derive(Debug)]
pub(super) enum Order {
    /// A signed document, from a user.
    Add {
        document: Vec<u8>,
        signature: Vec<u8>,
        uid: u32,
        /// `None` in it: no grants are watched here.
        answer: oneshot::Sender<Option<Added>>,
    },
    /// A login that PAM told of; answered when the kernel knows whose gate is his.
    Login(Box<Login>, oneshot::Sender<()>),
    /// A token to be used; answered when what it opens is open.
    Token {
        text: String,
        account: String,
        audit_session: u32,
        /// `None` in it: no grants are watched here.
        answer: oneshot::Sender<Option<Result<Digest, String>>>,
    },
    /// Somebody in that session was told no before he began.
    Denied { mark: Mark, pid: u32, coverage: Coverage, text: String },
}

/// The pump's end: orders come in, the board goes out.
#[derive(Debug)]
pub(in crate::service) struct PumpEnd {
    orders: Receiver<Order>,
    publisher: Publisher,
    bell: Bell,
}

/// What was carried out, as records.
#[derive(Debug, Default)]
pub(in crate::service) struct Done {
    /// Of the log.
    pub(in crate::service) records: Vec<Record>,
    /// Answers for when the kernel knows what follows: whoever is told yes is not refused behind it.
    pub(in crate::service) replies: Vec<Reply>,
    /// Of sessions, if they are still open.
    pub(in crate::service) denials: Vec<(Mark, Record)>,
}

/// An answer that waits until the kernel knows.
#[derive(Debug)]
pub(in crate::service) enum Reply {
    Added(oneshot::Sender<Option<Added>>, Option<Added>),
    Used(oneshot::Sender<Option<Result<Digest, String>>>, Option<Result<Digest, String>>),
    Known(oneshot::Sender<()>),
}

impl Reply {
    /// Now. Whoever asked may have gone.
    pub(in crate::service) fn tell(self) {
        match self {
            Self::Added(answer, added) => drop(answer.send(added)),
            Self::Used(answer, used) => drop(answer.send(used)),
            Self::Known(answer) => drop(answer.send(())),
        }
    }
}

fn record(now: BootNanos, body: Body) -> Record {
    Record { boot_ns: now, cpu: u16::MAX, flags: Flags::default(), task: None, body }
}

impl PumpEnd {
    pub(super) fn new(orders: Receiver<Order>, publisher: Publisher, bell: Bell) -> Self {
        Self { orders, publisher, bell }
    }

    /// Rung when there are orders.
    pub(in crate::service) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Carries out what was asked for; gives the records of it. It has to be called behind the draining of the kernel and
    /// before sessions are judged: a login that was answered is known when its first session is.
    pub(in crate::service) fn carry_out(&self, now: BootNanos, mut desk: Option<&mut Desk>) -> Done {
        let Done { mut records, mut replies, mut denials } = Done::default();
        for order in self.orders.try_iter().take(ORDERS) {
            match order {
                Order::Add { document, signature, uid, answer } => {
                    let added =
                        desk.as_deref_mut().map(|desk| desk.add(document, signature, uid, now, &mut records));
                    replies.push(Reply::Added(answer, added));
                }
                Order::Token { text, account, audit_session, answer } => {
                    let used =
                        desk.as_deref_mut().map(|desk| desk.use_token(&text, &account, audit_session, now));
                    let used = used.map(|(record, used)| {
                        records.push(record);
                        used
                    });
                    replies.push(Reply::Used(answer, used));
                }
                Order::Denied { mark, pid, coverage, text } => {
                    let task =
                        TaskId { pid, start: process::read(pid).map_or(BootNanos::new(0), |p| p.id.start) };
                    let (act, text) = (EnforcementAct::Denied, Bytes::from(text.as_str()));
                    let body =
                        Body::Enforcement(Box::new(Enforcement { act, coverage, task, count: 1, text }));
                    denials.push((mark, record(now, body)));
                }
                Order::Login(mut login, answer) => {
                    if let Some(desk) = desk.as_deref_mut() {
                        desk.logged_in(&mut login);
                    }
                    records.push(record(now, Body::Login(login)));
                    replies.push(Reply::Known(answer));
                }
            }
        }
        Done { records, replies, denials }
    }

    /// Puts up which hooks do not see.
    pub(in crate::service) fn silent(&self, hooks: Vec<String>) {
        self.publisher.silent(hooks);
    }

    /// Puts up what a round came to.
    pub(in crate::service) fn publish(&self, tracked: &[Tracked], desk: Option<&mut Desk>) {
        self.publisher.publish(tracked, desk.and_then(Desk::ledger));
    }
}
