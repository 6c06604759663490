//! Digests of programs, and what a session changed (docs/attacks.md, C1, C10, D4).

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, field, number, text},
    proc,
    recorder::Running,
    truth::sha256,
};
use serde_json::Value;

use crate::stage::Stage;

/// A copy of the workload that no other program is like; its digest.
fn program(stage: &Stage, path: &Path, tail: &str) -> Result<String> {
    let mut bytes = fs::read(stage.workload())?;
    bytes.extend_from_slice(tail.as_bytes());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    // In place where it exists: the same inode.
    if path.exists() {
        fs::write(path, &bytes)?;
    } else {
        fs::copy(stage.workload(), path)?;
        fs::write(path, &bytes)?;
    }
    Ok(sha256(&bytes))
}

/// Waits until the journal has a digest record with this digest; gives it.
fn digest(stage: &Stage, sha256: &str) -> Result<Value> {
    proc::until("the digest of a program", stage.limit(30), || {
        let events = Events::load(&stage.site).ok()?;
        events.of_kind("digest").find(|event| text(event, &["digest", "sha256"]) == sha256).cloned()
    })
}

/// Every program that was executed has the digest of what was executed: also what has no name, none any more, or another's.
pub(crate) fn digests_of_programs(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let at = |name: &str| stage.dir.join(name);
    let gate = stage.path("gate");
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let mut step = 0;
    let mut run = |line: &str| -> Result<()> {
        step += 1;
        terminal.ask(
            &format!("{line}; echo did-$((40+{step}))"),
            &format!("did-{}", 40 + step),
            stage.limit(30),
        )?;
        Ok(())
    };

    // Removed while it runs.
    let gone = program(stage, &at("gone"), "removed")?;
    let (path, there) = (stage.path("gone"), stage.path("there"));
    run(&format!("{path} hold {gate} --there {there} & while [ ! -e {there} ]; do :; done; rm {path}"))?;
    let event = digest(stage, &gone)?;
    ensure!(text(&event, &["digest", "path"]).contains("/gone"), "{event}");

    // Never had a name.
    let mut bytes = fs::read(stage.workload())?;
    bytes.extend_from_slice(b"nameless");
    run(&format!("{} memfd --gate {gate} --tail nameless & true", stage.workload()))?;
    let event = digest(stage, &sha256(&bytes))?;
    ensure!(text(&event, &["digest", "path"]) == "memfd:nameless", "{event}");

    // A script has one besides its interpreter's, also through a link.
    let script = format!("#!/bin/sh\n: {}\n", stage.tag("script"));
    fs::write(at("script"), &script)?;
    fs::set_permissions(at("script"), fs::Permissions::from_mode(0o755))?;
    symlink("script", at("to-script"))?;
    for name in ["script", "to-script"] {
        run(&stage.path(name))?;
        let of = |event: &&Value| text(event, &["digest", "path"]) == stage.path(name);
        let event = proc::until("the digest of a script", stage.limit(30), || {
            Events::load(&stage.site).ok()?.of_kind("digest").find(of).cloned()
        })?;
        ensure!(text(&event, &["digest", "sha256"]) == sha256(script.as_bytes()), "{event}");
        ensure!(number(&event, &["digest", "ino"]) == Some(fs::metadata(at("script"))?.ino()), "{event}");
    }

    // Two of one name.
    for place in ["one", "two"] {
        let path = at(place).join("same");
        let wanted = program(stage, &path, place)?;
        run(&format!("{} noop", path.display()))?;
        let event = digest(stage, &wanted)?;
        ensure!(text(&event, &["digest", "path"]) == path.display().to_string(), "{event}");
    }

    // Another one by the same name, then other content in the same file.
    let again = at("again");
    let mut inodes = Vec::new();
    for version in ["first", "second", "third"] {
        if version == "second" {
            let fresh = at("fresh");
            program(stage, &fresh, version)?;
            fs::rename(fresh, &again)?;
        }
        let wanted = program(stage, &again, version)?;
        run(&format!("{} noop", again.display()))?;
        let event = digest(stage, &wanted)?;
        inodes.push(number(&event, &["digest", "ino"]).context("no inode")?);
    }
    ensure!(matches!(inodes[..], [a, b, c] if a != b && b == c), "inodes {inodes:?}");
    // Once in a session, however often it runs.
    run(&format!("{0} noop; {0} noop", again.display()))?;
    fs::write(at("gate"), "")?;
    crate::secrets::leave(stage, terminal, 2)?;

    let events = stage.finish(running)?;
    let mut seen: BTreeMap<(String, String), u32> = BTreeMap::new();
    for event in events.of_kind("digest") {
        let key = |name| text(event, &["digest", name]).to_owned();
        ensure!(field(event, &["session"]).is_some_and(Value::is_string), "nobody's: {event}");
        if !key("sha256").is_empty() {
            *seen.entry((key("path"), key("sha256"))).or_default() += 1;
        }
    }
    let nameless = events.of_kind("exec").find(|event| text(event, &["exec", "path"]) == "memfd:nameless");
    let flags =
        nameless.and_then(|event| field(event, &["flags"])).map(ToString::to_string).unwrap_or_default();
    ensure!(flags.contains("deleted"), "a program without a name: {nameless:?}");
    let scripts =
        events.of_kind("script").filter(|event| text(event, &["script", "path"]).ends_with("script"));
    ensure!(scripts.count() == 2, "scripts are not told beside their interpreters");
    let twice = seen.iter().filter(|(_, count)| **count > 1).collect::<Vec<_>>();
    ensure!(twice.is_empty(), "told more than once: {twice:?}");
    // Each exec of what still lies where it was has its digest, and it is the right one.
    for event in events.of_kind("exec") {
        let path = text(event, &["exec", "path"]);
        let digests: Vec<_> =
            seen.keys().filter(|(of, _)| of == path).map(|(_, sha256)| sha256.as_str()).collect();
        let Ok(bytes) = fs::read(path) else { continue };
        ensure!(digests.contains(&sha256(&bytes).as_str()), "{path} has the digests {digests:?}");
    }
    Ok(())
}

