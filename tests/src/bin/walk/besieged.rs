//! The recorder on a systemd machine against somebody who is root by sudo: what goes through where the guard only tells, and what does
//! not where it refuses (docs/guard.md; docs/attacks.md, E1 to E5, E8 to E10, F2).

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    journal::{Events, field, number, text},
    walk::service::JOURNAL,
};
use serde_json::Value;

use crate::Walk;

/// What every line may use: the recorder, its control group, its journal, a segment.
pub(crate) const WORDS: &str = "P=$(systemctl show recorder -P MainPID); G=/sys/fs/cgroup/system.slice/recorder.service; J=/var/lib/recorder/journal; \
                     S=$(ls -t $J/*/*.rj | head -1)";

/// A name, a line of shell, and by which act on which object it is known.
type Attack = (&'static str, &'static str, &'static str, &'static str);

/// Refused where that is asked for. Where it is not, each undoes what it did.
const REFUSED: [Attack; 22] = [
    ("uncover", "umount -l $J", "umount", "journal"),
    ("stop", "kill -STOP $P && kill -CONT $P", "signal", "process"),
    ("limit", "prlimit --pid $P --core=0", "limit", "process"),
    ("nice", "renice -n 0 -p $P", "priority", "process"),
    ("scheduler", "chrt -o -p 0 $P", "priority", "process"),
    ("io", "ionice -c 2 -n 4 -p $P", "priority", "process"),
    ("oom", "o=$(cat /proc/$P/oom_score_adj) && echo $o >/proc/$P/oom_score_adj", "open", "process"),
    ("freeze", "echo 1 >$G/cgroup.freeze && echo 0 >$G/cgroup.freeze", "open", "cgroup"),
    ("freeze-by-manager", "systemctl freeze recorder && systemctl thaw recorder", "open", "cgroup"),
    ("starve", "m=$(cat $G/memory.max) && echo $m >$G/memory.max", "open", "cgroup"),
    ("starve-above", "echo max >/sys/fs/cgroup/system.slice/memory.max", "open", "cgroup"),
    ("switch", "echo 1 >/proc/sys/kernel/ftrace_enabled", "open", "switch"),
    ("append", ": >>$S", "open", "journal"),
    ("mode", "chmod 600 $S", "attributes", "journal"),
    ("link", "ln $S $S.held && rm $S.held", "link", "journal"),
    ("plant", "mkdir $J/planted && rmdir $J/planted", "create", "journal"),
    ("node", "mknod $J/planted p && rm $J/planted", "create", "journal"),
    ("flags", "chattr +d $S && chattr -d $S", "ioctl", "journal"),
    ("move", "mv $J $J.moved && mv $J.moved $J", "rename", "journal"),
    (
        "above",
        "mv /var/lib/recorder /var/lib/moved && mv /var/lib/moved /var/lib/recorder",
        "rename",
        "journal",
    ),
    ("cover", "mount -t tmpfs none $J && umount $J", "mount", "journal"),
    ("lock", "flock -n $S true", "lock", "journal"),
];
/// What would end the recorder, its log or this machine, tried only where it is refused.
const ENDING: [Attack; 6] = [
    ("kill", "kill -KILL $P", "signal", "process"),
    ("kill-by-manager", "systemctl kill -s KILL recorder", "signal", "process"),
    ("kill-group", "echo 1 >$G/cgroup.kill", "open", "cgroup"),
    ("remove", "rm -f $S; ! test -e $S", "unlink", "journal"),
    ("cut", "truncate -s 100 $S", "open", "journal"),
    ("freeze-files", "fsfreeze -f / && fsfreeze -u /", "ioctl", "journal"),
];
/// Told and let happen in either mode.
const TOLD: [Attack; 7] = [
    (
        "regroup",
        "mkdir $G/his && echo $P >$G/his/cgroup.procs && echo $P >$G/cgroup.procs && rmdir $G/his",
        "move",
        "cgroup",
    ),
    ("config", "touch /etc/recorder/recorder.toml", "attributes", "config"),
    ("unit", "touch /etc/systemd/system/recorder.service", "attributes", "unit"),
    (
        "drop-in",
        "d=/usr/lib/systemd/system/recorder.service.d; echo >$d/x.conf && rm $d/x.conf",
        "create",
        "unit",
    ),
    ("program", "touch -c /usr/bin/recorder; true", "attributes", "program"),
    (
        "cover-program",
        "mount --bind /bin/true /usr/bin/recorder && umount /usr/bin/recorder",
        "mount",
        "program",
    ),
    ("disk", ": >>/dev/vda", "open", "device"),
];
/// Through the manager it is nobody's, as far as the kernel knows.
const BY_MANAGER: [&str; 2] = ["freeze-by-manager", "kill-by-manager"];

