#![no_main]

#[allow(dead_code, reason = "one target of several")]
#[path = "../../recorder/tests/fuzz/journal.rs"]
mod journal;

libfuzzer_sys::fuzz_target!(|input: &[u8]| journal::must(journal::note(input)));
