//! Elevation by polkit, chains of it, and what `ssh host 'sudo …'` shows, with real daemons (docs/attacks.md, A1, A10).

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use recorder_tests::journal::{self, number, text};

use crate::Walk;

const RULE: &str = r#"polkit.addRule(function(action, subject) {
    if (action.id == "org.freedesktop.policykit.exec" && subject.user == "oncall1") return polkit.Result.YES;
});"#;

/// pkexec as root, as another user, below sudo and above su: each a session of oncall1's; and sudo by ssh without a terminal, whose
/// output is there as it came.
pub(crate) fn elevations(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    machine.ok("root", &format!("cat >/etc/polkit-1/rules.d/10-walk.rules <<'EOR'\n{RULE}\nEOR"))?;
    let service = walk.service("")?;
    walk.step("the service is active");
    let did = |tag: &str| format!("/bin/true {}", walk.tag(tag));
    machine.ok("oncall1", &format!("pkexec {}", did("root")))?;
    machine.ok("oncall1", &format!("pkexec --user oncall2 {}", did("other")))?;
    machine.ok("oncall1", &format!("sudo -n pkexec --user oncall2 {}", did("below")))?;
    machine.ok("oncall1", &format!("pkexec su oncall2 -c \"{}\"", did("above")))?;
    walk.step("pkexec ran as four users' way");
    let script = format!("{}; seq 1 2000; printf \"%b\" \"no end \\\\0377\"; echo fault >&2", did("piped"));
    let came = machine.run("oncall1", &format!("sudo -n sh -c '{script}'"))?;
    service.systemctl("stop")?;
    machine.ok("root", "rm /etc/polkit-1/rules.d/10-walk.rules")?;
    let (site, events) = walk.sound_journal()?;
    let listed = journal::sessions(&site)?;
    for (tag, path, euid) in [
        ("root", "/usr/bin/pkexec", 0),
        ("other", "/usr/bin/pkexec", 1001),
        ("below", "/usr/bin/sudo", 1001),
        ("above", "/usr/bin/pkexec", 1001),
    ] {
        let session = events.session_of(&walk.tag(tag))?;
        let found = listed.iter().find(|s| text(s, &["id"]) == session).context("a session is not listed")?;
        ensure!(
            (text(found, &["user"]), text(found, &["elevation", "path"])) == ("oncall1", path),
            "{tag} is listed as {found}"
        );
        let tag = walk.tag(tag);
        let exec = events.execs_with(&tag).last().context("no exec")?;
        ensure!(number(exec, &["user", "euid"]) == Some(euid), "{tag} ran as {}", exec["user"]);
    }
    let session = events.session_of(&walk.tag("piped"))?;
    let mut shown = Vec::new();
    for event in events.of_kind("tty_output").filter(|e| text(e, &["session"]) == session) {
        if text(event, &["tty", "name"]) == "stdout" {
            shown.extend(STANDARD.decode(text(event, &["tty", "data"])).context("tty.data is not base64")?);
        }
    }
    ensure!(
        shown == came.stdout && shown.ends_with(b"no end \xff"),
        "of {} bytes {} are there, and not the same",
        came.stdout.len(),
        shown.len()
    );
    walk.step("an investigator finds exactly that");
    Ok(())
}
