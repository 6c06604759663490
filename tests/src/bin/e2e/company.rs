//! People who sit at one terminal together (docs/attacks.md, A6, A7, H4).

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{Events, text},
    proc,
    pty::Terminal,
};
use serde_json::Value;

use crate::{
    logins::session_is_of,
    secrets::leave,
    stage::{Stage, quiet},
};

/// Participants of a session, in order.
fn company<'a>(events: &'a Events, session: &'a str) -> Vec<&'a Value> {
    events.of_kind("participant").filter(|e| text(e, &["session"]) == session).collect()
}

/// Leaves a tmux. On a busy machine its keys can come before it has made the terminal raw: then they are pressed again.
fn detach(stage: &Stage, terminal: &mut Terminal) -> Result<()> {
    let mark = terminal.mark();
    let mut tries = 0;
    loop {
        terminal.type_bytes(b"\x02d")?;
        tries += 1;
        match terminal.wait_for("detached", mark, stage.limit(7)) {
            Ok(_) => return Ok(()),
            Err(error) if tries == 3 => return Err(error),
            Err(_) => {}
        }
    }
}

/// One is root in a tmux of his, another one who is root too sits down at it. And a tmux of an ordinary login, at which a second login of
/// that account sits: what is elevated in it later has both.
pub(crate) fn two_at_one_tmux(stage: &mut Stage) -> Result<()> {
    let (one, two) = (stage.account("oncall", Sudo::Free)?, stage.account("other", Sudo::Free)?);
    let running = stage.record()?;
    let tmux = |name: &str| format!("tmux -S {} -f /dev/null", stage.path(name));
    let (roots, plain) = (tmux("roots"), format!("tmux -S /tmp/{}-t -f /dev/null", one.name));
    for server in [&roots, &plain] {
        stage.janitor.at_end(&format!("{server} kill-server 2>/dev/null"))?;
    }
    let mut first = stage.shell(&one)?;
    stage.become_root(&mut first)?;
    first.ask(&format!("{}; echo did-$((40+2))", stage.noop("outside")), "did-42", stage.limit(20))?;
    first.ask(&format!("{roots} new -d sh; {roots} attach"), "# ", stage.limit(20))?;

    let mut second = stage.shell(&two)?;
    stage.become_root(&mut second)?;
    second.ask(&format!("{}; echo did-$((40+3))", stage.noop("guest")), "did-43", stage.limit(20))?;
    second.type_line(&format!("{roots} attach"))?;
    second.ask(&format!("{}; echo did-$((40+4))", stage.noop("typed-by-two")), "did-44", stage.limit(20))?;
    detach(stage, &mut second)?;
    leave(stage, second, 2)?;
    let mark = first.mark();
    first.type_line("exit")?;
    first.wait_for("exited", mark, stage.limit(20))?;
    leave(stage, first, 2)?;

    // Nobody is elevated when they sit down.
    let mut third = stage.shell(&one)?;
    third.ask(&format!("{plain} new -d sh; {plain} attach"), "$ ", stage.limit(20))?;
    let mut fourth = stage.shell(&one)?;
    fourth.ask(&format!("{plain} attach"), "$ ", stage.limit(20))?;
    third.ask(&format!("sudo -n {}; echo did-$((40+5))", stage.noop("later")), "did-45", stage.limit(20))?;
    detach(stage, &mut fourth)?;
    leave(stage, fourth, 1)?;
    third.ask(&format!("sudo -n {}; echo did-$((40+6))", stage.noop("alone")), "did-46", stage.limit(20))?;
    let mark = third.mark();
    third.type_line("exit")?;
    third.wait_for("exited", mark, stage.limit(20))?;
    leave(stage, third, 1)?;

    let events = stage.finish(running)?;
    let host = session_is_of(stage, &events, "outside", &one)?;
    let guest = session_is_of(stage, &events, "guest", &two)?;
    ensure!(session_is_of(stage, &events, "typed-by-two", &one)? == host, "the tmux left its session");
    let named: Vec<_> = company(&events, &host)
        .into_iter()
        .map(|e| (text(e, &["participant", "user"]), text(e, &["participant", "session"])))
        .collect();
    ensure!(named == [(two.name.as_str(), guest.as_str())], "at the first tmux sat {named:?}");
    let asked = events
        .of_kind("delegation")
        .find(|e| text(e, &["session"]) == guest && text(e, &["delegation", "trigger"]) == "terminal");
    let asked = asked.context("the guest's session does not say where he sat")?;
    let told = |key| text(asked, &["delegation", key]);
    ensure!(
        (told("trigger"), told("session"), told("confidence")) == ("terminal", host.as_str(), "certain"),
        "{asked}"
    );

    let later = session_is_of(stage, &events, "later", &one)?;
    let alone = session_is_of(stage, &events, "alone", &one)?;
    let sat: Vec<_> = company(&events, &later)
        .into_iter()
        .map(|e| {
            (text(e, &["participant", "user"]), e.pointer("/participant/session").is_none_or(Value::is_null))
        })
        .collect();
    ensure!(sat == [(one.name.as_str(), true)], "at the second tmux sat {sat:?}");
    ensure!(company(&events, &alone).is_empty(), "he who had left sits there still");
    Ok(())
}

/// A tmux that nobody who is recorded began: who sits down at it has what runs in it from then on.
pub(crate) fn older_tmux(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let socket = stage.path("older");
    let tmux = ["-S", socket.as_str(), "-f", "/dev/null"];
    stage.janitor.at_end(&format!("tmux {} kill-server 2>/dev/null", tmux.join(" ")))?;
    quiet("tmux", &[&tmux[..], &["new", "-d", "sh"]].concat())?;
    let running = stage.record()?;
    let gate = stage.path("gate");
    let ready = stage.dir.join("ready");
    // What runs in it before he comes is nobody's.
    let before = format!("{}; : >{gate}", stage.noop("before"));
    quiet("tmux", &[&tmux[..], &["send-keys", &before, "Enter"]].concat())?;
    let there = stage.dir.join("gate");
    proc::until("the older tmux to work", stage.limit(20), || there.exists().then_some(()))?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    terminal.ask(&format!("{}; echo did-$((40+2))", stage.noop("own")), "did-42", stage.limit(20))?;
    // What is typed before the server is known to be his is missed (docs/delegation.md): he looks at the screen first.
    terminal.ask(&format!("tmux {} attach", tmux.join(" ")), "# ", stage.limit(20))?;
    thread::sleep(Duration::from_secs(1));
    let line = format!("{}; : >{}; echo did-$((40+3))", stage.noop("inside"), ready.display());
    terminal.ask(&line, "did-43", stage.limit(20))?;
    proc::until("the work inside", stage.limit(20), || ready.exists().then_some(()))?;
    detach(stage, &mut terminal)?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    let own = session_is_of(stage, &events, "own", &oncall)?;
    let inside = session_is_of(stage, &events, "inside", &oncall)?;
    ensure!(own != inside, "a server that is older became part of his session");
    let by = events.came_by(&inside).context("the tmux came of nobody")?;
    let told = |key| text(by, &["delegation", key]);
    ensure!(
        (told("session"), told("trigger"), told("confidence")) == (own.as_str(), "terminal", "certain"),
        "{by}"
    );
    ensure!(events.session_of(&stage.tag("before")).is_err(), "what ran before he came is recorded");
    Ok(())
}
