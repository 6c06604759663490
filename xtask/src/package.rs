//! `cargo xtask package deb` and `cargo xtask install`: the same files at the same places (`files`), as an archive and at once.
//!
//! The archive is dpkg-deb's work: nothing has to be compiled for it, and with SOURCE_DATE_EPOCH the same tree gives the same bytes.

mod bill;
mod files;
mod papers;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use self::files::{FILES, Source};
use crate::{
    build::{self, Finish},
    build_ebpf, build_verify,
    missing::Missing,
    sh,
};

/// Behind the version of the crates, for a package that is built of the same sources again.
const REVISION: &str = "1";
/// Scripts that dpkg runs, all in recorder/dist/debian.
const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm"];

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    form: Form,
}

#[derive(Subcommand)]
enum Form {
    /// A Debian package in target/dist
    Deb(Deb),
}

#[derive(clap::Args)]
struct Deb {
    /// Take the programs of the suites, which are linked in seconds: for trying the package out
    #[arg(long)]
    suite: bool,
    /// Another version than the crates'
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

#[derive(clap::Args)]
pub(crate) struct Install {
    /// Put everything below this directory, and start nothing
    #[arg(long, value_name = "DIR")]
    destdir: Option<PathBuf>,
    /// Take the programs of the suites, which are linked in seconds
    #[arg(long)]
    suite: bool,
}

/// What a package is made of, where it was built.
pub(crate) struct Built {
    pub(crate) recorder: PathBuf,
    pub(crate) verify: PathBuf,
    /// In the order of [`build::LIBRARIES`].
    pub(crate) libraries: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let Form::Deb(deb) = &args.form;
    build_ebpf::build(None)?;
    let built = built(deb.suite)?;
    let version = match &deb.version {
        Some(version) => version.clone(),
        None => version(&built)?,
    };
    let to = sh::root().join("target/dist");
    fs::create_dir_all(&to)?;
    let package = archive(&built, &version, &to, "xz")?;
    println!("package: {} ({} KB)", package.display(), fs::metadata(&package)?.len() / 1000);
    Ok(ExitCode::SUCCESS)
}

/// `cargo xtask install`: as the package does it, from a checkout.
pub(crate) fn install(args: &Install) -> Result<ExitCode> {
    if args.destdir.is_none() && !sh::is_root() {
        return Err(
            Missing("install: only root may; --destdir DIR puts the files elsewhere".to_owned()).into()
        );
    }
    build_ebpf::build(None)?;
    let built = built(args.suite)?;
    let root = args.destdir.clone().unwrap_or_else(|| PathBuf::from("/"));
    lay_out(&built, &root)?;
    if args.destdir.is_some() {
        println!("install: {} files below {}", FILES.len(), root.display());
        return Ok(ExitCode::SUCCESS);
    }
    if Path::new("/run/systemd/system").is_dir() {
        sh::run(Command::new("systemd-sysusers").arg("/usr/lib/sysusers.d/recorder.conf"))?;
        sh::run(Command::new("systemd-tmpfiles").args(["--create", "/usr/lib/tmpfiles.d/recorder.conf"]))?;
        sh::run(Command::new("systemctl").arg("daemon-reload"))?;
    }
    println!(
        "install: done. `recorder setup` writes the configuration, `systemctl enable --now recorder` starts it"
    );
    println!("install: PAM and sudo: /usr/lib/recorder/login-lines add (docs/operations.md)");
    Ok(ExitCode::SUCCESS)
}

fn built(suite: bool) -> Result<Built> {
    if suite {
        let binaries = build::programs(Finish::Suite)?;
        let libraries = build::login(Finish::Suite)?;
        return Ok(Built { recorder: binaries.recorder, verify: binaries.verify, libraries });
    }
    let recorder = build::programs(Finish::Shipped)?.recorder;
    let verify = build_verify::reader()?;
    Ok(Built { recorder, verify, libraries: build::login(Finish::Shipped)? })
}

/// `0.1.0-1`: what the program says of itself.
fn version(built: &Built) -> Result<String> {
    let said = sh::output(sh::clean(&built.recorder).arg("--version"))?;
    let number = said.split_whitespace().nth(1).context("--version says nothing")?;
    Ok(format!("{number}-{REVISION}"))
}

/// Makes `recorder_VERSION_ARCH.deb` in this directory.
pub(crate) fn archive(built: &Built, version: &str, to: &Path, compression: &str) -> Result<PathBuf> {
    if sh::which("dpkg-deb").is_none() {
        return Err(Missing("package: there is no dpkg-deb (Debian package dpkg)".to_owned()).into());
    }
    let stage = sh::root().join("target/package/deb");
    let _ = fs::remove_dir_all(&stage);
    lay_out(built, &stage)?;
    let debian = sh::root().join("recorder/dist/debian");
    let control = stage.join("DEBIAN");
    fs::create_dir_all(&control)?;
    let text = fs::read_to_string(debian.join("control.in")).context("recorder/dist/debian/control.in")?;
    let text = text
        .replace("@VERSION@", version)
        .replace("@ARCH@", architecture()?)
        .replace("@SIZE@", &kilobytes(&stage)?.to_string());
    write(&control.join("control"), text.as_bytes(), 0o644)?;
    for script in SCRIPTS {
        copy(&debian.join(script), &control.join(script), 0o755)?;
    }
    write(&control.join("md5sums"), sums(&stage)?.as_bytes(), 0o644)?;
    for dir in directories(&stage)? {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
    }
    let package = to.join(format!("recorder_{version}_{}.deb", architecture()?));
    sh::run(
        sh::clean("dpkg-deb")
            .env("SOURCE_DATE_EPOCH", epoch())
            .args(["--root-owner-group", "--uniform-compression", &format!("-Z{compression}"), "--build"])
            .args([&stage, &package]),
    )?;
    Ok(package)
}

/// The files of the table below a root.
fn lay_out(built: &Built, root: &Path) -> Result<()> {
    let made = sh::root().join("target/package/made");
    let _ = fs::remove_dir_all(&made);
    papers::make(built, &made)?;
    bill::make(&made)?;
    let dist = sh::root().join("recorder/dist");
    for file in FILES {
        let from = match file.from {
            Source::Recorder => built.recorder.clone(),
            Source::Verify => built.verify.clone(),
            Source::Library(n) => built.libraries.get(n).context("a library is missing")?.clone(),
            Source::Dist(name) => dist.join(name),
            Source::Checkout(name) => sh::root().join(name),
            Source::Made(name) => made.join(name),
        };
        let to = root.join(file.to.replace("@MULTIARCH@", &multiarch()));
        if from.is_dir() {
            for entry in fs::read_dir(&from)? {
                let entry = entry?;
                copy(&entry.path(), &to.join(entry.file_name()), file.mode)?;
            }
        } else {
            copy(&from, &to, file.mode)?;
        }
        if file.from.is_program() {
            // Line tables triple its size; the build tree keeps them.
            let _ = sh::succeeds(Command::new("strip").arg("--strip-unneeded").arg(&to));
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    write(to, &bytes, mode)
}

/// A running program can't be written over, but it can be replaced: a new file takes the name.
fn write(to: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    let name = to.file_name().context("a file without a name")?.to_string_lossy().into_owned();
    let new = to.with_file_name(format!(".{name}.new"));
    fs::write(&new, bytes).with_context(|| format!("cannot write {}", new.display()))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(mode))?;
    fs::rename(&new, to).with_context(|| format!("cannot write {}", to.display()))
}

/// The time of the last commit, for what has no time of its own.
fn epoch() -> String {
    let told = || sh::output(sh::clean("git").args(["log", "-1", "--format=%ct"]));
    // An unpacked archive of the sources has no history; any fixed time will do.
    std::env::var("SOURCE_DATE_EPOCH")
        .unwrap_or_else(|_| told().map_or_else(|_| "1".into(), |text| text.trim().into()))
}

fn architecture() -> Result<&'static str> {
    Ok(match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("no Debian name for {other}"),
    })
}

