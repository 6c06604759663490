//! The socket from outside: real connections, a board that somebody writes on, and no pump but the test's own.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::mpsc::Receiver,
    thread,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{answer::Peer, orders::Order, *};
use crate::{
    config::EnforcementKey,
    grant::{Book, Clock, Policy},
    index::fixture as fx,
    model::{BootNanos, Bytes, Coverage, CoverageChange, RealNanos, Record, Uncovered},
    service::{
        board::{Ledger, Publisher},
        grants::{Added, Logins},
    },
    session::Tracked,
    sys::socket as raw,
};

struct Desk {
    clerk: Arc<Clerk>,
    publisher: Publisher,
    orders: Receiver<Order>,
}

/// A clerk for whom process 77 is in session 1 and 78 in one that the pump does not know yet.
fn desk() -> Desk {
    let (publisher, board) = board::board();
    let (to_pump, orders) = mpsc::sync_channel(2);
    let mark_of = |pid| match pid {
        77 => Ok(Some(Mark::new(1))),
        78 => Ok(Some(Mark::new(2))),
        79 => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(None),
    };
    let clerk = Clerk {
        facts: Facts {
            since: RealNanos::new(1_795_228_260_000_000_000),
            backend: "trampoline",
            blind: &["serial terminals"],
            guarded: true,
            tty_input: InputKey::Redacted,
            scope: ScopeKey::Elevated,
            watched: true,
        },
        rules: Rules {
            enforcement: EnforcementKey::Enforce,
            exempt: vec!["root".into()],
            host: "web-1".into(),
        },
        mark_of: Box::new(mark_of),
        board,
        orders: to_pump,
        bell: Bell::new().unwrap(),
        rates: Rates::default(),
        anchors: Anchors::default(),
        gauge: Gauge::new(Instant::now()),
        retention: std::sync::OnceLock::new(),
    };
    Desk { clerk: Arc::new(clerk), publisher, orders }
}

fn ledger() -> Ledger {
    let key = format!("SHA256:{}", "a".repeat(43));
    let policy = format!(
        "[people.anna]\naccounts = [\"oncall1\", \"shared\"]\n[people.bert]\naccounts = [\"shared\"]\nkeys = [\"{key}\"]\n"
    );
    let now = clock::pair();
    Ledger {
        book: Arc::new(Book::new(Policy::parse(&policy).unwrap(), "web-1")),
        clock: Clock::new(now),
        logins: Logins::default(),
    }
}

fn event(body: crate::model::Body) -> Tracked {
    let (boot_ns, flags) = (clock::boot(), crate::model::Flags::default());
    Tracked::Event { mark: Mark::new(1), record: Record { boot_ns, cpu: 0, flags, task: None, body } }
}

