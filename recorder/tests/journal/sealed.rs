//! Encryption: the recipients read everything, all others verify everything and read nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use age::secrecy::{ExposeSecret, SecretString};
use recorder::journal::cipher::Aead;
use recorder::journal::frame::FrameType;
use recorder::journal::identity::{Identities, IdentityError, Unwrapped};
use recorder::journal::segment::SegmentHeader;
use recorder::journal::walk::{Event, Walk};
use recorder::journal::{Encryption, RealDisk, Recipient, Writer, WriterConfig};
use recorder::model::*;
use recorder::verify::{self, Entry, Options, Report, Verdict, Verified};

use crate::common::*;
use crate::fake::FakeDisk;

/// What must not be found in a sealed journal.
const PLANTED: [&str; 4] = ["plantedperson", "plantedpath", "plantedcommand", "plantedreason"];

struct Reader {
    recipient: Recipient,
    identities: Identities,
    /// The identity file's text.
    text: String,
}

fn reader() -> Reader {
    let key = age::x25519::Identity::generate();
    let text = key.to_string().expose_secret().to_owned();
    let mut identities = Identities::default();
    identities.add(text.as_bytes(), &mut || None).unwrap();
    Reader { recipient: key.to_public().to_string().parse().unwrap(), identities, text }
}

/// A key pair by ssh-keygen.
fn ssh_reader(dir: &Path, kind: &str, passphrase: &str) -> Reader {
    let file = dir.join(format!("id-{kind}-{}", passphrase.len()));
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", kind, "-N", passphrase, "-C", "alice", "-f"]).arg(&file);
    assert!(keygen.status().unwrap().success());
    let text = std::fs::read_to_string(&file).unwrap();
    let mut identities = Identities::default();
    identities.add(text.as_bytes(), &mut || Some(SecretString::from(passphrase))).unwrap();
    let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    Reader { recipient: public.parse().unwrap(), identities, text }
}

fn sealed(dir: &Path, to: &[&Reader], segment_bytes: u64) -> WriterConfig {
    let recipients = to.iter().map(|r| r.recipient.clone()).collect();
    WriterConfig { encryption: Encryption::To(recipients), ..config(dir, segment_bytes) }
}

fn grant(seconds: u64) -> Record {
    let grant = Grant {
        act: GrantAct::Received,
        person: Bytes::from(PLANTED[0]),
        bytes: Bytes::from(PLANTED[3]),
        ..Grant::default()
    };
    let body = Body::Grant(Box::new(grant));
    Record { boot_ns: at(seconds).boot, cpu: u16::MAX, flags: Flags::default(), task: None, body }
}

fn twin(seconds: u64) -> Record {
    let body = Body::Grant(Box::new(Grant { act: GrantAct::Received, ..Grant::default() }));
    Record { body, flags: Flags::LEFT_OUT, ..grant(seconds) }
}

/// Two runs and several segments of two sessions, with names to look for.
fn write(config: &WriterConfig) {
    for run in 0..2 {
        let now = run * 100;
        let mut w =
            Writer::open(config.clone(), RealDisk, Dice(run + 5), boot(1), at(now)).map(|(w, _)| w).unwrap();
        let s = w.open_session(session(run as u8), at(now).boot);
        for n in 0..6 {
            w.append(s, opened_file(now, &format!("/srv/{}/{n}", PLANTED[1])));
            let mut run = exec(now, n);
            if let Body::Exec(exec) = &mut run.body {
                exec.argv.push(Bytes::from(PLANTED[2]));
            }
            w.append(s, run);
            assert!(w.append_sealed(&grant(now)));
            w.append(StreamNo::LOG, twin(now));
            w.commit(at(now)).unwrap();
        }
        w.close_session(s, EndReason::LastTask, 0, at(now + 1).boot);
        w.stop(stop(now + 2)).unwrap();
    }
}

fn read(dir: &Path, identities: &Identities) -> (Report, Vec<Verified<Entry>>) {
    let options = Options { identities: identities.clone(), ..Options::default() };
    let (report, entries) = verify::read(dir, &options).unwrap();
    (report, entries.map(|e| e.unwrap()).collect())
}

fn kinds(entries: &[Verified<Entry>]) -> BTreeSet<&'static str> {
    entries.iter().map(|e| e.record.body.kind().name()).collect()
}

