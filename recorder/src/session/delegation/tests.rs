use std::{cell::RefCell, collections::HashMap, sync::Arc};

use super::dbus::tests::{message, strings};
use super::*;
use crate::model::{File, FileOp, Flags, Request, RequestWhat, Task};

#[derive(Default)]
struct Host(RefCell<HashMap<Vec<u8>, Vec<u8>>>);

impl Files for Host {
    fn read(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.0.borrow().get(path).cloned()
    }

    fn alias(&self, unit: &str) -> Option<String> {
        (unit == "httpd.service").then(|| "apache2.service".to_owned())
    }

    fn container(&self, _: &str) -> Option<Container> {
        None
    }
}

pub(super) struct Bench {
    pub(super) rules: Handover,
    host: Host,
    pub(super) now: u64,
    pub(super) let_go: Vec<Dropped>,
}

pub(super) const SESSION: u64 = 5;

impl Bench {
    pub(super) fn new() -> Self {
        Self { rules: Handover::new(true), host: Host::default(), now: 1, let_go: Vec::new() }
    }

    /// Time goes by; what is decided then.
    pub(super) fn wait(&mut self, ns: u64) -> Vec<Act> {
        self.now += ns;
        let mut out = Vec::new();
        self.rules.tick(BootNanos::new(self.now), &self.host, &mut out, &mut self.let_go);
        acts(out)
    }

    pub(super) fn event(&mut self, mark: u64, pid: u32, comm: &str, act: Act) -> Vec<Act> {
        self.event_as(0, mark, pid, comm, act)
    }

    pub(super) fn event_as(&mut self, euid: u32, mark: u64, pid: u32, comm: &str, act: Act) -> Vec<Act> {
        self.now += 1_000_000;
        let at = BootNanos::new(self.now);
        let id = TaskId { pid, start: BootNanos::new(7) };
        let task = Arc::new(Task { id, tid: pid, comm: comm.into(), euid, ..Task::default() });
        let event = KernelEvent {
            boot_ns: at,
            cpu: 0,
            mark: Mark::new(mark),
            flags: Flags::default(),
            task,
            place: Place::default(),
            act,
        };
        let mut out = Vec::new();
        self.rules.step(Captured::Event(Box::new(event)), &self.host, &mut out, &mut self.let_go);
        acts(out)
    }

    fn send(&mut self, bytes: Vec<u8>) -> Vec<Act> {
        self.send_of(SESSION, bytes)
    }

    fn send_of(&mut self, mark: u64, bytes: Vec<u8>) -> Vec<Act> {
        self.send_late(mark, RequestWhat::Send, None, bytes)
    }

    /// It was on its way since then when it was told of.
    pub(super) fn send_late(
        &mut self,
        mark: u64,
        what: RequestWhat,
        since: Option<u64>,
        bytes: Vec<u8>,
    ) -> Vec<Act> {
        let request = Request {
            what,
            since: since.map(BootNanos::new),
            connection: mark,
            peer: 1,
            to: "/run/systemd/private".into(),
            bytes: Bytes::new(bytes),
            missing: 0,
        };
        self.event(mark, 100, "systemctl", Act::Request(request))
    }

    pub(super) fn branch(
        &mut self,
        mark: u64,
        cause: BranchCause,
        parent: Option<u64>,
        path: &str,
        comm: &str,
    ) -> Vec<Act> {
        self.event(mark, 1, comm, branch(mark, cause, parent, path))
    }

    pub(super) fn exec(&mut self, mark: u64, pid: u32, argv: &[&str]) -> Vec<Act> {
        let argv = argv.iter().map(|arg| Bytes::from(*arg)).collect();
        self.event(
            mark,
            pid,
            "x",
            Act::Exec(Exec { path: "/bin/sh".into(), argv, ino: 3, ..Exec::default() }),
        )
    }
}

pub(super) fn branch(mark: u64, cause: BranchCause, parent: Option<u64>, path: &str) -> Act {
    Act::Branch(Branch {
        cause,
        is_ahead: false,
        parent: parent.map(Mark::new),
        object: mark,
        device: (0, 0),
        dev: 0,
        generation: 1,
        path: path.into(),
    })
}

