//! Serves the disk to one emulator: the network block device protocol, fixed newstyle, simple replies.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, PoisonError},
};

use crate::disk::CachedDisk;

const OPTION: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;
/// Has flags, takes FLUSH, takes FUA: a write cache, as the guest sees it.
const FLAGS: u16 = 1 | 4 | 8;
/// Largest request that is taken.
const MOST: u32 = 32 << 20;

fn array<const N: usize>(stream: &mut UnixStream) -> io::Result<[u8; N]> {
    let mut raw = [0; N];
    stream.read_exact(&mut raw)?;
    Ok(raw)
}

fn u32_of(stream: &mut UnixStream) -> io::Result<u32> {
    array(stream).map(u32::from_be_bytes)
}

fn u64_of(stream: &mut UnixStream) -> io::Result<u64> {
    array(stream).map(u64::from_be_bytes)
}

fn answer(stream: &mut UnixStream, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
    let mut out = OPTION_REPLY.to_be_bytes().to_vec();
    out.extend(option.to_be_bytes());
    out.extend(kind.to_be_bytes());
    out.extend(u32::try_from(data.len()).map_err(io::Error::other)?.to_be_bytes());
    out.extend(data);
    stream.write_all(&out)
}

/// Agrees on the export; false if the client goes away.
fn greet(stream: &mut UnixStream, size: u64) -> io::Result<bool> {
    stream.write_all(b"NBDMAGIC")?;
    stream.write_all(&OPTION.to_be_bytes())?;
    stream.write_all(&3u16.to_be_bytes())?;
    let _client = u32_of(stream)?;
    let mut export = 0u16.to_be_bytes().to_vec();
    export.extend(size.to_be_bytes());
    export.extend(FLAGS.to_be_bytes());
    loop {
        if u64_of(stream)? != OPTION {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (option, len) = (u32_of(stream)?, u32_of(stream)?);
        if len > 1 << 16 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        io::copy(&mut Read::take(&mut *stream, u64::from(len)), &mut io::sink())?;
        match option {
            // EXPORT_NAME has no reply, and the zeros were waived.
            1 => return stream.write_all(export.get(2..).unwrap_or_default()).map(|()| true),
            2 => return answer(stream, option, 1, &[]).map(|()| false),
            6 | 7 => {
                answer(stream, option, 3, &export)?;
                answer(stream, option, 1, &[])?;
                if option == 7 {
                    return Ok(true);
                }
            }
            // Not supported.
            _ => answer(stream, option, 0x8000_0001, &[])?,
        }
    }
}

/// Serves until the client goes or the power does; then nothing more is answered.
pub(crate) fn serve(mut stream: UnixStream, disk: &Arc<Mutex<CachedDisk>>) -> io::Result<()> {
    let lock = || disk.lock().unwrap_or_else(PoisonError::into_inner);
    let size = lock().size;
    if !greet(&mut stream, size)? {
        return Ok(());
    }
    loop {
        if u32_of(&mut stream)? != REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let flags = u16::from_be_bytes(array(&mut stream)?);
        let command = u16::from_be_bytes(array(&mut stream)?);
        let handle = u64_of(&mut stream)?;
        let (offset, len) = (u64_of(&mut stream)?, u32_of(&mut stream)?);
        if len > MOST || offset.saturating_add(u64::from(len)) > size {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut data = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        if command == 1 {
            stream.read_exact(&mut data)?;
        }
        let mut out = REPLY.to_be_bytes().to_vec();
        out.extend(0u32.to_be_bytes());
        out.extend(handle.to_be_bytes());
        let mut disk = lock();
        if disk.is_dead {
            return Ok(());
        }
        let is_alive = match command {
            0 => {
                disk.read(offset, &mut data)?;
                out.extend(&data);
                true
            }
            1 => disk.write(offset, &data, flags & 1 != 0)?,
            3 => disk.flush()?,
            _ => return Ok(()),
        };
        drop(disk);
        if !is_alive {
            return Ok(());
        }
        stream.write_all(&out)?;
    }
}
