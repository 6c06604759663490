//! What a log's segments show of their secrecy: whom they are sealed to, and what the identities that were given open.

use super::finding::{self as f, Findings};
use super::opener::Access;
use super::report::LogSummary;
use super::segment::Walked;

/// Counts over the segments of one log.
#[derive(Debug, Default)]
pub(super) struct Secrecy {
    clear: u64,
    encrypted: u64,
    opened: u64,
    shut: u64,
    not_for_us: u64,
    wrong: Vec<(String, u64)>,
    /// Fewest and most recipients of a segment.
    recipients: Option<(u16, u16)>,
}

impl Secrecy {
    pub(super) fn segment(&mut self, name: &str, w: &Walked) {
        if w.stub.is_some() {
            return;
        }
        let count = match w.access {
            Access::Clear => &mut self.clear,
            Access::Shut => &mut self.shut,
            Access::NotForUs => &mut self.not_for_us,
            Access::Open => &mut self.opened,
            Access::Wrong => {
                self.wrong.push((name.to_owned(), w.first.header.leaf));
                &mut self.shut
            }
        };
        *count = count.saturating_add(1);
        let n = w.header.recipients;
        if n != 0 {
            self.encrypted = self.encrypted.saturating_add(1);
            let (least, most) = self.recipients.unwrap_or((n, n));
            self.recipients = Some((least.min(n), most.max(n)));
        }
    }

    /// Fills in the summary and says what has to be said.
    pub(super) fn report(&self, summary: &mut LogSummary, out: &mut Findings, not_checked: &mut Vec<String>) {
        (summary.encrypted, summary.opened) = (self.encrypted, self.opened);
        summary.encryption = self.words();
        // What could not be walked can't be said to be sealed.
        if self.clear > 0 || self.encrypted == 0 {
            let text = match self.encrypted {
                0 => "bodies are stored in clear (encryption mode = off)".to_owned(),
                _ => format!("bodies of {} segments are stored in clear (encryption mode = off)", self.clear),
            };
            out.add_first(f::ENCRYPTION_OFF, text);
        }
        for (name, leaf) in &self.wrong {
            let text =
                "the key that the identity unwraps is not the one that the segment's header commits to";
            out.add(f::DECRYPT_FAILED, Some(name), Some(*leaf), text);
        }
        if self.not_for_us > 0 && self.opened == 0 && self.wrong.is_empty() {
            let text = format!("the identity that was given opens none of {} segments", self.encrypted);
            out.add(f::DECRYPT_FAILED, None, None, text);
        } else if self.not_for_us > 0 {
            not_checked.push(format!(
                "log {}: whether the bodies of {} segments can be opened, which are sealed to others than the identity that was given",
                summary.id, self.not_for_us
            ));
        }
        if self.shut > 0 && self.wrong.is_empty() {
            not_checked.push(format!(
                "log {}: whether the bodies of {} segments can be opened (--identity FILE); their bytes are vouched for",
                summary.id, self.shut
            ));
        }
    }

    fn words(&self) -> String {
        let Some((least, most)) = self.recipients else { return "off".to_owned() };
        let who = match (least, most) {
            (1, 1) => "1 recipient".to_owned(),
            (n, m) if n == m => format!("{n} recipients"),
            (n, m) => format!("{n} to {m} recipients"),
        };
        if self.clear > 0 { format!("{who}; off in {} segments", self.clear) } else { who }
    }
}
