//! Rights that are used and refused, users that are changed to, a set-user-id program that is passed through.

use std::{
    fs::File,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use rustix::{
    fs::{Gid, Uid},
    io::Errno,
};
use serde_json::json;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A file to make and give away, again and again
    #[arg(long)]
    file: PathBuf,
    /// The user to become
    #[arg(long)]
    uid: u32,
    /// How often the file is given away (`CAP_CHOWN`)
    #[arg(long, default_value_t = 37)]
    chowns: u32,
    /// How often the user is changed to and back (`CAP_SETUID`)
    #[arg(long, default_value_t = 5)]
    changes: u32,
    /// How often a file is given away as that user, in vain (`CAP_CHOWN`)
    #[arg(long, default_value_t = 11)]
    refused: u32,
    /// A set-user-id copy of this program
    #[arg(long)]
    setuid: PathBuf,
    /// How often it is started as that user
    #[arg(long, default_value_t = 3)]
    passes: u32,
    /// Write the truth here instead of printing it
    #[arg(long)]
    truth: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    File::create(&args.file).context("the file to give away")?;
    for n in 0..args.chowns {
        rustix::fs::chown(&args.file, Some(Uid::from_raw(5000 + n)), None::<Gid>)?;
    }
    let (root, user) = (Uid::ROOT, Uid::from_raw(args.uid));
    for _ in 0..args.changes {
        rustix::thread::set_thread_res_uid(user, user, root)?;
        rustix::thread::set_thread_res_uid(root, root, root)?;
    }
    rustix::thread::set_thread_res_uid(user, user, root)?;
    for n in 0..args.refused {
        let refused = rustix::fs::chown(&args.file, Some(Uid::from_raw(5000 + n)), None::<Gid>);
        ensure!(refused == Err(Errno::PERM), "giving a file away as uid {}: {refused:?}", args.uid);
    }
    rustix::thread::set_thread_res_uid(root, root, root)?;
    for _ in 0..args.passes {
        let mut pass = Command::new(&args.setuid);
        pass.args(["noop", "passed"]).uid(args.uid).stdin(Stdio::null());
        ensure!(pass.status()?.success(), "the set-user-id program failed");
    }
    let truth = json!({
        "chown": args.chowns,
        "chown_refused": args.refused,
        "setuid": args.changes + 1 + args.passes,
        "to_user": args.changes + 1 + args.passes,
        "back": args.changes + 1,
        "passes": args.passes,
    });
    super::tell(&truth, args.truth.as_ref()).map_err(Into::into)
}
