//! Asks for memory before it is needed.
//!
//! A bucket that closes visits every model of a judge, far more than caches hold: one after another, each would wait for memory by itself;
//! asked for together, they come together. Holds: what is asked for changes nothing but time.

/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Asks for every cache line of `value`; it is not read. Where stable Rust has no such instruction, nothing is done.
#[inline]
pub fn prefetch<T: ?Sized>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let first = std::ptr::from_ref(value).cast::<i8>();
        // A value seldom begins where a line does.
        let into_line = first.addr() % LINE;
        let line = first.wrapping_sub(into_line);
        for at in (0..into_line + size_of_val(value)).step_by(LINE) {
            // SAFETY: a prefetch neither reads nor writes nor faults, whatever the address; the line holds a part of the value.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.wrapping_add(at)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
