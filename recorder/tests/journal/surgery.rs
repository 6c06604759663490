//! Every byte flipped, every frame moved, every file cut: nothing passes as untouched, and each verdict is the page's.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::common::*;
use recorder::journal::frame::{frame_hash, frame_len};
use recorder::journal::key::{Entropy, Identity, PublicKey, SEAL_LABEL, SecretKey};
use recorder::journal::origin::Origin;
use recorder::journal::seal::Seal;
use recorder::journal::tree::Frontier;
use recorder::journal::{JournalError, RealDisk, Writer};
use recorder::model::*;
use recorder::sys::secret::Secret;
use recorder::verify::{Finding, Report, Verdict};

/// Frames of a segment's bytes.
pub(crate) fn frames(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut list = Vec::new();
    let mut at = 0;
    while bytes.get(at..at + 4) == Some(b"RJF1") {
        let body = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        let end = at + frame_len(body);
        list.push(at..end);
        at = end;
    }
    list
}

fn kind(bytes: &[u8], frame: &Range<usize>) -> u8 {
    bytes[frame.start + 5]
}

pub(crate) fn fix_crc(frame: &mut [u8]) {
    let body = u32::from_le_bytes(frame[8..12].try_into().unwrap()) as usize;
    let Some((covered, rest)) = frame.split_at_mut_checked(112 + body) else { return };
    if rest.len() >= 4 {
        rest[..4].copy_from_slice(&crc32c::crc32c(covered).to_le_bytes());
    }
}

/// A journal to operate on.
struct Patient {
    _dir: tempfile::TempDir,
    path: PathBuf,
    files: Vec<PathBuf>,
    healthy: Vec<Vec<u8>>,
    report: Report,
}

impl Patient {
    fn new(ending: Ending, seed: u64) -> Self {
        let base = Path::new("/dev/shm");
        let dir = if base.is_dir() { tempfile::tempdir_in(base) } else { tempfile::tempdir() }.unwrap();
        let path = dir.path().to_owned();
        small_at(&path, seed, ending);
        let files = segments(&log_dir(&path));
        let healthy = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
        let report = verify(&path);
        assert_eq!(report.verdict, Verdict::VerifiedWithGaps, "{:#?}", report.findings);
        Self { _dir: dir, path, files, healthy, report }
    }

    fn last(&self) -> usize {
        self.files.len() - 1
    }

    /// Where the last commit of the last segment begins.
    fn last_commit(&self) -> usize {
        let bytes = &self.healthy[self.last()];
        let seals: Vec<_> = frames(bytes).into_iter().filter(|f| kind(bytes, f) == 3).collect();
        seals[seals.len() - 2].end
    }

    /// Verifies with one file's bytes changed, then heals.
    fn with(&self, n: usize, bytes: &[u8]) -> Report {
        std::fs::write(&self.files[n], bytes).unwrap();
        let report = verify(&self.path);
        std::fs::write(&self.files[n], &self.healthy[n]).unwrap();
        report
    }

    fn new_findings(&self, report: &Report) -> Vec<Finding> {
        report.findings.iter().filter(|f| !self.report.findings.contains(f)).cloned().collect()
    }

    /// Damage in the last commit: whole up to the seal before, and it shows.
    fn assert_tail(&self, report: &Report, what: &str) {
        assert_eq!(report.verdict, Verdict::VerifiedWithGaps, "{what}: {:#?}", report.findings);
        let new = self.new_findings(report);
        assert!(new.iter().any(|f| matches!(f.code, "UNSEALED_TAIL" | "END_UNPROVEN")), "{what}: {new:#?}");
        assert!(new.iter().any(|f| f.code == "UNSEALED_TAIL"), "{what}: {new:#?}");
    }
}

fn assert_broken(report: &Report, what: &str) {
    assert!(
        matches!(report.verdict, Verdict::Tampered),
        "{what}: {:?} {:#?}",
        report.verdict,
        report.findings
    );
}

