//! PAM module and sudo plugin in the real sudo, su and sshd, with a recorder of ours that only answers (docs/control.md).
//!
//! The lines are those of docs/operations.md. They come into force in a mount namespace of the command; the machine's own
//! files stay as they are.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::account::{Account, Sudo};
use rustix::{
    net::sockopt::socket_peercred,
    process::{Signal, kill_process},
};
use serde_json::{Value, json};

use crate::{logins::Sshd, stage::Stage};

const PAGE: &str = include_str!("../../../../docs/operations.md");
const PAM_MODULE: &str = "pam_recorder.so";
const TOKEN: &str = "QUJDREVG";
/// Every line contains it, and none.
const FIRST: &str = "";
const LAST: &str = "\0";

/// Binds files over others in a namespace of its own, then becomes the program.
const BIND: &str =
    r#"while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 99; shift 2; done; shift; exec "$@""#;

/// Sets the loginuid, then becomes the program.
const LOGIN: &str = r#"echo "$1" >/proc/self/loginuid; shift; exec "$@""#;

/// What the recorder of this file does with a question.
#[derive(Clone)]
enum Reply {
    /// This text.
    Plain(String),
    /// Nothing, while the connection stays open.
    Silence,
    /// The first asker is stopped until his patience is over and then hears nothing; the second hears a no.
    StopThenDeny,
}

struct State {
    reply: Reply,
    asked: Vec<Value>,
    held: Vec<UnixStream>,
    is_over: bool,
}

/// Listens, remembers the questions, answers all alike.
struct Daemon {
    socket: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Daemon {
    fn start(socket: &Path) -> Result<Self> {
        let listener = UnixListener::bind(socket).context("the control socket")?;
        fs::set_permissions(socket, fs::Permissions::from_mode(0o666))?;
        let reply = Reply::Plain("allow\n".to_owned());
        let state =
            Arc::new(Mutex::new(State { reply, asked: Vec::new(), held: Vec::new(), is_over: false }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut line = String::new();
                if BufReader::new(Read::take(&stream, 1 << 18)).read_line(&mut line).is_err() {
                    continue;
                }
                let mut state = locked(&shared);
                if state.is_over {
                    break;
                }
                state.asked.push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
                match state.reply.clone() {
                    Reply::Plain(text) => drop((&stream).write_all(text.as_bytes())),
                    Reply::Silence => state.held.push(stream),
                    Reply::StopThenDeny => {
                        state.reply = Reply::Plain("deny\nstopping-helps-nobody\n".to_owned());
                        stop_for(&stream, Duration::from_secs(2));
                    }
                }
            }
        });
        Ok(Self { socket: socket.to_path_buf(), state })
    }

    fn will(&self, reply: Reply) {
        locked(&self.state).reply = reply;
    }

    fn says(&self, text: &str) {
        self.will(Reply::Plain(text.to_owned()));
    }

    /// The questions since the last look.
    fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut locked(&self.state).asked)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        locked(&self.state).is_over = true;
        // Wakes the listener.
        if let Ok(mut stream) = UnixStream::connect(&self.socket) {
            let _ = stream.write_all(b"\n");
        }
        let _ = fs::remove_file(&self.socket);
    }
}

