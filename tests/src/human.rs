//! Becoming a human as a login does: the audit loginuid is set, then the first exec is that of the user's own program.

use std::{fs, io, os::unix::process::CommandExt, path::Path, process::Command};

/// Turns the calling process (root, without a loginuid) into the program of a logged-in user. Returns only on failure.
///
/// No other exec stands between: elevation is judged from the first exec after the loginuid was set (docs/sessions.md).
pub fn log_in(uid: u32, gid: u32, name: &str, home: &Path, argv: &[String]) -> io::Error {
    let Some((program, args)) = argv.split_first() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "no program given");
    };
    if let Err(error) = fs::write("/proc/self/loginuid", uid.to_string()) {
        return io::Error::new(error.kind(), format!("cannot set the loginuid: {error}"));
    }
    let term = std::env::var_os("TERM").unwrap_or_else(|| "xterm".into());
    // `uid` of a root process also drops the supplementary groups.
    Command::new(program)
        .args(args)
        .env_clear()
        .envs([
            ("HOME", home.as_os_str()),
            ("USER", name.as_ref()),
            ("LOGNAME", name.as_ref()),
            ("TERM", &term),
        ])
        .envs([("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"), ("LANG", "C.UTF-8")])
        .current_dir(home)
        .gid(gid)
        .uid(uid)
        .exec()
}

/// Whether this kernel gives processes a loginuid at all.
pub fn can_log_in() -> bool {
    Path::new("/proc/self/loginuid").exists()
}

/// Becomes root for good, from a setuid-root copy of the calling program, and runs `argv`. Returns only on failure.
pub fn elevate(argv: &[String]) -> io::Error {
    let Some((program, args)) = argv.split_first() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "no program given");
    };
    Command::new(program).args(args).gid(0).uid(0).exec()
}
