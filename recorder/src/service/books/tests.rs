//! A disk that refuses for a while, and what the journal says of it afterwards.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use super::*;
use crate::{
    journal::{Encryption, OsEntropy, RealDisk, WriterConfig},
    model::{
        BootId, Caps, Elevation, EndReason, File, FileOp, Ids, LoginWitness, LossReason, RealNanos,
        SessionStart, Tty, TtyOp, Via,
    },
    service::{StopFlag, anchor::Anchors, ending::Reach, writer},
    verify::{self, Entry, Options, Report, Verdict},
};

/// The real disk, with an errno for everything that changes it.
#[derive(Clone, Default)]
struct Moody(Arc<AtomicI32>);

impl Moody {
    fn refuse(&self, errno: i32) {
        self.0.store(errno, Ordering::SeqCst);
    }

    fn mood(&self) -> io::Result<()> {
        match self.0.load(Ordering::SeqCst) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl Disk for Moody {
    type Dir = <RealDisk as Disk>::Dir;
    type File = <RealDisk as Disk>::File;

    fn root(&self, path: &Path) -> io::Result<Self::Dir> {
        RealDisk.root(path)
    }
    fn subdir(&self, dir: &Self::Dir, name: &str, make: bool) -> io::Result<Self::Dir> {
        RealDisk.subdir(dir, name, make)
    }
    fn lock(&self, dir: &Self::Dir) -> io::Result<bool> {
        RealDisk.lock(dir)
    }
    fn list(&self, dir: &Self::Dir) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn open(&self, dir: &Self::Dir, name: &str) -> io::Result<Self::File> {
        RealDisk.open(dir, name)
    }
    fn create(&self, dir: &Self::Dir, name: &str) -> io::Result<Self::File> {
        self.mood().and_then(|()| RealDisk.create(dir, name))
    }
    fn remove(&self, dir: &Self::Dir, name: &str) -> io::Result<()> {
        RealDisk.remove(dir, name)
    }
    fn rename(&self, dir: &Self::Dir, from: &str, to: &str) -> io::Result<()> {
        self.mood().and_then(|()| RealDisk.rename(dir, from, to))
    }
    fn sync_dir(&self, dir: &Self::Dir) -> io::Result<()> {
        self.mood().and_then(|()| RealDisk.sync_dir(dir))
    }
    fn reserve(&self, file: &Self::File, len: u64) -> io::Result<()> {
        self.mood().and_then(|()| RealDisk.reserve(file, len))
    }
    fn truncate(&self, file: &Self::File, len: u64) -> io::Result<()> {
        self.mood().and_then(|()| RealDisk.truncate(file, len))
    }
    fn write(&self, file: &Self::File, offset: u64, data: &[u8]) -> io::Result<()> {
        self.mood().and_then(|()| RealDisk.write(file, offset, data))
    }
    fn write_durable(&self, file: &Self::File, offset: u64, data: &[u8]) -> io::Result<()> {
        self.mood().and_then(|()| RealDisk.write_durable(file, offset, data))
    }
    fn sync(&self, file: &Self::File) -> io::Result<()> {
        self.mood().and_then(|()| RealDisk.sync(file))
    }
    fn is_named(&self, file: &Self::File) -> io::Result<bool> {
        RealDisk.is_named(file)
    }
}

fn pair(seconds: u64) -> ClockPair {
    let ns = seconds * 1_000_000_000;
    ClockPair { boot: BootNanos::new(ns), real: RealNanos::new(1_700_000_000_000_000_000 + ns) }
}

fn journal(dir: PathBuf, disk: &Moody) -> Writer<Moody, OsEntropy> {
    let config = WriterConfig {
        dir,
        spare_dir: None,
        segment_bytes: 4 << 20,
        segment_age: Duration::from_hours(24),
        reserve: 2 << 20,
        encryption: Encryption::Off,
        host: Bytes::from("web-1"),
    };
    Writer::open(config, disk.clone(), OsEntropy, BootId::new([1; 16]), pair(0)).unwrap().0
}

fn read(dir: &Path) -> (Report, Vec<Entry>) {
    let (report, entries) = verify::read(dir, &Options::default()).unwrap();
    assert_eq!(report.verdict, Verdict::VerifiedWithGaps, "{:#?}", report.findings);
    (report, entries.map(|e| e.unwrap().into_inner()).collect())
}

fn lost(entries: &[Entry], class: &str) -> u64 {
    let losses = entries.iter().filter_map(|e| match &e.record.body {
        Body::Loss(loss) if loss.reason == LossReason::Storage => Some(loss),
        _ => None,
    });
    losses.filter(|loss| loss.class == Bytes::from(class)).map(|loss| loss.count).sum()
}

/// Noise that doesn't pack.
fn shown(seed: u64, bytes: usize) -> Record {
    let mut dice = seed;
    let noise = || {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        dice.to_be_bytes()[0]
    };
    let data: Vec<u8> = std::iter::repeat_with(noise).take(bytes).collect();
    control(pair(1).boot, Body::Tty(TtyOp::Output, Tty { data: Bytes::new(data), ..Tty::default() }))
}

fn opened() -> Record {
    control(pair(1).boot, Body::File(FileOp::Open, File { path: Bytes::from("/etc/a"), ..File::default() }))
}

fn began(n: u8, user: &str) -> [Tracked; 2] {
    let (mark, id) = (Mark::new(u64::from(n)), SessionId::new([n; 16]));
    let start = SessionStart {
        id,
        root: TaskId { pid: u32::from(n), start: pair(1).boot },
        login: LoginWitness { user: Bytes::from(user), ..LoginWitness::default() },
        elevation: Elevation {
            from: Ids::default(),
            to: Ids::default(),
            caps: Caps::default(),
            via: Via::Unexplained,
            path: Bytes::default(),
        },
        seeded: 0,
    };
    let record = control(pair(1).boot, Body::SessionStart(Box::new(start)));
    [Tracked::Opened { mark, id, at: pair(1).boot }, Tracked::Event { mark, record }]
}

fn event(n: u8, record: Record) -> Tracked {
    Tracked::Event { mark: Mark::new(u64::from(n)), record }
}

fn batch(tracked: impl IntoIterator<Item = Tracked>) -> Batch {
    Batch { tracked: tracked.into_iter().collect(), control: Vec::new() }
}

#[test]
fn f3_nobody_waits_for_storage_that_fails_and_all_that_it_cost_is_declared() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Moody::default();
    let books = Books::new(journal(dir.path().to_owned(), &disk), None, None, Instant::now());
    let (to_writer, from_pump) = mpsc::sync_channel(2);
    let writer = std::thread::spawn(move || {
        let (_, recipients) = mpsc::channel();
        let (_, burials) = mpsc::sync_channel(1);
        let inlets = writer::Inlets { batches: from_pump, recipients, burials, anchors: Anchors::default() };
        writer::run(books, &inlets, &StopFlag::default())
    });
    to_writer.send(batch(began(1, "oncall1"))).unwrap();
    disk.refuse(5);
    // More than waits in memory: whoever sends is not held up by it.
    let (sent, bytes) = (160u64, 256 << 10);
    for n in 0..sent {
        to_writer.send(batch([event(1, shown(n, bytes))])).unwrap();
    }
    disk.refuse(0);
    let end =
        Tracked::Closed { mark: Mark::new(1), reason: EndReason::LastTask, losses: 0, at: pair(2).boot };
    to_writer.send(batch([end])).unwrap();
    drop(to_writer);
    writer.join().unwrap().unwrap();
    let (report, entries) = read(dir.path());
    let kept = entries.iter().filter(|e| matches!(e.record.body, Body::Tty(..))).map(|_| 1).sum::<u64>();
    let lost = lost(&entries, "tty");
    assert_eq!(kept + lost, sent, "{kept} kept, {lost} declared");
    assert!(lost >= 64 && kept >= 16, "{kept} kept, {lost} declared");
    assert_eq!(report.sessions.first().map(|s| s.completeness), Some("complete_with_loss"));
}

#[test]
fn f3_a_session_that_began_while_nothing_could_be_kept_is_opened_later() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Moody::default();
    let now = Instant::now();
    let mut books = Books::new(journal(dir.path().to_owned(), &disk), None, None, now);
    disk.refuse(28);
    books.take(batch(began(1, "oncall1")), now);
    books.commit(pair(2), now).unwrap_err();
    for n in 0..140 {
        books.take(batch([event(1, shown(n, 256 << 10))]), now);
    }
    for n in 2..200u8 {
        books.take(batch(began(n, "oncall1")), now);
        books.take(batch((0..9).map(|_| event(n, opened()))), now);
    }
    assert!(books.pending().bytes < 40 << 20, "{}", books.pending().bytes);
    disk.refuse(0);
    books.commit(pair(3), now).unwrap();
    books.take(batch((1..200u8).map(|n| event(n, opened()))), now);
    books.commit(pair(4), now).unwrap();
    books.stop(Stop { clock: pair(5), ..Stop::default() }).unwrap();
    let (report, entries) = read(dir.path());
    assert_eq!(report.sessions.len(), 199);
    let files = entries.iter().filter(|e| matches!(e.record.body, Body::File(..))).map(|_| 1).sum::<u64>();
    assert_eq!(files + lost(&entries, "file"), 198 * 9 + 199);
}

