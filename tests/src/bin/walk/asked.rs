//! PAM and sudo ask the recorder (docs/operations.md, PAM and sudo): who has no grant is told before anything starts, a shared
//! account is the person's whose key opened the login, and a recorder that is dead or gone locks nobody out.

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    journal::{self, Events, argv, text},
    recorder::Site,
    walk::{
        machine::Machine,
        office::{ANNA, BERT, fingerprint},
        service::Service,
    },
};

use crate::{
    Walk,
    inquest::{verdicts_of_grants, whole},
};

/// An account that both people work as.
const SHARED: &str = "shared";
const MODULE: &str = "/usr/lib/$(uname -m)-linux-gnu/security/pam_recorder.so";
const PLUGIN: &str = "/usr/libexec/sudo/recorder_approval.so";
/// The line that makes PAM ask, the first of its file.
const ASK: &str = "-account [success=ignore ignore=ignore module_unknown=ignore default=die] pam_recorder.so";
/// What PAM's and sudo's own files were before.
const KEPT: &str = "/var/tmp/before";

/// One story: nobody asks, PAM asks, the plugin asks, nobody answers, nothing is left.
pub(crate) fn logins_asked(walk: &Walk) -> Result<()> {
    let (machine, office) = (walk.machine, &walk.office);
    office.share(SHARED, machine)?;
    share(machine)?;
    let service = walk.service("enforcement = \"enforce\"\ngrace = \"5s\"\n")?;
    let origin = walk.dir.join("origin.note");
    service.origin(&origin)?;
    let hers = office.grant("1h", &[])?;
    service.hand_in("oncall1", &[&hers[0], &hers[1]])?;
    service.until_grant(&hers[0].id, "active")?;
    walk.step("the service is active, and so is a grant for oncall1");

    // By the account alone it is nobody's.
    refused(walk, "oncall1", SHARED, "untold", "Operation not permitted")?;
    install(machine)?;
    by_pam(machine)?;
    allowed(walk, "oncall1", SHARED, "key")?;
    refused(walk, "oncall2", SHARED, "other-key", "recorder: refused: you have no grant for")?;
    walk.step("who shares an account is told apart by his key");
    allowed(walk, "oncall1", "oncall1", "pam")?;
    refused(walk, "oncall2", "oncall2", "pam-refused", "recorder: refused: you have no grant for")?;
    walk.step("PAM asks");

    by_plugin(machine)?;
    allowed(walk, "oncall1", "oncall1", "plugin")?;
    allowed(walk, "oncall1", SHARED, "plugin-key")?;
    refused(walk, "oncall2", "oncall2", "plugin-refused", "recorder: refused: you have no grant for")?;
    walk.step("sudo's plugin asks");

    kill(machine)?;
    allowed(walk, "oncall2", "oncall2", "dead")?;
    by_pam(machine)?;
    allowed(walk, "oncall2", "oncall2", "dead-pam")?;
    walk.step("a dead recorder refuses nobody");
    machine.ok("root", "sed -i '/^enforcement/a fail_closed = true' /etc/recorder/recorder.toml")?;
    service.systemctl("start")?;
    kill(machine)?;
    let silence = "refused, because the recorder does not answer";
    refused(walk, "oncall1", "oncall1", "closed-pam", silence)?;
    by_plugin(machine)?;
    refused(walk, "oncall1", "oncall1", "closed", silence)?;
    // A login of its own: the others of root's go over a connection that is older.
    let mut root = machine.terminal("root")?;
    root.ask("echo in-$(id -un)-$(sudo -n id -u)-$((40+2))", "in-root-0-42", machine.limit(5))?;
    root.type_line("exit")?;
    root.finish(machine.limit(20))?;
    walk.step("with fail_closed it refuses all but root");

    machine.ok("root", "sed -i '/^fail_closed/d' /etc/recorder/recorder.toml")?;
    service.systemctl("start")?;
    remove(machine)?;
    allowed(walk, "oncall1", "oncall1", "removed")?;
    refused(walk, "oncall2", "oncall2", "removed-refused", "Operation not permitted")?;
    walk.step("the lines and the files are gone, and sudo works");
    stop(walk, &service)?;
    allowed(walk, "oncall2", "oncall2", "stopped")?;
    let site = walk.take_journal()?;
    walk.step("stopped, and the journal is here");

    whole(walk, &site, &origin, 2, &["RESTART"])?;
    verdicts_of_grants(&site, &[(&hers[0].id, "active")])?;
    judge(walk, &site, &hers[0].id)?;
    walk.step("an investigator finds exactly that");
    Ok(())
}

fn stop(walk: &Walk, service: &Service<'_>) -> Result<()> {
    // The next walk's service is to be started again when it dies.
    walk.machine.ok("root", "rm -r /run/systemd/system/recorder.service.d; systemctl daemon-reload")?;
    service.systemctl("stop")
}

/// Makes the account that both keys open.
fn share(machine: &Machine) -> Result<()> {
    let line = format!(
        "id {SHARED} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {SHARED}; install -d -m 700 -o {SHARED} /home/{SHARED}/.ssh; \
         cat /home/oncall[12]/.ssh/authorized_keys >/home/{SHARED}/.ssh/authorized_keys; \
         echo '{SHARED} ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/{SHARED}"
    );
    machine.ok("root", &line).map(drop)
}

