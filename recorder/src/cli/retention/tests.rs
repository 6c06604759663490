//! Plans on a journal whose sessions have people and incidents; real keys are in service/retention/tests.rs and the e2e suite.

use std::{ffi::OsString, fs, path::Path, time::Duration};

use crate::{
    cli::tests::{Ran, run as captured},
    index::fixture as fx,
    journal::{
        Encryption, OsEntropy, RealDisk, Writer, WriterConfig,
        retain::{Criterion, Hold, Maker, Plan, hold},
    },
    model::{
        Body, BootId, BootNanos, Bytes, ClockPair, Coverage, CoverageChange, EndReason, Flags, RealNanos,
        Record, SessionId, Stop, StreamNo,
    },
};

fn line(args: &[&str]) -> Ran {
    let args: Vec<OsString> = ["recorder", "retention"].iter().chain(args).map(Into::into).collect();
    captured(|io| Ok(crate::cli::execute(args, io)))
}

fn at(seconds: u64) -> ClockPair {
    ClockPair {
        boot: BootNanos::new(seconds * 1_000_000_000),
        real: RealNanos::new((1_700_000_000 + seconds) * 1_000_000_000),
    }
}

fn record(body: Body) -> Record {
    Record { boot_ns: at(2).boot, cpu: 0, flags: Flags::default(), task: None, body }
}

/// Three sessions over several segments each: the first is anna's for an incident, the account of the second is that of
/// the fixture, the third is anybody's and stays open.
fn journal(dir: &Path) {
    let config = WriterConfig {
        dir: dir.to_owned(),
        spare_dir: None,
        segment_bytes: 3072,
        segment_age: Duration::from_hours(24),
        reserve: 0,
        encryption: Encryption::Off,
        host: Bytes::from("web-1"),
    };
    let (mut w, _) = Writer::open(config, RealDisk, OsEntropy, BootId::new([1; 16]), at(0)).unwrap();
    for n in 1..=3u8 {
        let stream = w.open_session(fx::session_id(n), at(1).boot);
        if n == 1 {
            let change = CoverageChange {
                from: at(1).boot,
                coverage: Coverage::Covered { grant: crate::model::Digest::default() },
                person: Bytes::from("anna"),
                incident: Bytes::from("pagerduty:PD-1"),
            };
            w.append(stream, record(Body::Coverage(Box::new(change))));
        }
        if n == 2 {
            w.append(stream, record(fx::start(2)));
        }
        for step in 0..20 {
            w.append(stream, record(fx::exec("/bin/true", &["true", &format!("{step}{}", "y".repeat(900))])));
            w.commit(at(2)).unwrap();
        }
        if n < 3 {
            w.close_session(stream, EndReason::LastTask, 0, at(3).boot);
        }
        w.commit(at(3)).unwrap();
    }
    w.append(StreamNo::LOG, record(Body::Stop(Stop::default())));
    w.commit(at(4)).unwrap();
}

/// A plan under one hold; gives the table by sessions: for each, whether a segment of it goes.
fn planned(criterion: Option<Criterion>, sessions: &[SessionId]) -> (Ran, Option<Plan>) {
    let dir = tempfile::tempdir().unwrap();
    let (j, holds, out) = (dir.path().join("j"), dir.path().join("holds"), dir.path().join("plan.toml"));
    journal(&j);
    fs::create_dir(&holds).unwrap();
    let mut wanted = hold::state(std::iter::empty());
    if let Some(criterion) = criterion {
        let maker = Maker { signer: "dana".into(), made: at(0).real, nonce: [1; 16] };
        let (_, bytes) = Hold::write(&maker, &criterion, sessions, "court").unwrap();
        fs::write(holds.join("h.toml"), bytes).unwrap();
        fs::write(dir.path().join("signers"), "").unwrap();
        let filed = crate::journal::retain::shelf::holds(&holds).unwrap();
        wanted = hold::state(crate::journal::retain::shelf::in_force(filed, |_| false).iter());
    }
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let ran =
        line(&["plan", "--keep", "1d", "--journal", &text(&j), "--holds", &text(&holds), "-o", &text(&out)]);
    let plan = fs::read(out).ok().map(|bytes| Plan::parse(&bytes).unwrap());
    if let Some(plan) = &plan {
        assert_eq!((plan.holds, plan.policy.as_str()), (wanted, "keep 1d"));
    }
    (ran, plan)
}

fn kept(ran: &Ran, n: u8) -> usize {
    let id = fx::session_id(n).to_string();
    ran.out.lines().filter(|line| line.contains("stays") && line.contains(&id)).count()
}

