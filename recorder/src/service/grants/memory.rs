//! What has to be known of grants from one start to the next, as one record of the log carries it. It says nothing that
//! the records before it did not say: a start that finds it need not read those.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::intake;
use crate::{
    grant::{Document, Statement},
    journal::record::{get_serde, put_serde},
    model::{Body, BootId, Bytes, ClockPair, Digest, Grant, GrantAct, Login, RealNanos, Token, TokenAct},
};

/// What is over is remembered for a day more, so that a list of grants shows yesterday's.
const GRACE_NS: u64 = 86_400_000_000_000;
/// What has no window is remembered for as long as the longest one.
const LONGEST_NS: u64 = 31 * GRACE_NS;
/// Forgotten documents that are still no news where they lie.
const MOST_OVER: usize = 2048;
/// Most bytes; a record may have 512 KiB. What is more is not written, and the next start reads everything.
const MOST_BYTES: usize = 400 << 10;
/// First byte of the packed form.
const FORMAT: u8 = 1;

/// What the journal remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// The boot that logins and the first clock are of.
    boot: BootId,
    /// First trusted pair of this boot, if the recorder ran in it already.
    pub(super) anchor: Option<ClockPair>,
    /// The latest time that any record bears.
    pub(super) latest: RealNanos,
    /// Documents that were received, as they were recorded, by document, signer and key.
    documents: BTreeMap<(Digest, Bytes, Bytes), Grant>,
    /// The last state of each grant, in words.
    states: BTreeMap<Digest, Bytes>,
    /// What became of tokens.
    tokens: BTreeMap<Digest, Token>,
    /// Logins of this boot, by audit session: their sessions may go on.
    logins: BTreeMap<u32, Login>,
    /// Pairs of document and signature that were received and are over, oldest first.
    over: VecDeque<Digest>,
}

impl Memory {
    /// Nothing yet.
    pub(super) fn new(boot: BootId) -> Self {
        Self { boot, ..Self::default() }
    }

    /// Takes what a record of this boot says.
    pub(super) fn take(&mut self, body: &Body) {
        match body {
            Body::Grant(grant) if grant.act == GrantAct::Received => {
                let name = (grant.document, grant.signer.clone(), grant.key.clone());
                let known = self.documents.entry(name).or_insert_with(|| Grant::clone(grant));
                known.received = known.received.min(grant.received);
            }
            Body::Grant(grant) if grant.act == GrantAct::State => {
                self.states.insert(grant.document, grant.text.clone());
            }
            Body::Token(token) => match token.act {
                TokenAct::Used | TokenAct::Expired => {
                    self.tokens.insert(token.token, Token::clone(token));
                }
                TokenAct::Seen => {
                    self.tokens.entry(token.token).or_insert_with(|| Token::clone(token));
                }
                _ => {}
            },
            Body::Login(login) if login.audit_session != u32::MAX => {
                self.logins.insert(login.audit_session, Login::clone(login));
            }
            _ => {}
        }
    }

    /// Takes what an earlier run remembered. False if this program can't read it.
    pub(super) fn take_packed(&mut self, packed: &[u8]) -> bool {
        let Some((&FORMAT, rest)) = packed.split_first() else { return false };
        let Ok(told) = get_serde::<Self>(rest) else { return false };
        self.latest = self.latest.max(told.latest);
        told.documents.into_values().for_each(|grant| self.take(&Body::Grant(Box::new(grant))));
        self.states.extend(told.states);
        told.tokens.into_values().for_each(|token| self.take(&Body::Token(Box::new(token))));
        self.over = told.over;
        if told.boot == self.boot {
            // Of several starts in a boot the first one's counts.
            self.anchor = told.anchor.or(self.anchor);
            self.logins.extend(told.logins);
        }
        true
    }

    /// Forgets what can matter to nobody any more: grants that are long over with all that was said about them, spent
    /// tokens, logins of audit sessions that no process is in.
    pub(super) fn tidy(&mut self, now: RealNanos, living: &HashSet<u32>) {
        let mut ends: HashMap<Digest, RealNanos> = HashMap::new();
        for (grant, end) in self.documents.values().filter_map(|grant| Some((grant, end_of(grant)?))) {
            let known = ends.entry(group_of(grant)).or_default();
            *known = (*known).max(end);
        }
        let is_over = |grant: &Grant| {
            // Notes, and answers to what never came.
            let without = grant.received.get().saturating_add(LONGEST_NS);
            let end = ends.get(&group_of(grant)).map_or(without, |end| end.get());
            end.saturating_add(GRACE_NS) <= now.get()
        };
        let over = self.documents.values().filter(|grant| is_over(grant));
        self.over.extend(over.map(|grant| intake::name(grant.bytes.as_slice(), grant.signature.as_slice())));
        self.over.drain(..self.over.len().saturating_sub(MOST_OVER));
        self.documents.retain(|_, grant| !is_over(grant));
        let known: HashSet<Digest> = self.documents.values().map(group_of).collect();
        self.states.retain(|request, _| known.contains(request));
        self.tokens.retain(|_, token| token.act == TokenAct::Seen || now < token.until);
        self.logins.retain(|session, _| living.contains(session));
    }

