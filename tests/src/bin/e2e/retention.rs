//! Retention on a living recorder: planned, permitted elsewhere, applied; what is held or open stays.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, bail, ensure};
use recorder_tests::{
    account::{Account, Sudo},
    journal::{self, text, texts},
    proc,
};

use crate::{
    hostile::output,
    stage::{Stage, quiet},
};

/// Bytes that a session shows: incompressible enough to fill segments of 1 MiB, though what sudo relays is kept once.
const SHOWN: u32 = 8 << 20;

/// Dana may delete, anna may only sign grants.
struct Archive {
    dir: PathBuf,
    holds: PathBuf,
}

impl Archive {
    fn open(stage: &Stage) -> Result<Self> {
        let (dir, holds) = (stage.dir.join("archive"), stage.dir.join("holds.d"));
        fs::create_dir(&dir)?;
        fs::create_dir(&holds)?;
        let mut signers = String::new();
        for (person, namespaces) in [
            ("dana", "namespaces=\"recorder-retention\" "),
            ("anna", "namespaces=\"recorder-grant\" "),
            ("otto", ""),
        ] {
            let key = dir.join(person);
            let words = ["-q", "-t", "ed25519", "-N", "", "-C", person, "-f", &key.display().to_string()];
            quiet("ssh-keygen", &words)?;
            let public = fs::read_to_string(key.with_extension("pub"))?;
            let _ = write!(signers, "{person} {namespaces}{public}");
        }
        fs::write(dir.join("allowed_signers"), signers)?;
        let config = fs::read_to_string(&stage.site.config)?;
        let more = format!(
            "[grants]\nallowed_signers = \"{}\"\ndir = \"{}\"\npolicy = \"{}\"\n[retention]\nholds = \"{}\"\n",
            dir.join("allowed_signers").display(),
            dir.join("grants.d").display(),
            dir.join("policy.toml").display(),
            holds.display(),
        );
        fs::write(dir.join("policy.toml"), "")?;
        fs::create_dir(dir.join("grants.d"))?;
        fs::write(&stage.site.config, config + &more)?;
        stage.site.small_segments()?;
        Ok(Self { dir, holds })
    }

    fn run(&self, stage: &Stage, words: &[&str]) -> Result<Output> {
        output(Command::new(&stage.world.recorder).arg("retention").args(words).current_dir(&self.dir))
    }

    /// A plan for all that has ended; gives its table.
    fn plan(&self, stage: &Stage, file: &str) -> Result<(Output, String)> {
        let _ = fs::remove_file(self.dir.join(file));
        let (journal, holds) = (stage.site.journal.display().to_string(), self.holds.display().to_string());
        let out = self.run(
            stage,
            &[
                "plan",
                "--keep",
                "1s",
                "--journal",
                &journal,
                "--holds",
                &holds,
                "--allowed-signers",
                "allowed_signers",
                "-o",
                file,
            ],
        )?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        Ok((out, said))
    }

    /// Somebody signs; gives the document.
    fn signed(&self, stage: &Stage, words: &[&str], who: &str) -> Result<PathBuf> {
        let mut words = words.to_vec();
        words.extend(["--signer", who, "--key", who, "--reason", "e2e"]);
        let out = self.run(stage, &words)?;
        ensure!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(self.dir.join(String::from_utf8(out.stdout)?.trim()))
    }

    fn apply(&self, stage: &Stage, permit: &Path, code: i32, part: &str) -> Result<()> {
        let socket = stage.site.socket.display().to_string();
        let out = self.run(stage, &["apply", &permit.display().to_string(), "--socket", &socket])?;
        let said =
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        ensure!(out.status.code() == Some(code) && said.contains(part), "apply: {} {said}", out.status);
        Ok(())
    }
}

/// A session that shows much; gives its id.
fn show(stage: &mut Stage, account: &Account, truth: &str) -> Result<()> {
    let bytes = stage.count(SHOWN).to_string();
    let terminal = stage
        .elevated(account, &[&stage.workload(), "show", "--bytes", &bytes, "--truth", &stage.path(truth)])?;
    let (status, _) = terminal.finish(stage.limit(180))?;
    ensure!(status.success(), "the workload ended with {status}");
    Ok(())
}

fn files(stage: &Stage, extension: &str) -> Result<usize> {
    let log = fs::read_dir(&stage.site.journal)?.next().context("no log")??.path();
    let all = fs::read_dir(log)?.filter_map(Result::ok);
    Ok(all.filter(|e| e.path().extension().is_some_and(|x| x == extension)).count())
}

fn codes(out: &Output) -> Result<Vec<String>> {
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).context("verify printed no JSON")?;
    Ok(texts(&json, "findings", "code").into_iter().map(str::to_owned).collect())
}

