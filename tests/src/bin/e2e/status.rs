//! The control socket: who is recorded, what is handed in, who came by which key (docs/control.md).

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use recorder_tests::{
    account::{Account, Sudo},
    journal::{Events, number, text},
    proc,
    recorder::Site,
};
use serde_json::{Value, json};

use crate::{
    grants::{Office, coverage, signature},
    hostile::output,
    secrets::leave,
    stage::Stage,
};

/// Everything that a person does with the socket, in and outside a recorded session.
pub(crate) fn status_and_add(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let office = Office::open(stage, &oncall)?;
    let binary = copy_of_recorder(stage)?;
    let silent = output(Command::new(&binary).arg("status").arg("--socket").arg(&stage.site.socket))?;
    expect(&silent, 69, "no recorder answers")?;
    let running = stage.record()?;

    let status = format!("{} status --socket {}", binary.display(), stage.site.socket.display());
    let mut outside = stage.shell(&oncall)?;
    outside.ask(&format!("{status}; echo code-$?-$((40+2))"), "code-1-42", stage.limit(20))?;
    outside.ask(&format!("echo \"<$({status} --prompt)>\"-$((40+2))"), "<>-42", stage.limit(20))?;
    let said = String::from_utf8_lossy(&outside.shown()).into_owned();
    ensure!(said.contains("not recorded"), "outside a session status says {said}");
    leave(stage, outside, 1)?;

    // Without the service's directory: a user hands in what others signed.
    let (request, approval) = asked_and_approved(stage, &office)?;
    let start = Instant::now();
    let added = expect(&as_user(stage, &binary, &oncall, &["grant", "add"], &[&request, &approval])?, 0, "")?;
    let took = start.elapsed();
    ensure!(added.lines().count() == 2 && added.contains("received approval"), "grant add says {added}");
    ensure!(added.contains("the grant is active"), "the grant did not become active: {added}");
    println!("  two documents handed in within {took:?}");
    ensure!(took < stage.limit(1), "two documents took {took:?}");
    let again = expect(&as_user(stage, &binary, &oncall, &["grant", "add"], &[&approval])?, 0, "")?;
    ensure!(again.contains("received"), "the same again: {again}");
    let edited = approval.with_file_name("edited.toml");
    fs::write(&edited, fs::read_to_string(&approval)?.replace("version = 1", "version = 1 "))?;
    fs::copy(signature(&approval), signature(&edited))?;
    let refused = as_user(stage, &binary, &oncall, &["grant", "add"], &[&edited, &approval])?;
    let refused = expect(&refused, 1, "")?;
    ensure!(refused.contains("REFUSED") && refused.contains("signature"), "an edited document: {refused}");

    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    terminal.ask(&format!("{}; echo did-$((40+2))", stage.noop("inside")), "did-42", stage.limit(20))?;
    let mark = terminal.mark();
    terminal.ask(&format!("{status}; echo code-$?-$((40+3))"), "code-0-43", stage.limit(20))?;
    let said = String::from_utf8_lossy(terminal.shown().get(mark..).unwrap_or_default()).into_owned();
    for part in
        ["recorded     session ", "anna, account ", " left, until ", "pagerduty:PD-7", "the disk is full"]
    {
        ensure!(said.contains(part), "status does not tell {part:?}: {said}");
    }
    terminal.ask(&format!("echo \"<$({status} --prompt | cut -c1-9)>\""), "<rec:PD-7:>", stage.limit(20))?;

    let all = [status.as_str(), "--all --format json"].join(" ");
    let list: Value = serde_json::from_slice(&output(Command::new("sh").args(["-c", &all]))?.stdout)?;
    let sessions = list.get("sessions").and_then(Value::as_array).cloned().unwrap_or_default();
    // Others may be at work on this machine.
    let first = sessions.into_iter().find(|session| text(session, &["account"]) == oncall.name);
    let first = first.with_context(|| format!("root sees {list}"))?;
    ensure!(
        text(&first, &["person"]) == "anna" && text(&first, &["coverage"]) == "covered",
        "root sees {first}"
    );
    let socket = stage.site.socket.clone();
    let mut nobody = Command::new(&binary);
    nobody.args(["status", "--all", "--socket"]).arg(&socket).uid(oncall.uid).gid(oncall.gid);
    expect(&output(&mut nobody)?, 69, "only root")?;

    garbage(stage)?;
    second_recorder(stage)?;
    terminal.ask(&format!("{status} >/dev/null; echo code-$?-$((40+4))"), "code-0-44", stage.limit(20))?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    ensure!(!stage.site.socket.exists(), "the socket's file outlives the recorder");
    let session = events.session_of(&stage.tag("inside"))?;
    ensure!(text(&first, &["id"]) == session, "status told another session than {session}");
    let acts =
        |act: &str| events.of_kind("grant").filter(|e| text(e, &["grant_change", "act"]) == act).count();
    ensure!(
        acts("received") == 2 && acts("refused") == 1,
        "{} received, {} refused",
        acts("received"),
        acts("refused")
    );
    Ok(())
}

