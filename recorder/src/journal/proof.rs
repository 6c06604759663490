//! RFC 6962 consistency proofs: that a larger tree begins with a smaller one. Made from the smaller tree's right edge and
//! the leaves behind it, so a prover never needs the whole log.

use super::tree::{Frontier, node};
use crate::model::Digest;

/// Most hashes of a proof between two sizes of 64 bits.
pub const MAX_HASHES: usize = 64;

/// One hash of a proof.
#[derive(Clone, Debug)]
enum Part {
    /// A perfect subtree of the old tree, of so many leaves from there.
    Peak(u64, u64),
    /// Leaves that came later, from one index up to another; the tree of those that were seen.
    Fresh(u64, u64, Frontier),
}

/// Collects what a proof is made of.
#[derive(Clone, Debug)]
pub struct Prover {
    old: u64,
    parts: Vec<Part>,
}

impl Prover {
    /// For sizes with 0 < old <= new; `None` otherwise.
    pub fn new(old: u64, new: u64) -> Option<Self> {
        if old == 0 || old > new {
            return None;
        }
        let mut parts = Vec::new();
        // SUBPROOF(m, D[low:high], complete) of RFC 6962, from the root downwards; hashes stand the other way round.
        let (mut low, mut high, mut complete) = (0u64, new, true);
        while old < high {
            let size = high.saturating_sub(low);
            let split = low.saturating_add(left_half(size));
            if old <= split {
                parts.push(Part::Fresh(split, high, Frontier::default()));
                high = split;
            } else {
                parts.push(Part::Peak(low, split.saturating_sub(low)));
                (low, complete) = (split, false);
            }
        }
        if !complete {
            parts.push(Part::Peak(low, high.saturating_sub(low)));
        }
        parts.reverse();
        Some(Self { old, parts })
    }

    /// Takes the hash of a leaf. Every leaf from the old size on has to come, in order.
    pub fn leaf(&mut self, index: u64, hash: Digest) {
        for part in &mut self.parts {
            if let Part::Fresh(low, high, tree) = part
                && (*low..*high).contains(&index)
            {
                tree.push(hash);
            }
        }
    }

    /// The proof; `None` if that is not the old tree's edge, or leaves are missing.
    pub fn finish(self, old: &Frontier) -> Option<Vec<Digest>> {
        if old.size() != self.old {
            return None;
        }
        let mut peaks = Vec::new();
        let mut from = 0u64;
        for (bit, peak) in (0..64u32).rev().filter(|bit| old.size() >> bit & 1 == 1).zip(old.peaks()) {
            peaks.push((from, 1u64 << bit, *peak));
            from = from.saturating_add(1 << bit);
        }
        self.parts
            .iter()
            .map(|part| match part {
                Part::Peak(low, len) => peaks.iter().find(|(f, l, _)| f == low && l == len).map(|p| p.2),
                Part::Fresh(low, high, tree) => {
                    (tree.size() == high.saturating_sub(*low)).then(|| tree.root())
                }
            })
            .collect()
    }
}

/// The largest power of two below `n`, which is at least 2.
fn left_half(n: u64) -> u64 {
    1u64 << n.saturating_sub(1).checked_ilog2().unwrap_or(0)
}

