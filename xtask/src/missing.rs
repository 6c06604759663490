//! The one error that maps to exit code 69: this machine lacks something, and the text says what.

use std::{error, fmt};

/// What is missing and how to get it.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Missing {}
