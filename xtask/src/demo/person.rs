//! The scripted person. He types one thing at a time and looks for its effect before the next: nothing here waits for time.

use std::{env, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Account,
    pty::{Terminal, on_terminal},
};

/// What he writes in the editor.
const EDITED: &str = "max_connections = 200";

/// From the login to the last logout.
pub(super) fn work(account: &Account, dir: &Path, token: &str, limit: Duration) -> Result<()> {
    let mut login = on_terminal(&[env::current_exe()?]);
    login.args(["log-in", &account.uid.to_string(), &account.gid.to_string(), &account.name]);
    login.arg(&account.home).args(["/bin/bash", "-l"]);
    let mut person = Person { terminal: Terminal::start(login, 100, 30)?, limit, told: 0 };

    person.wait("$ ")?;
    person.types("id")?;
    person.sees("uid=", "$ ")?;
    person.types("sudo -i")?;
    person.wait("password for")?;
    person.types(&account.password)?;
    // From here on he is root, and this is what is recorded.
    person.wait("# ")?;
    person.types("id")?;
    person.sees("uid=0", "# ")?;
    person.types(&format!("cd {}", dir.display()))?;
    person.wait("# ")?;
    person.types("printf 'max_connections = 100\\n' > app.conf")?;
    person.wait("# ")?;
    person.types("ls -l app.conf")?;
    person.sees("root root", "# ")?;
    person.types("cat /etc/no-such-file")?;
    person.sees("No such file", "# ")?;

    person.types("vi app.conf")?;
    person.wait("max_connections = 100")?;
    // Replace the line. The editor repaints only what differs, so he looks at the whole screen.
    person.keys(b"cc")?;
    person.keys(EDITED.as_bytes())?;
    person.terminal.wait_for_screen(EDITED, limit)?;
    person.keys(b"\x1b:wq\r")?;
    person.wait("written")?;
    person.wait("# ")?;
    person.types("cat app.conf")?;
    person.sees(EDITED, "# ")?;

    person.types("read -rsp 'API to''ken: ' t; echo; echo \"${#t} characters\"")?;
    person.wait("API token: ")?;
    person.types(token)?;
    person.sees(&format!("{} characters", token.len()), "# ")?;

    person.types("exit")?;
    person.sees("logout", "$ ")?;
    person.types("exit")?;
    let (status, shown) = person.terminal.finish(limit)?;
    print(&shown);
    ensure!(status.success(), "the login shell ended with {status}");
    let text = std::fs::read_to_string(dir.join("app.conf")).context("the edited file")?;
    ensure!(text.trim() == EDITED, "the editor left {text:?}");
    Ok(())
}

struct Person {
    terminal: Terminal,
    limit: Duration,
    /// What was shown up to here has been looked at.
    told: usize,
}

impl Person {
    /// Types a line and Enter.
    fn types(&mut self, line: &str) -> Result<()> {
        self.terminal.type_line(line)
    }

    /// Types keys without Enter.
    fn keys(&mut self, keys: &[u8]) -> Result<()> {
        self.terminal.type_bytes(keys)
    }

    /// Waits for this on the screen, behind what he has looked at already.
    fn wait(&mut self, needle: &str) -> Result<()> {
        self.told = self.terminal.wait_for(needle, self.told, self.limit)?;
        Ok(())
    }

    /// Waits for the answer, then for the prompt.
    fn sees(&mut self, answer: &str, prompt: &str) -> Result<()> {
        self.wait(answer)?;
        self.wait(prompt)
    }
}

/// His terminal, indented and without what would move the reader's cursor.
fn print(shown: &[u8]) {
    let mut emulator = vt100::Parser::new(30, 100, 1000);
    // The editor's screen is left out as a terminal leaves it out: it has a screen of its own.
    emulator.process(shown);
    emulator.screen_mut().set_scrollback(usize::MAX);
    let above = emulator.screen().scrollback();
    let mut lines: Vec<String> = Vec::new();
    for back in (1..=above).rev() {
        emulator.screen_mut().set_scrollback(back);
        lines.extend(emulator.screen().rows(0, 100).next());
    }
    emulator.screen_mut().set_scrollback(0);
    lines.extend(emulator.screen().rows(0, 100));
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
    for line in lines {
        println!("    | {}", line.trim_end());
    }
}
