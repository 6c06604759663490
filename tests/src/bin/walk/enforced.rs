//! Grants are enforced: who has none does not become root, what outlives one is ended, and nothing else is
//! (docs/enforcement.md; docs/attacks.md, H2, H3, H8).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use recorder_tests::{
    journal::{self, Events, field, number, text},
    pty::Terminal,
    recorder::Site,
    walk::office::{ANNA, BERT, Document},
};
use serde_json::Value;

use crate::{
    Walk,
    inquest::{named_overdue, program, verdicts_of_grants, whole},
};

/// What is left behind under a grant: the first two as people do who want it to live on. Each is a `sleep` by another name.
const LEFT: [&str; 3] = ["kept-in-tmux", "kept-by-nohup", "kept-by-setsid"];
/// What nobody may end: his own job that was never elevated, and what another person runs as root under his own grant.
const OTHERS: [&str; 2] = ["own-job", "others-job"];
/// Longer than any walk.
const LONG: &str = "3600";
const AWAY: &str = "</dev/null >/dev/null 2>&1";

/// What was refused at which lack of coverage, by tag.
const REFUSED: [(&str, &str); 3] = [("nothing", "no_grant"), ("late", "late"), ("revoked", "revoked")];

/// One story: refused, granted, told, ended with all that was left behind; saved by broken glass, and revoked at work.
pub(crate) fn grants_enforced(walk: &Walk) -> Result<()> {
    let (machine, office) = (walk.machine, &walk.office);
    let names = LEFT.iter().chain(&OTHERS).map(|name| format!("ln -sf /bin/sleep /usr/local/bin/{name}"));
    machine.ok("root", &names.collect::<Vec<_>>().join(" && "))?;
    let service =
        walk.service("enforcement = \"enforce\"\ngrace = \"5s\"\n[notices]\nbefore_end = \"20s\"\n")?;
    let origin = walk.dir.join("origin.note");
    service.origin(&origin)?;
    walk.step("the service is active");

    let mut shell = machine.terminal("oncall1")?;
    refused(walk, &mut shell, "nothing", "you have no grant for this host")?;
    // Root's own logins are the way in when everything else is shut.
    machine.ok("root", &format!("/bin/true {}", walk.tag("root")))?;
    walk.step("oncall1 was refused and told why");

    let his = office.grant_to(BERT, "1h", &[])?;
    service.hand_in("oncall2", &[&his[0], &his[1]])?;
    service.until_grant(&his[0].id, "active")?;
    leave(walk, "oncall2", &format!("sudo -n {} {LONG}", OTHERS[1]))?;
    leave(walk, "oncall1", &format!("{} {LONG}", OTHERS[0]))?;
    walk.step("oncall2 works under his own grant");

    // As short as this machine lets it be: what has to fit in takes less than a start.
    let window = (machine.start() * 2).max(Duration::from_secs(40));
    let short = office.grant(&format!("{}s", window.as_secs()), &["--incident", "pagerduty:PD-7"])?;
    service.hand_in("oncall1", &[&short[0], &short[1]])?;
    service.until_grant(&short[0].id, "active")?;
    walk.step(&format!("oncall1 handed in a grant for {} s himself", window.as_secs()));
    status(walk, &short[0], window)?;
    walk.step("and the recorder says so");
    let before = shell.mark();
    become_root(walk, &mut shell, "short")?;
    let [tmux, nohup, setsid] = LEFT;
    // nohup would close the terminal that tmux watches.
    shell.type_line(&format!("tmux -L walk new-session -d \"trap '' HUP; exec {tmux} {LONG}\""))?;
    shell.type_line(&format!("nohup {nohup} {LONG} {AWAY} & setsid {setsid} {LONG} {AWAY} &"))?;
    running(walk, &LEFT, &LEFT)?;
    walk.step("as root he left things behind");
    let limit = window + machine.limit(20);
    shell.wait_for("recorder: your grant ends in", before, limit)?;
    shell.wait_for("recorder: your grant is over; this session is ended", before, limit)?;
    running(walk, &LEFT, &[])?;
    running(walk, &OTHERS, &OTHERS)?;
    is_back(walk, &mut shell)?;
    walk.step("the grant is over, and all that was left behind with it");
    refused(walk, &mut shell, "late", "your grant is over")?;
    machine.ok("oncall2", &format!("sudo -n true {}", walk.tag("other")))?;
    walk.step("oncall1 is refused again, oncall2 is not");

    let glass =
        ["break-glass", "--host", "*", "--for", "1h", "--privilege", "root", "--reason", "the pager rings"];
    let glass = office.write(ANNA, &glass)?;
    service.hand_in("oncall1", &[&glass])?;
    service.until_grant(&glass.id, "active")?;
    let before = shell.mark();
    become_root(walk, &mut shell, "glass")?;
    walk.step("oncall1 broke the glass and is root");
    let why = ["revoke", &glass.path.display().to_string(), "--reason", "that is enough"];
    let revocation = office.write(BERT, &why)?;
    service.hand_in("oncall2", &[&revocation])?;
    shell.wait_for("recorder: your grant was revoked; this session is ended", before, machine.limit(20))?;
    service.until_grant(&glass.id, "revoked")?;
    is_back(walk, &mut shell)?;
    refused(walk, &mut shell, "revoked", "your grant was revoked")?;
    running(walk, &OTHERS, &OTHERS)?;
    walk.step("it was revoked, and his shell ended with it");
    shell.type_line("exit")?;
    shell.finish(machine.limit(20))?;

    service.systemctl("stop")?;
    let site = walk.take_journal()?;
    // The service refuses nobody any more; what it did not end still runs.
    running(walk, &OTHERS, &OTHERS)?;
    machine.ok("root", &OTHERS.map(|name| format!("pkill -x {name}")).join(" && "))?;
    walk.step("stopped, and the journal is here");
    // Two requests and two approvals, a broken glass, its revocation.
    whole(walk, &site, &origin, 6, &[])?;
    let (his, short, glass) = (his[0].id.as_str(), short[0].id.as_str(), glass.id.as_str());
    verdicts_of_grants(&site, &[(his, "active"), (short, "expired"), (glass, "revoked")])?;
    let events = Events::load(&site)?;
    events.nothing_lost()?;
    coverage(walk, &site, &events, [his, short, glass])?;
    refusals(walk, &site, &events)?;
    ends(walk, &site, &events, short)?;
    walk.step("an investigator finds exactly that");
    Ok(())
}

