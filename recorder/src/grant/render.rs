//! Writes a document. One form for one statement, so that people can compare what they sign.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::document::{Document, DocumentError, Incident, Nonce, Request, Statement, Window};
use crate::model::{RealNanos, quoted};

impl Document {
    /// Writes a new document and reads it back: what the reader would refuse is never handed out to be signed.
    ///
    /// Gives the document and its bytes.
    pub fn write(
        signer: &str,
        made: RealNanos,
        nonce: Nonce,
        statement: &Statement,
    ) -> Result<(Self, Vec<u8>), DocumentError> {
        let bytes = render(signer, made, nonce, statement).into_bytes();
        Ok((Self::parse(&bytes)?, bytes))
    }
}

fn render(signer: &str, made: RealNanos, nonce: Nonce, statement: &Statement) -> String {
    let mut out = Out(String::with_capacity(512));
    out.raw("version", "1");
    out.text("kind", statement.kind());
    out.text("signer", signer);
    out.text("made", &rfc3339(made));
    out.text("nonce", &nonce.to_string());
    match statement {
        Statement::Request(request) | Statement::BreakGlass(request) => {
            write_request(&mut out, request, Some(request.window));
        }
        Statement::Certificate(certified) => {
            out.text("certificate", &certified.certificate.to_string());
            write_request(&mut out, &certified.request, None);
        }
        Statement::Import(import) => {
            out.text("system", &import.system);
            out.text("external_id", &import.external_id);
            out.list("approvers", import.approvers.iter().map(String::as_str));
            out.text("source", &import.source.to_string());
            write_request(&mut out, &import.request, Some(import.request.window));
        }
        Statement::Token(token) => {
            out.text("request", &token.request.to_string());
            out.text("person", &token.person);
            out.text("host", &token.host);
            write_window(&mut out, token.window);
        }
        Statement::Approval(answer) | Statement::Rejection(answer) | Statement::Revocation(answer) => {
            out.text("request", &answer.request.to_string());
            out.text_unless_empty("reason", &answer.reason);
        }
        Statement::Extension(extension) => {
            out.text("request", &extension.request.to_string());
            out.text("until", &rfc3339(extension.until));
            out.text_unless_empty("reason", &extension.reason);
        }
        Statement::Note(note) => {
            out.text("person", &note.person);
            out.text_unless_empty("text", &note.text);
            write_incident(&mut out, &note.incident);
        }
    }
    out.0
}

/// Without a window where it follows from something else.
fn write_request(out: &mut Out, request: &Request, window: Option<Window>) {
    out.text("person", &request.person);
    out.list("hosts", request.hosts.iter().map(String::as_str));
    if let Some(window) = window {
        write_window(out, window);
    }
    let privileges: Vec<String> = request.privileges.iter().map(ToString::to_string).collect();
    out.list("privileges", privileges.iter().map(String::as_str));
    out.text("reason", &request.reason);
    if request.token {
        out.raw("token", "true");
    }
    if let Some(incident) = &request.incident {
        write_incident(out, incident);
    }
}

fn write_window(out: &mut Out, window: Window) {
    out.text("from", &rfc3339(window.from));
    out.text("until", &rfc3339(window.until));
}

/// A table, so it has to come last.
fn write_incident(out: &mut Out, incident: &Incident) {
    out.0.push_str("\n[incident]\n");
    out.text("system", &incident.system);
    out.text("id", &incident.id);
    if let Some(url) = &incident.url {
        out.text("url", url);
    }
}

/// `2026-11-21T02:31:00Z`, with as many digits of a second as it has.
pub(super) fn rfc3339(time: RealNanos) -> String {
    // Nanoseconds in 64 bits end in the year 2554, jiff's times in 9999.
    Timestamp::from_nanosecond(i128::from(time.get())).unwrap_or(Timestamp::MAX).to_string()
}

struct Out(String);

impl Out {
    fn raw(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.raw(key, &quoted(value));
    }

    fn text_unless_empty(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.text(key, value);
        }
    }

    fn list<'a>(&mut self, key: &str, values: impl Iterator<Item = &'a str>) {
        self.raw(key, &format!("[{}]", values.map(quoted).collect::<Vec<_>>().join(", ")));
    }
}
