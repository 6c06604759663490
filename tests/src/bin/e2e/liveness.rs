//! Signs of life: canaries, clocks, and the time without a recorder (docs/attacks.md, groups E and F).

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, field, number, text},
    proc,
    pty::Terminal,
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use crate::{
    secrets::leave,
    stage::{Stage, quiet},
};

/// A tracepoint backend sees on; trampolines are silent while this says 0.
const FTRACE: &str = "/proc/sys/kernel/ftrace_enabled";
/// Silent for so long at most before it is told, in a session.
const TOLD_WITHIN_NS: u64 = 4_000_000_000;
/// Hooks that are trampolines where there are any.
const SILENCED: [&str; 6] = ["cred", "open", "rename", "unlink", "tty_output", "tty_input"];
/// What `hooks_live` says when all see.
const ALL: &str = "0x1ff";

/// Records of one kind as they are on disk now.
fn so_far(stage: &Stage, kind: &str) -> Vec<Value> {
    Events::load(&stage.site).map_or_else(|_| Vec::new(), |events| events.of_kind(kind).cloned().collect())
}

/// Waits for more heartbeats than there are.
fn beats(stage: &Stage, more: usize) -> Result<()> {
    let before = so_far(stage, "heartbeat").len();
    let come = || (so_far(stage, "heartbeat").len() >= before + more).then_some(());
    proc::until("heartbeats", stage.limit(30), come)
}

/// Waits for a hook record and gives it.
fn told(stage: &Stage, name: &str, state: &str) -> Result<Value> {
    let is =
        |event: &Value| text(event, &["hook", "name"]) == name && text(event, &["hook", "state"]) == state;
    proc::until(&format!("{name} is told to be {state}"), stage.limit(20), || {
        so_far(stage, "hook").into_iter().find(is)
    })
}

fn root_shell(stage: &mut Stage) -> Result<Terminal> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    Ok(terminal)
}

fn works(stage: &Stage, terminal: &mut Terminal, tag: &str) -> Result<()> {
    terminal.ask(
        &format!("{}; echo did-{tag}-$((40+2))", stage.noop(tag)),
        &format!("did-{tag}-42"),
        stage.limit(20),
    )?;
    Ok(())
}

/// Canaries run in a session and between sessions, come back, and are nobody's work.
pub(crate) fn canaries_come_back(stage: &mut Stage) -> Result<()> {
    stage.site.small_segments()?;
    let running = stage.record()?;
    let mut terminal = root_shell(stage)?;
    works(stage, &mut terminal, "watched")?;
    beats(stage, 4)?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let last = events.of_kind("heartbeat").last().context("no heartbeat")?;
    let sent = number(last, &["heartbeat", "canaries"]).unwrap_or(0);
    ensure!(sent >= 18, "{sent} canaries in a session of seconds");
    if !stage.is_emulated() {
        // A program that takes a second to start proves nothing within one.
        ensure!(number(last, &["heartbeat", "canaries_missed"]) == Some(0), "canaries were missed: {last}");
        ensure!(text(last, &["heartbeat", "hooks_live"]) == ALL, "not all hooks live: {last}");
        ensure!(events.of_kind("hook").count() == 0, "a hook is told of");
        ensure!(intervals(stage)?.is_empty(), "an interval without a reason");
    }
    let canary = events.0.iter().find(|event| event.to_string().contains("--canary"));
    ensure!(canary.is_none(), "a canary is somebody's work: {canary:?}");
    Ok(())
}

/// E2: out of descriptors the canaries can't act, so nothing proves that the hooks see; told, and told when it is over.
pub(crate) fn e2_no_descriptors_left(stage: &mut Stage) -> Result<()> {
    stage.site.small_segments()?;
    let running = stage.record()?;
    let mut terminal = root_shell(stage)?;
    works(stage, &mut terminal, "before")?;
    let pid = Pid::from_child(running.child());
    let limit = |current| {
        let limit = Rlimit { current: Some(current), maximum: Some(4096) };
        prlimit(Some(pid), Resource::Nofile, limit)
    };
    limit(3)?;
    // Without a file there is nothing to rename.
    let dead = told(stage, "rename", "dead");
    // The next heartbeat says it too; before that the hooks must not come back.
    let shown = proc::until("a heartbeat shows the dead hooks", stage.limit(30), || {
        let events = Events::load(&stage.site).ok()?;
        events.of_kind("heartbeat").any(|e| text(e, &["heartbeat", "hooks_live"]) != ALL).then_some(())
    });
    limit(1024)?;
    let dead = dead?;
    shown?;
    ensure!(number(&dead, &["hook", "misses"]) == Some(3), "not three misses: {dead}");
    told(stage, "rename", "back")?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let live: Vec<_> =
        events.of_kind("heartbeat").map(|event| text(event, &["heartbeat", "hooks_live"])).collect();
    ensure!(live.iter().any(|bits| *bits != ALL), "no heartbeat shows the dead hooks: {live:?}");
    found(stage, "HOOK_DEAD", "hook_dead")
}