fn acts(out: Vec<Captured>) -> Vec<Act> {
    let acts = out.into_iter().map(|item| match item {
        Captured::Event(event) => event.act,
        Captured::Lost(loss) => panic!("{loss:?}"),
    });
    acts.collect()
}

pub(super) fn handed(acts: &[Act]) -> &Handed {
    match acts.first() {
        Some(Act::Handed(handed)) => handed,
        other => panic!("{other:?}"),
    }
}

fn asks(member: &str, unit: &str) -> Vec<u8> {
    let mut all = b"\0AUTH\r\nBEGIN\r\n".to_vec();
    all.extend(message("", member, "ss", &strings(&[unit, "replace"])));
    all
}

pub(super) fn start(unit: &str) -> Vec<u8> {
    asks("StartTransientUnit", unit)
}

#[test]
fn a_unit_that_was_asked_for_is_the_askers() {
    let mut b = Bench::new();
    let asked = b.send(start("work.service"));
    assert!(
        matches!(&asked[..], [Act::Asked(a)] if a.what.as_slice() == b"StartTransientUnit work.service"),
        "{asked:?}"
    );
    let acts = b.branch(70, BranchCause::Unit, Some(SESSION), "/system.slice/work.service", "systemd");
    let handed = handed(&acts);
    assert_eq!(
        (handed.from, handed.trigger, handed.confidence),
        (Some(Mark::new(SESSION)), Trigger::Unit, Confidence::Certain)
    );
    // From here on it is like any session's.
    assert!(matches!(&b.exec(70, 300, &["sh"])[..], [Act::Exec(_)]));
    assert_eq!(b.let_go, []);
}

#[test]
fn a_unit_that_nobody_asked_for_is_let_go_with_all_that_it_starts() {
    let mut b = Bench::new();
    b.send(start("work.service"));
    assert_eq!(b.branch(70, BranchCause::Unit, Some(SESSION), "/system.slice/other.service", "systemd"), []);
    assert_eq!(b.let_go.pop().map(|d| (d.mark, d.cgroup)), Some((Mark::new(70), Some(70))));
    assert_eq!(b.exec(70, 300, &["sh"]), []);
    assert_eq!(
        b.let_go.pop().map(|d| d.tasks.len()),
        Some(1),
        "what was marked meanwhile is told to be forgotten"
    );
}

#[test]
fn a_unit_of_the_host_is_told_and_not_followed_unless_he_wrote_it() {
    let mut b = Bench::new();
    b.send(asks("RestartUnit", "nginx.service"));
    let acts = b.branch(70, BranchCause::Unit, Some(SESSION), "/system.slice/nginx.service", "systemd");
    assert!(matches!(&acts[..], [Act::Asked(a)] if a.role == DelegationRole::To), "{acts:?}");
    assert_eq!(b.let_go.pop().map(|d| d.cgroup), Some(Some(70)));
    assert_eq!(b.rules.standing_until(BootNanos::new(b.now)), None);
    let file =
        File { path: "/etc/systemd/system/nginx.service.d/x.conf".into(), flags: 0o1101, ..File::default() };
    b.event(SESSION, 100, "vi", Act::File(FileOp::Create, file));
    b.send(message("", "RestartUnit", "ss", &strings(&["nginx.service", "replace"])));
    let acts = b.branch(71, BranchCause::Unit, Some(SESSION), "/system.slice/nginx.service", "systemd");
    assert_eq!(handed(&acts).trigger, Trigger::Unit);
    // It starts again when nobody asks.
    b.now += 3 * UNITS_NS;
    assert!(b.rules.standing_until(BootNanos::new(b.now)).is_some());
    let acts = b.branch(72, BranchCause::Unit, None, "/system.slice/nginx.service", "systemd");
    assert_eq!((handed(&acts).trigger, handed(&acts).from), (Trigger::Plant, Some(Mark::new(SESSION))));
    // Or when another one asks, who knows nothing of it.
    b.send_of(SESSION + 1, asks("RestartUnit", "nginx.service"));
    let acts = b.branch(73, BranchCause::Unit, Some(SESSION + 1), "/system.slice/nginx.service", "systemd");
    assert_eq!((handed(&acts).trigger, handed(&acts).from), (Trigger::Plant, Some(Mark::new(SESSION))));
}