/// Twice the same person with the same means; what came of it is told by the copied journals.
pub(crate) fn besieged(walk: &Walk) -> Result<()> {
    told(walk)?;
    refused(walk)
}

/// What ends it where the guard only tells: by himself, through the manager, and by its control group.
const KILLS: [&str; 3] = ["kill -KILL $P", "systemctl kill -s KILL recorder", "echo 1 >$G/cgroup.kill"];

/// Has him try all of them in one session; exit codes by name.
fn attack(walk: &Walk, attacks: &[&[Attack]]) -> Result<HashMap<String, i32>> {
    let lines = attacks.iter().copied().flatten();
    let lines =
        lines.map(|(name, line, ..)| format!("( {line} ) >/tmp/said.{name} 2>&1; echo \"{name} $?\""));
    let script = [WORDS.to_owned()].into_iter().chain(lines).collect::<Vec<_>>().join("\n");
    let file = walk.dir.join("attacks.sh");
    std::fs::write(&file, script)?;
    walk.machine.send("oncall1", &[&file])?;
    let told = walk.machine.ok("oncall1", "sudo -n sh attacks.sh")?;
    let came = told
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, code)| Some((name.to_owned(), code.trim().parse().ok()?)));
    Ok(came.collect())
}

fn code(came: &HashMap<String, i32>, name: &str) -> Result<i32> {
    came.get(name).copied().with_context(|| format!("{name} was not tried: {came:?}"))
}

/// Each of them is on record: of his session, and refused or not.
fn recorded(events: &Events, attacks: &[Attack], denied: bool) -> Result<()> {
    for (name, _, act, object) in attacks {
        let by_manager = BY_MANAGER.contains(name);
        let found = events.of_kind("guard").find(|e| {
            text(e, &["guard", "act"]) == *act
                && text(e, &["guard", "object"]) == *object
                && field(e, &["guard", "session"]).is_some_and(Value::is_string) != by_manager
                && (!by_manager || text(e, &["task", "comm"]) == "systemd")
        });
        let found = found.with_context(|| format!("{name} is not on record"))?;
        ensure!(
            field(found, &["guard", "denied"]).and_then(Value::as_bool) == Some(denied),
            "{name}: {found}"
        );
    }
    Ok(())
}

/// Whoever ended it is told by the next one: he himself in his session, and the manager.
fn killed(events: &Events) -> Result<()> {
    let all = || events.of_kind("guard").filter(|e| number(e, &["guard", "signal"]) == Some(9));
    let his = |e: &&Value| field(e, &["guard", "session"]).is_some_and(Value::is_string);
    ensure!(all().any(|e| his(&e)), "nobody killed it by himself");
    ensure!(all().any(|e| number(e, &["guard", "pid"]) == Some(1)), "it was not killed through the manager");
    let mut groups = events.of_kind("guard").filter(|e| text(e, &["guard", "object"]) == "cgroup");
    let by_group = |e: &Value| field(e, &["flags"]).is_some_and(|f| f.to_string().contains("seeded"));
    ensure!(groups.any(|e| his(&e) && by_group(e)), "it was not killed by its group");
    Ok(())
}

/// The service's process is another one, and it runs.
pub(crate) fn another(walk: &Walk, than: &str) -> Result<()> {
    let line = "systemctl show recorder -P MainPID; systemctl show recorder -P ActiveState";
    walk.machine.until("systemd started it again", line, |out| {
        let told = String::from_utf8_lossy(&out.stdout);
        let (new, state) = told.trim().split_once('\n')?;
        (new != "0" && new != than && state == "active").then_some(())
    })
}

pub(crate) fn pid(walk: &Walk) -> Result<String> {
    Ok(walk.machine.ok("root", "systemctl show recorder -P MainPID")?.trim().to_owned())
}

