//! Grants: who asked, who approved, until when, tied to what was done (docs/attacks.md, group H).

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::{Account, Sudo},
    journal::{self, Events, field, number, text},
    proc,
};
use serde_json::Value;

use crate::{
    hostile::output,
    secrets::leave,
    stage::{Stage, quiet},
};

/// People with keys, the lists that decide, and the directory that documents are put into.
pub(crate) struct Office {
    pub(crate) dir: PathBuf,
    grants: PathBuf,
}

impl Office {
    /// Anna works, the boss approves; the configuration of the stage names all of it.
    pub(crate) fn open(stage: &Stage, account: &Account) -> Result<Self> {
        let dir = stage.dir.join("office");
        let grants = stage.dir.join("grants.d");
        fs::create_dir(&dir)?;
        fs::create_dir(&grants)?;
        let mut signers = String::new();
        for person in ["anna", "boss"] {
            let key = dir.join(person);
            quiet(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-C", person, "-f", &key.display().to_string()],
            )?;
            let public = fs::read_to_string(key.with_extension("pub"))?;
            let _ = write!(signers, "{person} namespaces=\"recorder-grant\" {public}");
        }
        fs::write(dir.join("allowed_signers"), signers)?;
        fs::write(dir.join("nobody"), "")?;
        let policy = format!(
            "max_window = \"8h\"\nbreak_glass = [\"anna\"]\n[people.anna]\naccounts = [\"{}\"]\n[[approve]]\napprovers = [\"boss\"]\npersons = [\"*\"]\nhosts = [\"*\"]\nprivileges = [\"root\"]\n",
            account.name
        );
        fs::write(dir.join("policy.toml"), policy)?;
        let config = fs::read_to_string(&stage.site.config)?;
        let section = format!(
            "{config}[grants]\ndir = \"{}\"\nmemory = \"{2}/memory\"\npolicy = \"{1}/policy.toml\"\nallowed_signers = \"{1}/allowed_signers\"\n",
            grants.display(),
            dir.display(),
            stage.dir.display()
        );
        fs::write(&stage.site.config, section)?;
        Ok(Self { dir, grants })
    }

    /// More keys of `[grants]`.
    pub(crate) fn configure(stage: &Stage, keys: &str) -> Result<()> {
        let config = fs::read_to_string(&stage.site.config)?;
        Ok(fs::write(&stage.site.config, config.replacen("[grants]\n", &format!("[grants]\n{keys}"), 1))?)
    }

    /// Somebody writes and signs a document; gives its path.
    pub(crate) fn write(&self, stage: &Stage, who: &str, words: &[&str]) -> Result<PathBuf> {
        let before = documents(&self.dir)?;
        let mut command = std::process::Command::new(&stage.world.recorder);
        command.arg("grant").args(words).args(["--signer", who, "--key"]).arg(self.dir.join(who));
        let out = output(command.arg("--out").arg(&self.dir))?;
        ensure!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
        let new = documents(&self.dir)?.into_iter().find(|path| !before.contains(path));
        new.with_context(|| format!("{words:?} wrote no document"))
    }

    /// Anna asks, the boss approves, both documents are delivered.
    pub(crate) fn grant(&self, stage: &Stage, host: &str, privilege: &str, window: &[&str]) -> Result<()> {
        let mut words = vec!["request", "--person", "anna", "--host", host, "--privilege", privilege];
        words.extend(window.iter().copied().chain(["--reason", "work"]));
        let request = self.write(stage, "anna", &words)?;
        let approval = self.write(stage, "boss", &["approve", &request.display().to_string()])?;
        self.deliver(&request)?;
        self.deliver(&approval)?;
        Ok(())
    }

    /// Puts a document with its signature where the recorder looks.
    pub(crate) fn deliver(&self, document: &Path) -> Result<PathBuf> {
        let name = document.file_name().context("no name")?;
        let to = self.grants.join(name);
        fs::copy(signature(document), signature(&to))?;
        fs::copy(document, &to)?;
        Ok(to)
    }
}

pub(crate) fn signature(document: &Path) -> PathBuf {
    document.with_extension("toml.sig")
}

fn documents(dir: &Path) -> Result<Vec<PathBuf>> {
    let all = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(all
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "toml") && !p.ends_with("policy.toml"))
        .collect())
}

