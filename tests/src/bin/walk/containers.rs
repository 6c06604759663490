//! Work that is handed to a container engine (docs/attacks.md, B3; docs/delegation.md).

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use recorder_tests::journal::{Events, argv, text};
use serde_json::Value;

use crate::Walk;

/// What he runs in containers by docker.
const HIS: [&str; 5] = ["run", "detached", "again", "exec", "named"];
/// What the host runs in containers meanwhile.
const HOSTS: [&str; 3] = ["host-exec", "host-run", "health"];

/// He makes containers, goes into the host's, has one of the host's started again, and leaves. What the host does in containers meanwhile
/// is nobody's.
pub(crate) fn b3_containers(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    let did = |tag: &str| format!("/bin/true {}", walk.tag(tag));
    // The root has no compiler of profiles for the security module.
    let run = "docker run --network none --security-opt apparmor=unconfined";
    // The host's own, from before anything is recorded: an image, a container, one with health checks, a unit that uses them.
    let unit = format!(
        "printf \"[Service]\\nType=oneshot\\nExecStart=/usr/bin/docker exec web {}\\nExecStart=/usr/bin/{run} --rm box {}\\n\" >/etc/systemd/system/containers.service",
        did("host-exec"),
        did("host-run"),
    );
    let prepare = [
        "set -e".to_owned(),
        "mkdir -p /tmp/box/bin; cp /bin/busybox /tmp/box/bin".to_owned(),
        "for name in sh sleep true false; do ln -sf busybox /tmp/box/bin/$name; done".to_owned(),
        "systemctl start docker".to_owned(),
        "tar -c -C /tmp/box . | docker import - box >/dev/null".to_owned(),
        "tar -c -C /tmp/box . | podman --storage-driver vfs import -q - box >/dev/null".to_owned(),
        format!("{run} -d --name web box sleep 3601 >/dev/null"),
        format!(
            "{run} -d --health-cmd \"{}\" --health-interval 10s --name healthy box sleep 3602 >/dev/null",
            did("health")
        ),
        unit,
        "systemctl daemon-reload".to_owned(),
    ];
    machine.ok("root", &prepare.join("\n"))?;
    walk.step("an engine runs, and containers of the host");
    let service = walk.service("")?;
    walk.step("the service is active");
    let look = "docker inspect -f '{{range .State.Health.Log}}{{.End}} {{end}}' healthy";
    let looked = machine.ok("root", look)?;
    let script = [
        did("here"),
        format!("{run} --rm box {}", did("run")),
        format!("{run} -d --name detached box sh -c \"{}; sleep 3603\" >/dev/null", did("detached")),
        // The engine starts it once more.
        format!(
            "{run} -d --restart on-failure:1 --name again box sh -c \"{}; false\" >/dev/null",
            did("again")
        ),
        format!("docker exec $(docker inspect -f {{{{.Id}}}} web) {}", did("exec")),
        format!("docker exec web {}", did("named")),
        "docker restart -t 1 web >/dev/null".to_owned(),
        format!("podman --storage-driver vfs run --rm --network none box {}", did("podman")),
    ]
    .join("\n");
    let path = format!("/tmp/{}.sh", walk.tag("containers"));
    machine.ok("oncall1", &format!("cat >{path} <<'EOS'\n{script}\nEOS\nsudo -n sh {path}"))?;
    walk.step("oncall1 used containers and left");
    machine.ok("root", "systemctl start containers")?;
    let seen = format!(
        "[ \"$(docker inspect -f '{{{{.RestartCount}}}} {{{{.State.Status}}}}' again)\" = \"1 exited\" ] && [ \"$({look})\" != \"{}\" ] && echo all",
        looked.trim_end_matches('\n')
    );
    machine.until("his container started again, and a look at the health of another", &seen, |out| {
        String::from_utf8_lossy(&out.stdout).contains("all").then_some(())
    })?;
    walk.step("all of it ran, and work of the host");
    service.systemctl("stop")?;
    machine.ok("root", "docker rm -f $(docker ps -aq) >/dev/null; rm /etc/systemd/system/containers.service; systemctl stop docker.service docker.socket containerd")?;
    let (_, events) = walk.sound_journal()?;
    judge(walk, &events)?;
    walk.step("an investigator finds exactly that");
    Ok(())
}

/// Sessions in which the program itself was run with that tag, in order.
fn ran(walk: &Walk, events: &Events, tag: &str) -> Vec<String> {
    let wanted = walk.tag(tag);
    let own = events.execs_with(&wanted).filter(|e| argv(e).next() == Some("/bin/true"));
    own.map(|e| text(e, &["session"]).to_owned()).collect()
}

fn judge(walk: &Walk, events: &Events) -> Result<()> {
    let his = ran(walk, events, "here").pop().context("his own work is not recorded")?;
    let ends = |role: &'static str| {
        events.of_kind("delegation").filter(move |e| text(e, &["delegation", "role"]) == role)
    };
    let told =
        |e: &Value| ["session", "trigger", "confidence"].map(|key| text(e, &["delegation", key]).to_owned());
    let mut children = BTreeSet::new();
    for tag in HIS {
        let sessions = ran(walk, events, tag);
        ensure!(sessions.len() == if tag == "again" { 2 } else { 1 }, "{tag} ran in {sessions:?}");
        for session in sessions {
            ensure!(session != his, "{tag} ran in his own session");
            let by = ends("by").find(|e| text(e, &["session"]) == session);
            let by = by.with_context(|| format!("{tag} came of nobody"))?;
            ensure!(told(by) == [his.as_str(), "container", "certain"], "{tag}: {by}");
            ensure!(children.insert(session), "{tag} shares a session");
        }
    }
    // Engines without a daemon are his own programs.
    ensure!(ran(walk, events, "podman") == [his.as_str()], "podman's container is not in his session");
    for tag in HOSTS {
        ensure!(ran(walk, events, tag).is_empty(), "{tag} is recorded");
    }
    for host in ["3601", "3602"] {
        let own = events.execs_with(host).find(|e| argv(e).next() == Some("sleep"));
        ensure!(own.is_none(), "a container of the host is recorded: {own:?}");
    }
    for end in ends("by") {
        let is_of_engine = text(end, &["delegation", "trigger"]) == "container";
        let is_known = children.contains(text(end, &["session"]));
        ensure!(is_known || !(is_of_engine || told(end)[0] == his), "a false edge: {end}");
    }
    // Root's session had a unit started, which is told in its own stream.
    let is_told = |e: &&Value| text(e, &["delegation", "session"]).is_empty() && told(e)[1] != "unit";
    let restarted: Vec<_> = ends("to").filter(is_told).collect();
    let [restart] = restarted.as_slice() else { anyhow::bail!("told and not followed: {restarted:?}") };
    ensure!(
        text(restart, &["session"]) == his
            && told(restart)[1..] == ["container", "certain"]
            && text(restart, &["delegation", "what"]) == "POST /containers/web/restart",
        "the restart of the host's container: {restart}"
    );
    for words in ["POST /containers/create", "POST /containers/web/exec", "POST /containers/web/restart"] {
        let is_asked = |e: &Value| text(e, &["session"]) == his && text(e, &["delegation", "what"]) == words;
        ensure!(ends("asked").any(is_asked), "{words} is not on record");
    }
    Ok(())
}
