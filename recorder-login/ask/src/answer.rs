//! Plain answers, and what follows from them. The recorder is trusted; the lines may quote people, so they are cleaned.

use crate::{caller::ROOT, options::Options};

/// What is read of an answer.
pub(crate) const MAX_ANSWER: usize = 8 * 1024;
/// Lines that are shown.
const MAX_LINES: usize = 16;
/// Characters of a line that are shown.
const MAX_LINE: usize = 400;

/// What the recorder says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes, with lines for the person.
    Allow(Vec<String>),
    /// No, with lines for the person.
    Deny(Vec<String>),
    /// Nobody answered, not in time, or nothing that makes sense; the reason is for the log.
    NoRecorder(String),
}

/// What a module does with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it goes on.
    pub allowed: bool,
    /// What the person is shown.
    pub lines: Vec<String>,
}

impl Answer {
    /// Reads a plain answer. One without a whole first line was cut, unless `is_ended` says that the daemon closed.
    pub(crate) fn read(bytes: &[u8], is_ended: bool) -> Self {
        let text = String::from_utf8_lossy(bytes.get(..MAX_ANSWER).unwrap_or(bytes));
        let (first, rest) = match text.split_once('\n') {
            Some(parts) => parts,
            None if is_ended => (text.as_ref(), ""),
            None => return Self::NoRecorder("an answer without an end".to_owned()),
        };
        let lines = || -> Vec<String> {
            rest.lines().map(cleaned).filter(|line| !line.is_empty()).take(MAX_LINES).collect()
        };
        match first {
            "allow" => Self::Allow(lines()),
            "deny" => Self::Deny(lines()),
            "error" => Self::NoRecorder(format!("it answered error: {}", lines().join(" / "))),
            "" => Self::NoRecorder("it closed without an answer".to_owned()),
            _ => Self::NoRecorder("an answer that makes no sense".to_owned()),
        }
    }
}

impl Options {
    /// Turns an answer into what is done: without a recorder it goes on, unless this host fails closed. Who came as root
    /// goes on even then: he has nothing to gain, and it is the way in when everything else is shut.
    pub fn decide(&self, answer: Answer, account: &[u8]) -> Decision {
        match answer {
            Answer::Allow(lines) => {
                Decision { allowed: true, lines: if self.is_quiet() { Vec::new() } else { lines } }
            }
            Answer::Deny(mut lines) => {
                if lines.is_empty() {
                    lines.push("recorder: refused".to_owned());
                }
                Decision { allowed: false, lines }
            }
            Answer::NoRecorder(_) if account != ROOT && self.fails_closed() => Decision {
                allowed: false,
                lines: vec!["recorder: refused, because the recorder does not answer".to_owned()],
            },
            Answer::NoRecorder(_) => Decision { allowed: true, lines: Vec::new() },
        }
    }
}

/// A line without anything that steers a terminal or turns the reading direction.
fn cleaned(line: &str) -> String {
    let is_unsafe = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    line.trim_end().chars().take(MAX_LINE).map(|c| if is_unsafe(c) { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(of: &[&str]) -> Vec<String> {
        of.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn plain_answers() {
        assert_eq!(Answer::read(b"allow\n", false), Answer::Allow(Vec::new()));
        assert_eq!(Answer::read(b"allow", true), Answer::Allow(Vec::new()));
        assert_eq!(Answer::read(b"deny\none\n\ntwo\n", false), Answer::Deny(lines(&["one", "two"])));
    }

    #[test]
    fn everything_else_is_no_recorder() {
        for bytes in [
            "",
            "allow",
            "allowed\n",
            "ALLOW\n",
            " allow\n",
            "allow \n",
            "deny\r\n",
            "error\nno\n",
            "{\"ok\":true}\n",
        ] {
            let answer = Answer::read(bytes.as_bytes(), bytes != "allow");
            assert!(matches!(answer, Answer::NoRecorder(_)), "{bytes:?}: {answer:?}");
        }
        assert!(matches!(Answer::read(&vec![0xff; 20_000], true), Answer::NoRecorder(_)));
    }

    #[test]
    fn lines_are_bounded_and_steer_no_terminal() {
        let Answer::Deny(lines) = Answer::read(b"deny\n\x1b[2Jgone\x07\tx\xe2\x80\xae\n", false) else {
            panic!("no denial");
        };
        assert_eq!(lines, ["?[2Jgone??x?"]);
        let many = format!("deny\n{}", "x\n".repeat(4000));
        let Answer::Deny(lines) = Answer::read(many.as_bytes(), false) else { panic!("no denial") };
        assert_eq!(lines.len(), MAX_LINES);
        let long = format!("deny\n{}", "x".repeat(MAX_ANSWER));
        let Answer::Deny(lines) = Answer::read(long.as_bytes(), false) else { panic!("no denial") };
        assert_eq!(lines[0].len(), MAX_LINE);
    }

    #[test]
    fn no_recorder_stops_nobody_unless_asked_to() {
        let dir = tempfile::tempdir().unwrap();
        let socket = format!("socket={}", dir.path().join("control.sock").display());
        let open = Options::parse([socket.as_bytes()]);
        let nobody = || Answer::NoRecorder(String::new());
        assert!(open.decide(nobody(), b"anna").allowed);
        assert!(!Options::parse([socket.as_bytes(), b"fail_closed"]).decide(nobody(), b"anna").allowed);
        std::fs::write(dir.path().join("fail_closed"), "").unwrap();
        let decision = open.decide(nobody(), b"anna");
        assert!(!decision.allowed);
        assert_eq!(decision.lines.len(), 1);
        // A recorder that answers is believed.
        assert!(open.decide(Answer::Allow(Vec::new()), b"anna").allowed);
        assert!(open.decide(nobody(), b"root").allowed);
        assert!(!open.decide(Answer::Deny(Vec::new()), b"root").allowed);
    }

    #[test]
    fn quiet_hides_a_yes_and_never_a_no() {
        let quiet = Options::parse([b"quiet".as_slice()]);
        assert_eq!(quiet.decide(Answer::Allow(lines(&["hello"])), b"anna").lines, Vec::<String>::new());
        assert_eq!(quiet.decide(Answer::Deny(lines(&["no"])), b"anna").lines, ["no"]);
        assert_eq!(Options::default().decide(Answer::Allow(lines(&["hello"])), b"anna").lines, ["hello"]);
        assert_eq!(quiet.decide(Answer::Deny(Vec::new()), b"anna").lines.len(), 1);
    }
}
