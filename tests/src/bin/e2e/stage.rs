//! What a scenario stands on: a scratch directory, accounts, an elevated session, a recorder, and clean-up.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use recorder_tests::{
    account::{Account, Sudo},
    human,
    janitor::Janitor,
    journal::Events,
    proc,
    pty::{Terminal, on_terminal},
    recorder::{Running, Site},
};
use serde_json::Value;

use crate::Place;

/// The width and height of terminals here: unlike the usual 80 by 24, so that a default shows.
pub(crate) const SIZE: (u16, u16) = (101, 31);

/// What is the same for all scenarios of a run.
pub(crate) struct World {
    pub(crate) recorder: PathBuf,
    workload: PathBuf,
    pub(crate) backend: String,
    patience: u32,
    share: u32,
    crashes: Option<u32>,
    whole: bool,
    root: bool,
    accounts: bool,
    sshd: Option<PathBuf>,
}

impl World {
    pub(crate) fn discover(recorder: &Path, workload: Option<&Path>, backend: &str) -> Result<Self> {
        let beside = env::current_exe()?.with_file_name("recorder-workload");
        let workload = workload.map_or(beside, Path::to_path_buf);
        ensure!(workload.is_file(), "no workload program at {}", workload.display());
        let recorder =
            fs::canonicalize(recorder).with_context(|| format!("no recorder at {}", recorder.display()))?;
        let has = |paths: &[&str]| paths.iter().all(|path| Path::new(path).exists());
        Ok(Self {
            recorder,
            workload,
            backend: backend.to_owned(),
            patience: 1,
            share: 1,
            crashes: None,
            whole: false,
            root: rustix::process::geteuid().is_root(),
            accounts: has(&["/usr/bin/sudo", "/usr/sbin/useradd", "/etc/sudoers.d"]) && has(&["/usr/bin/su"]),
            sshd: Some(PathBuf::from("/usr/sbin/sshd")).filter(|path| path.exists()),
        })
    }

    /// With this factor on every deadline, and this divisor of the counted loads; `whole`: with what is the same on every kernel.
    pub(crate) fn with(mut self, patience: u32, share: u32, crashes: Option<u32>, whole: bool) -> Self {
        (self.patience, self.share, self.crashes, self.whole) = (patience, share, crashes, whole);
        self
    }

    /// Everything is many times slower here than on a machine of its own.
    fn is_emulated(&self) -> bool {
        self.patience >= 10
    }

    /// Why a scenario has its place on another machine.
    pub(crate) fn misplaced(&self, place: Place) -> Option<&'static str> {
        match place {
            Place::Once if self.is_emulated() && !self.whole => {
                Some("the same on every kernel; runs natively and on one machine")
            }
            Place::Accounts | Place::Sshd if !self.accounts => {
                Some("no sudo and useradd here; runs natively")
            }
            Place::Alone if !crate::liveness::alone() => {
                Some("changes clocks and kernel settings; runs in a machine of its own")
            }
            Place::Disks if !disks() => Some("no loop devices, mkfs.ext4 or fsfreeze here; runs natively"),
            Place::Sshd if self.sshd.is_none() => Some("no sshd here; runs natively"),
            _ => None,
        }
    }

    /// What this machine lacks for recording.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        if !self.root {
            return Some("needs root");
        }
        if !Path::new("/sys/kernel/btf/vmlinux").exists() {
            return Some("this kernel has no BTF");
        }
        (!human::can_log_in()).then_some("this kernel has no loginuid")
    }
}

/// A file system of one's own can be made, and frozen.
fn disks() -> bool {
    Path::new("/dev/loop-control").exists() && ["mkfs.ext4", "fsfreeze"].into_iter().all(proc::on_path)
}

/// A scenario's own place.
pub(crate) struct Stage<'w> {
    pub(crate) world: &'w World,
    pub(crate) dir: PathBuf,
    pub(crate) site: Site,
    pub(crate) janitor: Janitor,
    /// Unique in the whole run and in any argument or name.
    pub(crate) mark: String,
    bin: PathBuf,
}

