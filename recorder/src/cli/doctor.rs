//! `recorder doctor`: what this kernel offers, which backend answers, what it can't see; and what of this host needs a hand, with advice.

mod checks;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use self::checks::{Finding, State, bad, good, look};
use super::{
    Failure, Io,
    args::{Format, FormatArgs},
    control,
};
use crate::{
    capture::{self, Capture, CaptureConfig, GuardMode},
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
    let loaded = config::load(args.config.as_deref());
    if args.config.is_some() {
        loaded.as_ref().map_err(|e| Failure::Usage(e.to_string()))?;
    }
    let config = loaded.as_ref().ok().cloned();
    let support = capture::probe();
    // It would guard this process.
    let wanted = service::capture_config(&config.clone().unwrap_or_else(Config::least));
    let started = Capture::start(&CaptureConfig { guard: GuardMode::Off, ..wanted.clone() });
    let (backend, hooks, blind, problem) = match &started {
        Ok(c) => (Some(c.backend().name()), c.hooks(), c.blind(), c.refused().map(str::to_owned)),
        Err(e) => (None, [].as_slice(), Vec::new(), Some(e.to_string())),
    };
    let free = config
        .as_ref()
        .and_then(|c| rustix::fs::statvfs(&c.journal_dir).ok())
        .map(|s| s.f_bavail.saturating_mul(s.f_frsize));
    let pair = clock::pair();
    let mut findings = vec![kernel(&support.release, &started)];
    findings.extend(checks::host(Path::new("/"), &support.lsm));
    findings.push(guard(wanted.guard, backend, &support.lsm));
    findings.push(checks::configuration(&loaded));
    findings.extend(config.iter().flat_map(checks::configured));
    findings.extend([checks::pam(Path::new("/")), checks::sudo(Path::new("/")), checks::unit()]);
    findings.extend(config.as_ref().and_then(|config| hooks_now(&config.socket)));
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
        "findings": findings,
    });
    match args.format.format {
        Format::Table => {
            let plain = |(key, _): &(&String, &Value)| key.as_str() != "findings";
            for (key, value) in facts.as_object().into_iter().flatten().filter(plain) {
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
            writeln!(io.out)?;
            for found in &findings {
                tell(found, io)?;
            }
        }
        Format::Json | Format::Ndjson => writeln!(io.out, "{facts}")?,
    }
    match started {
        Ok(_) => Ok(u8::from(findings.iter().any(|found| found.state == State::Bad))),
        Err(e) => Err(Failure::Missing(e.to_string())),
    }
}

/// Whether there is a backend that sees.
fn kernel(release: &str, started: &Result<Capture, capture::LoadError>) -> Finding {
    match started {
        Ok(capture) => match capture.refused() {
            None => good("kernel", format!("{release}: backend {}", capture.backend().name())),
            Some(why) => look(
                "kernel",
                format!("{release}: backend {} ({why})", capture.backend().name()),
                "nothing has to be done; what it can't see is listed above (blind)",
            ),
        },
        Err(error) => bad(
            "kernel",
            format!("{release}: {error}"),
            "as root, on Linux 5.15 or later with BTF (/sys/kernel/btf/vmlinux)",
        ),
    }
}

/// Whether what is tried with the recorder itself is seen here (docs/guard.md).
fn guard(mode: GuardMode, backend: Option<&str>, lsm: &[String]) -> Finding {
    if mode == GuardMode::Off {
        let advice = "what is tried with the recorder itself is neither refused nor told: docs/guard.md";
        return look("guard", "switched off (guard.mode)".to_owned(), advice);
    }
    let advice = "nothing that is tried with the recorder itself is refused; signals to it, and what sessions do to its files, are on record: docs/guard.md";
    if !lsm.iter().any(|name| name == "bpf") {
        return look("guard", "there is none: it needs the bpf LSM".to_owned(), advice);
    }
    if backend != Some("trampoline") {
        return look("guard", "there is none: it needs the trampoline backend".to_owned(), advice);
    }
    let what = if mode == GuardMode::Enforce { "refused and on record" } else { "on record" };
    good("guard", format!("what is tried with the recorder itself is {what}"))
}

/// What the running recorder says of its hooks; nothing where none runs, or to others than root.
fn hooks_now(socket: &Path) -> Option<Finding> {
    let question = json!({"v": 1, "op": "status", "all": true});
    let answer = control::ask(socket, &question, Duration::from_secs(5)).ok()?;
    let silent = answer.get("hooks_silent")?.as_array()?;
    let names: Vec<&str> = silent.iter().filter_map(Value::as_str).collect();
    Some(if names.is_empty() {
        good("hooks", "the running recorder's hooks all answer")
    } else {
        bad(
            "hooks",
            format!("do not see: {}", names.join(", ")),
            "operations.md, HOOK_DEAD: treat it as an incident unless load explains it",
        )
    })
}

fn tell(found: &Finding, io: &mut Io<'_>) -> Result<(), Failure> {
    let word = match found.state {
        State::Good => "good",
        State::Look => "LOOK",
        State::Bad => "BAD",
    };
    writeln!(io.out, "{word:<5} {:<12}  {}", found.check, escaped_lines(&found.text))?;
    if !found.advice.is_empty() {
        writeln!(io.out, "{:20}do: {}", "", escaped_lines(&found.advice))?;
    }
    Ok(())
}

/// The kernel's words may hold anything; our own line ends stay.
fn escaped_lines(text: &str) -> String {
    text.lines().map(|l| crate::model::Bytes::from(l).escaped()).collect::<Vec<_>>().join("\n")
}
