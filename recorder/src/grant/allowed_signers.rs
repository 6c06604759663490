//! Lists of signers in OpenSSH's format (ssh-keygen(1), ALLOWED SIGNERS): who may sign with which key, for what, when.
//!
//! ssh-keygen is the law: the reading follows sshsig.c of V_9_2_P1 step by step, and recorder/tests/allowed_signers.rs
//! holds the verdicts against the real program. Stricter in one thing: a certificate with a critical option signs nothing.

use base64::{Engine as _, engine::general_purpose};
use jiff::tz::TimeZone;

use super::certificate::{Certificate, CertificateError, FOREVER};
use super::key::{self, PublicKey};
use super::principals;
use super::render::rfc3339;
use super::sshsig::Signed;
use super::validity;
use crate::model::RealNanos;

/// Longest list in bytes.
pub const MAX_ALLOWED_SIGNERS: usize = 4 << 20;

/// A list that was read. Lines that make no sense are left out, as ssh-keygen leaves them out, and told by [`Self::faults`].
#[derive(Clone, Debug, Default)]
pub struct AllowedSigners {
    lines: Vec<Line>,
    faults: Vec<LineFault>,
}

#[derive(Clone, Debug)]
struct Line {
    number: usize,
    principals: Vec<u8>,
    key: Listed,
    options: Options,
}

/// What a line allows.
#[derive(Clone, Debug)]
enum Listed {
    Key(PublicKey),
    /// The wire form of one certificate.
    Certificate(Vec<u8>),
    /// A kind that is weak or unknown and signs nothing here.
    Other,
}

#[derive(Clone, Debug, Default)]
struct Options {
    authority: bool,
    namespaces: Option<Vec<u8>>,
    /// Seconds since 1970; the key may be used from this second on.
    valid_after: Option<u64>,
    /// Seconds since 1970; the key may be used up to and with this second.
    valid_before: Option<u64>,
}

/// A line that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

/// Why there is no list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowedSignersError {
    /// Longer than any honest one.
    #[error("a list of signers has at most {most} bytes, this has {bytes}")]
    TooLong {
        /// Found.
        bytes: usize,
        /// Allowed.
        most: usize,
    },
}

/// Why a key may not sign for a person. Of several lines, the one that came closest tells; the later in this list, the closer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// No line is for him.
    #[error("no line of the list is for this signer")]
    UnknownSigner,
    /// He has other keys.
    #[error("the list has no line for this signer with this key")]
    UnknownKey,
    /// The key signs certificates, not documents.
    #[error("line {line} has this key as a certificate authority, which does not sign documents")]
    Authority {
        /// Which line.
        line: usize,
    },
    /// The line knows the authority, but what it certified is not this.
    #[error("line {line} has the certificate's authority, but {why}")]
    Certificate {
        /// Which line.
        line: usize,
        /// What is wrong with the certificate.
        why: CertificateRefusal,
    },
    /// The key is for something else.
    #[error("line {line} does not allow this key in this namespace")]
    Namespace {
        /// Which line.
        line: usize,
    },
    /// Before its time.
    #[error("line {line} allows this key from {} on", rfc3339(*from))]
    Early {
        /// Which line.
        line: usize,
        /// The first moment.
        from: RealNanos,
    },
    /// After its time.
    #[error("line {line} allowed this key until {}", rfc3339(*until))]
    Late {
        /// Which line.
        line: usize,
        /// The last second.
        until: RealNanos,
    },
}

/// Why a certificate by a known authority does not let its holder sign as somebody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum CertificateRefusal {
    /// What an option demands can't be checked on a document.
    #[error("its critical option {0:?} says that it is not for signing documents")]
    CriticalOption(String),
    /// A host's.
    #[error("it is a host's")]
    Host,
    /// For anybody, which here is nobody.
    #[error("it names no principal")]
    NoPrincipal,
    /// For others.
    #[error("this signer is none of its principals")]
    OtherPrincipal,
    /// Before its time.
    #[error("it is valid from {} on", rfc3339(*.0))]
    Early(RealNanos),
    /// After its time.
    #[error("it was valid until {}", rfc3339(*.0))]
    Late(RealNanos),
}