fn whole_journal(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for file in segments(&log_dir(dir)) {
        all.extend(std::fs::read(file).unwrap());
    }
    all
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

#[test]
fn each_recipient_reads_all_and_nobody_else_anything() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("j");
    let readers = [reader(), ssh_reader(dir.path(), "ed25519", ""), ssh_reader(dir.path(), "rsa", "")];
    write(&sealed(&journal, &readers.each_ref(), 6000));

    for reader in &readers {
        let (report, entries) = read(&journal, &reader.identities);
        assert!(is_whole(report.verdict), "{report:#?}");
        assert_eq!(entries.iter().filter(|e| e.record.body.kind() == Kind::EXEC).count(), 12);
        let grants: Vec<_> = entries.iter().filter(|e| e.record.body.kind() == Kind::GRANT).collect();
        assert_eq!(grants.len(), 12, "the whole record, and not its twin besides");
        assert!(grants.iter().all(|g| !g.record.flags.has(Flags::LEFT_OUT)));
        let log = &report.logs[0];
        assert!(log.encrypted > 2 && log.opened == log.encrypted && log.encryption == "3 recipients");
    }

    let (report, entries) = read(&journal, &Identities::default());
    assert!(is_whole(report.verdict) && !has(&report, "ENCRYPTION_OFF"), "{report:#?}");
    assert!(report.sessions.iter().all(|s| s.completeness == "complete"), "completeness needs no key");
    let seen = kinds(&entries);
    assert!(seen.contains("grant") && seen.contains("session_opened") && !seen.contains("exec"), "{seen:?}");
    assert!(
        entries
            .iter()
            .filter(|e| e.record.body.kind() == Kind::GRANT)
            .all(|e| e.record.flags.has(Flags::LEFT_OUT))
    );

    let (report, entries) = read(&journal, &reader().identities);
    assert_eq!((report.verdict, codes(&report).contains(&"DECRYPT_FAILED")), (Verdict::Decrypt, true));
    assert!(!kinds(&entries).contains("exec"));
}

#[test]
fn nothing_that_was_recorded_stands_in_a_sealed_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (open, shut) = (dir.path().join("open"), dir.path().join("shut"));
    // Uncompressed bodies are small enough here to be found in a journal that is not sealed.
    let mut w = Writer::open(config(&open, 1 << 20), RealDisk, Dice(1), boot(1), at(0)).unwrap().0;
    assert!(!w.append_sealed(&grant(0)));
    w.append(StreamNo::LOG, grant(0));
    w.commit(at(0)).unwrap();
    let plain = whole_journal(&open);
    assert!(contains(&plain, PLANTED[0]) && contains(&plain, PLANTED[3]), "or this test can't fail");

    write(&sealed(&shut, &[&reader()], 6000));
    let bytes = whole_journal(&shut);
    for text in PLANTED {
        assert!(!contains(&bytes, text), "{text}");
    }
}

#[test]
fn the_stock_age_tool_opens_a_segments_key() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("j");
    let readers = [reader(), ssh_reader(dir.path(), "ed25519", ""), ssh_reader(dir.path(), "rsa", "")];
    write(&sealed(&journal, &readers.each_ref(), 1 << 20));
    let file = std::fs::File::open(&segments(&log_dir(&journal))[0]).unwrap();
    let walk = Walk::open(file).unwrap().unwrap();
    std::fs::write(dir.path().join("wrapped"), &walk.header.wrapped_key).unwrap();
    let mut keys = BTreeSet::new();
    for (n, reader) in readers.iter().enumerate() {
        let identity = dir.path().join(format!("identity-{n}"));
        std::fs::write(&identity, &reader.text).unwrap();
        let age = Command::new("age")
            .args(["-d", "-i"])
            .arg(&identity)
            .arg(dir.path().join("wrapped"))
            .stderr(Stdio::inherit())
            .output()
            .expect("the age tool (Debian: age)");
        assert!(age.status.success(), "{n}");
        assert_eq!(age.stdout.len(), 32);
        keys.insert(age.stdout);
    }
    assert_eq!(keys.len(), 1);
    // The tool's key opens frames, by the page alone.
    let mut secret = recorder::sys::secret::Secret::new().unwrap();
    secret.expose_mut().copy_from_slice(keys.first().unwrap());
    let commitment = recorder::journal::cipher::commitment(&secret, walk.header.log, 0);
    assert_eq!(commitment, walk.header.key_commitment);
}

