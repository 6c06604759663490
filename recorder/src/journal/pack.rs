//! A body's compression: a 4-byte plain length, then one zstd frame; decompression never exceeds the stated length.

use zstd::bulk::{Compressor, Decompressor};

use super::bytes::{Cursor, narrow32, put32, wide32};
use super::record::{MAX_PLAIN, RecordError};

/// zstd level: 1 keeps 300-500 MB/s on one core.
const LEVEL: i32 = 1;
/// Header value for a zstd body.
pub const ZSTD: u8 = 1;

/// Compresses bodies with one reused context.
pub struct Packer {
    zstd: Option<Compressor<'static>>,
    buffer: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Self {
        Self { zstd: Compressor::new(LEVEL).ok(), buffer: Vec::new() }
    }
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    /// Appends the stored form of `plain`; returns the compression number. What doesn't shrink stays plain.
    pub fn pack(&mut self, plain: &[u8], out: &mut Vec<u8>) -> u8 {
        self.buffer.clear();
        self.buffer.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        let packed = self.zstd.as_mut().and_then(|z| z.compress_to_buffer(plain, &mut self.buffer).ok());
        match packed {
            Some(len) if len + 4 < plain.len() => {
                put32(out, wide32(plain.len()));
                out.extend_from_slice(&self.buffer);
                ZSTD
            }
            _ => {
                out.extend_from_slice(plain);
                0
            }
        }
    }
}

/// Decompresses bodies with one reused context and buffer.
pub struct Unpacker {
    zstd: Option<Decompressor<'static>>,
    buffer: Vec<u8>,
}

impl Default for Unpacker {
    fn default() -> Self {
        Self { zstd: Decompressor::new().ok(), buffer: Vec::new() }
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unpacker")
    }
}

impl Unpacker {
    /// The plain bytes of a stored body.
    pub fn unpack<'a>(&'a mut self, compression: u8, stored: &'a [u8]) -> Result<&'a [u8], RecordError> {
        if compression == 0 {
            return Ok(stored);
        }
        let mut c = Cursor::new(stored);
        let plain_len = narrow32(c.u32()?);
        if compression != ZSTD || plain_len > MAX_PLAIN {
            return Err(RecordError::TooLong);
        }
        self.buffer.clear();
        self.buffer.reserve(plain_len);
        let zstd = self.zstd.as_mut().ok_or(RecordError::Malformed)?;
        // The destination's capacity bounds the work; a longer frame is an error, a shorter one is found below.
        let done =
            zstd.decompress_to_buffer(c.rest(), &mut self.buffer).map_err(|_| RecordError::Malformed)?;
        if done != plain_len {
            return Err(RecordError::Malformed);
        }
        Ok(&self.buffer)
    }
}
