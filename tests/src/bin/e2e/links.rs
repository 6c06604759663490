//! What is taken out of the chain of a journal's logs and segments: an incarnation, its origin, a segment between two others
//! (docs/attacks.md, F1).

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    journal::{files, number, text},
    recorder::Site,
};
use serde_json::Value;

use crate::stage::Stage;

/// A finding: its code and the log, by its place in the chain.
type Found<'a> = (&'a str, Option<usize>);

/// A journal of three incarnations; the one in the middle was started three times.
struct Chain {
    site: Site,
    logs: Vec<String>,
}

impl Chain {
    fn record(stage: &Stage) -> Result<Self> {
        let mut logs: Vec<String> = Vec::new();
        let now = || -> Result<Vec<String>> {
            let names = fs::read_dir(&stage.site.journal)?
                .map(|entry| Ok::<_, std::io::Error>(entry?.file_name().to_string_lossy().into_owned()));
            Ok(names.collect::<Result<Vec<_>, _>>()?.into_iter().filter(|name| name.len() == 32).collect())
        };
        for runs in [1, 3, 1] {
            for _ in 0..runs {
                stage.record()?.stop(stage.limit(60))?;
            }
            let new = now()?.into_iter().find(|name| !logs.contains(name)).context("no new log")?;
            // What continues a log; without it the next start begins another one.
            fs::remove_file(stage.site.journal.join(&new).join("recovery.key"))?;
            logs.push(new);
        }
        Ok(Self { site: stage.site.clone(), logs })
    }

    fn copy(&self, stage: &Stage, name: &str) -> Result<Self> {
        let to = stage.dir.join(name);
        for path in files(&self.site.journal)? {
            let target = to.join(path.strip_prefix(&self.site.journal)?);
            fs::create_dir_all(target.parent().context("no directory")?)?;
            fs::copy(&path, &target)?;
        }
        Ok(Self { site: Site { journal: to, ..self.site.clone() }, logs: self.logs.clone() })
    }

    fn log(&self, n: usize) -> Result<PathBuf> {
        Ok(self.site.journal.join(self.logs.get(n).context("no such log")?))
    }

    fn segments(&self, n: usize) -> Result<Vec<PathBuf>> {
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|e| e == "rj");
        Ok(files(&self.log(n)?)?.into_iter().filter(is_segment).collect())
    }

    /// The verdict's exit code is this, and its findings are these, but for what every journal here has.
    fn judged(&self, exit: i32, expected: &[Found]) -> Result<Value> {
        let (code, json) = self.site.verify()?;
        let list = json.get("findings").and_then(Value::as_array).context("no findings")?;
        let place = |finding: &Value| self.logs.iter().position(|log| log == text(finding, &["log"]));
        let mut found: Vec<Found> =
            list.iter().map(|finding| (text(finding, &["code"]), place(finding))).collect();
        found.retain(|(code, _)| !["ENCRYPTION_OFF", "ORIGIN_UNCHECKED", "END_UNPROVEN"].contains(code));
        found.sort_unstable();
        ensure!(
            code == exit && found == expected,
            "{code}: {found:?} instead of {exit}: {expected:?}: {json}"
        );
        Ok(json)
    }
}

pub(crate) fn missing_links(stage: &mut Stage) -> Result<()> {
    let whole = Chain::record(stage)?;
    // Two logs whose recovery keys were removed between two runs, and the restarts of the second.
    let keys = [("RECOVERY_KEY_MISSING", Some(0)), ("RECOVERY_KEY_MISSING", Some(1))];
    let resumed = [("RESUME", Some(1)), ("RESUME", Some(1))];
    let restarts = [keys.as_slice(), resumed.as_slice()].concat();
    whole.judged(3, &restarts).context("the whole journal")?;

    let gone = whole.copy(stage, "middle")?;
    fs::remove_dir_all(gone.log(1)?)?;
    gone.judged(3, &[("LOG_MISSING", Some(2))]).context("the incarnation in the middle")?;

    let gone = whole.copy(stage, "first")?;
    fs::remove_dir_all(gone.log(0)?)?;
    let expected = [("LOG_MISSING", Some(1)), ("RECOVERY_KEY_MISSING", Some(1))];
    gone.judged(3, &[expected.as_slice(), resumed.as_slice()].concat()).context("the first incarnation")?;

    let gone = whole.copy(stage, "origin")?;
    fs::remove_file(gone.log(1)?.join("origin.note"))?;
    let expected = [("ORIGIN_MISSING", Some(1)), ("RECOVERY_KEY_MISSING", Some(1))];
    gone.judged(3, &[expected.as_slice(), resumed.as_slice()].concat()).context("an origin")?;

    // Of the log that was started three times: the segment of the second start.
    let gone = whole.copy(stage, "segment")?;
    let [_, between, _] = gone.segments(1)?.try_into().map_err(|s| anyhow::anyhow!("{s:?}"))?;
    fs::remove_file(&between)?;
    let expected = [("SEGMENT_MISSING", Some(1))];
    let json =
        gone.judged(3, &[keys.as_slice(), expected.as_slice()].concat()).context("a segment between")?;
    let list = json.get("findings").and_then(Value::as_array).context("no findings")?;
    let missing = list.iter().find(|finding| text(finding, &["code"]) == "SEGMENT_MISSING");
    let leaf = missing.and_then(|finding| number(finding, &["leaf"]));
    ensure!(leaf == first_leaf(&between), "not where the hole begins: {json}");

    // The last one is the end of a chain: nothing inside names it, and what was handed out does.
    let gone = whole.copy(stage, "last")?;
    // By default beside the journal; the last one to be handed out is the last log's.
    let anchor = stage.dir.join("anchors/checkpoint");
    fs::remove_dir_all(gone.log(2)?)?;
    let expected = [("RECOVERY_KEY_MISSING", Some(0))];
    gone.judged(3, &[expected.as_slice(), resumed.as_slice()].concat()).context("the last, alone")?;
    let out = gone.site.read(&["verify", "--format", "json", "--anchor", &anchor.display().to_string()])?;
    ensure!(
        String::from_utf8_lossy(&out.stdout).contains("ANCHOR_INVALID"),
        "an anchor of a log that is not here"
    );
    whole.judged(3, &restarts).context("the original, afterwards")?;
    Ok(())
}

/// The leaf in a segment's name.
fn first_leaf(segment: &Path) -> Option<u64> {
    let name = segment.file_stem()?.to_str()?;
    u64::from_str_radix(name.strip_prefix("seg-")?, 16).ok()
}
