//! E6: floods from all sides, and acts in the noise. What a ring has no room for is counted, by class; programs, rights and the edges
//! of sessions are all there.

use std::{
    fs,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, number, text},
    proc,
};
use rustix::process::Signal;

use crate::{secrets::leave, stage::Stage};

/// Of each of two loops.
const EXECS: u32 = 300;
const OPENS: u32 = 120_000;
const TERMINAL_BYTES: u32 = 4_000_000;
/// What may go lost in a flood.
const BULK: [&str; 3] = ["file", "tty", "system"];

pub(crate) fn acts_in_a_flood(stage: &mut Stage) -> Result<()> {
    // Room for some hundred events, so that a machine of any speed loses some.
    stage.site.set("capture", "bulk_ring = \"64KiB\"")?;
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let (workload, mark) = (stage.workload(), stage.mark.clone());
    let (execs, opens) = (stage.count(EXECS), stage.count(OPENS));
    let bytes = stage.count(TERMINAL_BYTES);
    let path = |name: &str| stage.path(name);
    let open = |n| {
        let (dir, truth) = (path(&format!("open-{n}")), path(&format!("opened-{n}")));
        format!("{workload} storm open --count {opens} --dir {dir} --truth {truth} &")
    };
    let exec = |n| {
        let truth = path(&format!("ran-{n}"));
        format!("{workload} execs --count {execs} --prefix {mark}{n} --truth {truth} &")
    };
    let (dir, truth) = (path("flood"), path("flooded"));
    let flood = format!("{workload} storm flood --count {bytes} --dir {dir} --truth {truth}");
    let script = format!("{} {} {} {} {flood}; wait", open(1), open(2), exec(1), exec(2));
    let terminal = stage.elevated(&oncall, &["/bin/sh", "-c", &script])?;
    let (status, _) = terminal.finish(stage.limit(240))?;
    ensure!(status.success(), "the floods ended with {status}");
    let truths = ["opened-1", "opened-2", "ran-1", "ran-2", "flooded"].map(|name| stage.truth(name));
    let [opened_1, opened_2, ran_1, ran_2, flooded] = truths;
    running.stop(stage.limit(60))?;
    stage.whole()?;
    let events = Events::load(&stage.site)?;

    let ran = events.exec_args();
    for (n, truth) in [(1, ran_1?), (2, ran_2?)] {
        for (kind, key) in [("v", "spawned"), ("s", "shell")] {
            let count = number(&truth, &[key]).context("truth without a count")?;
            ensure!(count > 0, "{key}: the workload did nothing");
            let once = |i: &u64| ran.get(format!("{mark}{n}-{kind}-{i}").as_str()) == Some(&1);
            let missing = (0..count).filter(|i| !once(i)).count();
            ensure!(missing == 0, "{missing} of {count} programs of loop {n} are not there once");
        }
    }
    for kind in ["session_start", "session_end"] {
        ensure!(events.of_kind(kind).count() > 0, "no {kind}");
    }
    let mut lost_files = 0;
    for loss in events.of_kind("loss") {
        let class = text(loss, &["loss", "class"]);
        // Of programs only what follows goes this way: long arguments, what is folded.
        let may = BULK.contains(&class) || class == "exec";
        ensure!(may && text(loss, &["loss", "ring"]) == "bulk", "lost what must never be: {loss}");
        if class == "file" {
            lost_files += number(loss, &["loss", "count"]).unwrap_or(0);
        }
    }
    let done = [opened_1?, opened_2?].iter().filter_map(|truth| number(truth, &["done"])).sum::<u64>();
    let seen = events.of_kind("open").filter(|e| text(e, &["file", "path"]).contains("/w2-")).count();
    let seen = u64::try_from(seen)?;
    let shown = number(&flooded?, &["done"]).context("no flood")?;
    println!("  {done} opened, {seen} on record, {lost_files} acts on files lost, {shown} bytes shown");
    ensure!(lost_files > 0, "nothing went lost: the flood was none");
    ensure!(seen + lost_files >= done, "{} opens went lost silently", done - seen - lost_files);
    ensure!(seen <= done, "more than was done");
    Ok(())
}

/// Of each round of two loops, with `flood = "pause"`.
const ROUND: u32 = 20_000;

