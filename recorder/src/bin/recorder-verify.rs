//! The `recorder-verify` binary: what reads a journal, for those who won't install a recorder.

fn main() -> std::process::ExitCode {
    recorder::cli::reader_main()
}
