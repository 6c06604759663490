//! The thread's turns, and the client against a real witness of our own over loopback.

mod https;

use std::{net::TcpListener as Listener, path::Path, sync::mpsc, thread};

use super::*;
use crate::{
    journal::{
        Encryption, OsEntropy, RealDisk, Writer, WriterConfig,
        key::SecretKey,
        note::{Algorithm, Note, Signed, Verifier},
    },
    model::{BootId, BootNanos, Bytes, ClockPair, Heartbeat, LogId, StreamNo},
    service::{books::Books, retention::Burial, standing::Gauge, writer},
    sys::secret::Secret,
    witness::{Limits, Store, Witness, run as serve},
};

fn at(seconds: u64) -> ClockPair {
    ClockPair {
        boot: BootNanos::new(seconds * 1_000_000_000),
        real: RealNanos::new((1_700_000_000 + seconds) * 1_000_000_000),
    }
}

fn journal(dir: &Path) -> (Writer, LogId) {
    let config = WriterConfig {
        dir: dir.to_owned(),
        spare_dir: None,
        segment_bytes: 4096,
        segment_age: Duration::from_hours(24),
        reserve: 0,
        encryption: Encryption::Off,
        host: Bytes::from("web-1"),
    };
    let (w, opened) = Writer::open(config, RealDisk, OsEntropy, BootId::new([1; 16]), at(0)).unwrap();
    (w, opened.log)
}

fn grow(w: &mut Writer, commits: u64) -> Head {
    for n in 0..commits {
        let body = Body::Heartbeat(Heartbeat { clock: at(n), ..Heartbeat::default() });
        let record = Record { boot_ns: at(n).boot, cpu: u16::MAX, flags: Flags::default(), task: None, body };
        w.append(StreamNo::LOG, record);
        w.commit(at(n)).unwrap();
    }
    w.head()
}

fn secret(n: u8) -> SecretKey {
    let mut page = Secret::new().unwrap();
    page.expose_mut().copy_from_slice(&[n; 32]);
    SecretKey::from_secret(page)
}

/// A witness that answers until the test's process ends; its URL and its key.
fn witness(state: &Path, log: &Verifier) -> (String, Verifier) {
    let by = Verifier::new("w.example/1", Algorithm::Cosignature, secret(9).public()).unwrap();
    let witness = Witness::new("w.example/1", secret(9), vec![log.clone()], Store::open(state).unwrap());
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            serve(tokio::net::TcpListener::from_std(listener).unwrap(), witness, Limits::default()).await;
        });
    });
    (url, by)
}

struct Scene {
    dir: tempfile::TempDir,
    w: Writer,
    log: LogId,
    url: String,
    by: Verifier,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (w, log) = journal(&dir.path().join("journal"));
        let signer = Self::signer_in(dir.path(), log);
        let key = verifier(log, signer.identity().admission).unwrap();
        let (url, by) = witness(&dir.path().join("state"), &key);
        Self { dir, w, log, url, by }
    }

    fn signer_in(dir: &Path, log: LogId) -> Signer {
        Signer::open(&dir.join("journal"), log).unwrap().unwrap()
    }

    fn signer(&self) -> Signer {
        Self::signer_in(self.dir.path(), self.log)
    }

    fn hands(&self) -> Hands {
        let mut config = crate::config::Config::least();
        config.journal_dir = self.dir.path().join("journal");
        config.anchor = crate::config::Anchor {
            every: Duration::from_hours(1),
            file: Some(self.dir.path().join("anchors/checkpoint")),
            syslog: Some(false),
            command: Vec::new(),
            witnesses: vec![crate::config::Witness { url: self.url.clone(), key: self.by.to_string() }],
        };
        Hands::new(&config).unwrap()
    }

    fn hand(&self, hands: &mut Hands, head: Head) -> Anchors {
        let anchors = Anchors::default();
        hands.hand(&anchors, &self.signer(), head, None);
        anchors
    }
}

