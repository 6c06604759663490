//! The machine is booted anew beside people at work: who records them before and after, and what the journal says of the time between.

use anyhow::{Context, Result, ensure};
use recorder_tests::journal::{number, sessions, text, texts};

use crate::Walk;

/// What was caused: nobody encrypted it, no checkpoint or origin was kept elsewhere, and it was started again three times.
const FINDINGS: [&str; 6] =
    ["ENCRYPTION_OFF", "END_UNPROVEN", "ORIGIN_UNCHECKED", "RESUME", "RESUME", "RESUME"];

/// Somebody is root when the machine goes down; somebody is when it is up again.
pub(crate) fn reboot(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    let service = walk.service("")?;
    machine.ok("root", "systemctl enable --quiet recorder")?;
    let took = |verb: &str| {
        let line =
            format!("s=$(date +%s%N); systemctl {verb} recorder; echo $((($(date +%s%N) - s) / 1000000))");
        machine.ok("root", &line).map(|told| told.trim().to_owned())
    };
    let (stop, start, restart) = (took("stop")?, took("start")?, took("restart")?);
    walk.step(&format!("a stop takes {stop} ms, a start {start} ms, a restart {restart} ms"));
    machine.ok(
        "oncall1",
        &format!("tmux new -d -s kept 'sudo -n sh -c \"/bin/true {}; sleep 600\"'", walk.tag("before")),
    )?;
    machine.until("he is at work", "pgrep -x sleep", |out| out.status.success().then_some(()))?;
    let seconds = machine.reboot()?.as_secs();
    let state = machine
        .ok("root", "systemctl is-active recorder; journalctl -u recorder -u ssh -b -o cat --no-pager")?;
    let at = |what: &str| state.find(what).with_context(|| format!("{what} is not in {state}"));
    ensure!(state.starts_with("active") && at("recorder")? < at("Server listening")?, "{state}");
    walk.step(&format!("booted again in {seconds} s: it records, and did before anybody could log in"));
    machine.ok("oncall1", &format!("sudo -n /bin/true {}", walk.tag("after")))?;
    service.systemctl("stop")?;
    machine.ok("root", "systemctl disable --quiet recorder")?;

    let (site, events) = walk.sound_journal()?;
    let (_, verdict) = site.verify()?;
    let mut codes = texts(&verdict, "findings", "code");
    codes.sort_unstable();
    let mut wanted = FINDINGS;
    wanted.sort_unstable();
    ensure!(codes == wanted, "findings: {verdict}");
    let kinds = texts(&verdict, "intervals", "kind");
    ensure!(kinds == ["stopped", "stopped", "rebooted"], "intervals: {verdict}");
    let boots: Vec<_> = events.of_kind("boot").map(|e| text(e, &["boot", "boot_id"])).collect();
    let ends: Vec<_> = events.of_kind("boot").map(|e| text(e, &["boot", "previous_end"])).collect();
    ensure!(ends == ["none", "stop", "stop", "stop"], "the starts follow on {ends:?}");
    let same: Vec<_> = boots.windows(2).map(|pair| pair.first() == pair.last()).collect();
    ensure!(same == [true, true, false], "boots: {boots:?}");
    let signals: Vec<_> = events.of_kind("stop").map(|e| number(e, &["stop", "signal"])).collect();
    ensure!(signals == [Some(15); 4], "it stopped by {signals:?}");
    let (before, after) = (events.session_of(&walk.tag("before"))?, events.session_of(&walk.tag("after"))?);
    for session in
        sessions(&site)?.iter().filter(|s| [&before, &after].contains(&&text(s, &["id"]).to_owned()))
    {
        ensure!(text(session, &["completeness"]).starts_with("complete"), "{session}");
    }
    ensure!(before != after, "one session over a boot");
    walk.step("the journal of both boots is whole, and says when it was down");
    Ok(())
}
