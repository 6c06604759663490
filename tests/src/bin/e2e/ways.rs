//! Files reached in other ways than by open and write of a name, names of every form, and masses (docs/attacks.md, D).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    io::Read as _,
    os::unix::{fs::MetadataExt, fs::chown, net::UnixListener},
    thread,
};

use anyhow::{Context, Result, anyhow, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use recorder_tests::{
    account::{Account, Sudo},
    journal::{Events, field, number, text},
    proc,
    truth::sha256,
};
use rustix::{
    fd::AsFd,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use serde_json::Value;

use crate::{changes::holds, stage::Stage};

/// Opens for reading, and files that are made and removed.
const OPENS: u32 = 20_000;
const MANY: u32 = 1000;

/// Both ends of each act are on record by the path and the inode that it came to, what it left is told with its digest, and a session
/// that makes a ring says so.
pub(crate) fn other_ways(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let (dir, gate, truth) = (stage.path(&stage.mark), stage.path("gate"), stage.path("truth"));
    let argv = [&*stage.workload(), "ways", "--dir", &dir, "--gate", &gate, "--truth", &truth];
    let terminal = stage.elevated(&oncall, &argv)?;
    let mapped = format!("{dir}/mapped");
    // What was written through the mapping is told while it is still there; then comes more, by which nothing of the file changes.
    let told = proc::until("the mapped file", stage.limit(40), || {
        let events = Events::load(&stage.site).ok()?;
        events.of_kind("changed").any(|e| text(e, &["changed", "path"]) == mapped).then_some(())
    });
    fs::write(&gate, "")?;
    let (status, shown) = terminal.finish(stage.limit(60))?;
    ensure!(status.success(), "the workload ended with {status}: {}", String::from_utf8_lossy(&shown));
    told?;
    let truth = stage.truth("truth")?;
    let events = stage.finish(running)?;

    let boot = events.of_kind("boot").next().context("no boot record")?;
    let is_inside = text(boot, &["boot", "backend"]) == "trampoline";
    let dir = text(&truth, &["dir"]);
    for act in truth.get("acts").and_then(Value::as_array).context("a truth without acts")? {
        // What a ring is asked for makes no system call of its own; a handle of nothing is refused before anything is opened.
        if text(act, &["way"]) == if is_inside { "stale" } else { "ring" } {
            continue;
        }
        let found = events.of_kind(text(act, &["kind"])).any(|e| holds(e.get("file"), act.get("file")));
        ensure!(found, "not recorded: {act}");
    }
    let rings = events.of_kind("io_uring").filter(|e| text(e, &["call", "name"]) == "io_uring_setup");
    ensure!(rings.count() == 1, "the ring is not on record once");
    let says = boot.to_string().contains("io_uring: opens");
    ensure!(says != is_inside, "what a ring hides is not declared as it is: {boot}");
    let tries = events.of_kind("open").filter(|e| field(e, &["file", "result"]) == Some(&Value::from(-11)));
    ensure!(tries.count() == 0, "what the ring tried first is told as a failure");

    // What lies there in the end.
    let mut last: BTreeMap<&str, &Value> = BTreeMap::new();
    for event in events.of_kind("changed") {
        last.insert(text(event, &["changed", "path"]), event);
    }
    for name in ["handle", "again", "named", "mapped", "ranged", "sent", "spliced", "cloned"] {
        let path = format!("{dir}/{name}");
        let event = last.get(path.as_str()).with_context(|| format!("{path} is not told as changed"))?;
        let lies = sha256(&fs::read(&path)?);
        ensure!(text(event, &["changed", "sha256"]) == lies, "{path} is {lies}: {event}");
        ensure!(number(event, &["changed", "ino"]) == Some(fs::metadata(&path)?.ino()), "{event}");
    }
    // It had no name when it was written: the name that it got is its own.
    if is_inside {
        let named = events.of_kind("link").any(|e| {
            number(e, &["file", "ino"]) == fs::metadata(format!("{dir}/named")).ok().map(|data| data.ino())
        });
        ensure!(named, "the name of what had none leads to no inode");
    }
    Ok(())
}

/// Hands this file over to whoever connects first.
fn hand_over(listener: &UnixListener, file: &File) -> Result<()> {
    let (to, _) = listener.accept()?;
    let fds = [file.as_fd()];
    let mut room = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut room);
    ensure!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)), "no room for a descriptor");
    sendmsg(&to, &[std::io::IoSlice::new(b"x")], &mut ancillary, SendFlags::empty())?;
    // Until the other one has it.
    let _ = (&to).read(&mut [0; 1])?;
    Ok(())
}

