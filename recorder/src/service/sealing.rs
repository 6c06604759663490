//! Whom the journal is sealed to, at the start and when others are named in between.

use std::sync::mpsc;

use super::{Observer, ServiceError};
use crate::config::Config;
use crate::journal::recipients::MAX_RECIPIENTS;
use crate::journal::{Encryption, Recipient};

/// Whom the journal is sealed to.
pub(super) fn encryption(config: &Config) -> Result<Encryption, ServiceError> {
    if config.recipients.is_empty() {
        return Ok(Encryption::Off);
    }
    if config.recipients.len() > MAX_RECIPIENTS {
        return Err(ServiceError::TooManyRecipients);
    }
    let parse = |(n, text): (usize, &String)| {
        text.parse::<Recipient>()
            .map_err(|source| ServiceError::Recipient { no: n.saturating_add(1), source })
    };
    config.recipients.iter().enumerate().map(parse).collect::<Result<_, _>>().map(Encryption::To)
}

/// SIGHUP: reads the configuration again and takes its recipients, from the next segment on. Nothing else changes without a
/// new start, and a faulty file changes nothing.
pub(super) fn reload(config: &Config, rekey: &mpsc::Sender<Vec<Recipient>>, observer: &mut dyn Observer) {
    let read = crate::config::load(config.path.as_deref()).map_err(|e| e.to_string());
    match read.and_then(|new| encryption(&new).map_err(|e| e.to_string())) {
        Ok(Encryption::To(recipients)) if !config.recipients.is_empty() => {
            observer.say(&format!("sealed to {} recipients from the next segment on", recipients.len()));
            let _ = rekey.send(recipients);
        }
        Ok(_) => tracing::error!("encryption is switched on or off by a new start only; nothing was changed"),
        Err(error) => tracing::error!(error, "the configuration has faults; nothing was changed"),
    }
}
