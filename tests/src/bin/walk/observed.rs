//! Grants are observed: who was allowed what until when, and what outlived it (docs/attacks.md, H2, H3, H4).

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    journal::{self, Events, number, text},
    proc,
    recorder::Site,
    walk::{
        office::{ANNA, BERT, Document},
        service::Service,
    },
};

use crate::{
    Walk,
    inquest::{named_overdue, verdicts_of_grants, whole},
};

/// Three ways to leave something behind. Each program is a `sleep` by another name.
const LEFT: [&str; 3] = ["left-in-tmux", "left-by-setsid", "left-by-nohup"];
/// Longer than any walk.
const LONG: &str = "3600";

/// What an act was under, as the walk knows it.
struct Act<'a> {
    tag: &'static str,
    account: &'static str,
    coverage: &'static str,
    grant: Option<&'a str>,
    /// The session's word at its end.
    reason: Option<&'static str>,
}

/// One story: nothing, a short grant with work that outlives it, a long one over a restart, its revocation, broken glass.
pub(crate) fn grants_observed(walk: &Walk) -> Result<()> {
    let (machine, office) = (walk.machine, &walk.office);
    let names = LEFT.map(|name| format!("ln -sf /bin/sleep /usr/local/bin/{name}")).join(" && ");
    machine.ok("root", &names)?;
    let service = walk.service("")?;
    let origin = walk.dir.join("origin.note");
    service.origin(&origin)?;
    walk.step("the service is active");

    elevated(walk, "oncall1", "nothing")?;
    walk.step("oncall1 worked without a grant");

    // As short as this machine lets it be: what has to fit in takes half as long as a start.
    let window = (machine.start() * 2).max(Duration::from_secs(50));
    let short = office.grant(&format!("{}s", window.as_secs()), &[])?;
    service.deliver(&[&short[0], &short[1]])?;
    service.until_grant(&short[0].id, "active")?;
    let told = machine.ok("root", "recorder grant list")?;
    let row = told.lines().find(|row| short[0].id.starts_with(row.split(' ').next().unwrap_or("-")));
    ensure!(row.is_some_and(|row| row.contains(" active ")), "on the machine root reads {told}");
    walk.step(&format!("a grant for {} s is active", window.as_secs()));
    machine.ok("oncall1", &format!("sudo -n sh -c '{}' x {}", leave_behind(), walk.tag("short")))?;
    walk.step("oncall1 worked under it and left things behind");
    let left = overdue(walk, &service, &short[0])?;
    service.until_grant(&short[0].id, "expired")?;
    walk.step(&format!(
        "overdue: {}",
        left.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
    ));
    machine.ok("root", &LEFT.map(|name| format!("pkill -x {name}")).join(" && "))?;

    let long = office.grant("1h", &["--incident", "pagerduty:PD-7"])?;
    service.deliver(&[&long[0], &long[1]])?;
    service.until_grant(&long[0].id, "active")?;
    let edited = office.edited(&long[1])?;
    service.deliver(&[&edited])?;
    service.until_refused(&edited)?;
    elevated(walk, "oncall1", "long")?;
    elevated(walk, "oncall2", "other")?;
    walk.step("both worked under a grant for oncall1");
    // The journal is the memory: the documents are gone when the service starts again.
    service.remove_documents()?;
    service.systemctl("restart")?;
    elevated(walk, "oncall1", "restarted")?;
    walk.step("oncall1 worked after a restart");

    let why = ["revoke", &long[0].path.display().to_string(), "--reason", "that is enough"];
    let revocation = office.write(BERT, &why)?;
    service.deliver(&[&revocation])?;
    service.until_grant(&long[0].id, "revoked")?;
    elevated(walk, "oncall1", "revoked")?;
    walk.step("oncall1 worked on after the revocation");

    let glass =
        ["break-glass", "--host", "*", "--for", "1h", "--privilege", "root", "--reason", "the pager rings"];
    let glass = office.write(ANNA, &glass)?;
    service.deliver(&[&glass])?;
    service.until_grant(&glass.id, "active")?;
    elevated(walk, "oncall1", "glass")?;
    walk.step("oncall1 broke the glass and worked");

    service.systemctl("stop")?;
    let site = walk.take_journal()?;
    walk.step("stopped, and the journal is here");

    let act = |tag, account, coverage, grant, reason| Act { tag, account, coverage, grant, reason };
    let (short_id, long_id, glass_id) = (short[0].id.as_str(), long[0].id.as_str(), glass.id.as_str());
    let acts = [
        act("nothing", "oncall1", "uncovered", None, Some("no_grant")),
        act("short", "oncall1", "covered", Some(short_id), Some("late")),
        act("long", "oncall1", "covered", Some(long_id), None),
        act("other", "oncall2", "uncovered", None, Some("no_grant")),
        act("restarted", "oncall1", "covered", Some(long_id), None),
        act("revoked", "oncall1", "uncovered", None, Some("revoked")),
        act("glass", "oncall1", "break_glass", Some(glass_id), None),
    ];
    // Two requests, two approvals, a revocation, a broken glass; and the restart.
    whole(walk, &site, &origin, 6, &["RESUME"])?;
    judge(walk, &site, &acts)?;
    verdicts_of_grants(&site, &[(short_id, "expired"), (long_id, "revoked"), (glass_id, "active")])?;
    walk.step("an investigator finds exactly that");
    Ok(())
}

