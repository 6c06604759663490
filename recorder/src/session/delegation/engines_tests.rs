use std::{collections::HashMap, sync::Arc};

use super::*;
use crate::model::{Act, Branch, BranchCause, DelegationRole, Flags, Place, Task, TaskId};

#[derive(Default)]
struct Host(HashMap<String, Container>);

impl Files for Host {
    fn read(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn alias(&self, _: &str) -> Option<String> {
        None
    }

    fn container(&self, id: &str) -> Option<Container> {
        self.0.get(id).cloned()
    }
}

struct Bench {
    rules: Handover,
    host: Host,
    now: u64,
    next: u64,
    dropped: usize,
}

const SESSION: u64 = 5;
const OTHER: u64 = 6;
const DOCKER: &str = "/run/docker.sock";
const CONTAINERD: &str = "/run/containerd/containerd.sock";

fn id(digit: char) -> String {
    std::iter::repeat_n(digit, ID).collect()
}

impl Bench {
    fn new() -> Self {
        Self { rules: Handover::new(true), host: Host::default(), now: 1_000_000_000, next: 70, dropped: 0 }
    }

    fn event(&mut self, mark: u64, act: Act) -> Vec<Act> {
        self.now += 1_000_000;
        let id = TaskId { pid: 300, start: BootNanos::new(7) };
        let event = KernelEvent {
            boot_ns: BootNanos::new(self.now),
            cpu: 0,
            mark: Mark::new(mark),
            flags: Flags::default(),
            task: Arc::new(Task { id, tid: 300, ..Task::default() }),
            place: Place::default(),
            act,
        };
        let (mut out, mut let_go) = (Vec::new(), Vec::new());
        self.rules.step(Captured::Event(Box::new(event)), &self.host, &mut out, &mut let_go);
        self.dropped += let_go.len();
        let acts = out.into_iter().map(|item| match item {
            Captured::Event(event) => event.act,
            Captured::Lost(loss) => panic!("{loss:?}"),
        });
        acts.collect()
    }

    fn send(&mut self, mark: u64, to: &str, what: RequestWhat, bytes: &[u8]) -> Vec<Act> {
        let request = Request {
            what,
            since: None,
            connection: 9,
            peer: 1,
            to: to.into(),
            bytes: Bytes::from(bytes),
            missing: 0,
        };
        self.event(mark, Act::Request(request))
    }

    /// A request without a body; the words that are told.
    fn ask(&mut self, mark: u64, line: &str) -> Vec<String> {
        let bytes = format!("{line} HTTP/1.1\r\nHost: docker\r\n\r\n");
        let acts = self.send(mark, DOCKER, RequestWhat::Send, bytes.as_bytes());
        let words = acts.iter().map(|act| match act {
            Act::Asked(told) if told.trigger == Trigger::Container => told.what.escaped(),
            other => panic!("{other:?}"),
        });
        words.collect()
    }

    /// A shim runs that: whose it is, how surely, and whether it is followed.
    fn runs(&mut self, words: &str) -> Option<(u64, Confidence, bool)> {
        self.next += 1;
        let mark = self.next;
        let branch = Branch {
            cause: BranchCause::Engine,
            is_ahead: false,
            parent: None,
            object: 0,
            device: (0, 0),
            dev: 0,
            generation: 0,
            path: Bytes::default(),
        };
        assert_eq!(self.event(mark, Act::Branch(branch)), []);
        let argv = words.split(' ').map(Bytes::from).collect();
        let exec = Exec { path: "/usr/sbin/runc".into(), argv, ino: 3, ..Exec::default() };
        let before = self.dropped;
        let acts = self.event(mark, Act::Exec(exec));
        let is_dropped = self.dropped > before;
        match acts.first() {
            None => {
                assert!(is_dropped);
                None
            }
            Some(Act::Handed(h)) => {
                assert!(!is_dropped && h.trigger == Trigger::Container && acts.len() == 2);
                h.from.map(|by| (by.get(), h.confidence, true))
            }
            Some(Act::Asked(told)) => {
                assert!(is_dropped && told.role == DelegationRole::To);
                Some((SESSION, told.confidence, false))
            }
            other => panic!("{other:?}"),
        }
    }

    fn create(&mut self, id: &str) -> Option<(u64, Confidence, bool)> {
        self.runs(&format!("runc --root /var/run/docker/runtime-runc/moby --log /x/log.json create --bundle /x/{id} --pid-file /x/{id}/init.pid {id}"))
    }

    fn exec(&mut self, process: &str, container: &str) -> Option<(u64, Confidence, bool)> {
        self.runs(&format!("runc --root /r exec --process /tmp/runc-process1 --detach --pid-file /x/{container}/{process}.pid {container}"))
    }

