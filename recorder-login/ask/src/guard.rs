//! A panic of ours must not end somebody's sudo: it is caught at the edge, and the module then steps aside.

use std::panic::{self, AssertUnwindSafe};

use crate::sys;

/// Runs `work`; after a panic (which no known input causes) gives `otherwise`.
///
/// The hook is that of this library's own copy of `std`, not of the program. It is silent: the usual one looks for a
/// backtrace if the person's environment asks for it, and sudo's standard error is the person's.
pub fn guarded<T>(otherwise: T, work: impl FnOnce() -> T) -> T {
    // Unit tests want to hear of theirs.
    #[cfg(not(test))]
    panic::set_hook(Box::new(|_| {}));
    if let Ok(value) = panic::catch_unwind(AssertUnwindSafe(work)) {
        return value;
    }
    sys::log("panic in the module; it steps aside");
    otherwise
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stays_inside() {
        assert_eq!(guarded(1, || 2), 2);
        assert_eq!(guarded(1, || panic!("inside")), 1);
    }
}
