//! C2SP checkpoints of a log: origin, tree size, root, signed by the admission key. What others can keep and countersign.
//! <https://c2sp.org/tlog-checkpoint>. The recorder signs sizes at seals only.

use std::fs::File;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{Mode, OFlags};

use super::key::{Identity, PublicKey, SecretKey};
use super::note::{self, Algorithm, Note, Verifier};
use super::{JournalError, keyfile};
use crate::model::{Digest, LogId};

/// What an origin line begins with; the log id follows.
const ORIGIN: &str = "recorder-journal/v1/";
/// What stands in front of the base64 of a whole note where it has to be one word, as in a line of syslog.
const WORD: &str = "recorder-anchor=";

/// The origin line of a log, also the name of its admission key.
pub fn origin_line(log: LogId) -> String {
    format!("{ORIGIN}{log}")
}

/// The log of an origin line.
pub fn log_of(origin: &str) -> Option<LogId> {
    let digits = origin.strip_prefix(ORIGIN)?;
    LogId::from_hex(digits).filter(|log| log.to_string() == digits)
}

/// Where a log stands: leaves and their root, at a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Leaves.
    pub size: u64,
    /// Root of the tree.
    pub root: Digest,
}

/// A checkpoint's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose.
    pub origin: String,
    /// What.
    pub head: Head,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.head.size, STANDARD.encode(self.head.root.as_bytes()))
    }

    /// Reads a note's text. Lines behind the third say nothing here.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let origin = lines.next().filter(|o| !o.is_empty())?.to_owned();
        let digits = lines.next()?;
        let size: u64 = digits.parse().ok().filter(|n: &u64| n.to_string() == digits)?;
        let root = STANDARD.decode(lines.next()?).ok()?.try_into().ok().map(Digest::new)?;
        lines.all(|line| !line.is_empty()).then_some(Self { origin, head: Head { size, root } })
    }
}

/// Signs heads of one log.
#[derive(Debug)]
pub struct Signer {
    identity: Identity,
    secret: SecretKey,
}

impl Signer {
    /// The key's name in the log's directory.
    pub const FILE: &str = keyfile::ADMISSION_FILE;

    /// Takes the admission key from `<journal>/<log>/admission.key`, which is root's. `None` if the file holds no key.
    pub fn open(journal: &Path, log: LogId) -> Result<Option<Self>, JournalError> {
        Self::read(&journal.join(log.to_string()).join(Self::FILE), log)
    }

    /// The same from any file: whose key it is, is for the caller to compare.
    pub fn read(path: &Path, log: LogId) -> Result<Option<Self>, JournalError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| JournalError::io("open the admission key", errno.into()))?;
        let secret = keyfile::first_key(&File::from(file))?;
        Ok(secret.map(|secret| Self { identity: Identity { log, admission: secret.public() }, secret }))
    }

    /// The log and the key.
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// The signed note.
    pub fn sign(&self, head: Head) -> String {
        let origin = origin_line(self.identity.log);
        let text = Checkpoint { origin: origin.clone(), head }.text();
        format!("{text}\n{}", note::sign(&origin, &self.secret, &text))
    }
}

/// The admission key as others name it.
pub fn verifier(log: LogId, admission: PublicKey) -> Option<Verifier> {
    Verifier::new(&origin_line(log), Algorithm::Ed25519, admission)
}

/// A note as one word.
pub fn to_word(note: &str) -> String {
    format!("{WORD}{}", STANDARD.encode(note))
}

/// What was found where anchors are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A checkpoint with its note, no signature checked.
    Anchor(Checkpoint, Note),
    /// It begins as one and is none, at that line (from 1).
    Broken(usize),
}

