//! What has to hold for every input of retention's parsers, as journal.rs has it for the journal's.
#![allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "test arithmetic")]

use recorder::journal::{
    frame::{HEADER_LEN, frame_len},
    key::sha256,
    retain::{Maker, Permit, Stub},
    seal::SEAL_LEN,
    segment::SegmentHeader,
    tree::{Frontier, RangeRoots},
};
use recorder::model::Digest;

/// Bytes of a stub before its frames.
const HEAD: usize = 128;

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Bytes as a stub; first byte 1: with its checksum mended, 2: with its frames, their numbers and the root too, as somebody
/// would who owns the host.
pub(crate) fn stub(input: &[u8]) -> Result<(), String> {
    let Some((mode, rest)) = input.split_first() else { return Ok(()) };
    let mut bytes = rest.to_vec();
    if *mode == 2 {
        let _ = mend(&mut bytes);
    }
    if let (1 | 2, Some((covered, crc))) = (*mode, bytes.split_last_chunk_mut::<4>()) {
        *crc = crc32c::crc32c(covered).to_le_bytes();
    }
    let Ok(stub) = Stub::parse(&bytes) else { return Ok(()) };
    ensure(stub.digest == sha256(&bytes), "a stub with another digest")?;
    ensure(stub.leaves() > 0, "a stub of no leaves")?;
    ensure(stub.tree.size() == stub.seal.seal.tree_size, "a stub with another tree than its seal's")?;
    ensure(stub.tree.root() == stub.seal.seal.root, "a stub with another root than its seal's")?;
    let rows = rows(&stub);
    let stored = bytes.len().checked_sub(4 + rows.len()).and_then(|at| bytes.get(at..bytes.len() - 4));
    ensure(stored == Some(&rows), "rows are written in another form")
}

/// The rows as docs/journal-format.md ("Stub") has them.
fn rows(stub: &Stub) -> Vec<u8> {
    let mut out = Vec::new();
    for s in &stub.streams {
        out.extend(s.stream.to_le_bytes());
        out.extend([u8::from(s.opened), u8::from(s.closed.is_some()), 0, 0, 0, 0, 0, 0]);
        out.extend(s.session.unwrap_or_default().as_bytes());
        let (frames, records, losses) = s.closed.unwrap_or_default();
        for n in [s.first, s.frames, s.records, frames, records, losses] {
            out.extend(n.to_le_bytes());
        }
    }
    for t in &stub.tombstones {
        out.extend(t.permit.as_bytes());
        out.extend(t.stub.as_bytes());
        for n in [t.first, t.leaves, t.applied.get()] {
            out.extend(n.to_le_bytes());
        }
    }
    out
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|raw| u32::from_le_bytes(*raw))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|raw| u64::from_le_bytes(*raw))
}

fn copy(bytes: &mut [u8], to: usize, from: &[u8]) -> Option<()> {
    bytes.get_mut(to..)?.get_mut(..from.len())?.copy_from_slice(from);
    Some(())
}

/// Makes the checksum of the frame at `at` fit.
fn mend_frame(bytes: &mut [u8], at: usize) -> Option<()> {
    let body = u32_at(bytes, at + 8)? as usize;
    let crc = crc32c::crc32c(bytes.get(at..at.checked_add(HEADER_LEN)?.checked_add(body)?)?);
    copy(bytes, at + HEADER_LEN + body, &crc.to_le_bytes())
}

/// Both frames become whole, and the seal one of that segment over those roots, as far as the lengths allow.
fn mend(bytes: &mut [u8]) -> Option<()> {
    let (header_len, roots) = (u32_at(bytes, 8)? as usize, u32_at(bytes, 12)? as usize);
    let begins = u64_at(bytes, HEAD + 16)?;
    let seals = u64_at(bytes, 24)?;
    mend_frame(bytes, HEAD)?;
    let seal = HEAD.checked_add(header_len)?;
    let body = seal.checked_add(HEADER_LEN)?;
    let stored = bytes.get(HEAD + HEADER_LEN..)?.get(..u32_at(bytes, HEAD + 8)? as usize)?;
    let (header, _) = SegmentHeader::parse(stored).ok()?;
    // Its place: tree size, running number, link, next record.
    let size = u64_at(bytes, seal + 16)?;
    let no = header.next_seal.wrapping_add(seals).wrapping_sub(1).to_le_bytes();
    let prev = bytes.get(seal + 80..seal + 112)?.to_vec();
    let record = bytes.get(96..104)?.to_vec();
    copy(bytes, seal + 32, &no)?;
    copy(bytes, seal + 40, &record)?;
    copy(bytes, body, header.log.as_bytes())?;
    copy(bytes, body + 16, &no)?;
    copy(bytes, body + 24, &size.to_le_bytes())?;
    copy(bytes, body + 32, &prev)?;
    copy(bytes, body + 160, header.boot.as_bytes())?;
    let mut tree = Frontier::resume(begins, header.peaks)?;
    let levels = RangeRoots::levels(begins, size);
    let mut at = seal.checked_add(frame_len(SEAL_LEN))?;
    for level in levels.into_iter().take(roots) {
        let root = bytes.get(at..)?.first_chunk::<32>()?;
        tree.push_perfect(level, Digest::new(*root));
        at += 32;
    }
    copy(bytes, body + 64, tree.root().as_bytes())?;
    mend_frame(bytes, seal)
}

/// Bytes as a permit: what is read can be written, and says the same when it is read again.
pub(crate) fn permit(input: &[u8]) -> Result<(), String> {
    let Ok(permit) = Permit::parse(input) else { return Ok(()) };
    ensure(permit.head.id == sha256(input), "a permit with another name")?;
    let maker = Maker { signer: permit.head.signer.clone(), made: permit.head.made, nonce: [7; 16] };
    let (again, _) = Permit::write(&maker, &permit.plan, &permit.reason, permit.until)
        .map_err(|e| format!("what was read is not written: {e}"))?;
    let same = (&again.head.signer, again.head.made) == (&permit.head.signer, permit.head.made)
        && (&again.plan, &again.reason, again.until) == (&permit.plan, &permit.reason, permit.until);
    ensure(same, "a permit says something else when it is written again")
}
