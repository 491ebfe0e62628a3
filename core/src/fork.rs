//! Which process this is: a forked child counts one more than its parent.
//!
//! What was built before a fork belongs to the parent. The child compares one number to know. Each thread notes, beside
//! that, in which process it is ready to start spans.

use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::thread_local;

static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// The generation of no process.
pub(crate) const NONE: usize = usize::MAX;

/// How many forks lie between the process that called [`watch`] first and this one.
#[inline]
pub(crate) fn generation() -> usize {
    GENERATION.load(Ordering::Relaxed)
}

/// What a thread has that is ready in no process. Differs from every generation, and from [`NONE`], which a recorder of no
/// process has.
const UNREADY: usize = NONE - 1;

thread_local! {
    /// The generation of the process in which this thread is ready to start spans: its ids are seeded there, and nobody
    /// asks it for silence. Needs no destructor, so a look at it is one load.
    static READY: Cell<usize> = const { Cell::new(UNREADY) };
}

/// Whether this thread is ready to start spans, and runs in the process of this generation: one look tells both. The thread
/// of a forked child is not, nor is a new or a silenced one.
#[inline(always)]
pub(crate) fn is_ready_in(generation: usize) -> bool {
    READY.try_with(Cell::get) == Ok(generation)
}

/// Notes that this thread has what it takes to start spans.
pub(crate) fn make_ready() {
    let _ = READY.try_with(|ready| ready.set(generation()));
}

/// Has the next span of this thread start the long way, which asks for silence and seeds ids.
pub(crate) fn make_unready() {
    let _ = READY.try_with(|ready| ready.set(UNREADY));
}

/// Counts forks from the first call on. Costs nothing after the first call.
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
        // SAFETY: `count` is a function that lives for ever, and does nothing but change atomics and numbers of its
        // thread, which is async-signal-safe, as code between fork and exec has to be.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(count)) };
    }

    extern "C" fn count() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
        super::make_unready();
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
    fn a_thread_is_ready_until_it_is_not() {
        let now = super::generation();
        let is_ready = move || super::is_ready_in(now);
        std::thread::spawn(move || {
            assert!(!is_ready(), "a new one is not");
            super::make_ready();
            assert!(is_ready() && !super::is_ready_in(now + 1));
            super::make_unready();
            assert!(!is_ready() && !super::is_ready_in(super::NONE));
        })
        .join()
        .unwrap();
    }

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
