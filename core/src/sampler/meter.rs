//! A 64-bit time that many threads move forward, without 64-bit atomics where there are none.

#[cfg(target_pointer_width = "64")]
pub(super) use self::whole::Meter;

#[cfg(not(target_pointer_width = "64"))]
pub(super) use self::halves::Meter;

#[cfg(target_pointer_width = "64")]
mod whole {
    use crate::sync::{AtomicUsize, Ordering};

    /// The time in one word.
    #[derive(Debug)]
    pub(in super::super) struct Meter(AtomicUsize);

    impl Meter {
        pub(in super::super) fn new() -> Self {
            Self(AtomicUsize::new(0))
        }

        /// Replaces the time by what `next` makes of it; `false` when it makes nothing of it.
        ///
        /// Another round is only needed when another thread moved the time.
        #[inline]
        pub(in super::super) fn advance(&self, next: impl Fn(u64) -> Option<u64>) -> bool {
            // The word guards no other memory.
            let mut time = self.0.load(Ordering::Relaxed);
            while let Some(new) = next(time as u64) {
                match self.0.compare_exchange_weak(
                    time,
                    new as usize,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => return true,
                    Err(other) => time = other,
                }
            }
            false
        }
    }
}

#[cfg(any(test, not(target_pointer_width = "64")))]
mod halves {
    use crate::sync::{AtomicUsize, Ordering};

    /// How often a thread looks whether the lock is free. An interrupt handler must not wait for whom it interrupted.
    const LOOKS: usize = 64;

    /// The time in two words, behind a lock that is tried, never waited for.
    #[derive(Debug)]
    pub(in super::super) struct Meter {
        locked: AtomicUsize,
        low: AtomicUsize,
        high: AtomicUsize,
    }

    impl Meter {
        pub(in super::super) fn new() -> Self {
            Self {
                locked: AtomicUsize::new(0),
                low: AtomicUsize::new(0),
                high: AtomicUsize::new(0),
            }
        }

        /// Replaces the time by what `next` makes of it; `false` when it makes nothing of it, or when another thread
        /// holds the lock for long.
        pub(in super::super) fn advance(&self, next: impl Fn(u64) -> Option<u64>) -> bool {
            if !(0..LOOKS).any(|_| self.try_lock()) {
                return false;
            }
            let time = (self.high.load(Ordering::Relaxed) as u64) << 32
                | self.low.load(Ordering::Relaxed) as u64;
            let new = next(time);
            if let Some(new) = new {
                self.high.store((new >> 32) as usize, Ordering::Relaxed);
                self.low.store(new as u32 as usize, Ordering::Relaxed);
            }
            // Releases the halves to the next `Acquire`.
            self.locked.store(0, Ordering::Release);
            new.is_some()
        }

        fn try_lock(&self) -> bool {
            let free = self
                .locked
                .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
            if !free {
                core::hint::spin_loop();
            }
            free
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn odd_times_are_refused(advance: impl Fn(fn(u64) -> Option<u64>) -> bool) {
        assert!(advance(|time| (time == 0).then_some(u64::MAX - 1)));
        assert!(advance(|time| (time == u64::MAX - 1).then_some(1 << 32)));
        assert!(!advance(|time| (time % 2 == 1).then_some(7)));
        assert!(advance(|time| (time == 1 << 32).then_some(3)));
    }

    #[test]
    fn both_forms_hold_64_bits() {
        let halves = halves::Meter::new();
        odd_times_are_refused(|next| halves.advance(next));
        let meter = Meter::new();
        odd_times_are_refused(|next| meter.advance(next));
    }

    // A WebAssembly runtime has one thread.
    #[cfg(not(target_family = "wasm"))]
    #[test]
    fn no_move_is_lost_or_made_twice() {
        let (meter, halves) = (Meter::new(), halves::Meter::new());
        let moved: [usize; 2] = thread::scope(|scope| {
            let threads: [_; 4] = core::array::from_fn(|_| {
                scope.spawn(|| {
                    let limit = |time: u64| (time < 3000).then_some(time + 1);
                    let count =
                        |advance: &dyn Fn() -> bool| (0..1000).filter(|_| advance()).count();
                    [
                        count(&|| meter.advance(limit)),
                        count(&|| halves.advance(limit)),
                    ]
                })
            });
            threads
                .map(|thread| thread.join().unwrap())
                .into_iter()
                .fold([0; 2], |sum, one| [sum[0] + one[0], sum[1] + one[1]])
        });
        assert_eq!(moved[0], 3000);
        assert!(moved[1] <= 3000);
        assert!(halves.advance(|time| (time == moved[1] as u64).then_some(0)));
        assert!(meter.advance(|time| (time == 3000).then_some(0)));
    }
}
