//! What systemd does with the recorder, and what the journal says of it.

use anyhow::{Result, ensure};
use recorder_tests::journal::{Events, number, text};

use crate::Walk;

/// Start, a restart, a crash that systemd mends, a stop: each has its record.
pub(crate) fn service_lifecycle(walk: &Walk) -> Result<()> {
    let service = walk.service("")?;
    walk.step("the service is active");
    service.systemctl("restart")?;
    walk.step("restarted");
    let pid = walk.machine.ok("root", "systemctl show recorder -P MainPID")?;
    walk.machine.ok("root", &format!("kill -KILL {pid}"))?;
    // In this order: a new process first, and then active can't be what the old one was.
    let line = "systemctl show recorder -P MainPID; systemctl show recorder -P ActiveState";
    walk.machine.until("systemd started it again", line, |out| {
        let told = String::from_utf8_lossy(&out.stdout);
        let (new, state) = told.trim().split_once('\n')?;
        (new != "0" && new != pid.trim() && state == "active").then_some(())
    })?;
    walk.step("killed, and started again by systemd");
    service.systemctl("stop")?;
    let site = walk.take_journal()?;
    walk.step("stopped, and its journal is here");

    let (code, verdict) = site.verify()?;
    ensure!(code <= 1, "verify ended with {code}: {verdict}");
    let events = Events::load(&site)?;
    let ends: Vec<_> = events.of_kind("boot").map(|e| text(e, &["boot", "previous_end"])).collect();
    ensure!(ends == ["none", "stop", "crash"], "the starts follow on {ends:?}");
    let signals: Vec<_> = events.of_kind("stop").map(|e| number(e, &["stop", "signal"])).collect();
    ensure!(signals == [Some(15), Some(15)], "it stopped by {signals:?}");
    Ok(())
}
