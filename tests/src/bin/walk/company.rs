//! People who sit at one session together, through tmux and screen (docs/attacks.md, A6, A7, H4).

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    journal::{self, Events, text},
    pty::Terminal,
    walk::office::BERT,
};

use crate::Walk;

/// oncall1 has a grant and works in servers of his, oncall2 has none and sits down at them; a third server is older than everybody.
pub(crate) fn company(walk: &Walk) -> Result<()> {
    let (machine, office) = (walk.machine, &walk.office);
    let name = |what: &str| format!("/run/{}", walk.tag(what));
    let did = |tag: &str| format!("/bin/true {}", walk.tag(tag));
    // Of the machine itself: no login is behind it.
    let older = format!("tmux -S {} -f /dev/null", name("older"));
    machine.ok("root", &format!("systemd-run --quiet --property=Type=forking {older} new -d sh"))?;
    let service = walk.service("")?;
    let grant = office.grant("1h", &[])?;
    service.deliver(&[&grant[0], &grant[1]])?;
    service.until_grant(&grant[0].id, "active")?;
    walk.step("the service is active, oncall1 has a grant");

    let tmux = format!("tmux -S {} -f /dev/null", name("tmux"));
    let screen = walk.tag("screen");
    machine.ok("oncall1", &format!("sudo -n sh -c '{}; {tmux} new -d sh'", did("in-tmux")))?;
    machine.ok("oncall1", &format!("sudo -n sh -c '{}; screen -dmS {screen} sh'", did("in-screen")))?;
    let sits = [
        ("tmux", format!("{tmux} attach")),
        ("screen", format!("screen -x {screen}")),
        ("older", format!("{older} attach")),
    ];
    for (tag, attach) in &sits {
        let mut terminal = machine.terminal("oncall2")?;
        let limit = machine.limit(20);
        terminal.ask("exec sudo -n -i", "# ", limit)?;
        terminal.ask(&format!("{}; echo did-$((40+2))", did(&format!("guest-{tag}"))), "did-42", limit)?;
        terminal.ask(attach, "# ", limit)?;
        // He looks before he types: what comes within some ms at an older server is missed, and more of them here.
        std::thread::sleep(walk.machine.limit(1));
        let typed = did(&format!("typed-{tag}"));
        terminal.ask(&format!("{typed}; echo did-$((40+3))"), "did-43", limit)?;
        leave(&mut terminal, if *tag == "screen" { b"\x01d" } else { b"\x02d" })?;
        walk.step(&format!("oncall2 sat at {tag}, typed and left"));
    }
    for server in [&tmux, &older] {
        machine.ok("root", &format!("{server} kill-server"))?;
    }
    machine.ok("oncall1", &format!("sudo -n screen -S {screen} -X quit"))?;
    service.systemctl("stop")?;
    let (site, events) = walk.sound_journal()?;
    judge(walk, &events)?;
    let listed = journal::sessions(&site)?;
    let with = listed.iter().filter(|s| s["company"].as_array().is_some_and(|list| !list.is_empty()));
    ensure!(with.count() == 2, "the list of sessions does not name the company: {listed:?}");
    walk.step("an investigator finds exactly that");
    Ok(())
}

fn leave(terminal: &mut Terminal, keys: &[u8]) -> Result<()> {
    let mark = terminal.mark();
    terminal.type_bytes(keys)?;
    terminal.wait_for("detached", mark, std::time::Duration::from_mins(2))?;
    terminal.type_line("exit")
}

fn judge(walk: &Walk, events: &Events) -> Result<()> {
    for tag in ["tmux", "screen"] {
        let host = events.session_of(&walk.tag(&format!("in-{tag}")))?;
        let guest = events.session_of(&walk.tag(&format!("guest-{tag}")))?;
        let typed = events.session_of(&walk.tag(&format!("typed-{tag}")))?;
        ensure!(host == typed && host != guest, "{tag}: what oncall2 typed is in {typed}, his is {guest}");
        let seats: BTreeSet<_> = events
            .of_kind("participant")
            .filter(|e| text(e, &["session"]) == host)
            .map(|e| {
                ["user", "person", "session", "coverage", "reason"].map(|key| text(e, &["participant", key]))
            })
            .collect();
        let wanted = ["oncall2", BERT, guest.as_str(), "uncovered", "no_grant"];
        ensure!(seats == BTreeSet::from([wanted]), "{tag}: there sat {seats:?}, not {wanted:?}");
        let asked = events
            .of_kind("delegation")
            .find(|e| text(e, &["session"]) == guest && text(e, &["delegation", "trigger"]) == "terminal")
            .with_context(|| format!("{tag}: oncall2's own session does not say where he sat"))?;
        ensure!(text(asked, &["delegation", "session"]) == host, "{tag}: {asked}");
    }
    let guest = events.session_of(&walk.tag("guest-older"))?;
    let typed = events.session_of(&walk.tag("typed-older"))?;
    let by = events.came_by(&typed).context("what was typed at the older server came of nobody")?;
    let told = |key| text(by, &["delegation", key]);
    ensure!(
        (told("session"), told("trigger"), told("confidence")) == (guest.as_str(), "terminal", "certain"),
        "{by}"
    );
    Ok(())
}
