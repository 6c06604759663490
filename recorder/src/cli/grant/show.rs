//! `recorder grant show`: one document, its signature, its signer.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde_json::{Value, json};

use super::{
    Failure, Io, list,
    read::{self, Checked, Signature, Signers, SignersArgs},
};
use crate::{
    cli::args::{Format, FormatArgs, JournalArgs},
    cli::table,
    export::{json::rfc3339, write_line, write_pretty},
    grant::{Certificate, FOREVER, GRANT_ID, Import, Incident, Request, Statement},
    model::{Bytes, RealNanos},
};

/// Arguments of `recorder grant show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The document; its signature is FILE.sig. Or the id of a grant in the journal, or its first digits
    #[arg(value_name = "FILE|ID")]
    file: PathBuf,
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    signers: SignersArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(super) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    if let Some(id) = args.file.to_str().filter(|text| list::is_id(text))
        && !args.file.exists()
    {
        return list::story(&args.journal, id, args.format.format, io);
    }
    let signers = args.signers.read(io)?;
    let checked = read::check_one(&args.file, signers.as_ref())?;
    match args.format.format {
        Format::Table => write_people(io.out, &checked, signers.as_ref())?,
        Format::Json => write_pretty(io.out, &json(&checked, signers.as_ref()))?,
        Format::Ndjson => write_line(io.out, &json(&checked, signers.as_ref()))?,
    }
    match checked.fault() {
        None => Ok(0),
        Some(fault) => {
            io.out.flush()?;
            Err(Failure::Nothing(format!("{}: {fault}", checked.path.display())))
        }
    }
}

/// One line for each thing that the document says; every text is escaped, for somebody else wrote it.
pub(super) fn write_people(
    out: &mut dyn Write,
    checked: &Checked,
    signers: Option<&Signers>,
) -> io::Result<()> {
    let document = &checked.document;
    let mut lines = vec![("signer", safe(&document.signer)), ("made", time(document.made))];
    lines.extend(statement_lines(&document.statement));
    lines.extend(signature_lines(checked, signers));
    writeln!(out, "{} {}", document.statement.kind(), document.id)?;
    for (key, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, "  {key:<11} {value}")?;
    }
    Ok(())
}

/// What a document says, apart from who says it.
pub(super) fn statement_lines(statement: &Statement) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    match statement {
        Statement::Request(request) | Statement::BreakGlass(request) => lines.extend(request_lines(request)),
        Statement::Certificate(certified) => {
            lines.push(("certified", certificate_line(&certified.certificate)));
            let id = certified.certificate.extension(GRANT_ID).map(safe).unwrap_or_default();
            lines.push(("grant id", id));
            lines.extend(request_lines(&certified.request));
        }
        Statement::Import(import) => {
            lines.extend(import_lines(import));
            lines.extend(request_lines(&import.request));
        }
        Statement::Token(token) => {
            lines.push(("request", token.request.to_string()));
            lines.push(("person", safe(&token.person)));
            lines.push(("host", safe(&token.host)));
            lines.push(("from", time(token.window.from)));
            lines.push(("until", time(token.window.until)));
        }
        Statement::Approval(answer) | Statement::Rejection(answer) | Statement::Revocation(answer) => {
            lines.push(("request", answer.request.to_string()));
            lines.push(("reason", safe(&answer.reason)));
        }
        Statement::Extension(extension) => {
            lines.push(("request", extension.request.to_string()));
            lines.push(("until", time(extension.until)));
            lines.push(("reason", safe(&extension.reason)));
        }
        Statement::Note(note) => {
            lines.push(("person", safe(&note.person)));
            lines.push(("text", safe(&note.text)));
            lines.push(("incident", incident(&note.incident)));
        }
    }
    lines
}

