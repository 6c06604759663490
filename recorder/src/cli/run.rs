//! `recorder run`: the service in the foreground.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
};

use super::{Failure, Io};
use crate::{
    config,
    service::{self, Observer, ServiceError},
};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Configuration file [default: /etc/recorder/recorder.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Standard error, a line at a time: journald's and the person's.
struct Lines;

impl Lines {
    fn line(text: &str) {
        let _ = writeln!(std::io::stderr(), "recorder: {}", super::io::one_line(text));
    }
}

impl Observer for Lines {
    fn enrolled(&mut self, log: &str, note: &str) {
        Self::line(&format!("enrolled this host as log {log}"));
        Self::line("keep this origin note elsewhere; `recorder verify --origin` compares with it:");
        for text in note.lines() {
            Self::line(&format!("    {text}"));
        }
    }

    fn say(&mut self, line: &str) {
        Self::line(line);
    }

    fn ready(&mut self) {
        Self::line("ready");
    }
}

pub(crate) fn run(args: &Args, _io: &mut Io<'_>) -> Result<u8, Failure> {
    let config = config::load(args.config.as_deref()).map_err(|e| match e {
        config::ConfigError::Read { .. } => Failure::Io(e.to_string()),
        _ => Failure::Usage(e.to_string()),
    })?;
    log_to_stderr(config.kernel_log);
    service::run(&config, &mut Lines).map(|()| 0).map_err(|e| match e {
        ServiceError::Capture(inner) => Failure::Missing(inner.to_string()),
        // Keys in the configuration that are none are its faults, told only where they are read.
        ServiceError::Recipient { .. } | ServiceError::TooManyRecipients | ServiceError::Witness { .. } => {
            Failure::Usage(e.to_string())
        }
        other => Failure::Io(other.to_string()),
    })
}

/// `RECORDER_LOG` names levels as `tracing` does; warnings and errors otherwise, and the kernel programs' log if it was
/// asked for. Never captured content.
fn log_to_stderr(kernel_log: bool) {
    use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};
    let journald = journald();
    // Edges of sessions are for journald, where they are found by their fields.
    let quiet = if journald.is_some() { "warn,session=info" } else { "warn" };
    let default = if kernel_log { format!("{quiet},kernel=trace") } else { quiet.to_owned() };
    let filter = tracing_subscriber::EnvFilter::try_from_env("RECORDER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    if let Some(layer) = journald {
        let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
        return;
    }
    let colours = std::io::stderr().is_terminal();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .try_init();
}

/// Where systemd reads our standard error the fields go to its journal as fields, so that `journalctl GRANT=…` finds them; lines of
/// people (`recorder: ready`) stay lines.
fn journald() -> Option<tracing_journald::Layer> {
    let stderr = rustix::fs::fstat(std::io::stderr()).ok()?;
    let ours = format!("{}:{}", stderr.st_dev, stderr.st_ino);
    let theirs = std::env::var("JOURNAL_STREAM").ok()?;
    let layer = (theirs == ours).then(tracing_journald::layer)?.ok()?;
    Some(layer.with_field_prefix(None).with_syslog_identifier("recorder".to_owned()))
}
