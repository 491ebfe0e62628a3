//! Where a panic of a caller's code stops: an exporter, a clock, a waker.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

/// Runs `call`. `None` when it panicked; what it left half done is its author's, and nobody here looks at it again.
pub(crate) fn contained<R>(call: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(done) => Some(done),
        Err(payload) => {
            // What was thrown may throw once more when it is let go.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                core::mem::forget(again);
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::contained;

    #[test]
    fn even_what_is_thrown_may_panic() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                if !std::thread::panicking() {
                    std::panic::panic_any("again");
                }
            }
        }
        assert_eq!(contained(|| 1), Some(1));
        assert_eq!(contained(|| std::panic::panic_any(Bomb)), None::<()>);
    }
}
