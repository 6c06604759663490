//! People at terminals that are no ptys: a serial line and a virtual terminal, each used by one after the other, and a pty whose
//! number comes again (docs/attacks.md, A10, G6; docs/sessions.md, Terminals).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use recorder_tests::{
    journal::{self, Events, number, text},
    pty::find,
    walk::{line::Line, machine::Machine},
};

use crate::Walk;

/// What logs people in at the line; the stock unit waits for a device that only udev announces.
const GETTY: &str = "[Service]\nExecStart=-/sbin/agetty -8 -L 115200 ttyS2 vt100\nRestart=always\nRestartSec=0\nUtmpIdentifier=ttyS2\nTTYPath=/dev/ttyS2\nTTYReset=yes\nTTYVHangup=yes\nIgnoreSIGPIPE=no\nSendSIGHUP=yes\n";
const PASSWORD: &str = "walks-only";
/// Where somebody may have been.
const TTYS: [&str; 6] = ["ttyS2", "tty3", "pts/0", "pts/1", "pts/2", "pts/3"];
/// Between the markers of what is printed: tabs, a bell, escapes, halves of characters, every printable byte.
const ODD: &str =
    r"a\tb\010c\007 \033[1mbold\033[0m \302\265 \377\376 !\042#$%%&\047()*+,-./0123456789:;<=>?@[\\]^_`{|}~";
/// The far end of the virtual terminal, as somebody with a keyboard there would have it.
const KEYS: &str =
    r#"sysopen(F, "/dev/tty3", 0402) or die; for (split //, $ARGV[0]) { ioctl(F, 0x5412, $_) or die $! }"#;

/// One story: at the line, one person after another while the first one's work goes on; at the virtual terminal; at a pty.
pub(crate) fn terminals(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    prepare(walk)?;
    let service = walk.service("")?;
    let mut line = machine.line()?;
    walk.step("the service is active, and somebody sits at the serial line");
    let wire = at_the_line(walk, &mut line)?;
    at_the_console(walk)?;
    at_ptys(walk)?;
    service.systemctl("stop")?;
    machine.ok("root", "systemctl stop serial-getty@ttyS2 getty@tty3; rm -f /etc/sudoers.d/plain; pkill -x left-behind; true")?;
    let (site, events) = walk.sound_journal()?;
    judge_line(walk, &events, &wire)?;
    judge_console(walk, &events)?;
    nothing_else(walk, &events)?;
    let listed = journal::sessions(&site)?;
    for (tag, who, tty) in [
        ("one", "oncall1", "ttyS2"),
        ("two", "oncall2", "ttyS2"),
        ("six", "root", "ttyS2"),
        ("three", "oncall1", "tty3"),
    ] {
        let session = events.session_of(&walk.tag(tag))?;
        let found = listed.iter().find(|s| text(s, &["id"]) == session).context("a session is not listed")?;
        ensure!((text(found, &["user"]), text(found, &["tty"])) == (who, tty), "{tag} is listed as {found}");
        site.read_ok(&["replay", &session, "--final"])?;
    }
    walk.step("an investigator finds exactly that");
    Ok(())
}

/// Passwords, a getty at either terminal, and what people will print: markers are never typed, since typing is echoed.
fn prepare(walk: &Walk) -> Result<()> {
    let show = |n: &str, rest: &str| {
        let tag = |end: &str| walk.tag(&format!("{n}-{end}"));
        format!(
            "cat >/run/show-{n} <<'EOS'\n/bin/true {}\nprintf '{}\\n'\n{rest}\nprintf '{}\\n'\nEOS\n",
            walk.tag(n),
            tag("begins"),
            tag("ends")
        )
    };
    let odd = format!("printf '{ODD}\\n'");
    let script = [
        show("one", &odd),
        show("two", &format!("{odd}\nread answer\necho \"got <$answer>\"")),
        show("three", &odd),
        show("four", &odd),
        show("five", &odd),
        show("six", &odd),
        format!("echo 'echo {}' >/run/plain", walk.tag("plain")),
        format!("echo '/bin/true {}' >/run/as-other", walk.tag("login-f")),
        "chmod 644 /run/show-* /run/plain /run/as-other".to_owned(),
        "ln -sf /bin/sleep /usr/local/bin/left-behind".to_owned(),
        // Without a pty of sudo's own the line discipline of the line itself echoes, and changes what is written.
        "echo 'Defaults:oncall2 !use_pty' >/etc/sudoers.d/plain; chmod 440 /etc/sudoers.d/plain".to_owned(),
        format!("printf '%s:{PASSWORD}\\n' oncall1 oncall2 root | chpasswd"),
        format!("printf '{}' >/etc/systemd/system/serial-getty@ttyS2.service", GETTY.replace('\n', "\\n")),
        "systemctl daemon-reload; systemctl start serial-getty@ttyS2 getty@tty3".to_owned(),
    ];
    walk.machine.ok("root", &script.join("\n")).map(drop)
}

