//! Work that is handed to the machine's own daemons: systemd, cron, at (docs/attacks.md, B1, B2; docs/delegation.md).

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use recorder_tests::journal::{self, Events, text};
use serde_json::Value;

use crate::Walk;

/// What ran in a daemon, by which means, and whether he can be tied to it for certain.
const FIRED: [(&str, &str); 6] = [
    ("run", "unit"),
    ("timer", "unit"),
    ("pty", "unit"),
    ("written", "unit"),
    ("cron", "cron"),
    ("at", "at"),
];

/// He hands work over in six ways and leaves; each is a session of its own that came of his. What the host does meanwhile is nobody's.
pub(crate) fn handed_over(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    let service = walk.service("")?;
    walk.step("the service is active");
    let did = |tag: &str| format!("/bin/true {}", walk.tag(tag));
    // What every way leaves behind when it has run.
    let done = |tag: &str| format!("{}; touch /run/{}", did(tag), walk.tag(tag));
    let unit = walk.tag("unit");
    let lines = [
        did("here"),
        format!("systemd-run --quiet /bin/sh -c \"{}\"", done("run")),
        format!(
            "systemd-run --quiet --on-active=1 --timer-property=AccuracySec=100ms /bin/sh -c \"{}\"",
            done("timer")
        ),
        format!("systemd-run --quiet --pty /bin/sh -c \"{}\" </dev/null", done("pty")),
        format!(
            "printf \"[Service]\\nExecStart=/bin/sh -c \\\"{}\\\"\\n\" >/etc/systemd/system/{unit}.service",
            done("written")
        ),
        // Where units were read anew meanwhile it was once not seen to fire.
        format!("until [ -e /run/{} ]; do sleep 0.2; done", walk.tag("timer")),
        format!("systemctl daemon-reload; systemctl start {unit}"),
        // Its first job may come while the daemon itself is still being looked at.
        "systemctl restart cron".to_owned(),
        format!("echo \"* * * * * root {}\" >/etc/cron.d/{unit}", done("cron")),
        format!("echo \"{}\" | at now 2>/dev/null", done("at")),
    ];
    // A script on the standard input of a root shell: quotes stay what they are.
    let script = lines.join("\n");
    let path = format!("/tmp/{unit}.sh");
    machine.ok("oncall1", &format!("cat >{path} <<'EOS'\n{script}\nEOS\nsudo -n sh {path}"))?;
    walk.step("oncall1 handed work over and left");
    // The host's own, meanwhile.
    machine.ok("root", &format!("systemctl start --no-block systemd-tmpfiles-clean; rm -f {path}"))?;
    let seen = FIRED.map(|(tag, _)| format!("[ -e /run/{} ]", walk.tag(tag))).join(" && ");
    let all = machine.until("all of it ran", &format!("{seen} && echo all"), |out| {
        String::from_utf8_lossy(&out.stdout).contains("all").then_some(())
    });
    if let Err(error) = all {
        let ran = machine
            .ok("root", &format!("ls /run | grep {}; atq; systemctl --failed --no-legend", walk.tag("")))?;
        return Err(error.context(format!("of it ran: {ran}")));
    }
    machine.ok("root", &format!("rm -f /etc/cron.d/{unit} /etc/systemd/system/{unit}.service"))?;
    walk.step("all of it ran");
    service.systemctl("stop")?;
    let (site, events) = walk.sound_journal()?;
    judge(walk, &events, &journal::sessions(&site)?)?;
    walk.step("an investigator finds exactly that");
    Ok(())
}

fn judge(walk: &Walk, events: &Events, listed: &[Value]) -> Result<()> {
    let his = events.session_of(&walk.tag("here"))?;
    let mut children = BTreeSet::new();
    for (tag, trigger) in FIRED {
        // Cron may have fired more than once.
        let wanted = walk.tag(tag);
        let Some(exec) = events.execs_with(&wanted).next() else {
            // What daemons did, for whoever has to find out.
            let of_daemons =
                ["delegation", "session_start"].into_iter().flat_map(|kind| events.of_kind(kind));
            of_daemons.for_each(|event| eprintln!("{event}"));
            bail!("{tag} is not recorded");
        };
        let session = text(exec, &["session"]);
        ensure!(session != his, "{tag} ran in his own session");
        let by = events.came_by(session).with_context(|| format!("{tag} came of nobody"))?;
        let told = |key| text(by, &["delegation", key]);
        ensure!(
            (told("session"), told("trigger"), told("confidence")) == (his.as_str(), trigger, "certain"),
            "{tag}: {by}"
        );
        let found = listed.iter().find(|s| text(s, &["id"]) == session).context("a session is not listed")?;
        ensure!(text(found, &["user"]) == "oncall1", "{tag} is listed as {found}");
        children.insert(session.to_owned());
    }
    ensure!(children.len() == FIRED.len(), "the ways share sessions: {children:?}");
    // Nothing else came of him, but for what he asked for and is not followed.
    for end in events.of_kind("delegation").filter(|e| text(e, &["delegation", "role"]) == "by") {
        let (of, session) = (text(end, &["delegation", "session"]), text(end, &["session"]));
        let again = text(end, &["delegation", "trigger"]) == "cron";
        ensure!(of != his || again || children.contains(session), "a false edge: {end}");
    }
    let restarted = events.of_kind("delegation").any(|e| {
        text(e, &["delegation", "role"]) == "to"
            && text(e, &["delegation", "what"]).contains("cron.service")
            && text(e, &["delegation", "session"]).is_empty()
    });
    ensure!(restarted, "that he had cron started again is not on record");
    Ok(())
}
