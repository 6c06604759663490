//! The running kernel's type information: positions of struct members.
//!
//! Only what the loader needs: structs and unions. The parsed form lives as long as the look-ups; 30 MB of
//! types have no place in a daemon (docs/kernel.md). Format: Documentation/bpf/btf.rst.

use std::collections::HashSet;

use zerocopy::{
    FromBytes, Immutable, KnownLayout,
    byteorder::little_endian::{U16, U32},
};

/// Why type information could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// It is not there.
    #[error("the kernel offers no type information ({path}): CONFIG_DEBUG_INFO_BTF is needed")]
    Missing {
        /// Where it was looked for.
        path: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is cut or malformed.
    #[error("the kernel's type information is malformed at byte {at}")]
    Malformed {
        /// Position.
        at: usize,
    },
}

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Header {
    magic: U16,
    version: u8,
    flags: u8,
    hdr_len: U32,
    type_off: U32,
    type_len: U32,
    str_off: U32,
    str_len: U32,
}

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
struct TypeHead {
    name_off: U32,
    info: U32,
    size_or_type: U32,
}

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
struct MemberRaw {
    name_off: U32,
    type_id: U32,
    offset: U32,
}

mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const ENUM64: u32 = 19;
    // Modifiers (typedef, volatile, const, restrict, type tag) that a member's type may be wrapped in.
    pub(super) const WRAPPERS: [u32; 5] = [8, 9, 10, 11, 18];
}

/// The kernel's types.
pub(super) struct Btf {
    raw: Vec<u8>,
    /// Position of each type's head in `raw`, by id; 0 is void.
    types: Vec<usize>,
    strings: std::ops::Range<usize>,
}

const PATH: &str = "/sys/kernel/btf/vmlinux";

impl Btf {
    /// Reads the running kernel's.
    pub(super) fn of_kernel() -> Result<Self, BtfError> {
        let raw = std::fs::read(PATH).map_err(|source| BtfError::Missing { path: PATH, source })?;
        Self::parse(raw)
    }

    fn parse(raw: Vec<u8>) -> Result<Self, BtfError> {
        let bad = |at| BtfError::Malformed { at };
        let (header, _) = Header::ref_from_prefix(&raw).map_err(|_| bad(0))?;
        if header.magic.get() != 0xeb9f || header.version != 1 {
            return Err(bad(0));
        }
        let base = size(header.hdr_len.get());
        let start = base.saturating_add(size(header.type_off.get()));
        let end = start.saturating_add(size(header.type_len.get()));
        let text = base.saturating_add(size(header.str_off.get()));
        let strings = text..text.saturating_add(size(header.str_len.get()));
        if end > raw.len() || strings.end > raw.len() {
            return Err(bad(raw.len()));
        }
        let mut types = vec![0];
        let mut at = start;
        while at < end {
            let head =
                raw.get(at..end).and_then(|r| TypeHead::ref_from_prefix(r).ok()).ok_or_else(|| bad(at))?.0;
            types.push(at);
            at += size_of::<TypeHead>() + tail(head);
        }
        Ok(Self { raw, types, strings })
    }

    fn head(&self, id: usize) -> Option<(&TypeHead, &[u8])> {
        let at = *self.types.get(id).filter(|at| **at != 0)?;
        TypeHead::ref_from_prefix(self.raw.get(at..)?).ok()
    }

    fn name(&self, off: U32) -> Option<&[u8]> {
        let text = self.raw.get(self.strings.clone())?.get(size(off.get())..)?;
        text.split(|b| *b == 0).next()
    }

    fn members(&self, id: usize) -> Option<(&[MemberRaw], bool)> {
        let (head, rest) = self.head(id)?;
        let info = head.info.get();
        if !matches!(kind_of(info), kind::STRUCT | kind::UNION) {
            return None;
        }
        let (members, _) = <[MemberRaw]>::ref_from_prefix_with_elems(rest, size(info & 0xffff)).ok()?;
        Some((members, info >> 31 == 1))
    }

    /// Steps through typedefs and qualifiers.
    fn unwrap_type(&self, mut id: usize) -> usize {
        for _ in 0..16 {
            match self.head(id) {
                Some((head, _)) if kind::WRAPPERS.contains(&kind_of(head.info.get())) => {
                    id = size(head.size_or_type.get());
                }
                _ => break,
            }
        }
        id
    }

