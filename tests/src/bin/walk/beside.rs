//! The machine's own work beside somebody who does nothing: nothing of it may be told as his (docs/delegation.md: no false edge).

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    journal::{self, Events, text},
    proc,
};

use crate::Walk;

/// Seconds of work, unless `WALK_SECONDS` says otherwise; with more, `VM_TIMEOUT` has to be as long.
const SECONDS: u64 = 90;
/// What the machine does by itself every few seconds, each counted when it is through. No session has a part in any of it.
const WORK: &str = r#"
set -u
did() { echo >>/run/beside/$1; }
systemctl daemon-reload && did reload
systemctl restart beside-daemon && did restart
systemctl start beside-once && did start
systemd-run --quiet --wait --collect /bin/true && did transient
systemd-run --quiet --collect --on-active=1 --timer-property=AccuracySec=100ms /bin/sh -c 'echo >>/run/beside/timer'
perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; print $s "x\n"; <$s>' /run/beside/each.sock && did socket-each
perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; <$s>' /run/beside/one.sock && did socket-one
apt-get -qq check && did apt
dpkg --install /run/beside/beside.deb >/dev/null 2>&1 && did dpkg
systemd-tmpfiles --create --clean && did tmpfiles
mv /var/log/beside.log /var/log/beside.log.1; : >/var/log/beside.log; systemctl kill --signal=HUP beside-daemon && did rotate
echo 'echo >>/run/beside/at' | at now 2>/dev/null
"#;
/// What has to have been counted; cron's minute comes once in the shortest walk.
const DONE: [&str; 13] = [
    "reload",
    "restart",
    "start",
    "transient",
    "timer",
    "socket-each",
    "socket-one",
    "apt",
    "dpkg",
    "tmpfiles",
    "rotate",
    "at",
    "cron",
];
/// All is in place, and runs, before anybody records.
const SETTING: &str = r#"
mkdir -p /run/beside/deb/DEBIAN /run/beside/deb/usr/share/beside
printf 'Package: beside\nVersion: 1\nArchitecture: all\nMaintainer: walk <walk@machine>\nDescription: nothing\n' >/run/beside/deb/DEBIAN/control
printf '#!/bin/sh\nsystemctl daemon-reload\n' >/run/beside/deb/DEBIAN/postinst; chmod 755 /run/beside/deb/DEBIAN/postinst
echo nothing >/run/beside/deb/usr/share/beside/file
dpkg-deb --build /run/beside/deb /run/beside/beside.deb >/dev/null
: >/var/log/beside.log
cd /etc/systemd/system
unit() { cat >$1; }
unit beside.service <<'EOU'
[Service]
Type=oneshot
ExecStart=/bin/bash /run/beside/work
EOU
unit beside.timer <<'EOU'
[Timer]
OnActiveSec=1
OnUnitInactiveSec=4
AccuracySec=100ms
EOU
unit beside-daemon.service <<'EOU'
[Service]
ExecStart=/bin/sh -c 'trap : HUP; while :; do sleep 5; done'
EOU
unit beside-once.service <<'EOU'
[Service]
Type=oneshot
ExecStart=/bin/true
EOU
unit beside-each.socket <<'EOU'
[Socket]
ListenStream=/run/beside/each.sock
Accept=yes
EOU
unit beside-each@.service <<'EOU'
[Service]
ExecStart=/bin/cat
StandardInput=socket
EOU
unit beside-one.socket <<'EOU'
[Socket]
ListenStream=/run/beside/one.sock
EOU
unit beside-one.service <<'EOU'
[Service]
ExecStart=/usr/bin/perl -MIO::Socket::UNIX -e 'my $$l = IO::Socket->new_from_fd(3, "+<"); my $$c = IO::Socket::UNIX->new; while (accept($$c, $$l)) { syswrite $$c, "x\n"; close $$c }'
EOU
echo '* * * * * root echo >>/run/beside/cron' >/etc/cron.d/beside
systemctl daemon-reload
systemctl start cron atd beside-daemon beside-each.socket beside-one.socket beside.timer
"#;
const AWAY: &str = "systemctl stop beside.timer beside beside-daemon beside-each.socket beside-one.socket beside-one; rm -f /etc/cron.d/beside /etc/systemd/system/beside*; dpkg --purge beside >/dev/null 2>&1; systemctl daemon-reload";

