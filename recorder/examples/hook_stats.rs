//! What the kernel says that a recorder's programs cost: for each line on standard input one line of JSON with the runs and
//! nanoseconds of every program that process PID holds, since the kernel began to count. It counts from our start to our end, whatever
//! that is: the descriptor that asks for it is ours. Read by `cargo xtask bench --hooks`.
//!
//!     hook_stats PID

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, BufRead as _, Write as _},
};

use aya::{
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pid: u32 = env::args().nth(1).ok_or("hook_stats PID")?.parse()?;
    let ids = programs_of(pid)?;
    let _counting = enable_stats(Stats::RunTime)?;
    for line in io::stdin().lock().lines() {
        line?;
        let mut parts = Vec::new();
        for program in loaded_programs() {
            let program = program?;
            if ids.contains(&program.id()) {
                let name = program.name_as_str().unwrap_or("?");
                let (runs, ns) = (program.run_count(), program.run_time().as_nanos());
                parts.push(format!("{{\"name\":\"{name}\",\"runs\":{runs},\"ns\":{ns}}}"));
            }
        }
        let mut out = io::stdout().lock();
        writeln!(out, "[{}]", parts.join(","))?;
        out.flush()?;
    }
    Ok(())
}

/// By what its descriptors say of themselves.
fn programs_of(pid: u32) -> io::Result<BTreeSet<u32>> {
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let id = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
        ids.extend(id.and_then(|id| id.trim().parse::<u32>().ok()));
    }
    Ok(ids)
}
