//! Fills the programs' offset table from the running kernel's types.

use std::collections::HashSet;

use recorder_common::MEMBERS;

use super::btf::{Btf, BtfError};

/// Why the table could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum OffsetError {
    /// No usable type information.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// A member that the programs can't do without.
    #[error("this kernel's {strukt} has no member {member}")]
    NoMember {
        /// The struct.
        strukt: &'static str,
        /// The member, as looked for.
        member: &'static str,
    },
}

/// Members that a kernel may lack: audit is a build option, the others belong to one backend.
const OPTIONAL: [&str; 3] = ["loginuid", "sessionid", "d_hash.pprev"];

/// The offsets in the order of [`MEMBERS`].
pub(super) fn resolve(btf: &Btf) -> Result<Vec<u32>, OffsetError> {
    let wanted: HashSet<&str> = MEMBERS.iter().map(|m| m.strukt).collect();
    let structs = btf.structs(&wanted);
    MEMBERS
        .iter()
        .map(|m| {
            let found =
                structs.get(m.strukt).and_then(|id| m.names.iter().find_map(|name| btf.offset(*id, name)));
            let member = m.names.first().copied().unwrap_or_default();
            match found {
                Some(offset) => Ok(offset),
                None if OPTIONAL.contains(&member) => Ok(u32::MAX),
                None => Err(OffsetError::NoMember { strukt: m.strukt, member }),
            }
        })
        .collect()
}