/// Tries sudo in his shell, and is refused by an error, with a notice on the same terminal.
fn refused(walk: &Walk, shell: &mut Terminal, tag: &str, why: &str) -> Result<()> {
    let (from, limit) = (shell.mark(), walk.machine.limit(20));
    let asked = format!("sudo -n true {}; echo refused-$?-$((40+2))", walk.tag(tag));
    let end = shell.ask(&asked, "-42", limit)?;
    shell.wait_for(why, from, limit)?;
    let shown = String::from_utf8_lossy(shell.shown().get(from..end).unwrap_or_default()).into_owned();
    ensure!(
        shown.contains("Operation not permitted") && !shown.contains("refused-0-42"),
        "sudo without a grant came to {shown}"
    );
    Ok(())
}

/// A root shell by sudo, in which one program with this tag was run.
fn become_root(walk: &Walk, shell: &mut Terminal, tag: &str) -> Result<()> {
    shell.type_line("sudo -n bash --norc")?;
    let asked = format!("/bin/true {} && echo root-$(id -u)-$((40+2))", walk.tag(tag));
    shell.ask(&asked, "root-0-42", walk.machine.limit(20)).map(drop)
}

/// His own shell answers on the terminal again.
fn is_back(walk: &Walk, shell: &mut Terminal) -> Result<()> {
    shell.ask("echo back-$(id -un)-$((40+2))", "back-oncall1-42", walk.machine.limit(20)).map(drop)
}

