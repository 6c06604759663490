//! SIGHUP: the configuration is read again, what differs is on record, and what can be taken while recording goes on is taken.

use std::sync::mpsc::Sender;

use sha2::{Digest as _, Sha256};

use super::{Observer, ServiceError, alarm, anchor::Hands, sealing};
use crate::{
    config::{self, Config},
    journal::{Encryption, Recipient},
    model::{Body, Bytes, ConfigAct, ConfigChange, ConfigKey, Digest, Flags, Record, Takes},
    session::redact::Rules,
    sys::clock,
};

/// What was read last and held.
pub(super) struct Reload {
    current: Config,
    /// Values may hold secrets: a program's arguments, an address with a password.
    rules: Option<Rules>,
    rekey: Sender<Vec<Recipient>>,
    told: Sender<Record>,
}

impl Reload {
    pub(super) fn new(
        config: &Config,
        rekey: Sender<Vec<Recipient>>,
        told: Sender<Record>,
    ) -> Result<Self, ServiceError> {
        // Also where arguments are kept as they are: who reads the log of changes need not read the keys of witnesses.
        let always = config::Redaction { rules: config::RulesKey::Default, ..config.redaction.clone() };
        let rules = Rules::new(&always).map_err(|source| ServiceError::Redaction { source })?;
        Ok(Self { current: config.clone(), rules, rekey, told })
    }

    /// A faulty file changes nothing, and that is on record too.
    pub(super) fn go(&mut self, observer: &mut dyn Observer) {
        let path = self.current.path.clone();
        let text = path.as_ref().and_then(|path| std::fs::read(path).ok());
        let digest = text.as_deref().map(sha256).unwrap_or_default();
        match self.read() {
            Ok((new, recipients)) => {
                let differs = config::difference(&self.current, &new);
                let waits = differs.iter().filter(|d| !d.live).map(|d| d.key.as_str()).collect::<Vec<_>>();
                if let Some(recipients) = recipients.filter(|_| new.recipients != self.current.recipients) {
                    observer
                        .say(&format!("sealed to {} recipients from the next segment on", recipients.len()));
                    let _ = self.rekey.send(recipients);
                }
                if !waits.is_empty() {
                    observer.say(&format!("with the next start: {}", waits.join(", ")));
                }
                let keys = differs.iter().map(|d| self.key(d)).collect();
                // The digest of what was parsed: the file may have changed since.
                let digest = sha256(new.text.as_bytes());
                self.record(ConfigAct::Taken, digest, keys, "");
                self.current = new;
            }
            Err(error) => {
                let text = self.without_secrets("", &error);
                tracing::error!(
                    MESSAGE_ID = alarm::CONFIG_REFUSED,
                    error = %text.escaped(),
                    "the configuration was not taken; nothing was changed"
                );
                self.record(ConfigAct::Refused, digest, Vec::new(), &error);
            }
        }
    }

    fn read(&self) -> Result<(Config, Option<Vec<Recipient>>), String> {
        let new = config::load(self.current.path.as_deref()).map_err(|e| e.to_string())?;
        // What the next start would refuse is refused now.
        Hands::new(&new).map_err(|(url, source)| ServiceError::Witness { url, source }.to_string())?;
        Rules::new(&new.redaction).map_err(|source| ServiceError::Redaction { source }.to_string())?;
        match sealing::encryption(&new).map_err(|e| e.to_string())? {
            Encryption::To(recipients) if !self.current.recipients.is_empty() => Ok((new, Some(recipients))),
            Encryption::Off if self.current.recipients.is_empty() => Ok((new, None)),
            _ => Err("encryption is switched on or off by a new start only".to_owned()),
        }
    }

    fn key(&self, difference: &config::Difference) -> ConfigKey {
        let value =
            |text: &Option<String>| text.as_ref().map(|text| self.without_secrets(&difference.key, text));
        ConfigKey {
            before: value(&difference.before),
            after: value(&difference.after),
            takes: if difference.live { Takes::NextSegment } else { Takes::Restart },
            key: Bytes::from(difference.key.as_str()),
        }
    }

