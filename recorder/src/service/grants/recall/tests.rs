//! Journals of several runs, read by the next.

use std::{fs, path::PathBuf, time::Duration};

use super::*;
use crate::{
    journal::{Encryption, OsEntropy, RealDisk, Writer, WriterConfig, key::sha256},
    model::{
        BootNanos, Bytes, ClockPair, Flags, Grant, Login, RealNanos, Record, Stop, StreamNo, Token, TokenAct,
    },
};

const BOOT: BootId = BootId::new([1; 16]);

fn at(seconds: u64) -> ClockPair {
    let ns = seconds * 1_000_000_000;
    ClockPair { boot: BootNanos::new(ns), real: RealNanos::new(1_700_000_000_000_000_000 + ns) }
}

fn record(body: Body, flags: Flags) -> Record {
    Record { boot_ns: at(1).boot, cpu: u16::MAX, flags, task: None, body }
}

/// A run of the recorder that records these and stops.
fn run(dir: &Path, records: impl IntoIterator<Item = Record>) {
    let config = WriterConfig {
        dir: dir.to_owned(),
        spare_dir: None,
        segment_bytes: 1 << 20,
        segment_age: Duration::from_hours(24),
        reserve: 0,
        encryption: Encryption::Off,
        host: Bytes::from("web-1"),
    };
    let (mut writer, _) = Writer::open(config, RealDisk, OsEntropy, BOOT, at(0)).unwrap();
    for record in records {
        writer.append(StreamNo::LOG, record);
    }
    writer.commit(at(2)).unwrap();
    writer.stop(Stop { clock: at(3), signal: 15, open_sessions: 0 }).unwrap();
}

fn document(text: &str) -> Body {
    let document = sha256(text.as_bytes());
    let (bytes, request) = (Bytes::from(text), document);
    Body::Grant(Box::new(Grant { document, request, received: at(1).real, bytes, ..Grant::default() }))
}

fn whole(body: Body) -> Record {
    record(body, Flags::default())
}

fn packed(memory: &Memory) -> Body {
    Body::Grant(Box::new(memory.record(at(1).real).unwrap()))
}

/// The documents' texts, sorted.
fn texts(memory: &Memory) -> Vec<String> {
    let text = |grant: &Grant| grant.bytes.as_utf8().unwrap().to_owned();
    let mut texts: Vec<String> = memory.documents().map(text).collect();
    texts.sort();
    texts
}

struct Scene {
    _dir: tempfile::TempDir,
    journal: PathBuf,
    kept: Kept,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (journal, kept) = (dir.path().join("journal"), Kept::at(&dir.path().join("memory")));
        fs::create_dir(&journal).unwrap();
        Self { _dir: dir, journal, kept }
    }

    fn recall(&mut self) -> Memory {
        recall(&Place { dir: &self.journal, spare: None }, &mut self.kept, BOOT).unwrap()
    }

    /// The first segment of the log is not what it was.
    fn spoil_first(&self) {
        let log =
            fs::read_dir(&self.journal).unwrap().find_map(|e| Some(e.unwrap().path()).filter(|p| p.is_dir()));
        let files = fs::read_dir(log.unwrap()).unwrap().map(|e| e.unwrap().path());
        let first = files.filter(|p| p.extension().is_some_and(|e| e == "rj")).min().unwrap();
        fs::write(first, "nothing").unwrap();
    }
}

#[test]
fn a_start_reads_from_the_last_that_was_remembered_on() {
    let mut scene = Scene::new();
    assert_eq!(scene.recall(), Memory::new(BOOT));
    run(&scene.journal, [whole(document("a"))]);
    for _ in 0..5 {
        run(&scene.journal, []);
    }
    let mut memory = scene.recall();
    assert_eq!(texts(&memory), ["a"], "without any memory all is read");
    memory.anchor = Some(at(1));
    run(&scene.journal, [whole(document("b")), whole(packed(&memory)), whole(document("c"))]);
    run(&scene.journal, [whole(document("d"))]);
    scene.spoil_first();
    // Who remembered did so behind "b": it stands in the same segment, and is not asked for.
    let memory = scene.recall();
    assert_eq!((texts(&memory).join(" ").as_str(), memory.anchor), ("a b c d", Some(at(1))));
}

#[test]
fn what_this_program_can_not_read_is_no_memory() {
    let mut scene = Scene::new();
    run(&scene.journal, [whole(document("a"))]);
    let junk = Grant { act: GrantAct::Memory, bytes: "\u{ff}".into(), ..Grant::default() };
    run(&scene.journal, [whole(Body::Grant(Box::new(junk)))]);
    assert_eq!(texts(&scene.recall()), ["a"]);
}

#[test]
fn what_is_sealed_to_others_is_found_through_what_the_host_kept() {
    let mut scene = Scene::new();
    let mut writer = Kept::at(&scene.journal.with_file_name("memory"));
    let login = Body::Login(Box::new(Login { audit_session: 7, ..Login::default() }));
    let token = |n| Token { token: Digest::new([n; 32]), act: TokenAct::Used, ..Token::default() };
    let token = |n| Body::Token(Box::new(token(n)));
    let twins = [document("a"), document("b"), login, token(1)].map(|body| writer.twin(&whole(body)));
    run(&scene.journal, twins);
    // What was not kept, or is not as it was.
    let mut elsewhere = Kept::at(&scene.journal.with_file_name("elsewhere"));
    run(&scene.journal, [document("lost"), token(2)].map(|body| elsewhere.twin(&whole(body))));
    let memory = scene.recall();
    let told = |memory: &Memory| (texts(memory).join(" "), memory.logins().count(), memory.tokens().count());
    assert_eq!(told(&memory), ("a b".to_owned(), 1, 2), "that a token is spent needs nobody's word");
    run(&scene.journal, [writer.twin(&whole(packed(&memory)))]);
    writer.settle();
    run(&scene.journal, [writer.twin(&whole(document("c")))]);
    let kept = || fs::read_dir(scene.journal.with_file_name("memory")).unwrap().count();
    assert_eq!(kept(), 2, "what is remembered, and what came since");
    let memory = scene.recall();
    assert_eq!(told(&memory), ("a b c".to_owned(), 1, 2));
    let kept = || fs::read_dir(scene.journal.with_file_name("memory")).unwrap().count();
    assert_eq!(kept(), 2);
    // A start that never said it all once more keeps what it needs for the next one.
    assert_eq!(texts(&scene.recall()), ["a", "b", "c"]);
}