#[test]
fn a_program_of_a_package_is_told_once_and_looked_at_no_more() {
    let mut b = Bench::new();
    b.event(SESSION, 100, "dpkg", Act::Exec(Exec { path: "/usr/bin/dpkg".into(), ..Exec::default() }));
    let file = File { path: "/bin/bash".into(), flags: 0o1101, ino: 3, ..File::default() };
    b.event(SESSION, 100, "dpkg", Act::File(FileOp::Create, file));
    b.branch(70, BranchCause::Plant, Some(SESSION), "", "sshd");
    assert!(matches!(&b.exec(70, 300, &["bash"])[..], [Act::Asked(_)]));
    assert_eq!(b.let_go.pop().and_then(|d| d.plant), Some((70, 0, 1)));
}

/// A message to the system's manager that could not be read.
fn opaque() -> Act {
    Act::Request(Request {
        what: RequestWhat::Opaque,
        since: None,
        connection: 9,
        peer: 1,
        to: "/run/systemd/private".into(),
        bytes: Bytes::default(),
        missing: 0,
    })
}

/// A descriptor of that file, handed to process 40 at that socket.
fn passes(to: &str, path: &str, what: RequestWhat) -> Act {
    Act::Request(Request {
        what,
        since: None,
        connection: 9,
        peer: 40,
        to: to.into(),
        bytes: path.into(),
        missing: 0,
    })
}

#[test]
fn a_terminal_that_is_handed_over_makes_company_and_other_descriptors_are_told() {
    let mut b = Bench::new();
    let mut acts = |mark, act| b.event(mark, 100, "tmux: client", act);
    for mark in [SESSION, 0] {
        let shared = acts(mark, passes("/tmp/tmux-0/default", "/dev/tty", RequestWhat::Terminal));
        assert!(matches!(&shared[..], [Act::Shared(s)] if s.server == 40), "{shared:?}");
    }
    // systemd-run --pipe hands its terminal to the manager.
    assert_eq!(acts(SESSION, passes("/run/systemd/private", "/dev/pts/3", RequestWhat::Terminal)).len(), 0);
    let one = RequestWhat::Passed { which: 0, of: 1 };
    let told = acts(SESSION, passes("/run/x", "/etc/shadow", one));
    assert!(
        matches!(&told[..], [Act::Asked(d)] if d.trigger == Trigger::Descriptor && d.what.as_slice() == b"/etc/shadow"),
        "{told:?}"
    );
    assert_eq!(acts(SESSION, passes("/run/x", "/etc/shadow", one)).len(), 0, "told once");
    assert_eq!(acts(0, passes("/run/x", "/etc/shadow", one)).len(), 0, "nobody's who is recorded");
    let many = acts(SESSION, passes("/run/x", "/etc/group", RequestWhat::Passed { which: 3, of: 20 }));
    assert!(
        matches!(&many[..], [Act::Asked(d)] if d.what.as_slice() == b"/etc/group and 16 more"),
        "{many:?}"
    );
}

#[test]
fn an_alias_is_the_unit_itself() {
    let mut b = Bench::new();
    b.send(start("httpd.service"));
    let acts = b.branch(70, BranchCause::Unit, Some(SESSION), "/system.slice/apache2.service", "systemd");
    assert_eq!(handed(&acts).confidence, Confidence::Certain);
}

#[test]
fn what_could_not_be_read_is_likely_his() {
    let mut b = Bench::new();
    assert_eq!(b.event(SESSION, 100, "x", opaque()).len(), 1);
    assert_eq!(b.event(SESSION, 100, "x", opaque()).len(), 0, "it is said once");
    let acts = b.branch(70, BranchCause::Unit, Some(SESSION), "/system.slice/some.service", "systemd");
    assert_eq!(handed(&acts).confidence, Confidence::Likely);
    b.now += 6_000_000_000;
    assert_eq!(b.branch(71, BranchCause::Unit, Some(SESSION), "/system.slice/next.service", "systemd"), []);
}

