//! Questions as JSON text. What comes from the person (arguments, environment) is bounded here.
//!
//! Bytes that are no UTF-8 become U+FFFD, as they do in all JSON of the recorder.

use std::{ffi::CStr, fmt::Write};

/// Stands behind whatever was cut: no account has this name, and as the last argument it says that more were there.
pub const CUT: &str = "…";
/// Arguments that are sent of a command line.
pub const MAX_ARGS: usize = 1000;
/// The environment variable with a one-use token, base64.
pub const TOKEN: &CStr = c"RECORDER_TOKEN";
/// Bytes of JSON for all arguments. With the token and the names it stays below the 256 KiB that the daemon reads.
const MAX_ARGV: usize = 128 * 1024;
/// Bytes of JSON; a longer token is no token.
const MAX_TOKEN: usize = 64 * 1024;
/// Bytes of JSON for a name, a host or a terminal.
const MAX_NAME: usize = 1024;
/// Bytes of JSON for the keys of a login: a certificate of a big RSA key has 10 KiB, and there may be several.
const MAX_AUTH_INFO: usize = 64 * 1024;

/// `may`: is this person allowed to elevate now?
#[derive(Debug, Default)]
pub struct May<'a> {
    /// Who logged in.
    pub account: &'a [u8],
    /// Who he wants to be; `None` where that is not known yet.
    pub target: Option<&'a [u8]>,
    /// What he wants to run; `None` where that is not known.
    pub argv: Option<&'a [&'a [u8]]>,
    /// The kernel's audit session.
    pub audit_session: Option<u32>,
    /// A one-use token, base64.
    pub token: Option<&'a [u8]>,
}

/// `login`: who logs in, with what.
#[derive(Debug, Default)]
pub struct Login<'a> {
    /// The account.
    pub account: &'a [u8],
    /// PAM's name of the service.
    pub service: Option<&'a [u8]>,
    /// From where.
    pub remote: Option<&'a [u8]>,
    /// On which terminal; sshd always says `ssh`.
    pub tty: Option<&'a [u8]>,
    /// The text of `SSH_AUTH_INFO_0`: method and public key or certificate, a line each.
    pub auth_info: Option<&'a [u8]>,
    /// The process that opens the session.
    pub pid: u32,
    /// The kernel's audit session.
    pub audit_session: Option<u32>,
}

impl May<'_> {
    /// The question's line.
    pub fn json(&self) -> String {
        let mut json = Object::new("may");
        json.text("account", Some(self.account), MAX_NAME);
        json.text("target", self.target, MAX_NAME);
        json.list("argv", self.argv);
        json.number("audit_session", self.audit_session);
        json.whole("token", self.token, MAX_TOKEN);
        json.line()
    }
}

impl Login<'_> {
    /// The question's line.
    pub fn json(&self) -> String {
        let mut json = Object::new("login");
        json.text("account", Some(self.account), MAX_NAME);
        json.text("service", self.service, MAX_NAME);
        json.text("remote", self.remote, MAX_NAME);
        json.text("tty", self.tty, MAX_NAME);
        // A list of keys without its end could name the wrong person.
        json.whole("auth_info", self.auth_info, MAX_AUTH_INFO);
        json.number("pid", Some(self.pid));
        json.number("audit_session", self.audit_session);
        json.line()
    }
}

/// An object that grows by one field after the other.
struct Object(String);

impl Object {
    fn new(op: &str) -> Self {
        Self(format!("{{\"v\":1,\"op\":\"{op}\",\"plain\":true"))
    }

