//! The recorder as the machine's systemd service, as its package would install it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    machine::Machine,
    office::{Document, Office},
};
use crate::{journal::text, proc, recorder::Site};

/// Where the unit of recorder/dist lets it write.
pub const JOURNAL: &str = "/var/lib/recorder/journal";
const GRANTS: &str = "/etc/recorder/grants.d";

/// The service of a machine.
pub struct Service<'m> {
    machine: &'m Machine,
    /// The recorder that reads here.
    recorder: PathBuf,
    /// Where copies of the journal go.
    dir: PathBuf,
}

impl<'m> Service<'m> {
    /// Configures it anew with an empty journal and no documents, and starts it. `grants` are more lines for `[grants]`.
    pub fn install(
        machine: &'m Machine,
        office: &Office,
        dir: &Path,
        backend: &str,
        grants: &str,
    ) -> Result<Self> {
        let config = dir.join("recorder.toml");
        // Small segments: a crash leaves one at its full length, which is read, and copied, at an emulated speed.
        fs::write(
            &config,
            format!(
                "[journal]\nsegment = \"1MiB\"\n[encryption]\nmode = \"off\"\n[capture]\nbackend = \"{backend}\"\n[grants]\ndir = \"{GRANTS}\"\n\
                 policy = \"/etc/recorder/policy.toml\"\nallowed_signers = \"/etc/recorder/allowed_signers\"\n{grants}"
            ),
        )?;
        // A guard that refuses holds until systemd has closed what it kept of it.
        machine.ok(
            "root",
            &format!(
                "systemctl stop recorder; for n in $(seq 30); do rm -rf {JOURNAL} {GRANTS} && break; sleep 1; done; mkdir -p -m 755 /etc/recorder {GRANTS}"
            ),
        )?;
        machine.put(&[&config, &office.policy(), &office.signers()], "/etc/recorder/")?;
        let service = Self { machine, recorder: office.recorder().to_path_buf(), dir: dir.to_path_buf() };
        service.systemctl("start")?;
        Ok(service)
    }

    /// `systemctl start|stop|restart`; with a start the unit has to be active: `Type=notify` means that every hook answered.
    pub fn systemctl(&self, verb: &str) -> Result<()> {
        let line = format!(
            "systemctl {verb} recorder || journalctl -u recorder -n 20 --no-pager; systemctl show recorder -P Result -P ActiveState"
        );
        let told = self.machine.ok("root", &line)?;
        let wanted = if verb == "stop" { "success\ninactive" } else { "success\nactive" };
        ensure!(told.trim() == wanted, "after systemctl {verb} the service is {told}");
        Ok(())
    }

    /// The note by which an investigator knows this machine's log, as it would be kept elsewhere from the first start on.
    pub fn origin(&self, to: &Path) -> Result<()> {
        let note = self.machine.ok("root", &format!("cat {JOURNAL}/*/origin.note"))?;
        fs::write(to, note).with_context(|| to.display().to_string())
    }

    /// Puts documents with their signatures where the recorder looks.
    pub fn deliver(&self, documents: &[&Document]) -> Result<()> {
        let signatures: Vec<_> = documents.iter().map(|d| d.signature()).collect();
        let files: Vec<&Path> =
            signatures.iter().map(AsRef::as_ref).chain(documents.iter().map(|d| d.path.as_path())).collect();
        self.machine.put(&files, GRANTS)
    }

    /// Somebody takes documents to the machine and hands them in himself, as who he is there.
    pub fn hand_in(&self, who: &str, documents: &[&Document]) -> Result<()> {
        let signatures: Vec<_> = documents.iter().map(|d| d.signature()).collect();
        let texts: Vec<&Path> = documents.iter().map(|d| d.path.as_path()).collect();
        self.machine
            .send(who, &[&texts[..], &signatures.iter().map(AsRef::as_ref).collect::<Vec<_>>()].concat())?;
        let names: Vec<_> =
            texts.iter().filter_map(|path| Some(path.file_name()?.display().to_string())).collect();
        self.machine.ok(who, &format!("recorder grant add {}", names.join(" "))).map(drop)
    }

    /// Waits until a refused document was put aside.
    pub fn until_refused(&self, document: &Document) -> Result<()> {
        let name = document.path.file_name().context("no name")?.display();
        self.machine.until(
            &format!("{name} is put aside"),
            &format!("test -f {GRANTS}/refused/{name} && ! test -f {GRANTS}/{name}"),
            |out| out.status.success().then_some(()),
        )
    }

    /// Takes everything out of the directory again, as somebody does who hopes that a restart forgets.
    pub fn remove_documents(&self) -> Result<()> {
        self.machine.ok("root", &format!("rm {GRANTS}/*.toml {GRANTS}/*.sig")).map(drop)
    }

    /// Waits until `recorder grant list` says so about a grant.
    pub fn until_grant(&self, id: &str, state: &str) -> Result<()> {
        proc::until(&format!("grant {id} is {state}"), self.machine.limit(20), || {
            let out = self.so_far().ok()?.read(&["grant", "list", "--format", "json"]).ok()?;
            let grants: Vec<Value> = serde_json::from_slice(&out.stdout).ok()?;
            grants.iter().any(|g| text(g, &["id"]) == id && text(g, &["state"]) == state).then_some(())
        })
    }

    /// A copy of the journal while it is written, to be read here: verifying all of it takes seconds on an emulated machine.
    pub fn so_far(&self) -> Result<Site> {
        let (parent, name) = JOURNAL.rsplit_once('/').context("no directory")?;
        // Exit 1: a file grew meanwhile.
        let tar = self.machine.run("root", &format!("tar -cS -C {parent} {name} || test $? = 1"))?;
        ensure!(
            tar.status.success(),
            "the journal can't be copied: {}",
            String::from_utf8_lossy(&tar.stderr)
        );
        let journal = self.dir.join(name);
        let _ = fs::remove_dir_all(&journal);
        let mut unpack = Command::new("tar")
            .args(["-x", "-C"])
            .arg(&self.dir)
            .stdin(Stdio::piped())
            .spawn()
            .context("tar")?;
        unpack.stdin.take().context("no pipe")?.write_all(&tar.stdout)?;
        ensure!(unpack.wait()?.success(), "tar could not unpack the journal");
        let nowhere = PathBuf::from("/dev/null");
        Ok(Site {
            binary: self.recorder.clone(),
            config: nowhere.clone(),
            journal,
            socket: nowhere,
            identity: None,
            notify: None,
            log: None,
        })
    }
}
