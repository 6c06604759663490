//! Embeds the BPF object that `cargo xtask build-ebpf` made. Never runs cargo inside cargo.

use std::{env, fs, path::PathBuf};

fn main() {
    if env::var_os("CARGO_FEATURE_SERVICE").is_none() {
        return;
    }
    println!("cargo:rerun-if-env-changed=RECORDER_EBPF_OBJECT");
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let object = env::var_os("RECORDER_EBPF_OBJECT")
        .map_or_else(|| manifest.join("../target/bpf/recorder.bpf.o"), PathBuf::from);
    println!("cargo:rerun-if-changed={}", object.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("recorder.bpf.o");
    // Without an object the readers still build and work; `recorder run` then says what is missing.
    let bytes = fs::read(&object).unwrap_or_default();
    if bytes.is_empty() {
        println!(
            "cargo:warning=no BPF object at {}: `recorder run` will refuse; run `cargo xtask build`",
            object.display()
        );
    }
    fs::write(out, bytes).unwrap_or_else(|e| {
        println!("cargo::error=cannot write the embedded BPF object: {e}");
    });
}