/// E5: `ftrace_enabled=0` silences trampolines, and is told within four seconds; tracepoints go on.
pub(crate) fn e5_ftrace_off(stage: &mut Stage) -> Result<()> {
    stage.site.small_segments()?;
    let running = stage.record()?;
    let mut terminal = root_shell(stage)?;
    works(stage, &mut terminal, "before")?;
    let events = Events::load(&stage.site)?;
    let boot = events.of_kind("boot").next().context("no boot record")?;
    let deaf = text(boot, &["boot", "backend"]) == "trampoline";
    fs::write(FTRACE, "0")?;
    let result = (|| -> Result<Vec<Value>> {
        if !deaf {
            beats(stage, 5)?;
            return Ok(Vec::new());
        }
        SILENCED.iter().map(|hook| told(stage, hook, "dead")).collect()
    })();
    fs::write(FTRACE, "1")?;
    let dead = result?;
    for event in &dead {
        let at = number(event, &["hook", "clock", "boot_ns"]).context("no clock")?;
        let since = number(event, &["hook", "since_ns"]).context("no since")?;
        ensure!(at - since <= TOLD_WITHIN_NS, "told after {} ms: {event}", (at - since) / 1_000_000);
        told(stage, text(event, &["hook", "name"]), "back")?;
    }
    // Behind it all is as before.
    works(stage, &mut terminal, "after")?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    events.session_of(&stage.tag("after"))?;
    if deaf {
        return found(stage, "HOOK_DEAD", "hook_dead");
    }
    let told = events.of_kind("hook").find(|event| SILENCED.contains(&text(event, &["hook", "name"])));
    ensure!(told.is_none(), "a hook that sees is told to be dead: {told:?}");
    Ok(())
}

/// F4: the wall clock is set forth and back and turned: jumps and a slew are told, and order is unharmed.
pub(crate) fn f4_clock_set_and_slewed(stage: &mut Stage) -> Result<()> {
    stage.site.small_segments()?;
    let running = stage.record()?;
    let mut terminal = root_shell(stage)?;
    works(stage, &mut terminal, "before")?;
    let now = || -> Result<i64> { Ok(rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec) };
    for (n, set) in [7_200, -10_800].into_iter().enumerate() {
        quiet("date", &["-s", &format!("@{}", now()? + set)])?;
        let jumps = || (so_far(stage, "jump").len() > n).then_some(());
        proc::until("a jump", stage.limit(20), jumps)?;
        works(stage, &mut terminal, &format!("jump-{n}"))?;
    }
    quiet("adjtimex", &["-q", "-t", "11000"])?;
    let slew = || so_far(stage, "clock").into_iter().find(|e| text(e, &["clock", "event"]) == "slew");
    let slewed = proc::until("a slew", stage.limit(90), slew);
    quiet("adjtimex", &["-q", "-t", "10000"])?;
    let slewed = slewed?;
    ensure!(
        field(&slewed, &["clock", "nanos"]).and_then(Value::as_i64).is_some_and(|nanos| nanos > 60_000_000),
        "not as it was turned: {slewed}"
    );
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let steps = jumps(stage)?;
    let as_set = |got: &i64, set: i64| (got - set).abs() < 60;
    ensure!(
        steps.iter().any(|got| as_set(got, 7_200)) && steps.iter().any(|got| as_set(got, -10_800)),
        "jumps of {steps:?} s"
    );
    let at = |tag: &str| -> Result<u64> {
        let tag = stage.tag(tag);
        let event = events.execs_with(&tag).next().context("no exec")?;
        number(event, &["boot_ns"]).context("no boot_ns")
    };
    let order = [at("before")?, at("jump-0")?, at("jump-1")?];
    ensure!(order.is_sorted(), "order is harmed: {order:?}");
    for code in ["JUMP", "SLEW"] {
        finding(stage, code)?;
    }
    Ok(())
}

/// By how many seconds the clock was set, as the verdict says.
fn jumps(stage: &Stage) -> Result<Vec<i64>> {
    let report = stage.whole()?;
    let all = field(&report, &["findings"]).and_then(Value::as_array).context("no findings")?;
    let nanos = |finding: &Value| -> Option<i64> {
        let rest = text(finding, &["text"]).strip_prefix("the wall clock was set by ")?;
        rest.split(' ').next()?.parse().ok()
    };
    Ok(all.iter().filter_map(nanos).map(|nanos| nanos / 1_000_000_000).collect())
}

