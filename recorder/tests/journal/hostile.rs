//! F7: bytes that promise more than there is, bombs, things that are no files. The reader stays small, ends, and says what
//! it found.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::*;
use crate::handmade::Handmade;
use crate::surgery::{fix_crc, frames};
use recorder::journal::frame::{FrameType, Header};
use recorder::journal::pack::Packer;
use recorder::journal::segment::file_name;
use recorder::model::{Body, Bytes, Loss, LossReason};
use recorder::verify::{self, Options, Report, Verdict};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Address space and processor time of a reader: far more than it needs, far less than what is promised to it.
const LIMITS: &str = "ulimit -v 400000; ulimit -t 40; exec \"$@\"";

/// The real reader, within the limits.
fn bounded(args: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", LIMITS, "sh", env!("CARGO_BIN_EXE_recorder-verify")]).args(args);
    // The C library sets aside address space for each thread.
    command.env("MALLOC_ARENA_MAX", "1").output().unwrap()
}

fn judged(journal: &Path) -> (i32, String) {
    let out = bounded(&["--format", "json", journal.to_str().unwrap()]);
    let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
    (out.status.code().unwrap_or(-1), text)
}

/// Reads everything that may be read, however it ends.
fn read_all(journal: &Path) -> Report {
    let (report, entries) = verify::read(journal, &Options::default()).unwrap();
    let _ = entries.take_while(Result::is_ok).count();
    report
}

fn small() -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    small_at(dir.path(), 1, Ending::Stop);
    let files = segments(&log_dir(dir.path()));
    (dir, files)
}

#[test]
fn f7_every_length_field_may_lie() {
    let (dir, files) = small();
    let lies = [u32::MAX, 0x8000_0000, 10_000_000, (1 << 20) + 1, 1 << 20, 65, 64, 1, 0];
    // In a frame's header the body's length; in a segment's header peaks and wrapped key.
    let mut places = Vec::new();
    for (n, file) in files.iter().enumerate() {
        let bytes = std::fs::read(file).unwrap();
        let spans = frames(&bytes);
        places.extend(spans.iter().map(|f| (n, f.start, f.start + 8)));
        places.extend([276, 280].map(|at| (n, 0, 112 + at)));
    }
    for (n, frame, at) in places {
        let healthy = std::fs::read(&files[n]).unwrap();
        for lie in lies {
            let mut bytes = healthy.clone();
            bytes[at..at + 4].copy_from_slice(&lie.to_le_bytes());
            if bytes == healthy {
                continue;
            }
            for mended in [false, true] {
                if mended {
                    fix_crc(&mut bytes[frame..]);
                }
                std::fs::write(&files[n], &bytes).unwrap();
                let report = read_all(dir.path());
                let told = !is_whole(report.verdict) || has(&report, "UNSEALED_TAIL");
                assert!(told, "{lie:#x} at {at} of segment {n}: {:#?}", report.findings);
            }
        }
        std::fs::write(&files[n], &healthy).unwrap();
    }
}

/// A zstd frame of `len` zeros behind the length that the body states.
fn bomb(stated: u32, len: usize) -> Vec<u8> {
    let mut body = Vec::new();
    assert_eq!(Packer::default().pack(&vec![0; len], &mut body), 1);
    body[..4].copy_from_slice(&stated.to_le_bytes());
    body
}