fn multiarch() -> String {
    format!("{}-linux-gnu", std::env::consts::ARCH)
}

/// Every directory below, and itself.
fn directories(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![root.to_path_buf()];
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(directories(&path)?);
        }
    }
    Ok(found)
}

/// Every file below but dpkg's own, sorted.
fn all_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for dir in directories(root)?.iter().filter(|dir| !dir.starts_with(root.join("DEBIAN"))) {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn kilobytes(stage: &Path) -> Result<u64> {
    let mut bytes = 0;
    for file in all_files(stage)? {
        bytes += fs::metadata(file)?.len();
    }
    Ok(bytes.div_ceil(1024))
}

/// What `dpkg --verify` compares with.
fn sums(stage: &Path) -> Result<String> {
    let mut command = Command::new("md5sum");
    command.current_dir(stage);
    for file in all_files(stage)? {
        command.arg(file.strip_prefix(stage)?);
    }
    sh::output(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_table_has_a_source_and_a_place_of_its_own() {
        let mut places: Vec<&str> = FILES.iter().map(|file| file.to).collect();
        places.sort_unstable();
        let all = places.len();
        places.dedup();
        assert_eq!(places.len(), all);
        for file in FILES {
            let there = match file.from {
                Source::Dist(name) => sh::root().join("recorder/dist").join(name).is_file(),
                Source::Checkout(name) => sh::root().join(name).is_file(),
                Source::Library(n) => n < build::LIBRARIES.len(),
                Source::Recorder | Source::Verify | Source::Made(_) => true,
            };
            assert!(there, "{}", file.to);
            assert!(!file.to.starts_with('/') && !file.to.starts_with("etc/"), "{}", file.to);
            let wanted = if file.from.is_executable() { 0o755 } else { 0o644 };
            assert_eq!(file.mode, wanted, "{}", file.to);
        }
    }

    #[test]
    fn the_scripts_are_shell_that_stops_at_a_fault() {
        for script in SCRIPTS.iter().map(|name| format!("debian/{name}")).chain(["login-lines".to_owned()]) {
            let path = sh::root().join("recorder/dist").join(&script);
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("#!/bin/sh\n") && text.contains("\nset -e\n"), "{script}");
            assert!(sh::succeeds(Command::new("sh").arg("-n").arg(&path)), "{script}");
        }
    }

    #[test]
    fn lines_of_pam_and_sudo_come_and_go_and_all_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let lines = |words: &[&str]| {
            let script = sh::root().join("recorder/dist/login-lines");
            let mut command = sh::clean("sh");
            command
                .arg(script)
                .args(words)
                .env("RECORDER_PAM_DIR", at("pam"))
                .env("RECORDER_SUDO_CONF", at("sudo.conf"));
            sh::succeeds(command.env("RECORDER_SUDO_LIBRARY", at("library")))
        };
        let read = |name: &str| fs::read_to_string(at(name)).unwrap();
        fs::create_dir(at("pam")).unwrap();
        let pam = "@include common-auth\n@include common-account\n";
        fs::write(at("pam/sudo"), pam).unwrap();
        fs::write(at("real"), "session required pam_loginuid.so\nsession optional pam_motd.so\n").unwrap();
        std::os::unix::fs::symlink("../real", at("pam/login")).unwrap();
        // As people leave it: without an end of the last line.
        fs::write(at("sudo.conf"), "Plugin sudoers_policy sudoers.so").unwrap();

        assert!(
            lines(&["add"]) && !lines(&["add", "sudo"]),
            "without its library sudo would refuse everybody"
        );
        fs::write(at("library"), "").unwrap();
        assert!(
            lines(&["add", "sudo"]) && lines(&["add"]) && lines(&["add", "sudo"]),
            "a second time changes nothing"
        );
        assert_eq!(
            read("sudo.conf"),
            "Plugin sudoers_policy sudoers.so\nPlugin recorder_approval recorder_approval.so\n"
        );
        assert!(read("pam/sudo").ends_with(pam) && read("pam/sudo").lines().count() == 3);
        assert!(read("real").lines().nth(1).unwrap().contains("pam_recorder.so"), "behind pam_loginuid");
        assert!(at("pam/login").is_symlink());

        fs::write(at("pam/su"), "auth required pam_recorder.so mine\n").unwrap();
        let before = (read("pam/sudo"), read("sudo.conf"));
        assert!(!lines(&["remove"]), "somebody's own line loads it");
        assert_eq!((read("pam/sudo"), read("sudo.conf")), before, "nothing was changed");
        fs::remove_file(at("pam/su")).unwrap();
        assert!(lines(&["remove"]));
        assert_eq!(
            (read("pam/sudo").as_str(), read("sudo.conf").as_str()),
            (pam, "Plugin sudoers_policy sudoers.so\n")
        );
        assert!(!read("real").contains("recorder"));
    }
}
