//! What becomes of one request: its signatures and answers in, its grant out. A pure function of a set, so the order in
//! which documents arrive can't matter.
//!
//! Time is the trusted time of receipt, never what a document says about itself. A document that is received at T changes
//! nothing before T.

use std::{fmt, sync::Arc};

use super::{
    Document, Policy, Refusal, Request, Statement, Window,
    pattern::{Case, listed},
    policy::Rule,
};
use crate::model::{Digest, RealNanos};

/// A verified document, its signer resolved to a person.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) document: Arc<Document>,
    pub(super) person: String,
    pub(super) key: String,
    pub(super) received: RealNanos,
    /// The signature is of the one whom the document names.
    pub(super) signer_agrees: bool,
}

/// The end that somebody put to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Trusted time of receipt, or of the request's if that came later.
    pub at: RealNanos,
    /// Who said so.
    pub by: String,
    /// False: a rejection of what was not approved yet.
    pub revoked: bool,
}

/// Where a request stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for approvals.
    Requested,
    /// Approved; its window has not begun.
    Approved,
    /// It allows.
    Active,
    /// Somebody said no before it was approved. Final.
    Rejected,
    /// Somebody ended it. Final.
    Revoked,
    /// Its window is over.
    Expired,
    /// It can't become a grant here, whoever approves.
    Refused(Refusal),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("requested"),
            Self::Approved => f.write_str("approved"),
            Self::Active => f.write_str("active"),
            Self::Rejected => f.write_str("rejected"),
            Self::Revoked => f.write_str("revoked"),
            Self::Expired => f.write_str("expired"),
            Self::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

/// A request and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// SHA-256 of the request's bytes.
    pub id: Digest,
    /// What was asked for. Its window is the original one.
    pub request: Arc<Request>,
    /// Self-signed, and flagged as such for ever.
    pub break_glass: bool,
    /// True if the request's hosts take this host in.
    pub here: bool,
    /// When the request was received.
    pub received: RealNanos,
    /// The first moment behind the window, extensions included.
    pub until: RealNanos,
    /// When the last needed document was received: nothing is allowed before. `None`: approvals are missing.
    pub opened: Option<RealNanos>,
    /// Who ended it, if somebody did.
    pub closed: Option<Closed>,
    /// The persons whose approvals count, in order of receipt, under the rule that is nearest to be fulfilled.
    pub approvals: Vec<String>,
    /// How many that rule needs; 0 for break glass.
    pub needed: usize,
    /// Who allowed it without signing anything here, if somebody did.
    pub voucher: Option<Voucher>,
    /// Each use takes a token.
    pub token: bool,
    /// Why it can't become a grant.
    pub refused: Option<Refusal>,
}

/// Who allowed a grant elsewhere, as far as the policy counts that. It is no approval by a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// The certificate authority with this fingerprint.
    Authority(String),
    /// Another system, as its importer says.
    System {
        /// Which.
        system: String,
        /// The grant's name there.
        external_id: String,
        /// Who approved it there.
        approvers: Vec<String>,
        /// Who brought it in.
        importer: String,
    },
}

impl Grant {
    /// The first moment that it allows once it is opened: the window's, or that of the last needed receipt.
    pub fn start(&self) -> Option<RealNanos> {
        self.opened.map(|opened| opened.max(self.request.window.from))
    }

    /// The stretch that it allows, perhaps none.
    pub fn effective(&self) -> Option<Window> {
        let from = self.start()?;
        let until = self.closed.as_ref().map_or(self.until, |c| c.at.min(self.until));
        (from < until).then_some(Window { from, until })
    }

    /// True if it was ended at that moment or before, and not by its window.
    pub fn is_closed_at(&self, now: RealNanos) -> bool {
        self.closed.as_ref().is_some_and(|c| c.at <= now && c.at < self.until)
    }

    /// Where it stands.
    pub fn state(&self, now: RealNanos) -> State {
        if let Some(refusal) = self.refused {
            return State::Refused(refusal);
        }
        if self.is_closed_at(now) {
            return if self.closed.as_ref().is_some_and(|c| c.revoked) {
                State::Revoked
            } else {
                State::Rejected
            };
        }
        if now >= self.until {
            return State::Expired;
        }
        match self.opened {
            Some(opened) if opened <= now && self.request.window.from <= now => State::Active,
            Some(opened) if opened <= now => State::Approved,
            _ => State::Requested,
        }
    }
}

/// What became of each document: `None` if it counts.
pub(super) type Verdicts = Vec<(Digest, Option<Refusal>)>;