/// Somebody logs in, and has one program run as root that does nothing but have this argument.
fn elevated(walk: &Walk, account: &str, tag: &str) -> Result<()> {
    walk.machine.ok(account, &format!("sudo -n true {}", walk.tag(tag))).map(drop)
}

/// A script for root that ends at once and leaves three programs running.
fn leave_behind() -> String {
    let [tmux, setsid, nohup] = LEFT;
    let quiet = "</dev/null >/dev/null 2>&1 &";
    format!(
        "tmux -L walk new-session -d {tmux} {LONG}; setsid {setsid} {LONG} {quiet} nohup {nohup} {LONG} {quiet}"
    )
}

/// Waits until all that was left behind is overdue under this grant; gives what is, by the name it was started by.
fn overdue(walk: &Walk, service: &Service, grant: &Document) -> Result<BTreeMap<String, u32>> {
    let limit = walk.machine.limit(30);
    proc::until("all that was left behind is overdue", limit, || {
        let events = Events::load(&service.so_far().ok()?).ok()?;
        let found = named_overdue(&events, &grant.id);
        LEFT.iter().all(|name| found.contains_key(*name)).then_some(found)
    })
}

/// Each act has the coverage it had and is the session of who did it; nothing is said of anybody else.
fn judge(walk: &Walk, site: &Site, acts: &[Act<'_>]) -> Result<()> {
    let events = Events::load(site)?;
    events.nothing_lost()?;
    let ends: Vec<_> = events.of_kind("boot").map(|e| text(e, &["boot", "previous_end"])).collect();
    ensure!(ends == ["none", "stop"], "the starts follow on {ends:?}");
    ensure!(events.of_kind("stop").count() == 2, "a stop is not on record");
    ensure!(events.0.last().is_some_and(|e| text(e, &["kind"]) == "stop"), "the stop is not the end");

    let listed = journal::sessions(site)?;
    for act in acts {
        let tag = walk.tag(act.tag);
        let exec = events.execs_with(&tag).last().with_context(|| format!("no exec of {}", act.tag))?;
        let told = (text(exec, &["user", "name"]), text(exec, &["coverage"]), text(exec, &["grant"]));
        ensure!(
            told == (act.account, act.coverage, act.grant.unwrap_or_default())
                && number(exec, &["user", "uid"]) == Some(0),
            "{} is recorded as {exec}",
            act.tag
        );
        let session = events.session_of(&tag)?;
        let found = listed.iter().find(|s| text(s, &["id"]) == session).context("a session is not listed")?;
        let person = if act.account == "oncall1" { ANNA } else { BERT };
        let told = (text(found, &["person"]), text(found, &["coverage_reason"]));
        ensure!(told == (person, act.reason.unwrap_or_default()), "{} is listed as {found}", act.tag);
    }
    // One login, one elevation, one session. The other logins are root's: ours, which drives this.
    let (people, root): (Vec<_>, Vec<_>) = listed.iter().partition(|s| text(s, &["user"]) != "root");
    ensure!(people.len() == acts.len(), "{} sessions of people are listed: {people:?}", people.len());
    for session in root {
        let reason = text(session, &["coverage_reason"]);
        ensure!(reason == "unattributed", "root, who is nobody's account, is listed as {session}");
    }

    let refused = events.of_kind("grant").find(|e| text(e, &["grant_change", "act"]) == "refused");
    let why = text(refused.context("the edited document is not on record")?, &["grant_change", "text"]);
    ensure!(why.contains("signature"), "the edited document was refused because: {why}");
    let grant = acts.iter().find(|act| act.tag == "short").and_then(|act| act.grant).unwrap_or_default();
    let late: Vec<_> = named_overdue(&events, grant).into_iter().collect();
    let expected = ["left-by-nohup", "left-by-setsid", "left-in-tmux", "tmux"];
    ensure!(late == expected.map(|name| (name.to_owned(), 1)), "overdue are {late:?}");
    ensure!(events.of_kind("overdue").count() == expected.len(), "more is overdue than {expected:?}");
    Ok(())
}
