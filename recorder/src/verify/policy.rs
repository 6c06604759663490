//! A C2SP policy: which witnesses, and how many of them, have to stand behind a checkpoint.
//! <https://c2sp.org/tlog-policy>. The file is read as bytes; names are opaque.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::note::{Algorithm, Note, NoteError, Signed, Verifier};

/// A longer file is no policy.
pub(super) const MAX_LEN: usize = 1 << 20;

/// Somebody who cosigns, or a group of those.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Member {
    /// `None`: a kind of key that this program can't check; he never counts.
    Witness(Option<Verifier>),
    Group {
        need: usize,
        members: Vec<usize>,
    },
}

/// Who must have cosigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quorum {
    /// Nobody.
    None,
    /// A witness or a group.
    Member(usize),
}

/// Logs, witnesses, groups, and the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    logs: Vec<Verifier>,
    members: Vec<(Vec<u8>, Member)>,
    quorum: Quorum,
}

/// A cosignature that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cosigner {
    /// The key's name.
    pub(super) name: String,
    /// Seconds since 1970.
    pub(super) time: u64,
    member: usize,
}

impl Policy {
    /// Reads a file; the line (from 1, 0 for the file as a whole) and what is wrong with it otherwise.
    pub(super) fn parse(raw: &[u8]) -> Result<Self, (usize, String)> {
        let mut reading = Reading::default();
        for (n, line) in raw.split(|b| *b == b'\n').enumerate() {
            reading.line(line).map_err(|why| (n.saturating_add(1), why))?;
        }
        let quorum = reading.quorum.ok_or((0, "there is no quorum line".to_owned()))?;
        Ok(Self { logs: reading.logs, members: reading.members, quorum })
    }

    /// True if the policy takes checkpoints of that log: it lists it, or no log at all.
    pub(super) fn knows(&self, log: &Verifier) -> bool {
        self.logs.is_empty() || self.logs.contains(log)
    }

    /// Witnesses whose keys can't be checked here.
    pub(super) fn unsupported(&self) -> usize {
        self.members.iter().filter(|(_, m)| matches!(m, Member::Witness(None))).count()
    }

    /// Every witness of the policy whose cosignature of the note holds, the earliest first. A wrong one counts for nothing.
    pub(super) fn cosigners(&self, note: &Note) -> Vec<Cosigner> {
        let mut found: Vec<Cosigner> = self
            .members
            .iter()
            .enumerate()
            .filter_map(|(member, (_, kind))| {
                let Member::Witness(Some(verifier)) = kind else { return None };
                let Signed::At(time) = note.signed_by(verifier) else { return None };
                Some(Cosigner { name: verifier.name().to_owned(), time, member })
            })
            .collect();
        found.sort_by_key(|c| c.time);
        found
    }

    /// The time at which enough of them had signed, in seconds since 1970; `None` if they are too few. They come as
    /// [`Self::cosigners`] gives them. A quorum of none is reached at once: at 2^64-1, when everything was there.
    pub(super) fn reached(&self, cosigners: &[Cosigner]) -> Option<u64> {
        let Quorum::Member(quorum) = self.quorum else { return Some(u64::MAX) };
        let mut signed = BTreeSet::new();
        cosigners.iter().find_map(|cosigner| {
            signed.insert(cosigner.member);
            self.stands(quorum, &signed).then_some(cosigner.time)
        })
    }

    /// Members are defined before they are named, so this ends; each is a member once, so it is linear.
    fn stands(&self, member: usize, signed: &BTreeSet<usize>) -> bool {
        match self.members.get(member) {
            Some((_, Member::Witness(_))) => signed.contains(&member),
            Some((_, Member::Group { need, members })) => {
                members.iter().filter(|m| self.stands(**m, signed)).count() >= *need
            }
            None => false,
        }
    }
}

#[derive(Default)]
struct Reading {
    logs: Vec<Verifier>,
    members: Vec<(Vec<u8>, Member)>,
    names: BTreeMap<Vec<u8>, usize>,
    keys: BTreeSet<Vec<u8>>,
    /// Who is a member of a group already.
    taken: BTreeSet<usize>,
    quorum: Option<Quorum>,
}

fn shown(word: &[u8]) -> String {
    crate::model::Bytes::from(word).escaped()
}

fn vkey(word: &[u8]) -> Result<Verifier, NoteError> {
    std::str::from_utf8(word).map_err(|_| NoteError::VerifierKey).and_then(Verifier::parse)
}

