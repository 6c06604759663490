//! The newest count of each capability, told by program when the session is over.

use super::What;
use crate::model::Capability;

/// Counts so far, in the order of the first use.
#[derive(Debug, Default)]
pub(super) struct Uses(Vec<Capability>);

impl Uses {
    /// A newer count takes the place of the older.
    pub(super) fn see(&mut self, used: &Capability) {
        match self.0.iter_mut().find(|known| known.is_same(used)) {
            Some(known) => *known = used.clone(),
            None => self.0.push(used.clone()),
        }
    }

    /// One item a program, with what was refused behind what was used.
    pub(super) fn take(&mut self) -> Vec<What> {
        let mut programs: Vec<Vec<Capability>> = Vec::new();
        for used in std::mem::take(&mut self.0) {
            let is = |p: &&mut Vec<Capability>| {
                p.first().is_some_and(|first| (first.dev, first.ino) == (used.dev, used.ino))
            };
            match programs.iter_mut().find(is) {
                Some(program) => program.push(used),
                None => programs.push(vec![used]),
            }
        }
        for program in &mut programs {
            program.sort_by_key(|used| (used.granted == 0, used.inner, used.number));
        }
        programs.into_iter().map(What::Used).collect()
    }
}