fn session() -> Vec<Tracked> {
    let coverage = Coverage::Uncovered { reason: Uncovered::NoGrant };
    let change = CoverageChange {
        from: BootNanos::new(0),
        coverage,
        person: Bytes::from("anna"),
        incident: Bytes::from("pagerduty:PD-7"),
    };
    vec![
        Tracked::Opened { mark: Mark::new(1), id: fx::session_id(1), at: clock::boot() },
        event(fx::start(1)),
        event(crate::model::Body::Coverage(Box::new(change))),
    ]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

const ROOT: Peer = Peer { uid: 0, pid: Some(77) };
const USER: Peer = Peer { uid: 1000, pid: Some(77) };

fn text_of(desk: &Desk, peer: Peer, question: &Value) -> String {
    let line = question.to_string();
    String::from_utf8(runtime().block_on(answer::answer(&desk.clerk, peer, line.as_bytes()))).unwrap()
}

fn reply(desk: &Desk, peer: Peer, question: &Value) -> Value {
    let text = text_of(desk, peer, question);
    assert_eq!(text.matches('\n').count(), 1, "one line: {text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn status_is_the_callers_own_and_root_sees_all() {
    let desk = desk();
    desk.publisher.publish(&session(), Some(ledger()));
    let status = json!({"v": 1, "op": "status"});
    let told = reply(&desk, USER, &status);
    assert_eq!((told["v"].as_u64(), told["ok"].as_bool()), (Some(1), Some(true)));
    let session = &told["session"];
    for (key, value) in [
        ("id", json!(fx::session_id(1).to_string())),
        ("person", json!("anna")),
        ("account", json!("oncall1")),
        ("coverage", json!("uncovered")),
        ("reason", json!("no_grant")),
        ("grant", Value::Null),
        ("incident", json!("pagerduty:PD-7")),
        ("until", Value::Null),
        ("tty", json!("pts/3")),
    ] {
        assert_eq!(session[key], value, "{key}");
    }
    for key in ["records", "records_not"] {
        assert!(!told[key].as_array().unwrap().is_empty(), "{told}");
    }
    assert_eq!(told["recorder"]["backend"], "trampoline");
    assert!(told.get("sessions").is_none() && told["grants"] == json!([]), "{told}");
    let other = reply(&desk, Peer { uid: 1000, pid: Some(5) }, &status);
    assert_eq!((&other["ok"], &other["session"]), (&json!(true), &Value::Null));
    let hidden = reply(&desk, Peer { uid: 1000, pid: None }, &status);
    assert_eq!(hidden["session"], Value::Null);
    let all = json!({"v": 1, "op": "status", "all": true});
    assert_eq!(reply(&desk, ROOT, &all)["sessions"].as_array().unwrap().len(), 1);
    desk.publisher.silent(vec!["open".to_owned()]);
    assert_eq!(reply(&desk, ROOT, &all)["hooks_silent"], json!(["open"]));
    assert!(reply(&desk, USER, &status).get("hooks_silent").is_none(), "not for who may have done it");
    assert_eq!(reply(&desk, ROOT, &all)["storage"], json!({"state": "sound", "since": null}));
    let since = Instant::now().checked_sub(Duration::from_secs(90)).unwrap();
    let failing =
        crate::service::standing::Standing { state: crate::service::standing::State::Failing, since };
    desk.clerk.gauge.turned(failing, Instant::now());
    let told = reply(&desk, ROOT, &all);
    assert_eq!(told["storage"]["state"], "failing");
    let begun: jiff::Timestamp = told["storage"]["since"].as_str().unwrap().parse().unwrap();
    let ago = jiff::Timestamp::now().duration_since(begun).as_secs();
    assert!((90..150).contains(&ago), "since {ago} s");
    assert!(reply(&desk, USER, &status).get("storage").is_none(), "nor is this");
    let refused = reply(&desk, USER, &all);
    assert_eq!((&refused["ok"], &refused["error"]), (&json!(false), &json!("only root may ask this")));
}

#[test]
fn nobody_who_is_recorded_is_told_that_he_is_not() {
    let desk = desk();
    desk.publisher.publish(&[], Some(ledger()));
    let status = json!({"v": 1, "op": "status"});
    let told = reply(&desk, Peer { uid: 1000, pid: Some(78) }, &status);
    assert!(told["error"].as_str().unwrap().starts_with("you are recorded"), "{told}");
    let told = reply(&desk, Peer { uid: 1000, pid: Some(79) }, &status);
    assert_eq!(told["ok"], json!(false));
    // The kernel knows it first; the pump comes a moment later.
    let publisher = desk.publisher;
    let desk = Desk { publisher: board::board().0, ..desk };
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            publisher.publish(&session(), None);
        });
        assert_eq!(reply(&desk, USER, &status)["session"]["person"], "anna");
    });
}

#[test]
fn nothing_is_answered_before_the_board_is_up() {
    let desk = desk();
    let may = json!({"v": 1, "op": "may", "account": "oncall1", "plain": true});
    assert!(text_of(&desk, ROOT, &may).starts_with("error\n"));
    // A pump that has gone round and watches grants has a ledger.
    desk.publisher.publish(&[], None);
    assert!(text_of(&desk, ROOT, &may).starts_with("error\n"));
    desk.publisher.publish(&[], Some(ledger()));
    let text = text_of(&desk, ROOT, &may);
    assert!(text.starts_with("deny\nrecorder: refused: you have no grant for web-1"), "{text}");
    assert_eq!(text.lines().count(), 2);
    // Of the session that the asking sudo is in, and of none if it is in none.
    let Ok(Order::Denied { mark, pid, coverage, text }) = desk.orders.try_recv() else { panic!("no order") };
    assert_eq!((mark, pid, text.as_str()), (Mark::new(1), 77, "as root"));
    assert_eq!(coverage.reason(), Some(Uncovered::NoGrant));
    assert!(text_of(&desk, Peer { uid: 0, pid: Some(3) }, &may).starts_with("deny"));
    assert!(desk.orders.try_recv().is_err());
    assert_eq!(reply(&desk, ROOT, &json!({"v": 1, "op": "may", "account": "root"}))["decision"], "allow");
    assert_eq!(reply(&desk, USER, &json!({"v": 1, "op": "may", "account": "root"}))["ok"], json!(false));
}

