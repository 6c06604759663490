//! RFC 6962 Merkle tree, kept as its right edge: the roots of the perfect subtrees, largest first.

use sha2::{Digest as _, Sha256};

use crate::model::Digest;

/// The right edge of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

/// Hash of an inner node.
pub(super) fn node(left: &Digest, right: &Digest) -> Digest {
    let mut sha = Sha256::new();
    sha.update([1u8]);
    sha.update(left.as_bytes());
    sha.update(right.as_bytes());
    Digest::new(sha.finalize().into())
}

impl Frontier {
    /// Takes up a tree of `size` leaves; `None` if the number of peaks doesn't belong to that size.
    pub fn resume(size: u64, peaks: Vec<Digest>) -> Option<Self> {
        let fits = u32::try_from(peaks.len()) == Ok(size.count_ones());
        fits.then_some(Self { size, peaks })
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, largest first.
    pub fn peaks(&self) -> &[Digest] {
        &self.peaks
    }

    /// Adds a leaf hash.
    pub fn push(&mut self, leaf: Digest) {
        let mut top = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                top = node(&left, &top);
            }
        }
        self.peaks.push(top);
        self.size = self.size.saturating_add(1);
    }

    /// Adds the root of a perfect subtree of 2^`level` leaves; false if no such subtree begins here.
    pub fn push_perfect(&mut self, level: u32, root: Digest) -> bool {
        let Some(leaves) = 1u64.checked_shl(level) else { return false };
        if !self.size.is_multiple_of(leaves) {
            return false;
        }
        let mut top = root;
        for _ in 0..self.size.checked_shr(level).unwrap_or(0).trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                top = node(&left, &top);
            }
        }
        self.peaks.push(top);
        self.size = self.size.saturating_add(leaves);
        true
    }

    /// The Merkle tree hash.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return Digest::new(Sha256::digest([]).into());
        };
        peaks.fold(*last, |right, left| node(left, &right))
    }
}

/// Roots of the perfect subtrees that a range of leaves is made of, from left to right. Put behind the peaks of the tree
/// before the range, one after the other, they give the tree behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeRoots {
    next: u64,
    roots: Vec<(u32, Digest)>,
}

impl RangeRoots {
    /// The empty range at that leaf.
    pub const fn new(first: u64) -> Self {
        Self { next: first, roots: Vec::new() }
    }

    /// Adds a leaf hash.
    pub fn push(&mut self, leaf: Digest) {
        let (mut level, mut top) = (0u32, leaf);
        // A right child whose left sibling lies in the range, too, becomes its parent.
        while self.next.checked_shr(level).unwrap_or(0) & 1 == 1
            && let Some((_, left)) = self.roots.pop_if(|(l, _)| *l == level)
        {
            top = node(&left, &top);
            level = level.saturating_add(1);
        }
        self.roots.push((level, top));
        self.next = self.next.saturating_add(1);
    }

    /// The roots.
    pub fn into_roots(self) -> Vec<Digest> {
        self.roots.into_iter().map(|(_, root)| root).collect()
    }

    /// The levels of the roots of the leaves from `first` to before `end`: they follow from the two numbers.
    pub fn levels(first: u64, end: u64) -> Vec<u32> {
        let (mut at, mut levels) = (first, Vec::new());
        while at < end {
            let room = end.saturating_sub(at).ilog2();
            let level = if at == 0 { room } else { room.min(at.trailing_zeros()) };
            levels.push(level);
            at = at.saturating_add(1u64.checked_shl(level).unwrap_or(u64::MAX));
        }
        levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::wide;

    /// RFC 6962 section 2.1, written down as it stands there.
    fn naive(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::new(Sha256::digest([]).into()),
            [one] => *one,
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                node(&naive(&leaves[..k]), &naive(&leaves[k..]))
            }
        }
    }

    #[test]
    fn the_right_edge_has_the_root_of_the_whole_tree() {
        let leaves: Vec<Digest> = (0..70u8).map(|n| Digest::new([n; 32])).collect();
        let mut edge = Frontier::default();
        for (n, leaf) in leaves.iter().enumerate() {
            assert_eq!(edge.root(), naive(&leaves[..n]));
            edge = Frontier::resume(edge.size(), edge.peaks().to_vec()).unwrap();
            edge.push(*leaf);
        }
        assert_eq!(edge.root(), naive(&leaves));
        assert_eq!(Frontier::resume(3, vec![leaves[0]]), None);
    }

    #[test]
    fn a_range_is_its_perfect_subtrees() {
        let leaves: Vec<Digest> = (0..70u8).map(|n| Digest::new([n; 32])).collect();
        for first in 0..leaves.len() {
            for end in first + 1..=leaves.len() {
                let mut edge = Frontier::default();
                leaves[..first].iter().for_each(|leaf| edge.push(*leaf));
                let mut range = RangeRoots::new(wide(first));
                leaves[first..end].iter().for_each(|leaf| range.push(*leaf));
                let roots = range.into_roots();
                let levels = RangeRoots::levels(wide(first), wide(end));
                assert_eq!(roots.len(), levels.len(), "{first} to {end}");
                for (level, root) in levels.into_iter().zip(roots) {
                    assert!(edge.push_perfect(level, root), "{first} to {end}");
                }
                assert_eq!((edge.root(), edge.size()), (naive(&leaves[..end]), wide(end)));
            }
        }
        assert!(!Frontier::resume(1, vec![leaves[0]]).unwrap().push_perfect(1, leaves[1]));
        assert!(!Frontier::default().push_perfect(64, leaves[1]));
    }
}
