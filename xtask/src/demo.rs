//! `cargo xtask demo`: a person logs in, becomes root, works, leaves; then what was recorded is shown and proved.

mod person;
mod show;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use recorder_tests::{
    account::{Account, Sudo, random_word},
    human,
    janitor::Janitor,
    recorder::Site,
};

use crate::{EXIT_MISSING, build, build_ebpf, packages, setup::SESSION, sh};

/// How long any one step may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the recorder may take to load its programs.
const START: Duration = Duration::from_mins(1);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Record a shell of your own on this terminal instead of the scripted person
    #[arg(long)]
    interactive: bool,
}

/// What the demonstration runs itself as, on the other terminal.
#[derive(clap::Args)]
pub(crate) struct LogIn {
    uid: u32,
    gid: u32,
    name: String,
    home: PathBuf,
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    argv: Vec<String>,
}

/// Becomes the person; only comes back when that fails.
pub(crate) fn log_in(args: &LogIn) -> Result<ExitCode> {
    Err(human::log_in(args.uid, args.gid, &args.name, &args.home, &args.argv)).context("cannot log in")
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if let Some(missing) = lacking() {
        return sample(&missing);
    }
    packages::ensure("demonstration", SESSION)?;
    build_ebpf::build(None)?;
    let recorder = build::programs(build::Finish::Suite)?.recorder;

    let dir = scratch()?;
    let mut janitor = Janitor::start()?;
    let site = Site::prepare(&recorder, &dir, "auto")?;
    println!("\ndemo: starting the recorder on {}", kernel());
    let mut running = site.launch()?;
    janitor.watch(running.child())?;
    let pid = running.child().id();
    if let Err(error) = running.wait_ready(START) {
        janitor.forget(pid)?;
        if running.end(PATIENCE).is_ok_and(|(status, _)| status.code() == Some(EXIT_MISSING.into())) {
            return sample(&format!("this kernel: {error:#}"));
        }
        return Err(error);
    }
    for line in running.said().lines() {
        println!("    {line}");
    }

    let secrets = if args.interactive {
        own_shell(&mut janitor)?;
        Vec::new()
    } else {
        let account = Account::create(&mut janitor, "demo", Sudo::WithPassword)?;
        let token = random_word()?;
        println!(
            "\ndemo: {} (uid {}) logs in, becomes root with sudo, works, leaves",
            account.name, account.uid
        );
        person::work(&account, &dir, &token, PATIENCE)?;
        vec![
            ("the password typed at sudo's prompt", account.password.clone()),
            ("the secret typed at a hidden prompt", token),
        ]
    };

    println!("\ndemo: stopping the recorder");
    running.stop(PATIENCE)?;
    janitor.forget(pid)?;
    // The account goes before anything is shown: a reader that is left open must not keep it.
    drop(janitor);
    show::journal(&recorder, &site.journal)?;
    show::secrets(&site, &secrets)?;
    println!("\nThe journal lies in {}", site.journal.display());
    println!("Look again: {} timeline last --journal {}", recorder.display(), site.journal.display());
    Ok(ExitCode::SUCCESS)
}

/// What this machine lacks for recording, in words.
fn lacking() -> Option<String> {
    if !sh::is_root() {
        return Some("root: kernel programs can't be loaded without it (try sudo)".to_owned());
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("/sys/kernel/btf/vmlinux: this kernel was built without BTF".to_owned());
    }
    (!human::can_log_in()).then(|| "/proc/self/loginuid: this kernel was built without audit".to_owned())
}

/// The recorded sample from the repository, shown by the same commands.
fn sample(missing: &str) -> Result<ExitCode> {
    println!("demo: nothing can be recorded here; missing: {missing}");
    let sample = sh::root().join("tests/fixtures/sample-journal");
    if !sample.is_dir() {
        println!("demo: the repository has no sample journal at tests/fixtures/sample-journal");
        return Ok(ExitCode::from(EXIT_MISSING));
    }
    println!("demo: this is the sample journal from the repository instead");
    // The readers need no kernel programs, so a machine that can't build those still shows the sample.
    let recorder = build::programs(build::Finish::Suite)?.recorder;
    show::journal(&recorder, &sample)?;
    Ok(ExitCode::from(EXIT_MISSING))
}

/// A root shell of the caller on his own terminal. Who is root without having been somebody before gets a throw-away
/// name: a session is what a person does with more rights than he logged in with.
fn own_shell(janitor: &mut Janitor) -> Result<()> {
    let caller = env::var("SUDO_USER").ok().filter(|name| name != "root");
    let (name, uid, gid, home) = if let Some(name) = caller {
        let (uid, gid, home) = entry(&name)?;
        (name, uid, gid, PathBuf::from(home))
    } else {
        let account = Account::create(janitor, "demo", Sudo::Free)?;
        (account.name, account.uid, account.gid, account.home)
    };
    println!("\ndemo: this is a recorded root shell for {name}; leave it with `exit`\n");
    let mut command = Command::new(env::current_exe()?);
    command.args(["log-in", &uid.to_string(), &gid.to_string(), &name]).arg(&home).args(["sudo", "-i"]);
    // The terminal belongs to the shell's job from now on; an interrupt is the shell's, not ours.
    command.stdin(Stdio::inherit());
    let mut child = command.spawn().context("cannot start a shell")?;
    janitor.watch(&child)?;
    let pid = child.id();
    let status = child.wait()?;
    janitor.forget(pid)?;
    println!("\ndemo: the shell ended with {status}");
    Ok(())
}

fn entry(name: &str) -> Result<(u32, u32, String)> {
    let line = sh::output(Command::new("getent").args(["passwd", name]))?;
    let fields: Vec<_> = line.trim().split(':').collect();
    let [_, _, uid, gid, _, home, _] = fields.as_slice() else { bail!("no account {name}") };
    Ok((uid.parse()?, gid.parse()?, (*home).to_owned()))
}

/// A new directory that stays: the journal in it is what the caller may look at afterwards.
fn scratch() -> Result<PathBuf> {
    let dir = env::temp_dir().join(format!("recorder-demo-{}", std::process::id()));
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(dir)
}

fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}
