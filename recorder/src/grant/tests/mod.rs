//! The whole book and its correlation, with documents made by hand.

mod book;
mod correlate;
mod documents;
mod laws;
mod vouchers;

use super::{
    Answer, Book, CommandLine, Document, Extension, Nonce, Note, Policy, Privilege, Request, Statement,
    Verified, Wanted, Window,
};
use crate::model::{Bytes, Digest, Exec, RealNanos};

pub(super) fn real(n: u64) -> RealNanos {
    RealNanos::new(n)
}

pub(super) fn request(person: &str, from: u64, until: u64) -> Request {
    Request {
        person: person.to_owned(),
        hosts: vec!["*".to_owned()],
        window: Window { from: real(from), until: real(until) },
        privileges: vec![Privilege::Root],
        reason: "disk full".to_owned(),
        incident: None,
        token: false,
    }
}

/// A document with a name made of a number.
fn document(id: u8, signer: &str, statement: Statement) -> Document {
    Document {
        id: Digest::new([id; 32]),
        signer: signer.to_owned(),
        made: real(0),
        nonce: Nonce::new([id; 16]),
        statement,
    }
}

/// Signed with a key that is the signer's own.
fn signed(id: u8, signer: &str, received: u64, statement: Statement) -> Verified {
    Verified {
        document: document(id, signer, statement),
        principal: signer.to_owned(),
        key: format!("SHA256:{signer}"),
        received: real(received),
    }
}

fn answer(request: u8) -> Answer {
    Answer { request: Digest::new([request; 32]), reason: "because".to_owned() }
}

fn approval(id: u8, of: u8, signer: &str, received: u64) -> Verified {
    signed(id, signer, received, Statement::Approval(answer(of)))
}

fn revocation(id: u8, of: u8, signer: &str, received: u64) -> Verified {
    signed(id, signer, received, Statement::Revocation(answer(of)))
}

fn rejection(id: u8, of: u8, signer: &str, received: u64) -> Verified {
    signed(id, signer, received, Statement::Rejection(answer(of)))
}

fn extension(id: u8, of: u8, signer: &str, received: u64, until: u64) -> Verified {
    let statement =
        Extension { request: Digest::new([of; 32]), until: real(until), reason: "not done".to_owned() };
    signed(id, signer, received, Statement::Extension(statement))
}

fn note(id: u8, signer: &str, person: &str) -> Verified {
    let incident = super::Incident { system: "pagerduty".into(), id: "PD-1".into(), url: None };
    signed(
        id,
        signer,
        1,
        Statement::Note(Note { person: person.to_owned(), incident, text: "looking".into() }),
    )
}

fn asked(id: u8, person: &str, received: u64, from: u64, until: u64) -> Verified {
    signed(id, person, received, Statement::Request(request(person, from, until)))
}

/// What another system approved, brought in by `imp`.
fn brought(id: u8, person: &str, received: u64, from: u64, until: u64) -> Verified {
    let import = super::Import {
        request: request(person, from, until),
        system: "teleport".to_owned(),
        external_id: "0b3c".to_owned(),
        approvers: vec!["somebody".to_owned()],
        source: Digest::new([9; 32]),
    };
    signed(id, "imp", received, Statement::Import(Box::new(import)))
}

fn glass(id: u8, person: &str, received: u64, from: u64, until: u64) -> Verified {
    signed(id, person, received, Statement::BreakGlass(request(person, from, until)))
}

/// Leads approve for everybody; `two-*` need two of them; `imp` imports, but not for bert; the longest window is a minute.
fn policy() -> Policy {
    Policy::parse(
        "max_window = \"1m\"\nbreak_glass = [\"*\", \"!bert\"]\n\
         [[approve]]\napprovers = [\"lead*\", \"anna\"]\npersons = [\"*\", \"!two-*\"]\nprivileges = [\"root\"]\n\
         [[approve]]\napprovers = [\"lead*\"]\npersons = [\"two-*\"]\nprivileges = [\"root\"]\ncount = 2\n\
         [[import]]\nimporters = [\"imp\"]\nsystems = [\"teleport\"]\npersons = [\"*\", \"!bert\"]\n\
         privileges = [\"root\"]\n",
    )
    .unwrap()
}

fn book(documents: impl IntoIterator<Item = Verified>) -> Book {
    let mut book = Book::new(policy(), "web-1");
    documents.into_iter().for_each(|document| _ = book.insert(document));
    book
}

fn root(line: &str) -> Wanted {
    let mut words = line.split(' ');
    let path = Bytes::from(words.next().unwrap());
    let argv = std::iter::once(path.clone()).chain(words.map(Bytes::from)).collect();
    let exec = Exec { path, argv, ..Exec::default() };
    Wanted { uid: 0, user: Some("root".to_owned()), line: CommandLine::new(&exec) }
}

/// Nanoseconds of `max_window`.
const MINUTE: u64 = 60_000_000_000;