/// Nothing, then a grant, then its revocation, in the middle of one session; and a restart that revives nothing.
pub(crate) fn grant_covers_a_session(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let office = Office::open(stage, &oncall)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    terminal.ask(&format!("{}; echo did-$((40+2))", stage.noop("before")), "did-42", stage.limit(20))?;
    coverage(stage, "uncovered", Some("no_grant"))?;

    let wish = ["request", "--person", "anna", "--host", "*", "--for", "1h", "--privilege", "root"];
    let mut wish = wish.to_vec();
    wish.extend(["--reason", "the disk is full", "--incident", "pagerduty:PD-7"]);
    let request = office.write(stage, "anna", &wish)?;
    let request_path = request.display().to_string();
    let approval = office.write(stage, "boss", &["approve", &request_path])?;
    office.deliver(&request)?;
    office.deliver(&approval)?;
    coverage(stage, "covered", None)?;
    terminal.ask(&format!("{}; echo did-$((40+3))", stage.noop("during")), "did-43", stage.limit(20))?;

    // H3: revoked in the middle.
    let revocation = office.write(stage, "boss", &["revoke", &request_path, "--reason", "that is enough"])?;
    let revoked = office.deliver(&revocation)?;
    coverage(stage, "uncovered", Some("revoked"))?;
    terminal.ask(&format!("{}; echo did-$((40+4))", stage.noop("after")), "did-44", stage.limit(20))?;

    // H6: one byte of the approval is another.
    let edited = office.dir.join("edited.toml");
    let bytes = fs::read_to_string(&approval)?.replace("version = 1", "version = 1 ");
    fs::write(&edited, bytes)?;
    fs::copy(signature(&approval), signature(&edited))?;
    let lies = office.deliver(&edited)?;
    proc::until("the edited document is put aside", stage.limit(20), || (!lies.exists()).then_some(()))?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;

    let id = grant_id(&events)?;
    for (tag, expected, grant) in [
        ("before", "uncovered", None),
        ("during", "covered", Some(id.as_str())),
        ("after", "uncovered", None),
    ] {
        let tag = stage.tag(tag);
        let exec = events.execs_with(&tag).last().with_context(|| format!("no exec of {tag}"))?;
        ensure!(text(exec, &["coverage"]) == expected, "{tag} is {}", exec["coverage"]);
        ensure!(exec["grant"].as_str() == grant, "{tag} has the grant {}", exec["grant"]);
    }
    let refused = events.of_kind("grant").find(|e| text(e, &["grant_change", "act"]) == "refused");
    let why = text(refused.context("the edited document is not on record")?, &["grant_change", "text"]);
    ensure!(why.contains("signature"), "the edited document was refused because: {why}");
    let session = events.session_of(&stage.tag("during"))?;
    let listed = journal::sessions(&stage.site)?;
    let found = listed.iter().find(|s| text(s, &["id"]) == session).context("the session is not listed")?;
    ensure!(
        text(found, &["person"]) == "anna" && text(found, &["coverage"]) == "uncovered",
        "the session is listed as {found}"
    );
    let story = String::from_utf8(stage.site.read_ok(&["timeline", &session])?)?;
    for part in ["uncovered, no grant", "covered by grant", "incident pagerduty:PD-7", "uncovered, revoked"] {
        ensure!(story.contains(part), "the timeline does not tell {part:?}:\n{story}");
    }

    let done = Events::parse(&stage.site.read_ok(&["events", "--format", "ndjson", "--grant", &id])?)?;
    ensure!(
        done.execs_with(&stage.tag("during")).next().is_some(),
        "--grant does not show what was done under it"
    );
    ensure!(done.execs_with(&stage.tag("after")).next().is_none(), "--grant shows what was done after it");
    let shown: Value =
        serde_json::from_slice(&stage.site.read_ok(&["grant", "show", &id, "--format", "json"])?)?;
    ensure!(
        text(&shown, &["state"]) == "revoked"
            && shown.pointer("/stretches/0/session") == Some(&session.clone().into()),
        "grant show tells {shown}"
    );

    // The investigator's own list: his confirms everything, another one nothing.
    for (list, good) in [("allowed_signers", 3), ("nobody", 0)] {
        let list = office.dir.join(list);
        let words = ["verify", "--format", "json", "--allowed-signers", &list.display().to_string()];
        let verdict: Value = serde_json::from_slice(&stage.site.read_ok(&words)?)?;
        let found = (number(&verdict, &["grants", "checked"]), number(&verdict, &["grants", "good"]));
        ensure!(found == (Some(3), Some(good)), "{}: verify tells {verdict}", list.display());
    }

    // The journal is the memory: without the revocation's file a restart revives nothing.
    fs::remove_file(&revoked)?;
    fs::remove_file(signature(&revoked))?;
    let running = stage.record()?;
    let terminal = stage.elevated(&oncall, &[&stage.workload(), "noop", &stage.tag("later")])?;
    terminal.finish(stage.limit(20))?;
    let events = stage.finish(running)?;
    let tag = stage.tag("later");
    let exec = events.execs_with(&tag).last().context("no exec after the restart")?;
    ensure!(text(exec, &["coverage"]) == "uncovered", "after the restart it is {}", exec["coverage"]);
    known_without_reading_back(stage, &oncall)
}

