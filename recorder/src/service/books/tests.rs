//! A disk that refuses for a while, and what the journal says of it afterwards.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicI32, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use super::*;
use crate::{
    journal::{Encryption, OsEntropy, RealDisk, WriterConfig},
    model::{
        BootId, Caps, Elevation, EndReason, File, FileOp, Ids, LoginWitness, RealNanos, SessionStart, TaskId,
        Tty, TtyOp, Via,
    },
    service::{
        ServiceError, StopFlag, anchor::Anchors, outbox::Outbox, standing::Gauge, strain::WAITING, writer,
    },
    verify::{self, Entry, Options, Report, Verdict},
};

/// The real disk, with an errno for everything that changes it, or one that hangs, or takes its time for what is durable.
#[derive(Clone, Default)]
struct Moody {
    errno: Arc<AtomicI32>,
    hangs: Arc<(Mutex<bool>, Condvar)>,
    /// Milliseconds that a durable write takes, and how many there were.
    slow: Arc<(AtomicU64, AtomicU64)>,
}

impl Moody {
    fn refuse(&self, errno: i32) {
        self.errno.store(errno, Ordering::SeqCst);
    }

    fn hang(&self, hangs: bool) {
        *self.hangs.0.lock().unwrap() = hangs;
        self.hangs.1.notify_all();
    }

