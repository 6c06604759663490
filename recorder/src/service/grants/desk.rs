//! Takes documents in, keeps the book, and turns what changes into records.

mod counter;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

pub(in crate::service) use self::counter::Added;
use super::{
    enforce::{Enforcer, Opened},
    intake::{Intake, Pair},
    memory::Memory,
    recall::{Place, recall},
    watch::Watch,
};
use crate::{
    capture::{GateKey, GateWindow},
    config::Config,
    grant::{
        AllowedSigners, Book, Clock, Document, NAMESPACE, Policy, Statement, Tokens, Verdict, Verified,
        verify_signature,
    },
    model::{
        Body, BootId, BootNanos, Bytes, ClockPair, Digest, Flags, Grant, GrantAct, Kind, RealNanos, Record,
    },
    service::kept::Kept,
    session::Tracked,
    sys::process,
    verify::VerifyError,
};

/// Between looks at the directory and at the lists.
const LOOK_NS: u64 = 1_000_000_000;
/// A wall clock so far from trusted time is told: grants go by another time than people read.
const APART_NS: u64 = 60_000_000_000;
/// Between records of all that is remembered.
const REMEMBER_NS: u64 = 3_600_000_000_000;

/// A list that decides, as it was read last.
#[derive(Debug)]
struct List {
    path: PathBuf,
    act: GrantAct,
    digest: Option<Digest>,
}

impl List {
    /// Its bytes if they are others than last time; a file that is not there is an empty list.
    fn changed(&mut self) -> Option<Vec<u8>> {
        let bytes = fs::read(&self.path).unwrap_or_default();
        let digest = Digest::new(Sha256::digest(&bytes).into());
        (self.digest.replace(digest) != Some(digest)).then_some(bytes)
    }
}

/// What tokens have opened, and whether the gates are to be written.
#[derive(Debug, Default)]
struct Till {
    tokens: Tokens,
    opened: Opened,
    /// A token, a document or a login changed who may what: the kernel is told in this round, not in the next second.
    changed: bool,
}

/// Everything about grants that the daemon knows.
#[derive(Debug)]
pub(in crate::service) struct Desk {
    intake: Intake,
    policy: List,
    signers: List,
    allowed: AllowedSigners,
    book: Book,
    clock: Clock,
    /// The last state of each grant that is on record, in words.
    states: BTreeMap<Digest, String>,
    /// What the next start has to know, and when it was last written down.
    memory: Memory,
    remembered: Option<BootNanos>,
    watch: Watch,
    enforcer: Option<Enforcer>,
    looked: Option<BootNanos>,
    /// The wall clock was said to be elsewhere.
    apart: bool,
    /// Something came over the socket by which open sessions are to be judged.
    judge_again: bool,
    till: Till,
    /// The book as it was published last, and whether it or the logins are others by now.
    published: Option<Arc<Book>>,
    unpublished: bool,
}

/// What a round came to.
#[derive(Debug, Default)]
pub(in crate::service) struct Round {
    /// Changes of coverage.
    pub(in crate::service) tracked: Vec<Tracked>,
    /// Records of the log.
    pub(in crate::service) control: Vec<Record>,
    /// Who may elevate from now on, if that is refused to others and was looked at.
    pub(in crate::service) gates: Option<HashMap<GateKey, GateWindow>>,
}

impl Desk {
    /// The desk with what the journal remembers; `None` if nothing is configured and no list of signers exists.
    pub(in crate::service) fn open(
        settings: &Config,
        host: &str,
        enforcer: Option<Enforcer>,
        (kept, boot): (&mut Kept, BootId),
        now: ClockPair,
    ) -> Result<Option<Self>, VerifyError> {
        let config = &settings.grants;
        if !config.named && !config.allowed_signers.exists() {
            return Ok(None);
        }
        let place = Place { dir: &settings.journal_dir, spare: settings.spare_dir.as_deref() };
        let mut memory = recall(&place, kept, boot)?;
        let anchor = anchor(&memory, now);
        memory.anchor = Some(anchor);
        let list = |path: &Path, act| List { path: path.to_path_buf(), act, digest: None };
        let mut desk = Self {
            intake: Intake::new(&config.dir),
            policy: list(&config.policy, GrantAct::Policy),
            signers: list(&config.allowed_signers, GrantAct::Signers),
            allowed: AllowedSigners::default(),
            book: Book::new(Policy::default(), host),
            clock: Clock::new(anchor),
            states: memory.states(),
            memory,
            remembered: None,
            watch: Watch::default(),
            enforcer,
            looked: None,
            apart: false,
            judge_again: false,
            till: Till::default(),
            published: None,
            unpublished: true,
        };
        desk.memory.tokens().for_each(|token| desk.till.tokens.remember(token));
        desk.memory.logins().for_each(|login| desk.watch.logins.take(login.clone()));
        desk.memory.over().for_each(|name| desk.intake.known_by_name(name));
        for kept in desk.memory.documents() {
            desk.intake.known(kept.bytes.as_slice(), kept.signature.as_slice());
            // It was good when it was received, and the journal says so; who may sign today is another question.
            if let Ok(document) = Document::parse(kept.bytes.as_slice()) {
                desk.book.insert(Verified {
                    document,
                    principal: kept.signer.as_utf8().unwrap_or_default().to_owned(),
                    key: kept.key.as_utf8().unwrap_or_default().to_owned(),
                    received: kept.received,
                });
            }
        }
        Ok(Some(desk))
    }

