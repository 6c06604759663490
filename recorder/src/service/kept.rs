//! What the host keeps for itself of records whose content only the recipients can read: grants that are in force, tokens
//! that are spent, logins that go on. The journal vouches for it: each file has the digest that a clear twin names.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::journal::key::sha256;
use crate::journal::record::{body_bytes, body_from};
use crate::model::{Body, Bytes, Digest, Flags, Grant, GrantAct, Kind, Login, Record, Token};

const SALT: usize = 16;
/// No record is longer.
const MAX_LEN: u64 = 512 << 10;
const TEMPORARY: &str = ".new";

/// The directory that it lies in.
#[derive(Debug)]
pub(super) struct Kept {
    dir: PathBuf,
    /// What is needed as long as the journal has no record that says all of it once more.
    needed: HashSet<Digest>,
    /// What is not, once such a record is in the journal.
    settled: Vec<Digest>,
}

impl Kept {
    /// Nothing is made until something is kept.
    pub(super) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), needed: HashSet::new(), settled: Vec::new() }
    }

    /// What an earlier run kept and is still needed.
    pub(super) fn holds(&mut self, digests: HashSet<Digest>) {
        self.needed = digests;
    }

    /// True for records that have content besides ids, times, digests and states.
    pub(super) const fn concerns(kind: Kind) -> bool {
        matches!(kind, Kind::GRANT | Kind::LOGIN | Kind::TOKEN)
    }

    /// The clear twin of such a record, which is kept first. What can't be kept is not found again at the next start: told,
    /// and no reason not to record it.
    pub(super) fn twin(&mut self, record: &Record) -> Record {
        let kept = match self.keep(&record.body) {
            Ok(kept) => {
                if matches!(&record.body, Body::Grant(grant) if grant.act == GrantAct::Memory) {
                    self.settled.extend(self.needed.drain());
                }
                self.needed.insert(kept);
                kept
            }
            Err(error) => {
                tracing::error!(dir = %self.dir.display(), %error, "a record could not be kept for the next start");
                Digest::default()
            }
        };
        let flags = record.flags.with(Flags::LEFT_OUT);
        Record { body: emptied(&record.body, kept), flags, task: None, ..*record }
    }

    /// All that was given here before is durable in the journal.
    pub(super) fn settle(&mut self) {
        let settled = std::mem::take(&mut self.settled);
        self.forget(settled);
    }

    fn keep(&self, body: &Body) -> io::Result<Digest> {
        let mut salt = [0u8; SALT];
        getrandom::fill(&mut salt).map_err(|_| io::Error::other("the kernel gives no randomness"))?;
        let mut bytes = salt.to_vec();
        bytes.extend(body_bytes(body));
        let digest = sha256(&bytes);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let new = self.dir.join(TEMPORARY);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, self.dir.join(digest.to_string()))?;
        File::open(&self.dir)?.sync_all()?;
        Ok(digest)
    }

    /// The whole record's body, if it was kept as the journal says.
    pub(super) fn recall(&self, kind: Kind, digest: Digest) -> Option<Body> {
        let mut bytes = Vec::new();
        let file = File::open(self.dir.join(digest.to_string())).ok()?;
        file.take(MAX_LEN).read_to_end(&mut bytes).ok()?;
        if sha256(&bytes) != digest {
            return None;
        }
        body_from(kind, bytes.get(SALT..)?).ok()
    }

    /// Removes what this journal's twins name and nobody needs any more; what others keep here stays.
    pub(super) fn forget(&self, digests: impl IntoIterator<Item = Digest>) {
        for digest in digests {
            let _ = fs::remove_file(self.dir.join(digest.to_string()));
        }
    }
}

/// Ids, times, digests and states of a body.
fn emptied(body: &Body, kept: Digest) -> Body {
    match body {
        Body::Grant(grant) => Body::Grant(Box::new(Grant {
            act: grant.act,
            document: grant.document,
            request: grant.request,
            received: grant.received,
            text: if grant.act == GrantAct::State { grant.text.clone() } else { Bytes::default() },
            kept,
            ..Grant::default()
        })),
        Body::Token(token) => Body::Token(Box::new(Token {
            act: token.act,
            token: token.token,
            grant: token.grant,
            received: token.received,
            until: token.until,
            kept,
            ..Token::default()
        })),
        Body::Login(login) => Body::Login(Box::new(Login {
            audit_session: login.audit_session,
            pid: login.pid,
            kept,
            ..Login::default()
        })),
        other => other.clone(),
    }
}