fn flip_all(ending: Ending, fix: bool) {
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                let p = Patient::new(ending, 7);
                let tail = p.last_commit();
                for n in 0..p.files.len() {
                    let spans = frames(&p.healthy[n]);
                    let used = spans.last().unwrap().end;
                    // Behind the frames there are only zeros: every 61st byte stands for all.
                    let behind = (used..p.healthy[n].len()).step_by(61);
                    for i in (0..used).chain(behind.filter(|_| !fix)).filter(|i| i % 2 == half) {
                        let mut bytes = p.healthy[n].clone();
                        bytes[i] ^= 1 << (i % 8);
                        if fix {
                            let frame = spans.iter().find(|f| f.contains(&i)).unwrap();
                            // All of the fixed fields, every third byte of the rest.
                            if i - frame.start >= 360 && i % 6 > 1 {
                                continue;
                            }
                            fix_crc(&mut bytes[frame.clone()]);
                            if bytes == p.healthy[n] {
                                continue;
                            }
                        }
                        let report = p.with(n, &bytes);
                        let what = format!("segment {n} byte {i} of {used}");
                        if n == p.last() && i >= tail {
                            p.assert_tail(&report, &what);
                        } else {
                            assert_broken(&report, &what);
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn f1_every_flipped_byte_is_found_in_a_stopped_journal() {
    flip_all(Ending::Stop, false);
}

#[test]
fn f1_every_flipped_byte_is_found_in_a_running_journal_with_the_checksum_mended() {
    flip_all(Ending::Running, true);
}

#[test]
fn f1_a_cut_at_any_length_is_found() {
    for ending in [Ending::Stop, Ending::Running] {
        let p = Patient::new(ending, 7);
        for n in 0..p.files.len() {
            let bytes = &p.healthy[n];
            let seals: Vec<_> = frames(bytes).into_iter().filter(|f| kind(bytes, f) == 3).collect();
            for len in (0..bytes.len()).filter(|l| {
                (n == p.last() && bytes.len() < 4096)
                    || l % 11 == 0
                    || seals.iter().any(|s| s.end.abs_diff(*l) < 2)
            }) {
                let report = p.with(n, &bytes[..len]);
                let what = format!("segment {n} cut at {len} of {}", bytes.len());
                if n == p.last() && len >= seals[0].end {
                    p.assert_tail(&report, &what);
                    let whole = seals.iter().rev().find(|s| s.end <= len).unwrap();
                    let (seal, _) = Seal::parse(&bytes[whole.start + 112..whole.start + 112 + 256]).unwrap();
                    assert_eq!(report.logs[0].last, seal.tree_size, "{what}");
                } else {
                    assert_eq!(report.verdict, Verdict::Incomplete, "{what}: {:#?}", report.findings);
                }
            }
        }
    }
}

#[test]
fn f1_frames_dropped_swapped_doubled_or_foreign_are_found() {
    for ending in [Ending::Stop, Ending::Running] {
        let p = Patient::new(ending, 7);
        let other = Patient::new(ending, 900);
        let tail = p.last_commit();
        for n in 0..p.files.len() {
            let bytes = &p.healthy[n];
            let spans = frames(bytes);
            let foreign = &other.healthy[n];
            let foreign_spans = frames(foreign);
            for (k, f) in spans.iter().enumerate() {
                let (head, frame, rest) = (&bytes[..f.start], &bytes[f.clone()], &bytes[f.end..]);
                let next = spans.get(k + 1).map_or(&[][..], |g| &bytes[g.clone()]);
                let alien = &foreign[foreign_spans[k.min(foreign_spans.len() - 1)].clone()];
                let cases = [
                    ("dropped", [head, rest].concat()),
                    ("swapped", [head, next, frame, &rest[next.len()..]].concat()),
                    ("doubled", [head, frame, frame, rest].concat()),
                    ("inserted", [head, alien, frame, rest].concat()),
                    ("replaced", [head, alien, rest].concat()),
                ];
                for (what, changed) in cases {
                    if changed == *bytes {
                        continue;
                    }
                    let report = p.with(n, &changed);
                    let what = format!("segment {n} frame {k} {what}");
                    let touched = if what.ends_with("doubled") { f.end } else { f.start };
                    if n == p.last() && touched >= tail {
                        let new = p.new_findings(&report);
                        let told = ["UNSEALED_TAIL", "TRAILING_DATA"];
                        assert!(new.iter().any(|f| told.contains(&f.code)), "{what}: {new:#?}");
                        let closed = new.iter().any(|f| f.code == "TRAILING_DATA");
                        assert_eq!(report.verdict == Verdict::Tampered, closed, "{what}");
                    } else {
                        let found = matches!(report.verdict, Verdict::Tampered | Verdict::Incomplete);
                        assert!(found, "{what}: {:#?}", report.findings);
                    }
                }
            }
        }
    }
}

#[test]
fn f1_missing_and_foreign_segments_are_found() {
    let p = Patient::new(Ending::Stop, 7);
    let other = Patient::new(Ending::Stop, 900);
    for n in 0..p.files.len() {
        std::fs::remove_file(&p.files[n]).unwrap();
        let report = verify(&p.path);
        if n == p.last() {
            assert!(p.new_findings(&report).iter().any(|f| f.code == "UNCLEAN_END"));
        } else {
            assert_eq!(report.verdict, Verdict::Incomplete, "{n}: {:#?}", report.findings);
            assert!(has(&report, "SEGMENT_MISSING"));
        }
        std::fs::write(&p.files[n], &other.healthy[n]).unwrap();
        let report = verify(&p.path);
        assert!(has(&report, "FOREIGN_SEGMENT"), "{n}: {:#?}", report.findings);
        std::fs::write(&p.files[n], &p.healthy[n]).unwrap();
        // The file of one place under the name of another.
        let m = (n + 1) % p.files.len();
        assert_broken(&p.with(n, &p.healthy[m]), "renamed");
    }
    assert_eq!(verify(&p.path), p.report);
    // Zeros or bytes behind the end of a closed journal.
    for more in [&[0u8; 8][..], &[0, 0, 1]] {
        let report = p.with(p.last(), &[&p.healthy[p.last()], more].concat());
        assert!(!p.new_findings(&report).is_empty());
    }
    // Another host's whole log beside this one.
    let theirs = log_dir(&other.path);
    copy(&theirs, &p.path.join(theirs.file_name().unwrap()));
    let report = verify(&p.path);
    assert_eq!(report.verdict, Verdict::Untrusted);
    assert!(has(&report, "FOREIGN_LOG"));
}

#[test]
fn f1_the_origin_note_can_neither_change_nor_go() {
    let p = Patient::new(Ending::Stop, 7);
    let path = log_dir(&p.path).join("origin.note");
    let note = std::fs::read(&path).unwrap();
    assert!(Origin::parse(&note).is_some());
    for i in 0..note.len() {
        let mut bad = note.clone();
        bad[i] ^= 1;
        std::fs::write(&path, bad).unwrap();
        assert_broken(&verify(&p.path), &format!("origin byte {i}"));
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(verify(&p.path).verdict, Verdict::Incomplete);
}

/// Randomness that a thief has seen all of.
#[derive(Clone)]
pub(crate) struct Watched(pub(crate) Dice, pub(crate) Arc<Mutex<Vec<[u8; 32]>>>);

impl Entropy for Watched {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), JournalError> {
        self.0.fill(out)?;
        if let Ok(secret) = <[u8; 32]>::try_from(&*out) {
            self.1.lock().unwrap().push(secret);
        }
        Ok(())
    }
}

/// Rewrites one segment's links, roots and seals behind a change, signing every seal from `from` on with `key`.
fn resign(bytes: &mut [u8], key: &SecretKey) {
    let identity = {
        let b = &bytes[112..];
        let log = LogId::new(b[..16].try_into().unwrap());
        Identity { log, admission: PublicKey(b[16..48].try_into().unwrap()) }
    };
    let mut prev: Option<[u8; 32]> = None;
    let mut tree = Frontier::default();
    for f in frames(bytes) {
        let frame = &mut bytes[f.clone()];
        let body = u32::from_le_bytes(frame[8..12].try_into().unwrap()) as usize;
        let changed = prev.is_some_and(|p| p != frame[80..112]);
        if let Some(prev) = prev {
            frame[80..112].copy_from_slice(&prev);
        }
        if frame[5] == 3 {
            if changed {
                frame[112 + 32..112 + 64].copy_from_slice(&prev.unwrap());
                frame[112 + 64..112 + 96].copy_from_slice(tree.root().as_bytes());
                let mut message = Vec::new();
                identity.message(SEAL_LABEL, &frame[..112 + 192], &mut message);
                let signature = key.sign(&message);
                frame[112 + 192..112 + 256].copy_from_slice(&signature);
            }
        } else {
            tree.push(frame_hash(&frame[..112 + body]));
        }
        fix_crc(frame);
        prev = Some(*frame_hash(&frame[..112 + body]).as_bytes());
    }
}

#[test]
fn f1_the_past_signed_again_with_a_stolen_seal_key_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let entropy = Watched(Dice(3), Arc::clone(&seen));
    let (mut w, _) = Writer::open(config(dir.path(), 1 << 16), RealDisk, entropy, boot(1), at(0)).unwrap();
    for n in 0..5 {
        w.append(StreamNo::LOG, heartbeat(n));
        w.commit(at(n)).unwrap();
    }
    drop(w);
    let path = segments(&log_dir(dir.path())).remove(0);
    let healthy = std::fs::read(&path).unwrap();
    let spans = frames(&healthy);
    let of = |f: &Range<usize>| Seal::parse(&healthy[f.start + 112..f.start + 368]).unwrap().0;
    let seals: Vec<Seal> = spans.iter().filter(|f| kind(&healthy, f) == 3).map(of).collect();
    let key_of = |public: PublicKey| {
        let secrets = seen.lock().unwrap();
        secrets.iter().find_map(|raw| {
            let mut page = Secret::new().unwrap();
            page.expose_mut().copy_from_slice(raw);
            Some(SecretKey::from_secret(page)).filter(|k| k.public() == public)
        })
    };
    // The key that would sign the next seal is the one that a thief on the host finds in memory.
    let current = key_of(seals.last().unwrap().next_key).unwrap();
    let controls: Vec<_> = spans.iter().filter(|f| kind(&healthy, f) == 4).collect();
    for f in &controls[..controls.len()] {
        let mut bytes = healthy.clone();
        bytes[f.start + 112 + 60] ^= 1;
        fix_crc(&mut bytes[(*f).clone()]);
        resign(&mut bytes, &current);
        std::fs::write(&path, &bytes).unwrap();
        let report = verify(dir.path());
        if f.start == controls.last().unwrap().start {
            // The last commit alone: it is void, as after a crash, and it shows.
            assert!(has(&report, "UNSEALED_TAIL"), "{:#?}", report.findings);
        } else {
            assert_eq!(report.verdict, Verdict::Tampered);
            assert!(has(&report, "SEAL_INVALID"), "{:#?}", report.findings);
        }
    }
    // With the right key of that very seal the forgery would hold: the check above is not vacuous.
    let last = seals.len() - 1;
    let mut bytes = healthy.clone();
    let f = controls[controls.len() - 1];
    bytes[f.start + 112 + 60] ^= 1;
    fix_crc(&mut bytes[f.clone()]);
    resign(&mut bytes, &key_of(seals[last - 1].next_key).unwrap());
    std::fs::write(&path, &bytes).unwrap();
    assert!(!has(&verify(dir.path()), "UNSEALED_TAIL"));
}
