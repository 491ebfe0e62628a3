//! Which process this is: a forked child counts one more than its parent.
//!
//! What was built before a fork belongs to the parent. The child compares one number to know.

use core::sync::atomic::{AtomicUsize, Ordering};

static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// How many forks lie between the process that called [`watch`] first and this one.
#[inline]
pub(crate) fn generation() -> usize {
    GENERATION.load(Ordering::Relaxed)
}

/// Counts forks from now on. Costs nothing after the first call.
pub(crate) fn watch() {
    #[cfg(all(unix, not(miri)))]
    {
        static WATCH: std::sync::Once = std::sync::Once::new();
        WATCH.call_once(hook::install);
    }
}

#[cfg(all(unix, not(miri)))]
#[allow(
    unsafe_code,
    reason = "the only way to run code in a forked child is a C function"
)]
mod hook {
    use super::{GENERATION, Ordering};

    pub(super) fn install() {
        // SAFETY: `count` is a function that lives for ever, and does nothing but add to an atomic, which is
        // async-signal-safe, as code between fork and exec has to be.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(count)) };
    }

    extern "C" fn count() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
}