impl<'w> Stage<'w> {
    pub(crate) fn set(world: &'w World, name: &str) -> Result<Self> {
        let dir = env::temp_dir().join(format!("recorder-e2e-{}-{name}", process::id()));
        fs::create_dir_all(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        // The checkout may lie where a throw-away user can't look.
        let bin = dir.join("bin");
        fs::create_dir(&bin)?;
        fs::copy(&world.workload, bin.join("workload"))?;
        if world.root {
            fs::copy(&world.workload, bin.join("become-root"))?;
            fs::set_permissions(bin.join("become-root"), fs::Permissions::from_mode(0o4755))?;
        }
        let site = Site::prepare(&world.recorder, &dir, &world.backend)?;
        let mark = format!("m{}", recorder_tests::account::random_word()?);
        Ok(Self { world, dir, site, janitor: Janitor::start()?, mark, bin })
    }

    /// Takes everything down; a failed one can be kept to be looked at.
    pub(crate) fn strike(self, keep: bool) {
        drop(self.janitor);
        if keep {
            println!("  kept: {}", self.dir.display());
        } else {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }

    /// A deadline of so many seconds on a machine of usual speed.
    pub(crate) fn limit(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds) * self.world.patience
    }

    /// So many operations, or the share of them that was asked for.
    pub(crate) fn count(&self, full: u32) -> u32 {
        full / self.world.share
    }

    /// How often the recorder is killed, if that was asked for.
    pub(crate) fn crashes(&self) -> Option<u32> {
        self.world.crashes
    }

    /// Everything is many times slower here than on a machine of its own.
    pub(crate) fn is_emulated(&self) -> bool {
        self.world.is_emulated()
    }

    pub(crate) fn workload(&self) -> String {
        self.bin.join("workload").display().to_string()
    }

    /// A recorder that is ready.
    pub(crate) fn record(&self) -> Result<Running> {
        self.site.start(self.limit(60))
    }

    /// Stops the recorder, and gives the records of a journal that must be whole and without loss.
    pub(crate) fn finish(&self, running: Running) -> Result<Events> {
        running.stop(self.limit(60))?;
        self.whole()?;
        let events = Events::load(&self.site)?;
        events.nothing_lost()?;
        Ok(events)
    }

    /// The journal verifies: whole, findings allowed; gives the verdict's JSON.
    pub(crate) fn whole(&self) -> Result<Value> {
        let (code, json) = self.site.verify()?;
        ensure!(code <= 1, "verify ended with {code}: {json}");
        Ok(json)
    }

    pub(crate) fn account(&mut self, role: &str, sudo: Sudo) -> Result<Account> {
        let sudo = if self.world.accounts { sudo } else { Sudo::No };
        Account::create(&mut self.janitor, role, sudo)
    }

    /// A command that logs the account in on a terminal with this program.
    pub(crate) fn login<S: AsRef<OsStr>>(&self, account: &Account, argv: &[S]) -> Command {
        let mut command = on_terminal(&self.human(account));
        command.args(argv);
        command
    }

    /// The words that make a program the account's own, as a login does.
    pub(crate) fn human(&self, account: &Account) -> Vec<String> {
        let (uid, gid) = (account.uid.to_string(), account.gid.to_string());
        let home = account.home.display().to_string();
        let words = ["human", "--uid", &uid, "--gid", &gid, "--name", &account.name, "--home", &home, "--"];
        std::iter::once(self.workload()).chain(words.map(str::to_owned)).collect()
    }

    /// The words that make a program run as root: sudo, or where there is none a setuid copy of the workload.
    pub(crate) fn as_root(&self) -> Vec<String> {
        if self.world.accounts {
            vec!["sudo".to_owned(), "-n".to_owned()]
        } else {
            vec![self.bin.join("become-root").display().to_string(), "elevate".to_owned()]
        }
    }

    /// An elevated session from its first byte: a human logs in and his only program is an elevated one.
    pub(crate) fn elevated(&self, account: &Account, argv: &[&str]) -> Result<Terminal> {
        let mut words = self.as_root();
        words.extend(argv.iter().map(|word| (*word).to_owned()));
        Terminal::start(self.login(account, &words), SIZE.0, SIZE.1)
    }

    /// An ordinary interactive shell of the account.
    pub(crate) fn shell(&self, account: &Account) -> Result<Terminal> {
        let shell: &[&str] =
            if Path::new("/bin/bash").exists() { &["/bin/bash", "--norc", "-i"] } else { &["/bin/sh", "-i"] };
        let mut terminal = Terminal::start(self.login(account, shell), SIZE.0, SIZE.1)?;
        // Proof that somebody reads and answers; the sum is not in what was typed.
        terminal.ask("echo up-$((40+2))", "up-42", self.limit(20))?;
        Ok(terminal)
    }

    /// From that shell to a root shell.
    pub(crate) fn become_root(&self, terminal: &mut Terminal) -> Result<()> {
        let line = if self.world.accounts {
            "sudo -n -i".to_owned()
        } else {
            format!("{} elevate /bin/sh -i", self.bin.join("become-root").display())
        };
        terminal.type_line(&line)?;
        terminal.ask("echo root-$(id -u)-$((40+2))", "root-0-42", self.limit(20))?;
        Ok(())
    }

    /// A line that runs a program which does nothing but have this argument.
    pub(crate) fn noop(&self, tag: &str) -> String {
        format!("{} noop {}", self.workload(), self.tag(tag))
    }

    /// An argument that occurs nowhere else.
    pub(crate) fn tag(&self, tag: &str) -> String {
        format!("{}-{tag}", self.mark)
    }

    /// Waits for the truth that a workload writes when it is done.
    pub(crate) fn truth(&self, file: &str) -> Result<Value> {
        let path = self.dir.join(file);
        let text = fs::read(&path).with_context(|| format!("the workload left no {file}"))?;
        serde_json::from_slice(&text).context("the truth is no JSON")
    }

    pub(crate) fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
    }

    /// A copy of a library that lies beside the recorder, where every program may load it.
    pub(crate) fn library(&self, name: &str) -> Result<PathBuf> {
        let built = self.world.recorder.with_file_name(name);
        let copy = self.dir.join(name);
        fs::copy(&built, &copy)
            .with_context(|| format!("no {}; `cargo xtask build` makes it", built.display()))?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o644))?;
        Ok(copy)
    }

    pub(crate) fn sshd(&self) -> Result<&Path> {
        self.world.sshd.as_deref().context("no sshd")
    }
}

/// Runs a program quietly; its failure is an error.
pub(crate) fn quiet(program: &str, args: &[&str]) -> Result<()> {
    let out = Command::new(program).args(args).stdin(Stdio::null()).output().context(program.to_owned())?;
    if !out.status.success() {
        bail!("{program} ended with {}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}