/// Does to the asker what the person at his terminal could do.
fn stop_for(stream: &UnixStream, time: Duration) {
    if let Ok(peer) = socket_peercred(stream) {
        let _ = kill_process(peer.pid, Signal::STOP);
        thread::sleep(time);
        let _ = kill_process(peer.pid, Signal::CONT);
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one line of the page that begins so; behind the module's name comes the socket of this scenario.
fn line_of_page(start: &str, module: &str, library: &Path, socket: &Path) -> Result<String> {
    let line = PAGE.lines().map(str::trim).find(|line| line.starts_with(start));
    let (before, after) = line
        .and_then(|line| line.split_once(module))
        .with_context(|| format!("no line {start} in the page"))?;
    Ok(format!("{before}{} socket={}{after}\n", library.display(), socket.display()))
}

/// A command with files bound over others.
fn with_files(binds: &[(&Path, &str)], program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", BIND, "sh"]);
    for (from, to) in binds {
        command.arg(from).arg(to);
    }
    command.arg("--").arg(program);
    command
}

/// Logs the account in without a terminal and lets it run this.
fn run_as(stage: &Stage, account: &Account, binds: &[(&Path, &str)], argv: &[&str]) -> Result<Output> {
    let mut command = with_files(binds, stage.workload());
    command.args(["human", "--uid", &account.uid.to_string(), "--gid", &account.gid.to_string()]);
    command.args(["--name", &account.name, "--home"]).arg(&account.home).arg("--").args(argv);
    command.stdin(Stdio::null()).output().context("cannot start the login")
}

fn passes(out: &Output, stdout: &str) -> Result<()> {
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "ended with {}: {said}", out.status);
    ensure!(out.stdout == stdout.as_bytes(), "printed {:?}: {said}", String::from_utf8_lossy(&out.stdout));
    Ok(())
}

fn refused(out: &Output, message: &str) -> Result<()> {
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(!out.status.success(), "passed, and should not have: {said}");
    ensure!(out.stdout.is_empty(), "ran, and should not have: {:?}", String::from_utf8_lossy(&out.stdout));
    ensure!(said.contains(message), "{message:?} was not shown: {said}");
    Ok(())
}

/// What holds for whatever asks: yes, no, nobody, nobody where that is a no, silence. `run` prints a 0 if it may.
fn every_answer(stage: &Stage, socket: &Path, run: &dyn Fn() -> Result<Output>) -> Result<Vec<Value>> {
    let daemon = Daemon::start(socket)?;
    daemon.says("allow\nrecorded-as-told\n");
    let out = run()?;
    passes(&out, "0\n").context("allow")?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(said.contains("recorded-as-told"), "the line of a yes was not shown: {said}");
    let asked = daemon.asked();

    daemon.says("deny\nno-grant-for-you\n");
    refused(&run()?, "no-grant-for-you").context("deny")?;
    daemon.says("error\nbroken\n");
    passes(&run()?, "0\n").context("error")?;
    daemon.says("nonsense\n");
    passes(&run()?, "0\n").context("nonsense")?;

    daemon.will(Reply::StopThenDeny);
    refused(&run()?, "stopping-helps-nobody").context("stopped while he asks")?;

    daemon.will(Reply::Silence);
    let start = Instant::now();
    passes(&run()?, "0\n").context("silence")?;
    let took = start.elapsed();
    ensure!(took >= Duration::from_secs(1) && took < stage.limit(15), "silence took {took:?}");

    drop(daemon);
    passes(&run()?, "0\n").context("nobody")?;
    let marker = socket.with_file_name("fail_closed");
    fs::write(&marker, "")?;
    refused(&run()?, "does not answer").context("nobody, fail_closed")?;
    fs::remove_file(marker)?;
    Ok(asked)
}

/// The file with the page's line in front of the line that contains `before`, or at the end.
fn edited(stage: &Stage, file: &str, line: &str, before: &str) -> Result<PathBuf> {
    let text = fs::read_to_string(file).with_context(|| file.to_owned())?;
    let mut lines: Vec<_> = text.lines().collect();
    let place = lines.iter().position(|line| line.contains(before)).unwrap_or(lines.len());
    lines.insert(place, line.trim_end());
    let copy = stage.dir.join(file.replace('/', "-").trim_start_matches('-'));
    fs::write(&copy, lines.join("\n") + "\n")?;
    Ok(copy)
}

pub(crate) fn pam_asks_first(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let other = stage.account("other", Sudo::No)?;
    let socket = stage.dir.join("control.sock");
    let module = stage.library("libpam_recorder.so")?;
    let line = line_of_page("-account ", PAM_MODULE, &module, &socket)?;

    let sudo = edited(stage, "/etc/pam.d/sudo", &line, FIRST)?;
    let words = ["env", &format!("RECORDER_TOKEN={TOKEN}"), "sudo", "-n", "id", "-u"];
    let run = || run_as(stage, &oncall, &[(&sudo, "/etc/pam.d/sudo")], &words);
    let asked = every_answer(stage, &socket, &run).context("sudo")?;
    let [question] = asked.as_slice() else { anyhow::bail!("sudo asked {asked:?}") };
    ensure!(question["audit_session"].is_u64(), "no audit session: {question}");
    let expected = json!({"v": 1, "op": "may", "plain": true, "account": oncall.name, "target": null, "argv": null,
        "audit_session": question["audit_session"], "token": TOKEN});
    ensure!(*question == expected, "sudo asked {question}");

    let su = edited(stage, "/etc/pam.d/su", &line, FIRST)?;
    // From root, where su asks for no password, but with the person's loginuid; not under sudo, which stops with its child.
    let run = || {
        let mut command = with_files(&[(&su, "/etc/pam.d/su")], "sh");
        command.args(["-c", LOGIN, "sh", &oncall.uid.to_string(), "su", &other.name]);
        command.args(["-s", "/bin/sh", "-c", "echo 0"]).stdin(Stdio::null()).output().context("su")
    };
    let asked = every_answer(stage, &socket, &run).context("su")?;
    let [question] = asked.as_slice() else { anyhow::bail!("su asked {asked:?}") };
    ensure!(
        question["account"] == json!(oncall.name) && question["target"] == json!(other.name),
        "su asked {question}"
    );

    // Too little memory or too few descriptors for the module must be too little for the rest of the stack: a module that
    // can't be loaded is ignored. A limit that is plenty shows that it is the answer that refuses.
    let daemon = Daemon::start(&socket)?;
    daemon.says("deny\nno-grant-for-you\n");
    let limited = |limit: &str| {
        let mut command = with_files(&[(&su, "/etc/pam.d/su")], "sh");
        command.args(["-c", &format!("ulimit {limit}; {LOGIN}"), "sh", &oncall.uid.to_string(), "su"]);
        command.args([&other.name, "-s", "/bin/sh", "-c", "echo 0"]).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("su")
    };
    let sizes = (2500..7500).step_by(200).map(|size| format!("-v {size}"));
    let limits: Vec<_> = sizes.chain((3..10).map(|count| format!("-n {count}"))).collect();
    // Some at once: a su that fails early waits for seconds before it says so.
    for limits in limits.chunks(4) {
        let started: Result<Vec<_>> = limits.iter().map(|limit| limited(limit)).collect();
        for (limit, su) in limits.iter().zip(started?) {
            refused(&su.wait_with_output()?, "").with_context(|| format!("ulimit {limit}"))?;
        }
    }
    for plenty in ["-v 1000000", "-n 64"] {
        refused(&limited(plenty)?.wait_with_output()?, "no-grant-for-you").context("plenty")?;
    }
    drop(daemon);

    // A module that is not there, and one that is none.
    let gone = stage.dir.join("gone.so");
    for text in [None, Some("no library")] {
        text.map_or(Ok(()), |text| fs::write(&gone, text))?;
        let line = line_of_page("-account ", PAM_MODULE, &gone, &socket)?;
        let sudo = edited(stage, "/etc/pam.d/sudo", &line, FIRST)?;
        let out = run_as(stage, &oncall, &[(&sudo, "/etc/pam.d/sudo")], &["sudo", "-n", "id", "-u"])?;
        passes(&out, "0\n").with_context(|| format!("the module is {text:?}"))?;
    }
    Ok(())
}

pub(crate) fn sudo_plugin_asks_first(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let other = stage.account("other", Sudo::No)?;
    let socket = stage.dir.join("control.sock");
    let plugin = stage.library("librecorder_approval.so")?;
    let line = line_of_page("Plugin recorder_approval ", "recorder_approval.so", &plugin, &socket)?;
    let config = edited(stage, "/etc/sudo.conf", &line, LAST)?;
    let binds: &[(&Path, &str)] = &[(&config, "/etc/sudo.conf")];

    let words = ["env", &format!("RECORDER_TOKEN={TOKEN}"), "sudo", "-n", "id", "-u"];
    let asked = every_answer(stage, &socket, &|| run_as(stage, &oncall, binds, &words))?;
    let [question] = asked.as_slice() else { anyhow::bail!("sudo asked {asked:?}") };
    ensure!(question["audit_session"].is_u64(), "no audit session: {question}");
    let expected = json!({"v": 1, "op": "may", "plain": true, "account": oncall.name, "target": "root",
        "argv": ["/usr/bin/id", "-u"], "audit_session": question["audit_session"], "token": TOKEN});
    ensure!(*question == expected, "sudo asked {question}");

    // Whom, with which group, and more arguments than are sent.
    let daemon = Daemon::start(&socket)?;
    let ask = |words: &[&str]| -> Result<Value> {
        let mut argv = vec!["sudo", "-n"];
        argv.extend(words);
        let out = run_as(stage, &oncall, binds, &argv)?;
        ensure!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
        daemon.asked().pop().with_context(|| format!("{words:?} asked nothing"))
    };
    ensure!(
        ask(&["-u", &other.name, "true"])?.get("target") == Some(&json!(other.name)),
        "-u is not the target"
    );
    ensure!(
        ask(&["-g", &other.name, "true"])?.get("target") == Some(&json!("root")),
        "-g is not asked as root"
    );
    let mut many = vec!["true"];
    many.resize(3000, "x");
    let question = ask(&many)?;
    let argv = question.get("argv").and_then(Value::as_array).context("no argv")?;
    ensure!(argv.len() == 1001 && argv.last() == Some(&json!("…")), "{} arguments", argv.len());
    let long = "x".repeat(120_000);
    let question = ask(&["true", &long, &long, "tail"])?;
    ensure!(question.pointer("/argv/2") == Some(&json!("…")), "a command line of 240 kB is not cut");
    Ok(())
}

pub(crate) fn ssh_login_tells_its_key(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::No)?;
    let socket = stage.dir.join("control.sock");
    let module = stage.library("libpam_recorder.so")?;
    let session = line_of_page("-session ", PAM_MODULE, &module, &socket)?;
    let account = line_of_page("-account ", PAM_MODULE, &module, &socket)?;
    // Behind pam_loginuid, in front of the next one; and the account line too, which has nothing to ask here.
    let pam = edited(stage, "/etc/pam.d/sshd", &format!("{account}{session}"), "pam_keyinit")?;
    let program = with_files(&[(&pam, "/etc/pam.d/sshd")], stage.sshd()?);
    let sshd = Sshd::start_as(stage, &oncall, program)?;
    let login = || -> Result<()> {
        let out = sshd.ssh(&oncall).args(["-T", "cat /proc/self/sessionid"]).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success() && !out.stdout.is_empty(), "ssh ended with {}: {said}", out.status);
        Ok(())
    };

    let daemon = Daemon::start(&socket)?;
    login()?;
    let asked = daemon.asked();
    let [question] = asked.as_slice() else { anyhow::bail!("sshd asked {asked:?}") };
    for (field, value) in
        [("op", "login"), ("account", oncall.name.as_str()), ("service", "sshd"), ("remote", "127.0.0.1")]
    {
        ensure!(question[field] == json!(value), "{field} is not {value}: {question}");
    }
    ensure!(question["tty"] == json!("ssh") && question["pid"].is_u64(), "no terminal or pid: {question}");
    ensure!(question["audit_session"].is_u64(), "no audit session: the line stands before pam_loginuid?");
    let key = sshd.public_key()?;
    let key = key.rsplit_once(' ').map_or(key.as_str(), |(key, _)| key);
    let info = question["auth_info"].as_str().unwrap_or_default();
    ensure!(info.trim_end() == format!("publickey {key}"), "the key is not told: {info:?}, it is {key:?}");

    // A login is never refused, whatever is answered and whoever answers.
    daemon.says("deny\nno\n");
    login().context("deny")?;
    daemon.will(Reply::Silence);
    login().context("silence")?;
    drop(daemon);
    fs::write(socket.with_file_name("fail_closed"), "")?;
    login().context("nobody, fail_closed")
}
