//! What the kernel side counts of a session's programs: the first time is an event with a path, later ones are counts without.

use std::collections::HashMap;

use crate::model::{Attempt, Body, Bytes, ExecFailed, Flags, Folded, Mapped};

/// Errno, directory, name and its length.
type Failed = (u32, ((u32, u32), u64), Bytes, u32);
/// Device, inode, its generation, how.
type File = ((u32, u32), u64, u32, u16);

/// Where it lies, and the count that was written last.
#[derive(Debug, Default)]
struct Known {
    path: Bytes,
    written: u64,
    /// Of it so many are in the sum of the path that is shown.
    summed: u64,
}

/// Of one session. The kernel's maps bound it.
#[derive(Debug, Default)]
pub(super) struct Folds {
    failed: HashMap<Failed, Known>,
    /// By the path that is shown: the last record of a path and errno holds, whatever the names were that it was passed by.
    sums: HashMap<(Bytes, u32), u64>,
    mapped: HashMap<File, Known>,
}

impl Folds {
    /// The record, if it says more than the one before. With `all` nothing more comes.
    pub(super) fn take(&mut self, folded: Folded, all: bool) -> Option<(Flags, Body)> {
        match folded {
            Folded::Failed(attempt) => self.failed(*attempt, all),
            Folded::Mapped(mapped) => self.mapped(*mapped),
        }
    }

    fn failed(&mut self, attempt: Attempt, all: bool) -> Option<(Flags, Body)> {
        let Attempt { path, errno, directory, name, len, by, count, first, last } = attempt;
        let is_cut = usize::try_from(len).is_ok_and(|len| len > name.len());
        let key = (errno, directory, name.clone(), len);
        if path.is_empty() && len > 0 && !all && !self.failed.contains_key(&key) {
            // Its event is on the way, and knows the path: told by its name as well it would count twice. If it was lost, the next count says so.
            self.failed.insert(key, Known::default());
            return None;
        }
        let known = self.failed.entry(key).or_default();
        if known.path.is_empty() && !path.is_empty() && path != name {
            known.summed = 0;
        }
        let count = known.sees(path, count)?;
        // Its event was lost: what is left is the name, without its directory and perhaps without its end.
        let (path, flags) = if known.path.is_empty() && len > 0 {
            (name, if is_cut { Flags::AS_PASSED.with(Flags::TRUNCATED) } else { Flags::AS_PASSED })
        } else {
            (known.path.clone(), Flags::AS_PASSED)
        };
        let sum = self.sums.entry((path.clone(), errno)).or_default();
        *sum = sum.saturating_add(count.saturating_sub(known.summed));
        known.summed = count;
        let count = *sum;
        Some((flags, Body::ExecFailed(Box::new(ExecFailed { path, errno, by, count, first, last }))))
    }

    fn mapped(&mut self, mapped: Mapped) -> Option<(Flags, Body)> {
        let known = self.mapped.entry((mapped.dev, mapped.ino, mapped.generation, mapped.how)).or_default();
        let count = known.sees(mapped.path, mapped.count)?;
        let path = known.path.clone();
        Some((Flags::default(), Body::Mapped(Box::new(Mapped { path, count, ..mapped }))))
    }
}

