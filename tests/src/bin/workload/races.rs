//! Programs whose arguments and paths are changed while they are started, or that lie where nobody looks. Each tells what it got.

use std::{
    env,
    ffi::{CString, OsStr},
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, ensure};
use rustix::{
    fs::{CWD, RenameFlags},
    mm::{MapFlags, ProtFlags},
    mount::{MountFlags, UnmountFlags},
};
use serde_json::{Value, json};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory to work in; made when absent
    #[arg(long)]
    dir: PathBuf,
    /// First part of each argument
    #[arg(long)]
    prefix: String,
    /// How often each race is run
    #[arg(long, default_value_t = 8)]
    rounds: u32,
    /// Write the truth here
    #[arg(long)]
    truth: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct Told {
    /// Write there what this program was given
    file: PathBuf,
    /// Whatever
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<std::ffi::OsString>,
}

/// What this process is, by the kernel: its file and its arguments.
pub(crate) fn tell(args: &Told) -> Result<()> {
    let program = fs::read_link("/proc/self/exe")?;
    let argv: Vec<String> = env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    debug_assert_eq!(args.rest.len() + 3, argv.len());
    super::tell(&json!({"program": program.to_string_lossy(), "argv": argv}), Some(&args.file))?;
    Ok(())
}

pub(crate) fn run(args: &Args) -> Result<()> {
    fs::create_dir_all(&args.dir)?;
    let dir = fs::canonicalize(&args.dir)?;
    let me = env::current_exe()?;
    let mut all = Vec::new();
    for round in 0..args.rounds {
        all.push(rewritten(&me, &dir, &format!("{}-race-{round}-", args.prefix))?);
    }
    for name in ["one", "two"] {
        fs::copy(&me, dir.join(name))?;
        symlink(dir.join(name), dir.join(format!("to-{name}")))?;
    }
    for round in 0..args.rounds {
        all.push(swapped(&dir, &format!("{}-swap-{round}", args.prefix))?);
    }
    all.push(not_resident(&me, &dir, &format!("{}-paged-out", args.prefix))?);
    let places = places(&me, &dir, &args.prefix, &mut all)?;

    // Another name for the whole process: what it does is still tied to what it executes.
    fs::write("/proc/self/comm", "innocent")?;
    let renamed = dir.join("under-another-name");
    File::create(&renamed)?;
    let truth = json!({
        "all": all, "places": places, "renamed": renamed.to_string_lossy(), "program": me.to_string_lossy(),
        "pid": std::process::id(),
    });
    super::tell(&truth, Some(&args.truth))?;
    Ok(())
}

/// Starts a program with these words, as they lie in memory at that moment; gives what it told.
fn spawn(program: &Path, words: &[*const libc::c_char], said: &Path) -> Result<Value> {
    let path = CString::new(program.as_os_str().as_bytes())?;
    let argv: Vec<*mut libc::c_char> =
        words.iter().map(|word| word.cast_mut()).chain([std::ptr::null_mut()]).collect();
    let none = [std::ptr::null_mut()];
    let mut pid = 0;
    #[expect(unsafe_code, reason = "no safe interface passes memory that changes meanwhile")]
    // SAFETY: all words end with a zero that nobody changes, and live across the call; both lists end with the null pointer.
    let failed = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            path.as_ptr(),
            std::ptr::null(),
            std::ptr::null(),
            argv.as_ptr(),
            none.as_ptr(),
        )
    };
    ensure!(failed == 0, "{}: {}", program.display(), io::Error::from_raw_os_error(failed));
    let pid = rustix::process::Pid::from_raw(pid).context("no process")?;
    let status = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())?;
    ensure!(status.is_some_and(|(_, status)| status.exit_status() == Some(0)), "{status:?}");
    let told = serde_json::from_slice(&fs::read(said)?)?;
    fs::remove_file(said)?;
    Ok(told)
}

fn words(said: &Path) -> Result<Vec<CString>> {
    let words = [OsStr::new("raced"), OsStr::new("told"), said.as_os_str()];
    words.into_iter().map(|word| Ok(CString::new(word.as_bytes())?)).collect()
}