/// Who was reached, in order.
#[derive(Clone, Default)]
struct Hand(Arc<Mutex<Vec<(&'static str, Mark)>>>);

impl Reach for Hand {
    fn hang_up(&self, mark: Mark) -> usize {
        self.0.lock().unwrap().push(("hup", mark));
        2
    }
    fn kill(&self, mark: Mark) -> Vec<(TaskId, Bytes)> {
        self.0.lock().unwrap().push(("kill", mark));
        vec![(TaskId { pid: 77, start: pair(1).boot }, Bytes::from("sh"))]
    }
}

fn acts(entries: &[Entry]) -> Vec<(EnforcementAct, SessionId)> {
    let acts = entries.iter().filter_map(|e| match &e.record.body {
        Body::Enforcement(done) => Some((done.act, e.session?)),
        _ => None,
    });
    acts.collect()
}

#[test]
fn f3_end_sessions_ends_who_bears_a_mark_after_a_minute_and_says_so_when_storage_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, hand) = (Moody::default(), Hand::default());
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let ending = Ending::with(Box::new(hand.clone()), Duration::from_mins(2), vec!["root".to_owned()]);
    let mut books = Books::new(journal(dir.path().to_owned(), &disk), Some(ending), None, start);
    books.take(batch(began(1, "oncall1").into_iter().chain(began(2, "root"))), start);
    books.commit(pair(1), start).unwrap();
    disk.refuse(30);
    books.take(batch([event(1, opened())]), start);
    books.commit(pair(2), start).unwrap_err();
    books.care(after(59));
    assert_eq!(*hand.0.lock().unwrap(), [], "not for good yet");
    books.commit(pair(61), after(60)).unwrap_err();
    books.care(after(61));
    books.care(after(100));
    books.care(after(181));
    let one = Mark::new(1);
    assert_eq!(
        *hand.0.lock().unwrap(),
        [("hup", one), ("kill", one)],
        "and who mends the disk is left alone"
    );
    disk.refuse(0);
    books.commit(pair(200), after(200)).unwrap();
    books.commit(pair(201), after(201)).unwrap();
    books.stop(Stop { clock: pair(202), ..Stop::default() }).unwrap();
    let (_, entries) = read(dir.path());
    let of = SessionId::new([1; 16]);
    assert_eq!(
        acts(&entries),
        [(EnforcementAct::HungUp, of), (EnforcementAct::Killed, of), (EnforcementAct::Relented, of)]
    );
}

#[test]
fn f3_storage_that_comes_back_within_the_minute_ends_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, hand) = (Moody::default(), Hand::default());
    let start = Instant::now();
    let ending = Ending::with(Box::new(hand.clone()), Duration::ZERO, Vec::new());
    let mut books = Books::new(journal(dir.path().to_owned(), &disk), Some(ending), None, start);
    disk.refuse(5);
    books.take(batch(began(1, "oncall1")), start);
    books.commit(pair(2), start).unwrap_err();
    disk.refuse(0);
    books.commit(pair(3), start + Duration::from_secs(50)).unwrap();
    books.care(start + Duration::from_mins(5));
    assert_eq!(*hand.0.lock().unwrap(), []);
}
