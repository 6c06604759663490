//! The book: every verified document, what became of every request, and who has which grants.
//!
//! It holds a set. Inserting is idempotent, in any order; the journal is the memory from which it is rebuilt. Documents
//! come here after their signature was checked; whether the signer may say what he says is judged here, by the policy.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Document, Grant, Note, Policy, Signed, Statement,
    grade::{Said, grade},
};
use crate::model::{Digest, RealNanos};

/// A document whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub document: Document,
    /// The principal that the list of signers gives for the signature.
    pub principal: String,
    /// Fingerprint of the key, `SHA256:…`.
    pub key: String,
    /// Trusted time of receipt.
    pub received: RealNanos,
}

impl Verified {
    /// A document with its good signature, which the list of signers allows the one whom it names.
    pub fn new(document: Document, signed: &Signed, received: RealNanos) -> Self {
        Self { principal: document.signer.clone(), document, key: signed.key.fingerprint(), received }
    }
}

/// Why a document is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// Signed by another than it names.
    #[error("the signature is not of the signer that the document names")]
    NotTheSigner,
    /// It ends before it begins.
    #[error("the window is empty")]
    EmptyWindow,
    /// Longer than the policy's `max_window`.
    #[error("the window is longer than the policy allows")]
    WindowTooLong,
    /// It asks for nothing.
    #[error("no privilege is asked for")]
    NoPrivilege,
    /// Nobody wrote why.
    #[error("the reason is missing")]
    NoReason,
    /// Break glass and notes are for oneself.
    #[error("this can be signed only by the person it is about")]
    NotHisOwn,
    /// No rule of the policy lets this be approved on this host.
    #[error("no rule of the policy allows this on this host")]
    NoRule,
    /// The policy does not let this person say so.
    #[error("the policy does not let this person say so")]
    NotAllowed,
    /// One's own request.
    #[error("nobody approves his own request")]
    HisOwn,
    /// This person, or this key, approved already.
    #[error("this person or key approved already")]
    Repeated,
    /// The certificate says another name.
    #[error("the certificate is another person's")]
    OtherPerson,
    /// A token is shown when it is used.
    #[error("a token is used, not filed")]
    Misplaced,
    /// It would not make the window longer.
    #[error("the extension makes nothing longer")]
    NotLonger,
    /// The request is closed or over.
    #[error("the request was closed or over before this was received")]
    TooLate,
}

/// What became of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It counts.
    Counts,
    /// Its request is not known yet.
    Dangling,
    /// It is not followed.
    Refused(Refusal),
}

/// A document by one key of one principal.
type Name = (Digest, String, String);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    document: Arc<Document>,
    received: RealNanos,
}

/// How often a book was changed: tells whoever keeps something that follows from it. Two books that hold the same are
/// equal, however they came to it.
#[derive(Clone, Copy, Debug, Default)]
struct Changes(u64);

impl PartialEq for Changes {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Changes {}

/// The state machine of grants on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    policy: Policy,
    host: String,
    kept: BTreeMap<Name, Kept>,
    /// Documents about a request, by its id.
    answers: BTreeMap<Digest, BTreeSet<Name>>,
    grants: BTreeMap<Digest, Grant>,
    by_person: BTreeMap<String, BTreeSet<Digest>>,
    verdicts: BTreeMap<Digest, Verdict>,
    changes: Changes,
}

impl Book {
    /// An empty book. `host` is the name that patterns of hosts are matched against.
    pub fn new(policy: Policy, host: impl Into<String>) -> Self {
        Self {
            policy,
            host: host.into(),
            kept: BTreeMap::new(),
            answers: BTreeMap::new(),
            grants: BTreeMap::new(),
            by_person: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            changes: Changes::default(),
        }
    }

    /// Takes a document, and tells what became of it so far. The same one again changes nothing, unless it turns out to
    /// have been received earlier.
    pub fn insert(&mut self, verified: Verified) -> Verdict {
        let Verified { document, principal, key, received } = verified;
        let id = document.id;
        if let Statement::Token(_) = document.statement {
            self.verdicts.insert(id, Verdict::Refused(Refusal::Misplaced));
            return self.verdict(&id);
        }
        let request = about(&document);
        let name = (id, principal, key);
        match self.kept.get_mut(&name) {
            Some(kept) if kept.received <= received => return self.verdict(&id),
            Some(kept) => kept.received = received,
            None => {
                self.kept.insert(name.clone(), Kept { document: Arc::new(document), received });
            }
        }
        self.changes.0 = self.changes.0.wrapping_add(1);
        match request {
            Some(request) => {
                if request != id {
                    self.answers.entry(request).or_default().insert(name);
                }
                self.regrade(request);
            }
            None => self.judge_note(id),
        }
        self.verdict(&id)
    }