    fn mood(&self) -> io::Result<()> {
        drop(self.hangs.1.wait_while(self.hangs.0.lock().unwrap(), |hangs| *hangs).unwrap());
        match self.errno.load(Ordering::SeqCst) {
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
        self.slow.1.fetch_add(1, Ordering::SeqCst);
        // The disk's slowness; nothing waits for it but who writes.
        std::thread::sleep(Duration::from_millis(self.slow.0.load(Ordering::SeqCst)));
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
    Batch { tracked: tracked.into_iter().collect(), ..Batch::default() }
}

#[test]
fn f3_nobody_waits_for_storage_that_fails_and_all_that_it_cost_is_declared() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Moody::default();
    let books = Books::new(journal(dir.path().to_owned(), &disk), None, Instant::now());
    let (to_writer, from_pump) = mpsc::sync_channel(2);
    let writer = std::thread::spawn(move || {
        let (_, recipients) = mpsc::channel();
        let (_, burials) = mpsc::sync_channel(1);
        let (anchors, gauge) = (Anchors::default(), Gauge::new(Instant::now()));
        let (_tell, told) = mpsc::channel();
        let inlets = writer::Inlets { batches: from_pump, recipients, told, burials, anchors, gauge };
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

type Thread = std::thread::JoinHandle<Result<Head, ServiceError>>;

/// A writer on its thread, and the way to it.
fn writer_on(dir: &Path, disk: &Moody, gauge: &Gauge) -> (Outbox, Thread) {
    let books = Books::new(journal(dir.to_owned(), disk), None, Instant::now());
    let (to_writer, from_pump) = mpsc::sync_channel(2);
    let gauge = gauge.clone();
    let thread = std::thread::spawn(move || {
        let (_, recipients) = mpsc::channel();
        let (_, burials) = mpsc::sync_channel(1);
        let anchors = Anchors::default();
        let (_tell, told) = mpsc::channel();
        let inlets = writer::Inlets { batches: from_pump, recipients, told, burials, anchors, gauge };
        writer::run(books, &inlets, &StopFlag::default())
    });
    (Outbox::new(to_writer), thread)
}

fn ended(n: u8) -> Tracked {
    Tracked::Closed {
        mark: Mark::new(u64::from(n)),
        reason: EndReason::LastTask,
        losses: 0,
        at: pair(2).boot,
    }
}

fn shows(entries: &[Entry]) -> u64 {
    entries.iter().filter(|e| matches!(e.record.body, Body::Tty(..))).map(|_| 1).sum()
}

#[test]
fn f3_nobody_waits_for_storage_that_hangs_and_all_that_it_cost_is_declared() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Moody::default();
    let (mut outbox, writer) = writer_on(dir.path(), &disk, &Gauge::new(Instant::now()));
    // Later than the outbox's patience from the first batch that is not taken.
    let mut now = Instant::now();
    outbox.send(batch(began(1, "oncall1")), now).unwrap();
    disk.hang(true);
    let (bytes, mut sent) = (256 << 10, 0);
    // On this thread, which would wait for ever if anything here did.
    while sent < 160 {
        outbox.send(batch([event(1, shown(sent, bytes))]), now).unwrap();
        now += Duration::from_millis(100);
        sent += 1;
    }
    outbox.send(batch([ended(1)]), now).unwrap();
    disk.hang(false);
    outbox.finish().unwrap();
    writer.join().unwrap().unwrap();
    let (report, entries) = read(dir.path());
    let (kept, lost) = (shows(&entries), lost(&entries, "tty"));
    assert_eq!(kept + lost, sent, "{kept} kept, {lost} declared");
    let most = u64::try_from(WAITING / bytes).unwrap() + 20;
    assert!(kept <= most && lost >= sent - most, "{kept} kept, {lost} declared");
    assert_eq!(report.sessions.first().map(|s| s.completeness), Some("complete_with_loss"));
}

#[test]
fn f3_a_slow_disk_loses_nothing_at_a_modest_rate_and_commits_grow() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Moody::default();
    let gauge = Gauge::new(Instant::now());
    let (mut outbox, writer) = writer_on(dir.path(), &disk, &gauge);
    outbox.send(batch(began(1, "oncall1")), Instant::now()).unwrap();
    disk.slow.0.store(300, Ordering::SeqCst);
    let writes = disk.slow.1.load(Ordering::SeqCst);
    let sent = 1000;
    for n in 0..sent {
        outbox.send(batch([event(1, shown(n, 100))]), Instant::now()).unwrap();
        assert!(gauge.watch(Instant::now()).is_sound());
        // Three seconds of work: a record each 3 ms.
        std::thread::sleep(Duration::from_millis(3));
    }
    outbox.send(batch([ended(1)]), Instant::now()).unwrap();
    outbox.finish().unwrap();
    writer.join().unwrap().unwrap();
    let writes = disk.slow.1.load(Ordering::SeqCst) - writes;
    assert!(writes < 60, "{writes} durable writes for {sent} records");
    let (report, entries) = read(dir.path());
    assert_eq!((shows(&entries), lost(&entries, "tty")), (sent, 0));
    assert_eq!(report.sessions.first().map(|s| s.completeness), Some("complete"));
}

#[test]
fn f3_a_write_that_came_back_late_is_on_record() {
    let dir = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let mut books = Books::new(journal(dir.path().to_owned(), &Moody::default()), None, now);
    books.hung(Duration::from_secs(12), now);
    books.commit(pair(2), now).unwrap();
    books.stop(15, pair(3)).unwrap();
    let (_, entries) = read(dir.path());
    let storage = entries.iter().find_map(|e| match &e.record.body {
        Body::Storage(fault) => Some((fault.operation.escaped(), fault.errno, fault.repeated)),
        _ => None,
    });
    assert_eq!(storage, Some(("wait 12 s for a write".to_owned(), LATE, 0)));
}

#[test]
fn a_run_ends_when_the_last_was_taken_and_not_when_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let run = |until| {
        let mut books = Books::new(journal(dir.path().to_owned(), &Moody::default()), None, now);
        books.take(Batch { until: Some(until), ..batch(began(1, "oncall1")) }, now);
        books.take(batch([event(1, opened())]), now);
        books.commit(pair(6), now).unwrap();
        books.stop(15, pair(7)).unwrap();
    };
    run(pair(4));
    run(pair(5));
    let (report, entries) = verify::read(dir.path(), &Options::default()).unwrap();
    let interval = report.intervals.first().unwrap();
    assert_eq!((interval.kind.name(), interval.from), ("stopped", pair(4).real));
    let stops = entries.map(|e| e.unwrap().into_inner()).filter_map(|e| match e.record.body {
        Body::Stop(stop) => Some((stop.clock, stop.signal)),
        _ => None,
    });
    assert_eq!(stops.collect::<Vec<_>>(), [(pair(4), 15), (pair(5), 15)]);
}

#[test]
fn f3_a_session_that_began_while_nothing_could_be_kept_is_opened_later() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Moody::default();
    let now = Instant::now();
    let mut books = Books::new(journal(dir.path().to_owned(), &disk), None, now);
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
    books.stop(15, pair(5)).unwrap();
    let (report, entries) = read(dir.path());
    assert_eq!(report.sessions.len(), 199);
    let files = entries.iter().filter(|e| matches!(e.record.body, Body::File(..))).map(|_| 1).sum::<u64>();
    assert_eq!(files + lost(&entries, "file"), 198 * 9 + 199);
}
