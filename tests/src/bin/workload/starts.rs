//! Programs that can't be started, files that are mapped to be executed, a 32-bit program, arguments of every length.

use std::{
    env,
    ffi::CString,
    fs::{self, File},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStrExt,
            fs::{MetadataExt, PermissionsExt},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, ensure};
use rustix::{
    mm::{MapFlags, MprotectFlags, ProtFlags},
    mount::{MountFlags, UnmountFlags},
};
use serde_json::{Value, json};

/// include/uapi/linux/sched.h.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory to work in; made when absent
    #[arg(long)]
    dir: PathBuf,
    /// First part of each argument
    #[arg(long)]
    prefix: String,
    /// Bytes of the longest list of arguments
    #[arg(long)]
    long: usize,
    /// Different programs that are not there
    #[arg(long, default_value_t = 1500)]
    names: u32,
    /// How often one of them is tried
    #[arg(long, default_value_t = 3000)]
    storm: u32,
    /// Run by itself: a thread that is no leader executes a program with this argument
    #[arg(long, hide = true)]
    from_thread: bool,
    /// Write the truth here
    #[arg(long)]
    truth: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let me = env::current_exe()?;
    if args.from_thread {
        let tag = format!("{}-thread", args.prefix);
        let thread = thread::spawn(move || Command::new(me).args(["noop", &tag]).exec());
        return Err(thread.join().map_err(|_| io::Error::other("the thread is gone"))?.into());
    }
    fs::create_dir_all(&args.dir)?;
    let dir = fs::canonicalize(&args.dir)?;
    env::set_current_dir(&dir)?;
    let failed = failures(args, &dir)?;
    let mapped = mappings(&dir)?;
    let compat = compat(&dir)?;

    // From a thread; with another name in front; by the list's whole length.
    let status = Command::new(&me)
        .args(["starts", "--from-thread", "--long", "0", "--prefix", &args.prefix])
        .arg("--dir")
        .arg(&dir)
        .arg("--truth")
        .arg("none")
        .stdin(Stdio::null())
        .status()?;
    ensure!(status.success(), "from a thread: {status}");
    let run = |command: &mut Command| -> Result<()> {
        let status = command.stdin(Stdio::null()).status()?;
        ensure!(status.success(), "a program that does nothing: {status}");
        Ok(())
    };
    by_raw_calls(&me, &dir, &format!("{}-raw-calls", args.prefix))?;
    run(Command::new(&me).arg0("-innocent").args(["noop", &format!("{}-other-name", args.prefix)]))?;
    let (mut list, mut bytes) = (Vec::new(), 0);
    while bytes < args.long {
        // Some as long as one may be, some empty, with newlines and bytes that are no text in between.
        let n = list.len();
        let word = match n % 4 {
            0 => "x".repeat((args.long - bytes).min(100_000)),
            1 => String::new(),
            2 => format!("{n}\n{n}"),
            _ => format!("{}-{n}", args.prefix),
        };
        bytes += word.len() + 1;
        list.push(word);
    }
    let tag = format!("{}-long", args.prefix);
    run(Command::new(&me).arg0("long").args(["noop", &tag]).args(&list).env_clear())?;
    let argv: Vec<&str> = ["long", "noop", &tag].into_iter().chain(list.iter().map(String::as_str)).collect();
    let bytes: usize = argv.iter().map(|word| word.len() + 1).sum();

    let truth = json!({
        "failed": failed, "mapped": mapped, "compat": compat, "program": me.to_string_lossy(),
        "argc": argv.len(), "bytes": bytes, "argv": argv,
    });
    super::tell(&truth, Some(&args.truth))?;
    Ok(())
}

