//! Checkpoints that leave the host, a witness of our own, and what they show of a journal that was cut, put back or cloned.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use recorder_tests::{
    journal::{Events, files, number, segments, texts},
    proc,
    recorder::Site,
};
use serde_json::Value;

use crate::stage::Stage;

/// A witness process; killed when dropped.
struct Witness {
    child: Child,
    key: String,
    url: String,
}

impl Witness {
    fn start(stage: &Stage, log: &str) -> Result<Self> {
        let mut child = Command::new(&stage.site.binary)
            .args(["witness", "--listen", "127.0.0.1:0", "--name", "w.example/1", "--log", log])
            .arg("--key")
            .arg(stage.dir.join("witness.key"))
            .arg("--state")
            .arg(stage.dir.join("witness"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the witness")?;
        let key = first_line(child.stdout.take().context("no pipe")?)?;
        let said = first_line(child.stderr.take().context("no pipe")?)?;
        let url = said.split(" at ").nth(1).with_context(|| format!("no address: {said}"))?.to_owned();
        Ok(Self { child, key, url })
    }
}

fn first_line(from: impl Read) -> Result<String> {
    let mut line = String::new();
    BufReader::new(from).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

impl Drop for Witness {
    fn drop(&mut self) {
        proc::kill(&mut self.child);
    }
}

pub(crate) fn a_journal_is_anchored(stage: &mut Stage) -> Result<()> {
    let kept = stage.dir.join("kept");
    fs::create_dir(&kept)?;
    let least = fs::read_to_string(&stage.site.config)?;
    // By a command, as whatever takes a checkpoint off a host would be called.
    let keep = format!("cat >> {}", kept.join("notes").display());
    let anchor = format!(
        "[anchor]\nevery = \"1s\"\nsyslog = false\nfile = \"{}\"\ncommand = [\"/bin/sh\", \"-c\", \"{keep}\"]\n",
        stage.path("anchors/checkpoint")
    );
    fs::write(&stage.site.config, format!("{least}{anchor}"))?;

    // One run: an anchor behind its stop, and its origin, make it whole.
    let running = stage.record()?;
    let socket = stage.site.socket.display().to_string();
    let ask = |args: &[&str]| {
        let out = Command::new(&stage.site.binary).args(args).args(["--socket", &socket]).output()?;
        ensure!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        anyhow::Ok(String::from_utf8(out.stdout)?.trim().to_owned())
    };
    let log = ask(&["checkpoint", "--vkey"])?;
    ensure!(ask(&["checkpoint"])?.starts_with("recorder-journal/v1/"), "no checkpoint");
    running.stop(stage.limit(60))?;
    let origin = files(&stage.site.journal)?
        .into_iter()
        .find(|path| path.ends_with("origin.note"))
        .context("no origin")?;
    let origin_kept = stage.dir.join("origin.note");
    fs::copy(origin, &origin_kept)?;
    let json = judged(&stage.site, 0, &kept, &origin_kept, None)?;
    ensure!(codes(&json) == ["ENCRYPTION_OFF"], "{json}");
    // Signed from the disk when nobody runs: the same as the one behind the stop.
    let out = stage.site.read(&["checkpoint"])?;
    ensure!(out.stdout == fs::read(stage.dir.join("anchors/checkpoint"))?, "not what the file holds");
    let older = copy(stage, &stage.site, "older")?;

    // A second one with a witness.
    let witness = Witness::start(stage, &log)?;
    let more = format!("[[anchor.witness]]\nurl = \"{}\"\nkey = \"{}\"\n", witness.url, witness.key);
    fs::write(&stage.site.config, format!("{least}{anchor}{more}"))?;
    let running = stage.record()?;
    proc::until("a checkpoint that came back", stage.limit(60), || {
        let events = Events::load(&stage.site).ok()?;
        events.of_kind("checkpoint").next().map(drop)
    })?;
    let status: Value = {
        let out = Command::new(&stage.site.binary)
            .args(["status", "--all", "--format", "json", "--socket", &socket])
            .output()?;
        serde_json::from_slice(&out.stdout).context("status")?
    };
    ensure!(number(&status, &["anchor", "witnessed"]).is_some(), "{status}");
    ensure!(number(&status, &["anchor", "failed"]) == Some(0), "{status}");
    running.stop(stage.limit(60))?;
    let policy = stage.dir.join("policy");
    fs::write(&policy, format!("log {log}\nwitness W {}\nquorum W\n", witness.key))?;
    let json = judged(&stage.site, 1, &kept, &origin_kept, Some(&policy))?;
    ensure!(codes(&json) == ["ENCRYPTION_OFF", "RESUME"], "{json}");
    ensure!(json.get("witnessed").and_then(Value::as_array).is_some_and(|w| w.len() > 1), "{json}");

    // Cut; the older copy put back; a clone that went on by itself.
    let cut = copy(stage, &stage.site, "cut")?;
    let last = segments(&cut.journal)?.pop().context("no segment")?;
    let length = fs::metadata(&last)?.len();
    fs::File::options().write(true).open(&last)?.set_len(length / 2)?;
    let json = judged(&cut, 3, &kept, &origin_kept, None).context("cut")?;
    ensure!(codes(&json).contains(&"ROLLED_BACK"), "{json}");
    let json = judged(&older, 3, &kept, &origin_kept, None).context("the older copy")?;
    ensure!(codes(&json).contains(&"ROLLED_BACK"), "{json}");
    let clone = copy(stage, &older, "clone")?;
    let config = stage.dir.join("clone.toml");
    let least = least.replace(&*stage.site.journal.to_string_lossy(), &clone.journal.to_string_lossy());
    fs::write(&config, format!("{least}[anchor]\nfile = \"\"\nsyslog = false\n{more}"))?;
    let clone = Site { config, ..clone };
    let running = clone.start(stage.limit(60))?;
    proc::until("the witness's word", stage.limit(60), || {
        running.said().contains("a checkpoint could not be handed out").then_some(())
    })?;
    ensure!(
        running.said().contains("rolled back") || running.said().contains("another root"),
        "{}",
        running.said()
    );
    running.stop(stage.limit(60))?;
    let json = judged(&clone, 2, &kept, &origin_kept, None).context("the clone")?;
    ensure!(codes(&json).contains(&"FORK"), "{json}");
    Ok(())
}

fn codes(json: &Value) -> Vec<&str> {
    texts(json, "findings", "code")
}

fn copy(stage: &Stage, site: &Site, name: &str) -> Result<Site> {
    let to = stage.dir.join(name);
    for path in files(&site.journal)? {
        let target = to.join(path.strip_prefix(&site.journal)?);
        fs::create_dir_all(target.parent().context("no directory")?)?;
        fs::copy(&path, &target)?;
    }
    Ok(Site { journal: to, ..site.clone() })
}

fn judged(site: &Site, code: i32, kept: &Path, origin: &Path, policy: Option<&Path>) -> Result<Value> {
    let (kept, origin) = (kept.display().to_string(), origin.display().to_string());
    let mut args = vec!["verify", "--format", "json", "--anchor", &kept, "--origin", &origin];
    let policy = policy.map(|p| p.display().to_string());
    if let Some(policy) = &policy {
        args.extend(["--policy", policy]);
    }
    let out = site.read(&args)?;
    let said = String::from_utf8_lossy(&out.stdout);
    if out.status.code() != Some(code) {
        bail!("verify: {} instead of {code}: {said}{}", out.status, String::from_utf8_lossy(&out.stderr));
    }
    serde_json::from_str(&said).context("verify printed no JSON")
}
