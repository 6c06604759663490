//! The control socket: what people, PAM and sudo may ask of the running recorder. docs/control.md is the law.
//!
//! It runs on the service's own thread. What only has to be known is answered from the [board](super::board); what changes
//! something becomes an [`Order`] for the pump.

mod answer;
mod limits;
mod may;
mod orders;
mod question;
mod serve;
mod socket;
mod status;

use std::{
    io,
    sync::{Arc, OnceLock, mpsc},
};

pub(super) use self::orders::{PumpEnd, Reply};
pub use self::socket::SocketError;
use self::{answer::Clerk, limits::Rates, may::Rules, orders::ORDERS, socket::Socket};
use super::{anchor::Anchors, board, retention::Retention, standing::Gauge};
use crate::{
    capture::Marks,
    config::{Config, InputKey, ScopeKey},
    model::Mark,
    sys::{bell::Bell, clock},
};

/// The session of a process, by the kernel's word.
type MarkOf = Box<dyn Fn(u32) -> io::Result<Option<Mark>> + Send + Sync>;

/// What this recorder is and sees: the same for its whole life.
#[derive(Clone, Debug)]
struct Facts {
    since: crate::model::RealNanos,
    backend: &'static str,
    blind: &'static [&'static str],
    /// What is tried with the recorder itself is seen.
    guarded: bool,
    tty_input: InputKey,
    scope: ScopeKey,
    /// Grants are watched: the board will have a ledger.
    watched: bool,
}

/// The socket and who answers at it.
pub(super) struct Control {
    socket: Socket,
    clerk: Arc<Clerk>,
}

impl Control {
    /// Takes the socket's place. Questions wait in its queue until [`Self::serve`] is awaited.
    pub(super) fn open(
        config: &Config,
        marks: Marks,
        (backend, guarded): (crate::capture::Backend, bool),
        host: &str,
        watched: bool,
        (anchors, gauge): (Anchors, Gauge),
        bell: Bell,
    ) -> Result<(Self, PumpEnd), SocketError> {
        let socket = Socket::bind(&config.socket)?;
        socket.mark_fail_closed(config.grants.fail_closed)?;
        let (publisher, board) = board::board();
        let (to_pump, from_control) = mpsc::sync_channel(ORDERS);
        let clerk = Clerk {
            facts: Facts {
                since: clock::pair().real,
                backend: backend.name(),
                blind: backend.blind(),
                guarded,
                tty_input: config.tty_input,
                scope: config.scope,
                watched,
            },
            rules: Rules {
                enforcement: config.grants.enforcement,
                exempt: config.grants.exempt.clone(),
                host: host.to_owned(),
            },
            mark_of: Box::new(move |pid| marks.session_of(pid)),
            board,
            orders: to_pump,
            bell: bell.clone(),
            rates: Rates::default(),
            anchors,
            gauge,
            retention: OnceLock::new(),
        };
        Ok((Self { socket, clerk: Arc::new(clerk) }, PumpEnd::new(from_control, publisher, bell)))
    }

    /// What is up there, for others who only want to know.
    pub(super) fn board(&self) -> board::Board {
        self.clerk.board.clone()
    }

    /// From here on permits can be applied.
    pub(super) fn retain(&self, retention: Retention) {
        let _ = self.clerk.retention.set(Arc::new(retention));
    }

    /// Whoever asks from here on is told at once that nobody answers, and does not wait for the draining, which begins now.
    pub(super) fn end(self) {
        self.clerk.bell.ring();
    }

    /// Answers for ever. A socket that fails is told and given up: recording goes on.
    pub(super) async fn serve(&self) {
        match self.socket.listener() {
            Ok(listener) => serve::run(listener, &self.clerk).await,
            Err(error) => tracing::error!(%error, "the control socket can't be served"),
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