    /// Bit offset and type of a member, looked for in anonymous members too.
    fn member(&self, id: usize, wanted: &[u8], depth: u8) -> Option<(u32, usize)> {
        let (members, bitfields) = self.members(id)?;
        let offset_of = |m: &MemberRaw| if bitfields { m.offset.get() & 0x00ff_ffff } else { m.offset.get() };
        for m in members {
            let name = self.name(m.name_off)?;
            let inner = size(m.type_id.get());
            if name == wanted {
                return Some((offset_of(m), inner));
            }
            if name.is_empty() && depth < 8 {
                let found = self.member(self.unwrap_type(inner), wanted, depth + 1);
                if let Some((offset, inner)) = found {
                    return Some((offset_of(m) + offset, inner));
                }
            }
        }
        None
    }

    /// Ids of all structs, by one pass; names repeat (forward declarations are no structs).
    pub(super) fn structs(&self, wanted: &HashSet<&str>) -> std::collections::HashMap<String, usize> {
        let mut found = std::collections::HashMap::new();
        for id in 1..self.types.len() {
            let Some((head, _)) = self.head(id) else { continue };
            if !matches!(kind_of(head.info.get()), kind::STRUCT | kind::UNION) {
                continue;
            }
            if let Some(name) = self.name(head.name_off).and_then(|n| std::str::from_utf8(n).ok())
                && wanted.contains(name)
            {
                found.entry(name.to_owned()).or_insert(id);
            }
        }
        found
    }

    /// How many parameters a function has; `None`: there is no such function.
    pub(super) fn parameters(&self, function: &str) -> Option<usize> {
        let is = |(head, _): &(&TypeHead, &[u8])| {
            kind_of(head.info.get()) == kind::FUNC && self.name(head.name_off) == Some(function.as_bytes())
        };
        let (head, _) = (1..self.types.len()).filter_map(|id| self.head(id)).find(is)?;
        let (proto, _) = self.head(size(head.size_or_type.get()))?;
        (kind_of(proto.info.get()) == kind::FUNC_PROTO).then(|| size(proto.info.get() & 0xffff))
    }

    /// Byte offset of a member in struct `id`; dots descend. Bit fields give the byte they begin in.
    pub(super) fn offset(&self, id: usize, path: &str) -> Option<u32> {
        let mut total = 0;
        let mut id = id;
        for part in path.split('.') {
            let mut inner = self.unwrap_type(id);
            // `extent[0].count`: an array stands for its first element.
            while let Some((head, rest)) = self.head(inner)
                && kind_of(head.info.get()) == kind::ARRAY
            {
                let (element, _) = U32::ref_from_prefix(rest).ok()?;
                inner = self.unwrap_type(size(element.get()));
            }
            let (offset, next) = self.member(inner, part.as_bytes(), 0)?;
            total += offset;
            id = next;
        }
        Some(total / 8)
    }
}

const fn kind_of(info: u32) -> u32 {
    info >> 24 & 0x1f
}

fn size(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Bytes that follow a type's head.
fn tail(head: &TypeHead) -> usize {
    let info = head.info.get();
    let n = size(info & 0xffff);
    match kind_of(info) {
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => n * 12,
        kind::ENUM | kind::FUNC_PROTO => n * 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_type_information_is_an_error_at_every_length() {
        let Ok(raw) = std::fs::read(PATH) else { return };
        for len in (0..4096).chain([raw.len() / 2, raw.len() - 1]) {
            assert!(Btf::parse(raw.get(..len).unwrap().to_vec()).is_err(), "{len}");
        }
        let btf = Btf::parse(raw).unwrap();
        let structs = btf.structs(&HashSet::from(["task_struct", "dentry"]));
        assert_eq!(structs.len(), 2);
        assert!(btf.offset(*structs.get("dentry").unwrap(), "d_name.name").unwrap() > 0);
        assert_eq!(btf.offset(*structs.get("dentry").unwrap(), "no_such_member"), None);
        assert_eq!(btf.parameters("vfs_getattr"), Some(4));
        assert_eq!(btf.parameters("no_such_function"), None);
    }
}