/// The digest that a twin names; `None` for a record that stands whole.
pub(super) fn kept_of(record: &Record) -> Option<Digest> {
    if !record.flags.has(Flags::LEFT_OUT) {
        return None;
    }
    match &record.body {
        Body::Grant(grant) => Some(grant.kept),
        Body::Token(token) => Some(token.kept),
        Body::Login(login) => Some(login.kept),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BootNanos, RealNanos};

    fn record() -> Record {
        let login = Login {
            account: Bytes::from("oncall1"),
            person: Bytes::from("alice"),
            audit_session: 7,
            pid: 40,
            ..Login::default()
        };
        let body = Body::Login(Box::new(login));
        Record { boot_ns: BootNanos::new(5), cpu: u16::MAX, flags: Flags::default(), task: None, body }
    }

    #[test]
    fn a_twin_has_no_content_and_leads_back_to_the_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::at(&dir.path().join("memory"));
        let twin = kept.twin(&record());
        let bytes = body_bytes(&twin.body);
        assert!(!bytes.windows(5).any(|w| w == b"alice") && twin.flags.has(Flags::LEFT_OUT));
        let digest = kept_of(&twin).unwrap();
        assert_eq!(kept.recall(Kind::LOGIN, digest), Some(record().body));
        assert_ne!(kept_of(&kept.twin(&record())), Some(digest), "the same login twice has two digests");
    }

    #[test]
    fn what_was_changed_on_the_host_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::at(dir.path());
        let digest = kept_of(&kept.twin(&record())).unwrap();
        let path = dir.path().join(digest.to_string());
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(kept.recall(Kind::LOGIN, digest), None);
        let other = kept_of(&kept.twin(&record())).unwrap();
        kept.forget([digest]);
        assert!(!path.exists() && kept.recall(Kind::LOGIN, other).is_some());
    }

    /// A word of content.
    fn said() -> Bytes {
        Bytes::from("planted")
    }

    /// Records of each kind in which all that can be said is said.
    fn records() -> [(Kind, Body); 3] {
        let id = |n| Digest::new([n; 32]);
        let grant = Grant {
            act: GrantAct::Received,
            document: id(1),
            request: id(2),
            kind: said(),
            signer: said(),
            person: said(),
            key: said(),
            received: RealNanos::new(3),
            text: said(),
            bytes: said(),
            signature: said(),
            kept: Digest::default(),
        };
        let login = Login {
            account: said(),
            service: said(),
            remote: said(),
            tty: said(),
            auth: said(),
            key: said(),
            certificate: said(),
            serial: 9,
            authority: said(),
            audit_session: 7,
            pid: 40,
            person: said(),
            kept: Digest::default(),
        };
        let token = Token {
            token: id(4),
            grant: id(5),
            person: said(),
            host: said(),
            signer: said(),
            key: said(),
            received: RealNanos::new(6),
            until: RealNanos::new(7),
            text: said(),
            bytes: said(),
            signature: said(),
            ..Token::default()
        };
        [
            (Kind::GRANT, Body::Grant(Box::new(grant))),
            (Kind::LOGIN, Body::Login(Box::new(login))),
            (Kind::TOKEN, Body::Token(Box::new(token))),
        ]
    }

    #[test]
    fn a_twin_of_any_kind_says_ids_times_and_digests_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::at(dir.path());
        for (kind, body) in records() {
            assert!(Kept::concerns(kind));
            let twin = kept.twin(&Record { body: body.clone(), ..record() });
            assert!(!body_bytes(&twin.body).windows(7).any(|w| w == b"planted"), "{twin:?}");
            assert!(twin.task.is_none() && twin.boot_ns == record().boot_ns && twin.body.kind() == kind);
            assert_eq!(kept.recall(kind, kept_of(&twin).unwrap()), Some(body));
            assert_eq!(kept_of(&Record { flags: Flags::default(), ..twin.clone() }), None, "stands whole");
            match twin.body {
                Body::Grant(g) => {
                    assert_eq!(
                        (g.document, g.request, g.received.get()),
                        (Digest::new([1; 32]), Digest::new([2; 32]), 3)
                    );
                }
                Body::Login(l) => assert_eq!((l.audit_session, l.pid, l.serial), (7, 40, 0)),
                Body::Token(t) => {
                    assert_eq!((t.token, t.grant), (Digest::new([4; 32]), Digest::new([5; 32])));
                    assert_eq!((t.received.get(), t.until.get()), (6, 7));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(!Kept::concerns(Kind::EXEC));
    }

    #[test]
    fn what_is_kept_is_for_its_owner_only_and_no_half_file_has_a_name() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("a/memory");
        let mut kept = Kept::at(&place);
        let digest = kept_of(&kept.twin(&record())).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place), mode(&place.join(digest.to_string()))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1, "the temporary file is gone");
    }

    #[test]
    fn what_is_said_once_more_is_kept_no_longer_once_that_is_in_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::at(dir.path());
        let files = || fs::read_dir(dir.path()).unwrap().count();
        let grant = Grant { act: GrantAct::Memory, bytes: said(), ..Grant::default() };
        let all = Record { body: Body::Grant(Box::new(grant)), ..record() };
        let of_before = kept_of(&Kept::at(dir.path()).twin(&record())).unwrap();
        kept.holds(HashSet::from([of_before]));
        kept.twin(&record());
        kept.settle();
        assert_eq!(files(), 2);
        let memory = kept_of(&kept.twin(&all)).unwrap();
        assert_eq!(files(), 3, "it may not get there");
        let since = kept_of(&kept.twin(&record())).unwrap();
        kept.settle();
        assert_eq!(files(), 2);
        assert!(kept.recall(Kind::GRANT, memory).is_some() && kept.recall(Kind::LOGIN, since).is_some());
        kept.twin(&all);
        kept.settle();
        assert_eq!(files(), 1);
    }

    #[test]
    fn what_can_not_be_kept_is_recorded_with_no_digest() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let twin = Kept::at(&file).twin(&record());
        assert_eq!(kept_of(&twin), Some(Digest::default()));
        assert!(twin.flags.has(Flags::LEFT_OUT));
    }

    #[test]
    fn a_state_stays_readable() {
        let grant = Grant {
            act: GrantAct::State,
            text: Bytes::from("revoked"),
            received: RealNanos::new(3),
            ..Grant::default()
        };
        let Body::Grant(twin) = emptied(&Body::Grant(Box::new(grant)), Digest::default()) else { panic!() };
        assert_eq!(twin.text, Bytes::from("revoked"));
    }
}
