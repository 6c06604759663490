//! What is handed in over the control socket: documents and logins. The checks and the records are the directory's.

use super::{Desk, control};
use crate::{
    model::{BootNanos, Bytes, Digest, GrantAct, Login, Record},
    service::{
        board::Ledger,
        grants::{intake::Pair, logins},
    },
};

/// What came of a document that was handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) struct Added {
    /// SHA-256 of its bytes.
    pub(in crate::service) id: Digest,
    /// What it says it is; empty if it could not be read.
    pub(in crate::service) kind: String,
    /// Its signature is good and its signer may sign.
    pub(in crate::service) received: bool,
    /// Why it was refused, or why the book does not follow it.
    pub(in crate::service) text: String,
    /// Where the request stands that it is about.
    pub(in crate::service) state: Option<String>,
}

impl Desk {
    /// Takes a document from a user. The lists are looked at first: what they allow now counts.
    pub(in crate::service) fn add(
        &mut self,
        document: Vec<u8>,
        signature: Vec<u8>,
        uid: u32,
        now: BootNanos,
        out: &mut Vec<Record>,
    ) -> Added {
        self.lists(now, out);
        let pair = Pair::handed_in(document, signature);
        let before = self.book.documents();
        let mut record = self.receive(&pair, now);
        let received = record.act == GrantAct::Received;
        let real = self.clock.real(now);
        let added = Added {
            id: record.document,
            kind: record.kind.as_utf8().unwrap_or_default().to_owned(),
            received,
            text: record.text.as_utf8().unwrap_or_default().to_owned(),
            state: received
                .then(|| self.book.grant(&record.request))
                .flatten()
                .map(|grant| grant.state(real).to_string()),
        };
        if received && self.book.documents() == before {
            // The journal has it. A signature that is only written differently is no second one.
            return added;
        }
        if received {
            self.intake.known(&pair.document, &pair.signature);
            self.judge_again = true;
        } else if uid != 0 {
            // Anybody may hand in anything: what nobody signed is named in the journal, and does not fill it.
            record.bytes = Bytes::default();
            record.signature = Bytes::default();
        }
        if !received {
            record.text = Bytes::from(format!("{} (handed in by uid {uid})", added.text).as_str());
        }
        out.push(control(now, record));
        self.changed_states(now, out);
        added
    }

    /// Notes a login, with the person whose it is.
    pub(in crate::service) fn logged_in(&mut self, login: &mut Login) {
        let account = login.account.as_utf8().unwrap_or_default();
        let person = logins::person_of(self.book.policy(), account, login).unwrap_or_default();
        login.person = Bytes::from(person);
        self.watch.logins.take(login.clone());
        self.unpublished = true;
    }

    /// The book and what goes with it, if others than last time.
    pub(in crate::service) fn ledger(&mut self) -> Option<Ledger> {
        std::mem::take(&mut self.unpublished).then(|| Ledger {
            book: self.book.clone(),
            clock: self.clock.clone(),
            logins: self.watch.logins.clone(),
        })
    }
}