/// Two people share an account: PAM's word about the key says whose work it is.
pub(crate) fn shared_account_by_key(stage: &mut Stage) -> Result<()> {
    let shared = stage.account("shared", Sudo::Free)?;
    let office = Office::open(stage, &shared)?;
    let public = fs::read_to_string(office.dir.join("anna.pub"))?;
    let out = output(Command::new("ssh-keygen").arg("-lf").arg(office.dir.join("anna.pub")))?;
    let listed = String::from_utf8(out.stdout)?;
    let fingerprint = listed.split(' ').nth(1).context("no fingerprint")?.to_owned();
    let policy = office.dir.join("policy.toml");
    let mine = format!("accounts = [\"{}\"]\n", shared.name);
    let ours = fs::read_to_string(&policy)?
        .replace(&mine, &format!("{mine}keys = [\"{fingerprint}\"]\n[people.ben]\n{mine}"));
    fs::write(&policy, ours)?;
    let running = stage.record()?;
    office.grant(stage, "*", "root", &["--for", "1h"])?;

    let mut terminal = stage.shell(&shared)?;
    stage.become_root(&mut terminal)?;
    coverage(stage, "uncovered", Some("unattributed"))?;
    leave(stage, terminal, 2)?;

    let mut terminal = stage.shell(&shared)?;
    let pid = proc::pid_of(terminal.child())?.as_raw_nonzero().get();
    let audit_session: u32 = fs::read_to_string(format!("/proc/{pid}/sessionid"))?.trim().parse()?;
    let login = json!({
        "v": 1, "op": "login", "account": shared.name, "service": "sshd", "remote": "192.0.2.7", "tty": "ssh",
        "auth_info": format!("publickey {public}"), "pid": pid, "audit_session": audit_session,
    });
    let told = ask(stage, &login.to_string())?;
    ensure!(text(&told, &["person"]) == "anna", "the login is told to be {told}");
    stage.become_root(&mut terminal)?;
    coverage(stage, "covered", None)?;
    terminal.ask(&format!("{}; echo did-$((40+2))", stage.noop("by-key")), "did-42", stage.limit(20))?;
    running.stop(stage.limit(60))?;
    let events = Events::load(&stage.site)?;
    let record = events.of_kind("login").next().context("the login is not on record")?;
    ensure!(
        text(record, &["login", "person"]) == "anna"
            && text(record, &["login", "key"]) == fingerprint
            && number(record, &["login", "audit_session"]) == Some(audit_session.into()),
        "the login is on record as {record}"
    );
    let tag = stage.tag("by-key");
    let exec = events.execs_with(&tag).last().context("no exec")?;
    ensure!(text(exec, &["coverage"]) == "covered", "the work by key is {}", exec["coverage"]);

    // Who came by which key is known to the next recorder of this boot too: the same shell is found running.
    let before = events.session_of(&tag)?;
    let running = stage.record()?;
    proc::until("the shell that runs on is covered", stage.limit(20), || {
        let events = Events::load(&stage.site).ok()?;
        let mut changes = events.of_kind("coverage").filter(|e| text(e, &["session"]) != before);
        let anna = |e: &&Value| text(e, &["coverage_change", "person"]) == "anna";
        changes.find(anna).filter(|e| text(e, &["coverage_change", "state"]) == "covered").map(|_| ())
    })?;
    let question = json!({"v": 1, "op": "may", "account": shared.name, "audit_session": audit_session});
    let told = ask(stage, &question.to_string())?;
    ensure!(text(&told, &["decision"]) == "allow", "while it is only observed everything is allowed: {told}");
    leave(stage, terminal, 2)?;
    stage.finish(running)?;
    Ok(())
}

