//! A scenario that never ends: its name, what hangs and where, instead of a machine that is silently cut off.

use std::{
    fs, process,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

/// Longer than any scenario takes, also where its deadlines are stretched.
const LIMIT: Duration = Duration::from_secs(500);
const STRETCHED: Duration = Duration::from_secs(70);

/// Told that a scenario ended by being dropped.
pub(crate) struct Watch(#[expect(dead_code, reason = "held until the scenario ends")] mpsc::Sender<()>);

impl Watch {
    /// Ends the whole run with a failure when the scenario is not over in time: nothing after it can be trusted to run.
    pub(crate) fn start(name: &'static str, patience: u32) -> Self {
        let (running, ended) = mpsc::channel::<()>();
        let limit = LIMIT + STRETCHED * patience;
        thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                println!("FAILED {name} ({} s): never ended; {}", limit.as_secs(), hanging().join("; "));
                process::exit(1);
            }
        });
        Self(running)
    }
}

/// The descendants of this process, each thread with what it waits for in the kernel, as /proc has it.
fn hanging() -> Vec<String> {
    let (mut found, mut parents) = (Vec::new(), vec![process::id().to_string()]);
    while let Some(pid) = parents.pop() {
        let text = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks.map(|task| format!("task/{}", task.file_name().to_string_lossy())) {
            let state = text(&format!("{task}/stat"));
            let state = state.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('?');
            found.push(format!(
                "{pid} {} {state} in {} ({})",
                text(&format!("{task}/comm")).trim(),
                text(&format!("{task}/wchan")),
                text(&format!("{task}/syscall")).trim(),
            ));
            let children = text(&format!("{task}/children"));
            parents.extend(children.split_whitespace().map(str::to_owned));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_named() {
        let mut child = process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = hanging();
        let _ = child.kill();
        let _ = child.wait();
        assert!(found.iter().any(|line| line.starts_with(&format!("{} ", child.id()))), "{found:?}");
        assert!(found.iter().any(|line| line.starts_with(&format!("{} ", process::id()))), "{found:?}");
    }
}
