//! Work on all processors, results in order: no worker waits for another's item, and what is done but not yet taken is
//! bounded. Knows nothing of journals.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many items may be begun or done for each worker before the first of them is taken.
const AHEAD: usize = 2;

struct State<T> {
    /// Next item that nobody works on.
    next: usize,
    /// Items handed over.
    taken: usize,
    done: BTreeMap<usize, T>,
    /// Told by workers, not yet passed on.
    units: u64,
    /// Nothing more is to be begun.
    stop: bool,
    /// A worker panicked: what it worked on will never be done.
    dead: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Something was done or told, or a worker is gone.
    news: Condvar,
    /// Something was taken, or it is over.
    room: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the waiting side go on when a worker unwinds; the scope passes the panic on.
struct Watch<'a, T>(&'a Shared<T>);

impl<T> Drop for Watch<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().dead = true;
            self.0.news.notify_all();
        }
    }
}

/// Ends the workers when the taking side leaves, however it leaves.
struct Close<'a, T>(&'a Shared<T>);

impl<T> Drop for Close<'_, T> {
    fn drop(&mut self) {
        self.0.lock().stop = true;
        self.0.room.notify_all();
    }
}

/// Does `work` for the items 0 to `items` on `width` threads, the caller's alone if that is 1, and hands each result to
/// `each`, in order, until that says false. `work` may tell how far it is; `told` gets the sums, on the caller's thread.
pub(super) fn in_order<T: Send>(
    items: usize,
    width: usize,
    work: impl Fn(usize, &dyn Fn(u64)) -> T + Sync,
    told: &mut dyn FnMut(u64),
    each: &mut dyn FnMut(usize, T) -> bool,
) {
    if width <= 1 || items <= 1 {
        let told = RefCell::new(told);
        for item in 0..items {
            let result = work(item, &|units| told.borrow_mut()(units));
            if !each(item, result) {
                return;
            }
        }
        return;
    }
    let state = State { next: 0, taken: 0, done: BTreeMap::new(), units: 0, stop: false, dead: false };
    let shared = Shared { state: Mutex::new(state), news: Condvar::new(), room: Condvar::new() };
    std::thread::scope(|scope| {
        for _ in 0..width.min(items) {
            scope.spawn(|| worker(&shared, items, width.saturating_mul(AHEAD), &work));
        }
        let _close = Close(&shared);
        take(&shared, items, told, each);
    });
}

fn worker<T>(
    shared: &Shared<T>,
    items: usize,
    window: usize,
    work: &(impl Fn(usize, &dyn Fn(u64)) -> T + Sync),
) {
    let _watch = Watch(shared);
    let mut state = shared.lock();
    loop {
        if state.stop || state.dead || state.next >= items {
            return;
        }
        if state.next >= state.taken.saturating_add(window) {
            state = shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let item = state.next;
        state.next = item.saturating_add(1);
        drop(state);
        let result = work(item, &|units| {
            let mut state = shared.lock();
            state.units = state.units.saturating_add(units);
            shared.news.notify_all();
        });
        state = shared.lock();
        state.done.insert(item, result);
        shared.news.notify_all();
    }
}

fn take<T>(
    shared: &Shared<T>,
    items: usize,
    told: &mut dyn FnMut(u64),
    each: &mut dyn FnMut(usize, T) -> bool,
) {
    let mut state = shared.lock();
    while state.taken < items {
        let units = std::mem::take(&mut state.units);
        let item = state.taken;
        let ready = state.done.remove(&item);
        if units == 0 && ready.is_none() {
            if state.dead {
                return;
            }
            state = shared.news.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        if ready.is_some() {
            state.taken = item.saturating_add(1);
            shared.room.notify_all();
        }
        drop(state);
        if units > 0 {
            told(units);
        }
        if ready.is_some_and(|result| !each(item, result)) {
            return;
        }
        state = shared.lock();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn all(items: usize, width: usize) -> (Vec<usize>, u64) {
        let (mut got, mut units) = (Vec::new(), 0);
        let work = |item: usize, tell: &dyn Fn(u64)| {
            tell(1);
            tell(2);
            item * item
        };
        in_order(items, width, work, &mut |n| units += n, &mut |item, result| {
            assert_eq!(result, item * item);
            got.push(item);
            true
        });
        (got, units)
    }

    #[test]
    fn everything_comes_in_order_with_all_that_was_told() {
        for (items, width) in [(0, 4), (1, 4), (3, 1), (100, 2), (100, 7), (5, 64)] {
            let expected: Vec<usize> = (0..items).collect();
            assert_eq!(
                all(items, width),
                (expected, 3 * u64::try_from(items).unwrap()),
                "{items} on {width}"
            );
        }
    }

    #[test]
    fn a_slow_item_holds_up_nobody_and_what_waits_for_it_is_bounded() {
        let (width, begun) = (3, AtomicUsize::new(0));
        // Item 0 ends only when all the others that may begin have begun: waves of `width` would never get there.
        let window = width * AHEAD;
        let reached = Barrier::new(2);
        let mut most = 0;
        let work = |item: usize, _: &dyn Fn(u64)| {
            let now = begun.fetch_add(1, Ordering::SeqCst) + 1;
            if item == 0 || now == window {
                reached.wait();
            }
            if item == 0 { begun.load(Ordering::SeqCst) } else { 0 }
        };
        in_order(window * 4, width, work, &mut |_| (), &mut |_, seen| {
            most = most.max(seen);
            true
        });
        assert_eq!(most, window);
    }

    #[test]
    fn a_no_ends_the_work() {
        let begun = AtomicUsize::new(0);
        let work = |item: usize, _: &dyn Fn(u64)| {
            begun.fetch_add(1, Ordering::SeqCst);
            item
        };
        in_order(1000, 2, work, &mut |_| (), &mut |item, _| item < 3);
        assert!(begun.into_inner() <= 4 + 2 * AHEAD + 2);
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_of_a_worker_is_nobodys_endless_wait() {
        in_order(10, 2, |item, _| assert_ne!(item, 4), &mut |_| (), &mut |_, ()| true);
    }
}
