//! What systemd hands over at the start (`LoadCredential=`, `LoadCredentialEncrypted=`): secrets that need not lie in clear on the disk.
//! docs/operations.md, Credentials.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{
    config::Config,
    journal::{Opened, checkpoint::Signer, origin::Origin},
};

/// systemd's variable, and how words of a configuration name it.
const VARIABLE: &str = "CREDENTIALS_DIRECTORY";
const WORD: &str = "${CREDENTIALS_DIRECTORY}";
/// The log's admission key: a copy of `admission.key`.
const ADMISSION: &str = "recorder.admission";

/// The directory of this run.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials(Option<PathBuf>);

impl Credentials {
    /// As systemd set it.
    pub(super) fn given() -> Self {
        Self(env::var_os(VARIABLE).map(PathBuf::from).filter(|dir| dir.is_absolute()))
    }

    /// A word of a command with the directory in place of its name; `None` if it names one and there is none.
    pub(super) fn filled_in(&self, word: &str) -> Option<String> {
        if !word.contains(WORD) {
            return Some(word.to_owned());
        }
        Some(word.replace(WORD, self.0.as_ref()?.to_str()?))
    }

    /// Who signs the log's checkpoints. A credential of another log is none of this one's: a new log makes a key of its own, on the disk.
    pub(super) fn signer(&self, config: &Config, opened: &Opened) -> Option<Signer> {
        let identity = Origin::parse(opened.origin.as_bytes()).map(|origin| origin.identity);
        let given = self.0.iter().map(|dir| dir.join(ADMISSION)).filter(|path| path.exists());
        let handed = given.filter_map(|path| read(&path, opened)).find(|signer| {
            let fits = Some(signer.identity()) == identity;
            if !fits {
                tracing::warn!("the credential {ADMISSION} is not this log's admission key");
            }
            fits
        });
        let lies = config.journal_dir.join(opened.log.to_string()).join(Signer::FILE);
        // What is handed over was taken off the disk, or is about to be.
        if handed.is_some() && fs::symlink_metadata(&lies).is_ok() {
            tracing::warn!(path = %lies.display(), "the admission key is a credential, and lies on the disk still");
        }
        handed.or_else(|| read(&lies, opened))
    }
}

fn read(path: &Path, opened: &Opened) -> Option<Signer> {
    Signer::read(path, opened.log).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "the admission key can't be read");
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::{Encryption, OsEntropy, RealDisk, Writer, WriterConfig},
        model::{BootId, Bytes},
        sys::clock,
    };

    fn opened(dir: &Path) -> Opened {
        let config = WriterConfig {
            dir: dir.to_path_buf(),
            spare_dir: None,
            segment_bytes: 1 << 20,
            segment_age: std::time::Duration::from_hours(24),
            reserve: 0,
            encryption: Encryption::default(),
            host: Bytes::from("host"),
        };
        Writer::open(config, RealDisk, OsEntropy, BootId::default(), clock::pair()).unwrap().1
    }

    #[test]
    fn a_name_in_a_word_is_filled_in_and_never_by_nothing() {
        let with = Credentials(Some("/run/credentials/x".into()));
        assert_eq!(with.filled_in("${CREDENTIALS_DIRECTORY}/a").as_deref(), Some("/run/credentials/x/a"));
        assert_eq!(with.filled_in("@${CREDENTIALS_DIRECTORY}/a").as_deref(), Some("@/run/credentials/x/a"));
        assert_eq!(with.filled_in("$HOME").as_deref(), Some("$HOME"));
        let none = Credentials::default();
        assert_eq!((none.filled_in("-K").as_deref(), none.filled_in(WORD)), (Some("-K"), None));
    }

    #[test]
    fn the_admission_key_signs_from_the_credential_when_it_is_not_on_the_disk() {
        let (journal, other, given) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut config = Config::least();
        config.journal_dir = journal.path().to_path_buf();
        let log = opened(journal.path());
        let key = journal.path().join(log.log.to_string()).join(Signer::FILE);
        let credentials = Credentials(Some(given.path().to_path_buf()));
        let identity = |credentials: &Credentials| credentials.signer(&config, &log).map(|s| s.identity());
        let known = identity(&credentials).unwrap();
        fs::copy(&key, given.path().join(ADMISSION)).unwrap();
        fs::remove_file(&key).unwrap();
        assert_eq!(identity(&credentials), Some(known));
        assert_eq!(identity(&Credentials::default()), None);
        // Another log's, and what is no key at all, sign nothing.
        let of_other = opened(other.path());
        let others = other.path().join(of_other.log.to_string()).join(Signer::FILE);
        fs::copy(&others, given.path().join(ADMISSION)).unwrap();
        assert_eq!(identity(&credentials), None);
        fs::write(given.path().join(ADMISSION), "no key").unwrap();
        assert_eq!(identity(&credentials), None);
    }
}