#[test]
fn f7_bombs_and_nonsense_in_bodies_are_vouched_for_and_never_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut made = Handmade::begin(dir.path(), 1 << 24);
    let mut counts = vec![0xff; 4];
    counts.extend([0xff; 20]);
    let bodies = [
        (1, bomb(1 << 20, 512 << 20)),
        (1, bomb(u32::MAX, 64 << 20)),
        (1, bomb(1, 64 << 20)),
        (1, b"no zstd at all".to_vec()),
        (0, counts),
        (0, vec![0x5b; 1 << 20]),
        (0, b"x".to_vec()),
    ];
    for stream in 1..=2 {
        made.opened(stream);
    }
    let frames = bodies.len() as u64;
    for (seq, (compression, body)) in (0..).zip(bodies) {
        made.data(1, seq, 1000, compression, &body);
        made.seal();
    }
    made.closed(1, frames, 1000 * frames);
    made.closed(2, 0, 0);
    made.seal();
    made.stop();
    // Completeness stands on clear control records and on numbers: no body had to be opened for it.
    let origin = log_dir(dir.path()).join("origin.note");
    let report = strict(dir.path(), &origin);
    assert_eq!(report.verdict, Verdict::Verified, "{:#?}", report.findings);
    let told: Vec<_> = report.sessions.iter().map(|s| (s.completeness, s.records)).collect();
    assert_eq!(told, [("complete", 7000), ("complete", 0)]);
    // The same without memory for what the bombs promise, also for those who try to read.
    let journal = dir.path().to_str().unwrap();
    let (code, text) = judged(dir.path());
    assert_eq!(code, 1, "{text}");
    for command in ["sessions", "events"] {
        let out = bounded(&[command, "--journal", journal]);
        assert!(matches!(out.status.code(), Some(0 | 1 | 74)), "{command}: {out:?}");
    }
}

#[test]
fn a_session_that_lost_a_frame_is_incomplete_without_a_look_into_bodies() {
    for (seqs, frames, verdict) in
        [(&[0u64, 1, 2][..], 3, "complete"), (&[0, 2], 2, "incomplete"), (&[0, 1], 3, "incomplete")]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut made = Handmade::begin(dir.path(), 1 << 16);
        made.opened(1);
        for seq in seqs {
            made.data(1, *seq, 2, 0, b"ciphertext, say");
        }
        made.closed(1, frames, 2 * frames);
        made.seal();
        made.stop();
        let report = verify(dir.path());
        assert_eq!(report.sessions[0].completeness, verdict, "{:#?}", report.findings);
        assert_eq!(is_whole(report.verdict), verdict == "complete");
    }
}

#[test]
fn f7_numbers_without_end_are_bounded_in_memory_and_in_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let mut made = Handmade::begin(dir.path(), 1 << 28);
    // Each frame of a stream that nobody opened: more notes than are kept.
    for n in 0..40_000u64 {
        made.data(n + 10, n, 1, 0, b"");
    }
    made.seal();
    made.stop();
    let (code, text) = judged(dir.path());
    assert_eq!(code, 2, "{}", &text[..text.len().min(2000)]);
    assert!(text.contains("more of this kind are not listed one by one"));
    let report = verify(dir.path());
    assert!(report.findings.len() < 1100, "{}", report.findings.len());
    assert_eq!(report.findings.iter().filter(|f| f.code == "STREAM_BROKEN").count(), 1000);
}

#[test]
fn a_segment_with_too_many_notes_is_told_as_one_with_few() {
    let dir = tempfile::tempdir().unwrap();
    let mut made = Handmade::begin(dir.path(), 1 << 28);
    made.opened(1);
    // Losses are notes that can't be folded.
    let loss = |n: u64| {
        Body::Loss(Loss {
            class: Bytes::from("file"),
            ring: Bytes::from("bulk"),
            cpu: 0,
            from: n,
            to: n,
            count: 1,
            reason: LossReason::RingFull,
        })
    };
    for n in 0..300u64 {
        made.control((0..150).map(|k| loss(150 * n + k)));
        made.data(1, n, 3, 0, b"?");
        made.seal();
    }
    made.closed(1, 300, 900);
    made.seal();
    made.stop();
    let report = verify(dir.path());
    assert!(is_whole(report.verdict), "{:#?}", report.findings);
    assert_eq!((report.sessions[0].completeness, report.sessions[0].records), ("complete", 900));
    let losses: Vec<_> = report.findings.iter().filter(|f| f.code == "LOSS").collect();
    assert_eq!(losses.len(), 1);
    assert!(losses[0].text.starts_with("45000 events of class file are declared lost"), "{}", losses[0].text);
}