impl Reading {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        if line.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) {
            return Err("a control character".to_owned());
        }
        let words: Vec<&[u8]> =
            line.split(|b| *b == b' ' || *b == b'\t').filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", key] | [b"log", key, _] => self.log(key),
            [b"witness", name, key] | [b"witness", name, key, _] => self.witness(name, key),
            [b"group", name, need, members @ ..] => self.group(name, need, members),
            [b"quorum", name] => self.set_quorum(name),
            [first, ..] => Err(format!("no line of a policy: {}", shown(first))),
        }
    }

    fn log(&mut self, key: &[u8]) -> Result<(), String> {
        let verifier = vkey(key).map_err(|e| e.to_string())?;
        if verifier.algorithm() != Algorithm::Ed25519 {
            return Err("a log's key must be of type 0x01".to_owned());
        }
        if self.logs.iter().any(|log| log.key() == verifier.key()) {
            return Err("the same log twice".to_owned());
        }
        self.logs.push(verifier);
        Ok(())
    }

    fn witness(&mut self, name: &[u8], key: &[u8]) -> Result<(), String> {
        let verifier = match vkey(key) {
            Ok(verifier) if verifier.algorithm() != Algorithm::Cosignature => {
                return Err("a witness's key must be of type 0x04".to_owned());
            }
            Ok(verifier) => Some(verifier),
            Err(NoteError::Algorithm(_)) => None,
            Err(e) => return Err(e.to_string()),
        };
        let same = verifier.as_ref().map_or_else(|| key.to_vec(), |v| v.key().0.to_vec());
        if !self.keys.insert(same) {
            return Err("the same witness's key twice".to_owned());
        }
        self.define(name, Member::Witness(verifier))
    }

    fn define(&mut self, name: &[u8], member: Member) -> Result<(), String> {
        if name == b"none" || self.names.insert(name.to_vec(), self.members.len()).is_some() {
            return Err(format!("the name {} is taken", shown(name)));
        }
        self.members.push((name.to_vec(), member));
        Ok(())
    }

    fn known(&self, name: &[u8]) -> Result<usize, String> {
        let known = self.names.get(name).copied();
        known.ok_or_else(|| format!("{} is not defined above", shown(name)))
    }

    fn group(&mut self, name: &[u8], need: &[u8], names: &[&[u8]]) -> Result<(), String> {
        let mut members = Vec::with_capacity(names.len());
        for name in names {
            let member = self.known(name)?;
            if !self.taken.insert(member) {
                return Err(format!("{} is a member already", shown(name)));
            }
            members.push(member);
        }
        let need = match need {
            b"any" => 1,
            b"all" => members.len(),
            digits => std::str::from_utf8(digits)
                .ok()
                .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|text| text.parse::<usize>().ok())
                .ok_or_else(|| format!("{} is no number, any or all", shown(digits)))?,
        };
        if need == 0 || need > members.len() {
            return Err("a group needs at least one of its members, and no more than it has".to_owned());
        }
        self.define(name, Member::Group { need, members })
    }

    fn set_quorum(&mut self, name: &[u8]) -> Result<(), String> {
        let quorum = if name == b"none" { Quorum::None } else { Quorum::Member(self.known(name)?) };
        match self.quorum.replace(quorum) {
            None => Ok(()),
            Some(_) => Err("a second quorum line".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::key::SecretKey;
    use crate::journal::note::cosign;
    use crate::sys::secret::Secret;

    const TEXT: &str = "log\n7\nAAAA\n";

    fn secret(n: u8) -> SecretKey {
        let mut page = Secret::new().unwrap();
        page.expose_mut().copy_from_slice(&[n; 32]);
        SecretKey::from_secret(page)
    }

    fn key(n: u8) -> String {
        Verifier::new(&format!("w{n}"), Algorithm::Cosignature, secret(n).public()).unwrap().to_string()
    }

    fn witnesses() -> String {
        (1..=6)
            .flat_map(|n| ["witness W".to_owned(), n.to_string(), " ".to_owned(), key(n), "\n".to_owned()])
            .collect()
    }

    fn policy(rest: &str) -> Result<Policy, (usize, String)> {
        Policy::parse(format!("{}{rest}", witnesses()).as_bytes())
    }

    /// Witness n signs at time 100 n.
    fn note(by: &[u8]) -> Note {
        let lines: String =
            by.iter().map(|n| cosign(&format!("w{n}"), &secret(*n), TEXT, 100 * u64::from(*n))).collect();
        Note::parse(format!("{TEXT}\n{lines}").as_bytes()).unwrap()
    }

    /// The quorum of the specification's example: two of the first three and one of the others.
    const EXAMPLE: &str =
        "group X 2 W1 W2 W3\n \tgroup Y any W4 W5 W6\ngroup X-and-Y all X Y\nquorum X-and-Y\n";

    #[test]
    fn a_quorum_of_groups_is_reached_when_enough_have_signed() {
        let policy = policy(EXAMPLE).unwrap();
        let reached = |by: &[u8]| policy.reached(&policy.cosigners(&note(by)));
        assert_eq!(reached(&[1, 2, 4]), Some(400));
        assert_eq!(reached(&[6, 3, 2, 1, 5]), Some(500), "the first five to have signed");
        for few in [&[1u8, 4][..], &[1, 2, 3], &[4, 5, 6], &[1]] {
            assert_eq!(reached(few), None, "{few:?}");
        }
        let any = super::Policy::parse(format!("{}quorum W3\n", witnesses()).as_bytes()).unwrap();
        assert_eq!(any.reached(&any.cosigners(&note(&[3]))), Some(300));
        assert_eq!(any.reached(&any.cosigners(&note(&[1, 2]))), None);
    }

    #[test]
    fn a_forged_cosignature_counts_for_nothing() {
        let policy = policy("quorum W1\n").unwrap();
        let mut forged = note(&[1]);
        forged.text = forged.text.replace('7', "8");
        assert_eq!(policy.reached(&policy.cosigners(&forged)), None);
        // Another's signature under the name of the first.
        let line = cosign("w1", &secret(2), TEXT, 100);
        let borrowed = Note::parse(format!("{TEXT}\n{line}").as_bytes()).unwrap();
        assert_eq!(policy.reached(&policy.cosigners(&borrowed)), None);
    }

    #[test]
    fn none_asks_for_nothing_and_logs_are_held_to() {
        let policy = Policy::parse(b"# all\n\n  quorum none").unwrap();
        assert_eq!(policy.reached(&[]), Some(u64::MAX));
        let neumann = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let log = Verifier::parse(neumann).unwrap();
        let other = Verifier::new("other", Algorithm::Ed25519, log.key()).unwrap();
        assert!(policy.knows(&log) && policy.knows(&other));
        let strict = Policy::parse(format!("log {neumann} https://x\nquorum none\n").as_bytes()).unwrap();
        assert!(strict.knows(&log) && !strict.knows(&other));
    }

    #[test]
    fn what_is_no_policy_is_refused_with_its_line() {
        let again = format!("witness W7 {}\nquorum W1\n", key(1));
        for (rest, line, why) in [
            ("", 0, "no quorum"),
            ("quorum W9\n", 7, "not defined"),
            ("quorum W1\nquorum W2\n", 8, "second quorum"),
            ("group G 0 W1\nquorum G\n", 7, "at least one"),
            ("group G 3 W1 W2\nquorum G\n", 7, "no more than it has"),
            ("group G all\nquorum G\n", 7, "at least one"),
            ("group G x W1\nquorum G\n", 7, "no number"),
            ("group G +1 W1\nquorum G\n", 7, "no number"),
            ("group G any W1 W1\nquorum G\n", 7, "a member already"),
            ("group G any W1\ngroup H any W1\nquorum H\n", 8, "a member already"),
            ("group G any G\nquorum G\n", 7, "not defined"),
            ("group W1 any W2\nquorum W1\n", 7, "taken"),
            ("group none any W2\nquorum none\n", 7, "taken"),
            ("group G any none\nquorum G\n", 7, "not defined"),
            ("witness W7 x+y+z\nquorum W1\n", 7, "no verifier key"),
            ("quorum W1 W2\n", 7, "no line of a policy"),
            ("quorum\u{b}W1\n", 7, "control"),
            (again.as_str(), 7, "twice"),
        ] {
            let (at, said) = policy(rest).unwrap_err();
            assert!(at == line && said.contains(why), "{rest:?}: line {at}: {said}");
        }
    }

    #[test]
    fn a_key_of_a_newer_kind_is_a_witness_who_never_counts() {
        let policy = Policy::parse(b"witness N n+00000000+BgAA\nquorum N\n").unwrap();
        assert_eq!((policy.unsupported(), policy.reached(&policy.cosigners(&note(&[1])))), (1, None));
    }
}