/// All checkpoints of our logs in a text: notes, one behind the other, and lines with a word made by [`to_word`]. Whatever
/// else is there is passed over.
pub fn find_all(text: &[u8]) -> Vec<Piece> {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut at = 0usize;
    while let Some(line) = lines.get(at) {
        let here = at.saturating_add(1);
        at = here;
        if let Some((_, word)) = line.split_once(WORD) {
            let len = word.find(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c)));
            let raw = STANDARD.decode(word.get(..len.unwrap_or(word.len())).unwrap_or_default());
            found.push(raw.map_or(Piece::Broken(here), |raw| piece(&raw, here)));
        } else if line.starts_with(ORIGIN) {
            let rest = lines.get(here..).unwrap_or_default();
            // An origin note begins in the same way.
            let origin = rest.first().is_some_and(|second| second.starts_with("host-id "));
            let text_len = rest.iter().take(note::MAX_SIGNATURES).take_while(|l| !l.is_empty()).count();
            let behind = rest.get(text_len.saturating_add(1)..).unwrap_or_default();
            let signatures = behind.iter().take_while(|l| l.starts_with('\u{2014}')).count();
            at = here
                .saturating_add(text_len)
                .saturating_add(usize::from(signatures > 0))
                .saturating_add(signatures);
            if !origin {
                let whole = lines.get(here.saturating_sub(1)..at).unwrap_or_default().join("\n");
                found.push(piece(whole.as_bytes(), here));
            }
        }
    }
    found
}

fn piece(raw: &[u8], line: usize) -> Piece {
    let read = Note::parse(raw).ok().and_then(|note| Some((Checkpoint::parse(&note.text)?, note)));
    read.map_or(Piece::Broken(line), |(checkpoint, note)| Piece::Anchor(checkpoint, note))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::note::Signed;
    use crate::sys::secret::Secret;

    fn signer(n: u8) -> Signer {
        let mut page = Secret::new().unwrap();
        page.expose_mut().copy_from_slice(&[n; 32]);
        let secret = SecretKey::from_secret(page);
        Signer { identity: Identity { log: LogId::new([n; 16]), admission: secret.public() }, secret }
    }

    fn head(size: u64) -> Head {
        Head { size, root: Digest::new([9; 32]) }
    }

    #[test]
    fn the_published_checkpoint_is_read() {
        // c2sp.org/tlog-checkpoint.
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let read = Checkpoint::parse(text).unwrap();
        assert_eq!((read.origin.as_str(), read.head.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(read.text(), text);
        assert!(Checkpoint::parse(&format!("{text}extension\n")).is_some());
        for bad in
            ["", "\n", "o\n1\n", "o\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n", "o\n1\nCsUY\n"]
        {
            assert_eq!(Checkpoint::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Checkpoint::parse(&text.replace("2163", "2163x")), None);
        assert_eq!(Checkpoint::parse(&format!("{text}\n")), None, "an empty line");
    }

    #[test]
    fn anchors_are_found_in_notes_and_in_lines_of_a_log() {
        let (a, b) = (signer(1).sign(head(7)), signer(2).sign(head(8)));
        let line = format!("Nov 21 02:31:00 web-1 recorder[7]: checkpoint {} end", to_word(&b));
        let mixed = format!("junk\n{a}{b}\n\n{a}\n{line}\n");
        let found = find_all(mixed.as_bytes());
        let sizes: Vec<u64> = found
            .iter()
            .map(|piece| match piece {
                Piece::Anchor(checkpoint, _) => checkpoint.head.size,
                Piece::Broken(line) => panic!("line {line}"),
            })
            .collect();
        assert_eq!(sizes, [7, 8, 7, 8]);
        let Some(Piece::Anchor(checkpoint, note)) = found.last() else { panic!("no anchor") };
        let signer = signer(2);
        assert_eq!(log_of(&checkpoint.origin), Some(signer.identity.log));
        let verifier = verifier(signer.identity.log, signer.identity.admission).unwrap();
        assert_eq!(note.signed_by(&verifier), Signed::At(0));
        assert_eq!(find_all(b"nothing of ours"), []);
    }

    #[test]
    fn a_broken_anchor_is_told_and_hides_no_other() {
        let good = signer(1).sign(head(7));
        let cut: String = good.chars().take(60).collect();
        let word: String = to_word(&good).chars().take(70).collect();
        let found = find_all(format!("{word}\n{cut}\n\n{good}").as_bytes());
        assert!(
            matches!(found.as_slice(), [Piece::Broken(1), Piece::Broken(2), Piece::Anchor(..)]),
            "{found:?}"
        );
    }
}
