//! Whom the journal is sealed to, at the start and when others are named in between.

use super::ServiceError;
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