/// The same person, and a recorder that stops him for moments instead of losing what he does. Another one feels nothing.
pub(crate) fn paused_instead_of_losing(stage: &mut Stage) -> Result<()> {
    // So much comes in some tenths of a second.
    let ring = if stage.is_emulated() { "2MiB" } else { "32MiB" };
    stage.site.set("capture", &format!("flood = \"pause\"\nbulk_ring = \"{ring}\""))?;
    let (oncall, other) = (stage.account("oncall", Sudo::Free)?, stage.account("other", Sudo::Free)?);
    let running = stage.record()?;
    // At a shell with job control: nobody may take the terminal back from what was stopped.
    let mut flooder = stage.shell(&oncall)?;
    stage.become_root(&mut flooder)?;
    let mut bystander = stage.shell(&other)?;
    stage.become_root(&mut bystander)?;
    flooder.ask(&format!("{}; echo did-$((40+2))", stage.noop("flooder")), "did-42", stage.limit(20))?;
    bystander.ask(&format!("{}; echo did-$((40+3))", stage.noop("bystander")), "did-43", stage.limit(20))?;
    let (workload, count, enough) = (stage.workload(), stage.count(ROUND), stage.path("enough"));
    let rounds = |n| {
        let (dir, truth) = (stage.path(&format!("open-{n}")), stage.path(&format!("opened-{n}")));
        let round = format!("{workload} storm open --count {count} --dir {dir} --truth {truth}-$n");
        format!("n=0; while [ ! -e {enough} ]; do {round}; n=$((n+1)); done")
    };
    let mark = flooder.mark();
    flooder.type_line(&format!("({}) & ({}); wait; echo did-$((40+4))", rounds(1), rounds(2)))?;
    until_paused(stage, running.child())?;
    fs::write(&enough, "")?;
    flooder.wait_for("did-44", mark, stage.limit(60))?;
    flooder.ask(&format!("{}; echo did-$((40+5))", stage.noop("after")), "did-45", stage.limit(20))?;
    leave(stage, flooder, 2)?;
    leave(stage, bystander, 2)?;
    running.stop(stage.limit(60))?;
    stage.whole()?;
    let events = Events::load(&stage.site)?;

    let session = events.session_of(&stage.tag("flooder"))?;
    ensure!(events.session_of(&stage.tag("after"))? == session, "his shell went on as another one");
    let told = |e, key| text(e, &["enforcement", key]);
    let acts: Vec<_> = events
        .of_kind("enforcement")
        .map(|e| (text(e, &["session"]), told(e, "act"), told(e, "text")))
        .collect();
    println!("  {:?}", acts.iter().map(|(_, act, text)| format!("{act}: {text}")).collect::<Vec<_>>());
    let of = |act| acts.iter().filter(|(_, done, _)| *done == act).count();
    ensure!(of("paused") > 0 && of("resumed") > 0, "nobody was stopped, or let go");
    ensure!(acts.iter().all(|(whose, ..)| *whose == session), "another one's session was stopped");
    let mut done = 0;
    for of in ["opened-1", "opened-2"] {
        let rounds = (0..).map_while(|n| stage.truth(&format!("{of}-{n}")).ok());
        done += rounds.filter_map(|truth| number(&truth, &["done"])).sum::<u64>();
    }
    let seen = events.of_kind("open").filter(|e| text(e, &["file", "path"]).contains("/w2-")).count();
    let (seen, lost) = (u64::try_from(seen)?, events.lost());
    println!("  {done} opened, {seen} on record, {lost} lost");
    ensure!(done > 0 && seen + lost >= done, "opens are missing");
    // None, where the recorder gets a processor when it wants one; the machine may have others to serve. An emulated one that serves
    // others fills the ring while the recorder is held up by this test.
    ensure!(
        stage.is_emulated() || lost * 20 <= done,
        "{lost} events were lost although the session was stopped"
    );
    Ok(())
}

/// On any machine the ring gets fuller than the recorder likes and not too full: it is held up itself for moments, each twice as long
/// as the one before, until it stops somebody.
fn until_paused(stage: &Stage, recorder: &Child) -> Result<()> {
    // Who is stopped stands there as long as he is.
    let stopped = stage.site.socket.with_file_name("stopped");
    let mut moment = Duration::from_millis(5);
    while moment < stage.limit(2) {
        proc::signal(recorder, Signal::STOP)?;
        thread::sleep(moment);
        proc::signal(recorder, Signal::CONT)?;
        let end = Instant::now() + Duration::from_millis(200).max(moment);
        while Instant::now() < end {
            if stopped.exists() {
                return Ok(());
            }
            thread::sleep(Duration::from_micros(300));
        }
        moment *= 2;
    }
    bail!("held up for {moment:?} and it stopped nobody")
}
