//! With which permissions a session worked: capabilities, users, programs that give rights; and in which namespaces.

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, field, number, sessions, text},
};
use serde_json::Value;

use crate::stage::Stage;

/// A user who is nobody on any machine here.
const STRANGER: &str = "54321";

/// The last count of a capability by a program whose path ends so; 0 if there is none.
fn used(events: &Events, program: &str, name: &str, granted: bool) -> u64 {
    let is = |event: &&Value| {
        text(event, &["capability", "program"]).ends_with(program)
            && text(event, &["capability", "name"]) == name
            && field(event, &["capability", "granted"]).and_then(Value::as_bool) == Some(granted)
            && field(event, &["capability", "inner"]).and_then(Value::as_bool) == Some(false)
    };
    let last = events.of_kind("capability").filter(is).last();
    last.and_then(|event| number(event, &["capability", "count"])).unwrap_or(0)
}

fn sees_capabilities(events: &Events) -> Result<bool> {
    let boot = events.of_kind("boot").next().context("no boot record")?;
    let hooks = field(boot, &["boot", "hooks"]).and_then(Value::as_array).context("no hooks")?;
    let sees = hooks.iter().any(|hook| hook.as_str() == Some("capability"));
    // What is not seen is said.
    ensure!(sees || boot.to_string().contains("no tracepoint for them"), "silent about capabilities: {boot}");
    Ok(sees)
}

/// Exact counts of what a workload counted for itself.
pub(crate) fn permissions_used(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let setuid = stage.path("bin/become-root");
    let argv = [
        &stage.workload(),
        "rights",
        "--file",
        &stage.path("given"),
        "--uid",
        STRANGER,
        "--setuid",
        &setuid,
        "--truth",
        &stage.path("truth"),
    ];
    let (status, shown) = stage.elevated(&oncall, &argv)?.finish(stage.limit(60))?;
    ensure!(status.success(), "the workload ended with {status}: {}", String::from_utf8_lossy(&shown));
    let truth = stage.truth("truth")?;
    let events = stage.finish(running)?;
    let counted = |key: &str| number(&truth, &[key]).unwrap_or(u64::MAX);

    if sees_capabilities(&events)? {
        for (name, granted, key) in
            [("chown", true, "chown"), ("chown", false, "chown_refused"), ("setuid", true, "setuid")]
        {
            let (seen, truth) = (used(&events, "/bin/workload", name, granted), counted(key));
            ensure!(seen == truth, "{name} (granted: {granted}): {seen} recorded, {truth} done");
        }
        // Memory is accounted for at each mmap with a look at this right: no act.
        let looks = used(&events, "/bin/workload", "sys_admin", true);
        ensure!(looks == 0, "{looks} looks at sys_admin pass for acts");
    }

    let folded = events.of_kind("permissions").next().context("no permissions record")?;
    let list = |key: &str| field(folded, &["permissions", key]).and_then(Value::as_array);
    let user = |uid: u64, program: &str| {
        let users = list("users").into_iter().flatten();
        let mut of =
            users.filter(|u| number(u, &["uid"]) == Some(uid) && text(u, &["program"]).ends_with(program));
        of.next().and_then(|u| number(u, &["count"])).unwrap_or(0)
    };
    let stranger: u64 = STRANGER.parse()?;
    for (uid, program, key) in [
        (stranger, "/bin/workload", "to_user"),
        (0, "/bin/workload", "back"),
        (0, "/bin/become-root", "passes"),
    ] {
        let (seen, truth) = (user(uid, program), counted(key));
        ensure!(seen == truth, "uid {uid} by {program}: {seen} recorded, {truth} done: {folded}");
    }
    let passed = list("programs").into_iter().flatten();
    let passed = passed.filter(|p| text(p, &["path"]) == setuid).collect::<Vec<_>>();
    let [passed] = passed.as_slice() else { anyhow::bail!("{} is passed {} times", setuid, passed.len()) };
    // The session itself may have begun with it.
    let own = u64::from(stage.as_root().first() == Some(&setuid));
    for key in ["count", "gained"] {
        let (seen, truth) = (number(passed, &[key]).unwrap_or(0), counted("passes") + own);
        ensure!(seen == truth, "{key} of the set-user-id program: {seen} recorded, {truth} done");
    }
    people_understand_it(stage)
}

fn people_understand_it(stage: &Stage) -> Result<()> {
    let story = String::from_utf8(stage.site.read_ok(&["timeline", "last"])?)?;
    ensure!(story.contains("acted as uid") && story.contains(STRANGER), "the users are not in: {story}");
    let listed = sessions(&stage.site)?;
    let session = listed.last().context("no session")?;
    ensure!(
        field(session, &["users"]).is_some_and(|users| users.to_string().contains(STRANGER)),
        "the list does not tell the users: {session}"
    );
    Ok(())
}