/// Old segments go by permit, those of a held and of an open session stay, and the journal verifies across the holes.
pub(crate) fn expired_by_permit(stage: &mut Stage) -> Result<()> {
    let archive = Archive::open(stage)?;
    let (free, held) = (stage.account("oncall", Sudo::Free)?, stage.account("held", Sudo::Free)?);
    let running = stage.record()?;
    show(stage, &free, "first")?;
    show(stage, &held, "second")?;
    show(stage, &free, "third")?;
    let mut open = stage.shell(&free)?;
    stage.become_root(&mut open)?;
    proc::until("three sessions are in the journal", stage.limit(30), || {
        let list = journal::sessions(&stage.site).ok()?;
        // Others may be at work on this machine.
        let ours =
            list.iter().filter(|s| [&free.name, &held.name].iter().any(|n| text(s, &["user"]) == n.as_str()));
        let over = ours.filter(|s| text(s, &["completeness"]) == "complete").count();
        (over == 3).then_some(())
    })?;
    let before = files(stage, "rj")?;
    ensure!(before >= 4, "only {before} segments");

    let journal = stage.site.journal.display().to_string();
    let hold = archive.signed(stage, &["hold", "--person", &held.name, "--journal", &journal], "dana")?;
    let filed = archive.holds.join("hold.toml");
    fs::copy(&hold, &filed)?;
    fs::copy(hold.with_extension("toml.sig"), archive.holds.join("hold.toml.sig"))?;
    let mut last = String::new();
    let table = proc::until("segments are old enough", stage.limit(30), || {
        let (out, said) = archive.plan(stage, "plan.toml").ok()?;
        last = format!("{said}{}", String::from_utf8_lossy(&out.stderr));
        (out.status.success() && !said.contains("later than")).then_some(said)
    });
    let table = table.with_context(|| format!("the last plan: {last}"))?;
    ensure!(table.contains("which hold") && table.contains("is being written"), "the plan says {table}");
    let going = table.lines().filter(|line| line.contains(" goes ")).count();
    ensure!(going > 0 && going < before, "the plan says {table}");

    // Nobody but dana, by name, and nothing else than what she signed.
    for (who, why) in [("anna", "namespace"), ("otto", "no line")] {
        let permit = archive.signed(stage, &["permit", "plan.toml"], who)?;
        archive.apply(stage, &permit, 1, why)?;
    }
    let permit = archive.signed(stage, &["permit", "plan.toml"], "dana")?;
    let edited = archive.dir.join("edited.toml");
    fs::write(&edited, fs::read_to_string(&permit)?.replace("keep 1s", "keep 2s"))?;
    fs::copy(permit.with_extension("toml.sig"), archive.dir.join("edited.toml.sig"))?;
    archive.apply(stage, &edited, 1, "does not match")?;
    fs::rename(&filed, archive.dir.join("hidden"))?;
    archive.apply(stage, &permit, 1, "other holds")?;
    fs::rename(archive.dir.join("hidden"), &filed)?;
    ensure!(files(stage, "rj")? >= before && files(stage, "stub")? == 0, "something was deleted");

    archive.apply(stage, &permit, 0, &format!("expired {going} segments"))?;
    archive.apply(stage, &permit, 0, &format!("{going} of the permit had gone before"))?;
    ensure!(files(stage, "stub")? == going, "{} stubs for {going}", files(stage, "stub")?);
    open.ask("echo still-$((40+2))", "still-42", stage.limit(20))?;

    let signers = archive.dir.join("allowed_signers").display().to_string();
    for (more, unchecked) in [(vec![], true), (vec!["--allowed-signers", &signers], false)] {
        let mut words = vec!["verify", "--format", "json"];
        words.extend(more);
        let out = stage.site.read(&words)?;
        let codes = codes(&out)?;
        ensure!(out.status.code() == Some(1), "verify ended with {} {codes:?}", out.status);
        ensure!(codes.iter().any(|c| c == "EXPIRED"), "{codes:?}");
        ensure!(codes.iter().any(|c| c == "PERMIT_UNCHECKED") == unchecked, "{codes:?}");
    }
    let list = journal::sessions(&stage.site)?;
    let of = |name: &str| list.iter().filter(|s| text(s, &["user"]) == name).collect::<Vec<_>>();
    let kept = of(&held.name);
    let whole = kept.iter().all(|s| text(s, &["completeness"]) == "complete");
    ensure!(kept.len() == 1 && whole, "the held session: {kept:?}");
    ensure!(list.iter().any(|s| text(s, &["completeness"]) == "expired"), "nothing expired in {list:?}");

    // The next recorder goes on with the same log and remembers what is left.
    drop(open);
    running.stop(stage.limit(60))?;
    archive.apply(stage, &permit, 69, "no recorder")?;
    let again = stage.record()?;
    again.stop(stage.limit(60))?;
    let (code, json) = stage.site.verify()?;
    ensure!(code == 1, "after a restart: {code} {json}");
    let log = fs::read_dir(&stage.site.journal)?.next().context("no log")??.path();
    for entry in fs::read_dir(&log)? {
        let path = entry?.path();
        if path.extension().is_some_and(|x| x == "toml") {
            fs::remove_file(path)?;
        }
    }
    match stage.site.verify()? {
        (3, _) => Ok(()),
        (code, json) => bail!("without its permit: {code} {json}"),
    }
}
