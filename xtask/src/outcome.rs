//! What a check or suite came to, and how a list of them is told: one line each, totals last.

use std::sync::Mutex;

/// Lines of cases that failed, as the suites printed them: told again at the end, where whoever reads a long log looks first.
static FAILURES: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// What scenarios came to and what their machines can't see: `cargo xtask coverage` makes a page of it.
static RESULTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// First words of such lines.
const RESULT: [&str; 4] = ["ok ", "FAILED ", "elsewhere ", "blind "];
/// So many of them, and so many bytes of each.
const MOST: usize = 40;
const LONGEST: usize = 2000;

/// Keeps a suite's line if it is a scenario's result, and once more if it tells of a failure: `FAILED name: why` of ours, `test name ... FAILED` of cargo's.
pub(crate) fn heard(prefix: &str, line: &str) {
    if RESULT.iter().any(|word| line.starts_with(word))
        && let Ok(mut results) = RESULTS.lock()
    {
        results.push(format!("{prefix}{}", line.chars().take(LONGEST).collect::<String>()));
    }
    let failed = line.starts_with("FAILED ") || (line.starts_with("test ") && line.ends_with(" FAILED"));
    if let Ok(mut failures) = FAILURES.lock()
        && failed
        && failures.len() < MOST
    {
        failures.push(format!("{prefix}{}", line.chars().take(LONGEST).collect::<String>()));
    }
}

/// The last lines of what ended without telling how, for the same place; failures among them stand there already.
pub(crate) fn last_words<'a>(prefix: &str, lines: impl IntoIterator<Item = &'a str>) {
    if let Ok(mut failures) = FAILURES.lock() {
        for line in lines.into_iter().map(|line| format!("{prefix}{line}")) {
            if !failures.contains(&line) {
                failures.push(line);
            }
        }
    }
}

/// The results that were heard.
pub(crate) fn results() -> Vec<String> {
    RESULTS.lock().map(|results| results.clone()).unwrap_or_default()
}

/// The failures that were heard.
pub(crate) fn failures() -> Vec<String> {
    FAILURES.lock().map(|failures| failures.clone()).unwrap_or_default()
}

/// How one check or suite ended.
pub(crate) enum Ending {
    /// It ran and holds.
    Passed,
    /// It ran and does not hold, with the reason.
    Failed(String),
    /// It could not run here, with the reason.
    Skipped(String),
}

/// Passed, failed and skipped cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Totals {
    pub(crate) fn count(&mut self, ending: &Ending) {
        match ending {
            Ending::Passed => self.passed += 1,
            Ending::Failed(_) => self.failed += 1,
            Ending::Skipped(_) => self.skipped += 1,
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Whether the whole may end with 0; a strict run accepts no skip, and no run accepts having done nothing.
    pub(crate) fn is_good(self, strict: bool) -> bool {
        self.failed == 0 && self.passed > 0 && !(strict && self.skipped > 0)
    }

    /// Reads such a closing line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut counts = line.split(", ").map(|part| part.split_once(' '));
        let mut count = |word: &str| match counts.next()?? {
            (number, found) if found == word => number.parse().ok(),
            _ => None,
        };
        let totals = Self { passed: count("passed")?, failed: count("failed")?, skipped: count("skipped")? };
        counts.next().is_none().then_some(totals)
    }

    /// The closing line that tools read; it stands alone.
    pub(crate) fn line(self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// One line for one check.
pub(crate) fn tell(name: &str, ending: &Ending) {
    match ending {
        Ending::Passed => println!("ok      {name}"),
        Ending::Failed(why) => println!("FAILED  {name}: {why}"),
        Ending::Skipped(why) => println!("SKIPPED {name}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_kept_with_where_they_happened() {
        heard("[6.1] ", "ok sleeps (1.0 s)");
        heard("[6.1] ", "FAILED wakes (2.0 s): never");
        heard("", "test a::b ... FAILED");
        assert_eq!(failures(), ["[6.1] FAILED wakes (2.0 s): never", "test a::b ... FAILED"]);
        last_words("[6.1] ", ["FAILED wakes (2.0 s): never", "--- no exit code"]);
        assert_eq!(failures().last().map(String::as_str), Some("[6.1] --- no exit code"));
        assert_eq!(failures().len(), 3, "a failure is told twice");
    }

    #[test]
    fn a_skip_fails_a_strict_run_only() {
        let totals = Totals { passed: 1, failed: 0, skipped: 1 };
        assert!(totals.is_good(false));
        assert!(!totals.is_good(true));
        assert!(!Totals::default().is_good(false));
        assert_eq!(Totals::parse(&totals.line()), Some(totals));
        assert_eq!(Totals::parse("1 passed, 0 failed"), None);
    }
}