impl AllowedSigners {
    /// Reads a list. The zone is for validity times that don't say `Z`.
    pub fn parse(bytes: &[u8], zone: &TimeZone) -> Result<Self, AllowedSignersError> {
        if bytes.len() > MAX_ALLOWED_SIGNERS {
            return Err(AllowedSignersError::TooLong { bytes: bytes.len(), most: MAX_ALLOWED_SIGNERS });
        }
        let mut list = Self::default();
        for (index, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
            let number = index + 1;
            match parse_line(number, line, zone) {
                Ok(line) => list.lines.extend(line),
                Err(why) => list.faults.push(LineFault { line: number, why }),
            }
        }
        Ok(list)
    }

    /// Lines that were left out.
    pub fn faults(&self) -> &[LineFault] {
        &self.faults
    }

    /// True if nobody may sign anything.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// May this person have signed so, in this namespace, at this time? Gives the number of the line that says so.
    ///
    /// Times are compared in whole seconds, as ssh-keygen does.
    pub fn allows(
        &self,
        signer: &str,
        signed: &Signed,
        namespace: &str,
        at: RealNanos,
    ) -> Result<usize, Refusal> {
        let second = at.get() / NANOS;
        let mut closest = Refusal::UnknownSigner;
        for line in self.lines.iter().filter(|line| principals::in_list(signer.as_bytes(), &line.principals))
        {
            match line.allows(signer, signed, namespace, second) {
                Ok(()) => return Ok(line.number),
                Err(refusal) if refusal > closest => closest = refusal,
                Err(_) => {}
            }
        }
        Err(closest)
    }

    /// As [`Self::allows`], but a line without `namespaces=` allows nothing: the right has to be given by name.
    pub fn allows_by_name(
        &self,
        signer: &str,
        signed: &Signed,
        namespace: &str,
        at: RealNanos,
    ) -> Result<usize, Refusal> {
        let silent = |line: &&Line| line.options.namespaces.is_none();
        let named = self.lines.iter().filter(|line| !silent(line)).cloned().collect();
        Self { lines: named, faults: Vec::new() }.allows(signer, signed, namespace, at)
    }
}

const NANOS: u64 = 1_000_000_000;

fn time(seconds: u64) -> RealNanos {
    RealNanos::new(seconds.saturating_mul(NANOS))
}

impl Line {
    fn allows(&self, signer: &str, signed: &Signed, namespace: &str, second: u64) -> Result<(), Refusal> {
        let line = self.number;
        self.knows(signer, signed, second)?;
        if let Some(list) = &self.options.namespaces
            && !principals::in_list(namespace.as_bytes(), list)
        {
            return Err(Refusal::Namespace { line });
        }
        if let Some(after) = self.options.valid_after
            && second < after
        {
            return Err(Refusal::Early { line, from: time(after) });
        }
        if let Some(before) = self.options.valid_before
            && second > before
        {
            return Err(Refusal::Late { line, until: time(before) });
        }
        Ok(())
    }

    /// Is this the line's key, its certificate, or a certificate by its authority?
    fn knows(&self, signer: &str, signed: &Signed, second: u64) -> Result<(), Refusal> {
        let line = self.number;
        let no = |why| Err(Refusal::Certificate { line, why });
        match (&self.key, &signed.certificate) {
            (Listed::Key(key), None) if *key == signed.key => {
                if self.options.authority {
                    Err(Refusal::Authority { line })
                } else {
                    Ok(())
                }
            }
            (Listed::Key(key), Some(by)) if self.options.authority && key == by.authority() => {
                certified(by, signer, second).or_else(no)
            }
            // Who lists a certificate itself has looked at it; ssh-keygen asks no more either.
            (Listed::Certificate(blob), Some(by)) if !self.options.authority && blob == by.blob() => {
                usable(by).or_else(no)
            }
            _ => Err(Refusal::UnknownKey),
        }
    }
}

/// PROTOCOL.certkeys: who doesn't know a critical option must refuse. Those that are known are about logins.
fn usable(certificate: &Certificate) -> Result<(), CertificateRefusal> {
    match certificate.critical_options().next() {
        Some(name) => Err(CertificateRefusal::CriticalOption(name.to_owned())),
        None => Ok(()),
    }
}

