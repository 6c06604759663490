//! Clean-up that happens even when we are killed: a process of its own that waits for our end on a pipe.

use std::{
    io::Write,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::proc;

/// Collects lines `pid N`, `gone N` (end these processes) and `do COMMAND`; acts when the pipe closes, newest command first.
const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
pids='' todo=''
while read -r verb rest; do
  case $verb in
    pid) pids="$pids $rest " ;;
    gone) pids=$(printf '%s' "$pids" | sed "s/ $rest / /") ;;
    do) todo="$rest
$todo" ;;
  esac
done
for pid in $pids; do kill -TERM "$pid" 2>/dev/null; done
printf '%s' "$todo" | while read -r line; do sh -c "$line" </dev/null >/dev/null 2>&1; done
"#;

/// How long clean-up may take before we go on without it.
const PATIENCE: Duration = Duration::from_mins(1);

/// Does the clean-up when dropped, and also when our process dies in whatever way.
pub struct Janitor {
    child: Child,
}

impl Janitor {
    /// Starts waiting.
    pub fn start() -> Result<Self> {
        let child = Command::new("setsid")
            .args(["sh", "-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the clean-up process")?;
        Ok(Self { child })
    }

    /// A shell command (one line) for the end; later ones run first.
    pub fn at_end(&mut self, command: &str) -> Result<()> {
        self.say(&format!("do {}", command.replace('\\', "\\\\")))
    }

    /// A process to end if it still runs then.
    pub fn watch(&mut self, child: &Child) -> Result<()> {
        self.say(&format!("pid {}", child.id()))
    }

    /// The process was waited for: its pid may be anybody's from now on.
    pub fn forget(&mut self, pid: u32) -> Result<()> {
        self.say(&format!("gone {pid}"))
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let pipe = self.child.stdin.as_mut().context("the clean-up process has no pipe")?;
        writeln!(pipe, "{line}").context("the clean-up process is gone")
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = proc::wait(&mut self.child, PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn acts_in_reverse_order_and_spares_the_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut ended = Command::new("sleep").arg("60").spawn().unwrap();
        let mut spared = Command::new("sleep").arg("60").spawn().unwrap();
        let mut janitor = Janitor::start().unwrap();
        for word in ["one", "two"] {
            janitor.at_end(&format!("echo {word} >> '{}'", log.display())).unwrap();
        }
        janitor.watch(&ended).unwrap();
        janitor.watch(&spared).unwrap();
        janitor.forget(spared.id()).unwrap();
        drop(janitor);
        assert_eq!(fs::read_to_string(&log).unwrap(), "two\none\n");
        assert!(!proc::wait(&mut ended, Duration::from_secs(5)).unwrap().success());
        assert_eq!(spared.try_wait().unwrap(), None);
        proc::kill(&mut spared);
    }
}