#[test]
fn what_is_old_goes_but_for_open_sessions_and_the_segment_that_is_written() {
    let (ran, plan) = planned(None, &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let goes = ran.out.lines().filter(|line| line.contains("goes")).count();
    assert_eq!(plan.unwrap().segments.len(), goes);
    assert!(goes > 5, "{}", ran.out);
    assert!(kept(&ran, 1) == 0 && kept(&ran, 2) == 0 && kept(&ran, 3) > 2, "{}", ran.out);
    assert!(ran.out.contains("which is open"), "{}", ran.out);
    assert!(ran.out.trim_end().lines().last().unwrap().contains("is being written"), "{}", ran.out);
}

#[test]
fn a_hold_keeps_a_session_an_incident_a_person_and_an_account() {
    let user = match fx::start(2) {
        Body::SessionStart(start) => start.login.user.as_utf8().unwrap().to_owned(),
        _ => unreachable!(),
    };
    for (criterion, sessions, held) in [
        (Criterion::Session(fx::session_id(1)), vec![], 1),
        (Criterion::Incident("pagerduty:PD-1".into()), vec![], 1),
        (Criterion::Person("anna".into()), vec![], 1),
        (Criterion::Person(user), vec![], 2),
        // Resolved elsewhere: by the ids alone.
        (Criterion::Person("nobody here".into()), vec![fx::session_id(2)], 2),
    ] {
        let other = if held == 1 { 2 } else { 1 };
        let (ran, plan) = planned(Some(criterion.clone()), &sessions);
        assert_eq!(ran.code, 0, "{criterion:?} {}{}", ran.out, ran.err);
        assert!(kept(&ran, held) > 2 && kept(&ran, other) == 0, "{criterion:?} {}", ran.out);
        assert!(ran.out.contains("of dana keeps") && !plan.unwrap().segments.is_empty());
    }
    let nobody = planned(Some(Criterion::Incident("jira:X-1".into())), &[]).0;
    assert!(kept(&nobody, 1) == 0 && kept(&nobody, 2) == 0, "{}", nobody.out);
}

#[test]
fn a_plan_is_made_of_whole_evidence_only_and_never_over_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let j = dir.path().join("j");
    journal(&j);
    let (text, out) = (j.to_str().unwrap(), dir.path().join("plan.toml"));
    let out = out.to_str().unwrap();
    let young = line(&["plan", "--keep", "9999d", "--journal", text, "-o", out]);
    assert_eq!(young.code, 1, "{}", young.err);
    assert!(young.out.contains("later than the policy lets go"), "{}", young.out);
    assert!(!Path::new(out).exists());
    assert_eq!(line(&["plan", "--keep", "1d", "--journal", text, "-o", out]).code, 0);
    assert_eq!(line(&["plan", "--keep", "1d", "--journal", text, "-o", out]).code, 74);
    let other = "0".repeat(32);
    assert_eq!(line(&["plan", "--keep", "1d", "--journal", text, "--log", &other, "-o", "x"]).code, 64);
    let log = fs::read_dir(&j).unwrap().next().unwrap().unwrap().path();
    let segment = log.join("seg-0000000000000000.rj");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[500] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let damaged = line(&["plan", "--keep", "1d", "--journal", text, "-o", "x"]);
    assert_eq!(damaged.code, 2, "{}", damaged.err);
}

#[test]
fn what_is_missing_is_told_at_once() {
    for (args, told) in [
        (&["plan"][..], "--keep"),
        (&["plan", "--keep", "soon", "-o", "x"], "length of time"),
        (&["permit", "x"], "--reason, --signer, --key missing"),
        (&["hold", "--reason", "x"], "--session"),
        (&["hold", "--session", "x"], "whole id"),
        (&["hold", "--person", "a", "--incident", "b:c"], "cannot be used with"),
        (&["release", "x"], "--reason, --signer, --key missing"),
        (&["apply"], "PERMIT"),
    ] {
        let ran = line(args);
        assert_eq!(ran.code, 64, "{args:?} {}", ran.err);
        assert!(ran.err.contains(told), "{args:?} {}", ran.err);
    }
    assert_eq!(line(&["apply", "/no/such/permit"]).code, 74);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.toml");
    for file in [path.clone(), dir.path().join("p.toml.sig")] {
        fs::write(file, "x").unwrap();
    }
    let ran = line(&["apply", path.to_str().unwrap(), "--socket", "/no/such/socket"]);
    assert_eq!(ran.code, 69, "{}", ran.err);
}
