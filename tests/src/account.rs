//! Throw-away accounts. Where there are no user tools (a busybox machine), the lines of /etc/passwd are written here.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, bail};

use crate::{janitor::Janitor, proc};

/// The first uid tried where there is no useradd.
const FIRST_UID: u32 = 1001;

/// What the account may do through sudo.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sudo {
    /// Nothing.
    No,
    /// Everything, after the password; the lecture and the time stamp are off, so each call asks.
    WithPassword,
    /// Everything.
    Free,
}

/// An account that is removed, with its home, when the janitor ends.
#[derive(Clone, Debug)]
pub struct Account {
    /// Log-in name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
    /// The password, random.
    pub password: String,
}

impl Account {
    /// Makes the account; `janitor` will remove it.
    pub fn create(janitor: &mut Janitor, role: &str, sudo: Sudo) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{role}{}x{number}", process::id() % 100_000);
        let password = random_word()?;
        let account = if Path::new("/usr/sbin/useradd").exists() {
            Self::with_tools(janitor, name, password)?
        } else {
            Self::by_hand(name, password, number)?
        };
        account.allow(janitor, sudo)?;
        Ok(account)
    }

    fn with_tools(janitor: &mut Janitor, name: String, password: String) -> Result<Self> {
        // Processes that a test left behind (nohup, double fork, a stopped sudo) belong to nobody else: the uid is new.
        // Those of root bear it as their login uid, and the next account may get the same: it waits until they are gone.
        janitor.at_end(&format!(
            "u=$(id -u {name}); for p in /proc/[0-9]*; do if [ \"$(stat -c %u $p 2>/dev/null)\" = \"$u\" ] || [ \"$(cat $p/loginuid 2>/dev/null)\" = \"$u\" ]; then kill -9 ${{p#/proc/}}; fi; done; \
             n=0; while [ $n -lt 50 ] && grep -qsx \"$u\" /proc/[0-9]*/loginuid; do sleep 0.1; n=$((n+1)); done; userdel -r -f {name}"
        ))?;
        let status = Command::new("/usr/sbin/useradd")
            .args([
                "--create-home",
                "--user-group",
                "--shell",
                "/bin/bash",
                "--key",
                "MAIL_DIR=/dev/null",
                &name,
            ])
            .stderr(Stdio::null())
            .status()
            .context("useradd")?;
        if !status.success() {
            bail!("useradd {name} ended with {status}");
        }
        let mut chpasswd =
            Command::new("/usr/sbin/chpasswd").stdin(Stdio::piped()).spawn().context("chpasswd")?;
        if let Some(mut pipe) = chpasswd.stdin.take() {
            writeln!(pipe, "{name}:{password}")?;
        }
        if !proc::wait(&mut chpasswd, std::time::Duration::from_secs(20))?.success() {
            bail!("chpasswd failed for {name}");
        }
        let passwd = fs::read_to_string("/etc/passwd")?;
        let line =
            passwd.lines().find(|line| line.split(':').next() == Some(&name)).context("no such user")?;
        let fields: Vec<_> = line.split(':').collect();
        let field = |n: usize| fields.get(n).copied().context("short line in /etc/passwd");
        let (uid, gid, home) = (field(2)?.parse()?, field(3)?.parse()?, PathBuf::from(field(5)?));
        Ok(Self { name, uid, gid, home, password })
    }

    fn by_hand(name: String, password: String, number: u32) -> Result<Self> {
        let uid = FIRST_UID + number;
        let home = PathBuf::from(format!("/home/{name}"));
        fs::create_dir_all(&home)?;
        std::os::unix::fs::chown(&home, Some(uid), Some(uid))?;
        append("/etc/passwd", &format!("{name}:x:{uid}:{uid}::{}:/bin/sh\n", home.display()))?;
        append("/etc/group", &format!("{name}:x:{uid}:\n"))?;
        Ok(Self { name, uid, gid: uid, home, password })
    }

    fn allow(&self, janitor: &mut Janitor, sudo: Sudo) -> Result<()> {
        let rule = match sudo {
            Sudo::No => return Ok(()),
            Sudo::WithPassword => "ALL=(ALL:ALL) ALL",
            Sudo::Free => "ALL=(ALL:ALL) NOPASSWD: ALL",
        };
        let dir = Path::new("/etc/sudoers.d");
        if !dir.is_dir() {
            bail!("no {}: sudo is not installed", dir.display());
        }
        let name = &self.name;
        let path = dir.join(format!("recorder-{name}"));
        janitor
            .at_end(&format!("rm -f {} /run/sudo/ts/{name} /var/lib/sudo/lectured/{name}", path.display()))?;
        fs::write(&path, format!("Defaults:{name} lecture=never,timestamp_timeout=0\n{name} {rule}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440))?;
        Ok(())
    }
}

fn append(path: &str, text: &str) -> Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {path}"))
}

/// A word nobody guesses and no file contains by chance.
pub fn random_word() -> Result<String> {
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzACDEFGHJKLMNPQRSTUVWXYZ2345679";
    let mut bytes = [0u8; 12];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    let pick = |byte: &u8| LETTERS.get(usize::from(*byte) % LETTERS.len()).copied().map_or('x', char::from);
    Ok(bytes.iter().map(pick).collect())
}
