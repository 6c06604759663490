//! `cargo run -p recorder --example fuzz_seeds`: writes the first inputs of the targets `stub` and `permit` into fuzz/corpus,
//! for libFuzzer; fuzz/seeds.py does so for the journal's.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests are tests"
)]

#[path = "../tests/fuzz/seeds.rs"]
mod seeds;

use std::{fs, path::Path};

use recorder::journal::key::sha256;

fn main() {
    for (target, all) in [("stub", seeds::stub()), ("permit", seeds::permit())] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        fs::create_dir_all(&dir).unwrap();
        for input in &all {
            fs::write(dir.join(sha256(input).to_string()), input).unwrap();
        }
        println!("{target}: {}", all.len());
    }
}