#[test]
fn a_growing_log_is_countersigned_and_the_signature_comes_back() {
    let mut scene = Scene::new();
    let mut hands = scene.hands();
    for _ in 0..4 {
        let head = grow(&mut scene.w, 5);
        let anchors = scene.hand(&mut hands, head);
        let told = anchors.told();
        assert_eq!((told.failed, told.witnessed), (0, Some(head.size)), "{:?}", told.faults);
        let back = anchors.returned();
        let [Record { body: Body::Checkpoint(back), .. }] = back.as_slice() else { panic!("{back:?}") };
        assert_eq!((back.size, back.root), (head.size, head.root));
        let note = Note::parse(back.note.as_slice()).unwrap();
        assert!(matches!(note.signed_by(&scene.by), Signed::At(time) if time > 1_700_000_000));
        assert_eq!(std::fs::read(scene.dir.path().join("anchors/checkpoint")).unwrap(), back.note.as_slice());
    }
    // A recorder that was started again does not know what the witness has seen, and asks.
    let head = grow(&mut scene.w, 9);
    let told = scene.hand(&mut scene.hands(), head).told();
    assert_eq!((told.failed, told.witnessed), (0, Some(head.size)), "{:?}", told.faults);
}

#[test]
fn f6_a_witness_tells_that_a_log_was_rolled_back_or_is_another() {
    let mut scene = Scene::new();
    let early = grow(&mut scene.w, 3);
    let late = grow(&mut scene.w, 5);
    assert_eq!(scene.hand(&mut scene.hands(), late).told().failed, 0);
    let faults = |head| {
        let told = scene.hand(&mut scene.hands(), head).told();
        assert_eq!((told.witnessed, told.failed), (None, 1));
        told.faults.into_values().next().unwrap()
    };
    let why = faults(early);
    assert!(why.contains(&format!("signed {} leaves", late.size)) && why.contains("rolled back"), "{why}");
    let other = Head { root: early.root, ..late };
    let why = faults(other);
    assert!(why.contains("another root"), "{why}");
}

#[test]
fn whoever_answers_nonsense_or_nothing_is_counted_and_holds_up_nobody() {
    let mut scene = Scene::new();
    let head = grow(&mut scene.w, 3);
    // Nobody listens there any more.
    let gone = Listener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let by = Verifier::new("w.example/1", Algorithm::Cosignature, secret(8).public()).unwrap();
    for (url, key) in [(format!("http://{gone}"), scene.by.clone()), (scene.url.clone(), by)] {
        (scene.url, scene.by) = (url, key);
        let anchors = scene.hand(&mut scene.hands(), head);
        assert_eq!(anchors.told().failed, 1);
        assert!(anchors.returned().is_empty(), "nothing that nobody signed");
        assert!(scene.dir.path().join("anchors/checkpoint").exists(), "the file has it all the same");
    }
    let plain = verifier(scene.log, scene.signer().identity().admission).unwrap();
    assert!(
        witness::Client::new("http://localhost", &plain.to_string()).is_err(),
        "a log's key is no witness's"
    );
}

#[test]
fn two_requests_at_once_are_one_behind_the_other() {
    let mut scene = Scene::new();
    let heads: Vec<Head> = (0..8).map(|_| grow(&mut scene.w, 1)).collect();
    let outcomes: Vec<u16> = thread::scope(|scope| {
        let ask = |head: Head| {
            let note = scene.signer().sign(head);
            let url = format!("{}/add-checkpoint", scene.url);
            move || {
                let agent: ureq::Agent =
                    ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
                agent.post(url).send(format!("old 0\n\n{note}")).unwrap().status().as_u16()
            }
        };
        let threads: Vec<_> = heads.iter().map(|head| scope.spawn(ask(*head))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|status| **status == 200).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|status| **status == 409).count(), 7, "{outcomes:?}");
}