/// An argument that another thread writes to without end.
fn rewritten(me: &Path, dir: &Path, prefix: &str) -> Result<Value> {
    let said = dir.join("said");
    let text: Vec<u8> = [prefix.as_bytes(), &[b'A'; 512], &[0]].concat();
    let memory: Arc<Vec<AtomicU8>> = Arc::new(text.into_iter().map(AtomicU8::new).collect());
    let over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (memory, over, first) = (Arc::clone(&memory), Arc::clone(&over), prefix.len());
        thread::spawn(move || {
            let mut byte = b'A';
            while !over.load(Ordering::Relaxed) {
                byte = if byte == b'A' { b'B' } else { b'A' };
                memory.iter().skip(first).take(512).for_each(|at| at.store(byte, Ordering::Relaxed));
            }
        })
    };
    let words = words(&said)?;
    let raced = memory.as_ptr().cast::<libc::c_char>();
    let told = spawn(me, &words.iter().map(|word| word.as_ptr()).chain([raced]).collect::<Vec<_>>(), &said);
    over.store(true, Ordering::Relaxed);
    writer.join().map_err(|_| io::Error::other("the writer is gone"))?;
    told
}

/// A path whose last link is exchanged without end.
fn swapped(dir: &Path, tag: &str) -> Result<Value> {
    let (said, one, two) = (dir.join("said"), dir.join("to-one"), dir.join("to-two"));
    let over = Arc::new(AtomicBool::new(false));
    let swapper = {
        let (over, one, two) = (Arc::clone(&over), one.clone(), two);
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let _ = rustix::fs::renameat_with(CWD, &one, CWD, &two, RenameFlags::EXCHANGE);
            }
        })
    };
    let words = words(&said)?;
    let tag = CString::new(tag)?;
    let told = spawn(&one, &words.iter().chain([&tag]).map(|word| word.as_ptr()).collect::<Vec<_>>(), &said);
    over.store(true, Ordering::Relaxed);
    swapper.join().map_err(|_| io::Error::other("the swapper is gone"))?;
    told
}

/// An argument on a page of a file that nobody has touched.
fn not_resident(me: &Path, dir: &Path, tag: &str) -> Result<Value> {
    let (said, file) = (dir.join("said"), dir.join("words"));
    fs::write(&file, [tag.as_bytes(), &[0; 8192]].concat())?;
    let file = File::open(&file)?;
    #[expect(unsafe_code, reason = "a mapping that is not in memory is what is tested")]
    // SAFETY: a fresh private mapping of a file that ends with zeros and that nobody writes to.
    let at = unsafe {
        rustix::mm::mmap(std::ptr::null_mut(), 4096, ProtFlags::READ, MapFlags::PRIVATE, &file, 0)?
    };
    let words = words(&said)?;
    let words: Vec<_> = words.iter().map(|word| word.as_ptr()).chain([at.cast_const().cast()]).collect();
    spawn(me, &words, &said)
}

/// From a file system in memory, from an overlay where the kernel has one, and after its name is gone.
fn places(me: &Path, dir: &Path, prefix: &str, all: &mut Vec<Value>) -> Result<Value> {
    let memory = dir.join("memory");
    fs::create_dir(&memory)?;
    rustix::mount::mount("none", &memory, "tmpfs", MountFlags::empty(), None)?;
    let run = |program: &Path, tag: &str| -> Result<Value> {
        let said = dir.join("said");
        let status = Command::new(program)
            .arg("told")
            .arg(&said)
            .arg(format!("{prefix}-{tag}"))
            .stdin(Stdio::null())
            .status()
            .with_context(|| program.display().to_string())?;
        ensure!(status.success(), "{}: {status}", program.display());
        let told = serde_json::from_slice(&fs::read(&said)?)?;
        fs::remove_file(&said)?;
        Ok(told)
    };
    let program = memory.join("in-memory");
    fs::copy(me, &program)?;
    all.push(run(&program, "memory")?);
    let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|name| memory.join(name));
    for dir in [&lower, &upper, &work, &merged] {
        fs::create_dir(dir)?;
    }
    fs::copy(me, lower.join("below"))?;
    let [below, above, beside] = [&lower, &upper, &work].map(|path| path.display().to_string());
    let options = CString::new(format!("lowerdir={below},upperdir={above},workdir={beside}"))?;
    let overlay =
        rustix::mount::mount("none", &merged, "overlay", MountFlags::empty(), Some(options.as_c_str()))
            .is_ok();
    if overlay {
        all.push(run(&merged.join("below"), "overlay")?);
        rustix::mount::unmount(&merged, UnmountFlags::DETACH)?;
    }
    rustix::mount::unmount(&memory, UnmountFlags::DETACH)?;
    Ok(json!({"overlay": overlay}))
}