fn request_lines(request: &Request) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let length = request.window.until.get().saturating_sub(request.window.from.get());
    lines.push(("person", safe(&request.person)));
    lines.push(("hosts", safe(&request.hosts.join(", "))));
    lines.push(("from", time(request.window.from)));
    lines.push(("until", format!("{} ({})", time(request.window.until), table::duration(length))));
    for privilege in &request.privileges {
        lines.push(("privilege", safe(&privilege.to_string())));
    }
    lines.push(("reason", safe(&request.reason)));
    if request.token {
        lines.push(("token", "needed for each use".to_owned()));
    }
    lines.extend(request.incident.as_ref().map(|found| ("incident", incident(found))));
    lines
}

fn signature_lines(checked: &Checked, signers: Option<&Signers>) -> Vec<(&'static str, String)> {
    let mut lines = vec![(
        "signature",
        match &checked.signature {
            Signature::Good(signed) => format!("good, {} {}", signed.key.kind(), signed.key.fingerprint()),
            Signature::Missing => "MISSING".to_owned(),
            Signature::Bad(error) => format!("BAD: {}", safe(&error.to_string())),
        },
    )];
    if let Signature::Good(signed) = &checked.signature
        && let Some(by) = &signed.certificate
    {
        lines.push(("certificate", certificate_line(by)));
    }
    let asked = signers.map(|s| format!("{} at {}", safe(&s.path.display().to_string()), time(s.at)));
    lines.push((
        "signer key",
        match (&checked.allowed, asked) {
            (Some(Ok(line)), Some(asked)) => format!("allowed by line {line} of {asked}"),
            (Some(Err(refusal)), Some(asked)) => format!("REFUSED by {asked}: {refusal}"),
            (_, Some(_)) => "not checked: there is no good signature".to_owned(),
            (_, None) => "not checked: no --allowed-signers".to_owned(),
        },
    ));
    lines
}

/// What an authority says about a key, in one line.
pub(super) fn certificate_line(certificate: &Certificate) -> String {
    let principals = safe(&certificate.principals().join(", "));
    let (id, authority) = (safe(certificate.key_id()), certificate.authority().fingerprint());
    format!("{id} ({principals}) no. {} by {authority}", certificate.serial())
}

/// The shape of docs/grants.md; every key is always there, null where it doesn't apply.
pub(super) fn json(checked: &Checked, signers: Option<&Signers>) -> Value {
    let document = &checked.document;
    let mut value = json!({
        "v": 1,
        "file": checked.path.to_string_lossy(),
        "id": document.id.to_string(),
        "kind": document.statement.kind(),
        "signer": document.signer,
        "made": rfc3339(document.made),
        "nonce": document.nonce.to_string(),
        "request": null, "person": null, "hosts": null, "from": null, "until": null, "privileges": null,
        "reason": null, "text": null, "incident": null, "token": null, "certificate": null, "import": null,
        "signature": signature_json(checked),
        "allowed": allowed_json(checked, signers),
        "good": checked.fault().is_none(),
    });
    for (key, field) in said(&document.statement) {
        if let Some(slot) = value.get_mut(key) {
            *slot = field;
        }
    }
    value
}

fn said(statement: &Statement) -> Vec<(&'static str, Value)> {
    match statement {
        Statement::Request(request) | Statement::BreakGlass(request) => request_json(request),
        Statement::Certificate(certified) => {
            let mut said = request_json(&certified.request);
            said.push(("certificate", certificate_json(&certified.certificate)));
            said
        }
        Statement::Import(import) => {
            let mut said = request_json(&import.request);
            said.push(("import", import_json(import)));
            said
        }
        Statement::Token(token) => vec![
            ("request", json!(token.request.to_string())),
            ("person", json!(token.person)),
            ("hosts", json!([token.host])),
            ("from", json!(rfc3339(token.window.from))),
            ("until", json!(rfc3339(token.window.until))),
        ],
        Statement::Approval(answer) | Statement::Rejection(answer) | Statement::Revocation(answer) => {
            vec![("request", json!(answer.request.to_string())), ("reason", json!(answer.reason))]
        }
        Statement::Extension(extension) => vec![
            ("request", json!(extension.request.to_string())),
            ("until", json!(rfc3339(extension.until))),
            ("reason", json!(extension.reason)),
        ],
        Statement::Note(note) => vec![
            ("person", json!(note.person)),
            ("text", json!(note.text)),
            ("incident", incident_json(&note.incident)),
        ],
    }
}

