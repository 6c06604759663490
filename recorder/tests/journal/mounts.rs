//! F3 on real file systems: a full one, one without inodes, one that becomes read-only, a removed directory. Mounting takes root;
//! where that is missing the fake disk alone holds these laws (`faults`).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::*;
use recorder::journal::key::Entropy;
use recorder::journal::{RealDisk, Writer, WriterConfig};
use recorder::model::*;
use recorder::verify::{self, Options};

/// A file system of its own, gone with the test.
struct Mount {
    at: tempfile::TempDir,
    image: Option<tempfile::NamedTempFile>,
}

fn run(words: &[&str]) -> bool {
    let done = Command::new(words[0]).args(&words[1..]).output();
    done.is_ok_and(|out| out.status.success())
}

impl Mount {
    fn tmpfs(options: &str) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let mounted = run(&["mount", "-t", "tmpfs", "-o", options, "none", at.path().to_str().unwrap()]);
        mounted.then_some(Self { at, image: None })
    }

    /// ext4 in a file, by way of a loop device.
    fn ext4(mib: u64, inodes: u32) -> Option<Self> {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(mib << 20).unwrap();
        let path = image.path().to_str().unwrap();
        let made = run(&["mkfs.ext4", "-q", "-F", "-m", "0", "-N", &inodes.to_string(), path]);
        let at = tempfile::tempdir().unwrap();
        let mounted = made && run(&["mount", "-o", "loop", path, at.path().to_str().unwrap()]);
        mounted.then_some(Self { at, image: Some(image) })
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        assert!(run(&["mount", "-o", &options, self.at.path().to_str().unwrap()]), "{options}");
    }

    fn path(&self) -> PathBuf {
        self.at.path().join("journal")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, because the writer may hold its files still.
        run(&["umount", "-l", self.at.path().to_str().unwrap()]);
        drop(self.image.take());
    }
}

fn start(dir: &Path, seed: u64) -> Real {
    let config = WriterConfig { reserve: 2 << 20, ..config(dir, 1 << 20) };
    Writer::open(config, RealDisk, Dice(seed), boot(1), at(seed)).unwrap().0
}

/// Commits an exec and 200 kB that don't pack.
fn step(w: &mut Real, s: StreamNo, n: u32) -> bool {
    let now = u64::from(n);
    let mut noise = vec![0; 200_000];
    Dice(u64::from(n)).fill(&mut noise).unwrap();
    let tty = Tty { data: Bytes::new(noise), ..Tty::default() };
    w.append(s, exec(now, n));
    w.append(s, Record { body: Body::Tty(TtyOp::Output, tty), ..exec(now, n) });
    w.commit(at(now)).is_ok()
}

fn numbers(dir: &Path) -> Vec<u32> {
    let (report, entries) = verify::read(dir, &Options::default()).unwrap();
    assert!(is_whole(report.verdict), "{:#?}", report.findings);
    let numbers = entries.map(|e| e.unwrap()).filter(|e| e.sealed).filter_map(|e| match &e.record.body {
        Body::Exec(exec) => exec.argv[1].as_utf8()?.strip_prefix("x-")?.parse().ok(),
        _ => None,
    });
    numbers.collect()
}

/// Until the log is in the reserve, then until nothing takes writes, then mended: nothing is missing, nothing there twice.
fn through(mount: &Mount, fill: &dyn Fn(&Path), empty: &dyn Fn(&Path)) {
    let mut w = start(&mount.path(), 1);
    let s = w.open_session(session(1), at(0).boot);
    assert!(step(&mut w, s, 0));
    fill(mount.at.path());
    let mut n = 1;
    while step(&mut w, s, n) {
        n += 1;
        assert!(n < 200, "it is full");
    }
    assert!(n > 5, "the reserve took what the disk did not: {n}");
    // The one that failed waits.
    let acknowledged: Vec<u32> = (0..n).collect();
    assert_eq!(numbers(&mount.path()), acknowledged);
    empty(mount.at.path());
    assert!(step(&mut w, s, n + 1));
    assert!(w.tend() && !w.is_in_reserve());
    w.stop(stop(500)).unwrap();
    assert_eq!(numbers(&mount.path()), (0..=n + 1).collect::<Vec<_>>());
}

/// Takes all the space that is left.
fn take_space(dir: &Path) {
    use std::io::Write as _;
    let mut file = File::create(dir.join("filler")).unwrap();
    let mut step = 1 << 20;
    while step >= 512 {
        if file.write_all(&vec![7; step]).is_err() {
            step /= 2;
        }
    }
    let _ = file.sync_all();
}

fn take_inodes(dir: &Path) {
    let all = dir.join("fillers");
    std::fs::create_dir(&all).unwrap();
    let mut n = 0;
    while File::create(all.join(n.to_string())).is_ok() {
        n += 1;
    }
}

#[test]
fn f3_real_file_systems_that_are_full_or_out_of_inodes() {
    let mounts = [
        ("tmpfs, space", Mount::tmpfs("size=12m"), false),
        ("tmpfs, inodes", Mount::tmpfs("size=64m,nr_inodes=32"), true),
        ("ext4, space", Mount::ext4(24, 128), false),
        ("ext4, inodes", Mount::ext4(64, 32), true),
    ];
    for (what, mount, inodes) in mounts {
        let Some(mount) = mount else {
            eprintln!("SKIPPED {what}: this machine mounts nothing");
            continue;
        };
        eprintln!("{what}");
        if inodes {
            through(&mount, &take_inodes, &|dir| std::fs::remove_dir_all(dir.join("fillers")).unwrap());
        } else {
            through(&mount, &take_space, &|dir| std::fs::remove_file(dir.join("filler")).unwrap());
        }
    }
}

#[test]
fn f3_a_real_file_system_that_becomes_read_only_loses_nothing_acknowledged() {
    let Some(mount) = Mount::ext4(24, 128) else {
        eprintln!("SKIPPED: this machine mounts no ext4");
        return;
    };
    let mut w = start(&mount.path(), 1);
    let s = w.open_session(session(1), at(0).boot);
    assert!(step(&mut w, s, 0));
    // An administrator can't while files are open for writing; a file system that finds a fault does it to itself.
    mount.remount("abort");
    assert!(!step(&mut w, s, 1));
    assert!(!step(&mut w, s, 2));
    assert_eq!(numbers(&mount.path()), [0]);
    drop(w);
}

#[test]
fn f2_f3_a_removed_real_directory_is_made_again_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    let mut w = start(&journal, 1);
    let s = w.open_session(session(1), at(0).boot);
    assert!(step(&mut w, s, 0));
    let log = log_dir(&journal);
    std::fs::rename(&journal, dir.path().join("copy")).unwrap();
    copy(&dir.path().join("copy"), &journal);
    std::fs::remove_dir_all(dir.path().join("copy")).unwrap();
    assert!(step(&mut w, s, 1), "the fault is mended within the commit");
    w.stop(stop(5)).unwrap();
    // With what lay there, copied in time, the log is whole.
    assert_eq!(log_dir(&journal), log);
    assert_eq!(numbers(&journal), [0, 1]);
}
