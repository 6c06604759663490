//! The witness's key file: one line `PRIVATE+KEY+name+hash+base64`, where the base64 holds the type 0x04 and the seed.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::{
    journal::{
        JournalError, OsEntropy,
        key::{Entropy, SecretKey},
        note::{Algorithm, Verifier},
    },
    sys::secret::Secret,
};

const PREFIX: &str = "PRIVATE+KEY+";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The disk refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} holds no witness's key", path = path.display())]
    NoKey {
        /// Where.
        path: PathBuf,
    },
    /// That can't be a key's name.
    #[error("{0:?} can't be a witness's name: no spaces, no +")]
    Name(String),
    /// No randomness, or no memory that can be locked.
    #[error(transparent)]
    Make(#[from] JournalError),
}

/// Takes the key from its file, or makes one of that name (0600). A file's own name stands.
pub fn load_or_make(path: &Path, name: &str) -> Result<(Verifier, SecretKey), KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    match fs::File::open(path) {
        Ok(file) => {
            let mut text = Zeroizing::new(String::new());
            file.take(4096).read_to_string(&mut text).map_err(io)?;
            parse(&text)?.ok_or(KeyError::NoKey { path: path.to_owned() })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let mut seed = Zeroizing::new([0u8; 32]);
            OsEntropy.fill(&mut *seed)?;
            let (verifier, secret) = pair(name, &seed)?.ok_or_else(|| KeyError::Name(name.to_owned()))?;
            let mut raw = Zeroizing::new(vec![4u8]);
            raw.extend_from_slice(&*seed);
            let (name, hash) = (verifier.name(), verifier.hash());
            let line = Zeroizing::new(format!("{PREFIX}{name}+{hash}+{}\n", STANDARD.encode(&*raw)));
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
            file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
            Ok((verifier, secret))
        }
        Err(e) => Err(io(e)),
    }
}

fn pair(name: &str, seed: &[u8; 32]) -> Result<Option<(Verifier, SecretKey)>, KeyError> {
    let mut page = Secret::new().map_err(|source| JournalError::io("map locked memory", source))?;
    page.expose_mut().copy_from_slice(seed);
    let secret = SecretKey::from_secret(page);
    Ok(Verifier::new(name, Algorithm::Cosignature, secret.public()).map(|verifier| (verifier, secret)))
}

fn parse(text: &str) -> Result<Option<(Verifier, SecretKey)>, KeyError> {
    let read = || {
        let mut parts = text.trim_end().strip_prefix(PREFIX)?.splitn(3, '+');
        let (name, hash, encoded) = (parts.next()?, parts.next()?, parts.next()?);
        let raw = Zeroizing::new(STANDARD.decode(encoded).ok()?);
        let (kind, seed) = raw.split_first()?;
        let seed: [u8; 32] = seed.try_into().ok().filter(|_| *kind == 4)?;
        Some((name, hash, Zeroizing::new(seed)))
    };
    let Some((name, hash, seed)) = read() else { return Ok(None) };
    let fits = |v: &Verifier| v.hash() == hash;
    Ok(pair(name, &seed)?.filter(|(verifier, _)| fits(verifier)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let (made, _) = load_or_make(&path, "w.example/1").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (found, secret) = load_or_make(&path, "another").unwrap();
        assert_eq!((&found, found.key()), (&made, secret.public()));
        assert_eq!(Verifier::parse(&found.to_string()), Ok(made));
        let text = fs::read_to_string(&path).unwrap();
        for bad in ["", &text.replace("w.example", "x.example"), &text.replace("PRIVATE", "PUBLIC")] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(load_or_make(&path, "x"), Err(KeyError::NoKey { .. })), "{bad:?}");
        }
        let nameless = load_or_make(&dir.path().join("other"), "a b");
        assert!(matches!(nameless, Err(KeyError::Name(_))));
    }
}
