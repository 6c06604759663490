//! What sessions show where no terminal is (docs/attacks.md, A1).

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, anyhow, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use recorder_tests::{
    account::{Account, Sudo},
    journal::{Events, number, text},
    proc,
};

use crate::stage::Stage;

/// More than is taken along in a second, and than a session may show at once.
const FLOOD: u32 = 20_000_000;

/// A script on standard input, its output and its errors in two pipes, as `ssh host sudo sh` has them: both are there, byte for byte, and
/// of what was read the number. Then more than a pipe of a session may have: every byte is there or counted.
pub(crate) fn what_pipes_show(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let script = format!(
        "{}\nfor n in 1 2 3; do echo line-$n; echo fault-$n >&2; done\necho inner | /bin/sh -c 'read x'\nprintf 'odd \\377\\000\\033[2J end'\n",
        stage.noop("short")
    );
    let (out, err) = piped(stage, &oncall, &script)?;
    ensure!(out.ends_with(b"odd \xff\x00\x1b[2J end") && err.starts_with(b"fault-1"), "it showed {out:?}");

    let bytes = stage.count(FLOOD);
    let flood = format!(
        "{}\n{} show --bytes {bytes} --truth {}\n",
        stage.noop("long"),
        stage.workload(),
        stage.path("truth")
    );
    let (shown, _) = piped(stage, &oncall, &flood)?;
    ensure!(shown.len() >= usize::try_from(bytes)?, "{} bytes came", shown.len());
    let events = stage.finish(running)?;

    let short = events.session_of(&stage.tag("short"))?;
    let own = |name| Stream::of(&events, &short, name);
    ensure!(own("stdout")?.is(&out), "standard output: {:?}", own("stdout")?);
    ensure!(own("stderr")?.is(&err), "standard error: {:?}", own("stderr")?);
    ensure!(own("stdin")?.hidden == u64::try_from(script.len())?, "standard input: {:?}", own("stdin")?);
    let secrets = events.of_kind("tty_input").any(|e| !text(e, &["tty", "data"]).is_empty());
    ensure!(!secrets, "what was read is kept");

    let long = Stream::of(&events, &events.session_of(&stage.tag("long"))?, "stdout")?;
    println!("  {} bytes, {} kept", shown.len(), long.kept.len());
    ensure!(shown.starts_with(&long.first), "what is kept is something else");
    let known = u64::try_from(long.kept.len())? + long.folded;
    ensure!(known == u64::try_from(shown.len())?, "{known} of {} bytes are known of", shown.len());
    Ok(())
}

/// Gives a root shell that script and no terminal; what came out of both pipes.
fn piped(stage: &Stage, account: &Account, script: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut child = Command::new("setsid")
        .args(stage.human(account))
        .args(["/bin/sh", "-c", &format!("exec {} /bin/sh", stage.as_root().join(" "))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (mut out, mut err) =
        (child.stdout.take().context("no pipe")?, child.stderr.take().context("no pipe")?);
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        out.read_to_end(&mut all).map(|_| all)
    });
    child.stdin.take().context("no pipe")?.write_all(script.as_bytes())?;
    let status = proc::wait(&mut child, stage.limit(60))?;
    let mut errors = Vec::new();
    err.read_to_end(&mut errors)?;
    ensure!(status.success(), "it ended with {status}: {}", String::from_utf8_lossy(&errors));
    Ok((reader.join().map_err(|_| anyhow!("the reader failed"))??, errors))
}

#[derive(Debug, Default)]
struct Stream {
    /// Before the first cut, and all in all.
    first: Vec<u8>,
    kept: Vec<u8>,
    /// Bytes that only a number stands for.
    folded: u64,
    hidden: u64,
}

impl Stream {
    fn of(events: &Events, session: &str, name: &str) -> Result<Self> {
        let mut all = Self::default();
        for event in events.of_kind("tty_output").chain(events.of_kind("tty_input")) {
            if text(event, &["session"]) != session || text(event, &["tty", "name"]) != name {
                continue;
            }
            let data = STANDARD.decode(text(event, &["tty", "data"])).context("tty.data is not base64")?;
            if let Some(stands_for) = number(event, &["cut", "bytes"]) {
                all.folded += stands_for.saturating_sub(u64::try_from(data.len())?);
            }
            if all.folded == 0 {
                all.first.extend(&data);
            }
            all.kept.extend(data);
            all.hidden += number(event, &["tty", "hidden"]).unwrap_or(0);
        }
        Ok(all)
    }

    fn is(&self, bytes: &[u8]) -> bool {
        self.kept == bytes && self.folded == 0
    }
}