/// What sshkey_cert_check_authority asks (sshkey.c, V_9_2_P1).
fn certified(certificate: &Certificate, signer: &str, second: u64) -> Result<(), CertificateRefusal> {
    usable(certificate)?;
    if !certificate.is_for_user() {
        Err(CertificateRefusal::Host)
    } else if second < certificate.valid_after() {
        Err(CertificateRefusal::Early(time(certificate.valid_after())))
    } else if certificate.valid_before() != FOREVER && second >= certificate.valid_before() {
        Err(CertificateRefusal::Late(time(certificate.valid_before())))
    } else if certificate.principals().is_empty() {
        Err(CertificateRefusal::NoPrincipal)
    } else if !certificate.principals().iter().any(|name| name == signer) {
        Err(CertificateRefusal::OtherPrincipal)
    } else {
        Ok(())
    }
}

/// `PRINCIPALS [OPTIONS] TYPE BASE64 [COMMENT]`; nothing for a blank line or a comment.
fn parse_line(number: usize, line: &[u8], zone: &TimeZone) -> Result<Option<Line>, &'static str> {
    // ssh-keygen works on C strings: a NUL ends the line.
    let line = line.split(|b| *b == 0).next().unwrap_or_default();
    let line = skip(line, b" \t\r\n");
    if line.first().is_none_or(|b| *b == b'#') {
        return Ok(None);
    }
    let (principals, rest) = first_token(line)?;
    let (options, key) = if let Some(key) = read_key(rest) {
        (&[][..], key)
    } else {
        let (options, rest) = split_options(rest)?;
        (options, read_key(skip(rest, b" \t")).ok_or("no key that OpenSSH knows")?)
    };
    Ok(Some(Line { number, principals, key, options: parse_options(options, zone)? }))
}

fn skip<'a>(mut text: &'a [u8], blanks: &[u8]) -> &'a [u8] {
    while let Some((first, rest)) = text.split_first()
        && blanks.contains(first)
    {
        text = rest;
    }
    text
}

/// The first word; a quote in it makes everything up to the next quote part of it (misc.c, strdelimw).
fn first_token(line: &[u8]) -> Result<(Vec<u8>, &[u8]), &'static str> {
    const BLANKS: &[u8] = b" \t\r\n";
    let at = line.iter().position(|b| BLANKS.contains(b) || *b == b'"').ok_or("no key")?;
    let (head, rest) = line.split_at_checked(at).unwrap_or((line, &[]));
    let Some((delimiter, rest)) = rest.split_first() else { return Err("no key") };
    if *delimiter != b'"' {
        return Ok((head.to_vec(), skip(rest, BLANKS)));
    }
    let end = rest.iter().position(|b| *b == b'"').ok_or("a quote is not closed")?;
    let (quoted, rest) = rest.split_at_checked(end).unwrap_or((rest, &[]));
    Ok(([head, quoted].concat(), skip(rest.get(1..).unwrap_or_default(), BLANKS)))
}

/// The key at the start of the text (sshkey.c, sshkey_read).
fn read_key(text: &[u8]) -> Option<Listed> {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let (kind, rest) = text.split_at_checked(text.iter().position(blank)?)?;
    let kind = std::str::from_utf8(kind).ok()?;
    let (family, certifies) = family(kind)?;
    let rest = skip(rest, b" \t");
    let digits = rest.split(|b| blank(b)).next()?;
    let digits: Vec<u8> = digits.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    let blob = general_purpose::STANDARD.decode(digits).ok()?;
    if key::kind_of(&blob)? != family {
        return None;
    }
    // Too weak or too large for us, while OpenSSH knows it: it is a key, and nobody's here.
    let found = if certifies {
        match Certificate::from_blob(&blob) {
            Ok(_) => Ok(Listed::Certificate(blob)),
            Err(CertificateError::Key(error)) => Err(error),
            Err(_) => return None,
        }
    } else {
        PublicKey::from_blob(&blob).map(Listed::Key)
    };
    match found {
        Ok(listed) => Some(listed),
        Err(key::KeyError::Weak { .. } | key::KeyError::Unsupported { .. }) => Some(Listed::Other),
        Err(key::KeyError::Damaged | key::KeyError::Certificate { .. }) => None,
    }
}

