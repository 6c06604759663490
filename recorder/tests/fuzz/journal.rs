//! What has to hold for every input of the journal's parsers. The libFuzzer targets in fuzz/ are made of these, and every
//! run of the suite tries the corpora that they left.
#![allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "test arithmetic")]

use std::io;

use recorder::journal::{
    disk::ReadAt,
    frame::{HEADER_LEN, Header, frame_hash, frame_len, put_frame},
    key::{Identity, ORIGIN_LABEL, RESTART_LABEL, SEAL_LABEL, SecretKey},
    origin::Origin,
    pack::{Packer, Unpacker},
    record::{Encoder, decode},
    scan::{Scanner, Step},
    seal::Seal,
    segment::{Footer, Reason, SegmentHeader},
    tree::Frontier,
    walk::{Event, Walk},
};
use recorder::model::{Body, Digest, LogId};
use recorder::sys::secret::Secret;

/// For libFuzzer, which only knows a panic.
pub(crate) fn must(outcome: Result<(), String>) {
    if let Err(why) = outcome {
        panic!("{why}");
    }
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// A file in memory.
struct Memory<'a>(&'a [u8]);

impl ReadAt for Memory<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|from| self.0.get(from..)).unwrap_or_default();
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

/// Bytes as a header and as a file of frames: what is read is what stands there, and a walk ends.
pub(crate) fn frame(input: &[u8]) -> Result<(), String> {
    if let Some(raw) = input.first_chunk::<HEADER_LEN>()
        && let Ok(header) = Header::parse(raw)
    {
        let mut again = Vec::new();
        header.put(&mut again);
        ensure(again == raw, "a header is written in another form")?;
    }
    let mended;
    let input = match input.split_first() {
        Some((b'M', rest)) => {
            mended = mend_checksums(rest);
            &mended
        }
        _ => input,
    };
    let mut scanner = Scanner::new(Memory(input), 0).map_err(|e| e.to_string())?;
    while let Step::Frame(found) = scanner.step().map_err(|e| e.to_string())? {
        ensure(found.end > found.offset && found.end <= input.len() as u64, "a frame beyond its file")?;
        let mut again = Vec::new();
        let hash = put_frame(&mut again, found.header, scanner.body());
        let stored = &input[found.offset as usize..found.end as usize];
        ensure(hash == found.hash && again == stored, "a frame is written in another form")?;
        ensure(frame_hash(scanner.stored()) == hash, "a frame has two hashes")?;
        ensure(scanner.position() >= found.end, "a walk that stands still")?;
    }
    scanner.used_end(0).map_err(|e| e.to_string())?;
    Ok(())
}

/// Bytes as a stored body, compressed (first byte 1) or not: what is decoded says the same when it is written again.
pub(crate) fn record(input: &[u8]) -> Result<(), String> {
    let Some((compression, stored)) = input.split_first() else { return Ok(()) };
    let mut unpacker = Unpacker::default();
    let Ok(plain) = unpacker.unpack(*compression, stored) else { return Ok(()) };
    let Ok(records) = decode(plain) else { return Ok(()) };
    let mut encoder = Encoder::default();
    for record in &records {
        // The writer doesn't write what it doesn't know.
        if matches!(record.body, Body::Unknown { .. }) {
            return Ok(());
        }
        encoder.push(record);
        if encoder.is_full() {
            return Ok(());
        }
    }
    if records.is_empty() {
        return Ok(());
    }
    let (mut again, mut packed) = (Vec::new(), Vec::new());
    encoder.finish(&mut again);
    let compression = Packer::default().pack(&again, &mut packed);
    let twice = unpacker.unpack(compression, &packed).map_err(|e| format!("not unpacked again: {e}"))?;
    ensure(twice == again, "packed into something else")?;
    let same = decode(twice).map_err(|e| format!("what was read is not read again: {e}"))?;
    ensure(same == records, "records say something else when they are written again")
}

/// Bytes as the bodies of a seal, a footer, a segment header: what is read is what stands there.
pub(crate) fn seal(input: &[u8]) -> Result<(), String> {
    if let Ok((seal, signature)) = Seal::parse(input) {
        let mut again = Vec::new();
        seal.put(&mut again);
        again.extend_from_slice(&signature);
        ensure(again == input, "a seal is written in another form")?;
        // Whatever the bytes are as a key, the answer is no: nobody signed them.
        ensure(!seal.next_key.verifies(&input[..192], &signature), "a signature of nobody's")?;
        ensure(!seal.recovery_key.verifies(b"", &signature), "a signature of nobody's")?;
    }
    if let Ok(footer) = Footer::parse(input) {
        let mut again = Vec::new();
        footer.put(&mut again);
        ensure(again == input, "a footer is written in another form")?;
    }
    if let Ok((header, signature)) = SegmentHeader::parse(input) {
        let mut again = Vec::new();
        header.put(&mut again);
        if again.len() + 64 == input.len() {
            again.extend_from_slice(&signature);
        }
        ensure(again == input, "a segment header is written in another form")?;
    }
    Ok(())
}

