use super::*;
use crate::{
    index::fixture as fx,
    model::{
        CallOp, Changed, Confidence, Coverage, Cut, Delegation, DelegationRole, Diff, Enforcement,
        EnforcementAct, Exec, Kind, Mark, SessionId, Setting, TaskId, Trigger, Uncovered,
    },
};

fn redactor(sealed: bool) -> Redactor {
    Redactor::new(&Config::least(), sealed).unwrap()
}

fn record(body: Body) -> Record {
    Record {
        boot_ns: BootNanos::new(6),
        cpu: 2,
        flags: Flags::TRUNCATED,
        task: Some(fx::task(7, 1, "x")),
        body,
    }
}

fn passed(redactor: &Redactor, bodies: Vec<Body>) -> Vec<Record> {
    let mark = Mark::new(1);
    let mut tracked = bodies.into_iter().map(|body| Tracked::Event { mark, record: record(body) }).collect();
    redactor.pass(&mut tracked);
    let records = tracked.into_iter().map(|item| match item {
        Tracked::Event { record, .. } => record,
        other => panic!("{other:?}"),
    });
    records.collect()
}

fn places(record: &Record) -> &[Redaction] {
    let Body::Redacted(redacted) = &record.body else { panic!("{record:?}") };
    &redacted.places
}

#[test]
fn g7_what_is_gone_is_told_right_behind_it() {
    let out = passed(
        &redactor(false),
        vec![fx::exec("/usr/bin/mysql", &["mysql", "-phunter2", "db"]), fx::exec("/bin/ls", &["ls"])],
    );
    let kinds: Vec<Kind> = out.iter().map(|record| record.body.kind()).collect();
    assert_eq!(kinds, [Kind::EXEC, Kind::REDACTED, Kind::EXEC]);
    assert_eq!(out[0].flags, Flags::TRUNCATED.with(Flags::REDACTED));
    assert_eq!((out[2].flags, out[1].flags), (Flags::TRUNCATED, Flags::default()));
    assert_eq!((out[1].boot_ns, out[1].cpu, &out[1].task), (out[0].boot_ns, out[0].cpu, &out[0].task));
    let Body::Exec(exec) = &out[0].body else { panic!() };
    assert_eq!(exec.argv[1], Bytes::from("-p[redacted]"));
    let place = Redaction {
        field: RedactedField::Argv,
        index: 1,
        offset: 2,
        bytes: 7,
        rule: Bytes::from("option"),
        hash: None,
    };
    assert_eq!(places(&out[1]), [place]);
}

#[test]
fn g7_what_a_setting_was_set_to_has_no_secret() {
    let set = |value: &str| {
        let path = Bytes::from("/proc/sys/kernel/core_pattern");
        Body::Setting(Box::new(Setting { path, value: Bytes::from(value), bytes: 99, ..Setting::default() }))
    };
    let out = passed(&redactor(false), vec![set("|/usr/bin/x --token hunter2 %p\n"), set("core\n")]);
    let kinds: Vec<Kind> = out.iter().map(|record| record.body.kind()).collect();
    assert_eq!(kinds, [Kind::SETTING, Kind::REDACTED, Kind::SETTING]);
    let Body::Setting(told) = &out[0].body else { panic!() };
    assert_eq!(told.value, Bytes::from("|/usr/bin/x --token [redacted] %p\n"));
    assert_eq!((places(&out[1])[0].field, places(&out[1])[0].offset), (RedactedField::Value, 20));
}

#[test]
fn g7_hashes_need_the_key_and_there_is_one_only_where_it_can_be_sealed() {
    let sealed = redactor(true);
    let key = sealed.told(BootNanos::new(1)).unwrap();
    let Body::RedactionKey(key) = key.body else { panic!() };
    assert_eq!(key.key.len(), 32);
    let argv = ["x", "--token=hunter2", "--secret", "hunter2", "PASSWORD=other"];
    let out = passed(&sealed, vec![fx::exec("/x", &argv)]);
    let hashes: Vec<Digest> = places(&out[1]).iter().map(|place| place.hash.unwrap()).collect();
    assert_eq!(hashes[0], hashes[1], "equal secrets are recognised");
    assert_ne!(hashes[0], hashes[2]);
    let mut mac = Hmac::<Sha256>::new_from_slice(key.key.as_slice()).unwrap();
    mac.update(b"hunter2");
    assert_eq!(hashes[0], Digest::new(mac.finalize().into_bytes().into()), "who has the key can try a guess");
    let other = passed(&redactor(true), vec![fx::exec("/x", &argv)]);
    assert_ne!(places(&other[1])[0].hash, Some(hashes[0]), "another start has another key");
    let open = redactor(false);
    assert!(open.told(BootNanos::new(1)).is_none());
    assert!(places(&passed(&open, vec![fx::exec("/x", &argv)])[1]).iter().all(|place| place.hash.is_none()));
}