    fn knows(&mut self, id: &str, name: &str, made: u64) {
        self.host.0.insert(id.to_owned(), Container { name: name.to_owned(), made: BootNanos::new(made) });
    }
}

const HIS: Option<(u64, Confidence, bool)> = Some((SESSION, Confidence::Certain, true));

#[test]
fn a_container_that_he_makes_is_his_and_starts_again_as_his() {
    let mut b = Bench::new();
    let a = id('a');
    assert_eq!(b.ask(SESSION, "HEAD /_ping"), Vec::<String>::new());
    assert_eq!(b.ask(SESSION, "POST /v1.41/containers/create?name=x"), ["POST /containers/create"]);
    b.ask(SESSION, &format!("POST /v1.41/containers/{a}/attach?stdin=1"));
    assert!(b.rules.engines_until(BootNanos::new(b.now)).is_some());
    let started = b.send(
        SESSION,
        "/var/run/docker.sock",
        RequestWhat::Send,
        format!("POST /v1.41/containers/{a}/start HTTP/1.1\r\n\r\n").as_bytes(),
    );
    assert_eq!(started.len(), 1, "on a connection of its own as on that one");
    assert_eq!(b.create(&a), HIS);
    // The daemon starts it again when nobody asks.
    b.now += 3 * UNITS_NS;
    assert_eq!(b.create(&a), HIS);
    assert_eq!(b.create(&id('b')), None, "the host's own");
    b.ask(OTHER, &format!("DELETE /containers/{a}?force=1"));
    assert_eq!(b.create(&a), None);
    assert_eq!(b.rules.engines_until(BootNanos::new(b.now)), None);
}

#[test]
fn a_process_is_whose_start_of_it_was_asked_for() {
    let mut b = Bench::new();
    let (c, e) = (id('c'), id('e'));
    b.ask(SESSION, "POST /containers/web/exec");
    assert_eq!(b.ask(SESSION, &format!("POST /exec/{e}/start")), [format!("POST /exec/{e}/start")]);
    assert_eq!(b.exec(&id('f'), &c), None, "a look at its health");
    assert_eq!(b.exec(&e, &c), HIS);
    assert_eq!(b.exec(&e, &c), None, "one start, one process");
    b.ask(SESSION, &format!("POST /exec/{e}/start"));
    b.now += 181_000_000_000;
    assert_eq!(b.exec(&e, &c), None, "too late");
}

#[test]
fn a_container_of_the_host_is_told_and_not_followed() {
    let mut b = Bench::new();
    let c = id('c');
    b.ask(SESSION, &format!("POST /containers/{c}/restart?t=100"));
    b.now += 250_000_000_000;
    assert_eq!(b.create(&c), Some((SESSION, Confidence::Certain, false)));
    assert_eq!(b.create(&c), None, "once");
    // The id was spoken of before he made another one.
    b.ask(SESSION, "POST /containers/create");
    b.ask(SESSION, &format!("POST /containers/{c}/start"));
    assert_eq!(b.create(&c), Some((SESSION, Confidence::Certain, false)));
    for short in [&c[..12], &c[..30]] {
        b.ask(SESSION, &format!("POST /containers/{short}/start"));
        assert_eq!(b.create(&c), Some((SESSION, Confidence::Certain, false)), "{short}");
    }
}

#[test]
fn a_name_is_looked_up_and_only_likely_where_it_cant_be() {
    let mut b = Bench::new();
    let (c, d) = (id('c'), id('d'));
    b.ask(SESSION, "POST /containers/web/restart");
    assert_eq!(b.create(&c), Some((SESSION, Confidence::Likely, false)));
    b.knows(&c, "web", 5);
    b.knows(&d, "db", 5);
    b.ask(SESSION, "POST /containers/web/restart");
    assert_eq!(b.create(&d), None, "that is another");
    assert_eq!(b.create(&c), Some((SESSION, Confidence::Certain, false)));
}

#[test]
fn what_he_made_without_speaking_of_it_is_known_by_its_age() {
    let mut b = Bench::new();
    let (c, d, e) = (id('c'), id('d'), id('e'));
    b.ask(SESSION, "POST /containers/create?name=mine");
    b.knows(&c, "mine", b.now + 800_000_000);
    b.knows(&d, "theirs", b.now + 800_000_000);
    b.now += 600_000_000_000;
    b.ask(OTHER, "POST /containers/mine/start");
    assert_eq!(b.create(&d), None);
    assert_eq!(b.create(&c), Some((OTHER, Confidence::Certain, true)), "whoever starts it");
    // The engine refused: there is one with that name, and it is older.
    b.knows(&e, "web", 5);
    b.ask(SESSION, "POST /containers/create?name=web");
    b.ask(SESSION, "POST /containers/web/start");
    assert_eq!(b.create(&e), Some((SESSION, Confidence::Certain, false)));
    b.ask(SESSION, "POST /containers/create?name=web");
    b.ask(SESSION, &format!("POST /containers/{e}/start"));
    assert_eq!(b.create(&e), Some((SESSION, Confidence::Certain, false)));
}

#[test]
fn what_could_not_be_read_makes_what_starts_then_likely() {
    let mut b = Bench::new();
    assert_eq!(b.send(SESSION, DOCKER, RequestWhat::Opaque, b"").len(), 1);
    assert_eq!(b.create(&id('c')), Some((SESSION, Confidence::Likely, true)));
    b.now += 11_000_000_000;
    assert_eq!(b.create(&id('d')), None);
    b.send(SESSION, DOCKER, RequestWhat::Send, b"no http\r\n\r\n");
    assert_eq!(b.exec(&id('e'), &id('d')), Some((SESSION, Confidence::Likely, true)));
    b.now += 11_000_000_000;
    b.send(SESSION, DOCKER, RequestWhat::Retold, b"POST /containers/mine/start HTTP/1.1\r\n\r\n");
    assert_eq!(b.create("mine"), Some((SESSION, Confidence::Certain, false)));
    assert_eq!(
        b.create(&id('c')),
        Some((SESSION, Confidence::Likely, true)),
        "he may have said something else"
    );
    // In a long body nothing is asked for.
    b.now += 11_000_000_000;
    b.send(SESSION, DOCKER, RequestWhat::Send, b"POST /build HTTP/1.1\r\nContent-Length: 90000\r\n\r\n");
    b.send(SESSION, DOCKER, RequestWhat::Opaque, b"");
    assert_eq!(b.exec(&id('e'), &id('d')), None);
}

#[test]
fn ids_are_found_in_what_containerd_is_told() {
    let mut b = Bench::new();
    let mut make = b"\0\0\0\0\x20\x0a\x05job-1\x1a".to_vec();
    make.extend(SPEC);
    b.send(SESSION, CONTAINERD, RequestWhat::Send, &make[..8]);
    b.send(SESSION, CONTAINERD, RequestWhat::Send, &make[8..]);
    let start =
        "runc --root /run/containerd/runc/default create --bundle /x/job-1 --pid-file /x/init.pid job-1";
    assert_eq!(b.runs(start), HIS);
    assert_eq!(b.runs(&start.replace("job-1", "ob-1")), None, "a part of an id is none");
    b.send(SESSION, CONTAINERD, RequestWhat::Send, b"\x0a\x05job-1\x12\x03sh1");
    assert_eq!(b.exec("sh1", "job-1"), HIS);
    assert_eq!(b.exec("sh2", "job-1"), None);
    let mut other = Bench::new();
    other.send(SESSION, CONTAINERD, RequestWhat::Send, b"\x0a\x05job-1");
    assert_eq!(other.runs(start), Some((SESSION, Confidence::Likely, false)));
    other.now += 181_000_000_000;
    assert_eq!(other.runs(start), None);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut b = Bench::new();
    for n in 0..3 * MOST {
        b.ask(SESSION, &format!("POST /containers/create?name=c{n}"));
        b.ask(SESSION, &format!("POST /containers/c{n}/start"));
        b.ask(SESSION, &format!("GET /containers/{n:064x}/json"));
        b.send(SESSION, CONTAINERD, RequestWhat::Send, &[b'x'; 4095]);
    }
    let e = &b.rules.engines;
    assert!(e.creations.len() <= MOST && e.containers.len() <= MOST && e.mentioned.len() <= MOST);
    assert!(e.said.iter().map(|s| s.bytes.len()).sum::<usize>() <= MOST_SAID);
}

#[test]
fn orders_of_runtimes_are_understood() {
    let of = |words: &str| Order::of(&words.split(' ').map(Bytes::from).collect::<Vec<_>>());
    let enter = |container: &str, process: &str| {
        Some(Order::Enter { container: container.to_owned(), process: process.to_owned() })
    };
    assert_eq!(of("runc --systemd-cgroup exec --process /p --pid-file=/a/b.pid c"), enter("c", "b"));
    assert_eq!(of("crun exec -d --pid-file /a/b.pid c"), enter("c", "b"));
    assert_eq!(of("runc exec --pid-file"), enter("--pid-file", ""));
    assert_eq!(of("crun run --bundle /b c"), Some(Order::Start { container: "c".into() }));
    for other in [
        "runc",
        "runc create",
        "runc start c",
        "runc --root /create state c",
        "create",
        "runc delete --force c",
    ] {
        assert_eq!(of(other), None, "{other}");
    }
}
