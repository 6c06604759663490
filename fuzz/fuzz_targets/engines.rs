#![no_main]

#[allow(dead_code, reason = "one target of several")]
#[path = "../../recorder/tests/fuzz/handover.rs"]
mod handover;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Err(why) = handover::engines(input) {
        panic!("{why}");
    }
});
