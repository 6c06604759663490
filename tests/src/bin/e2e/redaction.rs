//! Secrets in arguments, in assignments and at prompts (docs/attacks.md, G7): in no byte of the journal, and told where they were.

use std::{collections::BTreeSet, fmt::Write as _, fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::{Sudo, random_word},
    journal::{Events, number, text},
    proc,
    pty::Terminal,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    secrets::{absent, leave},
    stage::Stage,
};

/// Good for nothing else.
const IDENTITY: &str = "AGE-SECRET-KEY-1FAAXKXJAN07QQF5W8CA0ELLJXS5EH8X6NWWV9G293DLLQEM7F3SQAGES2A";
const RECIPIENT: &str = "age1xtfn6qtn3qkj8rr5p5umqpyl9ragv5sf54hqnthx383j92v5vfgqpkruy0";

/// Program, arguments with `#` for the secret, index of the argument, offset in it.
const CASES: [(&str, &[&str], u64, u64); 16] = [
    ("mysql", &["-p#", "db"], 1, 2),
    ("tool", &["--password=#"], 1, 11),
    ("tool", &["--token", "#"], 2, 0),
    ("tool", &["--api-key", "#", "x"], 2, 0),
    ("curl", &["-u", "me:#", "x"], 2, 3),
    ("curl", &["-H", "Authorization: Bearer #"], 2, 22),
    ("curl", &["-d", "{\"password\": \"#\"}"], 2, 14),
    ("env", &["AWS_SECRET_ACCESS_KEY=#", "x"], 1, 22),
    ("env", &["PGPASSWORD=# and more"], 1, 11),
    ("git", &["clone", "https://me:#@host/x"], 2, 11),
    ("openssl", &["rsa", "-passin", "pass:#"], 3, 5),
    ("sshpass", &["-p", "#", "ssh", "-p", "22"], 2, 0),
    ("sh-c", &["sh", "-c", "mysql -p'#' db"], 3, 9),
    ("sh-c", &["sh", "-c", "export X_TOKEN=#; run"], 3, 15),
    ("sh-c", &["sh", "-c", "echo root:# | chpasswd"], 3, 10),
    ("sh-c", &["mysql", "-e", "ALTER USER x IDENTIFIED BY '#'"], 3, 28),
];
/// Words that look like some of these and are none.
const PLAIN: [&[&str]; 5] = [
    &["mkdir", "-p", "dir"],
    &["tool", "--password-file", "/etc/x"],
    &["passwd", "oncall1"],
    &["ssh", "-p", "22"],
    &["git", "log", "--author=x"],
];

/// What was used in a run.
struct Used {
    /// One for each case, with the last word of its arguments; the second case has the first one's secret.
    cases: Vec<(String, String)>,
    /// At prompts.
    typed: Vec<String>,
    /// The last word of each plain one.
    plain: Vec<String>,
}

impl Used {
    fn first(&self) -> Result<&(String, String)> {
        self.cases.first().context("no case")
    }
}

pub(crate) fn g7_secrets(stage: &mut Stage) -> Result<()> {
    let (used, events) = session(stage, "open")?;
    judge(stage, &used, &events, false)?;

    let identity = stage.dir.join("identity");
    fs::write(&identity, format!("{IDENTITY}\n"))?;
    fs::rename(&stage.site.journal, stage.dir.join("open-journal"))?;
    stage.site.seal(&[RECIPIENT], &identity)?;
    memory(stage)?;
    let (used, events) = session(stage, "sealed")?;
    judge(stage, &used, &events, true)?;
    hashes(stage, &used, &events)
}

/// Adds a section for what the host keeps: none of it may go where a real recorder's lies.
fn memory(stage: &Stage) -> Result<()> {
    let config = fs::read_to_string(&stage.site.config)?;
    Ok(fs::write(&stage.site.config, format!("{config}[grants]\nmemory = {:?}\n", stage.path("memory")))?)
}