#[test]
fn others_can_be_named_in_the_running_log_and_segments_before_stay_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (reader(), reader());
    let config = sealed(dir.path(), &[&before], 1 << 20);
    let mut w = Writer::open(config, RealDisk, Dice(3), boot(1), at(0)).unwrap().0;
    let s = w.open_session(session(1), at(0).boot);
    w.append(s, exec(0, 1));
    w.commit(at(0)).unwrap();
    assert!(!w.set_recipients(Vec::new()), "encryption does not end in a running log");
    assert!(w.set_recipients(vec![after.recipient.clone()]));
    w.append(s, exec(1, 2));
    assert_eq!(w.commit(at(1)).unwrap().rotations, 1);
    w.close_session(s, EndReason::LastTask, 0, at(2).boot);
    w.stop(stop(2)).unwrap();

    let execs = |identities: &Identities| {
        let (report, entries) = read(dir.path(), identities);
        assert!(is_whole(report.verdict), "{report:#?}");
        assert!(report.sessions.iter().all(|s| s.completeness == "complete"));
        entries.iter().filter(|e| e.record.body.kind() == Kind::EXEC).count()
    };
    assert_eq!((execs(&before.identities), execs(&after.identities)), (1, 1));
    let mut both = Identities::default();
    both.add(format!("# both\n{}\n{}\n", before.text, after.text).as_bytes(), &mut || None).unwrap();
    assert_eq!(execs(&both), 2);
}

#[test]
fn the_cipher_that_is_named_is_used_for_every_segment_and_others_named_later_change_nothing_of_it() {
    for aead in [Aead::Aes256Gcm, Aead::ChaCha20Poly1305] {
        let dir = tempfile::tempdir().unwrap();
        let (before, after) = (reader(), reader());
        let encryption = Encryption::With(aead, vec![before.recipient.clone()]);
        let config = WriterConfig { encryption, ..config(dir.path(), 3072) };
        let mut w = Writer::open(config, RealDisk, Dice(4), boot(1), at(0)).unwrap().0;
        let s = w.open_session(session(1), at(0).boot);
        for n in 0..12 {
            if n == 6 {
                assert!(w.set_recipients(vec![after.recipient.clone()]));
            }
            w.append(s, exec(0, n));
            w.commit(at(0)).unwrap();
        }
        w.stop(stop(1)).unwrap();
        let files = segments(&log_dir(dir.path()));
        assert!(files.len() > 2);
        let mut seen = BTreeSet::new();
        for file in files {
            let mut walk = Walk::open(std::fs::File::open(file).unwrap()).unwrap().unwrap();
            loop {
                match walk.step().unwrap() {
                    Event::Leaf(found) if found.header.kind == FrameType::DATA => {
                        seen.insert(found.header.aead);
                    }
                    Event::Leaf(_) | Event::Sealed(_) => {}
                    Event::End | Event::Fault(_) => break,
                }
            }
        }
        assert_eq!(seen, BTreeSet::from([aead.code()]));
        let mut both = before.identities.clone();
        both.add(after.text.as_bytes(), &mut || None).unwrap();
        let (report, entries) = read(dir.path(), &both);
        assert!(is_whole(report.verdict), "{report:#?}");
        assert_eq!(entries.iter().filter(|e| e.record.body.kind() == Kind::EXEC).count(), 12);
    }
}