#[test]
fn a_login_is_answered_though_the_pump_hangs_and_carried_to_it() {
    let desk = desk();
    desk.publisher.publish(&[], Some(ledger()));
    let login = json!({
        "v": 1, "op": "login", "account": "oncall1", "service": "sshd", "remote": "192.0.2.7", "tty": "ssh",
        "auth_info": "publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "pid": 42, "audit_session": 7,
    });
    assert_eq!(reply(&desk, ROOT, &login)["person"], "anna");
    let Ok(Order::Login(told, _)) = desk.orders.try_recv() else { panic!("no order") };
    assert_eq!((told.audit_session, told.pid, told.auth.as_slice()), (7, 42, b"publickey".as_slice()));
    assert!(told.key.as_utf8().unwrap().starts_with("SHA256:"), "{told:?}");
    let shared = json!({"v": 1, "op": "login", "account": "shared", "pid": 1});
    assert_eq!(reply(&desk, ROOT, &shared)["person"], Value::Null);
    let Ok(Order::Login(told, _)) = desk.orders.try_recv() else { panic!("no order") };
    assert_eq!(told.audit_session, u32::MAX);
    assert_eq!(reply(&desk, USER, &login)["error"], "only root may ask this");
    assert!(desk.orders.try_recv().is_err(), "who is not root orders nothing");
    // A pump that hangs: said, not waited for.
    for _ in 0..2 {
        assert_eq!(reply(&desk, ROOT, &login)["ok"], json!(true));
    }
    assert_eq!(reply(&desk, ROOT, &login)["error"], "the recorder is busy; ask again");
}

#[test]
fn a_document_goes_to_the_pump_and_its_answer_comes_back() {
    let Desk { clerk, publisher, orders } = desk();
    let desk = Desk { clerk, publisher, orders: mpsc::sync_channel(0).1 };
    let add = json!({"v": 1, "op": "add", "document": "YQ==", "signature": "Yg=="});
    thread::scope(|scope| {
        let pump = scope.spawn(move || {
            for (received, state) in [(true, Some("active".to_owned())), (false, None)] {
                let Ok(Order::Add { document, signature, uid, answer }) =
                    orders.recv_timeout(Duration::from_secs(20))
                else {
                    panic!("no order")
                };
                assert_eq!((document.as_slice(), signature.as_slice(), uid), (&b"a"[..], &b"b"[..], 1000));
                let text = if received { String::new() } else { "no\nkey".to_owned() };
                let id = crate::model::Digest::new([7; 32]);
                answer.send(Some(Added { id, kind: "approval".into(), received, text, state })).unwrap();
            }
        });
        let told = reply(&desk, USER, &add);
        assert_eq!((&told["verdict"], &told["state"]), (&json!("received"), &json!("active")));
        let mut plain = add.clone();
        plain["plain"] = json!(true);
        assert_eq!(text_of(&desk, USER, &plain), format!("deny\nrefused {}: no\\nkey\n", "07".repeat(32)));
        pump.join().unwrap();
    });
    let bad = reply(&desk, USER, &json!({"v": 1, "op": "add", "document": "?", "signature": ""}));
    assert!(bad["error"].as_str().unwrap().contains("no base64"), "{bad}");
}

#[test]
fn where_no_grants_are_watched_a_login_is_on_record_and_a_document_has_no_place() {
    let Desk { clerk, publisher, orders } = desk();
    let (sender, mut receiver) = tokio::sync::oneshot::channel();
    let login = crate::model::Login { account: "anna".into(), ..crate::model::Login::default() };
    let add = Order::Add { document: vec![1], signature: vec![2], uid: 0, answer: sender };
    for order in [Order::Login(Box::new(login.clone()), tokio::sync::oneshot::channel().0), add] {
        clerk.orders.try_send(order).unwrap();
    }
    let pump = PumpEnd::new(orders, publisher, Bell::new().unwrap());
    let done = pump.carry_out(BootNanos::new(9), None);
    let [record] = done.records.as_slice() else { panic!("{done:?}") };
    assert_eq!(
        (record.boot_ns, &record.body),
        (BootNanos::new(9), &crate::model::Body::Login(Box::new(login)))
    );
    assert!(receiver.try_recv().is_err(), "nobody is answered before the kernel knows");
    done.replies.into_iter().for_each(orders::Reply::tell);
    assert_eq!(receiver.try_recv(), Ok(None));
    pump.publish(&[], None);
    assert!(clerk.board.borrow().ready);
}

