//! Fixtures of encryption: both ciphers, the log's own sealed stream and its clear twins, keys that are not the right ones.

use std::path::Path;

use super::changes::j;
use super::forge::{Forger, Overheard, Site, frames};
use super::list::{Fixture, fixture};
use super::scenes::{READER, STRANGER, control};
use crate::common::*;
use recorder::journal::cipher::Aead;
use recorder::journal::{Encryption, RealDisk, Recipient, Writer};
use recorder::model::*;

type Pen = Writer<RealDisk, Overheard>;

fn recipient(secret: &str) -> Recipient {
    let key: age::x25519::Identity = secret.parse().unwrap();
    key.to_public().to_string().parse().unwrap()
}

/// Gives the fixture the key that its journals are sealed to.
pub(crate) fn reader_of(d: &Path) {
    std::fs::write(d.join("identity"), format!("# for these fixtures only\n{READER}\n")).unwrap();
}

pub(crate) fn sealed_to_reader() -> Encryption {
    Encryption::With(Aead::Aes256Gcm, vec![recipient(READER)])
}

fn sealed(d: &Path, aead: Aead, segment_bytes: u64) -> Forger {
    let mut f = Forger::new(&j(d), 1800, segment_bytes);
    f.encryption = Encryption::With(aead, vec![recipient(READER)]);
    f
}

/// The log's content, sealed, and its clear twin.
fn content(w: &mut Pen, seconds: u64, n: u32, (whole, twin): (bool, bool)) {
    let kept = Digest::new([7; 32]);
    let pair = match n % 3 {
        0 => {
            let whole = Grant {
                kind: Bytes::from("request"),
                person: Bytes::from("anna"),
                text: Bytes::from("active"),
                bytes: Bytes::from("version = 1\n"),
                ..Grant::default()
            };
            let twin = Grant { text: Bytes::from("active"), kept, ..Grant::default() };
            [Body::Grant(Box::new(whole)), Body::Grant(Box::new(twin))]
        }
        1 => {
            let whole = Login { account: Bytes::from("oncall1"), pid: n, ..Login::default() };
            let twin = Login { pid: n, kept, ..Login::default() };
            [Body::Login(Box::new(whole)), Body::Login(Box::new(twin))]
        }
        _ => {
            let whole = Token { person: Bytes::from("anna"), host: Bytes::from("web-1"), ..Token::default() };
            let twin = Token { kept, ..Token::default() };
            [Body::Token(Box::new(whole)), Body::Token(Box::new(twin))]
        }
    };
    let [body, clear] = pair.map(|body| control(seconds, body));
    if whole {
        assert!(w.append_sealed(&body));
    }
    if twin {
        w.append(StreamNo::LOG, Record { flags: Flags::LEFT_OUT, ..clear });
    }
}

/// A session and content of the log's own over several segments, and a stop.
pub(crate) fn sealed_life(d: &Path, aead: Aead) -> Forger {
    let mut f = sealed(d, aead, 3072);
    live(&mut f, 0);
    f
}

fn live(f: &mut Forger, now: u64) {
    let mut w = f.open(now);
    let s = w.open_session(session(1 + u8::from(now > 0)), at(now).boot);
    for n in 0..4 {
        w.append(s, exec(now, n));
        content(&mut w, now, n, (true, true));
        w.commit(at(now)).unwrap();
    }
    w.close_session(s, EndReason::LastTask, 0, at(now + 1).boot);
    w.stop(stop(now + 2)).unwrap();
}

/// One segment with content of the log's own: the third of four as told.
fn twins(d: &Path, third: (bool, bool)) {
    let mut w = sealed(d, Aead::Aes256Gcm, 16384).open(0);
    for n in 0..4 {
        content(&mut w, 1, n, if n == 2 { third } else { (true, true) });
        w.commit(at(1)).unwrap();
    }
    w.stop(stop(2)).unwrap();
    reader_of(d);
}

