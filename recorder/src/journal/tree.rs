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

    /// The Merkle tree hash.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return Digest::new(Sha256::digest([]).into());
        };
        peaks.fold(*last, |right, left| node(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