    /// The record that carries it; the number of bytes if those are too many.
    pub(super) fn record(&self, now: RealNanos) -> Result<Grant, usize> {
        let mut packed = vec![FORMAT];
        put_serde(&mut packed, self);
        if packed.len() > MOST_BYTES {
            return Err(packed.len());
        }
        let bytes = Bytes::new(packed);
        Ok(Grant { act: GrantAct::Memory, received: now, bytes, ..Grant::default() })
    }

    /// Documents that were received.
    pub(super) fn documents(&self) -> impl Iterator<Item = &Grant> {
        self.documents.values()
    }

    /// The last state of each grant, in words.
    pub(super) fn states(&self) -> BTreeMap<Digest, String> {
        let word = |text: &Bytes| text.as_utf8().unwrap_or_default().to_owned();
        self.states.iter().map(|(request, text)| (*request, word(text))).collect()
    }

    /// What became of tokens.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.values()
    }

    /// Logins of this boot.
    pub(super) fn logins(&self) -> impl Iterator<Item = &Login> {
        self.logins.values()
    }

    /// What the intake calls pairs that are over.
    pub(super) fn over(&self) -> impl Iterator<Item = Digest> {
        self.over.iter().copied()
    }
}

/// The request that a document is about; a note is about itself.
fn group_of(grant: &Grant) -> Digest {
    if grant.request == Digest::default() { grant.document } else { grant.request }
}