    /// What became of a document; one that was never inserted dangles.
    pub fn verdict(&self, id: &Digest) -> Verdict {
        self.verdicts.get(id).copied().unwrap_or(Verdict::Dangling)
    }

    /// Judges everything by another policy.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
        self.changes.0 = self.changes.0.wrapping_add(1);
        let ids: BTreeSet<Digest> = self.kept.values().filter_map(|kept| about(&kept.document)).collect();
        for id in ids {
            self.regrade(id);
        }
        let notes: BTreeSet<Digest> =
            self.kept.values().filter(|k| about(&k.document).is_none()).map(|k| k.document.id).collect();
        for id in notes {
            self.judge_note(id);
        }
    }

    /// Another number after every change.
    pub fn generation(&self) -> u64 {
        self.changes.0
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The host it is about.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// How many signed documents it holds.
    pub fn documents(&self) -> usize {
        self.kept.len()
    }

    /// One request and what became of it.
    pub fn grant(&self, id: &Digest) -> Option<&Grant> {
        self.grants.get(id)
    }

    /// All of them, by id.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.grants.values()
    }

    /// Those of one person, by id.
    pub fn grants_of(&self, person: &str) -> impl Iterator<Item = &Grant> {
        self.by_person.get(person).into_iter().flatten().filter_map(|id| self.grants.get(id))
    }

    /// Answers whose request is not known, by id.
    pub fn dangling(&self) -> impl Iterator<Item = &Document> {
        self.answers
            .iter()
            .filter(|(request, _)| !self.grants.contains_key(request))
            .flat_map(|(_, names)| names)
            .filter_map(|name| self.kept.get(name))
            .map(|kept| &*kept.document)
    }

    /// Notes of a person that he signed himself, with their time of receipt.
    pub fn notes_of(&self, person: &str) -> impl Iterator<Item = (RealNanos, &Note)> {
        self.kept.values().filter_map(move |kept| match &kept.document.statement {
            Statement::Note(note) if note.person == person => {
                (self.verdict(&kept.document.id) == Verdict::Counts).then_some((kept.received, note))
            }
            _ => None,
        })
    }

    fn said(&self, name: &Name) -> Option<Said> {
        let kept = self.kept.get(name)?;
        let (_, principal, key) = name;
        Some(Said {
            document: Arc::clone(&kept.document),
            person: self.policy.signer(principal, key).to_owned(),
            key: key.clone(),
            received: kept.received,
            signer_agrees: kept.document.signer == *principal,
        })
    }

    /// All signatures of one document.
    fn signed(&self, id: Digest) -> Vec<Said> {
        let from = (id, String::new(), String::new());
        self.kept
            .range(from..)
            .take_while(|(n, _)| n.0 == id)
            .filter_map(|(name, _)| self.said(name))
            .collect()
    }

    fn regrade(&mut self, request: Digest) {
        let asked = self.signed(request);
        let answers: Vec<Said> =
            self.answers.get(&request).into_iter().flatten().filter_map(|name| self.said(name)).collect();
        let Some((grant, verdicts)) = grade(&self.policy, &self.host, &asked, &answers) else { return };
        let mut judged = BTreeMap::new();
        for (id, refusal) in verdicts {
            // Of several signatures of one document the best counts.
            let verdict = refusal.map_or(Verdict::Counts, Verdict::Refused);
            judged
                .entry(id)
                .and_modify(|known: &mut Verdict| *known = verdict.min(*known))
                .or_insert(verdict);
        }
        self.verdicts.extend(judged);
        self.by_person.entry(grant.request.person.clone()).or_default().insert(request);
        self.grants.insert(request, grant);
    }

    fn judge_note(&mut self, id: Digest) {
        let said = self.signed(id);
        let verdict = said.iter().map(|said| match &said.document.statement {
            _ if !said.signer_agrees => Verdict::Refused(Refusal::NotTheSigner),
            Statement::Note(note) if note.person == said.person => Verdict::Counts,
            _ => Verdict::Refused(Refusal::NotHisOwn),
        });
        if let Some(verdict) = verdict.min() {
            self.verdicts.insert(id, verdict);
        }
    }
}

/// The request that a document is, or is about.
fn about(document: &Document) -> Option<Digest> {
    document.statement.request().map(|_| document.id).or_else(|| document.statement.about())
}
