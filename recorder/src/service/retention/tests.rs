//! Permits on a real directory with real keys; a thread plays the writer.

use std::{
    process::{Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    time::Duration,
};

use super::*;
use crate::{
    journal::{
        Encryption, OsEntropy, Writer, WriterConfig,
        retain::{Criterion, Maker, Plan, Release},
    },
    model::{BootId, BootNanos, Bytes, ClockPair, EndReason, Exec, Stop, StreamNo},
    verify::{self, Options},
};

fn session(n: u8) -> SessionId {
    SessionId::new([n; 16])
}

fn at(seconds: u64) -> ClockPair {
    ClockPair {
        boot: BootNanos::new(seconds * 1_000_000_000),
        real: RealNanos::new((1_700_000_000 + seconds) * 1_000_000_000),
    }
}

fn exec(seconds: u64, n: u32) -> Record {
    let body = Body::Exec(Exec {
        path: Bytes::from("/usr/bin/true"),
        argv: vec![Bytes::from(format!("{n}-{}", "x".repeat(900)).as_str())],
        cwd: Bytes::from("/"),
        dev: (1, 1),
        ino: 1,
        ..Exec::default()
    });
    Record { boot_ns: at(seconds).boot, cpu: 0, flags: Flags::default(), task: None, body }
}

/// A log with two sessions over several segments each, the second of which may still be open.
struct Host {
    dir: tempfile::TempDir,
    journal: Writer,
    retention: Retention,
    burials: Receiver<Burial>,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let writer = WriterConfig {
            dir: dir.path().join("j"),
            spare_dir: None,
            segment_bytes: 3072,
            segment_age: Duration::from_hours(24),
            reserve: 0,
            encryption: Encryption::Off,
            host: Bytes::from("web-1"),
        };
        let (mut journal, opened) =
            Writer::open(writer, RealDisk, OsEntropy, BootId::new([1; 16]), at(0)).unwrap();
        for n in [1, 2] {
            let stream = journal.open_session(session(n), at(1).boot);
            for step in 0..30 {
                journal.append(stream, exec(2, step));
                journal.commit(at(2)).unwrap();
            }
            journal.close_session(stream, EndReason::LastTask, 0, at(3).boot);
            journal.commit(at(3)).unwrap();
        }
        let mut signers = String::new();
        for (who, namespaces) in [("dana", "namespaces=\"recorder-retention\" "), ("otto", "")] {
            let key = dir.path().join(who);
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", who, "-f"])
                .arg(&key)
                .status();
            assert!(made.unwrap().success());
            let public = fs::read_to_string(key.with_extension("pub")).unwrap();
            signers.push_str(who);
            signers.push(' ');
            signers.push_str(namespaces);
            signers.push_str(&public);
        }
        fs::write(dir.path().join("signers"), signers).unwrap();
        fs::create_dir(dir.path().join("holds")).unwrap();
        let mut config = Config::least();
        config.journal_dir = dir.path().join("j");
        config.holds = dir.path().join("holds");
        config.grants.allowed_signers = dir.path().join("signers");
        let (to_bury, burials) = sync_channel(1);
        let retention = Retention::new(&config, opened.log, to_bury);
        Self { dir, journal, retention, burials }
    }

    fn files(&self) -> Vec<(u64, PathBuf)> {
        shelf::segments(&self.retention.dirs).unwrap()
    }

    /// The first `n` segments, under the holds that are filed.
    fn plan(&self, n: usize) -> Plan {
        let leaves = shelf::leaves(&self.retention.dirs).unwrap();
        let item = |(first, path): &(u64, PathBuf)| {
            let stub = examine(&self.retention.dirs, path, *first, &leaves).unwrap().stub;
            Item { first: *first, last: first + stub.leaves() - 1, stub: stub.digest }
        };
        let segments = self.files().iter().take(n).map(item).collect();
        let filed = shelf::holds(&self.retention.holds).unwrap();
        let holds = hold::state(shelf::in_force(filed, |_| true).iter());
        Plan { log: self.retention.log, policy: "keep 90d".into(), holds, segments }
    }

    fn sign(&self, who: &str, bytes: &[u8]) -> Vec<u8> {
        let mut child = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"])
            .arg(self.dir.path().join(who))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), bytes).unwrap();
        child.wait_with_output().unwrap().stdout
    }

    fn permit(plan: &Plan, who: &str, made: RealNanos) -> Vec<u8> {
        let maker = Maker { signer: who.into(), made, nonce: [3; 16] };
        let until = RealNanos::new(made.get() + 3_600_000_000_000);
        Permit::write(&maker, plan, "test", until).unwrap().1
    }

    /// Applies, with somebody who plays the writer's thread.
    fn apply(&mut self, document: &[u8], signature: &[u8], open: &[SessionId]) -> Result<Done, String> {
        let open = open.iter().copied().collect();
        let (journal, burials, retention) = (&mut self.journal, &self.burials, &self.retention);
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let done = scope.spawn(|| {
                let done = retention.apply(document, signature, &open);
                over.store(true, std::sync::atomic::Ordering::Release);
                done
            });
            while !over.load(std::sync::atomic::Ordering::Acquire) {
                let Ok(burial) = burials.recv_timeout(Duration::from_millis(5)) else { continue };
                for record in burial.tombstones {
                    journal.append(StreamNo::LOG, record);
                }
                journal.commit(at(9)).unwrap();
                burial.done.send(true).unwrap();
            }
            done.join().unwrap()
        })
    }

    fn file(&self, name: &str, bytes: &[u8], signature: &[u8]) {
        fs::write(self.retention.holds.join(format!("{name}.toml")), bytes).unwrap();
        fs::write(self.retention.holds.join(format!("{name}.toml.sig")), signature).unwrap();
    }
}

