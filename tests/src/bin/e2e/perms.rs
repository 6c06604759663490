//! With which permissions a session worked: capabilities, users, programs that give rights; and in which namespaces.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, field, number, sessions, text},
};
use serde_json::Value;

use crate::stage::Stage;

/// A user who is nobody on any machine here.
const STRANGER: &str = "54321";

/// The last count of a capability by a program whose path ends so; 0 if there is none.
fn used(events: &Events, program: &str, name: &str, granted: bool) -> u64 {
    let is = |event: &&Value| {
        text(event, &["capability", "program"]).ends_with(program)
            && text(event, &["capability", "name"]) == name
            && field(event, &["capability", "granted"]).and_then(Value::as_bool) == Some(granted)
            && field(event, &["capability", "inner"]).and_then(Value::as_bool) == Some(false)
    };
    let last = events.of_kind("capability").filter(is).last();
    last.and_then(|event| number(event, &["capability", "count"])).unwrap_or(0)
}

fn sees_capabilities(events: &Events) -> Result<bool> {
    let boot = events.of_kind("boot").next().context("no boot record")?;
    let hooks = field(boot, &["boot", "hooks"]).and_then(Value::as_array).context("no hooks")?;
    let sees = hooks.iter().any(|hook| hook.as_str() == Some("capability"));
    // What is not seen is said.
    ensure!(sees || boot.to_string().contains("no tracepoint for them"), "silent about capabilities: {boot}");
    Ok(sees)
}

/// Exact counts of what a workload counted for itself.
pub(crate) fn permissions_used(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let setuid = stage.path("bin/become-root");
    let argv = [
        &stage.workload(),
        "rights",
        "--file",
        &stage.path("given"),
        "--uid",
        STRANGER,
        "--setuid",
        &setuid,
        "--truth",
        &stage.path("truth"),
    ];
    let (status, shown) = stage.elevated(&oncall, &argv)?.finish(stage.limit(60))?;
    ensure!(status.success(), "the workload ended with {status}: {}", String::from_utf8_lossy(&shown));
    let truth = stage.truth("truth")?;
    let events = stage.finish(running)?;
    let counted = |key: &str| number(&truth, &[key]).unwrap_or(u64::MAX);

    if sees_capabilities(&events)? {
        for (name, granted, key) in
            [("chown", true, "chown"), ("chown", false, "chown_refused"), ("setuid", true, "setuid")]
        {
            let (seen, truth) = (used(&events, "/bin/workload", name, granted), counted(key));
            ensure!(seen == truth, "{name} (granted: {granted}): {seen} recorded, {truth} done");
        }
        // Memory is accounted for at each mmap with a look at this right: no act.
        let looks = used(&events, "/bin/workload", "sys_admin", true);
        ensure!(looks == 0, "{looks} looks at sys_admin pass for acts");
    }

    let folded = events.of_kind("permissions").next().context("no permissions record")?;
    let list = |key: &str| field(folded, &["permissions", key]).and_then(Value::as_array);
    let user = |uid: u64, program: &str| {
        let users = list("users").into_iter().flatten();
        let mut of =
            users.filter(|u| number(u, &["uid"]) == Some(uid) && text(u, &["program"]).ends_with(program));
        of.next().and_then(|u| number(u, &["count"])).unwrap_or(0)
    };
    // The session itself may have begun with it.
    let own = u64::from(stage.as_root().first() == Some(&setuid));
    let stranger: u64 = STRANGER.parse()?;
    for (uid, program, key) in [
        (stranger, "/bin/workload", "to_user"),
        (0, "/bin/workload", "back"),
        (0, "/bin/become-root", "passes"),
    ] {
        let begun = if program == "/bin/become-root" { own } else { 0 };
        let (seen, truth) = (user(uid, program), counted(key) + begun);
        ensure!(seen == truth, "uid {uid} by {program}: {seen} recorded, {truth} done: {folded}");
    }
    let passed = list("programs").into_iter().flatten();
    let passed = passed.filter(|p| text(p, &["path"]) == setuid).collect::<Vec<_>>();
    let [passed] = passed.as_slice() else { anyhow::bail!("{} is passed {} times", setuid, passed.len()) };
    for key in ["count", "gained"] {
        let (seen, truth) = (number(passed, &[key]).unwrap_or(0), counted("passes") + own);
        ensure!(seen == truth, "{key} of the set-user-id program: {seen} recorded, {truth} done");
    }
    people_understand_it(stage)
}

fn people_understand_it(stage: &Stage) -> Result<()> {
    let story = String::from_utf8(stage.site.read_ok(&["timeline", "last"])?)?;
    ensure!(story.contains("acted as uid") && story.contains(STRANGER), "the users are not in: {story}");
    let listed = sessions(&stage.site)?;
    let session = listed.last().context("no session")?;
    ensure!(
        field(session, &["users"]).is_some_and(|users| users.to_string().contains(STRANGER)),
        "the list does not tell the users: {session}"
    );
    Ok(())
}

/// An id as Docker gives it.
const CONTAINER: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Where the default cgroup hierarchy is mounted; mounted for the scenario where it is not.
struct Cgroups {
    dir: PathBuf,
    mounted: bool,
}

