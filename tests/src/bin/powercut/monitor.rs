//! The emulator's monitor (QMP): stops a machine, saves its memory, lets it go on.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use recorder_tests::proc;
use serde_json::{Value, json};

pub(crate) struct Monitor {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Monitor {
    /// Waits until the emulator listens there.
    pub(crate) fn connect(socket: &Path, limit: Duration) -> Result<Self> {
        let stream = proc::until("the monitor", limit, || UnixStream::connect(socket).ok())?;
        stream.set_read_timeout(Some(limit))?;
        let lines = BufReader::new(stream.try_clone()?);
        let mut monitor = Self { stream, lines };
        monitor.next()?;
        monitor.order("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    fn next(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.lines.read_line(&mut line).context("the monitor is silent")?;
        serde_json::from_str(&line).with_context(|| format!("the monitor says {line:?}"))
    }

    /// Carried out when this returns; events on the way are passed over.
    pub(crate) fn order(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        writeln!(self.stream, "{}", json!({"execute": command, "arguments": arguments}))?;
        loop {
            let answer = self.next()?;
            if let Some(error) = answer.get("error") {
                bail!("{command}: {error}");
            }
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
        }
    }

    /// The state of the machine, such as `running` or `inmigrate`.
    pub(crate) fn state(&mut self) -> Result<String> {
        let answer = self.order("query-status", &json!({}))?;
        Ok(answer.get("status").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// The memory and the devices of a machine that stands still, into a file.
    pub(crate) fn save(&mut self, to: &Path, limit: Duration) -> Result<()> {
        self.order("migrate", &json!({"uri": format!("exec:cat > {}", to.display())}))?;
        let state = proc::until("the machine's memory is saved", limit, || {
            let answer = self.order("query-migrate", &json!({})).ok()?;
            let state = answer.get("status").and_then(Value::as_str)?.to_owned();
            matches!(state.as_str(), "completed" | "failed" | "cancelled").then_some(state)
        })?;
        if state != "completed" {
            bail!("saving the machine's memory: {state}");
        }
        Ok(())
    }
}