fn request_json(request: &Request) -> Vec<(&'static str, Value)> {
    vec![
        ("person", json!(request.person)),
        ("hosts", json!(request.hosts)),
        ("from", json!(rfc3339(request.window.from))),
        ("until", json!(rfc3339(request.window.until))),
        ("privileges", request.privileges.iter().map(ToString::to_string).collect()),
        ("reason", json!(request.reason)),
        ("incident", request.incident.as_ref().map_or(Value::Null, incident_json)),
        ("token", json!(request.token)),
    ]
}

pub(super) fn import_json(import: &Import) -> Value {
    json!({
        "system": import.system,
        "external_id": import.external_id,
        "approvers": import.approvers,
        "source": import.source.to_string(),
    })
}

/// Said so that nobody takes the approvers for people who signed.
pub(super) fn import_lines(import: &Import) -> Vec<(&'static str, String)> {
    let by = if import.approvers.is_empty() {
        "nobody named".to_owned()
    } else {
        safe(&import.approvers.join(", "))
    };
    vec![
        ("imported", safe(&format!("from {} {}", import.system, import.external_id))),
        ("approved", format!("there, without a signature, by {by}")),
        ("source", import.source.to_string()),
    ]
}

fn signature_json(checked: &Checked) -> Value {
    let mut value = json!({"state": "missing", "key": null, "fingerprint": null, "hash": null, "why": null,
        "certificate": null});
    let mut put = |key: &str, field: String| {
        if let Some(slot) = value.get_mut(key) {
            *slot = Value::String(field);
        }
    };
    match &checked.signature {
        Signature::Missing => {}
        Signature::Bad(error) => {
            put("state", "bad".to_owned());
            put("why", error.to_string());
        }
        Signature::Good(signed) => {
            put("state", "good".to_owned());
            put("key", signed.key.to_string());
            put("fingerprint", signed.key.fingerprint());
            put("hash", signed.hash.to_owned());
            if let (Some(certificate), Some(slot)) = (&signed.certificate, value.get_mut("certificate")) {
                *slot = certificate_json(certificate);
            }
        }
    }
    value
}

pub(super) fn certificate_json(certificate: &Certificate) -> Value {
    let (after, before) = (certificate.valid_after(), certificate.valid_before());
    let time = |seconds| rfc3339(seconds_since_1970(seconds));
    json!({
        "key_id": certificate.key_id(),
        "serial": certificate.serial(),
        "authority": certificate.authority().fingerprint(),
        "principals": certificate.principals(),
        "valid_after": (after != 0).then(|| time(after)),
        "valid_before": (before != FOREVER).then(|| time(before)),
    })
}

fn seconds_since_1970(seconds: u64) -> RealNanos {
    RealNanos::new(seconds.saturating_mul(1_000_000_000))
}

fn allowed_json(checked: &Checked, signers: Option<&Signers>) -> Value {
    let (allowed, line, why) = match &checked.allowed {
        None => (None, None, None),
        Some(Ok(line)) => (Some(true), Some(line), None),
        Some(Err(refusal)) => (Some(false), None, Some(refusal.to_string())),
    };
    json!({"checked": allowed.is_some(), "allowed": allowed, "line": line, "why": why, "at": signers.map(|s| rfc3339(s.at))})
}

pub(super) fn incident_json(incident: &Incident) -> Value {
    json!({"system": incident.system, "id": incident.id, "url": incident.url})
}

fn incident(incident: &Incident) -> String {
    safe(&format!("{} {} {}", incident.system, incident.id, incident.url.as_deref().unwrap_or_default()))
        .trim_end()
        .to_owned()
}

fn time(time: RealNanos) -> String {
    format!("{} UTC", table::time(time))
}

pub(super) fn safe(text: &str) -> String {
    Bytes::from(text).escaped()
}