    fn field(&mut self, name: &str) {
        self.0.push_str(",\"");
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    /// A text; what doesn't fit is cut and marked.
    fn text(&mut self, name: &str, value: Option<&[u8]>, limit: usize) {
        self.field(name);
        match value {
            Some(bytes) => {
                self.0.push('"');
                if !push_escaped(&mut self.0, bytes, limit) {
                    self.0.push_str(CUT);
                }
                self.0.push('"');
            }
            None => self.0.push_str("null"),
        }
    }

    /// A text that is of no use if it is cut.
    fn whole(&mut self, name: &str, value: Option<&[u8]>, limit: usize) {
        self.field(name);
        let start = self.0.len();
        self.0.push('"');
        if value.is_some_and(|bytes| push_escaped(&mut self.0, bytes, limit)) {
            self.0.push('"');
        } else {
            self.0.truncate(start);
            self.0.push_str("null");
        }
    }

    fn number(&mut self, name: &str, value: Option<u32>) {
        self.field(name);
        match value {
            Some(number) => self.0.push_str(&number.to_string()),
            None => self.0.push_str("null"),
        }
    }

    /// Arguments: an argument is there whole, or it and all behind it are [`CUT`].
    fn list(&mut self, name: &str, values: Option<&[&[u8]]>) {
        self.field(name);
        let Some(values) = values else {
            self.0.push_str("null");
            return;
        };
        self.0.push('[');
        let end = self.0.len() + MAX_ARGV;
        for (number, value) in values.iter().enumerate() {
            if number > 0 {
                self.0.push(',');
            }
            let start = self.0.len();
            self.0.push('"');
            if number >= MAX_ARGS || !push_escaped(&mut self.0, value, end.saturating_sub(start)) {
                self.0.truncate(start);
                self.0.push('"');
                self.0.push_str(CUT);
                self.0.push('"');
                break;
            }
            self.0.push('"');
        }
        self.0.push(']');
    }

    fn line(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

/// Appends at most `limit` bytes of JSON text; `false` if something had to be left out.
fn push_escaped(out: &mut String, bytes: &[u8], limit: usize) -> bool {
    let end = out.len() + limit;
    for chunk in bytes.utf8_chunks() {
        let replacement = if chunk.invalid().is_empty() { None } else { Some('\u{fffd}') };
        for c in chunk.valid().chars().chain(replacement) {
            let before = out.len();
            match c {
                '"' | '\\' => {
                    out.push('\\');
                    out.push(c);
                }
                // Writing to a String doesn't fail.
                c if c.is_control() => drop(write!(out, "\\u{:04x}", u32::from(c))),
                c => out.push(c),
            }
            if out.len() > end {
                out.truncate(before);
                return false;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn may_is_one_line_of_the_protocol() {
        let argv: [&[u8]; 2] = [b"/usr/bin/id", b"-u"];
        let may = May {
            account: b"anna",
            target: Some(b"root"),
            argv: Some(&argv),
            audit_session: Some(7),
            token: Some(b"QUJD"),
        };
        assert_eq!(
            may.json(),
            "{\"v\":1,\"op\":\"may\",\"plain\":true,\"account\":\"anna\",\"target\":\"root\",\
             \"argv\":[\"/usr/bin/id\",\"-u\"],\"audit_session\":7,\"token\":\"QUJD\"}\n"
        );
        assert_eq!(
            May { account: b"anna", ..May::default() }.json(),
            "{\"v\":1,\"op\":\"may\",\"plain\":true,\"account\":\"anna\",\"target\":null,\
             \"argv\":null,\"audit_session\":null,\"token\":null}\n"
        );
    }

    #[test]
    fn login_is_one_line_of_the_protocol() {
        let login = Login {
            account: b"anna",
            service: Some(b"sshd"),
            remote: Some(b"::1"),
            tty: Some(b"ssh"),
            auth_info: Some(b"publickey ssh-ed25519 AAAA\n"),
            pid: 12,
            audit_session: None,
        };
        assert_eq!(
            login.json(),
            "{\"v\":1,\"op\":\"login\",\"plain\":true,\"account\":\"anna\",\"service\":\"sshd\",\"remote\":\"::1\",\
             \"tty\":\"ssh\",\"auth_info\":\"publickey ssh-ed25519 AAAA\\u000a\",\"pid\":12,\"audit_session\":null}\n"
        );
    }

    #[test]
    fn no_byte_ends_a_text_or_the_line() {
        let odd: Vec<u8> = (0..=255).collect();
        let json = May { account: &odd, ..May::default() }.json();
        assert_eq!(json.matches('\n').count(), 1);
        assert!(json.contains("\\u0000\\u0001"), "{json}");
        assert!(json.contains(" !\\\"#"), "{json}");
        assert!(json.contains("[\\\\]"), "{json}");
        assert!(json.contains("~\\u007f\u{fffd}"), "{json}");
        // Quotes that open and close texts: all others have a backslash before them.
        let bare = json.replace("\\\\", "").replace("\\\"", "");
        assert_eq!(bare.matches('"').count() % 2, 0);
    }

    #[test]
    fn sequences_that_are_cut_or_overlong_are_replaced() {
        let json = May { account: b"a\xe2\x80b\xc0\x80\xed\xa0\x80", ..May::default() }.json();
        assert!(json.contains("\"a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\""), "{json}");
    }

    #[test]
    fn long_names_are_cut_into_no_name() {
        let name = vec![b'a'; MAX_NAME];
        assert!(May { account: &name, ..May::default() }.json().contains("aaa\""));
        let name = vec![b'a'; MAX_NAME + 1];
        assert!(May { account: &name, ..May::default() }.json().contains("aaa…\""));
    }

    #[test]
    fn a_token_that_is_too_long_is_none() {
        let token = vec![b'A'; MAX_TOKEN + 1];
        assert!(May { token: Some(&token), ..May::default() }.json().contains("\"token\":null"));
    }

    #[test]
    fn many_and_long_arguments_end_with_the_mark() {
        let argv = vec![b"a".as_slice(); MAX_ARGS];
        assert!(May { argv: Some(&argv), ..May::default() }.json().contains(",\"a\"],"));
        let argv = vec![b"a".as_slice(); MAX_ARGS + 5];
        let json = May { argv: Some(&argv), ..May::default() }.json();
        assert!(json.contains(",\"a\",\"…\"],"), "{json}");
        assert_eq!(json.matches("\"a\"").count(), MAX_ARGS);

        let long = vec![b'x'; MAX_ARGV];
        let argv: [&[u8]; 3] = [b"/bin/echo", &long, b"tail"];
        let json = May { argv: Some(&argv), ..May::default() }.json();
        assert!(json.contains("[\"/bin/echo\",\"…\"],"), "{}", json.len());
    }

    #[test]
    fn the_longest_question_is_below_what_the_daemon_reads() {
        // Each of these bytes takes six in JSON.
        let odd = vec![1u8; 1 << 20];
        let argv = vec![[1u8; 200].as_slice(); 2 * MAX_ARGS];
        let may = May {
            account: &odd,
            target: Some(&odd),
            argv: Some(&argv),
            audit_session: Some(u32::MAX),
            token: Some(&odd[..MAX_TOKEN / 6]),
        };
        assert!(may.json().len() > 190 * 1024);
        assert!(may.json().len() < 256 * 1024);
    }
}