    /// One round: looks at the directory and the lists when it is time, judges what tracking gave out.
    pub(in crate::service) fn round(&mut self, pair: ClockPair, tracked: Vec<Tracked>) -> Round {
        let (mut round, now) = (Round::default(), pair.boot);
        let due = self.looked.is_none_or(|last| now.since(last) >= LOOK_NS);
        if due {
            // First, so that a session that begins in this round is judged by what lay there before.
            self.looked = Some(now);
            self.compare_clocks(pair);
            self.lists(now, &mut round.control);
            for pair in self.intake.news() {
                let record = self.receive(&pair, now);
                if record.act == GrantAct::Refused {
                    self.intake.put_aside(&pair);
                }
                round.control.push(control(now, record));
            }
            self.changed_states(now, &mut round.control);
            let over = self.till.tokens.expire(self.clock.real(now));
            round.control.extend(over.into_iter().map(|token| record(now, Body::Token(Box::new(token)))));
        }
        round.tracked = self.watch.pass(tracked, &self.book, &self.clock);
        if std::mem::take(&mut self.judge_again) || due {
            round.tracked.extend(self.watch.again(now, &self.book, &self.clock));
        }
        self.enforce(now, due, &mut round);
        round
    }

    /// Takes note of what goes into the journal. At the start, once an hour and at the end: the record that says all of it
    /// once more, so that the next start need not read further back.
    pub(in crate::service) fn remember(
        &mut self,
        control: &[Record],
        now: BootNanos,
        last: bool,
    ) -> Option<Record> {
        for record in control {
            self.memory.take(&record.body);
        }
        if !last && self.remembered.is_some_and(|then| now.since(then) < REMEMBER_NS) {
            return None;
        }
        self.remembered = Some(now);
        let real = self.clock.real(now);
        self.memory.latest = self.memory.latest.max(real);
        self.memory.tidy(real, &process::audit_sessions());
        match self.memory.record(real) {
            Ok(grant) => Some(self::control(now, grant)),
            Err(bytes) => {
                tracing::warn!(
                    bytes,
                    "too many grants are in force for one record: the next start reads the whole journal"
                );
                None
            }
        }
    }

    fn enforce(&mut self, now: BootNanos, due: bool, round: &mut Round) {
        let Some(enforcer) = &mut self.enforcer else { return };
        for (seat, done) in self.watch.refused() {
            Enforcer::tell_refused(&done, &seat);
        }
        let is_change = |item: &Tracked| matches!(item, Tracked::Event { record, .. } if record.body.kind() == Kind::COVERAGE);
        let changed = round.tracked.iter().any(is_change);
        if due || changed {
            round.tracked.extend(enforcer.round(&self.watch, &self.book, &self.clock, now));
        }
        if due || std::mem::take(&mut self.till.changed) {
            self.till.opened.retain(|_, until| now < *until);
            round.gates = enforcer.gates(&self.book, &self.watch.logins, &self.clock, now, &self.till.opened);
        }
    }

    /// A step of the wall clock is followed by nobody here: whoever is root could step into a window. It is a JUMP in the
    /// journal, and whoever runs the host has to know that grants go by the clock this boot began with.
    fn compare_clocks(&mut self, pair: ClockPair) {
        let trusted = self.clock.real(pair.boot);
        let apart = trusted.get().abs_diff(pair.real.get()) > APART_NS;
        if apart && !self.apart {
            tracing::error!(
                trusted = trusted.get() / 1_000_000_000,
                wall = pair.real.get() / 1_000_000_000,
                "the wall clock was moved; grants go by the time of this boot's first clock until the next boot"
            );
        }
        self.apart = apart;
    }

    fn lists(&mut self, now: BootNanos, out: &mut Vec<Record>) {
        if let Some(bytes) = self.signers.changed() {
            // Times without a zone are the host's, as ssh-keygen reads them.
            let read = AllowedSigners::parse(&bytes, &TimeZone::system());
            let fault = read.as_ref().err().map(ToString::to_string).or_else(|| faults(read.as_ref().ok()?));
            self.allowed = read.unwrap_or_default();
            out.push(control(now, listed(&self.signers, fault, self.clock.real(now))));
        }
        if let Some(bytes) = self.policy.changed() {
            let read = std::str::from_utf8(&bytes)
                .map_err(|_| "the text is not UTF-8".to_owned())
                .and_then(|text| Policy::parse(text).map_err(|e| e.to_string()));
            let fault = read.as_ref().err().cloned();
            // A policy that can't be read allows nothing.
            self.book.set_policy(read.unwrap_or_default());
            self.book_changed();
            out.push(control(now, listed(&self.policy, fault, self.clock.real(now))));
        }
    }