fn now() -> RealNanos {
    let nanos = clock::pair().real.get();
    RealNanos::new(nanos - nanos % 1_000_000_000)
}

#[test]
fn a_permit_is_applied_once_and_again_and_the_log_verifies() {
    let mut host = Host::new();
    let plan = host.plan(3);
    let document = Host::permit(&plan, "dana", now());
    let signature = host.sign("dana", &document);
    let size: u64 = host.files().iter().take(3).map(|(_, p)| fs::metadata(p).unwrap().len()).sum();
    let done = host.apply(&document, &signature, &[]).unwrap();
    assert_eq!((done.segments, done.before, done.bytes), (3, 0, size));
    let again = host.apply(&document, &signature, &[]).unwrap();
    assert_eq!((again.segments, again.before, again.bytes), (0, 3, 0));
    // A crash left one of the segments: it goes again.
    let dir = host.retention.dirs[0].clone();
    let next = host.plan(1);
    let more = Host::permit(&next, "dana", now());
    let signature = host.sign("dana", &more);
    let first = host.files()[0].clone();
    let bytes = fs::read(&first.1).unwrap();
    assert_eq!(host.apply(&more, &signature, &[]).unwrap().segments, 1);
    fs::write(dir.join(first.1.file_name().unwrap()), bytes).unwrap();
    assert_eq!(host.apply(&more, &signature, &[]).unwrap().segments, 1);
    let Host { dir, journal, .. } = host;
    journal.stop(Stop { clock: at(10), signal: 15, open_sessions: 0 }).unwrap();
    let report = verify::verify(&dir.path().join("j"), &Options::default(), &mut |_| ()).unwrap();
    assert_eq!(report.exit, 1, "{:#?}", report.findings);
    assert!(report.findings.iter().any(|f| f.code == "EXPIRED" && f.text.starts_with("3 segments")));
    assert_eq!(report.sessions.iter().filter(|s| s.completeness == "expired").count(), 1);
}