/// Checks that the tree of `new` leaves with root `new_root` begins with the tree of `old` leaves with root `old_root`.
/// With an old size of 0 there is nothing to be shown, and the proof must be empty.
pub fn verifies(old: u64, old_root: &Digest, new: u64, new_root: &Digest, proof: &[Digest]) -> bool {
    if old > new || proof.len() > MAX_HASHES {
        return false;
    }
    if old == 0 {
        return proof.is_empty();
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    // RFC 9162, section 2.1.4.2.
    let mut hashes = proof.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { hashes.next() };
    let Some(first) = first else { return false };
    let (mut inner, mut outer) = (old.saturating_sub(1), new.saturating_sub(1));
    let ones = inner.trailing_ones();
    (inner, outer) = (inner >> ones, outer >> ones);
    let (mut old_hash, mut new_hash) = (*first, *first);
    for hash in hashes {
        if outer == 0 {
            return false;
        }
        if inner & 1 == 1 || inner == outer {
            old_hash = node(hash, &old_hash);
            new_hash = node(hash, &new_hash);
            let zeros = if inner == 0 { 0 } else { inner.trailing_zeros() };
            (inner, outer) = (inner >> zeros, outer >> zeros);
        } else {
            new_hash = node(&new_hash, hash);
        }
        (inner, outer) = (inner >> 1, outer >> 1);
    }
    outer == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn leaf(n: u64) -> Digest {
        crate::journal::key::sha256(&n.to_le_bytes())
    }

    fn edge(size: u64) -> Frontier {
        let mut edge = Frontier::default();
        (0..size).for_each(|n| edge.push(leaf(n)));
        edge
    }

    fn prove(old: u64, new: u64) -> Vec<Digest> {
        let mut prover = Prover::new(old, new).unwrap();
        (old..new).for_each(|n| prover.leaf(n, leaf(n)));
        prover.finish(&edge(old)).unwrap()
    }

    /// PROOF(m, D[n]) of RFC 6962 section 2.1.2, written down as it stands there.
    fn naive(m: usize, leaves: &[Digest], complete: bool) -> Vec<Digest> {
        let root = |leaves: &[Digest]| {
            let mut edge = Frontier::default();
            for leaf in leaves {
                edge.push(*leaf);
            }
            edge.root()
        };
        if m == leaves.len() {
            return if complete { Vec::new() } else { vec![root(leaves)] };
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(k);
        if m <= k {
            let mut proof = naive(m, left, complete);
            proof.push(root(right));
            proof
        } else {
            let mut proof = naive(m - k, right, false);
            proof.push(root(left));
            proof
        }
    }

    fn digest(text: &str) -> Digest {
        Digest::new(STANDARD.decode(text).unwrap().try_into().unwrap())
    }

    /// transparency-dev/merkle, testdata/consistency/{1,2,3,4}/happy-path.json.
    #[test]
    fn the_published_proofs_verify() {
        let eight = "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=";
        let six = "duZ9rbzfHhDht03cYIq9L5jfsW+851J3tSMqEn8gh+8=";
        let published: [(u64, u64, &str, &str, &[&str]); 4] = [
            (
                1,
                8,
                "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=",
                eight,
                &[
                    "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=",
                    "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
                    "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ=",
                ],
            ),
            (
                6,
                8,
                six,
                eight,
                &[
                    "DrxdNDf74tsVi58Sah0RjjCBgQMdCpSfje3t68VY72o=",
                    "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
                    "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
                ],
            ),
            (
                2,
                5,
                "+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU=",
                "Tju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=",
                &[
                    "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
                    "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=",
                ],
            ),
            (
                6,
                7,
                six,
                "3bib5AOAnjJXUNPSY814kpwpQreUKjS3fhIslZSnTIw=",
                &[
                    "DrxdNDf74tsVi58Sah0RjjCBgQMdCpSfje3t68VY72o=",
                    "sIaT7C5yFZcTBkHoIR5+7cy0wmQTlj7ubB4u0W/7Gl8=",
                    "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
                ],
            ),
        ];
        for (old, new, old_root, new_root, proof) in published {
            let proof: Vec<Digest> = proof.iter().map(|hash| digest(hash)).collect();
            let (old_root, new_root) = (digest(old_root), digest(new_root));
            assert!(verifies(old, &old_root, new, &new_root, &proof), "{old} in {new}");
            assert!(!verifies(old, &new_root, new, &old_root, &proof), "swapped roots");
            assert!(!verifies(old, &old_root, new, &new_root, &proof[1..]), "cut");
            assert!(!verifies(old ^ 2, &old_root, new, &new_root, &proof), "another size");
            assert!(!verifies(old, &old_root, new * 2, &new_root, &proof), "another size");
            let long = [&proof[..], &[old_root]].concat();
            assert!(!verifies(old, &old_root, new, &new_root, &long), "trailing garbage");
        }
    }

    proptest! {
        #[test]
        fn any_two_sizes_are_proven_as_the_rfc_has_it(new in 1u64..600, part in 0.0f64..1.0) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, clippy::as_conversions, reason = "a test's choice")]
            let old = 1 + ((new - 1) as f64 * part) as u64;
            let proof = prove(old, new);
            let leaves: Vec<Digest> = (0..new).map(leaf).collect();
            prop_assert_eq!(&proof, &naive(usize::try_from(old).unwrap(), &leaves, true));
            let (a, b) = (edge(old).root(), edge(new).root());
            prop_assert!(verifies(old, &a, new, &b, &proof));
            for n in 0..proof.len() {
                for bit in [0usize, 77, 255] {
                    let mut bad = proof.clone();
                    let mut raw = *bad[n].as_bytes();
                    raw[bit / 8] ^= 1 << (bit % 8);
                    bad[n] = Digest::new(raw);
                    prop_assert!(!verifies(old, &a, new, &b, &bad), "hash {} bit {}", n, bit);
                }
            }
            if old < new {
                prop_assert!(!verifies(old, &b, new, &b, &proof) && !verifies(old, &a, new, &a, &proof));
            }
        }
    }

    #[test]
    fn a_prover_refuses_what_it_can_not_prove() {
        assert!(Prover::new(0, 5).is_none() && Prover::new(6, 5).is_none());
        assert!(Prover::new(3, 9).unwrap().finish(&edge(3)).is_none(), "leaves are missing");
        assert!(Prover::new(3, 3).unwrap().finish(&edge(4)).is_none(), "another edge");
        assert_eq!(Prover::new(3, 3).unwrap().finish(&edge(3)), Some(Vec::new()));
        let large = Prover::new(1, u64::MAX).unwrap();
        assert!(large.parts.len() <= MAX_HASHES);
    }
}
