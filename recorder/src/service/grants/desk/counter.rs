//! What is handed in over the control socket: documents and logins. The checks and the records are the directory's.

use std::sync::Arc;

use super::{Desk, control, record};
use crate::{
    grant::use_token,
    model::{Body, BootNanos, Bytes, Digest, GrantAct, Login, Record},
    service::{
        board::Ledger,
        grants::{intake::Pair, logins},
    },
};

/// How long a token opens its grant: enough for sudo to start what it asked for.
const OPEN_NS: u64 = 15_000_000_000;

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
            self.till.changed = true;
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

    /// Uses a token; what it is for is open for a moment. Gives the record, and the reason if it allows nothing.
    pub(in crate::service) fn use_token(
        &mut self,
        text: &str,
        account: &str,
        audit_session: u32,
        now: BootNanos,
    ) -> (Record, Result<Digest, String>) {
        let person = self.watch.logins.person(self.book.policy(), account, audit_session).map(str::to_owned);
        let person = person.unwrap_or_default();
        let real = self.clock.real(now);
        let (used, token) = use_token(&self.book, &self.allowed, &mut self.till.tokens, text, &person, real);
        if let Ok(grant) = &used {
            let until = BootNanos::new(now.get().saturating_add(OPEN_NS));
            self.till.opened.insert((person, *grant), until);
            self.till.changed = true;
        }
        (record(now, Body::Token(Box::new(token))), used.map_err(|why| why.to_string()))
    }

    /// Notes a login, with the person whose it is.
    pub(in crate::service) fn logged_in(&mut self, login: &mut Login) {
        let account = login.account.as_utf8().unwrap_or_default();
        let person = logins::person_of(self.book.policy(), account, login).unwrap_or_default();
        login.person = Bytes::from(person);
        self.watch.logins.take(login.clone());
        self.till.changed = true;
        self.unpublished = true;
    }

    /// The next ledger has another book.
    pub(super) fn book_changed(&mut self) {
        self.published = None;
        self.unpublished = true;
    }

    /// The book and what goes with it, if others than last time. A login copies no book.
    pub(in crate::service) fn ledger(&mut self) -> Option<Ledger> {
        std::mem::take(&mut self.unpublished).then(|| Ledger {
            book: Arc::clone(self.published.get_or_insert_with(|| Arc::new(self.book.clone()))),
            clock: self.clock.clone(),
            logins: self.watch.logins.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, fmt::Write as _, fs, path::Path};

    use ssh_key::{
        HashAlg, LineEnding, PrivateKey,
        private::{Ed25519Keypair, KeypairData},
    };

    use super::*;
    use crate::{
        config::Config,
        grant::{Answer, Document, NAMESPACE, Nonce, Privilege, Request, Statement, Window},
        model::{BootId, ClockPair, Coverage, Mark, RealNanos, SessionId, Uncovered},
        service::{grants::enforce, kept::Kept},
        session::Tracked,
    };

    /// 2026-11-21T02:31:00Z.
    const NOW: u64 = 1_795_228_260_000_000_000;

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32])), "").unwrap()
    }

    fn at(boot: u64) -> ClockPair {
        ClockPair { boot: BootNanos::new(boot), real: RealNanos::new(NOW + boot) }
    }

    /// A desk on which anna asks (key 1, on an account that she shares) and the boss approves (key 2).
    fn desk(dir: &Path) -> Desk {
        let mut signers = String::new();
        for (person, seed) in [("anna", 1), ("boss", 2)] {
            let public = key(seed).public_key().to_openssh().unwrap();
            let _ = writeln!(signers, "{person} {public}");
        }
        fs::write(dir.join("signers"), signers).unwrap();
        let fingerprint = key(1).fingerprint(HashAlg::Sha256);
        let policy = format!(
            "[people.anna]\naccounts = [\"oncall1\"]\nkeys = [\"{fingerprint}\"]\n[people.bert]\naccounts = [\"oncall1\"]\n\
             [[approve]]\napprovers = [\"boss\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\n"
        );
        fs::write(dir.join("policy"), policy).unwrap();
        let mut config = Config::least();
        config.journal_dir = dir.join("journal");
        let grants = &mut config.grants;
        (grants.dir, grants.named) = (dir.join("grants.d"), true);
        (grants.policy, grants.allowed_signers) = (dir.join("policy"), dir.join("signers"));
        let mut kept = Kept::at(&dir.join("memory"));
        Desk::open(&config, "web-1", None, (&mut kept, BootId::new([1; 16])), at(0)).unwrap().unwrap()
    }

    fn signed(signer: &str, seed: u8, statement: &Statement) -> (Document, Vec<u8>, Vec<u8>) {
        let (document, bytes) =
            Document::write(signer, RealNanos::new(NOW), Nonce::new([seed; 16]), statement).unwrap();
        let signature = key(seed).sign(NAMESPACE, HashAlg::Sha512, &bytes).unwrap();
        (document, bytes, signature.to_pem(LineEnding::LF).unwrap().into_bytes())
    }

    fn request() -> (Document, Vec<u8>, Vec<u8>) {
        let window = Window { from: RealNanos::new(NOW), until: RealNanos::new(NOW + 3_600_000_000_000) };
        let request = Request {
            person: "anna".into(),
            hosts: vec!["*".into()],
            window,
            privileges: vec![Privilege::Root],
            reason: "disk".into(),
            incident: None,
            token: false,
        };
        signed("anna", 1, &Statement::Request(request))
    }

    fn approval(of: &Document) -> (Document, Vec<u8>, Vec<u8>) {
        let answer = Answer { request: of.id, reason: String::new() };
        signed("boss", 2, &Statement::Approval(answer))
    }

    #[test]
    fn a_token_opens_its_grant_for_a_moment_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = desk(dir.path());
        let mut login = Login {
            account: "oncall1".into(),
            key: Bytes::from(key(1).fingerprint(HashAlg::Sha256).to_string().as_str()),
            audit_session: 3,
            ..Login::default()
        };
        desk.lists(BootNanos::new(1), &mut Vec::new());
        desk.logged_in(&mut login);
        // Each of these is for the kernel to know at once: sudo may come right behind.
        assert!(std::mem::take(&mut desk.till.changed), "a login");
        let window = Window { from: RealNanos::new(NOW), until: RealNanos::new(NOW + 3_600_000_000_000) };
        let request = Request {
            person: "anna".into(),
            hosts: vec!["*".into()],
            window,
            privileges: vec![Privilege::Root],
            reason: "disk".into(),
            token: true,
            incident: None,
        };
        let request = signed("anna", 1, &Statement::Request(request));
        add(&mut desk, &request, 0);
        add(&mut desk, &approval(&request.0), 0);
        assert!(std::mem::take(&mut desk.till.changed), "a document");
        let token = crate::grant::Token {
            request: request.0.id,
            person: "anna".into(),
            host: "web-1".into(),
            window: Window { until: RealNanos::new(NOW + 60_000_000_000), ..window },
        };
        let (_, bytes, signature) = signed("boss", 2, &Statement::Token(token));
        let text = crate::grant::TokenParts::new(&bytes, &signature).unwrap().text();
        let users = HashMap::new();
        let open = |desk: &Desk, now| {
            enforce::window(&desk.book, &desk.clock, "anna", BootNanos::new(now), &users, &desk.till.opened)
                .all
        };
        assert_eq!(open(&desk, 10), None, "the grant alone opens nothing");
        let (_, used) = desk.use_token(&text, "oncall1", 4, BootNanos::new(10));
        assert!(used.is_err() && !desk.till.changed, "nobody's login");
        let (record, used) = desk.use_token(&text, "oncall1", 3, BootNanos::new(10));
        assert_eq!(used, Ok(request.0.id));
        assert!(matches!(&record.body, Body::Token(token) if token.act == crate::model::TokenAct::Used));
        assert!(desk.till.changed);
        assert_eq!(open(&desk, 10), Some(BootNanos::new(10 + OPEN_NS)));
        let (_, again) = desk.use_token(&text, "oncall1", 3, BootNanos::new(20));
        assert!(again.unwrap_err().contains("used before"));
    }

    fn acts(records: &[Record]) -> Vec<(GrantAct, String)> {
        let grants = records.iter().filter_map(|record| match &record.body {
            Body::Grant(grant) => {
                Some((grant.act, String::from_utf8_lossy(grant.text.as_slice()).into_owned()))
            }
            _ => None,
        });
        grants.collect()
    }

    fn add(desk: &mut Desk, pair: &(Document, Vec<u8>, Vec<u8>), uid: u32) -> (Added, Vec<Record>) {
        let mut records = Vec::new();
        let added = desk.add(pair.1.clone(), pair.2.clone(), uid, BootNanos::new(5), &mut records);
        (added, records)
    }

    #[test]
    fn what_is_handed_in_is_checked_and_recorded_as_from_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = desk(dir.path());
        let request = request();
        let (added, records) = add(&mut desk, &request, 1000);
        assert!(added.received && added.id == request.0.id, "{added:?}");
        assert_eq!((added.kind.as_str(), added.state.as_deref()), ("request", Some("requested")));
        let told = acts(&records);
        let kinds: Vec<GrantAct> = told.iter().map(|(act, _)| *act).collect();
        // The lists are read before the first document, not a second later.
        assert_eq!(kinds, [GrantAct::Signers, GrantAct::Policy, GrantAct::Received, GrantAct::State]);
        let (added, records) = add(&mut desk, &approval(&request.0), 1000);
        assert_eq!(added.state.as_deref(), Some("active"));
        assert_eq!(acts(&records)[1], (GrantAct::State, "active".to_owned()));
    }

    #[test]
    fn the_same_again_is_received_and_no_second_record_however_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = desk(dir.path());
        let (document, bytes, signature) = request();
        add(&mut desk, &(document.clone(), bytes.clone(), signature.clone()), 1000);
        let crlf = String::from_utf8(signature.clone()).unwrap().replace('\n', "\r\n").into_bytes();
        for signature in [signature, crlf] {
            let (added, records) = add(&mut desk, &(document.clone(), bytes.clone(), signature), 1000);
            assert!(added.received, "{added:?}");
            assert!(records.is_empty(), "{records:?}");
        }
    }

    #[test]
    fn what_nobody_signed_is_named_and_does_not_fill_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = desk(dir.path());
        let (document, mut bytes, signature) = request();
        bytes.push(b'\n');
        for (uid, kept) in [(1000, false), (0, true)] {
            let (added, records) = add(&mut desk, &(document.clone(), bytes.clone(), signature.clone()), uid);
            assert!(!added.received && added.text.contains("signature"), "{added:?}");
            let Some(Body::Grant(grant)) = records.last().map(|record| &record.body) else { panic!() };
            assert_eq!((grant.act, grant.document), (GrantAct::Refused, added.id));
            assert_eq!((!grant.bytes.is_empty(), !grant.signature.is_empty()), (kept, kept));
            let text = grant.text.as_utf8().unwrap();
            assert!(text.ends_with(&format!("(handed in by uid {uid})")), "{text}");
        }
        for junk in [Vec::new(), b"\xff\xfe".to_vec(), vec![b'x'; 100_000]] {
            let mut records = Vec::new();
            let added = desk.add(junk.clone(), junk, 1000, BootNanos::new(6), &mut records);
            assert!(!added.received && added.state.is_none() && records.len() == 1, "{added:?}");
        }
    }

    fn opened(mark: u64) -> Vec<Tracked> {
        use crate::index::fixture as fx;
        let mark = Mark::new(mark);
        let (boot_ns, flags) = (BootNanos::new(7), crate::model::Flags::default());
        let record = Record { boot_ns, cpu: 0, flags, task: None, body: fx::start(1) };
        vec![
            Tracked::Opened { mark, id: SessionId::new([1; 16]), at: boot_ns },
            Tracked::Event { mark, record },
        ]
    }

    fn coverage(tracked: &[Tracked]) -> Option<(Coverage, String)> {
        tracked.iter().rev().find_map(|item| match item {
            Tracked::Event { record, .. } => match &record.body {
                Body::Coverage(change) => {
                    Some((change.coverage, change.person.as_utf8().unwrap_or_default().to_owned()))
                }
                _ => None,
            },
            _ => None,
        })
    }

    #[test]
    fn a_login_makes_work_on_a_shared_account_somebodys_and_a_grant_covers_it_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = desk(dir.path());
        let unattributed = Coverage::Uncovered { reason: Uncovered::Unattributed };
        let round = desk.round(at(6), opened(1));
        assert_eq!(coverage(&round.tracked), Some((unattributed, String::new())));
        // The session of the fixture has the audit session 3.
        let mut login = Login {
            account: "oncall1".into(),
            key: Bytes::from(key(1).fingerprint(HashAlg::Sha256).to_string().as_str()),
            audit_session: 3,
            ..Login::default()
        };
        assert!(desk.ledger().is_some() && desk.ledger().is_none(), "once until something changes");
        let before = desk.published.clone().unwrap();
        desk.logged_in(&mut login);
        assert_eq!(login.person.as_slice(), b"anna");
        let ledger = desk.ledger().unwrap();
        assert_eq!(ledger.person("oncall1", 3), Some("anna"));
        assert!(Arc::ptr_eq(&ledger.book, &before));
        let round = desk.round(at(8), opened(2));
        let no_grant = Coverage::Uncovered { reason: Uncovered::NoGrant };
        assert_eq!(coverage(&round.tracked), Some((no_grant, "anna".to_owned())));
        let request = request();
        add(&mut desk, &request, 1000);
        add(&mut desk, &approval(&request.0), 1000);
        assert!(desk.ledger().unwrap().book.grant(&request.0.id).is_some());
        // Milliseconds later, not with the next look at the directory.
        let round = desk.round(at(9_000_000), Vec::new());
        let covered = Coverage::Covered { grant: request.0.id };
        assert_eq!(coverage(&round.tracked), Some((covered, "anna".to_owned())));
    }
}