/// E9: what was done before the recorder started is not there, and the boot record shows where its sight begins.
pub(crate) fn e9_acts_before_the_start(stage: &mut Stage) -> Result<()> {
    stage.site.small_segments()?;
    let mut terminal = root_shell(stage)?;
    works(stage, &mut terminal, "early")?;
    let running = stage.record()?;
    works(stage, &mut terminal, "seen")?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let boot = events.of_kind("boot").next().context("no boot record")?;
    ensure!(text(boot, &["boot", "previous_end"]) == "none", "a first start: {boot}");
    ensure!(events.session_of(&stage.tag("early")).is_err(), "what nobody saw is recorded");
    let session = events.session_of(&stage.tag("seen"))?;
    let start = events.of_kind("session_start").find(|event| text(event, &["session"]) == session);
    let start = start.context("no start")?;
    ensure!(
        field(start, &["session_start", "seeded"]) == Some(&Value::Bool(true)),
        "not told as found: {start}"
    );
    let at = |event: &Value| number(event, &["boot_ns"]);
    let tag = stage.tag("seen");
    let seen = events.execs_with(&tag).next().context("no exec")?;
    ensure!(at(boot) <= at(seen), "the boot record stands behind what was seen");
    Ok(())
}

/// E11: restarts while somebody works: what nobody saw lies in an interval of the verdict, and in no session.
pub(crate) fn e11_restart_while_busy(stage: &mut Stage) -> Result<()> {
    stage.site.small_segments()?;
    let running = stage.record()?;
    let mut terminal = root_shell(stage)?;
    works(stage, &mut terminal, "first")?;
    running.stop(stage.limit(60))?;
    works(stage, &mut terminal, "unseen-1")?;
    let running = stage.record()?;
    works(stage, &mut terminal, "second")?;
    // A critical record is durable soon; a crash right away would be an honest one, too.
    let tag = stage.tag("second");
    let kept = || Events::load(&stage.site).ok()?.session_of(&tag).ok();
    proc::until("the second act is on disk", stage.limit(20), kept)?;
    running.crash()?;
    works(stage, &mut terminal, "unseen-2")?;
    let running = stage.record()?;
    works(stage, &mut terminal, "third")?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let sessions: Result<Vec<_>> =
        ["first", "second", "third"].iter().map(|tag| events.session_of(&stage.tag(tag))).collect();
    let mut sessions = sessions?;
    sessions.dedup();
    ensure!(sessions.len() == 3, "each run has its own session: {sessions:?}");
    for tag in ["unseen-1", "unseen-2"] {
        ensure!(events.session_of(&stage.tag(tag)).is_err(), "{tag} was seen by nobody");
    }
    let intervals = intervals(stage)?;
    let kinds: Vec<_> = intervals.iter().map(|interval| text(interval, &["kind"])).collect();
    ensure!(kinds == ["stopped", "crashed"], "intervals: {kinds:?}");
    // Each lies between what was seen before it and what was seen behind it.
    let time = |tag: &str| -> Result<String> {
        let tag = stage.tag(tag);
        let event = events.execs_with(&tag).next().context("no exec")?;
        Ok(text(event, &["time"]).to_owned())
    };
    let edge =
        |n: usize, which: &str| intervals.get(n).map(|i| text(i, &[which]).to_owned()).unwrap_or_default();
    let line = [
        time("first")?,
        edge(0, "from"),
        edge(0, "to"),
        time("second")?,
        edge(1, "from"),
        edge(1, "to"),
        time("third")?,
    ];
    ensure!(line.is_sorted(), "not in their order: {line:?}");
    Ok(())
}

fn intervals(stage: &Stage) -> Result<Vec<Value>> {
    let report = stage.whole()?;
    Ok(field(&report, &["intervals"]).and_then(Value::as_array).context("no intervals")?.clone())
}

fn finding(stage: &Stage, code: &str) -> Result<()> {
    let report = stage.whole()?;
    let all = field(&report, &["findings"]).and_then(Value::as_array).context("no findings")?;
    ensure!(all.iter().any(|finding| text(finding, &["code"]) == code), "no finding {code}: {all:?}");
    Ok(())
}

/// The verdict has that finding and that interval, and tells people.
fn found(stage: &Stage, code: &str, kind: &str) -> Result<()> {
    finding(stage, code)?;
    let intervals = intervals(stage)?;
    ensure!(
        intervals.iter().any(|interval| text(interval, &["kind"]) == kind),
        "no interval {kind}: {intervals:?}"
    );
    let said = String::from_utf8(stage.site.read_ok(&["verify"])?)?;
    ensure!(said.contains(code), "people are not told: {said}");
    Ok(())
}

/// A machine that was made for this run by tests/vm/boot.sh: its clock and kernel settings may be changed.
pub(crate) fn alone() -> bool {
    let id = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let made = id.trim() == "0123456789abcdef0123456789abcdef";
    made && Path::new("/init").exists() && !Path::new("/usr").exists()
}
