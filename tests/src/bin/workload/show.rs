//! Terminal output: text, colours, cursor movement and wide characters, the same for the same seed; counted and hashed
//! both as written and as a terminal driver shows it.

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Result;
use recorder_tests::truth::{Tally, as_shown};
use serde_json::json;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// At least so many bytes
    #[arg(long, default_value_t = 10_000_000)]
    bytes: u64,
    /// Another text for another number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the truth here (standard output is the load)
    #[arg(long)]
    truth: PathBuf,
}

/// Marsaglia's xorshift64: no quality needed, only the same bytes everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

const WORDS: &[&str] = &[
    "systemd",
    "unit",
    "nginx",
    "restarted",
    "error",
    "warning",
    "GET",
    "/var/lib",
    "0x7f3c",
    "naïve",
    "日本語",
    "☃",
    "ok",
    "denied",
    "disk",
    "eth0",
    "127.0.0.1",
    "timeout",
];

/// One line of the load, as a program writes it.
pub(crate) fn line(dice: &mut Dice, number: u64, out: &mut String) {
    let _ = write!(out, "{number:08} ");
    match dice.below(16) {
        0 => {
            let _ = write!(out, "\x1b[{}m", 30 + dice.below(8));
        }
        1 => out.push_str("\x1b[1m"),
        2 => {
            let _ = write!(out, "\x1b[{}G", 1 + dice.below(70));
        }
        3 => out.push('\t'),
        _ => {}
    }
    for _ in 0..dice.below(12) {
        let pick = usize::try_from(dice.below(u64::try_from(WORDS.len()).unwrap_or(1))).unwrap_or(0);
        out.push_str(WORDS.get(pick).copied().unwrap_or("-"));
        out.push(' ');
    }
    out.push_str("\x1b[0m\n");
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let (mut written, mut shown) = (Tally::default(), Tally::default());
    let mut dice = Dice::new(args.seed);
    let mut block = String::from("\x1b[H\x1b[2J\x1b[3J");
    let mut number = 0u64;
    let mut last = false;
    while !last {
        while block.len() < 8192 {
            line(&mut dice, number, &mut block);
            number += 1;
        }
        last = written.bytes() + u64::try_from(block.len())? >= args.bytes;
        if last {
            // A last screen whose every part matters: moved cursor, colours, a line that wraps.
            let _ = write!(
                block,
                "\x1b[2J\x1b[5;10H\x1b[7mseed {}\x1b[0m\x1b[10;1H{}",
                args.seed,
                "wrap ".repeat(40)
            );
        }
        stdout.write_all(block.as_bytes())?;
        stdout.flush()?;
        written.add(block.as_bytes());
        shown.add(&as_shown(block.as_bytes()));
        block.clear();
    }
    let truth = json!({
        "lines": number, "written": written.bytes(), "written_sha256": written.sha256(),
        "shown": shown.bytes(), "shown_sha256": shown.sha256(),
    });
    super::tell(&truth, Some(&args.truth))?;
    Ok(())
}