impl Cgroups {
    fn find(stage: &Stage) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/mounts")?;
        let found = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mut found = found.filter(|fields| fields.get(2) == Some(&"cgroup2"));
        if let Some(dir) = found.find_map(|fields| fields.get(1).map(PathBuf::from)) {
            return Ok(Self { dir, mounted: false });
        }
        let dir = stage.dir.join("cgroups");
        fs::create_dir(&dir)?;
        crate::stage::quiet("mount", &["-t", "cgroup2", "none", &dir.display().to_string()])?;
        Ok(Self { dir, mounted: true })
    }

    fn container(&self) -> PathBuf {
        self.dir.join("docker").join(CONTAINER)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        // Ours or another's: a directory that is in use stays.
        let _ = fs::remove_dir(self.container());
        let _ = fs::remove_dir(self.dir.join("docker"));
        if self.mounted {
            let _ = crate::stage::quiet("umount", &[&self.dir.display().to_string()]);
        }
    }
}

/// The number in `mnt:[4026532177]`.
fn number_in(stage: &Stage, file: &str) -> Result<u64> {
    let text = fs::read_to_string(stage.dir.join(file)).with_context(|| format!("no {file}"))?;
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().with_context(|| format!("{file} says {text}"))
}

/// Every event of a task outside the host's namespaces says where it was made, and what came back says so too.
pub(crate) fn namespaces_entered(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let cgroups = Cgroups::find(stage)?;
    fs::create_dir_all(cgroups.container())?;
    let running = stage.record()?;
    let inside = format!(
        "readlink /proc/self/ns/mnt >{}; readlink /proc/self/ns/pid >{}; {}; {}",
        stage.path("mnt"),
        stage.path("pid"),
        stage.noop("inside"),
        stage.noop("inside-again")
    );
    let script = [
        format!("unshare -m -p -f --mount-proc /bin/sh -c '{inside}'"),
        stage.noop("outside"),
        // Into another one, and by setns back.
        format!("unshare -m /bin/sh -c \"{}; nsenter -t $$ -m {}\"", stage.noop("away"), stage.noop("back")),
        // As an engine does it, and gone at once.
        format!(
            "/bin/sh -c 'echo $$ >{}/cgroup.procs; exec {}'",
            cgroups.container().display(),
            stage.noop("contained")
        ),
        format!("rmdir {}", cgroups.container().display()),
    ]
    .join(" && ");
    let (status, shown) = stage.elevated(&oncall, &["/bin/sh", "-c", &script])?.finish(stage.limit(60))?;
    ensure!(status.success(), "the script ended with {status}: {}", String::from_utf8_lossy(&shown));
    let events = stage.finish(running)?;
    // Whoever starts it has the same argument.
    let is_own = |event: &&Value| text(event, &["exec", "path"]).ends_with("/workload");
    let exec = |tag: &str| events.execs_with(&stage.tag(tag)).find(is_own).cloned().context(tag.to_owned());
    let own = |event: &Value| field(event, &["context", "own"]).map(ToString::to_string).unwrap_or_default();

    for tag in ["outside", "back"] {
        let event = exec(tag)?;
        ensure!(field(&event, &["context"]).is_some_and(Value::is_null), "{tag} has a context: {event}");
    }
    for tag in ["inside", "inside-again"] {
        let event = exec(tag)?;
        ensure!(own(&event) == r#"["mnt","pid"]"#, "{tag} is not in its own: {event}");
        for (key, file) in [("mnt_ns", "mnt"), ("pid_ns", "pid")] {
            let (seen, truth) = (number(&event, &["context", key]), number_in(stage, file)?);
            ensure!(seen == Some(truth), "{tag}: {key} is {truth}: {event}");
        }
        // All of that process, to its end.
        let pid = number(&event, &["task", "pid"]);
        let others = events.0.iter().filter(|e| number(e, &["task", "pid"]) == pid);
        let without = others.filter(|e| own(e) != own(&event)).collect::<Vec<_>>();
        ensure!(without.is_empty(), "events of {tag} without its context: {without:?}");
    }
    ensure!(own(&exec("away")?) == r#"["mnt"]"#, "away is not: {}", exec("away")?);
    let event = exec("contained")?;
    let wanted = [("engine", "docker".to_owned()), ("container", CONTAINER.to_owned())];
    for (key, value) in wanted {
        ensure!(text(&event, &["context", key]) == value, "{key} is not {value}: {event}");
    }
    let path = text(&event, &["context", "cgroup_path"]);
    ensure!(path.ends_with(&format!("/docker/{CONTAINER}")), "the path is {path}");

    let story = String::from_utf8(stage.site.read_ok(&["timeline", "last"])?)?;
    for words in ["docker 001122334455", "mnt, pid namespace of its own", "{other namespaces}"] {
        ensure!(story.contains(words), "{words} is not in: {story}");
    }
    let listed = sessions(&stage.site)?;
    let session = listed.last().context("no session")?;
    ensure!(
        field(session, &["containers"]).is_some_and(|list| list.to_string().contains(CONTAINER)),
        "the list does not tell the container: {session}"
    );
    Ok(())
}