/// The type inside the key for a type in front of it, and whether it is a certificate's.
fn family(kind: &str) -> Option<(&str, bool)> {
    let plain = match kind {
        // Names of algorithms that OpenSSH takes for the key's.
        "rsa-sha2-256" | "rsa-sha2-512" => "ssh-rsa",
        "ssh-ed25519"
        | "ecdsa-sha2-nistp256"
        | "ecdsa-sha2-nistp384"
        | "ecdsa-sha2-nistp521"
        | "ssh-rsa"
        | "sk-ssh-ed25519@openssh.com"
        | "sk-ecdsa-sha2-nistp256@openssh.com"
        | "ssh-dss" => kind,
        "ssh-dss-cert-v01@openssh.com"
        | "ssh-rsa-cert-v01@openssh.com"
        | "ssh-ed25519-cert-v01@openssh.com"
        | "ecdsa-sha2-nistp256-cert-v01@openssh.com"
        | "ecdsa-sha2-nistp384-cert-v01@openssh.com"
        | "ecdsa-sha2-nistp521-cert-v01@openssh.com"
        | "sk-ssh-ed25519-cert-v01@openssh.com"
        | "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com" => return Some((kind, true)),
        _ => return None,
    };
    Some((plain, false))
}

/// Options end at the first blank outside of quotes (authfile.c, sshkey_advance_past_options).
fn split_options(text: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let (mut quoted, mut at) = (false, 0usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b' ' | b'\t' if !quoted => break,
            b'\\' if text.get(at + 1) == Some(&b'"') => at += 1,
            b'"' => quoted = !quoted,
            _ => {}
        }
        at += 1;
    }
    let (options, rest) = text.split_at_checked(at).ok_or("no key")?;
    match (rest.is_empty(), quoted) {
        (true, true) => Err("a quote in the options is not closed"),
        (true, false) => Err("no key"),
        (false, _) => Ok((options, rest)),
    }
}

fn parse_options(mut rest: &[u8], zone: &TimeZone) -> Result<Options, &'static str> {
    let mut options = Options::default();
    while !rest.is_empty() {
        if let Some(behind) = strip_prefix_any_case(rest, b"cert-authority") {
            options.authority = true;
            rest = behind;
        } else if let Some(behind) = strip_prefix_any_case(rest, b"namespaces=") {
            let value;
            (value, rest) = dequote(behind)?;
            once(&mut options.namespaces, value, "namespaces stands twice")?;
        } else if let Some(behind) = strip_prefix_any_case(rest, b"valid-after=") {
            let value;
            (value, rest) = dequote(behind)?;
            let time = validity::parse(&value, zone).ok_or("valid-after is no time")?;
            once(&mut options.valid_after, time, "valid-after stands twice")?;
        } else if let Some(behind) = strip_prefix_any_case(rest, b"valid-before=") {
            let value;
            (value, rest) = dequote(behind)?;
            let time = validity::parse(&value, zone).ok_or("valid-before is no time")?;
            once(&mut options.valid_before, time, "valid-before stands twice")?;
        }
        match rest.split_first() {
            None => break,
            Some((b',', [])) => return Err("the options end with a comma"),
            Some((b',', behind)) => rest = behind,
            Some(_) => return Err("an unknown option"),
        }
    }
    if let (Some(after), Some(before)) = (options.valid_after, options.valid_before)
        && before <= after
    {
        return Err("valid-before is not later than valid-after");
    }
    Ok(options)
}

fn once<T>(slot: &mut Option<T>, value: T, fault: &'static str) -> Result<(), &'static str> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(fault),
    }
}

fn strip_prefix_any_case<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// A value in quotes, `\"` inside for a quote, and what is behind it.
fn dequote(text: &[u8]) -> Result<(Vec<u8>, &[u8]), &'static str> {
    let mut rest = text.strip_prefix(b"\"").ok_or("a value is not in quotes")?;
    let mut value = Vec::new();
    loop {
        rest = match rest {
            [] => return Err("a quote in the options is not closed"),
            [b'"', behind @ ..] => return Ok((value, behind)),
            [b'\\', b'"', behind @ ..] => {
                value.push(b'"');
                behind
            }
            [byte, behind @ ..] => {
                value.push(*byte);
                behind
            }
        };
    }
}