/// A daemon's socket, served by a thread until it is dropped.
struct Served {
    path: PathBuf,
    _dir: tempfile::TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Served {
    fn start(clerk: Arc<Clerk>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let control = Control { socket: Socket::bind(&path).unwrap(), clerk };
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = thread::spawn(move || {
            runtime().block_on(async {
                tokio::select! { _ = stopped => {}, () = control.serve() => {} }
            });
        });
        Self { path, _dir: dir, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        let done = self.thread.take().unwrap().join();
        assert!(done.is_ok() || thread::panicking());
    }
}

fn exchange(path: &Path, bytes: &[u8]) -> String {
    let mut stream = raw::reach(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(bytes);
    let mut out = Vec::new();
    let _ = stream.read_to_end(&mut out);
    String::from_utf8(out).unwrap()
}

const STATUS: &[u8] = b"{\"v\":1,\"op\":\"status\"}\n";

#[test]
fn one_connection_is_one_question_and_one_answer() {
    let desk = desk();
    desk.publisher.publish(&[], Some(ledger()));
    let served = Served::start(Arc::clone(&desk.clerk));
    let told = exchange(&served.path, STATUS);
    assert!(told.contains("\"ok\":true") && told.ends_with('\n') && told.lines().count() == 1, "{told}");
    // Without the line's end, but with the end of everything.
    let mut stream = raw::reach(&served.path).unwrap();
    stream.write_all(STATUS.trim_ascii_end()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    assert!(told.contains("\"ok\":true"), "{told}");
    assert!(exchange(&served.path, b"hello\n").contains("\"ok\":false"));
    let long = vec![b'x'; question::MAX_QUESTION + 2];
    let told = exchange(&served.path, &long);
    assert!(told.is_empty() || told.contains("256 KiB"), "{told}");
}

#[test]
fn who_says_nothing_is_sent_away_and_nobody_waits_for_him() {
    let desk = desk();
    desk.publisher.publish(&[], Some(ledger()));
    let served = Served::start(Arc::clone(&desk.clerk));
    let start = Instant::now();
    let mut silent = raw::reach(&served.path).unwrap();
    silent.write_all(b"{\"v\":1,").unwrap();
    assert!(exchange(&served.path, STATUS).contains("\"ok\":true"));
    assert!(start.elapsed() < Duration::from_millis(1500), "an answer waited for somebody else's question");
    let mut told = String::new();
    silent.read_to_string(&mut told).unwrap();
    assert!(told.contains("within 2 s"), "{told}");
    assert!((2..12).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[test]
fn too_many_at_a_time_are_refused_and_the_places_are_free_again() {
    let desk = desk();
    desk.publisher.publish(&[], Some(ledger()));
    let served = Served::start(Arc::clone(&desk.clerk));
    let root = rustix::process::geteuid().is_root();
    let held: Vec<UnixStream> =
        (0..if root { 64 } else { 8 }).map(|_| raw::reach(&served.path).unwrap()).collect();
    let told = exchange(&served.path, STATUS);
    assert!(told.contains("too many questions"), "{told}");
    drop(held);
    let end = Instant::now() + Duration::from_secs(20);
    while !exchange(&served.path, STATUS).contains("\"ok\":true") {
        assert!(Instant::now() < end, "the places stay taken");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_sent_harms_nothing(bytes in prop::collection::vec(any::<u8>(), 0..300), json in any::<bool>()) {
        let desk = desk();
        desk.publisher.publish(&session(), Some(ledger()));
        let mut line = bytes;
        line.retain(|byte| *byte != b'\n');
        if json {
            let text = String::from_utf8_lossy(&line).into_owned();
            line = json!({"v": 1, "op": "may", "account": text, "target": text, "argv": [text], "plain": true}).to_string().into_bytes();
        }
        let told = runtime().block_on(answer::answer(&desk.clerk, ROOT, &line));
        let told = String::from_utf8(told).unwrap();
        prop_assert!(told.ends_with('\n'));
        prop_assert!(!told.trim_end_matches('\n').chars().any(|c| c.is_control() && c != '\n'), "{}", told);
    }
}