/// A session in which a script that echoes nothing has its secrets in many places, and a person types others.
fn session(stage: &mut Stage, name: &str) -> Result<(Used, Events)> {
    let oncall = stage.account(name, Sudo::Free)?;
    let mut used = Used { cases: Vec::new(), typed: Vec::new(), plain: Vec::new() };
    let tools = stage.dir.join("tools");
    fs::create_dir_all(&tools)?;
    let mut script = String::from("exec >/dev/null 2>&1 </dev/null\n");
    let mut run = |program: &str, words: &[String], tag: &str| -> Result<()> {
        let path = tools.join(program);
        if !path.exists() {
            fs::copy(stage.workload(), &path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        let words: String = words.iter().fold(String::new(), |mut line, word| {
            let _ = write!(line, " '{}'", word.replace('\'', "'\\''"));
            line
        });
        // With its own environment, as people pass secrets, too.
        writeln!(script, "MYSQL_PWD=x{tag} {}{words} {tag}", path.display())?;
        Ok(())
    };
    for (no, (program, words, ..)) in CASES.iter().enumerate() {
        let secret = if no == 1 { used.first()?.0.clone() } else { random_word()? };
        let tag = stage.tag(&format!("{name}-{no}"));
        let words: Vec<String> = words.iter().map(|word| word.replace('#', &secret)).collect();
        run(program, &words, &tag)?;
        used.cases.push((secret, tag));
    }
    for (no, words) in PLAIN.iter().enumerate() {
        let tag = stage.tag(&format!("{name}-plain-{no}"));
        let (program, rest) = words.split_first().context("no program")?;
        let rest: Vec<String> = rest.iter().map(|word| (*word).to_owned()).collect();
        run(program, &rest, &tag)?;
        used.plain.push(tag);
    }
    let file = stage.dir.join(format!("{name}.sh"));
    fs::write(&file, script)?;

    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    terminal.ask(&format!("/bin/sh {}; echo ran-$((40+2))", file.display()), "ran-42", stage.limit(120))?;
    prompts(stage, &mut terminal, &oncall.name, &mut used)?;
    leave(stage, terminal, 2)?;
    Ok((used, stage.finish(running)?))
}

/// Types secrets where nothing is echoed, and where asterisks are.
fn prompts(stage: &Stage, terminal: &mut Terminal, account: &str, used: &mut Used) -> Result<()> {
    let mut ask = |terminal: &mut Terminal, line: &str, prompts: &[&str], done: &str| -> Result<()> {
        let secret = random_word()?;
        let (first, more) = prompts.split_first().context("no prompt")?;
        terminal.ask(line, first, stage.limit(20))?;
        for then in more.iter().chain([&done]) {
            let mark = terminal.mark();
            terminal.type_line(&secret)?;
            terminal.wait_for(then, mark, stage.limit(20))?;
        }
        used.typed.push(secret);
        Ok(())
    };
    // As getpass(3) does: sudo, su, ssh-add. What is typed is echoed nowhere, in line mode.
    let read = "stty -echo; printf 'Pass%s: ' word; read s; stty echo; echo got-$((40+2))";
    ask(terminal, read, &["Password: "], "got-42")?;
    // pwfeedback: each byte is read at once, and shown as an asterisk.
    let stars = "stty -icanon -echo; printf 'Sta%s: ' rs; while c=$(dd bs=1 count=1 2>/dev/null); [ -n \"$c\" ]; do printf '*'; done; stty icanon echo; echo got-$((40+3))";
    ask(terminal, stars, &["Stars: "], "got-43")?;
    if Path::new("/bin/bash").exists() {
        ask(terminal, "bash -c 'read -s -p \"Bas\"h:\\  s'; echo got-$((40+4))", &["Bash: "], "got-44")?;
    }
    if proc::on_path("ssh-keygen") {
        let key = stage.path("key");
        let _ = fs::remove_file(&key);
        let line = format!("ssh-keygen -q -t ed25519 -f {key}; echo got-$((40+5))");
        ask(terminal, &line, &["Enter passphrase", "Enter same"], "got-45")?;
    }
    if proc::on_path("passwd") && proc::on_path("useradd") {
        let line = format!("passwd {account}; echo got-$((40+6))");
        ask(terminal, &line, &["New password:", "Retype"], "got-46")?;
    }
    Ok(())
}

/// No secret anywhere, and each place told as it is.
fn judge(stage: &Stage, used: &Used, events: &Events, sealed: bool) -> Result<()> {
    for secret in used.cases.iter().map(|(secret, _)| secret).chain(&used.typed) {
        absent(stage, events, secret)?;
    }
    for (no, ((program, _, index, offset), (secret, tag))) in CASES.iter().zip(&used.cases).enumerate() {
        let (exec, told) = pair(events, tag).with_context(|| format!("case {no}, {program}"))?;
        let told = told.with_context(|| format!("case {no}, {program}: nothing stands behind {exec}"))?;
        ensure!(flags(exec).contains(&"redacted"), "case {no}: {exec}");
        let places = places(told);
        let [place] = places.as_slice() else { anyhow::bail!("case {no}: {told} of {exec}") };
        // Where more than the secret was one word, all of it went.
        let bytes = secret.len() + if *program == "env" && no == 8 { " and more".len() } else { 0 };
        let is = (
            text(told, &["redacted", "kind"]),
            text(place, &["field"]),
            number(place, &["index"]),
            number(place, &["offset"]),
            number(place, &["bytes"]),
        );
        let wanted = ("exec", "argv", Some(*index), Some(*offset), Some(u64::try_from(bytes)?));
        ensure!(is == wanted, "case {no}, {program}: {is:?}, not {wanted:?}");
        let hash = text(place, &["hash"]);
        ensure!(hash.is_empty() != sealed, "case {no}: the hash is {hash:?}");
    }
    for tag in &used.plain {
        let (exec, told) = pair(events, tag)?;
        ensure!(told.is_none() && flags(exec).is_empty(), "{exec} was changed");
    }
    let timeline = stage.site.read_ok(&["timeline", &events.session_of(&used.first()?.1)?])?;
    let timeline = String::from_utf8_lossy(&timeline).into_owned();
    ensure!(timeline.contains("mysql -p[redacted] db"), "{timeline}");
    let keys = events.of_kind("redaction_key").count();
    ensure!(keys == usize::from(sealed), "{keys} keys are told");
    Ok(())
}

/// The exec with that argument, and the record of what is gone from it, if there is one right behind it.
fn pair<'a>(events: &'a Events, tag: &'a str) -> Result<(&'a Value, Option<&'a Value>)> {
    let exec = events.execs_with(tag).next().with_context(|| format!("no exec with {tag}"))?;
    let session = text(exec, &["session"]);
    let mut own = events.0.iter().filter(|event| text(event, &["session"]) == session);
    let next = own.find(|event| std::ptr::eq(*event, exec)).and_then(|_| own.next());
    Ok((exec, next.filter(|event| text(event, &["kind"]) == "redacted")))
}

fn flags(event: &Value) -> Vec<&str> {
    event
        .pointer("/flags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn places(event: &Value) -> Vec<Value> {
    event.pointer("/redacted/places").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Equal secrets have equal hashes, others have others; who has the key can try a guess, and only recipients have it.
fn hashes(stage: &mut Stage, used: &Used, events: &Events) -> Result<()> {
    let key = events.of_kind("redaction_key").next().context("no key")?;
    let key = bytes(text(key, &["redaction_key", "key"]))?;
    let mut all = Vec::new();
    for (_, tag) in &used.cases {
        let told = pair(events, tag)?.1.context("nothing told")?;
        all.extend(places(told).first().map(|place| text(place, &["hash"]).to_owned()));
    }
    let [first, second, ..] = all.as_slice() else { anyhow::bail!("no hashes") };
    ensure!(first == second, "the same secret twice: {all:?}");
    let others: BTreeSet<&String> = all.iter().skip(1).collect();
    ensure!(others.len() == all.len() - 1, "other secrets, the same hash: {all:?}");
    ensure!(*first == hmac(&key, used.first()?.0.as_bytes()), "a guess can't be tried");

    stage.site.identity = None;
    let shut = Events::load(&stage.site)?;
    let twins: Vec<_> = shut.of_kind("redaction_key").collect();
    let empty = |twin: &&Value| text(twin, &["redaction_key", "key"]).is_empty();
    ensure!(twins.len() == 1 && twins.iter().all(empty), "{twins:?}");
    let kept = fs::read_dir(stage.dir.join("memory")).map(Iterator::count).unwrap_or_default();
    ensure!(kept == 0, "the host kept {kept} files");
    Ok(())
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let pairs = (0..hex.len() / 2).map(|at| hex.get(2 * at..2 * at + 2).unwrap_or_default());
    Ok(pairs.map(|pair| u8::from_str_radix(pair, 16)).collect::<Result<_, _>>()?)
}

/// RFC 2104, written down once more: the recorder's own is what is tested.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let padded = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    let outer = Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize();
    outer.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
