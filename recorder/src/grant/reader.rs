//! The one reader of the wire form of SSH (RFC 4251 5): every length is checked before it is believed.

/// The bytes end before what they announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short;

/// Takes from the front.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Short> {
        let (taken, rest) = self.0.split_first_chunk::<4>().ok_or(Short)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*taken))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Short> {
        let (taken, rest) = self.0.split_first_chunk::<8>().ok_or(Short)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*taken))
    }

    /// A length in four bytes and as many bytes.
    pub(super) fn string(&mut self) -> Result<&'a [u8], Short> {
        let len = usize::try_from(self.u32()?).map_err(|_| Short)?;
        self.take(len)
    }

    /// Bytes that are left.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
