//! Atomic operations that return the old value. The BPF target of rustc declares no compare-and-swap, so `core::sync`
//! has none of them; the instruction set has had them since v3 (Linux 5.12).

use core::arch::asm;

macro_rules! fetch {
    ($(#[$doc:meta])* $name:ident, $text:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name(at: *mut u64, operand: u64) -> u64 {
            let mut value = operand;
            // SAFETY: one instruction on a map value that the verifier has checked.
            unsafe { asm!($text, value = inout(reg) value, at = in(reg) at) };
            value
        }
    };
}

fetch!(
    /// Adds.
    fetch_add, "{value} = atomic_fetch_add((u64 *)({at} + 0), {value})"
);
fetch!(
    /// Sets bits.
    fetch_or, "{value} = atomic_fetch_or((u64 *)({at} + 0), {value})"
);
fetch!(
    /// Keeps bits.
    fetch_and, "{value} = atomic_fetch_and((u64 *)({at} + 0), {value})"
);