/// Two sessions that have a file open write to it in turn.
fn in_turn(stage: &mut Stage, oncall: &Account, path: &str) -> Result<()> {
    let argv = |first: &str| {
        let write = "while [ $n -lt 20 ]; do echo $n >&3; sleep 0.05; n=$((n+1)); done";
        format!(
            "exec 3>>{path}; touch {path}.{first}; until [ -e {path}.a -a -e {path}.b ]; do sleep 0.05; done; n=0; {write}"
        )
    };
    let (first, second) = (argv("a"), argv("b"));
    let one = stage.elevated(oncall, &["sh", "-c", &first])?;
    let other = stage.elevated(oncall, &["sh", "-c", &second])?;
    for terminal in [one, other] {
        let (status, shown) = terminal.finish(stage.limit(30))?;
        ensure!(status.success(), "a writer ended with {status}: {}", String::from_utf8_lossy(&shown));
    }
    ensure!(fs::read_to_string(path)?.lines().count() == 40, "{path} is not whole");
    Ok(())
}

/// A file that was opened before the session began, and one that somebody else opened: that the session writes there is on record, once.
pub(crate) fn descriptors_from_elsewhere(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let place = stage.dir.join("place");
    fs::create_dir(&place)?;
    chown(&place, Some(oncall.uid), Some(oncall.gid))?;
    let at = |name: &str| place.join(name).display().to_string();
    let handed = File::create(at("handed"))?;
    let listener = UnixListener::bind(at("socket"))?;
    fs::set_permissions(at("socket"), std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    let other = thread::spawn(move || hand_over(&listener, &handed));
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    let words = stage.as_root().join(" ");
    let line = format!(
        "{words} {} older --socket {} --own {} >{}; echo did-$((40+2))",
        stage.workload(),
        at("socket"),
        at("own"),
        at("older")
    );
    terminal.ask(&line, "did-42", stage.limit(30))?;
    in_turn(stage, &oncall, &at("both"))?;
    other.join().map_err(|_| anyhow!("the other one fell"))??;
    terminal.type_line("exit")?;
    terminal.finish(stage.limit(20))?;
    let events = stage.finish(running)?;

    for name in ["older", "handed"] {
        let path = at(name);
        let told: Vec<_> = events.of_kind("write").filter(|e| text(e, &["file", "path"]) == path).collect();
        ensure!(told.len() == 1, "{path} is told {} times", told.len());
        let event = told.first().context("none")?;
        ensure!(number(event, &["file", "ino"]) == Some(fs::metadata(&path)?.ino()), "{event}");
        ensure!(field(event, &["session"]).is_some_and(Value::is_string), "nobody's: {event}");
        let opened = |kind| events.of_kind(kind).any(|e| text(e, &["file", "path"]) == path);
        ensure!(!opened("open") && !opened("create"), "{path} was opened by somebody else");
        let lies = sha256(&fs::read(&path)?);
        let looks: Vec<_> =
            events.of_kind("changed").filter(|e| text(e, &["changed", "path"]) == path).collect();
        // Where all is slower the end of a session may not wait for the look; that is told too.
        let is_told = |e: &&Value| {
            text(e, &["changed", "sha256"]) == lies
                || stage.is_emulated() && text(e, &["changed", "why"]) == "late"
        };
        ensure!(looks.iter().any(is_told), "{path} is not told as changed: {looks:?}");
    }
    ensure!(events.of_kind("create").any(|e| text(e, &["file", "path"]) == at("own")), "his own file");
    let own = events.of_kind("write").filter(|e| text(e, &["file", "path"]).starts_with(&at("own")));
    ensure!(own.count() == 0, "what the session opened itself needs no word more");
    let both = || events.0.iter().filter(|e| text(e, &["file", "path"]) == at("both"));
    let sessions: BTreeSet<&str> = both().map(|e| text(e, &["session"])).collect();
    ensure!(sessions.len() == 2, "two sessions opened it: {sessions:?}");
    let writes = both().filter(|e| text(e, &["kind"]) == "write").count();
    ensure!(writes == 0, "both opened it themselves, and it is told {writes} times that they write");
    Ok(())
}

/// Every name is there byte for byte or stated as cut; masses of opens are few records with exact numbers; what is made and removed is
/// there one by one.
pub(crate) fn names_and_masses(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let (dir, truth) = (stage.path(&stage.mark), stage.path("truth"));
    let (opens, files) = (stage.count(OPENS).to_string(), stage.count(MANY).to_string());
    let argv = [
        &*stage.workload(),
        "masses",
        "--dir",
        &dir,
        "--opens",
        &opens,
        "--files",
        &files,
        "--truth",
        &truth,
    ];
    let terminal = stage.elevated(&oncall, &argv)?;
    let (status, shown) = terminal.finish(stage.limit(120))?;
    ensure!(status.success(), "the workload ended with {status}: {}", String::from_utf8_lossy(&shown));
    let truth = stage.truth("truth")?;
    let events = stage.finish(running)?;

    let exact = |event: &Value| -> Vec<u8> {
        let bytes =
            STANDARD.decode(text(event, &["file", "path_b64"])).ok().filter(|bytes| !bytes.is_empty());
        bytes.unwrap_or_else(|| text(event, &["file", "path"]).as_bytes().to_vec())
    };
    let created: HashMap<Vec<u8>, &Value> = events.of_kind("create").map(|e| (exact(e), e)).collect();
    for name in truth.get("names").and_then(Value::as_array).context("no names")? {
        let path = STANDARD.decode(text(name, &["path"]))?;
        let shown = String::from_utf8_lossy(&path).into_owned();
        let event =
            created.get(&path).with_context(|| format!("not created, or by another name: {shown}"))?;
        ensure!(number(event, &["file", "ino"]) == number(name, &["ino"]), "{name}: {event}");
    }
    let deep = number(&truth, &["deep"]);
    let deepest = events.of_kind("create").find(|e| number(e, &["file", "ino"]) == deep && deep.is_some());
    let deepest = deepest.context("what lies too deep is not there")?;
    ensure!(
        exact(deepest).ends_with(b"/deepest") && deepest.to_string().contains("\"truncated\""),
        "neither its end nor that it is cut: {deepest}"
    );
    let dir = text(&truth, &["dir"]);
    let failed = |e: &&Value| field(e, &["file", "result"]) == Some(&Value::from(-2));
    let orphan =
        events.of_kind("open").filter(failed).any(|e| text(e, &["file", "path"]).ends_with("/orphan"));
    ensure!(orphan, "what failed in a directory that is gone");
    let from_nowhere = format!("{dir}/from-nowhere");
    ensure!(created.contains_key(from_nowhere.as_bytes()), "what was made from there");

    folded(&truth, &events)?;
    let tree = format!("{dir}/tree/");
    let told = |kind: &str| {
        let of_tree = events.of_kind(kind).filter(|e| {
            let path = text(e, &["file", "path"]);
            let done = field(e, &["file", "result"]) == Some(&Value::from(0));
            done && (path.starts_with(&tree) || path == tree.trim_end_matches('/'))
        });
        u64::try_from(of_tree.count()).ok()
    };
    let (made, removed) = (number(&truth, &["made"]), number(&truth, &["removed"]));
    ensure!(told("create") == made, "{made:?} files were made, {:?} are told", told("create"));
    ensure!(told("chmod") == made, "{made:?} modes were set, {:?} are told", told("chmod"));
    ensure!(told("unlink") == removed, "{removed:?} names went, {:?} are told", told("unlink"));
    Ok(())
}

/// What is told in full and what is told by number are together what was done; and it is little.
fn folded(truth: &Value, events: &Events) -> Result<()> {
    let mut told: HashMap<&str, (u64, u64, u64)> = HashMap::new();
    for event in &events.0 {
        let (path, kind) = (text(event, &["file", "path"]), text(event, &["kind"]));
        let reads =
            field(event, &["file", "flags"]).is_some_and(|flags| flags.to_string().contains("O_RDONLY"));
        if reads && matches!(kind, "open" | "reads") {
            let (full, folded, records) = told.entry(path).or_default();
            let count = number(event, &["file", "count"]).context("no count")?;
            *(if kind == "open" { full } else { folded }) += count;
            *records += 1;
        }
    }
    let mut done = 0;
    for file in truth.get("read").and_then(Value::as_array).context("nothing was read")? {
        let (path, count) = (text(file, &["path"]), number(file, &["count"]).context("no count")?);
        let (full, folded, records) =
            told.get(path).copied().with_context(|| format!("{path} is not there"))?;
        ensure!(full + folded == count, "{path}: {full} and {folded} of {count}");
        // The first, and the rest in one for each ten seconds that the load and its end took.
        ensure!(full == 1 && records < 12, "{path}: {records} records, {full} of them in full");
        done += count;
    }
    let of_story = events.of_kind("session_end").filter_map(|e| number(e, &["session_end", "files"])).max();
    ensure!(of_story.is_some_and(|files| files >= done), "{done} opens, the session's end says {of_story:?}");
    Ok(())
}
