//! The `recorder` binary: all of it is in the library.

fn main() -> std::process::ExitCode {
    recorder::cli::main()
}
