//! A11, G1, G2, F7 as a law: whatever a recorded person puts into a record, nothing that a terminal obeys comes out.

use proptest::prelude::*;

use super::args::Format;
use super::events::Wanted;
use super::tests::{events, replay, run, source, timeline};
use crate::index::fixture::{self as fx, Fixture};
use crate::model::{Body, Bytes, Changed, Diff, Digested, Exit, Fork, Kind, TtyOp};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..24),
        "[\\PC\\x00-\\x1f\u{202a}-\u{202e}\u{200b}\u{9b}]{0,12}".prop_map(String::into_bytes),
        "(\x1b\\[[0-9;?]{0,6}[@-z])?[ -~]{0,20}(\r\n)?".prop_map(String::into_bytes),
    ]
}

/// A record with the bytes wherever a person can put some.
fn record(f: &mut Fixture, pick: u8, raw: &[u8], n: u16) {
    let text = || Bytes::from(raw);
    let pid = 100 + u32::from(n % 5);
    let mut task = (*fx::task(pid, 100 + u32::from(n % 3), "x")).clone();
    task.comm = text();
    let mut body = match pick % 16 {
        12 => Body::Setattr(crate::model::SetattrOp::Chown, Box::default()),
        13 => Body::Xattr(Box::default()),
        14 => Body::Call(crate::model::CallOp::Mount, Box::default()),
        15 => Body::Socket(crate::model::SocketOp::Bind, Box::default()),
        0 => fx::exec("", &[]),
        1 => fx::file(crate::model::FileOp::Create, "", 0o1101, i32::from(n) - 100),
        2 | 3 => fx::tty(TtyOp::Output, 1 + u32::from(n % 2), raw, (80, 24)),
        4 => fx::tty(TtyOp::Resize, 1, b"", (n % 300, n % 90)),
        5 => fx::loss("", u64::from(n)),
        6 => fx::start(1),
        7 => Body::Unknown { kind: Kind::new(n), bytes: raw.to_vec() },
        9 => Body::Digest(Box::new(Digested { count: u64::from(n % 2), ..Digested::default() })),
        10 => Body::Changed(Box::new(Changed { acts: n, count: 1, ..Changed::default() })),
        8 => Body::Exit(Exit { code: 1, signal: 0, core: 0 }),
        _ => Body::Fork(Fork { child: fx::task(pid + 1, pid, "y").id }),
    };
    match &mut body {
        Body::Exec(exec) => (exec.path, exec.argv, exec.cwd) = (text(), vec![text(), text()], text()),
        Body::File(_, file) => (file.path, file.to) = (text(), Some(text())),
        Body::Setattr(_, set) => set.path = text(),
        Body::Xattr(set) => (set.path, set.name, set.value) = (text(), text(), Some(text())),
        Body::Call(_, call) => (call.name, call.args) = (text(), vec![(text(), text())]),
        Body::Socket(_, socket) => (socket.local, socket.remote) = (text(), text()),
        Body::Tty(_, tty) => tty.name = text(),
        Body::Digest(digest) => digest.path = text(),
        Body::Changed(changed) => {
            (changed.path, changed.other, changed.link) =
                (text(), Some(text()), n.is_multiple_of(3).then(text));
            changed.diff = Some(Diff { text: text(), bytes: 9 });
        }
        Body::Loss(loss) => (loss.class, loss.ring) = (text(), text()),
        Body::SessionStart(start) => {
            (start.login.user, start.login.tty, start.login.remote) = (text(), text(), text());
            start.elevation.path = text();
        }
        _ => {}
    }
    if matches!(body, Body::Loss(_)) {
        f.control(body);
    } else {
        f.of(1, Some(task.into()), body);
    }
}

fn is_hostile(c: char) -> bool {
    c != '\n'
        && (c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn nothing_that_a_terminal_obeys_is_ever_printed(
        records in proptest::collection::vec((any::<u8>(), bytes(), any::<u16>()), 1..25)
    ) {
        crate::replay::quiet_contained_panics();
        let mut f = Fixture::new();
        f.control(fx::boot());
        f.of(1, None, fx::tty(TtyOp::Resize, 1, b"", (80, 24)));
        for (pick, raw, n) in &records {
            record(&mut f, *pick, raw, *n);
        }
        let mut all = vec![replay(&f, ""), replay(&f, "--final"), replay(&f, "--final --format json")];
        for format in [Format::Table, Format::Json, Format::Ndjson] {
            all.push(events(&f, None, &Wanted::default(), format));
            all.push(run(|io| super::sessions::list(source(&f), format, io)));
            all.push(timeline(&f, true, format));
            all.push(timeline(&f, false, format));
        }
        for ran in all {
            prop_assert_eq!((ran.code, ran.err.as_str()), (0, ""));
            prop_assert!(!ran.out.contains(is_hostile), "{:?}", ran.out);
        }
        let lines = events(&f, None, &Wanted::default(), Format::Ndjson).out;
        prop_assert_eq!(lines.lines().count(), f.entries.len());
        for line in lines.lines() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(line).is_ok());
        }
    }
}
