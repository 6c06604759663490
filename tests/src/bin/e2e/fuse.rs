//! C10: programs on a file system that a process of his serves, and that stops answering.

use std::{
    ffi::OsStr,
    fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyEntry, ReplyOpen, Request, SessionACL,
};

use recorder_tests::{
    account::Sudo,
    journal::{Events, text},
    proc,
    truth::sha256,
};

use rustix::process::Signal;

use crate::stage::Stage;

/// The second of the two files: opened by anybody but its reader, it is as any other.
const STUCK: u64 = 3;
const NAMES: [(&str, u64); 2] = [("prog", 2), ("stuck", STUCK)];
const TTL: Duration = Duration::from_secs(1);

/// Two programs in a directory.
struct Two {
    bytes: [Vec<u8>; 2],
    /// The process that waits for ever when it opens the second.
    victim: Arc<AtomicU32>,
    /// Whom nobody answers.
    waiting: Arc<Mutex<Vec<ReplyOpen>>>,
}

impl Two {
    fn bytes(&self, ino: INodeNo) -> Option<&[u8]> {
        let at = usize::try_from(u64::from(ino)).ok()?.checked_sub(2)?;
        self.bytes.get(at).map(Vec::as_slice)
    }

    fn attributes(&self, ino: INodeNo) -> Option<FileAttr> {
        let is_root = ino == INodeNo::ROOT;
        let size = if is_root { 0 } else { self.bytes(ino)?.len() };
        Some(FileAttr {
            ino,
            size: u64::try_from(size).unwrap_or(0),
            blocks: 1,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_root { FileType::Directory } else { FileType::RegularFile },
            perm: 0o755,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        })
    }
}

impl Filesystem for Two {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        match found.and_then(|(_, ino)| self.attributes(INodeNo(*ino))) {
            Some(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(ino) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, asked: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let of = fs::read_to_string(format!("/proc/{}/status", asked.pid())).unwrap_or_default();
        let group = of.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
        if u64::from(ino) == STUCK && group == Some(self.victim.load(Ordering::Relaxed)) {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(reply);
        } else {
            reply.opened(FileHandle(0), FopenFlags::empty());
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let bytes = self.bytes(ino).unwrap_or_default();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let to = from.saturating_add(usize::try_from(size).unwrap_or(0)).min(bytes.len());
        reply.data(bytes.get(from..to).unwrap_or_default());
    }
}

/// What ran is known by its number and its digest; where a digest is not to be had the recorder goes on without it, and ends when it
/// is told to although a thread of it still waits.
pub(crate) fn a_file_system_of_his_own(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let own = fs::read(stage.workload())?;
    let tailed = |tail: &[u8]| [own.as_slice(), tail].concat();
    let (bytes, beside) = ([tailed(b"fuse-1"), tailed(b"fuse-2")], tailed(b"beside"));
    let digests = [sha256(&bytes[0]), sha256(&beside)];
    let mount = stage.dir.join("his");
    fs::create_dir(&mount)?;
    let (victim, waiting) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
    let two = Two { bytes, victim: Arc::clone(&victim), waiting: Arc::clone(&waiting) };
    let mut config = Config::default();
    config.acl = SessionACL::All;
    stage.janitor.at_end(&format!("umount -l {}", mount.display()))?;
    let served = fuser::spawn_mount(two, &mount, &config).context("this machine has no FUSE")?;

    let running = stage.record()?;
    victim.store(running.child().id(), Ordering::Relaxed);
    let mut terminal = stage.shell(&oncall)?;
    stage.become_root(&mut terminal)?;
    let plain = stage.path("beside");
    fs::write(&plain, &beside)?;
    let at = |name: &str| mount.join(name).display().to_string();
    let line = |program: &str, tag: &str| format!("{program} noop {}", stage.tag(tag));
    let lines = [
        line(&at("prog"), "ran"),
        line(&at("stuck"), "stuck"),
        format!("chmod 755 {plain}"),
        line(&plain, "beside"),
        "echo did-$((40+2))".to_owned(),
    ];
    terminal.ask(&lines.join("; "), "did-42", stage.limit(30))?;
    for digest in &digests {
        proc::until("the digest of a program", stage.limit(60), || {
            let events = Events::load(&stage.site).ok()?;
            events.of_kind("digest").any(|e| text(e, &["digest", "sha256"]) == digest).then_some(())
        })?;
    }
    ensure!(waiting.lock().is_ok_and(|all| !all.is_empty()), "nobody waited for what is never answered");
    terminal.ask("exit", "$", stage.limit(30))?;
    drop(terminal);
    // It is told to end, and can't be gone before its thread is; another one takes its place.
    proc::signal(running.child(), Signal::TERM)?;
    let stat = format!("/proc/{}/stat", running.child().id());
    let is_over = || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "));
    proc::until("all but that thread ended", stage.limit(60), || is_over().then_some(()))?;
    let next = stage.record()?;
    ensure!(is_over(), "its thread did not wait for ever");
    let events = stage.finish(next)?;
    let path = |tag: &str| {
        let tag = stage.tag(tag);
        events.execs_with(&tag).map(|e| text(e, &["exec", "path"]).to_owned()).next()
    };
    ensure!(path("ran") == Some(at("prog")) && path("stuck") == Some(at("stuck")), "{:?}", path("ran"));
    let told = events.of_kind("digest").find(|e| text(e, &["digest", "path"]) == at("stuck"));
    let why = text(told.context("nothing is said of what could not be read")?, &["digest", "why"]);
    ensure!(why == "unreadable", "{why}");
    // Answered after all; a mount that somebody waits for can't be given up.
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    drop(served);
    running.stop(stage.limit(60))
}