/// The end of the window that the document itself names, whether anybody follows it or not.
fn end_of(grant: &Grant) -> Option<RealNanos> {
    match Document::parse(grant.bytes.as_slice()).ok()?.statement {
        Statement::Extension(extension) => Some(extension.until),
        statement => statement.request().map(|request| request.window.until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        grant::{Nonce, Privilege, Request, Window},
        journal::key::sha256,
        model::BootNanos,
    };

    const BOOT: BootId = BootId::new([1; 16]);
    /// 2026-11-21T02:31:00Z.
    const NOW: u64 = 1_795_228_260_000_000_000;
    const HOUR_NS: u64 = 3_600_000_000_000;

    fn at(ns: u64) -> RealNanos {
        RealNanos::new(NOW + ns)
    }

    fn received(text: &str, request: Option<Digest>) -> Grant {
        let document = sha256(text.as_bytes());
        Grant {
            document,
            request: request.unwrap_or(document),
            received: at(0),
            signer: "anna".into(),
            bytes: text.into(),
            signature: "signature".into(),
            ..Grant::default()
        }
    }

    fn request(hours: u64) -> Grant {
        let request = Request {
            person: "anna".into(),
            hosts: vec!["*".into()],
            window: Window { from: at(0), until: at(hours * HOUR_NS) },
            privileges: vec![Privilege::Root],
            reason: "disk".into(),
            incident: None,
            token: false,
        };
        let statement = Statement::Request(request);
        let (_, bytes) = Document::write("anna", at(0), Nonce::new([1; 16]), &statement).unwrap();
        received(std::str::from_utf8(&bytes).unwrap(), None)
    }

    fn body(grant: &Grant) -> Body {
        Body::Grant(Box::new(grant.clone()))
    }

    fn login(audit_session: u32) -> Body {
        Body::Login(Box::new(Login { audit_session, ..Login::default() }))
    }

    fn token(id: u8, act: TokenAct, until: u64) -> Body {
        Body::Token(Box::new(Token {
            token: Digest::new([id; 32]),
            act,
            until: at(until),
            ..Token::default()
        }))
    }

    fn packed(memory: &Memory) -> Vec<u8> {
        memory.record(at(0)).unwrap().bytes.as_slice().to_vec()
    }

    #[test]
    fn what_one_run_packs_the_next_one_knows() {
        let mut memory = Memory::new(BOOT);
        let asked = request(1);
        memory.anchor = Some(ClockPair { boot: BootNanos::new(5), real: at(0) });
        memory.latest = at(9);
        memory.take(&body(&asked));
        memory.take(&body(&Grant { act: GrantAct::State, text: "active".into(), ..asked.clone() }));
        memory.take(&body(&Grant {
            act: GrantAct::Refused,
            document: Digest::new([9; 32]),
            ..asked.clone()
        }));
        memory.take(&token(1, TokenAct::Used, 9));
        memory.take(&token(1, TokenAct::Seen, 9));
        memory.take(&token(2, TokenAct::Refused, 9));
        memory.take(&login(7));
        memory.take(&login(u32::MAX));
        let mut next = Memory::new(BOOT);
        // It began later in this boot, which is no reason to trust another clock.
        next.anchor = Some(ClockPair { boot: BootNanos::new(50), real: at(4000) });
        assert!(next.take_packed(&packed(&memory)));
        assert_eq!(next, memory);
        assert_eq!(next.documents().count(), 1);
        assert_eq!(next.tokens().map(|token| token.act).collect::<Vec<_>>(), [TokenAct::Used]);
        assert_eq!(next.states().get(&asked.document).map(String::as_str), Some("active"));
    }

    #[test]
    fn logins_and_clocks_of_another_boot_are_nobodys() {
        let mut memory = Memory::new(BOOT);
        memory.anchor = Some(ClockPair { boot: BootNanos::new(5), real: at(0) });
        memory.latest = at(9);
        memory.take(&login(7));
        memory.take(&token(1, TokenAct::Used, 9));
        let mut next = Memory::new(BootId::new([2; 16]));
        assert!(next.take_packed(&packed(&memory)));
        assert_eq!((next.anchor, next.logins().count(), next.latest), (None, 0, at(9)));
        assert_eq!(next.tokens().count(), 1);
    }

    #[test]
    fn what_is_no_memory_changes_nothing() {
        let mut memory = Memory::new(BOOT);
        memory.take(&login(7));
        let good = packed(&memory);
        let mut newer = good.clone();
        newer[0] = FORMAT + 1;
        let mut longer = good.clone();
        longer.push(0);
        for junk in
            [Vec::new(), vec![FORMAT], newer, longer, good[..good.len() - 1].to_vec(), vec![0xff; 999]]
        {
            let mut next = Memory::new(BOOT);
            assert!(!next.take_packed(&junk));
            assert_eq!(next, Memory::new(BOOT));
        }
    }

    #[test]
    fn what_is_over_is_forgotten_and_no_news_a_second_time() {
        let mut memory = Memory::new(BOOT);
        let (short, long) = (request(1), request(50));
        let revoked = received("revocation", Some(short.document));
        let dangling = received("approval", Some(Digest::new([8; 32])));
        for grant in [&short, &long, &revoked, &dangling] {
            memory.take(&body(grant));
            memory.take(&body(&Grant { act: GrantAct::State, text: "active".into(), ..(*grant).clone() }));
        }
        memory.take(&token(1, TokenAct::Used, HOUR_NS));
        memory.take(&token(2, TokenAct::Seen, HOUR_NS));
        memory.take(&login(7));
        memory.take(&login(8));
        let living = HashSet::from([8]);
        let left = |memory: &Memory| memory.documents().map(|grant| grant.document).collect::<HashSet<_>>();
        memory.tidy(at(HOUR_NS / 2), &living);
        assert_eq!((memory.documents().count(), memory.tokens().count(), memory.logins().count()), (4, 2, 1));
        // The revocation stays for as long as what it revokes.
        memory.tidy(at(HOUR_NS + GRACE_NS - 1), &living);
        assert_eq!(left(&memory).len(), 4);
        memory.tidy(at(HOUR_NS + GRACE_NS), &living);
        assert_eq!(left(&memory), HashSet::from([long.document, dangling.document]));
        assert_eq!(memory.tokens().map(|token| token.act).collect::<Vec<_>>(), [TokenAct::Seen]);
        assert!(!memory.states().contains_key(&short.document));
        let name = |grant: &Grant| intake::name(grant.bytes.as_slice(), grant.signature.as_slice());
        assert_eq!(memory.over().collect::<HashSet<_>>(), HashSet::from([name(&short), name(&revoked)]));
        memory.tidy(at(LONGEST_NS + GRACE_NS), &living);
        assert_eq!(left(&memory), HashSet::new());
    }

    #[test]
    fn what_is_too_much_is_not_packed() {
        let mut memory = Memory::new(BOOT);
        for n in 0..10 {
            memory.take(&body(&received(&format!("{n}{}", "x".repeat(50_000)), None)));
        }
        assert!(memory.record(at(0)).is_err_and(|bytes| bytes > MOST_BYTES));
    }
}
