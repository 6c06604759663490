//! Bodies of one segment as its readers see them: in clear, opened by an identity, or shut.

use crate::journal::Identities;
use crate::journal::cipher::Ratchet;
use crate::journal::frame::{Header, flag};
use crate::journal::identity::Unwrapped;
use crate::journal::segment::SegmentHeader;

/// What the identities make of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Its bodies are stored in clear.
    Clear,
    /// No identity was given.
    Shut,
    /// It is sealed to others than the identities that were given.
    NotForUs,
    /// Its key is not the one that its header commits to.
    Wrong,
    /// It opens.
    Open,
}

/// A body.
pub(super) enum Content<'a> {
    /// As it was before encryption.
    Plain(&'a [u8]),
    /// Nobody here can read it.
    Shut,
    /// It does not open with the segment's key.
    Broken,
}

/// Opens the bodies of a segment, which have to come in order.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) access: Access,
    ratchet: Option<Ratchet>,
    plain: Vec<u8>,
}

impl Opener {
    /// For the segment with that header.
    pub(super) fn new(identities: &Identities, header: &SegmentHeader, first_leaf: u64) -> Self {
        let (access, ratchet) = match identities.unwrap(header, first_leaf) {
            Unwrapped::Clear => (Access::Clear, None),
            Unwrapped::NotForUs if identities.is_empty() => (Access::Shut, None),
            Unwrapped::NotForUs => (Access::NotForUs, None),
            Unwrapped::Wrong => (Access::Wrong, None),
            Unwrapped::Open(ratchet) => (Access::Open, Some(ratchet)),
        };
        Self { access, ratchet, plain: Vec::new() }
    }

    /// The body of the next leaf.
    pub(super) fn open<'a>(&'a mut self, header: &Header, body: &'a [u8]) -> Content<'a> {
        if header.flags & flag::ENCRYPTED == 0 {
            return Content::Plain(body);
        }
        match &mut self.ratchet {
            None => Content::Shut,
            Some(ratchet) => {
                if ratchet.open(header, body, &mut self.plain) {
                    Content::Plain(&self.plain)
                } else {
                    Content::Broken
                }
            }
        }
    }
}