/// Gives what came over the wire.
fn at_the_line(walk: &Walk, line: &mut Line) -> Result<Vec<u8>> {
    let limit = walk.machine.limit(10);
    let ends = |n: &str| format!("{}\r\n", walk.tag(&format!("{n}-ends")));
    log_in(line, "oncall1", limit)?;
    line.ask("sh /run/plain", &format!("{}\r\n", walk.tag("plain")), limit)?;
    let end = line.ask("sudo -n sh /run/show-one", &ends("one"), limit)?;
    line.wait_for("$ ", end, limit)?;
    walk.step("oncall1 logged in at the line, and printed as root");
    // Another user by login itself, who does something and is gone.
    line.ask("sudo -n login -f oncall2", "oncall2@machine", limit)?;
    line.ask("sh /run/as-other; echo did-$((40+2))", "did-42", limit)?;
    line.ask("exit", "oncall1@machine", limit)?;
    line.ask(
        "sudo -n setsid left-behind 3600 </dev/null >/dev/null 2>&1 & sleep 1; echo did-$((40+3))",
        "did-43",
        limit,
    )?;
    let from = line.mark();
    line.type_bytes(b"exit\r")?;
    line.wait_for("login: ", from, limit)?;
    walk.step("oncall1 left, and left something behind");
    // Who logs in as root owns the whole terminal, as long as it is his.
    log_in(line, "root", limit)?;
    let end = line.ask("sh /run/show-six", &ends("six"), limit)?;
    line.wait_for("# ", end, limit)?;
    line.ask(
        "setsid left-behind 3600 </dev/null >/dev/null 2>&1 & sleep 1; echo did-$((40+4))",
        "did-44",
        limit,
    )?;
    let from = line.mark();
    line.type_bytes(b"exit\r")?;
    line.wait_for("login: ", from, limit)?;
    walk.step("root left, too, and left something behind");
    log_in(line, "oncall2", limit)?;
    line.ask("sh /run/plain", &format!("{}\r\n", walk.tag("plain")), limit)?;
    line.ask("sudo -n sh /run/show-two", "|}~\r\n", limit)?;
    let end = line.ask("an answer", &ends("two"), limit)?;
    line.wait_for("$ ", end, limit)?;
    let from = line.mark();
    line.type_bytes(b"exit\r")?;
    line.wait_for("login: ", from, limit)?;
    walk.step("oncall2 logged in at the same line, and printed as root");
    Ok(line.came())
}

fn log_in(line: &mut Line, who: &str, limit: Duration) -> Result<()> {
    // Whoever came before may have taken the prompt with him.
    line.ask("", "login: ", limit)?;
    line.ask(who, "Password: ", limit)?;
    let prompt = if who == "root" { "# " } else { "$ " };
    line.ask(PASSWORD, prompt, limit).with_context(|| format!("{who} at the line")).map(drop)
}

fn at_the_console(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    typed(machine, "\r", "login: ")?;
    typed(machine, "oncall1\r", "Password: ")?;
    typed(machine, &format!("{PASSWORD}\r"), "$ ")?;
    typed(machine, "sudo -n sh /run/show-three\r", &walk.tag("three-ends"))?;
    typed(machine, "exit\r", "")?;
    walk.step("oncall1 logged in at tty3, and printed as root");
    Ok(())
}

/// Types at tty3, and waits until the last rows of its screen show `needle`.
fn typed(machine: &Machine, keys: &str, needle: &str) -> Result<()> {
    machine.ok("root", &format!("perl -e '{KEYS}' $'{}'", keys.replace('\r', "\\r")))?;
    machine
        .until(&format!("tty3 shows {needle:?}"), "cat /dev/vcs3", |out| {
            String::from_utf8_lossy(&out.stdout).contains(needle).then_some(())
        })
        .map(drop)
}

/// Two logins that get the same pty one after the other.
fn at_ptys(walk: &Walk) -> Result<()> {
    let (machine, limit) = (walk.machine, walk.machine.limit(10));
    let mut names = Vec::new();
    for (who, n) in [("oncall1", "four"), ("oncall2", "five")] {
        let mut terminal = machine.terminal(who)?;
        let from = terminal.ask("echo at-$(tty)-", "at-/dev/pts/", limit)?;
        let end = terminal.wait_for("-", from, limit)?;
        names.push(String::from_utf8_lossy(terminal.shown().get(from..end).unwrap_or_default()).into_owned());
        terminal.ask("sh /run/plain", &format!("{}\r\n", walk.tag("plain")), limit)?;
        let end = terminal.ask(&format!("sudo -n sh /run/show-{n}"), &format!("{n}-ends\r\n"), limit)?;
        // Sudo throws away what was typed before it gave the terminal back.
        terminal.wait_for("$ ", end, limit)?;
        terminal.ask(
            "sudo -n setsid left-behind 3600 </dev/null >/dev/null 2>&1 & sleep 1; echo did-$((40+3))",
            "did-43",
            limit,
        )?;
        terminal.type_line("exit")?;
        terminal.finish(limit)?;
    }
    ensure!(names.first() == names.last(), "the pty's number did not come again: {names:?}");
    walk.step("two people had the same pty, one after the other");
    Ok(())
}

