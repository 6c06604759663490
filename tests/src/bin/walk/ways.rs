//! More ways to have the system's manager work for one: drop-ins, sockets, the bus (docs/attacks.md, B1; docs/delegation.md).

use anyhow::{Context, Result, ensure};
use recorder_tests::journal::{self, Events, text};
use serde_json::Value;

use crate::Walk;

/// What he prepared; each starts when he is gone, or because of a call to a name that he made.
const WAYS: [&str; 3] = ["dropin", "accept", "bus"];
/// Perl is in every Debian; `nc` is not.
const CONNECT: &str =
    "use IO::Socket::UNIX; IO::Socket::UNIX->new(Peer => $ARGV[0], Type => SOCK_STREAM) or die $!";

const BUS: &str = "busctl --timeout=2 call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus";

/// A unit of the host with a drop-in of his, a socket whose services he wrote, a name on the bus that he made: what the host starts of it
/// is his, and a unit beside them that he did not touch is nobody's.
pub(crate) fn more_ways(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    let done = |tag: &str| format!("/bin/sh -c \"/bin/true {0}; touch /run/{0}\"", walk.tag(tag));
    let (unit, other) = (walk.tag("host"), walk.tag("other"));
    let hosts = |name: &str, tag: &str| {
        format!(
            "printf '[Service]\\nType=oneshot\\nExecStart={}\\n' >/etc/systemd/system/{name}.service",
            done(tag)
        )
    };
    machine.ok(
        "root",
        &format!("{}; {}; systemctl daemon-reload", hosts(&unit, "by-host"), hosts(&other, "by-other")),
    )?;
    let service = walk.service("")?;
    walk.step("the service is active");
    let (socket, bus) = (walk.tag("socket"), format!("org.walk.W{}", walk.tag("bus").replace('-', "_")));
    let put = |path: String, text: String| format!("cat >{path} <<'EOF'\n{text}\nEOF");
    let lines = [
        format!("/bin/true {}", walk.tag("here")),
        format!("mkdir -p /etc/systemd/system/{unit}.service.d"),
        put(
            format!("/etc/systemd/system/{unit}.service.d/more.conf"),
            format!("[Service]\nExecStartPost={}", done("dropin")),
        ),
        put(
            format!("/etc/systemd/system/{socket}.socket"),
            format!("[Socket]\nListenStream=/run/{socket}\nAccept=yes"),
        ),
        put(
            format!("/etc/systemd/system/{socket}@.service"),
            format!("[Service]\nExecStart={}", done("accept")),
        ),
        put(
            format!("/etc/systemd/system/{socket}-bus.service"),
            format!("[Service]\nExecStart={}", done("bus")),
        ),
        put(
            format!("/usr/share/dbus-1/system-services/{bus}.service"),
            format!(
                "[D-BUS Service]\nName={bus}\nExec=/bin/false\nUser=root\nSystemdService={socket}-bus.service"
            ),
        ),
        format!("systemctl daemon-reload; systemctl start {socket}.socket"),
        format!("{BUS} ReloadConfig; {BUS} StartServiceByName su {bus} 0"),
    ];
    machine.ok("root", &format!("cat >/run/{unit}.sh <<'EOS'\n{}\nEOS", lines.join("\n")))?;
    // Nobody takes the name on the bus: the last call times out.
    machine.run("oncall1", &format!("sudo -n sh /run/{unit}.sh"))?;
    walk.step("oncall1 prepared all of it and left");
    machine.ok("root", &format!("systemctl start {unit} {other}; perl -e '{CONNECT}' /run/{socket}"))?;
    let seen = WAYS.map(|tag| format!("[ -e /run/{} ]", walk.tag(tag))).join(" && ");
    let all = machine.until("all of it ran", &format!("{seen} && echo all"), |out| {
        String::from_utf8_lossy(&out.stdout).contains("all").then_some(())
    });
    if let Err(error) = all {
        let ran = machine
            .ok("root", &format!("ls /run | grep {}; systemctl --failed --no-legend", walk.tag("")))?;
        return Err(error.context(format!("of it ran: {ran}")));
    }
    walk.step("all of it ran");
    service.systemctl("stop")?;
    machine.ok(
        "root",
        &format!(
            "systemctl stop {socket}.socket; rm -r /etc/systemd/system/{unit}.service* /etc/systemd/system/{other}.service \
             /etc/systemd/system/{socket}* /usr/share/dbus-1/system-services/{bus}.service; systemctl daemon-reload"
        ),
    )?;
    let (site, events) = walk.sound_journal()?;
    judge(walk, &events, &journal::sessions(&site)?)?;
    walk.step("an investigator finds exactly that");
    Ok(())
}

fn judge(walk: &Walk, events: &Events, listed: &[Value]) -> Result<()> {
    let his = events.session_of(&walk.tag("here"))?;
    for way in WAYS {
        let session = events.session_of(&walk.tag(way))?;
        ensure!(session != his, "{way} ran in his own session");
        let by = events.came_by(&session).with_context(|| format!("{way} came of nobody"))?;
        let told = |key| text(by, &["delegation", key]);
        ensure!(told("session") == his && told("confidence") == "certain", "{way}: {by}");
        let found = listed.iter().find(|s| text(s, &["id"]) == session).context("a session is not listed")?;
        ensure!(text(found, &["user"]) == "oncall1", "{way} is listed as {found}");
    }
    let other = walk.tag("by-other");
    ensure!(events.execs_with(&other).next().is_none(), "a unit that he did not touch is recorded");
    Ok(())
}
