//! The same service and somebody who is root by sudo on a machine that was booted without the bpf LSM: that there is no guard is told
//! everywhere, and what he does to the recorder is on record as his (docs/guard.md; docs/attacks.md, E1, E2, E5, E9, F2).

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    journal::{Events, field, number, text, texts},
    walk::service::JOURNAL,
};
use serde_json::Value;

use crate::{
    Walk,
    besieged::{WORDS, another, pid},
};

/// What he does to it, and undoes.
const ACTS: [&str; 6] = [
    "kill -STOP $P && kill -CONT $P",
    ": >>$S",
    "chmod 600 $S",
    "mv $J $J.moved && mv $J.moved $J",
    "echo 1 >/proc/sys/kernel/ftrace_enabled",
    "echo '# his' >>/etc/recorder/recorder.toml",
];
/// What was caused: nobody encrypted it, no checkpoint or origin was kept elsewhere, and it was killed once.
const FINDINGS: [&str; 4] = ["ENCRYPTION_OFF", "END_UNPROVEN", "ORIGIN_UNCHECKED", "RESTART"];

pub(crate) fn unguarded(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    let list = machine.ok("root", "cat /sys/kernel/security/lsm")?;
    ensure!(!list.contains("bpf"), "this machine has the bpf LSM: {list}");
    let service = walk.service("[guard]\nmode = \"enforce\"\n")?;
    let said = machine.ok("root", "journalctl -u recorder -b -o cat --no-pager; recorder doctor || true")?;
    ensure!(
        said.matches("there is no guard: the bpf LSM").count()
            + said.matches("there is no guard: it needs").count()
            > 0,
        "{said}"
    );
    ensure!(said.contains("no guard"), "{said}");
    walk.step("the service is active, and says that it has no guard");
    let before = pid(walk)?;
    // What is on disk by then stays; of the rest nobody promises anything.
    let script = format!("{WORDS}\nset -ex\n{}\nsleep 5\nkill -KILL $P\n", ACTS.join("\n"));
    let file = walk.dir.join("acts.sh");
    std::fs::write(&file, script)?;
    machine.send("oncall1", &[&file])?;
    machine.ok("oncall1", &format!("sudo -n sh acts.sh {}", walk.tag("root")))?;
    another(walk, &before)?;
    walk.step("all of it went through, the last of it ended the recorder, and systemd started it again");
    machine.ok("oncall1", &format!("sudo -n /bin/true {}", walk.tag("after")))?;
    service.systemctl("stop")?;

    let (site, events) = walk.sound_journal()?;
    let (_, verdict) = site.verify()?;
    let mut codes = texts(&verdict, "findings", "code");
    codes.sort_unstable();
    let mut wanted = FINDINGS;
    wanted.sort_unstable();
    ensure!(codes == wanted, "findings: {verdict}");
    let ends: Vec<_> = events.of_kind("boot").map(|e| text(e, &["boot", "previous_end"])).collect();
    ensure!(ends == ["none", "crash"], "the starts follow on {ends:?}");
    for boot in events.of_kind("boot") {
        let blind = field(boot, &["boot", "blind"]).map(Value::to_string).unwrap_or_default();
        ensure!(blind.contains("guard: there is none"), "declared is {blind}");
    }
    judge(&events, &events.session_of(&walk.tag("root"))?)?;
    events.session_of(&walk.tag("after"))?;
    walk.step("its journal is whole, says that nobody guarded it, and who did what");
    Ok(())
}

/// Each of [`ACTS`] and the end of the recorder, as his.
fn judge(events: &Events, his: &str) -> Result<()> {
    for signal in [19, 18, 9] {
        let sent = events.of_kind("guard").find(|e| {
            text(e, &["guard", "act"]) == "signal"
                && number(e, &["guard", "signal"]) == Some(signal)
                && text(e, &["guard", "session"]) == his
        });
        let sent = sent.with_context(|| format!("nobody sent {signal}"))?;
        ensure!(field(sent, &["guard", "denied"]).and_then(Value::as_bool) == Some(false), "{sent}");
    }
    let acts = [
        ("open", "file", JOURNAL, ".rj"),
        ("chmod", "file", JOURNAL, ".rj"),
        ("rename", "file", JOURNAL, ".moved"),
        ("setting", "setting", "", "ftrace_enabled"),
        ("open", "file", "/etc/recorder/", "recorder.toml"),
    ];
    for (kind, object, begins, ends) in acts {
        let is = |e: &Value| {
            let path = [text(e, &[object, "path"]), text(e, &[object, "to"])];
            path.iter().any(|path| path.starts_with(begins) && path.ends_with(ends))
        };
        let mut his_own = events.of_kind(kind).filter(|e| text(e, &["session"]) == his);
        ensure!(his_own.any(is), "{kind} of {begins}{ends} is not on record");
    }
    Ok(())
}
