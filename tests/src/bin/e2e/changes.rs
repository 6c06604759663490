//! What is done to files other than opening them, and to what they are (docs/attacks.md, D5, D6, D9).

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use recorder_tests::{account::Sudo, journal::text};
use serde_json::Value;

use crate::stage::Stage;

/// Every change is on record with its path, what it set and what came of it; nothing else is said of those files.
pub(crate) fn names_and_attributes(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let (dir, truth) = (stage.path(&stage.mark), stage.path("truth"));
    let terminal =
        stage.elevated(&oncall, &[&stage.workload(), "changes", "--dir", &dir, "--truth", &truth])?;
    let (status, shown) = terminal.finish(stage.limit(60))?;
    ensure!(status.success(), "the workload ended with {status}: {}", String::from_utf8_lossy(&shown));
    let truth = stage.truth("truth")?;
    let events = stage.finish(running)?;

    let dir = text(&truth, &["dir"]);
    let acts = truth.get("acts").and_then(Value::as_array).context("a truth without acts")?;
    let mut recorded: BTreeMap<(&str, &str), Vec<&Value>> = BTreeMap::new();
    for event in &events.0 {
        let (kind, path) = (text(event, &["kind"]), text(event, &["file", "path"]));
        let told = [
            "mkdir",
            "mknod",
            "link",
            "symlink",
            "unlink",
            "chmod",
            "chown",
            "truncate",
            "utimes",
            "xattr",
            "fallocate",
        ];
        if told.contains(&kind) && path.starts_with(dir) {
            recorded.entry((kind, path)).or_default().push(event);
        }
    }
    for act in acts {
        let (kind, path) = (text(act, &["kind"]), text(act, &["path"]));
        let of_path = recorded.get_mut(&(kind, path)).filter(|left| !left.is_empty());
        let event = of_path.with_context(|| format!("not recorded: {act}"))?.remove(0);
        let object = event.get("file").context("a record without its object")?;
        let is_so = holds(object.get("result"), act.get("result")) && holds(Some(object), act.get("more"));
        ensure!(is_so, "of {act} is recorded {object}");
    }
    // What the workload needs besides: its directories for mounts.
    let own = ["mounted", "mounted/lower", "mounted/upper", "mounted/work", "mounted/merged"];
    let own = own.map(|name| format!("{dir}/{name}"));
    for ((kind, path), left) in recorded {
        let expected = usize::from(kind == "mkdir" && (path == dir || own.iter().any(|own| own == path)));
        ensure!(left.len() == expected, "nobody did {left:?}");
    }
    if stage.is_emulated() {
        ensure!(truth.get("overlay") == Some(&Value::Bool(true)), "this machine has no overlay");
    }
    Ok(())
}

/// True if what is expected is there; what else is there does not count.
pub(crate) fn holds(found: Option<&Value>, expected: Option<&Value>) -> bool {
    match (found, expected) {
        (Some(Value::Object(found)), Some(Value::Object(expected))) => {
            expected.iter().all(|(name, value)| holds(found.get(name), Some(value)))
        }
        (found, expected) => found == expected,
    }
}