#[test]
fn f7_a_sparse_terabyte_takes_neither_time_nor_memory() {
    let (dir, files) = small();
    let last = files.last().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(last).unwrap();
    file.set_len(1 << 40).unwrap();
    let (code, text) = judged(dir.path());
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("was not cut to its length"), "{text}");
    // Damage in front of the hole: the hunt for later seals passes it.
    let mut bytes = std::fs::read(&files[0]).unwrap();
    let whole = bytes.len();
    bytes[whole / 2] ^= 1;
    std::fs::write(&files[0], bytes).unwrap();
    std::fs::OpenOptions::new().write(true).open(&files[0]).unwrap().set_len(1 << 40).unwrap();
    let (code, text) = judged(dir.path());
    assert_eq!(code, 2, "{text}");
    // A byte at its end: nobody hashes what lies between.
    let file = std::fs::OpenOptions::new().write(true).open(last).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", (1 << 40) - 1).unwrap();
    let (code, text) = judged(dir.path());
    assert_eq!(code, 2, "{text}");
}

#[test]
fn f7_dense_seals_that_are_none_are_hunted_in_one_pass() {
    let dir = tempfile::tempdir().unwrap();
    let mut made = Handmade::begin(dir.path(), 20 << 20);
    // Headers of seals behind damage, as dense as they can stand; the checksum of none fits.
    let mut decoy = Vec::new();
    Header { body_len: 256, ..Header::new(FrameType::SEAL) }.put(&mut decoy);
    made.out.extend_from_slice(b"damage!!");
    while made.out.len() < 16 << 20 {
        made.out.extend_from_slice(b"RJF1\x01\x03p\0");
    }
    while made.out.len() < 20 << 20 {
        made.out.extend_from_slice(&decoy);
    }
    made.write();
    let (code, text) = judged(dir.path());
    assert!(matches!(code, 1 | 2), "{code} {text}");
}

#[test]
fn f7_what_is_no_file_is_a_finding_and_names_stay_in_their_line() {
    let (dir, files) = small();
    let log = log_dir(dir.path());
    // A name in a journal is only taken as one if it is exactly that.
    for name in [
        "seg-\u{1b}[2J.rj",
        "seg-../../etc/passwd.rj",
        "seg-0000000000000000.rj\n",
        "SEG-0000000000000000.rj",
    ] {
        if !name.contains('/') {
            std::fs::write(log.join(name), b"RJF1").unwrap();
        }
    }
    std::fs::create_dir(dir.path().join("\u{1b}]0;x\u{7}")).unwrap();
    assert!(is_whole(verify(dir.path()).verdict));
    let far = log.join(file_name(1 << 60));
    let make: [&dyn Fn(); 4] = [
        &|| symlink(&files[0], &far).unwrap(),
        &|| symlink("/dev/zero", &far).unwrap(),
        &|| mknodat(CWD, &far, FileType::Fifo, Mode::RWXU, 0).unwrap(),
        &|| std::fs::create_dir(&far).unwrap(),
    ];
    for (n, make) in make.into_iter().enumerate() {
        make();
        let (code, text) = judged(dir.path());
        assert_eq!(code, 2, "{n}: {text}");
        assert!(text.contains("FRAME_BROKEN") && text.contains("seg-1000000000000000.rj"), "{n}: {text}");
        if far.is_dir() && n == 3 {
            std::fs::remove_dir(&far).unwrap();
        } else {
            std::fs::remove_file(&far).unwrap();
        }
    }
    let note = log.join("origin.note");
    let kept = dir.path().join("kept");
    std::fs::rename(&note, &kept).unwrap();
    symlink(&kept, &note).unwrap();
    let (code, text) = judged(dir.path());
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("ORIGIN_INVALID"), "{text}");
}

#[test]
fn f7_a_directory_of_thousands_of_segments_is_read_once() {
    let (dir, files) = small();
    let log = log_dir(dir.path());
    let bytes = std::fs::read(&files[0]).unwrap();
    for n in 0..5000u64 {
        std::fs::write(log.join(file_name((1 << 40) + n)), &bytes[..bytes.len().min(700)]).unwrap();
    }
    let (code, text) = judged(dir.path());
    assert_eq!(code, 2, "{text}");
    assert!(text.len() < 100_000, "{}", text.len());
}
