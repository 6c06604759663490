//! Odd bytes, as a clumsy or hostile person makes them: names and arguments that are no text, far too long, empty or absent.

use std::{
    env,
    ffi::{CString, OsStr, OsString},
    fs::{self, File},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        process::CommandExt,
    },
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::json;

/// Linux allows 128 KiB for one argument (MAX_ARG_STRLEN); this stays below.
const HUGE: usize = 120 * 1024;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory to work in; made when absent
    #[arg(long)]
    dir: PathBuf,
    /// First part of each argument
    #[arg(long)]
    prefix: String,
    /// Run by itself: replace this process by one without any argument
    #[arg(long, hide = true)]
    no_arguments: Option<PathBuf>,
    /// Write the truth here instead of printing it
    #[arg(long)]
    truth: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(program) = &args.no_arguments {
        return without_arguments(program);
    }
    fs::create_dir_all(&args.dir)?;
    let dir = fs::canonicalize(&args.dir)?;
    let prefix = &args.prefix;

    // Names: invalid UTF-8, a newline, an escape sequence, the longest one.
    let names: [&[u8]; 4] = [b"caf\xe9-\xff\xfe", b"two\nlines", b"\x1b[31mred\x07", &[b'n'; 255]];
    for name in names {
        let path = dir.join(OsStr::from_bytes(name));
        File::create(&path).context("odd name")?;
        fs::remove_file(&path)?;
    }
    let deep = deep_file(&dir, prefix)?;

    // Arguments: not UTF-8, empty, huge, many.
    noop(&[
        os(format!("{prefix}-bytes").as_bytes()),
        os(b"caf\xe9\xff"),
        os(b""),
        os(b"a\nb"),
        os(b"\x1b]0;t\x07"),
    ])?;
    let mut huge = format!("{prefix}-huge-").into_bytes();
    huge.resize(HUGE, b'h');
    noop(&[os(&huge)])?;
    let mut many = vec![os(format!("{prefix}-many").as_bytes())];
    many.extend((0..20_000).map(|n| os(format!("m{n}").as_bytes())));
    noop(&many)?;

    // No argument at all: the kernel makes it one empty argument since 5.18; this program then prints its usage.
    let copy = dir.join(format!("{prefix}-argc0"));
    fs::copy(env::current_exe()?, &copy)?;
    let status = Command::new(env::current_exe()?)
        .args(["odd", "--prefix", prefix, "--dir"])
        .arg(&dir)
        .arg("--no-arguments")
        .arg(&copy)
        .stderr(Stdio::null())
        .status()?;
    fs::remove_file(&copy)?;

    let truth = json!({
        "dir": dir.to_string_lossy(), "deep": deep.len(), "deep_tail": format!("{prefix}-bottom"), "huge": HUGE, "many": 20_000,
        "argc0": copy.to_string_lossy(), "argc0_code": status.code(),
    });
    super::tell(&truth, args.truth.as_ref())?;
    Ok(())
}

/// A file whose path is longer than PATH_MAX, reached step by step; everything is removed again.
fn deep_file(dir: &std::path::Path, prefix: &str) -> Result<Vec<u8>> {
    let part = "d".repeat(200);
    let mut path = dir.as_os_str().as_bytes().to_vec();
    env::set_current_dir(dir)?;
    let mut depth = 0;
    while path.len() < 5000 {
        fs::create_dir(&part)?;
        env::set_current_dir(&part)?;
        path.push(b'/');
        path.extend(part.bytes());
        depth += 1;
    }
    let name = format!("{prefix}-bottom");
    File::create(&name).context("deep file")?;
    fs::remove_file(&name)?;
    path.push(b'/');
    path.extend(name.bytes());
    for _ in 0..depth {
        env::set_current_dir("..")?;
        fs::remove_dir(&part)?;
    }
    Ok(path)
}

fn noop(args: &[OsString]) -> Result<()> {
    let status = Command::new(env::current_exe()?)
        .arg("noop")
        .arg("--")
        .args(args)
        .stdin(Stdio::null())
        .status()
        .context("noop")?;
    if !status.success() {
        bail!("noop ended with {status}");
    }
    Ok(())
}

fn os(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

/// std cannot leave out the program's own name, and that is just what an attacker does.
fn without_arguments(program: &std::path::Path) -> Result<()> {
    let path = CString::new(program.as_os_str().as_bytes())?;
    let none: [*const libc::c_char; 1] = [std::ptr::null()];
    #[expect(unsafe_code, reason = "no safe interface executes a program with an empty argument list")]
    // SAFETY: `path` is NUL-terminated and lives across the call; both lists are `none`, which ends with the null pointer.
    unsafe {
        libc::execve(path.as_ptr(), none.as_ptr(), none.as_ptr())
    };
    let error = std::io::Error::last_os_error();
    // Some kernels refuse; the caller sees the code and expects nothing then.
    Err(Command::new("false").exec()).context(error)
}