impl Known {
    /// The count to write. An event may come behind a count that has it already.
    fn sees(&mut self, path: Bytes, count: u64) -> Option<u64> {
        let is_news = count > self.written || (self.path.is_empty() && !path.is_empty());
        if !path.is_empty() {
            self.path = path;
        }
        self.written = self.written.max(count);
        is_news.then_some(self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(path: &str, name: &str, count: u64) -> Folded {
        let len = u32::try_from(name.len()).unwrap();
        let attempt =
            Attempt { path: path.into(), errno: 2, name: name.into(), len, count, ..Attempt::default() };
        Folded::Failed(Box::new(attempt))
    }

    fn told(folds: &mut Folds, folded: Folded) -> Option<(String, u64)> {
        match folds.take(folded, false)?.1 {
            Body::ExecFailed(failed) => Some((failed.path.escaped(), failed.count)),
            Body::Mapped(mapped) => Some((mapped.path.escaped(), mapped.count)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_storm_of_one_name_is_its_first_record_and_its_counts() {
        let mut folds = Folds::default();
        let mut told = |folded| told(&mut folds, folded);
        assert_eq!(told(attempt("/w/x", "x", 1)), Some(("/w/x".to_owned(), 1)));
        assert_eq!(told(attempt("", "x", 1)), None);
        assert_eq!(told(attempt("", "x", 100_000)), Some(("/w/x".to_owned(), 100_000)));
        assert_eq!(told(attempt("", "x", 100_000)), None);
        // Another name of the same.
        let other = Attempt {
            path: "/w/x".into(),
            name: "/w/x".into(),
            errno: 2,
            len: 4,
            count: 3,
            ..Attempt::default()
        };
        assert_eq!(told(Folded::Failed(Box::new(other))), Some(("/w/x".to_owned(), 100_003)));
        assert_eq!(told(attempt("", "x", 100_001)), Some(("/w/x".to_owned(), 100_004)));
        // Beyond the names that are kept.
        assert_eq!(told(attempt("", "", 7)), Some((String::new(), 7)));
    }

    #[test]
    fn a_name_whose_event_is_lost_or_late_is_told_by_its_count() {
        let mut folds = Folds::default();
        assert_eq!(told(&mut folds, attempt("", "x", 4)), None);
        assert_eq!(told(&mut folds, attempt("", "x", 5)), Some(("x".to_owned(), 5)));
        assert_eq!(told(&mut folds, attempt("/w/x", "x", 1)), Some(("/w/x".to_owned(), 5)));
        let long = Attempt { name: "y".into(), len: 300, count: 1, ..Attempt::default() };
        let (flags, _) = folds.take(Folded::Failed(Box::new(long)), true).unwrap();
        assert!(flags.has(Flags::TRUNCATED) && flags.has(Flags::AS_PASSED));
    }

    #[test]
    fn a_count_that_comes_before_its_event_is_not_added_to_it() {
        for early in [1, 2] {
            let mut folds = Folds::default();
            for _ in 0..early {
                told(&mut folds, attempt("", "/nowhere/x", 1));
            }
            assert_eq!(
                told(&mut folds, attempt("/nowhere/x", "/nowhere/x", 1)),
                Some(("/nowhere/x".to_owned(), 1))
            );
            assert_eq!(told(&mut folds, attempt("", "/nowhere/x", 3)), Some(("/nowhere/x".to_owned(), 3)));
        }
    }

    #[test]
    fn a_file_is_told_once_by_each_way() {
        let mut folds = Folds::default();
        let of = |path: &str, how, count| {
            let mapped = Mapped { path: path.into(), ino: 9, how, count, ..Mapped::default() };
            Folded::Mapped(Box::new(mapped))
        };
        let told = |folds: &mut Folds, folded| told(folds, folded);
        assert_eq!(told(&mut folds, of("/x.so", Mapped::MMAP, 1)), Some(("/x.so".to_owned(), 1)));
        assert_eq!(told(&mut folds, of("/x.so", Mapped::MPROTECT, 1)), Some(("/x.so".to_owned(), 1)));
        assert_eq!(told(&mut folds, of("", Mapped::MMAP, 1)), None);
        assert_eq!(told(&mut folds, of("", Mapped::MMAP, 3)), Some(("/x.so".to_owned(), 3)));
        // Its number was given to another file.
        let mapped = Mapped {
            path: "/y.so".into(),
            ino: 9,
            generation: 1,
            how: Mapped::MMAP,
            count: 1,
            ..Mapped::default()
        };
        assert_eq!(told(&mut folds, Folded::Mapped(Box::new(mapped))), Some(("/y.so".to_owned(), 1)));
    }
}
