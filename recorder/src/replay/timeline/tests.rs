use super::*;
use crate::index::fixture::{self as fx, Fixture};
use crate::model::{Body, Cut, CutField, Digest, FileOp, Fork, Relay, Socket, SocketOp, Tty, TtyOp};

fn story(f: &Fixture, all: bool) -> Story {
    let mut builder = Builder::new(fx::session_id(1), all);
    f.entries.iter().for_each(|entry| builder.see(entry));
    builder.finish()
}

fn lines(story: &Story) -> Vec<&str> {
    story
        .items
        .iter()
        .filter_map(|item| match &item.what {
            What::Line { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn programs_stand_under_their_parents_with_status_and_duration() {
    let mut f = Fixture::with_session();
    let (sudo, bash, sub, ls) = (
        fx::task(100, 90, "sudo"),
        fx::task(101, 100, "bash"),
        fx::task(102, 101, "bash"),
        fx::task(103, 102, "ls"),
    );
    f.of(1, Some(sudo.clone()), fx::exec("/usr/bin/sudo", &["sudo"]));
    f.of(1, Some(sudo), Body::Fork(Fork { child: bash.id }));
    f.of(1, Some(bash.clone()), fx::exec("/bin/bash", &["bash"]));
    // A subshell that starts no program itself adds no depth.
    f.of(1, Some(bash), Body::Fork(Fork { child: sub.id }));
    f.of(1, Some(sub), Body::Fork(Fork { child: ls.id }));
    f.of(1, Some(ls.clone()), fx::exec("/bin/ls", &["ls"]));
    f.wait_ms(99).of(1, Some(ls.clone()), Body::Exit(Exit { code: 2, ..Exit::default() }));
    // G4, B10: the same pid again is another process.
    f.of(1, Some(ls), Body::Exit(Exit { code: 3, ..Exit::default() }));
    let told = story(&f, false);
    let programs: Vec<_> = told
        .items
        .iter()
        .filter_map(|i| match &i.what {
            What::Exec { exec, ended, .. } => Some((exec.path.escaped(), i.depth, *ended)),
            _ => None,
        })
        .collect();
    let ended = Ended { exit: Exit { code: 2, ..Exit::default() }, after: 100_000_000 };
    assert_eq!(
        programs,
        [
            ("/usr/bin/sudo".to_owned(), 0, None),
            ("/bin/bash".to_owned(), 1, None),
            ("/bin/ls".to_owned(), 2, Some(ended)),
        ]
    );
    assert_eq!(told.hidden.processes, 4);
}

#[test]
fn g3_one_bad_write_is_seen_among_thousands_of_reads() {
    let mut f = Fixture::with_session();
    let t = || Some(fx::task(101, 100, "sh"));
    for n in 0..2000 {
        f.of(1, t(), fx::file(FileOp::Open, &format!("/usr/lib/{n}.so"), 0o2_000_000, 0));
        f.of(1, t(), fx::file(FileOp::Open, &format!("/usr/local/lib/{n}.so"), 0, -2));
        f.of(1, t(), fx::file(FileOp::Open, "/dev/null", 1, 0));
        let connect =
            |family| Body::Socket(SocketOp::Connect, Box::new(Socket { family, ..Socket::default() }));
        f.of(1, t(), connect(1));
        if n == 1234 {
            f.of(1, t(), connect(2));
            f.of(1, t(), fx::file(FileOp::Open, "/etc/sudoers", 1, 0));
            f.of(1, t(), fx::file(FileOp::Open, "/etc/shadow", 0, -13));
        }
    }
    for _ in 0..50 {
        f.of(1, t(), fx::file(FileOp::Open, "/var/log/x", 0o2001, 0));
    }
    let told = story(&f, false);
    let files: Vec<_> = told
        .items
        .iter()
        .filter_map(|i| match &i.what {
            What::File(_, file) => Some((file.path.escaped(), file.count)),
            _ => None,
        })
        .collect();
    assert_eq!(
        files,
        [("/etc/sudoers".to_owned(), 1), ("/etc/shadow".to_owned(), 1), ("/var/log/x".to_owned(), 50)]
    );
    assert_eq!((told.hidden.reads, told.hidden.lookups, told.hidden.devices), (2000, 2000, 2000));
    assert_eq!(told.hidden.sockets, 2000);
    assert_eq!(told.items.iter().filter(|i| matches!(i.what, What::Act(_))).count(), 1);
    assert_eq!(story(&f, true).items.len(), 1 + 8000 + 3 + 50);
}

#[test]
fn floods_of_lines_are_folded_and_counted() {
    let mut f = Fixture::with_session();
    f.show("# tail -f log\r\n");
    for n in 0..10_000 {
        f.show(&format!("line {n}\r\n"));
    }
    f.of(1, Some(fx::task(102, 101, "id")), fx::exec("/usr/bin/id", &["id"]));
    f.show("after\r\n");
    let told = story(&f, false);
    let shown = lines(&told);
    assert_eq!(
        (shown[0], shown[39], shown[40], *shown.last().unwrap()),
        ("# tail -f log", "line 38", "line 9990", "after")
    );
    assert_eq!(told.hidden.lines, 10_001 - 50);
    let folded = told.items.iter().position(|i| i.what == What::Folded { tty: 1, lines: 9951 }).unwrap();
    let id = told.items.iter().position(|i| matches!(i.what, What::Exec { .. })).unwrap();
    assert_eq!(id, folded + 11);
    assert_eq!(lines(&story(&f, true)).len(), 10_002);
}

#[test]
fn what_a_relay_copied_is_shown_where_it_stands_and_told_once() {
    let mut f = Fixture::with_session();
    let relay = Some(Relay { no: 1, from: 0 });
    let cut = Cut { field: CutField::Tty, bytes: 7, sha256: Some(Digest::new([7; 32])), relay };
    let tty = Tty { no: 2, cut: Some(cut), ..Tty::default() };
    f.show("shown\r\n");
    // It was not yet known that it is copied.
    f.of(1, None, fx::tty(TtyOp::Output, 2, b"sho", (80, 24)));
    for op in [TtyOp::Output, TtyOp::Input, TtyOp::Output] {
        f.of(1, None, Body::Tty(op, tty.clone()));
    }
    f.of(1, None, fx::end());
    let relayed = |story: &Story| {
        let of = |item: &&Item| item.what == What::Relayed { tty: 2, to: 1, bytes: 7 };
        story.items.iter().filter(of).count()
    };
    let told = story(&f, false);
    assert_eq!((lines(&told), relayed(&told), told.hidden.terminal), (vec!["shown"], 1, 2));
    assert_eq!(relayed(&story(&f, true)), 3);
}

#[test]
fn lines_of_a_pipe_begin_at_the_left_edge() {
    for (name, second) in [("stdout", "7"), ("stderr", "7"), ("pts/3", "     7")] {
        let mut f = Fixture::with_session();
        let data = crate::model::Bytes::from("uid=0\n7\n");
        let tty = Tty { name: name.into(), no: 1, data, ..Tty::default() };
        f.of(1, None, Body::Tty(TtyOp::Output, tty));
        f.of(1, None, fx::end());
        assert_eq!(lines(&story(&f, false)), ["uid=0", second], "{name}");
    }
}

#[test]
fn losses_stand_where_they_happened_and_only_there() {
    let mut f = Fixture::new();
    f.control(fx::boot()).control(fx::loss("exec", 1));
    f.of(1, None, fx::start(1)).show("a\r\n").control(fx::loss("file", 8)).show("b\r\n");
    f.of(1, None, fx::end()).control(fx::loss("tty", 2));
    let told = story(&f, false);
    let kinds: Vec<_> = told
        .items
        .iter()
        .map(|i| match &i.what {
            What::Line { text, .. } => text.as_str(),
            What::Loss(loss) if loss.count == 8 => "loss",
            What::Start(_) => "start",
            What::End(_) => "end",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["start", "a", "loss", "b", "end"]);
}

#[test]
fn a_session_without_an_end_shows_its_unfinished_line_and_the_gap() {
    let mut f = Fixture::with_session();
    f.show("# rm -rf /").control(fx::boot());
    let told = story(&f, false);
    assert!(matches!(told.items[1].what, What::Gap(_)));
    assert_eq!(lines(&told), ["# rm -rf /"]);
}

#[test]
fn full_screen_programs_take_one_line() {
    let mut f = Fixture::with_session();
    f.of(1, None, fx::tty(TtyOp::Resize, 1, b"", (80, 24)));
    f.show("# vi\r\n").show("\x1b[?1049h");
    for _ in 0..500 {
        f.show("~\r\n");
    }
    f.show("\x1b[?1049l# ").of(1, None, fx::end());
    let told = story(&f, false);
    assert_eq!(lines(&told), ["# vi", "#"]);
    assert!(
        told.items.iter().any(|i| matches!(i.what, What::FullScreen { nanos: 501_000_000, .. })),
        "{told:?}"
    );
}

/// A shell that a person types into runs apt, which runs dpkg; items as they are folded.
fn installed() -> Fixture {
    let mut f = Fixture::with_session();
    let (bash, apt, dpkg) =
        (fx::task(101, 100, "bash"), fx::task(102, 101, "apt-get"), fx::task(103, 102, "dpkg"));
    f.of(1, Some(bash.clone()), fx::exec("/bin/bash", &["bash"]));
    f.of(1, Some(bash.clone()), Body::Fork(Fork { child: apt.id }));
    f.of(1, Some(apt.clone()), fx::exec("/usr/bin/apt-get", &["apt-get", "install", "make"]));
    for n in 0..9 {
        let ask = fx::task(200 + n, 102, "dpkg");
        f.of(1, Some(apt.clone()), Body::Fork(Fork { child: ask.id }));
        f.of(1, Some(ask.clone()), fx::exec("/usr/bin/dpkg", &["dpkg", "--print-foreign-architectures"]));
        f.of(1, Some(ask), Body::Exit(Exit::default()));
    }
    f.of(1, Some(apt), Body::Fork(Fork { child: dpkg.id }));
    f.of(1, Some(dpkg.clone()), fx::exec("/usr/bin/dpkg", &["dpkg", "--unpack"]));
    for n in 0..20 {
        let (new, path) = (format!("/usr/bin/{n}.dpkg-new"), format!("/usr/bin/{n}"));
        f.of(1, Some(dpkg.clone()), fx::file(FileOp::Create, &new, 1, 0));
        let Body::File(op, file) = fx::file(FileOp::Rename, &new, 0, 0) else { panic!() };
        let to = Some(crate::model::Bytes::from(path.as_str()));
        f.of(1, Some(dpkg.clone()), Body::File(op, crate::model::File { to, ..file }));
    }
    f
}

fn told<'a>(fold: &'a Fold<'_>) -> Vec<(u16, &'a Told<'a>)> {
    fold.lines.iter().map(|line| (line.depth, &line.told)).collect()
}

#[test]
fn what_a_program_does_to_many_files_is_one_line_below_it() {
    let story = story(&installed(), false);
    let fold = fold(&story);
    let told = told(&fold);
    assert_eq!(told.len(), 6, "{told:#?}");
    assert!(matches!(told[4], (2, Told::Item { item: Item { what: What::Exec { .. }, .. }, times: 1, .. })));
    assert!(matches!(told[3], (2, Told::Item { times: 9, .. })));
    let (3, Told::Acts(acts)) = told[5] else { panic!("{told:#?}") };
    assert_eq!(acts.kinds, [("create", 20), ("rename", 20)]);
    assert_eq!(acts.places, [("/usr/bin".into(), 40)]);
    assert_eq!(fold.folded, 8 + 39);
    assert_eq!(story.items.len(), 6 + 8 + 39, "the items stay");
}

#[test]
fn g3_what_stands_out_among_many_acts_has_its_own_line() {
    let mut f = installed();
    let dpkg = || Some(fx::task(103, 102, "dpkg"));
    let odd = [
        fx::file(FileOp::Open, "/etc/sudoers", 1, 0),
        fx::file(FileOp::Create, "/root/.ssh/authorized_keys", 1, 0),
        fx::file(FileOp::Open, "/usr/bin/x", 1, -13),
        fx::file(FileOp::Create, "/dev/shm/x", 1, 0),
        fx::file(FileOp::Write, "/srv/handed", 1, 0),
        Body::Setattr(
            crate::model::SetattrOp::Chmod,
            Box::new(crate::model::Setattr {
                path: "/usr/bin/y".into(),
                mode: Some(0o4755),
                ..crate::model::Setattr::default()
            }),
        ),
    ];
    // Something of its own, made and put over a file that matters.
    f.of(1, dpkg(), fx::file(FileOp::Create, "/tmp/new", 1, 0));
    let Body::File(op, file) = fx::file(FileOp::Rename, "/tmp/new", 0, 0) else { panic!() };
    let over = crate::model::File { to: Some("/etc/passwd".into()), ..file };
    let count = odd.len() + 1;
    for body in odd.into_iter().chain([Body::File(op, over)]) {
        f.of(1, dpkg(), body);
    }
    // What it made there and took away again does not.
    f.of(1, dpkg(), fx::file(FileOp::Create, "/etc/x.swp", 1, 0));
    f.of(1, dpkg(), fx::file(FileOp::Unlink, "/etc/x.swp", 0, 0));
    let story = story(&f, false);
    let fold = fold(&story);
    assert_eq!(told(&fold).len(), 6 + count, "{:#?}", told(&fold));
}

#[test]
fn what_a_person_types_is_never_folded_and_what_fails_is_not() {
    let mut f = Fixture::with_session();
    let (bash, make) = (fx::task(101, 100, "bash"), fx::task(102, 101, "make"));
    f.of(1, Some(bash.clone()), fx::exec("/bin/bash", &["-bash"]));
    let runs = |f: &mut Fixture, by: &std::sync::Arc<crate::model::Task>, n: u32, argv: &[&str], code| {
        let task = fx::task(n, by.id.pid, "x");
        f.of(1, Some(by.clone()), Body::Fork(Fork { child: task.id }));
        f.of(1, Some(task.clone()), fx::exec("/usr/bin/cc", argv));
        f.of(1, Some(task), Body::Exit(Exit { code, ..Exit::default() }));
    };
    for n in 0..10 {
        runs(&mut f, &bash, 200 + n, &["cc"], 0);
    }
    f.of(1, Some(bash), Body::Fork(Fork { child: make.id }));
    f.of(1, Some(make.clone()), fx::exec("/usr/bin/make", &["make"]));
    for n in 0..20 {
        runs(&mut f, &make, 300 + n, &["cc", &n.to_string()], u8::from(n == 15));
    }
    let story = story(&f, false);
    let fold = fold(&story);
    let told = told(&fold);
    // The start, the shell, ten typed lines, make, three of its programs, the others as one line, and the one that failed.
    assert_eq!(told.len(), 2 + 10 + 1 + 3 + 1 + 1, "{told:#?}");
    assert!(told.iter().any(|(_, told)| matches!(told, Told::Runs { count: 16, below: 0, .. })), "{told:#?}");
}

#[test]
fn steps_of_credentials_are_one_line_and_what_leads_nowhere_is_none() {
    let ids = |euid| crate::model::Ids { euid, ..crate::model::Ids::default() };
    let step = |old, new| Body::Cred(Box::new(Cred { old: ids(old), new: ids(new), ..Cred::default() }));
    let lines = |steps: &[(u32, u32)]| {
        let mut f = Fixture::with_session();
        for (old, new) in steps {
            f.of(1, Some(fx::task(101, 100, "sudo")), step(*old, *new));
        }
        let story = story(&f, false);
        fold(&story).lines.len() - 1
    };
    assert_eq!(lines(&[(0, 1), (1, 0)]), 0);
    assert_eq!(lines(&[(0, 1), (1, 0), (0, 5)]), 1);
    assert_eq!(lines(&[(1000, 0), (0, 1000)]), 1, "he was root on the way");
}

#[test]
fn files_that_mean_nothing_by_themselves_are_told_together() {
    use crate::model::{Changed, Class};
    let mut f = Fixture::with_session();
    let mut left = |path: &str, class| {
        let changed = Changed { path: path.into(), class, count: 1, ..Changed::default() };
        f.of(1, Some(fx::task(101, 100, "x")), Body::Changed(Box::new(changed)));
    };
    for path in ["/usr/bin/a", "/usr/bin/b", "/srv/c"] {
        left(path, Class::None);
    }
    left("/usr/bin/d", Class::Setuid);
    left("/etc/e", Class::None);
    let story = story(&f, false);
    let fold = fold(&story);
    assert_eq!(fold.lines.len(), 1 + 1 + 2);
    let Told::Files(places) = &fold.lines[1].told else { panic!("{fold:#?}") };
    assert_eq!(
        *places,
        [("/usr/bin".into(), vec!["a".into(), "b".into()]), ("/srv".into(), vec!["c".into()])]
    );
}
