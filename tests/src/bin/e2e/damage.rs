//! A few damages to a real journal. The deep surgery (every byte, every length) is the journal's own unit tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use recorder_tests::{account::Sudo, journal::files, recorder::Site};

use crate::stage::Stage;

const TAMPERED: i32 = 2;
const INCOMPLETE: i32 = 3;

pub(crate) fn damaged_journals(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    // Two runs, so that there are seals and a restart before the end.
    for round in ["one", "two"] {
        let running = stage.record()?;
        let terminal = stage.elevated(
            &oncall,
            &[
                &stage.workload(),
                "execs",
                "--count",
                "50",
                "--prefix",
                &stage.tag(round),
                "--truth",
                &stage.path(round),
            ],
        )?;
        terminal.finish(stage.limit(60))?;
        running.stop(stage.limit(60))?;
    }
    stage.whole()?;
    let segments: Vec<_> = files(&stage.site.journal)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rj"))
        .collect();
    let first = segments.first().context("no segment")?;
    let used = used(first)?;

    // One flipped bit in the middle of the first segment's frames.
    let flipped = copy(stage, "flipped")?;
    let target = inside(stage, &flipped, first)?;
    let mut bytes = fs::read(&target)?;
    if let Some(byte) = bytes.get_mut(used / 2) {
        *byte ^= 1;
    }
    fs::write(&target, &bytes)?;
    judged(&flipped, &[TAMPERED]).context("a flipped bit")?;

    // The first segment cut in its middle while later ones go on.
    let cut = copy(stage, "cut")?;
    let target = inside(stage, &cut, first)?;
    fs::File::options().write(true).open(&target)?.set_len(u64::try_from(used / 2)?)?;
    judged(&cut, &[TAMPERED, INCOMPLETE]).context("a cut segment")?;

    // A whole segment taken out of the middle, or the first one.
    let gone = copy(stage, "gone")?;
    fs::remove_file(inside(stage, &gone, first)?)?;
    judged(&gone, &[TAMPERED, INCOMPLETE]).context("a missing segment")?;

    // Damage to a copy says nothing about the original, and reading changed nothing.
    stage.whole()?;
    Ok(())
}

/// Bytes before the zeroed tail of a preallocated file.
fn used(path: &Path) -> Result<usize> {
    let bytes = fs::read(path)?;
    bytes.iter().rposition(|byte| *byte != 0).map(|at| at + 1).context("an empty segment")
}

fn copy(stage: &Stage, name: &str) -> Result<Site> {
    let to = stage.dir.join(name);
    for path in files(&stage.site.journal)? {
        let target = to.join(path.strip_prefix(&stage.site.journal)?);
        fs::create_dir_all(target.parent().context("no directory")?)?;
        fs::copy(&path, &target)?;
    }
    Ok(Site { journal: to, ..stage.site.clone() })
}

fn inside(stage: &Stage, site: &Site, original: &Path) -> Result<PathBuf> {
    Ok(site.journal.join(original.strip_prefix(&stage.site.journal)?))
}

fn judged(site: &Site, codes: &[i32]) -> Result<()> {
    let (code, json) = site.verify()?;
    ensure!(codes.contains(&code), "verify ends with {code} instead of {codes:?}: {json}");
    ensure!(
        json.get("findings").and_then(|f| f.as_array()).is_some_and(|f| !f.is_empty()),
        "no finding names it"
    );
    Ok(())
}