#[test]
fn what_is_not_allowed_deletes_nothing() {
    let mut host = Host::new();
    let plan = host.plan(3);
    let before = host.files();
    let late = RealNanos::new(1_700_000_000_000_000_000);
    let good = Host::permit(&plan, "dana", now());
    let signature = host.sign("dana", &good);
    let other = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        Host::permit(&plan, "dana", now())
    };
    let all = host.files().len();
    let last = host.files().last().unwrap().0;
    let cases: Vec<(Vec<u8>, &str, &str)> = vec![
        (Host::permit(&plan, "otto", now()), "otto", "no line"),
        (Host::permit(&plan, "dana", now()), "otto", "no line"),
        (Host::permit(&plan, "dana", late), "dana", "its time is over"),
        (other(&|p| p.log = LogId::new([8; 16])), "dana", "is for log"),
        (other(&|p| p.holds = Digest::new([8; 32])), "dana", "other holds"),
        (other(&|p| p.segments[1].stub = Digest::new([8; 32])), "dana", "another stub"),
        (other(&|p| p.segments[2].last += 1), "dana", "another stub"),
        (other(&|p| p.segments[0].first += 1), "dana", "is not here"),
        (
            other(&|p| p.segments = vec![Item { first: last, last: last + 9, stub: Digest::default() }]),
            "dana",
            "is being written",
        ),
        (plan.write().unwrap(), "dana", "no permit"),
        (b"version = 1".to_vec(), "dana", "no permit"),
    ];
    for (document, who, why) in cases {
        let signature = host.sign(who, &document);
        let said = host.apply(&document, &signature, &[]).unwrap_err();
        assert!(said.contains(why), "{why}: {said}");
    }
    let mut edited = good.clone();
    edited.push(b'\n');
    assert!(host.apply(&edited, &signature, &[]).unwrap_err().contains("does not match"));
    assert!(host.apply(&good, b"", &[]).unwrap_err().contains("no SSH signature"));
    assert!(host.apply(&good, &signature, &[session(1)]).unwrap_err().contains("which is open"));
    fs::write(host.retention.holds.join("x.toml"), "junk").unwrap();
    assert!(host.apply(&good, &signature, &[]).unwrap_err().contains("neither a hold nor a release"));
    fs::remove_file(host.retention.holds.join("x.toml")).unwrap();
    fs::remove_file(&host.retention.signers).unwrap();
    assert!(host.apply(&good, &signature, &[]).is_err());
    assert_eq!(host.files(), before);
    assert_eq!(host.files().len(), all);
}

#[test]
fn a_hold_keeps_its_sessions_wherever_they_were_opened() {
    let mut host = Host::new();
    let maker = Maker { signer: "otto".into(), made: now(), nonce: [1; 16] };
    // Of whom the second session is, the host can't read.
    let criterion = Criterion::Person("anna".into());
    let (id, hold) = crate::journal::retain::Hold::write(&maker, &criterion, &[session(2)], "court").unwrap();
    // It only keeps, so it needs no signature of anybody who may release.
    host.file("hold", &hold, b"");
    let files = host.files().len();
    let all = host.plan(files - 1);
    let of = |host: &Host, n: usize| {
        let one = Plan { segments: vec![all.segments[n]], ..host.plan(0) };
        Host::permit(&one, "dana", now())
    };
    // The one behind the first that session 2 has frames in: it was opened before it.
    let middle = files - 3;
    let document = of(&host, middle);
    let signature = host.sign("dana", &document);
    let said = host.apply(&document, &signature, &[]).unwrap_err();
    assert!(said.contains("hold") && said.contains(&session(2).to_string()), "{said}");
    assert!(host.apply(&document, &signature, &[session(2)]).unwrap_err().contains("open"));
    let document = of(&host, 0);
    let signature = host.sign("dana", &document);
    assert_eq!(host.apply(&document, &signature, &[session(2)]).unwrap().segments, 1);
    // A release by somebody who may not changes nothing; by dana it does, and the old permit is one for another state.
    let release = |who: &str| {
        let maker = Maker { signer: who.into(), made: now(), nonce: [2; 16] };
        Release::write(&maker, id, "over").unwrap().1
    };
    let document = of(&host, middle);
    let signature = host.sign("dana", &document);
    let bad = release("otto");
    host.file("release", &bad, &host.sign("otto", &bad));
    assert!(host.apply(&document, &signature, &[]).unwrap_err().contains("which hold"));
    let good = release("dana");
    host.file("release", &good, &host.sign("dana", &good));
    assert!(host.apply(&document, &signature, &[]).unwrap_err().contains("other holds"));
    let document = of(&host, middle);
    let signature = host.sign("dana", &document);
    assert_eq!(host.apply(&document, &signature, &[]).unwrap().segments, 1);
}

#[test]
fn nothing_goes_if_the_tombstones_can_not_be_written() {
    let mut host = Host::new();
    let document = Host::permit(&host.plan(2), "dana", now());
    let signature = host.sign("dana", &document);
    let before = host.files();
    let (burials, retention) = (&host.burials, &host.retention);
    let said = std::thread::scope(|scope| {
        let done = scope.spawn(|| retention.apply(&document, &signature, &BTreeSet::new()));
        burials.recv().unwrap().done.send(false).unwrap();
        done.join().unwrap()
    });
    assert!(said.unwrap_err().contains("nothing was deleted"));
    drop(std::mem::replace(&mut host.burials, sync_channel(1).1));
    let said = host.retention.apply(&document, &signature, &BTreeSet::new());
    assert!(said.unwrap_err().contains("ends"));
    assert_eq!(host.files(), before);
}