/// Somebody starts something that goes on when he has gone.
fn leave(walk: &Walk, who: &str, words: &str) -> Result<()> {
    walk.machine.ok(who, &format!("setsid {words} {AWAY} &")).map(drop)
}

/// Waits until of these programs exactly those run, each once.
fn running(walk: &Walk, of: &[&str], those: &[&str]) -> Result<()> {
    let line = format!("ps -C {} -o comm= | sort", of.join(","));
    let mut those = those.to_vec();
    those.sort_unstable();
    walk.machine.until(&format!("of {of:?} {those:?} run"), &line, |out| {
        String::from_utf8_lossy(&out.stdout).lines().eq(those.iter().copied()).then_some(())
    })
}

/// `recorder status` in his ssh shell and in a session: who is recorded, under what, for how long.
fn status(walk: &Walk, grant: &Document, window: Duration) -> Result<()> {
    let asked = "recorder status --format json; echo $?; sudo -n recorder status --format json && sudo -n recorder status";
    let told = walk.machine.ok("oncall1", asked)?;
    let (outside, inside) = told.split_once("\n1\n").with_context(|| format!("status says {told}"))?;
    let outside: Value = serde_json::from_str(outside).context("status printed no JSON")?;
    let mine = outside.pointer("/grants/0").context("status names no grant")?;
    ensure!(
        field(&outside, &["session"]).is_some_and(Value::is_null)
            && (text(mine, &["id"]), text(mine, &["state"])) == (&grant.id, "active"),
        "outside of a session status says {outside}"
    );
    let mut values = serde_json::Deserializer::from_str(inside).into_iter::<Value>();
    let Some(Ok(answer)) = values.next() else { bail!("status printed no JSON in a session: {inside}") };
    let words = inside.get(values.byte_offset()..).unwrap_or_default();
    let session = field(&answer, &["session"]).context("no session")?;
    let of = |key| text(session, &[key]);
    ensure!(
        [of("coverage"), of("grant"), of("person"), of("account"), of("incident")]
            == ["covered", &grant.id, ANNA, "oncall1", "pagerduty:PD-7"],
        "in a session status says {answer}"
    );
    let left = number(session, &["left_s"]);
    ensure!(left.is_some_and(|left| (1..=window.as_secs()).contains(&left)), "time left: {left:?}");
    let short = grant.id.get(..12).unwrap_or_default();
    ensure!([short, "PD-7"].iter().all(|part| words.contains(part)), "for people status says {words}");
    Ok(())
}

/// What ran ran under what allowed it, and is the session of who did it.
fn coverage(walk: &Walk, site: &Site, events: &Events, [his, short, glass]: [&str; 3]) -> Result<()> {
    let listed = journal::sessions(site)?;
    for (tag, account, person, state, grant) in [
        ("short", "oncall1", ANNA, "covered", short),
        ("other", "oncall2", BERT, "covered", his),
        ("glass", "oncall1", ANNA, "break_glass", glass),
        ("root", "root", "", "uncovered", ""),
    ] {
        let tagged = walk.tag(tag);
        let exec = events.execs_with(&tagged).last().with_context(|| format!("no exec of {tag}"))?;
        let told = (text(exec, &["user", "name"]), text(exec, &["coverage"]), text(exec, &["grant"]));
        ensure!(told == (account, state, grant), "{tag} is recorded as {exec}");
        let session = events.session_of(&tagged)?;
        let found = listed.iter().find(|s| text(s, &["id"]) == session).context("a session is not listed")?;
        ensure!(text(found, &["person"]) == person, "{tag} is listed as {found}");
    }
    // Nothing was done to anybody but oncall1's sessions.
    for done in events.of_kind("enforcement") {
        let session = listed.iter().find(|s| text(s, &["id"]) == text(done, &["session"]));
        ensure!(session.is_some_and(|s| text(s, &["user"]) == "oncall1"), "enforced was {done}");
    }
    Ok(())
}

