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

/// A tmux server, by its socket.
pub(crate) struct Tmux(String);

impl Tmux {
    /// What it shows as soon as somebody sits at it, and no shell: a prompt may be the one from before.
    const SHOWN: &str = "[0] 0:sh";

    /// Not started yet; gone at the end.
    pub(crate) fn at(stage: &mut Stage, socket: &str) -> Result<Self> {
        let tmux = format!("tmux -S {socket} -f /dev/null");
        stage.janitor.at_end(&format!("{tmux} kill-server 2>/dev/null"))?;
        Ok(Self(tmux))
    }

    /// The line of a shell that starts it. What is typed within a millisecond of the key before counts as pasted otherwise, and no key
    /// means anything then.
    fn start(&self) -> String {
        format!("{} new -d sh \\; set -g assume-paste-time 0", self.0)
    }

    /// Starts it from a shell, and sits down.
    pub(crate) fn begin(&self, stage: &Stage, terminal: &mut Terminal) -> Result<()> {
        terminal.type_line(&self.start())?;
        self.sit_down(stage, terminal)
    }

    /// Sits down at it, and looks at the screen.
    pub(crate) fn sit_down(&self, stage: &Stage, terminal: &mut Terminal) -> Result<()> {
        terminal.ask(&format!("{} attach", self.0), Self::SHOWN, stage.limit(20))?;
        Ok(())
    }
}

/// Leaves a tmux.
pub(crate) fn detach(stage: &Stage, terminal: &mut Terminal) -> Result<()> {
    let mark = terminal.mark();
    terminal.type_bytes(b"\x02d")?;
    terminal.wait_for("detached", mark, stage.limit(20))?;
    Ok(())
}

/// One is root in a tmux of his, another one who is root too sits down at it. And a tmux of an ordinary login, at which a second login of
/// that account sits: what is elevated in it later has both.
pub(crate) fn two_at_one_tmux(stage: &mut Stage) -> Result<()> {
    let (one, two) = (stage.account("oncall", Sudo::Free)?, stage.account("other", Sudo::Free)?);
    let running = stage.record()?;
    let sockets = [stage.path("roots"), format!("/tmp/{}-t", one.name)];
    let roots = Tmux::at(stage, &sockets[0])?;
    let plain = Tmux::at(stage, &sockets[1])?;
    let mut first = stage.shell(&one)?;
    stage.become_root(&mut first)?;
    first.ask(&format!("{}; echo did-$((40+2))", stage.noop("outside")), "did-42", stage.limit(20))?;
    roots.begin(stage, &mut first)?;

    let mut second = stage.shell(&two)?;
    stage.become_root(&mut second)?;
    second.ask(&format!("{}; echo did-$((40+3))", stage.noop("guest")), "did-43", stage.limit(20))?;
    roots.sit_down(stage, &mut second)?;
    second.ask(&format!("{}; echo did-$((40+4))", stage.noop("typed-by-two")), "did-44", stage.limit(20))?;
    detach(stage, &mut second)?;
    leave(stage, second, 2)?;
    let mark = first.mark();
    first.type_line("exit")?;
    first.wait_for("exited", mark, stage.limit(20))?;
    leave(stage, first, 2)?;

    // Nobody is elevated when they sit down.
    let mut third = stage.shell(&one)?;
    plain.begin(stage, &mut third)?;
    let mut fourth = stage.shell(&one)?;
    plain.sit_down(stage, &mut fourth)?;
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
    let tmux = Tmux::at(stage, &socket)?;
    quiet("sh", &["-c", &tmux.start()])?;
    let running = stage.record()?;
    let gate = stage.path("gate");
    let ready = stage.dir.join("ready");
    // What runs in it before he comes is nobody's.
    let before = format!("{}; : >{gate}", stage.noop("before"));
    quiet("tmux", &["-S", &socket, "send-keys", &before, "Enter"])?;
    let there = stage.dir.join("gate");
    proc::until("the older tmux to work", stage.limit(20), || there.exists().then_some(()))?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    terminal.ask(&format!("{}; echo did-$((40+2))", stage.noop("own")), "did-42", stage.limit(20))?;
    // What is typed before the server is known to be his is missed (docs/delegation.md): he looks at the screen first.
    tmux.sit_down(stage, &mut terminal)?;
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
