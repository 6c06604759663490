//! What the pump does for the socket, between two rounds.

use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;

use crate::{
    model::{Body, BootNanos, Flags, Login, Record},
    service::{
        board::Publisher,
        grants::{Added, Desk},
    },
    session::Tracked,
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
    /// A login that PAM told of.
    Login(Box<Login>),
}

/// The pump's end: orders come in, the board goes out.
#[derive(Debug)]
pub(in crate::service) struct PumpEnd {
    orders: Receiver<Order>,
    publisher: Publisher,
}

impl PumpEnd {
    pub(super) fn new(orders: Receiver<Order>, publisher: Publisher) -> Self {
        Self { orders, publisher }
    }

    /// Carries out what was asked for; gives the records of it. It has to be called behind the draining of the kernel and
    /// before sessions are judged: a login that was answered is known when its first session is.
    pub(in crate::service) fn carry_out(&self, now: BootNanos, mut desk: Option<&mut Desk>) -> Vec<Record> {
        let mut records = Vec::new();
        for order in self.orders.try_iter().take(ORDERS) {
            match order {
                Order::Add { document, signature, uid, answer } => {
                    let added =
                        desk.as_deref_mut().map(|desk| desk.add(document, signature, uid, now, &mut records));
                    // Whoever asked may have gone.
                    let _ = answer.send(added);
                }
                Order::Login(mut login) => {
                    if let Some(desk) = desk.as_deref_mut() {
                        desk.logged_in(&mut login);
                    }
                    let (flags, body) = (Flags::default(), Body::Login(login));
                    records.push(Record { boot_ns: now, cpu: u16::MAX, flags, task: None, body });
                }
            }
        }
        records
    }

    /// Puts up what a round came to.
    pub(in crate::service) fn publish(&self, tracked: &[Tracked], desk: Option<&mut Desk>) {
        self.publisher.publish(tracked, desk.and_then(Desk::ledger));
    }
}