/// Tries programs that can't be started; how often each, by path and errno.
fn failures(args: &Args, dir: &Path) -> Result<Value> {
    let absent = dir.join("absent");
    let refused = dir.join("refused");
    fs::write(&refused, "#!/bin/sh\n")?;
    let mut told = Vec::new();
    let mut attempt = |path: &Path, shown: &Path, count: u32| -> Result<()> {
        let mut errno = 0;
        for _ in 0..count {
            errno = Command::new(path).exec().raw_os_error().context("no errno")?;
        }
        told.push(json!({"path": shown.to_string_lossy(), "errno": errno, "count": count}));
        Ok(())
    };
    attempt(&absent, &absent, args.storm)?;
    attempt(&refused, &refused, 50)?;
    attempt(Path::new("./relative"), &dir.join("./relative"), 7)?;
    // Told apart behind the bytes that the kernel side compares.
    for end in ["a", "bb"] {
        let long = dir.join(["n".repeat(230).as_str(), end].concat());
        attempt(&long, &long, 3)?;
    }
    let here = File::open(dir)?;
    for _ in 0..5 {
        ensure!(execveat(&here, "at-a-descriptor")? == libc::ENOENT, "something is there");
    }
    told.push(
        json!({"path": dir.join("at-a-descriptor").to_string_lossy(), "errno": libc::ENOENT, "count": 5}),
    );
    // More names than are kept, last: they have no room then.
    for number in 0..args.names {
        let error = Command::new(dir.join(format!("absent-{number}"))).exec();
        ensure!(error.raw_os_error() == Some(libc::ENOENT), "absent-{number}: {error}");
    }
    Ok(json!({"each": told, "others": args.names}))
}

/// The errno of an execveat that fails.
fn execveat(dir: &File, name: &str) -> Result<i32> {
    let name = CString::new(name)?;
    let none: [*const libc::c_char; 1] = [std::ptr::null()];
    #[expect(unsafe_code, reason = "no safe interface calls execveat")]
    // SAFETY: the name is NUL-terminated and lives across the call; both lists are `none`, which ends with the null pointer.
    unsafe {
        libc::syscall(libc::SYS_execveat, dir.as_raw_fd(), name.as_ptr(), none.as_ptr(), none.as_ptr(), 0)
    };
    io::Error::last_os_error().raw_os_error().context("no errno")
}

/// Files that are mapped to be executed, at once or later, and one that is not; how often each.
#[expect(unsafe_code, reason = "mapping memory is what is tested")]
fn mappings(dir: &Path) -> Result<Value> {
    let mut told = Vec::new();
    let (read, execute) = (ProtFlags::READ, ProtFlags::READ | ProtFlags::EXEC);
    for (name, prot, later, count) in
        [("at-once.so", execute, false, 3), ("later.so", read, true, 2), ("never.so", read, false, 2)]
    {
        let path = dir.join(name);
        fs::write(&path, [0xc3_u8; 8192])?;
        let file = File::open(&path)?;
        for _ in 0..count {
            // SAFETY: a fresh mapping that nobody looks into.
            let at =
                unsafe { rustix::mm::mmap(std::ptr::null_mut(), 4096, prot, MapFlags::PRIVATE, &file, 0)? };
            if later {
                // SAFETY: that mapping.
                unsafe { rustix::mm::mprotect(at, 4096, MprotectFlags::READ | MprotectFlags::EXEC)? };
            }
            // SAFETY: that mapping, for the last time.
            unsafe { rustix::mm::munmap(at, 4096)? };
        }
        let how = match (prot == execute, later) {
            (true, _) => Some("mmap"),
            (_, true) => Some("mprotect"),
            _ => None,
        };
        let ino = file.metadata()?.ino();
        told.push(json!({"path": path.to_string_lossy(), "ino": ino, "how": how, "count": count}));
    }
    Ok(Value::from(told))
}