/// Grades one request. `asked` are its signatures (one at least), `answers` what was said about it.
pub(super) fn grade(
    policy: &Policy,
    host: &str,
    asked: &[Said],
    answers: &[Said],
) -> Option<(Grant, Verdicts)> {
    // The first signature that will do decides when it was asked and who asks; if none will, the first says why.
    let mut asked: Vec<&Said> = asked.iter().collect();
    asked.sort_by(|a, b| (a.received, &a.person, &a.key).cmp(&(b.received, &b.person, &b.key)));
    let faults: Vec<_> = asked.iter().map(|said| fault(policy, host, said)).collect();
    let at = faults.iter().position(Option::is_none).unwrap_or(0);
    let (first, refused) = (*asked.get(at)?, *faults.get(at)?);
    let (request, break_glass) = request_of(&first.document)?;
    let good = asked.iter().zip(&faults).filter(|(_, fault)| fault.is_none()).map(|(said, _)| *said);
    let vouched = good.clone().find_map(|said| Some((said.received, vouch(policy, host, said)?)));
    let opened = break_glass.then_some(first.received).filter(|_| refused.is_none());
    let mut grading = Grading {
        first,
        rules: policy.rules_for(host, request).map(Tally::new).collect(),
        latest: request.window.from.get().saturating_add(policy.max_window_ns()),
        seen: Vec::new(),
        free: break_glass || vouched.as_ref().is_some_and(|(_, (_, token))| !token),
        grant: Grant {
            id: first.document.id,
            request: Arc::new(request.clone()),
            break_glass,
            here: listed(&request.hosts, host, Case::Ignore),
            received: first.received,
            until: request.window.until,
            opened: opened.or(vouched.as_ref().map(|(at, _)| *at)),
            closed: None,
            approvals: Vec::new(),
            needed: 0,
            token: request.token,
            voucher: vouched.map(|(_, (voucher, _))| voucher),
            refused,
        },
    };
    let mut verdicts = vec![(first.document.id, refused)];
    let mut answers: Vec<_> = answers.iter().map(|said| (said.received.max(first.received), said)).collect();
    answers.sort_by(|(at, a), (bt, b)| {
        let key = |said: &Said| (rank(&said.document.statement), said.received, said.document.id);
        (at, key(a), &a.person, &a.key).cmp(&(bt, key(b), &b.person, &b.key))
    });
    for (at, said) in answers {
        verdicts.push((said.document.id, grading.take(at, said).err()));
    }
    Some((grading.finish(), verdicts))
}

fn request_of(document: &Document) -> Option<(&Request, bool)> {
    let request = document.statement.request()?;
    Some((request, matches!(document.statement, Statement::BreakGlass(_))))
}

/// Whether somebody outside allowed it in a way that the policy counts, and whether each use then takes a token.
fn vouch(policy: &Policy, host: &str, said: &Said) -> Option<(Voucher, bool)> {
    match &said.document.statement {
        Statement::Certificate(certified) => {
            let authority = certified.certificate.authority().fingerprint();
            let token = policy.authority_allows(&authority, host, &certified.request)?;
            Some((Voucher::Authority(authority), token))
        }
        Statement::Import(import) => {
            let token = policy.import_allows(&said.person, host, import)?;
            let (system, external_id) = (import.system.clone(), import.external_id.clone());
            let (approvers, importer) = (import.approvers.clone(), said.person.clone());
            Some((Voucher::System { system, external_id, approvers, importer }, token))
        }
        _ => None,
    }
}

/// Of answers that count from the same moment: no before yes, and the yes that needs nobody else last.
fn rank(statement: &Statement) -> u8 {
    match statement {
        Statement::Revocation(_) => 0,
        Statement::Rejection(_) => 1,
        Statement::Approval(_) => 2,
        _ => 3,
    }
}

fn fault(policy: &Policy, host: &str, said: &Said) -> Option<Refusal> {
    let (request, break_glass) = request_of(&said.document)?;
    let window = request.window;
    if !said.signer_agrees {
        Some(Refusal::NotTheSigner)
    } else if window.from >= window.until {
        Some(Refusal::EmptyWindow)
    } else if window.until.get().saturating_sub(window.from.get()) > policy.max_window_ns() {
        Some(Refusal::WindowTooLong)
    } else if request.privileges.is_empty() {
        Some(Refusal::NoPrivilege)
    } else if request.reason.trim().is_empty() {
        Some(Refusal::NoReason)
    } else if break_glass && said.person != request.person {
        Some(Refusal::NotHisOwn)
    } else if break_glass && !policy.may_break_glass(&request.person) {
        Some(Refusal::NotAllowed)
    } else if !policy.is_for_person(&said.document.statement) {
        Some(Refusal::OtherPerson)
    } else if !break_glass
        && policy.rules_for(host, request).next().is_none()
        && vouch(policy, host, said).is_none()
    {
        Some(Refusal::NoRule)
    } else {
        None
    }
}

