#![no_main]

#[allow(dead_code, reason = "one target of several")]
#[path = "../../recorder/tests/fuzz/retain.rs"]
mod retain;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Err(why) = retain::stub(input) {
        panic!("{why}");
    }
});