#[test]
fn what_he_says_that_he_sent_is_certain_by_its_name_and_anything_else_may_be_his() {
    let mut b = Bench::new();
    let request = |bytes| Request {
        what: RequestWhat::Retold,
        since: None,
        connection: 9,
        peer: 1,
        to: "/run/systemd/private".into(),
        bytes: Bytes::new(bytes),
        missing: 0,
    };
    b.event(SESSION, 100, "x", Act::Request(request(start("named.service"))));
    let acts = b.branch(70, BranchCause::Unit, Some(SESSION), "/system.slice/named.service", "systemd");
    assert_eq!(handed(&acts).confidence, Confidence::Certain);
    // It was another name when it was sent.
    let acts = b.branch(71, BranchCause::Unit, Some(SESSION), "/system.slice/other.service", "systemd");
    assert_eq!(handed(&acts).confidence, Confidence::Likely);
}

#[test]
fn questions_are_no_requests() {
    let mut b = Bench::new();
    let mut all = b"\0BEGIN\r\n".to_vec();
    for member in ["GetUnit", "ListUnits", "Subscribe", "LoadUnit", "GetAll"] {
        all.extend(message("org.freedesktop.systemd1", member, "s", &strings(&["a.service"])));
    }
    assert_eq!(b.send(all), []);
    let reboot = message("org.freedesktop.login1", "Reboot", "", &[]);
    assert!(
        matches!(&b.send(reboot)[..], [Act::Asked(a)] if a.trigger == Trigger::Unit || a.trigger == Trigger::Bus)
    );
}

#[test]
fn a_job_is_whose_line_it_is() {
    let mut b = Bench::new();
    let table = "/etc/cron.d/x";
    b.host.0.borrow_mut().insert(table.into(), b"* * * * * root touch /x\n".to_vec());
    let file = File { path: table.into(), flags: 0o1101, ..File::default() };
    assert_eq!(b.event(SESSION, 100, "sh", Act::File(FileOp::Create, file)).len(), 1);
    assert_eq!(b.branch(70, BranchCause::Job, None, "", "cron"), []);
    let child = TaskId { pid: 301, start: BootNanos::new(9) };
    assert_eq!(b.event(70, 300, "cron", Act::Fork(child)), [], "it waits");
    let acts = b.exec(70, 301, &["/bin/sh", "-c", "touch /x"]);
    assert_eq!((handed(&acts).from, handed(&acts).trigger), (Some(Mark::new(SESSION)), Trigger::Cron));
    assert!(matches!(&acts[1..], [Act::Fork(_), Act::Exec(_)]), "what waited comes behind: {acts:?}");
    // Another line of the same daemon is the host's own.
    b.branch(71, BranchCause::Job, None, "", "cron");
    assert_eq!(handed(&b.exec(71, 302, &["/bin/sh", "-c", "other"])).from, None);
}

/// A session has the host's cron restarted: the daemon is looked at for a moment, and what it starts in that moment is a job like any
/// other. A daemon that the session runs itself has jobs of the session's alone.
#[test]
fn a_job_of_a_daemon_that_is_looked_at_is_judged_by_itself() {
    let mut b = Bench::new();
    b.branch(60, BranchCause::Unit, Some(SESSION), "/system.slice/cron.service", "systemd");
    assert_eq!(b.let_go.len(), 1, "the daemon is nobody's");
    b.branch(70, BranchCause::Job, Some(60), "", "cron");
    assert_eq!(handed(&b.exec(70, 301, &["/bin/sh", "-c", "hourly"])).from, None);
    b.branch(71, BranchCause::Job, Some(61), "", "cron");
    assert_eq!(handed(&b.exec(71, 302, &["/bin/sh", "-c", "hourly"])).from, Some(Mark::new(61)));
}

#[test]
fn a_job_of_at_is_whose_spool_file_it_reads() {
    let mut b = Bench::new();
    let file = File {
        path: "/var/spool/cron/atjobs/a1".into(),
        flags: 0o1101,
        dev: (8, 1),
        ino: 4,
        ..File::default()
    };
    b.event(SESSION, 100, "at", Act::File(FileOp::Create, file));
    for (mark, ino, whose) in [(70, 4, Some(Mark::new(SESSION))), (71, 5, None)] {
        b.branch(mark, BranchCause::Job, None, "", "atd");
        // While the job runs its file has `=` for a first letter.
        let path = "/var/spool/cron/atjobs/=1".into();
        assert_eq!(b.event(mark, 300, "atd", Act::Stdin { dev: (8, 1), ino, path }), []);
        assert_eq!(handed(&b.exec(mark, 300, &["sh"])).from, whose);
    }
}