/// Anna asks, the boss approves; both documents lie where everybody may read them.
fn asked_and_approved(stage: &Stage, office: &Office) -> Result<(PathBuf, PathBuf)> {
    let wish = ["request", "--person", "anna", "--host", "*", "--for", "2h", "--privilege", "root"];
    let mut wish = wish.to_vec();
    wish.extend(["--reason", "the disk is full", "--incident", "pagerduty:PD-7"]);
    let request = office.write(stage, "anna", &wish)?;
    let approval = office.write(stage, "boss", &["approve", &request.display().to_string()])?;
    let desk = stage.dir.join("desk");
    fs::create_dir(&desk)?;
    let mut handed = Vec::new();
    for document in [request, approval] {
        let to = desk.join(document.file_name().context("no name")?);
        for (from, to) in [(document.clone(), to.clone()), (signature(&document), signature(&to))] {
            fs::copy(from, &to)?;
            fs::set_permissions(&to, fs::Permissions::from_mode(0o644))?;
        }
        handed.push(to);
    }
    let [request, approval] =
        <[PathBuf; 2]>::try_from(handed).map_err(|_| anyhow::anyhow!("two documents"))?;
    Ok((request, approval))
}

/// What nobody should send. Each is answered or sent away, and the next question is answered as ever.
fn garbage(stage: &Stage) -> Result<()> {
    let good = r#"{"v":1,"op":"status"}"#;
    let deep = "[".repeat(200_000);
    let long = format!("{{\"v\":1,\"op\":\"{}\"}}", "x".repeat(300 << 10));
    for junk in [
        "",
        "\0\0\0",
        "{",
        "\u{ff}\u{fe}",
        "[1,2]",
        r#"{"v":1,"op":"status","uid":0}"#,
        r#"{"v":2,"op":"status"}"#,
        &deep,
        &long,
    ] {
        let mut stream = UnixStream::connect(&stage.site.socket)?;
        stream.set_read_timeout(Some(stage.limit(20)))?;
        // It may be sent away before it has said everything.
        let _ = stream.write_all(format!("{junk}\n").as_bytes());
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told);
        ensure!(
            !String::from_utf8_lossy(&told).contains("\"ok\":true"),
            "{:.40}: {}",
            junk,
            String::from_utf8_lossy(&told)
        );
        ask(stage, good).with_context(|| format!("after {junk:.40}"))?;
    }
    // Some who say nothing and some who leave in the middle.
    let silent: Vec<UnixStream> =
        (0..5).map(|_| UnixStream::connect(&stage.site.socket)).collect::<std::io::Result<_>>()?;
    for _ in 0..50 {
        UnixStream::connect(&stage.site.socket)?.write_all(br#"{"v":1,"op":"add","document":""#)?;
    }
    let start = Instant::now();
    proc::until("an answer beside those who say nothing", stage.limit(20), || ask(stage, good).ok())?;
    ensure!(start.elapsed() < stage.limit(2), "the silent ones held it up for {:?}", start.elapsed());
    drop(silent);
    Ok(())
}

/// One who comes second is told so, and the first goes on.
fn second_recorder(stage: &Stage) -> Result<()> {
    let dir = stage.dir.join("second");
    let site = Site::prepare(&stage.world.recorder, &dir, &stage.world.backend)?;
    let text = fs::read_to_string(&site.config)?;
    let first = stage.site.socket.display().to_string();
    fs::write(&site.config, text.replace(&site.socket.display().to_string(), &first))?;
    let (status, said) = site.launch()?.end(stage.limit(60))?;
    ensure!(
        status.code() == Some(74) && said.contains("another recorder"),
        "the second ended with {status}: {said}"
    );
    ensure!(!site.journal.exists(), "the second began a journal");
    ask(stage, r#"{"v":1,"op":"status"}"#)?;
    Ok(())
}

/// One question as root, and its answer.
fn ask(stage: &Stage, question: &str) -> Result<Value> {
    let mut stream = UnixStream::connect(&stage.site.socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    writeln!(stream, "{question}")?;
    let mut told = String::new();
    stream.read_to_string(&mut told)?;
    let answer: Value = serde_json::from_str(&told).with_context(|| format!("{told:?} is no answer"))?;
    if answer.get("ok") != Some(&Value::Bool(true)) {
        bail!("{question}: {told}");
    }
    Ok(answer)
}

fn as_user(
    stage: &Stage,
    binary: &Path,
    account: &Account,
    words: &[&str],
    files: &[&Path],
) -> Result<Output> {
    let mut command = Command::new(binary);
    command.args(words).arg("--socket").arg(&stage.site.socket).args(files);
    output(command.uid(account.uid).gid(account.gid))
}

/// The expected exit code; gives standard output. `said` is on standard error.
fn expect(out: &Output, code: i32, said: &str) -> Result<String> {
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    ensure!(
        out.status.code() == Some(code) && error.contains(said),
        "ended with {}: {error}{told}",
        out.status
    );
    Ok(told)
}

/// Where a throw-away user can run it.
fn copy_of_recorder(stage: &Stage) -> Result<PathBuf> {
    let copy = stage.dir.join("recorder");
    fs::copy(&stage.world.recorder, &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    Ok(copy)
}