    /// Checks a pair and enters it into the book; gives the record that says what came of it.
    fn receive(&mut self, pair: &Pair, now: BootNanos) -> Grant {
        let received = self.clock.real(now);
        let mut record = Grant {
            act: GrantAct::Refused,
            document: Digest::new(Sha256::digest(&pair.document).into()),
            received,
            bytes: Bytes::from(pair.document.as_slice()),
            signature: Bytes::from(pair.signature.as_slice()),
            ..Grant::default()
        };
        match self.check(pair, received, &mut record) {
            Ok(verified) => {
                record.act = GrantAct::Received;
                self.book_changed();
                if let Verdict::Refused(why) = self.book.insert(verified) {
                    // Kept all the same: by another policy it may count, and it belongs to the story.
                    record.text = Bytes::from(why.to_string().as_str());
                }
            }
            Err(why) => record.text = Bytes::from(why.as_str()),
        }
        record
    }

    /// Fills in what is known about it on the way.
    fn check(&self, pair: &Pair, received: RealNanos, record: &mut Grant) -> Result<Verified, String> {
        let document = Document::parse(&pair.document).map_err(|e| e.to_string())?;
        record.kind = Bytes::from(document.statement.kind());
        record.signer = Bytes::from(document.signer.as_str());
        (record.request, record.person) = self.about(&document);
        let signed = verify_signature(&pair.document, &pair.signature).map_err(|e| e.to_string())?;
        record.key = Bytes::from(signed.key.fingerprint().as_str());
        self.allowed.allows(&document.signer, &signed, NAMESPACE, received).map_err(|e| e.to_string())?;
        Ok(Verified::new(document, &signed, received))
    }

    /// The request that a document is about, and whom that is for.
    fn about(&self, document: &Document) -> (Digest, Bytes) {
        let of = |request: Digest| {
            let person = self.book.grant(&request).map(|grant| grant.request.person.as_str());
            (request, Bytes::from(person.unwrap_or_default()))
        };
        match (&document.statement, document.statement.about()) {
            (_, Some(request)) => of(request),
            (Statement::Note(note), _) => (Digest::default(), Bytes::from(note.person.as_str())),
            (asked, _) => {
                (document.id, asked.request().map(|r| Bytes::from(r.person.as_str())).unwrap_or_default())
            }
        }
    }

    fn changed_states(&mut self, now: BootNanos, out: &mut Vec<Record>) {
        let real = self.clock.real(now);
        for grant in self.book.grants() {
            let state = grant.state(real).to_string();
            if self.states.get(&grant.id) == Some(&state) {
                continue;
            }
            self.states.insert(grant.id, state.clone());
            let record = Grant {
                act: GrantAct::State,
                document: grant.id,
                request: grant.id,
                person: Bytes::from(grant.request.person.as_str()),
                received: real,
                text: Bytes::from(state.as_str()),
                ..Grant::default()
            };
            out.push(control(now, record));
        }
    }
}

/// Trusted time goes on from where this boot's first recorder began; in a new boot it does not fall behind what the
/// journal has seen.
fn anchor(memory: &Memory, now: ClockPair) -> ClockPair {
    memory.anchor.unwrap_or(ClockPair { boot: now.boot, real: now.real.max(memory.latest) })
}

/// Lines of a list of signers that were left out, in words.
fn faults(list: &AllowedSigners) -> Option<String> {
    let faults: Vec<String> =
        list.faults().iter().take(5).map(|fault| format!("line {}: {}", fault.line, fault.why)).collect();
    (!faults.is_empty()).then(|| faults.join("; "))
}

fn listed(list: &List, fault: Option<String>, received: RealNanos) -> Grant {
    if let Some(fault) = &fault {
        tracing::error!(path = %list.path.display(), fault, "a list that decides about grants has faults");
    }
    Grant {
        act: list.act,
        document: list.digest.unwrap_or_default(),
        received,
        text: Bytes::from(fault.unwrap_or_default().as_str()),
        ..Grant::default()
    }
}

fn control(now: BootNanos, grant: Grant) -> Record {
    record(now, Body::Grant(Box::new(grant)))
}

fn record(now: BootNanos, body: Body) -> Record {
    Record { boot_ns: now, cpu: u16::MAX, flags: Flags::default(), task: None, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(boot: u64, real: u64) -> ClockPair {
        ClockPair { boot: BootNanos::new(boot), real: RealNanos::new(real) }
    }

    #[test]
    fn h7_a_clock_that_was_set_back_between_two_runs_opens_nothing() {
        let mut memory = Memory::default();
        (memory.anchor, memory.latest) = (Some(pair(5, 1000)), RealNanos::new(5000));
        assert_eq!(anchor(&memory, pair(900, 10)), pair(5, 1000));
        memory.anchor = None;
        assert_eq!(anchor(&memory, pair(7, 10)), pair(7, 5000));
        assert_eq!(anchor(&Memory::default(), pair(7, 10)), pair(7, 10));
    }
}
