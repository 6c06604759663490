//! Signatures under documents of retention: the same keys and lists as for grants, in a namespace of their own.

use super::allowed_signers::AllowedSigners;
use super::sshsig;
use crate::model::RealNanos;

/// Checks that `signer` signed these bytes in `namespace` with a key that the list allows for it **by name** at that
/// time: a line without `namespaces=` lets somebody sign grants, and nobody delete evidence.
///
/// Gives the key's fingerprint, or the reason.
pub fn check_named(
    document: &[u8],
    signature: &[u8],
    namespace: &'static str,
    signer: &str,
    signers: &AllowedSigners,
    at: RealNanos,
) -> Result<String, String> {
    let signed = sshsig::verify_in(namespace, document, signature).map_err(|e| e.to_string())?;
    signers.allows_by_name(signer, &signed, namespace, at).map_err(|e| e.to_string())?;
    Ok(signed.key.fingerprint())
}