#[test]
fn requests_that_are_too_long_or_go_elsewhere_are_refused() {
    let scene = Scene::new();
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let post = |path: &str, body: &str| {
        agent.post(format!("{}{path}", scene.url)).send(body).unwrap().status().as_u16()
    };
    assert_eq!(post("/add-checkpoint", &"x".repeat(70_000)), 413);
    assert_eq!(post("/add-checkpoint", "old 0\n"), 400);
    assert_eq!(post("/other", "old 0\n"), 404);
    let got = agent.get(format!("{}/add-checkpoint", scene.url)).call().unwrap();
    assert_eq!(got.status().as_u16(), 405);
}

#[test]
fn the_first_a_restart_and_the_last_do_not_wait_for_the_cadence() {
    let dir = tempfile::tempdir().unwrap();
    let (mut w, log) = journal(&dir.path().join("journal"));
    let signer = Scene::signer_in(dir.path(), log);
    let anchors = Anchors::default();
    let every = Duration::from_hours(1);
    let size = |turn: Turn| match turn {
        Turn::Hand(_, head) => (head.size, false),
        Turn::Last(end) => (end.unwrap().1.size, true),
    };
    let first = w.head();
    anchors.begin(Some(signer), first);
    assert_eq!(size(anchors.turn(every, None)), (first.size, false));
    let last = Some((Instant::now(), first));
    let second = grow(&mut w, 1);
    anchors.publish(second, true);
    assert_eq!(size(anchors.turn(every, last)), (second.size, false));
    // A commit alone waits for its time; here nobody has it, so the end is what comes next.
    let third = grow(&mut w, 1);
    anchors.publish(third, false);
    let (sender, turns) = mpsc::channel();
    let waiting = anchors.clone();
    let thread = thread::spawn(move || sender.send(waiting.turn(every, last)));
    let end = w.stop(crate::model::Stop { clock: at(99), signal: 15, open_sessions: 0 }).unwrap();
    anchors.end(Some(end));
    assert_eq!(size(turns.recv().unwrap()), (end.size, true));
    thread.join().unwrap().unwrap();
    // A cadence that is over hands out what grew.
    let over = Anchors::default();
    over.begin(Some(Scene::signer_in(dir.path(), log)), third);
    assert_eq!(size(over.turn(every, None)), (third.size, false));
    over.publish(end, false);
    assert_eq!(size(over.turn(Duration::ZERO, Some((Instant::now(), third)))), (end.size, false));
}

#[test]
fn what_a_retention_rests_on_is_handed_out_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (w, log) = journal(&dir.path().join("journal"));
    let (anchors, first) = (Anchors::default(), w.head());
    anchors.begin(Some(Scene::signer_in(dir.path(), log)), first);
    let every = Duration::from_hours(1);
    assert!(matches!(anchors.turn(every, None), Turn::Hand(_, head) if head == first));
    let books = Books::new(w, None, Instant::now());
    let (_, batches) = mpsc::sync_channel(1);
    let (_, recipients) = mpsc::channel();
    let (to_bury, burials) = mpsc::sync_channel(1);
    let (done, answer) = mpsc::sync_channel(1);
    let body = Body::Tombstone(crate::model::Tombstone::default());
    let record = Record { boot_ns: at(1).boot, cpu: u16::MAX, flags: Flags::default(), task: None, body };
    to_bury.send(Burial { tombstones: vec![record], done }).unwrap();
    let gauge = Gauge::new(Instant::now());
    let (_tell, told) = mpsc::channel();
    let inlets = writer::Inlets { batches, recipients, told, burials, anchors: anchors.clone(), gauge };
    let end = writer::run(books, &inlets, &crate::service::StopFlag::default()).unwrap();
    assert_eq!(answer.recv(), Ok(true));
    // Not with the cadence, and not only behind the end.
    let (sender, turns) = mpsc::channel();
    let last = Some((Instant::now(), first));
    thread::spawn(move || sender.send(anchors.turn(every, last)).ok());
    let turn = turns.recv_timeout(Duration::from_secs(20)).expect("nothing is handed out");
    assert!(matches!(turn, Turn::Hand(_, head) if head.size > first.size && head.size < end.size));
}
