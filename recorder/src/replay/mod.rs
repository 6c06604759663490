//! What a session showed and did, for people. Reads verified entries; owns no terminal and prints nothing.
//!
//! Recorded bytes are hostile (docs/attacks.md A11, G1, G2, G8). They pass [`filter`] before the emulator and leave it as
//! cells of a [`Screen`], never as bytes: no title, clipboard code, query or string of theirs reaches a reader's terminal.

mod filter;
mod keyframes;
mod player;
mod screen;
mod tape;
pub mod timeline;
mod transcript;

pub use player::{Frame, Input, Player, Speed};
pub use screen::{Cell, Color, Screen, quiet_contained_panics};
pub use tape::{Tape, Terminal};
pub use transcript::{Shown, Transcript};

#[cfg(test)]
mod tests;