#[test]
fn g7_no_hash_of_what_a_secret_was_part_of_is_left() {
    let cut = |sha: u8| {
        Some(Cut { field: CutField::Argv, bytes: 9, sha256: Some(Digest::new([sha; 32])), relay: None })
    };
    let body = |argv: &[&str]| {
        let Body::Exec(exec) = fx::exec("/x", argv) else { panic!() };
        Body::Exec(Exec { cut: cut(5), ..exec })
    };
    let out = passed(&redactor(true), vec![body(&["x", "--token=hunter2"]), body(&["x"])]);
    let sha = |record: &Record| match &record.body {
        Body::Exec(exec) => exec.cut.as_ref().unwrap().sha256,
        other => panic!("{other:?}"),
    };
    assert_eq!((sha(&out[0]), sha(&out[2])), (None, cut(5).unwrap().sha256));
}

#[test]
fn g7_every_text_that_carries_arguments_is_looked_through() {
    let delegation = Delegation {
        role: DelegationRole::By,
        trigger: Trigger::Cron,
        confidence: Confidence::Certain,
        session: SessionId::NOBODY,
        peer: 1,
        to: Bytes::from("https://me:hunter2@h/"),
        what: Bytes::from("mysql -phunter2 -e x"),
        evidence: Bytes::from("TOKEN=hunter2"),
    };
    let enforcement = Enforcement {
        act: EnforcementAct::Denied,
        coverage: Coverage::Uncovered { reason: Uncovered::NoGrant },
        task: TaskId::default(),
        count: 1,
        text: Bytes::from("/usr/bin/mysql --password 'hunter2 two'"),
    };
    let out = passed(
        &redactor(true),
        vec![Body::Delegation(Box::new(delegation)), Body::Enforcement(Box::new(enforcement))],
    );
    assert!(!format!("{out:?}").contains("hunter2"), "{out:?}");
    let fields: Vec<_> =
        [1, 3].iter().flat_map(|at| places(&out[*at])).map(|place| (place.field, place.bytes)).collect();
    let all = [RedactedField::To, RedactedField::What, RedactedField::Evidence, RedactedField::Text];
    assert_eq!(fields, all.into_iter().zip([7, 7, 7, 11]).collect::<Vec<_>>());
}

#[test]
fn g7_what_can_be_switched_off_is_off() {
    let mut config = Config::least();
    config.redaction.rules = crate::config::RulesKey::Off;
    let off = Redactor::new(&config, true).unwrap();
    assert!(off.told(BootNanos::new(1)).is_none());
    assert_eq!(passed(&off, vec![fx::exec("/x", &["x", "--token=hunter2"])]).len(), 1);
}

#[test]
fn g7_a_diff_has_no_secrets_in_it() {
    let text = "@@ -1,2 +1,2 @@\n host = db1\n-password = hunter2\n+password = correct-horse\n";
    let diff = Some(Diff { text: Bytes::from(text), bytes: 80 });
    let out = passed(&redactor(true), vec![Body::Changed(Box::new(Changed { diff, ..Changed::default() }))]);
    let Body::Changed(changed) = &out[0].body else { panic!() };
    let kept = changed.diff.as_ref().unwrap().text.as_utf8().unwrap();
    assert!(!kept.contains("hunter2") && !kept.contains("correct-horse"), "{kept}");
    assert!(kept.contains("host = db1") && kept.contains("+password = [redacted]"), "{kept}");
    let told: Vec<_> = places(&out[1]).iter().map(|place| (place.field, place.bytes)).collect();
    assert_eq!(told, [(RedactedField::Diff, 7), (RedactedField::Diff, 13)]);
    for place in places(&out[1]) {
        let from = usize::try_from(place.offset).unwrap();
        assert!(kept.get(from..).unwrap().starts_with("[redacted]"), "{from} in {kept}");
    }
}

#[test]
fn g7_what_a_file_system_is_mounted_with_has_none() {
    let args = [("command", "SET_STRING"), ("key", "password"), ("value", "hunter2")];
    let args = args.map(|(name, value)| (Bytes::from(name), Bytes::from(value))).to_vec();
    let call = Call { name: Bytes::from("fsconfig"), args, result: 0 };
    let out = passed(&redactor(false), vec![Body::Call(CallOp::Mount, Box::new(call))]);
    let Body::Call(_, call) = &out[0].body else { panic!() };
    assert_eq!(call.args[2].1, Bytes::from("[redacted]"));
    assert_eq!(call.args[1].1, Bytes::from("password"));
    let [place] = places(&out[1]) else { panic!() };
    assert_eq!((place.field, place.index, place.offset, place.bytes), (RedactedField::Args, 2, 0, 7));
}