/// A start reads from what was remembered last on: the segment that has the documents is away while it does.
fn known_without_reading_back(stage: &Stage, oncall: &Account) -> Result<()> {
    let first = journal::segments(&stage.site.journal)?.into_iter().next().context("no segment")?;
    let away = stage.dir.join("away");
    fs::rename(&first, &away)?;
    let running = stage.record()?;
    fs::rename(&away, &first)?;
    stage.elevated(oncall, &[&stage.workload(), "noop", &stage.tag("without")])?.finish(stage.limit(20))?;
    let events = stage.finish(running)?;
    let session = events.session_of(&stage.tag("without"))?;
    let of_session = |e: &&Value| text(e, &["session"]) == session;
    let said = events.of_kind("coverage").filter(of_session).last().context("no coverage")?;
    let reason = text(said, &["coverage_change", "reason"]);
    ensure!(reason == "revoked", "with the documents' segment away the session is uncovered: {reason}");
    let remembered = events.of_kind("grant").filter(|e| text(e, &["grant_change", "act"]) == "memory");
    // Each of three runs did at its start and at its end.
    let count = remembered.count();
    ensure!(count == 6, "{count} records of what is remembered");
    Ok(())
}

/// H1, H8, H10: one session goes through every reason, each nearer to a grant than the one before.
pub(crate) fn every_reason_has_its_name(stage: &mut Stage) -> Result<()> {
    let anna = stage.account("anna", Sudo::Free)?;
    let ben = stage.account("ben", Sudo::Free)?;
    let office = Office::open(stage, &anna)?;
    let running = stage.record()?;
    // Nobody knows whose account this is.
    let mut terminal = stage.shell(&ben)?;
    stage.become_root(&mut terminal)?;
    coverage(stage, "uncovered", Some("unattributed"))?;
    leave(stage, terminal, 2)?;

    let mut terminal = stage.shell(&anna)?;
    stage.become_root(&mut terminal)?;
    coverage(stage, "uncovered", Some("no_grant"))?;
    let hour = ["--for", "1h"];
    let from = far_away();
    let later = ["--from", from.as_str(), "--for", "1h"];
    for (host, privilege, window, reason) in [
        ("elsewhere-*", "root", &hour[..], "wrong_host"),
        ("*", "user:nobody", &hour, "wrong_privilege"),
        ("*", "root", &later, "early"),
    ] {
        office.grant(stage, host, privilege, window)?;
        coverage(stage, "uncovered", Some(reason))?;
    }
    // A window that is long enough to be seen and short enough to be waited for.
    let moment = format!("{}s", stage.limit(4).as_secs());
    office.grant(stage, "*", "root", &["--for", &moment])?;
    coverage(stage, "covered", None)?;
    // H2: what was started under the grant and left behind outlives it.
    terminal.ask(
        "setsid sleep 60 </dev/null >/dev/null 2>&1 & echo left-$((40+2))",
        "left-42",
        stage.limit(20),
    )?;
    coverage(stage, "uncovered", Some("late"))?;
    let glass =
        ["break-glass", "--reason", "the pager rings", "--host", "*", "--for", "1h", "--privilege", "root"];
    office.deliver(&office.write(stage, "anna", &glass)?)?;
    coverage(stage, "break_glass", None)?;
    terminal.ask(&format!("{}; echo did-$((40+2))", stage.noop("glass")), "did-42", stage.limit(20))?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let sleeper =
        events.of_kind("exec").find(|e| journal::argv(e).eq(["sleep", "60"])).context("no sleep")?;
    let late =
        events.of_kind("overdue").any(|e| field(e, &["overdue", "pid"]) == field(sleeper, &["task", "pid"]));
    ensure!(late, "the process that outlives its grant is not said to");
    let tag = stage.tag("glass");
    let exec = events.execs_with(&tag).last().context("no exec under the broken glass")?;
    ensure!(text(exec, &["coverage"]) == "break_glass", "under the broken glass it is {exec}");
    Ok(())
}

/// Tomorrow, as a script would write it.
fn far_away() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("@{}", now.as_secs() + 86_400)
}

/// Waits until the newest word about the session's coverage is this.
pub(crate) fn coverage(stage: &Stage, state: &str, reason: Option<&str>) -> Result<()> {
    proc::until(&format!("the session is {state} ({reason:?})"), stage.limit(20), || {
        let events = Events::load(&stage.site).ok()?;
        let last = events.of_kind("coverage").last()?;
        let same = text(last, &["coverage_change", "state"]) == state
            && field(last, &["coverage_change", "reason"]).and_then(Value::as_str) == reason;
        same.then_some(())
    })
}

/// The only request's id.
fn grant_id(events: &Events) -> Result<String> {
    let request = events.of_kind("grant").find(|e| text(e, &["grant_change", "kind"]) == "request");
    Ok(text(request.context("no request is on record")?, &["grant_change", "document"]).to_owned())
}