/// The header of the last segment, linked and sealed as if it were good.
fn last_header(d: &Path, change: fn(&mut Site<'_>)) {
    let f = sealed_life(d, Aead::Aes256Gcm);
    let last = f.files().len() - 1;
    f.forge(|s| {
        if s.file == last && s.kind() == 1 {
            change(s);
        }
    });
    reader_of(d);
}

/// One encrypted frame of a journal of one segment, linked and sealed as if it were good. A header is what the body is
/// bound to, so what changes a link leaves no body behind it that opens: the last one, where a key is given.
fn sealed_frame(d: &Path, place: fn(usize) -> usize, change: fn(&mut Site<'_>)) {
    let mut f = sealed(d, Aead::ChaCha20Poly1305, 16384);
    live(&mut f, 0);
    let bytes = std::fs::read(&f.files()[0]).unwrap();
    let all = frames(&bytes).into_iter().filter(|span| bytes[span.start + 5] == 2).count();
    let mut seen = 0;
    f.forge(|s| {
        if s.kind() == 2 {
            seen += 1;
            if seen == place(all) {
                change(s);
            }
        }
    });
}

/// Secrets that were taken out: the key of their hashes for the recipients, its twin for everybody, and what stands behind the record.
fn redacted(d: &Path) {
    let mut w = sealed(d, Aead::Aes256Gcm, 16384).open(0);
    let key =
        |bytes: &[u8]| control(1, Body::RedactionKey(Box::new(RedactionKey { key: Bytes::from(bytes) })));
    assert!(w.append_sealed(&key(&[0x4b; 32])));
    w.append(StreamNo::LOG, Record { flags: Flags::LEFT_OUT, ..key(b"") });
    let s = w.open_session(session(1), at(1).boot);
    let first = exec(2, 1);
    let argv = ["mysql", "-p[redacted]", "--token", "[redacted]"].map(Bytes::from).to_vec();
    let body = Body::Exec(Exec { path: Bytes::from("/usr/bin/mysql"), argv, ..Exec::default() });
    w.append(s, Record { flags: Flags::REDACTED, body, ..first.clone() });
    let place = |field, index, offset, hash| Redaction {
        field,
        index,
        offset,
        bytes: 7,
        rule: Bytes::from("option"),
        hash,
    };
    let hash = Some(Digest::new([0x5c; 32]));
    let places = vec![
        place(RedactedField::Argv, 1, 2, hash),
        place(RedactedField::Argv, 3, 0, None),
        place(RedactedField::Unknown(900), 0, 1 << 40, hash),
    ];
    w.append(s, Record { body: Body::Redacted(Box::new(Redacted { of: Kind::EXEC, places })), ..first });
    w.close_session(s, EndReason::LastTask, 0, at(3).boot);
    w.commit(at(3)).unwrap();
    w.stop(stop(4)).unwrap();
    reader_of(d);
}

/// A configuration that was read again: the whole for the recipients, which keys differ for everybody; and one that was refused.
fn config_read(d: &Path) {
    let mut w = sealed(d, Aead::ChaCha20Poly1305, 16384).open(0);
    let key = |key: &str, before: Option<&str>, after: Option<&[u8]>, takes| ConfigKey {
        key: Bytes::from(key),
        before: before.map(Bytes::from),
        after: after.map(Bytes::from),
        takes,
    };
    let taken = |bare: bool| ConfigChange {
        act: ConfigAct::Taken,
        before: Digest::new([1; 32]),
        after: Digest::new([2; 32]),
        keys: vec![
            key(
                "encryption.recipients",
                Some("a").filter(|_| !bare),
                Some(&b"a, b"[..]).filter(|_| !bare),
                Takes::NextSegment,
            ),
            key("journal.segment", None, Some(&b"\"1MiB\"\xff"[..]).filter(|_| !bare), Takes::Restart),
            key("new.key", None, None, Takes::Unknown(900)),
        ],
        text: Bytes::default(),
    };
    let refused = |text: &str| ConfigChange {
        act: ConfigAct::Refused,
        before: Digest::new([2; 32]),
        after: Digest::default(),
        keys: Vec::new(),
        text: Bytes::from(text),
    };
    for (seconds, whole, twin) in [(1, taken(false), taken(true)), (2, refused("no such file"), refused(""))]
    {
        let record = |change| control(seconds, Body::Config(Box::new(change)));
        assert!(w.append_sealed(&record(whole)));
        w.append(StreamNo::LOG, Record { flags: Flags::LEFT_OUT, ..record(twin) });
    }
    w.commit(at(3)).unwrap();
    w.stop(stop(4)).unwrap();
    reader_of(d);
}

/// Attempts on the recorder itself, by a session and by nobody's; the whole for the recipients, no names for everybody.
fn guarded(d: &Path) {
    let mut w = sealed(d, Aead::ChaCha20Poly1305, 16384).open(0);
    let of = |act, object, detail, path: &str, to: &str| Guard {
        act,
        object,
        denied: 1,
        detail,
        path: Bytes::from(path),
        to: Bytes::from(to),
        session: SessionId::new([5; 16]),
        by: TaskId { pid: 1003, start: BootNanos::new(7) },
        count: 1,
        first: at(1).boot,
        last: at(1).boot,
    };
    let nobody = Guard {
        session: SessionId::NOBODY,
        denied: 0,
        ..of(GuardAct::Limit, GuardObject::Process, 7, "", "")
    };
    let tried = [
        of(GuardAct::Signal, GuardObject::Process, 9, "", ""),
        of(GuardAct::Rename, GuardObject::Journal, 0, "/var/lib/recorder/journal/1.seg", "/root/\u{202e}x"),
        of(GuardAct::Map, GuardObject::Map, 12, "TASKS", ""),
        Guard { count: 1 << 40, by: TaskId { pid: 0, start: BootNanos::new(0) }, ..nobody.clone() },
        nobody,
        of(GuardAct::Unknown(900), GuardObject::Unknown(901), 3, "/x", ""),
    ];
    for (n, guard) in (1..).zip(tried) {
        let who = (guard.by.pid != 0).then(|| task(3));
        let record = |task, guard| Record { task, ..control(n, Body::Guard(Box::new(guard))) };
        let bare =
            who.as_deref().map(|task| std::sync::Arc::new(Task { comm: Bytes::default(), ..task.clone() }));
        let twin = guard.bare();
        assert!(w.append_sealed(&record(who, guard)));
        w.append(StreamNo::LOG, Record { flags: Flags::LEFT_OUT, ..record(bare, twin) });
    }
    w.commit(at(8)).unwrap();
    w.stop(stop(9)).unwrap();
    reader_of(d);
}

pub(crate) const FIXTURES: &[Fixture] = &[
    fixture("guard-attempts", "attempts on the recorder itself, and their twins without names", guarded),
    fixture("sealed-aes", "AES-256-GCM; grants, logins and tokens in the log's own stream", |d| {
        sealed_life(d, Aead::Aes256Gcm);
        reader_of(d);
    }),
    fixture("sealed-chacha", "ChaCha20-Poly1305; grants, logins and tokens in the log's own stream", |d| {
        sealed_life(d, Aead::ChaCha20Poly1305);
        reader_of(d);
    }),
    fixture("sealed-by-both", "a journal that went on on another machine: each frame says its cipher", |d| {
        let mut f = sealed_life(d, Aead::Aes256Gcm);
        f.encryption = Encryption::With(Aead::ChaCha20Poly1305, vec![recipient(READER)]);
        live(&mut f, 100);
        reader_of(d);
    }),
    fixture("sealed-shut", "without an identity all but content is vouched for, and twins are shown", |d| {
        sealed_life(d, Aead::ChaCha20Poly1305);
    }),
    fixture(
        "sealed-for-some",
        "an identity that opens some segments: the rest is another's, no finding",
        |d| {
            let mut f = sealed_life(d, Aead::Aes256Gcm);
            f.encryption = Encryption::With(Aead::Aes256Gcm, vec![recipient(STRANGER)]);
            live(&mut f, 100);
            reader_of(d);
        },
    ),
    fixture("sealed-for-two", "a key wrapped to two", |d| {
        let both = [STRANGER, READER].map(recipient).to_vec();
        let mut f = Forger::new(&j(d), 1900, 16384);
        f.encryption = Encryption::With(Aead::Aes256Gcm, both);
        live(&mut f, 0);
        reader_of(d);
    }),
    fixture(
        "config-read-again",
        "a configuration that was read while the recorder ran, and one that was refused",
        config_read,
    ),
    fixture("redacted", "secrets that were taken out, and the key of their hashes", redacted),
    fixture("twin-missing", "a sealed record without its twin", |d| twins(d, (true, false))),
    fixture(
        "twin-alone",
        "a twin whose whole record is not there: who opens the segment sees neither",
        |d| {
            twins(d, (false, true));
        },
    ),
    fixture("key-commitment", "a header that commits to another key", |d| {
        last_header(d, |s| s.bytes[112 + 240] ^= 1);
    }),
    fixture("key-damaged", "a wrapped key that is no whole age file", |d| {
        last_header(d, |s| {
            let last = s.bytes.len() - 65;
            s.bytes[last] ^= 1;
        });
    }),
    fixture("sealed-tag", "a body that fails its tag, linked and sealed as if it were good", |d| {
        sealed_frame(
            d,
            |all| all,
            |s| {
                let last = s.bytes.len() - 1;
                s.bytes[last] ^= 1;
            },
        );
        reader_of(d);
    }),
    fixture("sealed-aead-swapped", "a body under another cipher than its header says", |d| {
        sealed_frame(d, |all| all, |s| s.put(69, &[1]));
        reader_of(d);
    }),
    fixture("sealed-aead-unknown", "a cipher that is not known", |d| {
        sealed_frame(d, |_| 2, |s| s.put(69, &[3]));
    }),
    fixture("sealed-clear-frame", "a clear frame in an encrypted segment", |d| {
        sealed_frame(
            d,
            |_| 2,
            |s| {
                s.bytes[12] &= !4;
                s.put(69, &[0]);
            },
        );
    }),
    fixture("sealed-stream-number", "a frame of the log's own stream, out of number", |d| {
        sealed_frame(
            d,
            |_| 2,
            |s| {
                let stream = if s.bytes[24] == 0 { 5 } else { 7 };
                s.add(32, stream);
            },
        );
    }),
];