/// The last state of every file that a session changed, by path.
fn changes(events: &Events) -> BTreeMap<&str, Vec<&Value>> {
    let mut found: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for event in events.of_kind("changed") {
        found.entry(text(event, &["changed", "path"])).or_default().push(event);
    }
    found
}

/// Knows what lay in the tree before anybody comes.
fn knows_the_tree(stage: &Stage, running: &Running) -> Result<()> {
    let known = || running.said().contains("the baseline of the watched trees is known").then_some(());
    proc::until("the baseline", stage.limit(30), known)
}

/// `line N`, each behind this.
fn lines(range: std::ops::Range<u32>, lead: &str) -> String {
    range.map(|n| [lead, "line ", &n.to_string(), "\n"].concat()).collect()
}

/// What lies in the watched tree.
fn before() -> BTreeMap<&'static str, Vec<u8>> {
    let before: [(&str, Vec<u8>); 8] = [
        ("text.conf", lines(0..100, "").into_bytes()),
        ("binary.dat", vec![0, 9, 9]),
        ("private.key", b"a secret\n".to_vec()),
        ("old.conf", b"old\n".to_vec()),
        ("gone.conf", b"not for long\n".to_vec()),
        ("moved.conf", b"moving\n".to_vec()),
        ("same.conf", b"as it was\n".to_vec()),
        ("bystander.conf", b"somebody else's\n".to_vec()),
    ];
    before.into_iter().collect()
}

/// Every file that a session changed, as it lies there, once; with what was there before in the watched tree; and nothing of anybody
/// else's.
pub(crate) fn what_changed(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let tree = stage.dir.join("work/etc");
    fs::create_dir_all(&tree)?;
    let before = before();
    for (name, bytes) in &before {
        fs::write(tree.join(name), bytes)?;
    }
    let cron = PathBuf::from(format!("/etc/cron.d/.{}", stage.mark));
    let has_cron = Path::new("/etc/cron.d").exists();
    fs::create_dir_all("/etc/cron.d")?;
    stage.janitor.at_end(&format!("rm -f {}", cron.display()))?;
    if !has_cron {
        stage.janitor.at_end("rmdir /etc/cron.d 2>/dev/null")?;
    }
    let config = fs::read_to_string(&stage.site.config)?;
    fs::write(&stage.site.config, format!("{config}[content]\ntrees = [\"{}\"]\n", tree.display()))?;

    stage.site.log = Some("warn,recorder::service::content=info".to_owned());
    let running = stage.record()?;
    knows_the_tree(stage, &running)?;
    let (dir, gate) = (stage.path("work"), stage.path("gate"));
    let (count, cron_path) = (stage.count(2000), cron.display().to_string());
    let (workload, truth) = (stage.workload(), stage.path("truth"));
    let count_text = count.to_string();
    let argv = [
        &*workload,
        "edits",
        "--dir",
        &dir,
        "--cron",
        &cron_path,
        "--count",
        &count_text,
        "--gate",
        &gate,
        "--truth",
        &truth,
    ];
    let terminal = stage.elevated(&oncall, &argv)?;
    let done = stage.dir.join("truth");
    proc::until("the edits", stage.limit(60), || done.exists().then_some(()))?;
    // Somebody who is not recorded, at the same time, in the same tree.
    fs::write(tree.join("bystander.conf"), "changed by another\n")?;
    fs::write(tree.join("beside.conf"), "made by another\n")?;
    // One is told while the session lives; all others may wait for its end.
    let text_conf = tree.join("text.conf").display().to_string();
    proc::until("the first change", stage.limit(40), || {
        let events = Events::load(&stage.site).ok()?;
        changes(&events).contains_key(text_conf.as_str()).then_some(())
    })?;
    fs::write(&gate, "")?;
    let (status, shown) = terminal.finish(stage.limit(60))?;
    ensure!(status.success(), "the workload ended with {status}: {}", String::from_utf8_lossy(&shown));
    let events = stage.finish(running)?;

    let found = changes(&events);
    let at = |name: &str| stage.dir.join("work").join(name).display().to_string();
    let mut wanted: Vec<String> = [
        "etc/text.conf",
        "etc/binary.dat",
        "etc/private.key",
        "etc/old.conf",
        "etc/gone.conf",
        "etc/moved.conf",
        "etc/moved-here.conf",
        "etc/fresh.conf",
        "tool",
        "home/.ssh/authorized_keys",
        "home/.config/systemd/user/x.service",
    ]
    .into_iter()
    .map(at)
    .collect();
    wanted.extend((0..count).map(|number| at(&format!("many/{number}"))));
    wanted.push(cron_path.clone());
    wanted.sort();
    let told: Vec<&str> =
        found.keys().copied().filter(|path| path.contains("/work/") || *path == cron_path).collect();
    ensure!(told == wanted, "told {:?}, wanted {:?}", odd(&told, &wanted), odd_of(&wanted, &told));
    for path in &wanted {
        let event = only(&found, path)?;
        let digest = text(event, &["changed", "sha256"]);
        let lies = fs::read(path).ok().map_or_else(String::new, |bytes| sha256(&bytes));
        ensure!(digest == lies, "{path}: digest {digest}, there lies {lies}: {event}");
    }

    means_what_it_should(&found, &before, &at, &cron_path)?;
    // Every one stands before the end of its session.
    let end = events.0.iter().rposition(|event| text(event, &["kind"]) == "session_end").context("no end")?;
    let last = events.0.iter().rposition(|event| text(event, &["kind"]) == "changed").context("no change")?;
    ensure!(last < end, "something is told behind the session's end");
    let story = String::from_utf8(stage.site.read_ok(&["timeline", "last"])?)?;
    ensure!(story.contains("| +line fifty"), "the diff is not in the story: {story}");
    Ok(())
}