/// Bytes as a segment, walked to its end, bodies decoded. First byte: 1 with checksums mended, 2 with links, roots, keys and
/// signatures too, as somebody would who owns the host; else as they are.
pub(crate) fn segment(input: &[u8]) -> Result<(), String> {
    let Some((mode, stored)) = input.split_first() else { return Ok(()) };
    let bytes = match mode {
        1 => mend_checksums(stored),
        2 => mend_all(stored),
        _ => stored.to_vec(),
    };
    let Ok(mut walk) = Walk::open(Memory(&bytes)).map_err(|e| e.to_string())? else { return Ok(()) };
    let mut unpacker = Unpacker::default();
    let (mut last, mut seals) = (0, 0u64);
    loop {
        match walk.step().map_err(|e| e.to_string())? {
            Event::Leaf(found) => {
                ensure(found.end > last, "a walk that stands still")?;
                last = found.end;
                if found.header.records > 0
                    && let Ok(plain) = unpacker.unpack(found.header.compression, walk.body())
                {
                    let _ = decode(plain);
                }
            }
            Event::Sealed(_) => seals += 1,
            Event::End | Event::Fault(_) => break,
        }
    }
    ensure(walk.committed.leaf <= walk.state.leaf, "sealed more than there is")?;
    ensure(seals > 0 || walk.committed.seal.is_none(), "a seal out of nothing")?;
    let _ = walk.seal_behind(0, 0).map_err(|e| e.to_string())?;
    Ok(())
}

/// Bytes as an origin note: the signed text is byte for byte what its fields give, whoever signs.
pub(crate) fn note(input: &[u8]) -> Result<(), String> {
    let Some(origin) = Origin::parse(input) else { return Ok(()) };
    let again = origin.sign(&key());
    let text = |note: &[u8]| note.windows(2).position(|pair| pair == b"\n\n").map(|at| note[..=at].to_vec());
    ensure(text(input).is_some() && text(input) == text(again.as_bytes()), "a note has two forms")
}

/// The one key of mended segments.
fn key() -> SecretKey {
    let mut page = Secret::new().expect("a page of memory");
    page.expose_mut().copy_from_slice(&[7; 32]);
    SecretKey::from_secret(page)
}

/// Frames by their declared lengths, as far as they lie in the bytes.
fn spans(bytes: &[u8]) -> Vec<(usize, usize, usize)> {
    let (mut list, mut at) = (Vec::new(), 0);
    while let Some(head) = bytes.get(at..at + HEADER_LEN) {
        let body = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
        let end = at + frame_len(body.min(bytes.len()));
        if &head[..4] != b"RJF1" || end > bytes.len() {
            break;
        }
        list.push((at, body, end));
        at = end;
    }
    list
}

fn mend_checksum(bytes: &mut [u8], (at, body, _): (usize, usize, usize)) {
    let crc = crc32c::crc32c(&bytes[at..at + HEADER_LEN + body]);
    bytes[at + HEADER_LEN + body..][..4].copy_from_slice(&crc.to_le_bytes());
}

fn mend_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for span in spans(&bytes) {
        mend_checksum(&mut bytes, span);
    }
    bytes
}

/// Every key becomes the one key, every link, root and signature what it has to be.
fn mend_all(bytes: &[u8]) -> Vec<u8> {
    let (key, mut bytes) = (key(), bytes.to_vec());
    let public = key.public();
    let mut tree: Option<Frontier> = None;
    let mut identity = None;
    let mut prev: Option<[u8; 32]> = None;
    for span in spans(&bytes) {
        let (at, body, end) = span;
        let frame = &mut bytes[at..end];
        if let Some(prev) = prev {
            frame[80..112].copy_from_slice(&prev);
        }
        let body_at = |from: usize| HEADER_LEN + from;
        match frame[5] {
            1 if body >= 352 => {
                frame[body_at(16)..body_at(48)].copy_from_slice(&public.0);
                frame[body_at(144)..body_at(176)].copy_from_slice(&public.0);
                let log = <[u8; 16]>::try_from(&frame[body_at(0)..body_at(16)]).unwrap_or_default();
                let who = Identity { log: LogId::new(log), admission: public };
                let label = if Reason::from_code(frame[body_at(52)]) == Some(Reason::Origin) {
                    ORIGIN_LABEL
                } else {
                    RESTART_LABEL
                };
                let mut message = Vec::new();
                who.message(label, &frame[..body_at(body - 64)], &mut message);
                let signature = if frame[body_at(52)] == 1 { [0; 64] } else { key.sign(&message) };
                frame[body_at(body - 64)..body_at(body)].copy_from_slice(&signature);
                identity = Some(who);
                if tree.is_none() {
                    let header = SegmentHeader::parse(&frame[HEADER_LEN..body_at(body)]).ok();
                    let leaf = u64::from_le_bytes(<[u8; 8]>::try_from(&frame[16..24]).unwrap_or_default());
                    tree =
                        Some(header.and_then(|(h, _)| Frontier::resume(leaf, h.peaks)).unwrap_or_default());
                }
            }
            3 if body == 256 => {
                let root = tree.clone().unwrap_or_default().root();
                frame[body_at(32)..body_at(64)].copy_from_slice(&prev.unwrap_or_default());
                frame[body_at(64)..body_at(96)].copy_from_slice(root.as_bytes());
                frame[body_at(96)..body_at(128)].copy_from_slice(&public.0);
                if let Some(who) = identity {
                    let mut message = Vec::new();
                    who.message(SEAL_LABEL, &frame[..body_at(192)], &mut message);
                    frame[body_at(192)..body_at(256)].copy_from_slice(&key.sign(&message));
                }
            }
            _ => {}
        }
        let hash: Digest = frame_hash(&bytes[at..at + HEADER_LEN + body]);
        if bytes[at + 5] != 3 {
            tree.get_or_insert_default().push(hash);
        }
        prev = Some(*hash.as_bytes());
        mend_checksum(&mut bytes, span);
    }
    bytes
}
