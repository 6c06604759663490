//! `recorder doctor`: what this kernel offers, which backend answers, what it can't see.

use std::path::PathBuf;

use serde_json::json;

use super::{
    Failure, Io,
    args::{Format, FormatArgs},
};
use crate::{
    capture::{self, Capture},
    config::{self, Config},
    service,
    sys::clock,
};

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Configuration file [default: /etc/recorder/recorder.toml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let config = match &args.config {
        Some(path) => Some(config::load(Some(path)).map_err(|e| Failure::Usage(e.to_string()))?),
        None => config::load(None).ok(),
    };
    let support = capture::probe();
    let started = Capture::start(&service::capture_config(&config.clone().unwrap_or_else(Config::least)));
    let (backend, hooks, blind, problem) = match &started {
        Ok(c) => (Some(c.backend().name()), c.hooks(), c.blind(), c.refused().map(str::to_owned)),
        Err(e) => (None, [].as_slice(), Vec::new(), Some(e.to_string())),
    };
    let free = config
        .as_ref()
        .and_then(|c| rustix::fs::statvfs(&c.journal_dir).ok())
        .map(|s| s.f_bavail.saturating_mul(s.f_frsize));
    let pair = clock::pair();
    let facts = json!({
        "kernel": support.release,
        "backend": backend,
        "hooks": hooks,
        "blind": blind,
        "problem": problem,
        "lsm": support.lsm,
        "lockdown": support.lockdown,
        "loginuid": support.loginuid,
        "btf": support.btf,
        "config": config.is_some(),
        "journal": config.as_ref().map(|c| c.journal_dir.clone()),
        "journal_free_bytes": free,
        "boot_ns": pair.boot.get(),
        "real_ns": pair.real.get(),
    });
    match args.format.format {
        Format::Table => {
            for (key, value) in facts.as_object().into_iter().flatten() {
                let text = match value {
                    serde_json::Value::Array(items) => items
                        .iter()
                        .filter_map(|v| v.as_str())
                        .collect::<Vec<_>>()
                        .join("\n                      "),
                    serde_json::Value::String(text) => text.clone(),
                    serde_json::Value::Null => "-".into(),
                    other => other.to_string(),
                };
                writeln!(io.out, "{key:<20}  {}", escaped_lines(&text))?;
            }
        }
        Format::Json | Format::Ndjson => writeln!(io.out, "{facts}")?,
    }
    match started {
        Ok(_) => Ok(0),
        Err(e) => Err(Failure::Missing(e.to_string())),
    }
}

/// The kernel's words may hold anything; our own line ends stay.
fn escaped_lines(text: &str) -> String {
    text.lines().map(|l| crate::model::Bytes::from(l).escaped()).collect::<Vec<_>>().join("\n")
}
