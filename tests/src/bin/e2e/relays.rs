//! Terminals inside terminals: what a relay copies is stored once.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use recorder_tests::{account::Sudo, journal::Events, pty::find};

use crate::{secrets::leave, stage::Stage};

const SHOWN_BYTES: u32 = 400_000;
/// A relay that lags behind acts of the session for more than a moment is stored twice: here one in thirty does, where others use the
/// processors. Of so many one does not.
const TRIES: usize = 3;

/// `script`, where there is one, and a relay of our own: the outer terminal is there whole, of the inner one what was left out stands on
/// the outer, byte for byte; every byte of both is accounted for.
pub(crate) fn relay_is_folded(stage: &mut Stage) -> Result<()> {
    let config = fs::read_to_string(&stage.site.config)?;
    fs::write(&stage.site.config, config.replacen("\"redacted\"", "\"full\"", 1))?;
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let script = ["/usr/bin/script", "/bin/script"].into_iter().find(|path| Path::new(path).exists());
    let mut done = Vec::new();
    let programs = script.into_iter().chain(std::iter::once("relay"));
    for (program, time) in programs.flat_map(|program| (0..TRIES).map(move |time| (program, time))) {
        let (tag, truth) = (format!("inside-{}-{time}", program.len()), stage.path("truth"));
        // Acts between what is shown: nothing may pass anything.
        let inside = format!(
            "{} show --bytes {} --truth {truth}; {}; echo what-$((40+2)); for n in 1 2 3 4 5 6; do read x; echo got-$x-$n; done; for n in 1 2 3 4 5 6; do {}; echo line-$n; done",
            stage.workload(),
            stage.count(SHOWN_BYTES),
            stage.noop(&tag),
            stage.noop("more"),
        );
        let workload = stage.workload();
        let argv = match program {
            "relay" => vec![workload.as_str(), "relay", "/bin/sh", "-c", &inside],
            script => vec![script, "-qc", &inside, "/dev/null"],
        };
        let mut terminal = stage.elevated(&oncall, &argv)?;
        terminal.wait_for("what-42", 0, stage.limit(60))?;
        for n in 1..=6 {
            terminal.ask("an answer", &format!("got-an answer-{n}"), stage.limit(60))?;
        }
        terminal.wait_for("line-6", 0, stage.limit(60))?;
        let (status, shown) = terminal.finish(stage.limit(60))?;
        ensure!(status.success(), "{program} ended with {status}");
        done.push((program, tag, shown));
    }
    let events = stage.finish(running)?;
    // Emulated ones lag more often.
    let enough = if stage.is_emulated() { 50 } else { 95 };
    for of_one in done.chunks(TRIES) {
        let mut most = 0;
        for (program, tag, shown) in of_one {
            let part =
                judge(stage, &events, &events.session_of(&stage.tag(tag))?, shown).context(*program)?;
            most = most.max(part);
        }
        ensure!(most >= enough, "{most} of a hundred bytes are left out at most");
    }
    Ok(())
}

/// Terminals that a session opens one after the other mostly lie where the last one lay, and are called the same.
pub(crate) fn terminals_used_again(stage: &mut Stage) -> Result<()> {
    const TIMES: usize = 12;
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    terminal.ask(&format!("{}; echo did-$((40+1))", stage.noop("begins")), "did-41", stage.limit(20))?;
    let relay = format!("{} relay /bin/sh -c 'echo inner-'$n", stage.workload());
    let numbers = (1..=TIMES).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
    let line = format!("for n in {numbers}; do {relay}; done; echo did-$((40+2))");
    terminal.ask(&line, "did-42", stage.limit(60))?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let session = events.session_of(&stage.tag("begins"))?;
    let streams = events.streams(&session, "tty_output")?;
    let inner: Vec<_> = streams.values().rev().take(TIMES).map(|stream| stream.bytes.as_slice()).collect();
    for (n, bytes) in (1..=TIMES).rev().zip(&inner) {
        ensure!(
            *bytes == format!("inner-{n}\r\n").as_bytes(),
            "terminal {n} of {TIMES} showed {}",
            bytes.escape_ascii()
        );
    }
    ensure!(streams.len() > TIMES, "{} terminals", streams.len());
    Ok(())
}

/// How many of a hundred bytes of an inner terminal are left out at least; all are there as they were shown.
fn judge(stage: &Stage, events: &Events, session: &str, shown: &[u8]) -> Result<usize> {
    let streams = events.streams(session, "tty_output")?;
    let outer = streams.get(&1).context("no terminal")?;
    ensure!(outer.left_out == 0 && outer.bytes == shown, "the outer terminal is not there as it was shown");
    let all = shown.len();
    let mut part = 100;
    // Where there is sudo it has a terminal of its own, and the relay's is inside that one.
    ensure!(streams.len() > 1, "there is no inner terminal");
    for (no, inner) in streams.iter().skip(1) {
        println!("  terminal {no} of {session}: {} bytes, {} left out", inner.bytes.len(), inner.left_out);
        ensure!(inner.bytes == shown, "{} bytes of terminal {no} of {all}", inner.bytes.len());
        part = part.min(inner.left_out * 100 / all);
    }
    let typed = events.streams(session, "tty_input")?;
    let of = |no| typed.get(&no).context("nothing typed");
    let answers = b"an answer\r".repeat(6);
    ensure!(of(1)?.bytes == answers && of(2)?.bytes == answers, "what was typed is not there");
    // A relay may be so fast that the outer one's is seen last: then it is stored twice.
    let left_out = of(2)?.left_out;
    ensure!(
        of(1)?.left_out == 0 && left_out >= answers.len() / 2,
        "only {left_out} typed bytes are left out"
    );
    // A reader sees it once.
    let told = stage.site.read_ok(&["timeline", session])?;
    let first = find(&told, b"| got-an answer-6").context("the timeline does not show it")?;
    let again = told.get(first + 5..).unwrap_or_default();
    ensure!(find(again, b"| got-an answer-6").is_none(), "the timeline shows it twice");
    ensure!(
        find(&told, b"terminal 2 was copied to terminal 1").is_some(),
        "the timeline does not tell of it"
    );
    Ok(part)
}