/// A person's root shell stands at its prompt while the machine works; in the journal nothing of that work is his.
pub(crate) fn idle_beside_work(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    let seconds = match env::var("WALK_SECONDS") {
        Ok(told) => told.parse().with_context(|| format!("WALK_SECONDS is {told}"))?,
        Err(_) => SECONDS,
    };
    machine
        .ok("root", &format!("mkdir -p /run/beside; cat >/run/beside/work <<'EOW'{WORK}EOW\n{SETTING}"))?;
    let service = walk.service("")?;
    walk.step("the machine works, and the service is active");
    // A terminal that no connection has to be kept up for.
    machine.ok("oncall1", "tmux new -d -s idle 'sudo -n sh'")?;
    let typed = |tag: &str| {
        let line = format!("/bin/true {}; echo >/run/{0}", walk.tag(tag));
        machine.ok("oncall1", &format!("tmux send-keys -t idle '{line}' Enter"))?;
        machine.until("the idle shell did it", &format!("ls /run/{}", walk.tag(tag)), |out| {
            out.status.success().then_some(())
        })
    };
    typed("idle")?;
    let began = Instant::now();
    walk.step("oncall1 is root, and idle");
    let time = Duration::from_secs(seconds);
    // The deadline is for a machine that is slow; the hour itself has none.
    proc::until("the machine did all of its work in time", time + machine.limit(60), || {
        let enough = began.elapsed() >= time;
        std::thread::sleep(Duration::from_secs(2));
        (enough && counts(walk).is_ok_and(|counts| counts.iter().all(|(_, n)| *n > 0))).then_some(())
    })
    .with_context(|| format!("it did {:?}", counts(walk)))?;
    let did = counts(walk)?;
    typed("still")?;
    machine.ok("oncall1", "tmux kill-session -t idle")?;
    walk.step(&format!(
        "{} s of work: {}",
        began.elapsed().as_secs(),
        did.iter().map(|(what, n)| format!("{what} {n}")).collect::<Vec<_>>().join(", ")
    ));
    service.systemctl("stop")?;
    machine.ok("root", AWAY)?;
    let (site, events) = walk.sound_journal()?;
    let his = events.session_of(&walk.tag("idle"))?;
    ensure!(his == events.session_of(&walk.tag("still"))?, "his shell is two sessions");
    judge(walk, &events, &his)?;
    for session in journal::sessions(&site)? {
        let via = session.pointer("/elevation/via").and_then(serde_json::Value::as_str);
        ensure!(via.is_some(), "no elevation in {session}");
        ensure!(via != Some("delegated"), "somebody is said to have asked for {session}");
    }
    walk.step("an investigator finds nothing of it in anybody's session");
    Ok(())
}

/// How often the machine did each thing.
fn counts(walk: &Walk) -> Result<Vec<(&'static str, u64)>> {
    let line = format!("cd /run/beside; touch {0}; wc -l {0}", DONE.join(" "));
    let told = walk.machine.ok("root", &line)?;
    let count = |what: &&'static str| {
        let row = told.lines().find_map(|row| row.trim().strip_suffix(&format!(" {what}")));
        Ok((*what, row.with_context(|| format!("no count of {what}"))?.trim().parse()?))
    };
    DONE.iter().map(count).collect()
}

/// No edge of anybody's, and nothing in his session but what he did.
fn judge(walk: &Walk, events: &Events, his: &str) -> Result<()> {
    for edge in events.of_kind("delegation") {
        let told = |key| text(edge, &["delegation", key]);
        // The host's own jobs, which came of nobody, and root's own last word, that the recorder be stopped.
        let is_job =
            (told("role"), told("session")) == ("by", "") && ["cron", "at"].contains(&told("trigger"));
        let is_stop = told("role") == "asked" && told("what").contains("recorder.service");
        ensure!(
            text(edge, &["session"]) != his && (is_job || is_stop),
            "an edge where nobody asked for anything: {edge}"
        );
    }
    let strange: Vec<_> = events
        .of_kind("exec")
        .filter(|e| text(e, &["session"]) == his)
        .filter(|e| {
            !["/usr/bin/sudo", "/usr/bin/dash", "/usr/bin/true"].contains(&text(e, &["exec", "path"]))
        })
        .collect();
    ensure!(strange.is_empty(), "{} did more than he did: {strange:?}", walk.tag("idle"));
    Ok(())
}
