//! What systemd does with the recorder, and what the journal says of it.

use anyhow::{Result, ensure};
use recorder_tests::journal::{Events, number, text};

use crate::Walk;

const DROPIN: &str = "/run/systemd/system/recorder.service.d";

/// Start, a restart, a writer that stands still by no fault of its disk and is ended by the watchdog, a stop: each has its record.
pub(crate) fn service_lifecycle(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    // The unit says half a minute, which would only be waited for here. A writer that stands still lets no stop come to its end: what an
    // emulated machine has for that is as long again as this walk waits.
    machine.ok("root", &format!("mkdir -p {DROPIN} && printf '[Service]\\nWatchdogSec=15\\nTimeoutStopSec=30\\n' >{DROPIN}/patience.conf && systemctl daemon-reload"))?;
    let service = walk.service("")?;
    walk.step("the service is active");
    service.systemctl("restart")?;
    walk.step("restarted");
    let pid = machine.ok("root", "systemctl show recorder -P MainPID")?.trim().to_owned();
    machine.ok(
        "root",
        &format!("systemd-run --quiet --collect /usr/lib/recorder/recorder-workload halt {pid} writer"),
    )?;
    // In this order: a new process first, and then active can't be what the old one was.
    let line = "systemctl show recorder -P MainPID; systemctl show recorder -P ActiveState";
    machine.until("systemd started it again", line, |out| {
        let told = String::from_utf8_lossy(&out.stdout);
        let (new, state) = told.trim().split_once('\n')?;
        (new != "0" && new != pid && state == "active").then_some(())
    })?;
    let why = machine.ok(
        "root",
        &format!("journalctl -u recorder -n 1000 --no-pager -o cat; rm -r {DROPIN}; systemctl daemon-reload"),
    )?;
    ensure!(why.contains("Watchdog timeout") && why.contains("a thread of the recorder is stuck"), "{why}");
    walk.step("its writer was held, the watchdog ended it, and systemd started it again");
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