#[test]
fn a_storage_fault_begins_a_segment_with_a_key_of_its_own() {
    let disk = FakeDisk::default();
    let who = reader();
    let config = sealed(Path::new("/j"), &[&who], 1 << 20);
    let mut w = Writer::open(config, disk.clone(), Dice(9), boot(1), at(0)).unwrap().0;
    let s = w.open_session(session(1), at(0).boot);
    w.append(s, exec(0, 1));
    w.commit(at(0)).unwrap();
    disk.fail_at(disk.operations());
    w.append(s, exec(1, 2));
    w.append_sealed(&grant(1));
    assert_eq!(w.commit(at(1)).unwrap().restarts, 1);
    w.close_session(s, EndReason::LastTask, 0, at(2).boot);
    w.stop(stop(2)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    disk.after_power_cut(dir.path(), true, |_| true);
    let journal = dir.path().join("j");
    // The commitments differ by their leaves alone: the keys themselves have to.
    let secret: age::x25519::Identity = who.text.parse().unwrap();
    let keys: BTreeSet<Vec<u8>> = segments(&log_dir(&journal))
        .iter()
        .map(|p| Walk::open(std::fs::File::open(p).unwrap()).unwrap().unwrap().header.wrapped_key)
        .map(|wrapped| age::decrypt(&secret, &wrapped).unwrap())
        .collect();
    assert_eq!(keys.len(), 2);
    let (report, entries) = read(&journal, &who.identities);
    assert!(is_whole(report.verdict), "{report:#?}");
    assert_eq!(entries.iter().filter(|e| e.record.body.kind() == Kind::EXEC).count(), 2);
}

#[test]
fn a_changed_ciphertext_is_tampering_whoever_reads() {
    let dir = tempfile::tempdir().unwrap();
    let who = reader();
    write(&sealed(dir.path(), &[&who], 1 << 20));
    let file = segments(&log_dir(dir.path())).remove(0);
    let mut walk = Walk::open(std::fs::File::open(&file).unwrap()).unwrap().unwrap();
    let offset = loop {
        match walk.step().unwrap() {
            Event::Leaf(found) if found.header.aead != 0 => break found.offset,
            Event::End | Event::Fault(_) => panic!("no encrypted frame"),
            _ => {}
        }
    };
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[offset as usize + 112] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    for identities in [Identities::default(), who.identities] {
        assert_eq!(read(dir.path(), &identities).0.verdict, Verdict::Tampered);
    }
}

/// What somebody could do who wraps one key for one reader and another for another.
#[test]
fn a_key_that_the_header_does_not_commit_to_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let who = reader();
    write(&sealed(dir.path(), &[&who], 6000));
    let files = segments(&log_dir(dir.path()));
    let header = |n: usize| {
        let walk = Walk::open(std::fs::File::open(&files[n]).unwrap()).unwrap().unwrap();
        (walk.header, walk.first.header.leaf)
    };
    let ((first, leaf), (second, _)) = (header(0), header(1));
    assert!(matches!(who.identities.unwrap(&first, leaf), Unwrapped::Open(_)));
    let swapped = SegmentHeader { wrapped_key: second.wrapped_key.clone(), ..first.clone() };
    assert!(matches!(who.identities.unwrap(&swapped, leaf), Unwrapped::Wrong));
    assert!(matches!(who.identities.unwrap(&first, leaf + 1), Unwrapped::Wrong));
    assert!(matches!(reader().identities.unwrap(&first, leaf), Unwrapped::NotForUs));
    let cut = SegmentHeader { wrapped_key: first.wrapped_key[..90].to_vec(), ..first };
    assert!(matches!(who.identities.unwrap(&cut, leaf), Unwrapped::Wrong));
}

#[test]
fn passphrases_are_asked_for_where_one_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    for kind in ["ed25519", "rsa"] {
        let reader = ssh_reader(dir.path(), kind, "correct horse");
        assert!(!reader.identities.is_empty());
        let mut none = Identities::default();
        let wrong = none.add(reader.text.as_bytes(), &mut || Some(SecretString::from("wrong")));
        assert!(matches!(wrong, Err(IdentityError::Passphrase)), "{wrong:?}");
        let nobody = none.add(reader.text.as_bytes(), &mut || None);
        assert!(matches!(nobody, Err(IdentityError::NobodyToAsk)) && none.is_empty());
    }
    let key = age::x25519::Identity::generate();
    let text = key.to_string().expose_secret().to_owned();
    let mut recipient = age::scrypt::Recipient::new(SecretString::from("correct horse"));
    recipient.set_work_factor(10);
    let file = age::encrypt(&recipient, text.as_bytes()).unwrap();
    let mut identities = Identities::default();
    identities.add(&file, &mut || Some(SecretString::from("correct horse"))).unwrap();
    assert!(!identities.is_empty());
    let wrong = identities.add(&file, &mut || Some(SecretString::from("wrong")));
    assert!(matches!(wrong, Err(IdentityError::Passphrase)));
    assert!(matches!(identities.add(b"age1nothing", &mut || None), Err(IdentityError::Unknown)));
}