/// The journal lies on a mount of its own, as where it has a disk to itself.
fn on_a_mount(walk: &Walk) -> Result<()> {
    let line =
        format!("systemctl stop recorder && mount --bind {JOURNAL} {JOURNAL} && systemctl start recorder");
    walk.machine.ok("root", &line).map(drop)
}

/// As the package has it: everything happens, and who did it is on record.
fn told(walk: &Walk) -> Result<()> {
    let service = walk.service("")?;
    on_a_mount(walk)?;
    walk.step("the service is active, and its guard tells");
    let came = attack(walk, &[&REFUSED, &TOLD])?;
    for (name, ..) in REFUSED.iter().chain(&TOLD) {
        ensure!(code(&came, name)? == 0, "{name} did not go through: {}", said(walk, name)?);
    }
    walk.step("what he tried went through");
    for line in KILLS {
        let before = pid(walk)?;
        walk.machine.ok("oncall1", &format!("sudo -n sh -c '{WORDS}; {line}'"))?;
        another(walk, &before)?;
    }
    walk.step("it was killed in three ways, and systemd started it again");
    // What is said of that begins the newest segment.
    service.systemctl("restart")?;
    walk.machine.ok("oncall1", &format!("sudo -n sh -c '{WORDS}; rm $S'"))?;
    service.systemctl("stop")?;
    let site = walk.take_journal()?;
    let (code, verdict) = site.verify()?;
    ensure!(code > 1, "a segment is gone, and verify ended with {code}: {verdict}");
    // What is left of it is read all the same.
    let events = Events::parse(&site.read(&["events", "--format", "ndjson"])?.stdout)?;
    recorded(&events, &REFUSED, false)?;
    recorded(&events, &TOLD, false)?;
    killed(&events)?;
    walk.step("its journal tells who tried what and who killed it, and that a part of it was removed");
    std::fs::remove_dir_all(&site.journal).context("the copied journal")
}

/// With the guard in force nothing of it goes through, and all that its owners do does.
fn refused(walk: &Walk) -> Result<()> {
    let service = walk.service("[guard]\nmode = \"enforce\"\n")?;
    walk.machine.ok("root", "systemctl enable --quiet recorder")?;
    on_a_mount(walk)?;
    walk.step("the service is active, and its guard refuses");
    let before = pid(walk)?;
    let came = attack(walk, &[&REFUSED, &ENDING, &TOLD])?;
    for (name, ..) in REFUSED.iter().chain(&ENDING) {
        ensure!(code(&came, name)? != 0, "{name} went through");
        let said = said(walk, name)?;
        let why =
            ["not permitted", "permission denied", "must be superuser"].iter().any(|why| said.contains(why));
        ensure!(why || BY_MANAGER.contains(name), "{name}: {said}");
    }
    for (name, ..) in TOLD {
        ensure!(code(&came, name)? == 0, "{name} did not go through: {}", said(walk, name)?);
    }
    ensure!(pid(walk)? == before, "it is another process");
    walk.step("nothing of it went through");
    let tried = nobody_there(walk)?;
    walk.machine.ok("root", "systemctl reload recorder")?;
    service.systemctl("restart")?;
    let seconds = walk.machine.reboot()?.as_secs();
    let state =
        walk.machine.ok("root", "systemctl is-active recorder; systemctl disable --quiet recorder")?;
    ensure!(state.starts_with("active"), "after the boot it is {state}");
    walk.step(&format!("reloaded, started anew, and the machine booted again in {seconds} s"));
    // He may: it is what his rights are for, and it says who asked.
    walk.machine.ok("oncall1", "sudo -n systemctl stop recorder")?;
    let (_, events) = walk.sound_journal()?;
    let asked = events.of_kind("delegation").find(|e| {
        let what = text(e, &["delegation", "what"]);
        what.contains("StopUnit") && what.contains("recorder.service")
    });
    let asked = asked.context("nobody asked for the stop")?;
    ensure!(field(asked, &["session"]).is_some_and(Value::is_string), "{asked}");
    recorded(&events, &REFUSED, true)?;
    recorded(&events, &ENDING, true)?;
    recorded(&events, &TOLD, false)?;
    let opens = opens(&events);
    let (told, seeded, named): (u64, _, _) =
        (opens.iter().map(|open| open.0).sum(), count(&opens, false), count(&opens, true));
    let are = |attack: &&Attack| (attack.2, attack.3) == ("open", "journal");
    let his = REFUSED.iter().chain(&ENDING).filter(are).count();
    ensure!(
        told == tried + u64::try_from(his)?,
        "{tried} opens while nobody was there, and {his} before: {told} are on record"
    );
    walk.step(&format!(
        "each of these opens is on record, {seeded} by the next one, {named} of them with his session"
    ));
    ensure!(
        seeded > 0 && named * 2 > seeded,
        "of whom nobody marked when he was forked the session is not known"
    );
    let signals: Vec<_> = events.of_kind("stop").map(|e| number(e, &["stop", "signal"])).collect();
    ensure!(signals == [Some(15); 5], "it stopped by {signals:?}");
    walk.step("its journal is whole");
    Ok(())
}

