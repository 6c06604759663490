//! Lists of signers, as verification and holds ask them.

use std::path::{Path, PathBuf};

use super::{Failure, Io};
use crate::{
    cli::grant::{issue, read},
    config,
    grant::{AllowedSigners, check_named},
    journal::retain::{Hold, NAMESPACE, shelf},
    model::RealNanos,
    verify::PermitSigners,
};

/// A list of signers.
#[derive(Debug)]
pub(in crate::cli) struct Listed(AllowedSigners);

impl Listed {
    /// Reads the list.
    pub(in crate::cli) fn read(path: &Path, io: &mut Io<'_>) -> Result<Self, Failure> {
        read::list(path, io).map(Self)
    }
}

impl PermitSigners for Listed {
    fn check(
        &self,
        document: &[u8],
        signature: &[u8],
        signer: &str,
        at: RealNanos,
    ) -> Result<String, String> {
        check_named(document, signature, NAMESPACE, signer, &self.0, at)
    }
}

/// Where holds lie, and who may release them.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct HoldsArgs {
    /// Directory of holds and releases [default: the configured one]
    #[arg(long, value_name = "DIR")]
    holds: Option<PathBuf>,
    /// Who may sign permits and releases (ssh-keygen's ALLOWED SIGNERS) [default: the configured list, if it is there]
    #[arg(long, value_name = "FILE")]
    allowed_signers: Option<PathBuf>,
}

impl HoldsArgs {
    /// The documents of the directory.
    pub(super) fn filed(&self) -> Result<Vec<shelf::Filed>, Failure> {
        let dir = self.holds.clone().unwrap_or_else(config::holds);
        if self.holds.is_some() && !dir.is_dir() {
            return Err(Failure::Io(format!("{} is no directory", dir.display())));
        }
        shelf::holds(&dir).map_err(|fault| Failure::Io(fault.to_string()))
    }

    /// The list; empty if there is none.
    pub(super) fn signers(&self, io: &mut Io<'_>) -> Result<Listed, Failure> {
        if let Some(path) = &self.allowed_signers {
            return Listed::read(path, io);
        }
        let path = config::allowed_signers();
        if path.exists() { Listed::read(&path, io) } else { Ok(Listed(AllowedSigners::default())) }
    }

    /// The holds in force.
    pub(super) fn in_force(&self, io: &mut Io<'_>) -> Result<Vec<Hold>, Failure> {
        let (filed, signers) = (self.filed()?, self.signers(io)?);
        Ok(shelf::in_force(filed, |filed| good(filed, &signers).is_ok()))
    }
}

/// Whether the signature of a filed document is somebody's who may release.
pub(super) fn good(filed: &shelf::Filed, signers: &Listed) -> Result<String, String> {
    if filed.signature.is_empty() {
        return Err("it is not signed".to_owned());
    }
    signers.check(&filed.bytes, &filed.signature, &filed.document.head().signer, issue::now())
}