/// What this session's terminal of this name showed.
fn shown(events: &Events, session: &str, tty: &str) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for event in events.of_kind("tty_output") {
        if text(event, &["session"]) == session && text(event, &["tty", "name"]) == tty {
            all.extend(STANDARD.decode(text(event, &["tty", "data"])).context("tty.data is not base64")?);
        }
    }
    Ok(all)
}

/// From the first marker to the second.
fn between<'a>(all: &'a [u8], walk: &Walk, n: &str) -> Result<&'a [u8]> {
    let (begins, ends) = (walk.tag(&format!("{n}-begins")), walk.tag(&format!("{n}-ends")));
    let from = find(all, begins.as_bytes());
    let to = find(all, ends.as_bytes());
    let part = from.zip(to).and_then(|(from, to)| all.get(from..to + ends.len()));
    part.with_context(|| format!("{n} is not in {:?}", String::from_utf8_lossy(all)))
}

fn judge_line(walk: &Walk, events: &Events, wire: &[u8]) -> Result<()> {
    for n in ["one", "six", "two"] {
        let session = events.session_of(&walk.tag(n))?;
        let recorded = shown(events, &session, "ttyS2")?;
        let (recorded, came) = (between(&recorded, walk, n)?, between(wire, walk, n)?);
        let mut expected = came.to_vec();
        if walk.backend == "tracepoint" && n != "one" {
            // What root passed to write, before the line discipline made it, and without the echo.
            if let Some(echo) = find(&expected, b"an answer\r\n") {
                expected.drain(echo..echo + b"an answer\r\n".len());
            }
            expected.retain(|byte| *byte != b'\r');
        }
        ensure!(
            recorded == expected,
            "{n}: the wire carried {:?}, the journal has {:?}",
            String::from_utf8_lossy(came),
            String::from_utf8_lossy(recorded)
        );
        ensure!(find(came, b"\xff\xfe !\"#$%&'()*").is_some(), "{n} did not print what it should");
    }
    let one = events.session_of(&walk.tag("one"))?;
    ensure!(one != events.session_of(&walk.tag("two"))?, "two people are one session");
    let by_login = walk.tag("login-f");
    let other = events.session_of(&by_login)?;
    let started = events.execs_with(&by_login).next().context("no exec")?;
    ensure!(number(started, &["user", "uid"]) == Some(1001), "login -f is recorded as {started}");
    let edge = events
        .of_kind("session_start")
        .find(|e| text(e, &["session"]) == other)
        .context("login -f has no session")?;
    ensure!(text(edge, &["session_start", "login", "user"]) == "oncall1", "login -f began with {edge}");
    Ok(())
}

fn judge_console(walk: &Walk, events: &Events) -> Result<()> {
    let session = events.session_of(&walk.tag("three"))?;
    let recorded = shown(events, &session, "tty3")?;
    let part = between(&recorded, walk, "three")?;
    ensure!(
        find(part, b"a\tb\x08c\x07 \x1b[1mbold\x1b[0m \xc2\xb5 \xff\xfe !\"#$%&'()*").is_some(),
        "tty3 has {part:?}"
    );
    let blind =
        events.of_kind("boot").next().and_then(|e| e.pointer("/boot/blind")).context("no boot record")?;
    ensure!(!blind.to_string().contains("virtual terminals (VT)"), "the kernel lacks something: {blind}");
    Ok(())
}

/// What people showed without rights is nowhere, and nobody's text is in somebody else's session.
fn nothing_else(walk: &Walk, events: &Events) -> Result<()> {
    let plain = walk.tag("plain");
    for n in ["one", "two", "three", "four", "five", "six"] {
        let (own, marker) = (events.session_of(&walk.tag(n))?, walk.tag(&format!("{n}-ends")));
        let mut found = 0;
        for session in events.of_kind("session_start").map(|e| text(e, &["session"])) {
            for tty in TTYS {
                let all = shown(events, session, tty)?;
                ensure!(
                    find(&all, plain.as_bytes()).is_none(),
                    "{tty} of {session} shows what nobody showed as root"
                );
                if find(&all, marker.as_bytes()).is_some() {
                    ensure!(session == own, "{n} is in the session {session}");
                    found += 1;
                }
            }
        }
        ensure!(found > 0, "{n} is nowhere");
    }
    Ok(())
}