/// Each refused sudo has one record with its reason, and no program behind it.
fn refusals(walk: &Walk, site: &Site, events: &Events) -> Result<()> {
    for (tag, reason) in REFUSED {
        let tagged = walk.tag(tag);
        let session = events.session_of(&tagged)?;
        let done: Vec<_> =
            events.of_kind("enforcement").filter(|e| text(e, &["session"]) == session).collect();
        let told: Vec<_> = done
            .iter()
            .map(|e| ["act", "reason", "text"].map(|key| text(e, &["enforcement", key])))
            .filter(|[act, ..]| *act != "told")
            .collect();
        ensure!(told == [["refused", reason, "/usr/bin/true"]], "{tag} is on record as {done:?}");
        let ran = events.execs_with(&tagged).find(|e| text(e, &["exec", "path"]) == "/usr/bin/true");
        ensure!(ran.is_none(), "{tag} ran: {ran:?}");
        let story = String::from_utf8(site.read_ok(&["timeline", &session])?)?;
        ensure!(
            story.contains(&format!("not started: /usr/bin/true ({reason})")),
            "the timeline of {tag} does not tell the refusal:\n{story}"
        );
    }
    let count = events.of_kind("enforcement").filter(|e| text(e, &["enforcement", "act"]) == "refused");
    ensure!(count.count() == REFUSED.len(), "more was refused than was tried");
    Ok(())
}

/// All that outlived the grant was flagged, told to end and, if it did not, ended: all of it, and only that.
fn ends(walk: &Walk, site: &Site, events: &Events, grant: &str) -> Result<()> {
    let session = events.session_of(&walk.tag("short"))?;
    let late = named_overdue(events, grant);
    let expected = ["bash", LEFT[0], LEFT[1], LEFT[2], "tmux"];
    let expected: BTreeMap<_, _> = expected.iter().map(|name| ((*name).to_owned(), 1)).collect();
    ensure!(late == expected, "overdue are {late:?}");
    let acts = |act: &'static str| {
        events.of_kind("enforcement").filter(move |e| text(e, &["enforcement", "act"]) == act)
    };
    let hung: Vec<_> = acts("hung_up").collect();
    let [first, second] = hung.as_slice() else { bail!("told to end were {hung:?}") };
    let reason = |e: &Value| text(e, &["enforcement", "reason"]).to_owned();
    ensure!((reason(first), reason(second)) == ("late".to_owned(), "revoked".to_owned()), "{hung:?}");
    ensure!(
        text(first, &["session"]) == session
            && number(first, &["enforcement", "count"]).is_some_and(|n| n >= 5),
        "told to end were {first}"
    );
    // Who ignores the signal is killed, and these do.
    let killed: Vec<_> = acts("killed").filter(|e| text(e, &["session"]) == session).collect();
    let names: BTreeSet<_> =
        killed.iter().filter_map(|e| program(events, number(e, &["enforcement", "pid"])?)).collect();
    ensure!(
        [LEFT[0], LEFT[1], "tmux"].iter().all(|name| names.contains(name)),
        "ended were {names:?}: {killed:?}"
    );
    for one in events.of_kind("overdue") {
        let pid = number(one, &["overdue", "pid"]);
        let end = events.of_kind("exit").find(|e| number(e, &["task", "pid"]) == pid);
        ensure!(end.is_some(), "nothing says that this ended: {one}");
    }
    let story = String::from_utf8(site.read_ok(&["timeline", &session])?)?;
    for part in ["ENFORCED", "processes told to end (late)", "OVERDUE", "ended: "] {
        ensure!(story.contains(part), "the timeline does not tell {part:?}:\n{story}");
    }
    Ok(())
}
