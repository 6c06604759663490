//! A scenario that never ends: its name, what hangs and where, instead of a machine that is silently cut off.

use std::{
    fs, process,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than any scenario takes that goes well; one that fails may have its deadlines cut short by this where they are stretched.
const LIMIT: Duration = Duration::from_secs(500);
/// More of it for each step of patience, and for each crash that was asked for.
const STRETCHED: Duration = Duration::from_secs(70);
const CRASH: Duration = Duration::from_secs(20);

/// Ends the whole run with a failure when the scenario is not over in time, that is when what this gives was not dropped: nothing
/// after it can be trusted to run.
#[must_use]
pub(crate) fn watch(name: &'static str, patience: u32, crashes: u32) -> mpsc::Sender<()> {
    let (running, ended) = mpsc::channel::<()>();
    let limit = LIMIT + STRETCHED * patience + CRASH * crashes;
    thread::spawn(move || {
        if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            let family = family();
            println!("FAILED {name} ({} s): never ended; {}", limit.as_secs(), hanging(&family).join("; "));
            // The janitor cleans up when this process is gone; a recorder would go on.
            for pid in family.iter().filter(|pid| text(pid, "comm").trim() == "recorder") {
                if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            process::exit(1);
        }
    });
    running
}

fn text(pid: &str, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

fn tasks(pid: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.map(|task| format!("task/{}", task.file_name().to_string_lossy())).collect()
}

/// This process and its descendants.
fn family() -> Vec<String> {
    let (mut found, mut parents) = (Vec::new(), vec![process::id().to_string()]);
    while let Some(pid) = parents.pop() {
        for task in tasks(&pid) {
            parents.extend(text(&pid, &format!("{task}/children")).split_whitespace().map(str::to_owned));
        }
        found.push(pid);
    }
    found
}

/// Each thread of theirs with what it waits for in the kernel, as /proc has it.
fn hanging(family: &[String]) -> Vec<String> {
    let threads = family.iter().flat_map(|pid| tasks(pid).into_iter().map(move |task| (pid, task)));
    let told = threads.map(|(pid, task)| {
        let text = |file: &str| text(pid, &format!("{task}/{file}"));
        let state = text("stat").rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('?');
        format!("{pid} {} {state} in {} ({})", text("comm").trim(), text("wchan"), text("syscall").trim())
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_named() {
        let mut child = process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = hanging(&family());
        let _ = child.kill();
        let _ = child.wait();
        assert!(found.iter().any(|line| line.starts_with(&format!("{} ", child.id()))), "{found:?}");
        assert!(found.iter().any(|line| line.starts_with(&format!("{} ", process::id()))), "{found:?}");
    }
}