/// A 32-bit program that makes a file, where the kernel runs such programs.
fn compat(dir: &Path) -> Result<Value> {
    let (program, made) = (dir.join("thirty-two"), dir.join("made-by-thirty-two"));
    fs::write(&program, elf32(&made))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let told =
        |ran: bool| json!({"program": program.to_string_lossy(), "made": made.to_string_lossy(), "ran": ran});
    match Command::new(&program).stdin(Stdio::null()).status() {
        Ok(status) => {
            ensure!(status.success() && made.exists(), "the 32-bit program made no file: {status}");
            Ok(told(true))
        }
        Err(error) => {
            ensure!(error.raw_os_error() == Some(libc::ENOEXEC), "{error}");
            Ok(told(false))
        }
    }
}

/// Two ways that std does not know: born into another control group, and started by a descriptor alone.
#[expect(unsafe_code, reason = "no safe interface calls clone3 and execveat")]
fn by_raw_calls(me: &Path, dir: &Path, tag: &str) -> Result<()> {
    let groups = dir.join("groups");
    fs::create_dir(&groups)?;
    rustix::mount::mount("none", &groups, "cgroup2", MountFlags::empty(), None)?;
    let group = groups.join(dir.file_name().context("no name")?);
    fs::create_dir(&group)?;
    let (into, program) = (File::open(&group)?, File::open(me)?);
    let words = ["raw", "noop", tag].map(CString::new);
    let words: Vec<CString> = words.into_iter().collect::<Result<_, _>>()?;
    let argv: Vec<*const libc::c_char> =
        words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect();
    let none = [std::ptr::null::<libc::c_char>()];
    // struct clone_args, include/uapi/linux/sched.h: flags, five that stay zero but for the signal, and the group at the end.
    let mut how = [0_u64; 11];
    (how[0], how[4], how[10]) =
        (CLONE_INTO_CGROUP, u64::try_from(libc::SIGCHLD)?, u64::try_from(into.as_raw_fd())?);
    // SAFETY: without shared memory it is a fork; the child does nothing but the calls below.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, how.as_ptr(), size_of_val(&how)) };
    if pid == 0 {
        let (fd, empty) = (program.as_raw_fd(), c"".as_ptr());
        let flags = libc::AT_EMPTY_PATH;
        // SAFETY: strings and lists live in this process's copy of what the parent made; both lists end with the null pointer.
        unsafe { libc::syscall(libc::SYS_execveat, fd, empty, argv.as_ptr(), none.as_ptr(), flags) };
        // SAFETY: ends the child, which runs none of the parent's code.
        unsafe { libc::_exit(1) };
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid)?).context("no clone3")?;
    let status = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())?;
    ensure!(status.is_some_and(|(_, status)| status.exit_status() == Some(0)), "{status:?}");
    fs::remove_dir(&group)?;
    rustix::mount::unmount(&groups, UnmountFlags::DETACH)?;
    Ok(())
}

/// `open(path, O_CREAT | O_WRONLY, 0600); exit(0)` through int 0x80.
fn elf32(path: &Path) -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    let mut code = vec![0xb8, 5, 0, 0, 0, 0xbb];
    let code_len = 34_u32;
    code.extend((BASE + HEADERS + code_len).to_le_bytes());
    code.extend([0xb9, 0x41, 0, 0, 0, 0xba, 0x80, 1, 0, 0, 0xcd, 0x80]);
    code.extend([0xb8, 1, 0, 0, 0, 0xbb, 0, 0, 0, 0, 0xcd, 0x80]);
    code.extend(path.as_os_str().as_bytes());
    code.push(0);
    let len = HEADERS + u32::try_from(code.len()).unwrap_or(0);
    let mut out = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // ET_EXEC, EM_386, version, entry, program headers, no sections, flags; sizes and counts.
    out.extend([2, 0, 3, 0]);
    for word in [1, BASE + HEADERS, 52, 0, 0] {
        out.extend(word.to_le_bytes());
    }
    out.extend([52, 0, 32, 0, 1, 0, 40, 0, 0, 0, 0, 0]);
    // PT_LOAD of the whole file, to be read and executed.
    for word in [1, 0, BASE, BASE, len, len, 5, 0x1000] {
        out.extend(word.to_le_bytes());
    }
    out.extend(code);
    out
}
