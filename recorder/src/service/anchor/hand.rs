//! One checkpoint, handed to everybody who is to have it.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    super::credentials::Credentials,
    Anchors, PATIENCE,
    sinks::{self, SinkError},
    witness::Client,
};
use crate::{
    config,
    journal::{
        checkpoint::{Head, Signer},
        leaves,
        note::NoteError,
    },
    model::{Bytes, Cosigned},
};

/// Who gets checkpoints.
#[derive(Debug)]
pub(in crate::service) struct Hands {
    config: config::Anchor,
    witnesses: Vec<Client>,
    /// Where logs lie, the spare directory last.
    dirs: Vec<PathBuf>,
    /// What the command's words may name.
    credentials: Credentials,
}

impl Hands {
    /// As it is configured; the first witness's key that is none otherwise.
    pub(in crate::service) fn new(config: &config::Config) -> Result<Self, (String, NoteError)> {
        let witnesses = config
            .anchor
            .witnesses
            .iter()
            .map(|w| Client::new(&w.url, &w.key).map_err(|e| (w.url.clone(), e)));
        let dirs = std::iter::once(&config.journal_dir).chain(&config.spare_dir);
        Ok(Self {
            witnesses: witnesses.collect::<Result<_, _>>()?,
            dirs: dirs.cloned().collect(),
            config: config.anchor.clone(),
            credentials: Credentials::given(),
        })
    }

    /// Time between two checkpoints.
    pub(super) const fn every(&self) -> Duration {
        self.config.every
    }

    /// Signs, has it countersigned, and hands it out. The file has it before anybody else is asked.
    pub(super) fn hand(&mut self, to: &Anchors, signer: &Signer, head: Head, until: Option<Instant>) {
        let patience =
            || until.map_or(PATIENCE, |t| t.saturating_duration_since(Instant::now())).min(PATIENCE);
        let plain = signer.sign(head);
        let keep = |note: &str| {
            if let Some(file) = &self.config.file {
                to.went(
                    &format!("file {}", file.display()),
                    sinks::keep(file, note).map_err(|e| e.to_string()),
                );
            }
        };
        keep(&plain);
        let mut note = plain.clone();
        let log = signer.identity().log.to_string();
        let dirs: Vec<PathBuf> = self.dirs.iter().map(|dir| dir.join(&log)).collect();
        for client in &mut self.witnesses {
            if until.is_none() && to.is_ended() {
                // Everybody gets the last one, which is about to come.
                return;
            }
            let prove = |old| leaves::prove(&dirs, old, head);
            let lines = client.cosign(&plain, head, &prove, patience());
            to.went(
                &format!("witness {}", client.name()),
                match lines {
                    Ok(lines) => {
                        note.push_str(&lines);
                        Ok(())
                    }
                    Err(why) => Err(why.to_string()),
                },
            );
        }
        let cosigned = (note != plain).then(|| Cosigned {
            size: head.size,
            root: head.root,
            note: Bytes::from(note.as_str()),
        });
        if cosigned.is_some() {
            keep(&note);
        }
        match sinks::syslog(self.config.syslog, signer.identity().log, head, &note) {
            None => {}
            Some(outcome) => to.went("syslog", outcome.map_err(|e| e.to_string())),
        }
        if let Some((program, arguments)) = self.config.command.split_first() {
            let filled =
                arguments.iter().map(|word| self.credentials.filled_in(word)).collect::<Option<Vec<_>>>();
            let outcome = filled.ok_or(SinkError::NoCredentials);
            let outcome = outcome.and_then(|words| sinks::command(program, &words, &note, patience()));
            to.went(&format!("command {program}"), outcome.map_err(|e| e.to_string()));
        }
        to.handed(head, cosigned);
    }
}