    /// By the rules for command lines, as if the key were the name of an option.
    fn without_secrets(&self, key: &str, text: &str) -> Bytes {
        // What is looked for is itself a hint.
        if key.starts_with("redaction.patterns") {
            return Bytes::from(crate::model::REDACTED);
        }
        let Some(rules) = &self.rules else { return Bytes::from(text) };
        if let Some(words) = words(text)
            && let Some((kept, _)) = rules.argv(&words)
        {
            let shown: Vec<String> = kept.iter().map(|word| format!("{:?}", word.escaped())).collect();
            return Bytes::from(format!("[{}]", shown.join(", ")).as_str());
        }
        match rules.text(text.as_bytes()) {
            Some((kept, _)) => Bytes::from(kept),
            None => Bytes::from(text),
        }
    }

    fn record(&self, act: ConfigAct, after: Digest, keys: Vec<ConfigKey>, text: &str) {
        let before = sha256(self.current.text.as_bytes());
        let body = Body::Config(Box::new(ConfigChange {
            act,
            before,
            after,
            keys,
            text: self.without_secrets("", text),
        }));
        let boot_ns = clock::boot();
        // The writer is gone only when the service ends.
        let _ = self.told.send(Record { boot_ns, cpu: u16::MAX, flags: Flags::default(), task: None, body });
    }
}

/// A list of words, such as a command with its arguments.
fn words(text: &str) -> Option<Vec<Bytes>> {
    #[derive(serde::Deserialize)]
    struct Value {
        value: Vec<String>,
    }
    let value: Value = toml::from_str(&format!("value = {text}")).ok()?;
    Some(value.value.iter().map(|word| Bytes::from(word.as_str())).collect())
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc};

    use super::*;

    struct Quiet;

    impl Observer for Quiet {
        fn enrolled(&mut self, _: &str, _: &str) {}
        fn say(&mut self, _: &str) {}
        fn ready(&mut self) {}
    }

    #[test]
    fn what_differs_is_on_record_without_secrets_and_a_faulty_file_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.toml");
        let write = |text: &str| fs::write(&path, format!("[encryption]\nmode = \"off\"\n{text}")).unwrap();
        write("");
        let config = config::load(Some(&path)).unwrap();
        let ((rekey, _recipients), (told, records)) = (mpsc::channel(), mpsc::channel());
        let mut reload = Reload::new(&config, rekey, told).unwrap();
        let mut go = || {
            reload.go(&mut Quiet);
            let Body::Config(change) = records.try_recv().unwrap().body else { panic!() };
            *change
        };
        write(
            "[anchor]\ncommand = [\"/usr/bin/curl\", \"-H\", \"Authorization: Bearer abcdefgh12345678\"]\n",
        );
        let first = go();
        assert_eq!(first.act, ConfigAct::Taken);
        assert_eq!((first.keys.len(), first.keys[0].takes), (1, Takes::Restart));
        let shown = first.keys[0].after.as_ref().unwrap().escaped();
        assert!(shown.contains("curl") && !shown.contains("abcdefgh12345678"), "{shown}");
        write("[anchor]\ncommand = [\"/usr/bin/curl\", \"-u\", \"me:pw4711\", \"--token\", \"t0ken-1\"]\n");
        let shown = go().keys[0].after.as_ref().unwrap().escaped();
        assert!(shown.contains("curl") && !shown.contains("pw4711") && !shown.contains("t0ken-1"), "{shown}");
        write("[anchor]\nwitness = [{ url = \"https://w.example\", key = \"none\" }]\n");
        assert_eq!(go().act, ConfigAct::Refused, "the next start would refuse it");
        write(
            "[anchor]\ncommand = [\"/usr/bin/curl\", \"-H\", \"Authorization: Bearer abcdefgh12345678\"]\n",
        );
        let first = go();
        write("[scope]\nrecord = 7\n");
        let second = go();
        assert_eq!((second.act, second.before), (ConfigAct::Refused, first.after));
        assert!(second.keys.is_empty() && second.text.escaped().contains("line 4"), "{second:?}");
        write("recipients = [\"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\"]\n");
        assert_eq!(go().act, ConfigAct::Refused);
        write("[scope]\njobs = false\n");
        let keys = go().keys;
        let names: Vec<_> = keys.iter().map(|k| (k.key.escaped(), k.after.is_some())).collect();
        assert_eq!(names, [("anchor.command".into(), false), ("scope.jobs".into(), true)]);
    }
}
