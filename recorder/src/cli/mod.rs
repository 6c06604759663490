//! The edge: one file per subcommand; the only place for anyhow, printing and exit codes.

/// Runs the command line.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