/// Diffs, what was there before, and what it means.
fn means_what_it_should(
    found: &BTreeMap<&str, Vec<&Value>>,
    before: &BTreeMap<&str, Vec<u8>>,
    at: &dyn Fn(&str) -> String,
    cron: &str,
) -> Result<()> {
    let record = |name: &str| only(found, &at(name));
    let diff = |name: &str| record(name).map(|event| text(event, &["changed", "diff", "text"]).to_owned());
    let expected =
        ["@@ -48,7 +48,7 @@\n", &lines(47..50, " "), "-line 50\n+line fifty\n", &lines(51..54, " ")].concat();
    ensure!(diff("etc/text.conf")? == expected, "the diff is {:?}", diff("etc/text.conf")?);
    ensure!(diff("etc/old.conf")? == "@@ -1 +1 @@\n-old\n+over it\n", "{}", record("etc/old.conf")?);
    ensure!(diff("etc/gone.conf")? == "@@ -1 +0,0 @@\n-not for long\n", "{}", record("etc/gone.conf")?);
    for name in ["text.conf", "binary.dat", "private.key", "old.conf", "gone.conf", "moved.conf"] {
        let (event, was) = (record(&format!("etc/{name}"))?, before.get(name).context(name)?);
        let (seen, truth) = (text(event, &["changed", "before", "sha256"]), sha256(was));
        ensure!(seen == truth, "{name}: before {seen}, was {truth}");
    }
    for (name, why) in [("etc/binary.dat", "binary"), ("etc/private.key", "secret")] {
        let event = record(name)?;
        ensure!(text(event, &["changed", "no_diff"]) == why && diff(name)?.is_empty(), "{event}");
    }
    for (path, class) in [
        (at("tool"), "setuid"),
        (at("home/.ssh/authorized_keys"), "authorized_keys"),
        (at("home/.config/systemd/user/x.service"), "unit"),
        (cron.to_owned(), "cron"),
    ] {
        let event = only(found, &path)?;
        ensure!(text(event, &["changed", "class"]) == class, "{event}");
    }
    let moved = record("etc/moved-here.conf")?;
    ensure!(text(moved, &["changed", "other"]) == at("etc/moved.conf"), "{moved}");
    Ok(())
}

/// The one record of a path.
fn only<'a>(found: &BTreeMap<&str, Vec<&'a Value>>, path: &str) -> Result<&'a Value> {
    let records = found.get(path).with_context(|| format!("{path} is not told"))?;
    let [event] = records.as_slice() else {
        anyhow::bail!("{path} is told {} times: {records:?}", records.len())
    };
    Ok(event)
}

fn odd<'a>(told: &[&'a str], wanted: &[String]) -> Vec<&'a str> {
    told.iter().copied().filter(|path| !wanted.iter().any(|other| other == path)).take(20).collect()
}

fn odd_of<'a>(wanted: &'a [String], told: &[&str]) -> Vec<&'a str> {
    wanted.iter().map(String::as_str).filter(|path| !told.contains(path)).take(20).collect()
}
