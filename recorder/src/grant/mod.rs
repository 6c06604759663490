//! Grants: signed permissions, who may give them, which of them cover which stretch of a session (docs/grants.md).
//!
//! Pure: documents, clocks and lists of signers are arguments; nothing here reads a file or the time.

mod document;

pub use document::{
    Answer, Document, DocumentError, Extension, Incident, Note, Privilege, Request, Statement, Window,
};