/// Approvals under one rule.
struct Tally<'a> {
    rule: &'a Rule,
    persons: Vec<&'a str>,
}

impl<'a> Tally<'a> {
    fn new(rule: &'a Rule) -> Self {
        Self { rule, persons: Vec::new() }
    }

    fn missing(&self) -> usize {
        self.rule.count.saturating_sub(self.persons.len())
    }
}

struct Grading<'a> {
    first: &'a Said,
    rules: Vec<Tally<'a>>,
    /// Where the policy's longest window ends.
    latest: u64,
    /// Persons and keys that approved already: neither makes a second approver.
    seen: Vec<(&'a str, &'a str)>,
    /// Something that allows it asks for no token: one rule that holds is enough.
    free: bool,
    grant: Grant,
}

impl<'a> Grading<'a> {
    fn take(&mut self, at: RealNanos, said: &'a Said) -> Result<(), Refusal> {
        if !said.signer_agrees {
            return Err(Refusal::NotTheSigner);
        }
        if let Some(refusal) = self.grant.refused {
            return Err(refusal);
        }
        if self.grant.closed.is_some() {
            return Err(Refusal::TooLate);
        }
        match &said.document.statement {
            Statement::Approval(_) => self.approve(at, said),
            Statement::Extension(extension) => self.extend(at, said, extension.until),
            Statement::Rejection(_) => {
                self.close(at, said, self.grant.opened.is_some_and(|opened| opened <= at))
            }
            Statement::Revocation(_) => self.close(at, said, true),
            _ => Err(Refusal::NotAllowed),
        }
    }

    /// Whoever asked, by name or by key, and whom it is for.
    fn is_own(&self, said: &Said) -> bool {
        said.person == self.grant.request.person
            || said.person == self.first.person
            || said.key == self.first.key
    }

    fn may_approve(&self, said: &Said) -> Result<(), Refusal> {
        if self.is_own(said) {
            Err(Refusal::HisOwn)
        } else if self.rules.iter().any(|tally| tally.rule.approves(&said.person)) {
            Ok(())
        } else {
            Err(Refusal::NotAllowed)
        }
    }

    fn approve(&mut self, at: RealNanos, said: &'a Said) -> Result<(), Refusal> {
        self.may_approve(said)?;
        let repeated = self.seen.iter().any(|(person, key)| *person == said.person || *key == said.key);
        self.seen.push((&said.person, &said.key));
        if repeated {
            return Err(Refusal::Repeated);
        }
        for tally in self.rules.iter_mut().filter(|tally| tally.rule.approves(&said.person)) {
            tally.persons.push(&said.person);
        }
        let mut enough = self.rules.iter().filter(|tally| tally.missing() == 0).peekable();
        if enough.peek().is_some() && self.grant.opened.is_none_or(|opened| at < opened) {
            self.grant.opened = Some(at);
        }
        self.free |= enough.any(|tally| !tally.rule.token);
        Ok(())
    }

    /// A window that is over is not revived: that takes a new request.
    fn extend(&mut self, at: RealNanos, said: &Said, until: RealNanos) -> Result<(), Refusal> {
        self.may_approve(said)?;
        if at >= self.grant.until {
            return Err(Refusal::TooLate);
        }
        let until = until.min(RealNanos::new(self.latest));
        if until <= self.grant.until {
            return Err(Refusal::NotLonger);
        }
        self.grant.until = until;
        Ok(())
    }

    /// A no needs no second person: those who could approve may say it, and those who asked.
    fn close(&mut self, at: RealNanos, said: &Said, revoked: bool) -> Result<(), Refusal> {
        match self.may_approve(said) {
            Ok(()) | Err(Refusal::HisOwn) => {}
            Err(refusal) => return Err(refusal),
        }
        self.grant.closed = Some(Closed { at, by: said.person.clone(), revoked });
        Ok(())
    }

    fn finish(mut self) -> Grant {
        if !self.grant.break_glass
            && self.grant.voucher.is_none()
            && let Some(nearest) = self.rules.iter().min_by_key(|tally| tally.missing())
        {
            self.grant.approvals = nearest.persons.iter().map(|p| (*p).to_owned()).collect();
            self.grant.needed = nearest.rule.count;
        }
        self.grant.token |= self.grant.opened.is_some() && !self.free;
        self.grant
    }
}
