//! The recorder as the machine's systemd service, as its package would install it.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    machine::Machine,
    office::{Document, Office},
};
use crate::journal::{Events, text};

/// Where the unit of recorder/dist lets it write.
pub const JOURNAL: &str = "/var/lib/recorder/journal";
const GRANTS: &str = "/etc/recorder/grants.d";

/// The service of a machine.
pub struct Service<'m> {
    machine: &'m Machine,
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
        machine.ok(
            "root",
            &format!(
                "systemctl stop recorder; rm -rf {JOURNAL} {GRANTS}; mkdir -p -m 755 /etc/recorder {GRANTS}"
            ),
        )?;
        machine.put(&[&config, &office.policy(), &office.signers()], "/etc/recorder/")?;
        let service = Self { machine };
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

    /// Waits until `recorder grant list` on the machine says so about a grant.
    pub fn until_grant(&self, id: &str, state: &str) -> Result<()> {
        self.machine.until(&format!("grant {id} is {state}"), "recorder grant list --format json", |out| {
            let grants: Vec<Value> = serde_json::from_slice(&out.stdout).ok()?;
            grants.iter().any(|g| text(g, &["id"]) == id && text(g, &["state"]) == state).then_some(())
        })
    }

    /// The records of these kinds so far, as the machine's own root reads them.
    pub fn events(&self, kinds: &str) -> Result<Events> {
        let out = self.machine.run("root", &format!("recorder events --format ndjson --kind {kinds}"))?;
        Events::parse(&out.stdout).context("recorder events on the machine")
    }
}