/// The files and the lines for su and for logins, as docs/operations.md has them.
fn install(machine: &Machine) -> Result<()> {
    let line = format!(
        "set -e; mkdir -p {KEPT}; cp -a /etc/pam.d /etc/sudo.conf {KEPT}; \
         install -o root -g root -m 0644 /usr/lib/recorder/libpam_recorder.so {MODULE}; \
         install -o root -g root -m 0644 /usr/lib/recorder/librecorder_approval.so {PLUGIN}; \
         sed -i '1i {ASK}' /etc/pam.d/su; \
         sed -i '/pam_loginuid.so/a -session optional pam_recorder.so' /etc/pam.d/sshd /etc/pam.d/login"
    );
    machine.ok("root", &line).map(drop)
}

/// PAM asks before sudo, its plugin does not.
fn by_pam(machine: &Machine) -> Result<()> {
    let line = format!(
        "sed -i /recorder_approval/d /etc/sudo.conf && sed -i '1i {ASK}' /etc/pam.d/sudo /etc/pam.d/sudo-i"
    );
    machine.ok("root", &line).map(drop)
}

/// The other way round.
fn by_plugin(machine: &Machine) -> Result<()> {
    let line = "sed -i /pam_recorder/d /etc/pam.d/sudo /etc/pam.d/sudo-i && echo 'Plugin recorder_approval recorder_approval.so' >>/etc/sudo.conf";
    machine.ok("root", line).map(drop)
}

/// The lines first, then the files; what is left is what was there before.
fn remove(machine: &Machine) -> Result<()> {
    let line = format!(
        "set -e; sed -i /pam_recorder/d /etc/pam.d/*; sed -i /recorder_approval/d /etc/sudo.conf; rm {MODULE} {PLUGIN}; \
         diff -r {KEPT}/pam.d /etc/pam.d; diff {KEPT}/sudo.conf /etc/sudo.conf"
    );
    machine.ok("root", &line).map(drop)
}

/// The recorder dies, and systemd leaves it dead.
fn kill(machine: &Machine) -> Result<()> {
    let unit = "/run/systemd/system/recorder.service.d";
    let line = format!(
        "mkdir -p {unit} && printf '[Service]\\nRestart=no\\n' >{unit}/dead.conf && systemctl daemon-reload && systemctl kill -s KILL recorder"
    );
    machine.ok("root", &line)?;
    machine.until("the recorder is dead", "systemctl show recorder -P ActiveState", |out| {
        (out.stdout == b"failed\n").then_some(())
    })
}

/// Somebody comes to an account by his own key, and sudo does what he wants.
fn allowed(walk: &Walk, who: &str, account: &str, tag: &str) -> Result<()> {
    let out = walk.machine.run_at(who, account, &format!("sudo -n true {}", walk.tag(tag)))?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{tag}: sudo of {who} as {account} ended with {}: {said}", out.status);
    Ok(())
}

/// The same, and sudo does not, with these words.
fn refused(walk: &Walk, who: &str, account: &str, tag: &str, words: &str) -> Result<()> {
    let out = walk.machine.run_at(who, account, &format!("sudo -n true {}", walk.tag(tag)))?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(
        out.status.code() == Some(1) && said.contains(words),
        "{tag}: sudo of {who} as {account} ended with {}: {said}",
        out.status
    );
    Ok(())
}

/// Whose sessions they were, by which key, and that what was refused never ran.
fn judge(walk: &Walk, site: &Site, grant: &str) -> Result<()> {
    let events = Events::load(site)?;
    events.nothing_lost()?;
    let ends: Vec<_> = events.of_kind("boot").map(|e| text(e, &["boot", "previous_end"])).collect();
    ensure!(ends == ["none", "crash", "crash"], "the starts follow on {ends:?}");
    for (login, person) in [("oncall1", ANNA), ("oncall2", BERT)] {
        let key = fingerprint(&walk.machine.key(login))?;
        let told = events.of_kind("login").find(|e| {
            let of = |key| text(e, &["login", key]);
            (of("account"), of("key"), of("service"), of("person")) == (SHARED, key.as_str(), "sshd", person)
        });
        ensure!(told.is_some(), "no record says that {person} came to {SHARED} with {key}");
    }
    let ran = |tag: &str| {
        let tag = walk.tag(tag);
        events.execs_with(&tag).filter(|e| argv(e).next() == Some("true")).last().cloned()
    };
    let listed = journal::sessions(site)?;
    for (tag, account) in [
        ("key", SHARED),
        ("pam", "oncall1"),
        ("plugin", "oncall1"),
        ("plugin-key", SHARED),
        ("removed", "oncall1"),
    ] {
        let exec = ran(tag).with_context(|| format!("no exec of {tag}"))?;
        let told = (text(&exec, &["user", "name"]), text(&exec, &["coverage"]), text(&exec, &["grant"]));
        ensure!(told == (account, "covered", grant), "{tag} is recorded as {exec}");
        let found = listed.iter().find(|s| text(s, &["id"]) == text(&exec, &["session"]));
        ensure!(found.is_some_and(|s| text(s, &["person"]) == ANNA), "{tag} is listed as {found:?}");
    }
    for tag in
        ["untold", "other-key", "pam-refused", "plugin-refused", "closed-pam", "closed", "removed-refused"]
    {
        ensure!(ran(tag).is_none(), "{tag} ran: {:?}", ran(tag));
    }
    for tag in ["dead", "dead-pam", "stopped"] {
        ensure!(ran(tag).is_none(), "{tag} was recorded by nobody: {:?}", ran(tag));
    }
    let untold = events.session_of(&walk.tag("untold"))?;
    let why = events.of_kind("enforcement").find(|e| text(e, &["session"]) == untold);
    let why = why.context("the refusal of a shared account is not on record")?;
    ensure!(text(why, &["enforcement", "reason"]) == "unattributed", "it was refused by {why}");
    Ok(())
}
