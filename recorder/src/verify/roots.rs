//! Roots of one segment that somebody else may have signed: at the sizes that anchors name, and at the seals before a
//! checkpoint that came back.

use std::collections::VecDeque;

use super::anchor::{Mark, Recorded};
use super::notes::Note;
use crate::journal::walk::{SealPoint, State};
use crate::model::{Cosigned, Digest};

/// Seals of a segment whose roots are kept for the checkpoints that come back: some minutes of the busiest host.
const RECENT: usize = 1 << 16;

pub(super) struct Roots<'a> {
    wanted: std::slice::Iter<'a, u64>,
    next: Option<u64>,
    pub(super) marks: Vec<Mark>,
    recent: VecDeque<(u64, Digest)>,
    /// Checkpoints that no seal covers yet.
    open: Vec<(u64, Box<Cosigned>)>,
    pub(super) recorded: Vec<Recorded>,
}

impl<'a> Roots<'a> {
    /// `wanted`: tree sizes, rising.
    pub(super) fn new(wanted: &'a [u64]) -> Self {
        let mut wanted = wanted.iter();
        let next = wanted.next().copied();
        let (recent, open) = (VecDeque::new(), Vec::new());
        Self { wanted, next, marks: Vec::new(), recent, open, recorded: Vec::new() }
    }

    pub(super) fn leaf(&mut self, state: &State) {
        while self.next.is_some_and(|size| size < state.leaf) {
            self.next = self.wanted.next().copied();
        }
        if self.next == Some(state.leaf) {
            self.marks.push(Mark { size: state.leaf, root: state.tree.root(), sealed: None });
        }
    }

    /// A note of a leaf that is not yet sealed.
    pub(super) fn note(&mut self, leaf: u64, note: &Note) {
        if let Note::Cosigned(cosigned) = note {
            self.open.push((leaf, cosigned.clone()));
        }
    }

    pub(super) fn sealed(&mut self, point: &SealPoint) {
        let seal = &point.seal;
        if let Some(mark) = self.marks.last_mut().filter(|m| m.size == seal.tree_size) {
            mark.sealed = Some(seal.clock.real);
        }
        for (leaf, cosigned) in self.open.drain(..) {
            let known = self.recent.iter().rev().find(|(size, _)| *size <= cosigned.size);
            let fits =
                known.filter(|(size, _)| *size == cosigned.size).map(|(_, root)| *root == cosigned.root);
            self.recorded.push(Recorded { leaf, cosigned: *cosigned, fits });
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((seal.tree_size, seal.root));
    }
}
