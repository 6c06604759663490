//! What is typed at hidden prompts is nowhere: not in the files as they lie there, not in what the readers decode.

use std::{fs::OpenOptions, io::Write as _, path::Path};

use anyhow::{Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use recorder_tests::{
    account::{Sudo, random_word},
    journal::{Events, argv, files_containing, text},
    pty::find,
};

use crate::stage::Stage;

pub(crate) fn hidden_prompt(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let secret = random_word()?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    terminal.ask(
        "stty -echo; printf 'To%s: ' ken; read s; stty echo; echo got-${#s}",
        "Token: ",
        stage.limit(20),
    )?;
    terminal.ask(&secret, &format!("got-{}", secret.len()), stage.limit(20))?;
    // What is typed with echo is recorded; else the absence of the secret would prove nothing.
    let visible = stage.tag("visible");
    terminal.ask("echo cat-$((40+2)); cat >/dev/null; echo after-$((40+2))", "cat-42", stage.limit(20))?;
    terminal.type_line(&visible)?;
    terminal.type_bytes(b"\x04")?;
    terminal.wait_for("after-42", 0, stage.limit(20))?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    absent(stage, &events, &secret)?;
    ensure!(
        find(&events.typed()?, visible.as_bytes()).is_some(),
        "a line typed with echo in line mode is not in the recorded input"
    );
    Ok(())
}

pub(crate) fn sudo_prompt(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::WithPassword)?;
    let running = stage.record()?;
    let mut terminal = stage.shell(&oncall)?;
    terminal.ask("sudo -i", "password for", stage.limit(20))?;
    let mark = terminal.mark();
    terminal.type_line(&oncall.password)?;
    // sudo throws away what is typed before it gives the terminal back.
    terminal.wait_for("# ", mark, stage.limit(20))?;
    terminal.ask("echo root-$(id -u)-$((40+2))", "root-0-42", stage.limit(20))?;
    terminal.ask(&stage.noop("inside"), "", stage.limit(20))?;
    leave(stage, terminal, 2)?;
    // The same with an asterisk for each byte: sudo reads them one by one then.
    let mut rules =
        OpenOptions::new().append(true).open(format!("/etc/sudoers.d/recorder-{}", oncall.name))?;
    writeln!(rules, "Defaults:{} pwfeedback", oncall.name)?;
    let mut terminal = stage.shell(&oncall)?;
    terminal.ask("sudo -i", "password for", stage.limit(20))?;
    let mark = terminal.mark();
    terminal.type_line(&oncall.password)?;
    terminal.wait_for("****", mark, stage.limit(20))?;
    terminal.wait_for("# ", mark, stage.limit(20))?;
    // su becomes root before it asks.
    let other = stage.account("other", Sudo::No)?;
    let line =
        format!("setpriv --reuid {} --clear-groups su {} -c 'echo su-$((40+2))'", oncall.uid, other.name);
    terminal.ask(&line, "Password:", stage.limit(20))?;
    let mark = terminal.mark();
    terminal.type_line(&other.password)?;
    terminal.wait_for("su-42", mark, stage.limit(20))?;
    leave(stage, terminal, 2)?;
    let events = stage.finish(running)?;
    events.session_of(&stage.tag("inside"))?;
    absent(stage, &events, &other.password)?;
    absent(stage, &events, &oncall.password)
}

/// Leaves so many shells, each after it proved to read again.
pub(crate) fn leave(stage: &Stage, mut terminal: recorder_tests::pty::Terminal, shells: u32) -> Result<()> {
    for shell in 0..shells {
        terminal.ask(
            &format!("echo leaving-$((40+{shell}))"),
            &format!("leaving-{}", 40 + shell),
            stage.limit(20),
        )?;
        let mark = terminal.mark();
        terminal.type_line("exit")?;
        if shell + 1 < shells {
            // What is typed before the outer shell reads again would go to a relay that is ending.
            terminal.wait_for("$ ", mark, stage.limit(20))?;
        }
    }
    terminal.finish(stage.limit(30))?;
    Ok(())
}

/// The secret is in no file of the journal and in nothing that the readers make of it, in one piece or spread over input records.
pub(crate) fn absent(stage: &Stage, events: &Events, secret: &str) -> Result<()> {
    let files = files_containing(Path::new(&stage.site.journal), secret.as_bytes())?;
    ensure!(files.is_empty(), "the secret lies in {files:?}");
    for event in &events.0 {
        let kind = text(event, &["kind"]);
        ensure!(!event.to_string().contains(secret), "the secret is in a record of kind {kind}");
        ensure!(
            find(&data(event), secret.as_bytes()).is_none(),
            "the secret is in the data of a record of kind {kind}"
        );
        ensure!(!argv(event).any(|arg| arg.contains(secret)), "the secret is in the arguments of a record");
    }
    ensure!(
        find(&events.typed()?, secret.as_bytes()).is_none(),
        "the secret is spread over the recorded input"
    );
    for (name, shown) in events.shown()? {
        ensure!(find(&shown, secret.as_bytes()).is_none(), "the secret is in what {name} showed");
    }
    Ok(())
}

fn data(event: &serde_json::Value) -> Vec<u8> {
    STANDARD.decode(text(event, &["tty", "data"])).unwrap_or_default()
}
