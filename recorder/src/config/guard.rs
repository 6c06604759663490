//! `[guard]`: what follows when somebody tries something with the recorder itself.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keys {
    pub(super) mode: GuardKey,
}

/// `guard.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardKey {
    /// Nobody looks.
    Off,
    /// It is on record.
    #[default]
    Record,
    /// It is refused besides.
    Enforce,
}
