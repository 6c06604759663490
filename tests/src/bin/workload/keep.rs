//! Has files open, and mapped, until its standard input ends.

use std::{
    fs::File,
    io::{self, Read as _},
    path::PathBuf,
};

use anyhow::Result;
use rustix::mm::{MapFlags, ProtFlags, mmap};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Open to read and write
    #[arg(long)]
    open: Vec<PathBuf>,
    /// Mapped to be written, and not open any more
    #[arg(long)]
    mapped: Vec<PathBuf>,
    /// Open to be read
    #[arg(long)]
    read: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let write = |path: &PathBuf| File::options().read(true).write(true).open(path);
    let mut held = args.open.iter().map(write).collect::<io::Result<Vec<_>>>()?;
    held.extend(args.read.iter().map(File::open).collect::<io::Result<Vec<_>>>()?);
    for path in &args.mapped {
        let file = write(path)?;
        #[expect(unsafe_code, reason = "memory that is a file")]
        // SAFETY: a new mapping, wherever there is room, that nobody looks at.
        unsafe {
            mmap(std::ptr::null_mut(), 4096, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)?
        };
    }
    println!("kept");
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(held);
    Ok(())
}
