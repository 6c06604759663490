//! Mutated input for every parser of grants and of the journal: nothing panics, nothing takes longer than its length allows, and what is read
//! means the same when it is written again.
//!
//! Deterministic: a seed and a number give one input. A few hundred of each belong to every run; `cargo xtask fuzz` goes on
//! for as long as it is asked to, and leaves what it finds in recorder/tests/corpus/TARGET, which every run tries first.
//! There is no coverage to steer by, so the mutations know the forms: lines, quoted texts, numbers, base64 bodies,
//! length-prefixed fields. The journal's parsers are steered by coverage elsewhere (fuzz/, libFuzzer); here their corpora are
//! tried again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests are tests"
)]

#[path = "fuzz/handover.rs"]
mod handover;
#[path = "fuzz/journal.rs"]
#[allow(dead_code, reason = "libFuzzer's targets need more of it")]
mod journal;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/retain.rs"]
mod retain;
#[path = "fuzz/seeds.rs"]
mod seeds;
#[path = "fuzz/targets.rs"]
mod targets;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

use mutate::Mutator;
use rustix::time::{ClockId, clock_gettime};
use targets::{TARGETS, Target};

/// Processor time of this thread: a busy machine doesn't make an input slow.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// What an input may take: a signature or three, and so much a byte. An unoptimized build is a hundred times slower than
/// what is shipped; what is quadratic goes far beyond at 64 KiB.
fn allowed(len: usize) -> Duration {
    Duration::from_millis(150) + Duration::from_micros(8) * u32::try_from(len).unwrap()
}

/// Where a target's inputs are kept: those that coverage chose lie with libFuzzer's targets.
fn corpus(target: &Target) -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let steered = here.join("../fuzz/corpus").join(target.name);
    if steered.is_dir() { steered } else { here.join("tests/corpus").join(target.name) }
}

/// One input; says what is wrong.
fn one(target: &Target, input: &[u8]) -> Result<(), String> {
    let before = spent();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let took = spent().saturating_sub(before);
    match outcome {
        Err(_) => Err("it panicked".to_owned()),
        Ok(Err(why)) => Err(why),
        Ok(Ok(())) if took > allowed(input.len()) => Err(format!("{} bytes took {took:?}", input.len())),
        Ok(Ok(())) => Ok(()),
    }
}

/// Runs a target until the time or the number is over; gives how many inputs that were.
fn drive(target: &Target, seed: u64, time: Option<Duration>, most: u64) -> u64 {
    let mut seeds = (target.seeds)();
    let mut found = Vec::new();
    for entry in fs::read_dir(corpus(target)).into_iter().flatten() {
        let input = fs::read(entry.unwrap().path()).unwrap();
        if let Err(why) = one(target, &input) {
            found.push((input.clone(), why));
        }
        seeds.push(input);
    }
    for seed in &seeds {
        one(target, seed).unwrap_or_else(|why| panic!("{}: a seed: {why}", target.name));
    }
    let (started, mut count) = (Instant::now(), 0);
    assert!(!seeds.is_empty(), "{}: nothing to begin with", target.name);
    let mut mutator = Mutator::new(seed);
    while found.is_empty() && count < most && time.is_none_or(|time| started.elapsed() < time) {
        let input = mutator.input(&seeds);
        count += 1;
        if let Err(why) = one(target, &input) {
            found.push((input, why));
        }
    }
    if let Some((input, why)) = found.first() {
        let dir = corpus(target);
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join(format!("{seed:x}-{count}"));
        fs::write(&path, input).unwrap();
        panic!("{}: {why}; the input is {}", target.name, path.display());
    }
    count
}

/// The part of every run. With `RECORDER_FUZZ=TARGET:SECONDS` it is that target for that long, from another seed each time.
#[test]
fn no_input_breaks_a_parser() {
    if let Ok(asked) = std::env::var("RECORDER_FUZZ") {
        let (name, seconds) = asked.split_once(':').expect("TARGET:SECONDS");
        let seconds = seconds.parse().expect("TARGET:SECONDS");
        let target = TARGETS.iter().find(|target| target.name == name);
        let target = target.unwrap_or_else(|| panic!("no target {name}"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = now.as_secs() << 8 | 1;
        let count = drive(target, seed, Some(Duration::from_secs(seconds)), u64::MAX);
        println!("fuzz {name}: {count} inputs in {seconds} s, seed {seed:#x}");
        return;
    }
    for target in TARGETS {
        drive(target, 0x5eed, None, target.share);
    }
}

/// Twice the input takes about twice the time, for the forms in which a parser could go back to where it was.
#[test]
fn parsers_are_linear() {
    for (target, make) in targets::long() {
        let target = TARGETS.iter().find(|known| known.name == target).unwrap();
        let time = |n: usize| {
            let input = make(n);
            let tries = (0..3).map(|_| {
                let before = spent();
                (target.run)(&input).unwrap();
                spent().saturating_sub(before)
            });
            (input.len(), tries.min().unwrap())
        };
        let ((short, quick), (long, slow)) = (time(1 << 10), time(16 << 10));
        let times = u32::try_from(long.div_ceil(short)).unwrap();
        // A quarter of quadratic, and what a clock can't tell anyway.
        assert!(
            slow < quick * times * times / 4 + Duration::from_millis(30),
            "{}: {short} bytes {quick:?}, {long} bytes {slow:?}",
            target.name
        );
    }
}