#[test]
fn jobs_of_others_than_root_are_nobodys_unless_planted() {
    let mut b = Bench::new();
    b.rules = Handover::new(false);
    b.branch(70, BranchCause::Job, None, "", "cron");
    assert_eq!(b.exec(70, 300, &["/bin/sh", "-c", "x"]), []);
    assert_eq!(b.let_go.len(), 1);
}

#[test]
fn what_waits_is_bounded_in_number_and_in_time() {
    let mut b = Bench::new();
    for mark in 1000..3000 {
        b.branch(mark, BranchCause::Job, None, "", "cron");
    }
    assert!(b.rules.waiting.len() <= MOST && b.let_go.len() == 2000 - MOST);
    assert_eq!(b.wait(31_000_000_000), []);
    assert!(!b.rules.is_waiting() && b.let_go.len() == 2000);
    b.branch(5000, BranchCause::Job, None, "", "cron");
    for pid in 0..5000 {
        b.event(5000, 300, "cron", Act::Fork(TaskId { pid, start: BootNanos::new(1) }));
    }
    assert!(!b.rules.is_waiting(), "a fork bomb under cron fills no memory");
}

#[test]
fn sockets_of_every_day_are_not_told() {
    let mut b = Bench::new();
    let connect = |to: &str| {
        Act::Request(Request {
            what: RequestWhat::Connect,
            since: None,
            connection: 9,
            peer: 77,
            to: to.into(),
            bytes: Bytes::default(),
            missing: 0,
        })
    };
    for quiet in ["/dev/log", "/run/nscd/socket", "\0/tmp/.X11", "/run/systemd/private"] {
        assert_eq!(b.event(SESSION, 100, "x", connect(quiet)), [], "{quiet}");
    }
    let acts = b.event(SESSION, 100, "x", connect("/run/postgresql/.s.PGSQL.5432"));
    assert!(
        matches!(&acts[..], [Act::Asked(a)] if a.confidence == Confidence::Unresolved && a.peer == 77),
        "{acts:?}"
    );
}

#[test]
fn who_lets_people_in_is_told_and_not_followed() {
    for (mark, unit) in
        [(70, "ssh.service"), (71, "getty@tty1.service"), (72, "session-3.scope"), (73, "user@0.service")]
    {
        let mut b = Bench::new();
        b.send(start(unit));
        let acts = b.branch(mark, BranchCause::Unit, Some(SESSION), &format!("/x.slice/{unit}"), "systemd");
        assert!(
            matches!(&acts[..], [Act::Asked(told)] if told.role == DelegationRole::To),
            "{unit}: {acts:?}"
        );
        assert_eq!(b.let_go.len(), 1, "{unit}");
    }
}

#[test]
fn whose_message_could_not_be_read_has_what_starts_then() {
    let mut b = Bench::new();
    b.event(SESSION, 100, "x", opaque());
    // Another session's message was the last.
    let acts = b.branch(70, BranchCause::Unit, Some(SESSION + 1), "/system.slice/any.service", "systemd");
    assert_eq!(
        (handed(&acts).from, handed(&acts).confidence),
        (Some(Mark::new(SESSION)), Confidence::Likely)
    );
    let acts = b.branch(71, BranchCause::Unit, Some(SESSION), "/user.slice/session-4.scope", "systemd");
    assert!(matches!(&acts[..], [Act::Asked(_)]), "somebody's login is somebody's: {acts:?}");
}

#[test]
fn what_pam_runs_before_a_job_is_not_the_job() {
    let mut b = Bench::new();
    b.branch(70, BranchCause::Job, None, "", "cron");
    assert_eq!(b.exec(70, 300, &["unix_chkpwd", "root", "chkexpiry"]), []);
    let acts = b.exec(70, 301, &["/bin/sh", "-c", "work"]);
    assert_eq!(handed(&acts).what.as_slice(), b"work");
}

#[test]
fn the_path_of_a_control_group_goes_on_whoever_is_in_it() {
    let mut b = Bench::new();
    b.branch(70, BranchCause::Job, None, "", "cron");
    let told = Act::Cgroup { id: 5, path: "/system.slice".into() };
    assert_eq!(b.event(70, 300, "cron", told.clone()), [told]);
}
