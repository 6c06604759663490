//! What has to hold for every input of retention's parsers, as journal.rs has it for the journal's.

use recorder::journal::{
    key::sha256,
    retain::{Maker, Permit, Stub},
};

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Bytes as a stub; first byte 1: with its checksum mended.
pub(crate) fn stub(input: &[u8]) -> Result<(), String> {
    let Some((mode, rest)) = input.split_first() else { return Ok(()) };
    let mut bytes = rest.to_vec();
    if let (1, Some((covered, crc))) = (*mode, bytes.split_last_chunk_mut::<4>()) {
        *crc = crc32c::crc32c(covered).to_le_bytes();
    }
    let Ok(stub) = Stub::parse(&bytes) else { return Ok(()) };
    ensure(stub.digest == sha256(&bytes), "a stub with another digest")?;
    ensure(stub.leaves() > 0, "a stub of no leaves")?;
    ensure(stub.tree.size() == stub.seal.seal.tree_size, "a stub with another tree than its seal's")?;
    ensure(stub.tree.root() == stub.seal.seal.root, "a stub with another root than its seal's")
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