/// The one way that is left to end it is the kernel's own, which its manager can be asked for. Until the next one is there, and while it
/// begins, somebody tries all the time to open its journal for writing; and again over a restart. How often he did.
fn nobody_there(walk: &Walk) -> Result<u64> {
    let begin = "systemd-run --quiet --unit=attempts sh -c 'cd /var/lib/recorder/journal; n=0; while test ! -e /run/enough; do for s in */*.rj; do n=$((n+1)); \
                 (: >>$s) 2>/dev/null && echo through $s; done; done; echo tried $n'";
    walk.machine.ok("root", begin)?;
    let before = pid(walk)?;
    walk.machine.ok(
        "root",
        "systemctl set-property --runtime recorder MemoryHigh=infinity MemoryMax=12M MemorySwapMax=0",
    )?;
    walk.machine.until("it was ended", "systemctl show recorder -P MainPID", |out| {
        (String::from_utf8_lossy(&out.stdout).trim() != before).then_some(())
    })?;
    walk.machine.ok("root", "systemctl set-property --runtime recorder MemoryMax=1G")?;
    another(walk, &before)?;
    walk.machine.ok("root", "systemctl restart recorder; touch /run/enough")?;
    let line = "journalctl -u attempts -o cat --no-pager";
    let told = walk.machine.until("the attempts are told", line, |out| {
        let told = String::from_utf8_lossy(&out.stdout).into_owned();
        told.lines().any(|line| line.starts_with("tried ")).then_some(told)
    })?;
    let through: Vec<_> = told.lines().filter(|line| line.starts_with("through ")).collect();
    ensure!(through.is_empty(), "while nobody was there: {through:?}");
    let tried = told.lines().find_map(|line| line.strip_prefix("tried ")).unwrap_or_default();
    walk.step(&format!(
        "ended by the kernel and started again, and restarted: none of {tried} opens went through"
    ));
    tried.trim().parse().context("he did not count")
}

/// Opens of the journal that were refused, by who tried: how many, whether only a later recorder told of it, and whether it knew whose they were.
fn opens(events: &Events) -> Vec<(u64, bool, bool)> {
    let mut found = HashMap::new();
    let are = |e: &&Value| {
        text(e, &["guard", "act"]) == "open"
            && text(e, &["guard", "object"]) == "journal"
            && field(e, &["guard", "denied"]).and_then(Value::as_bool) == Some(true)
    };
    for e in events.of_kind("guard").filter(are) {
        let of = |what: &str| number(e, &["guard", what]).unwrap_or_default();
        // Those beyond what is counted apart: each guard has its own number.
        let who = if of("pid") == 0 { (0, of("first_ns")) } else { (of("pid"), of("start_ns")) };
        let (count, seeded, named) = found.entry(who).or_insert((0, true, false));
        *count = of("count").max(*count);
        *seeded &= field(e, &["flags"]).is_some_and(|flags| flags.to_string().contains("seeded"));
        *named |= field(e, &["guard", "session"]).is_some_and(Value::is_string);
    }
    found.into_values().collect()
}

/// How many of them only a later recorder told; with his session?
fn count(opens: &[(u64, bool, bool)], with_session: bool) -> u64 {
    let are = opens.iter().filter(|(_, seeded, named)| *seeded && (*named || !with_session));
    are.map(|(count, ..)| count).sum()
}

fn said(walk: &Walk, name: &str) -> Result<String> {
    walk.machine.ok("root", &format!("cat /tmp/said.{name}"))
}
