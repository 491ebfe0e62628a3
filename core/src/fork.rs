//! Which process this is: a forked child counts one more than its parent.
//!
//! What was built before a fork belongs to the parent. The child compares one number to know.

use core::sync::atomic::{AtomicUsize, Ordering};

static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// The generation of no process.
pub(crate) const NONE: usize = usize::MAX;

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
        // SAFETY: `count` is a function that lives for ever, and does nothing but change atomics, which is
        // async-signal-safe, as code between fork and exec has to be.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(count)) };
    }

    extern "C" fn count() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
        #[cfg(not(spanwire_loom))]
        crate::thread::leave_behind();
    }
}

#[cfg(all(test, unix, not(miri), not(spanwire_loom)))]
#[allow(unsafe_code, reason = "a test of forking forks")]
mod tests {
    use std::sync::Barrier;

    use crate::thread::{self, SEATS};

    #[test]
    fn a_child_has_the_seats_of_the_threads_it_left_behind() {
        super::watch();
        let (seated, done) = (Barrier::new(6), Barrier::new(6));
        std::thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    assert!(thread::seat().is_some());
                    seated.wait();
                    done.wait();
                });
            }
            let own = thread::seat().is_some();
            seated.wait();
            assert!(thread::free() < SEATS - 5);
            // SAFETY: the child reads atomics and leaves.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let left = SEATS - usize::from(own);
                // SAFETY: ends the process, and runs nothing of the parent's on the way.
                unsafe { libc::_exit((thread::free() != left).into()) };
            }
            let mut status = -1;
            // SAFETY: waits for the child that was just made, whose status goes to a number of this function's.
            let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
            done.wait();
            assert!(child > 0 && waited == child);
            assert_eq!(status, 0);
        });
    }
}
