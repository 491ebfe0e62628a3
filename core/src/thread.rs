//! Which thread this is: a small number, reused.
//!
//! Numbers are handed out lowest first and go back when their thread ends. Whoever holds a [`Seat`] is alone with
//! everything kept under its number; threads without one share what is kept for all.

/// How many threads have a number of their own at a time. The rest share.
pub(crate) const SEATS: usize = 128;

/// Proof that this thread is the only one with this number.
// Copied: passed by reference, it would have to be in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    number: usize,
    /// A seat proves something about one thread, so it never leaves it.
    _stays: core::marker::PhantomData<*const ()>,
}

impl Seat {
    /// Below [`SEATS`].
    #[inline]
    pub(crate) fn number(self) -> usize {
        self.number
    }
}

#[cfg(any(not(feature = "std"), spanwire_loom))]
mod numbers {
    use super::Seat;

    /// Without threads nothing tells an interrupt from what it interrupts: nobody has a seat. Nor has anybody under
    /// loom, whose atomics can't be static.
    #[inline]
    pub(crate) fn seat() -> Option<Seat> {
        None
    }
}

#[cfg(all(feature = "std", not(spanwire_loom)))]
mod numbers {
    use core::cell::Cell;
    use core::marker::PhantomData;
    use std::thread_local;

    use super::{SEATS, Seat};
    use crate::bitmap::{Bitmap, WORD};
    use crate::sync::AtomicUsize;
    #[cfg(all(unix, not(miri)))]
    use crate::sync::Ordering;

    static FREE: [AtomicUsize; SEATS / WORD] =
        [const { AtomicUsize::new(usize::MAX) }; SEATS / WORD];

    /// What a thread knows of its number: the number, or one of these.
    const UNKNOWN: usize = usize::MAX;
    const NONE: usize = usize::MAX - 1;
    /// The thread is just taking its number or giving it back.
    const CHANGING: usize = usize::MAX - 2;

    thread_local! {
        // Needs no destructor, so a look at it is one load.
        static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
        static HELD: Held = Held::take();
    }

    /// Keeps a number until its thread ends.
    struct Held(Option<usize>);

    impl Held {
        fn take() -> Self {
            Self(Bitmap(&FREE).take_lowest())
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            // What ends later on this thread shares: the number may be another thread's by then.
            let _ = NUMBER.try_with(|number| number.set(CHANGING));
            if let Some(number) = self.0.take() {
                Bitmap(&FREE).insert(number);
            }
            let _ = NUMBER.try_with(|number| number.set(NONE));
        }
    }

    /// This thread's seat; `None` when all are taken or the thread is being torn down. Not to be kept.
    #[inline(always)]
    pub(crate) fn seat() -> Option<Seat> {
        let mut number = NUMBER.try_with(Cell::get).unwrap_or(NONE);
        if number >= SEATS {
            number = sit_down(number);
        }
        (number < SEATS).then_some(Seat {
            number,
            _stays: PhantomData,
        })
    }

    /// Frees the numbers of all threads but this one: in a forked child, where the others are not.
    ///
    /// Async-signal-safe. Nothing is freed where a signal's handler forked a thread that was changing its number: better
    /// a few numbers stay taken than two threads have one.
    #[cfg(all(unix, not(miri)))]
    pub(crate) fn leave_behind() {
        let number = NUMBER.try_with(Cell::get).unwrap_or(NONE);
        if number == CHANGING {
            return;
        }
        for (at, word) in FREE.iter().enumerate() {
            let own = if number / WORD == at {
                1 << (number % WORD)
            } else {
                0
            };
            word.store(!own, Ordering::Relaxed);
        }
    }

    /// How many numbers nobody has.
    #[cfg(all(test, unix, not(miri)))]
    pub(crate) fn free() -> usize {
        Bitmap(&FREE).count()
    }

    /// Takes a number for this thread, if it is not known whether there is one.
    #[cold]
    #[inline(never)]
    fn sit_down(known: usize) -> usize {
        if known != UNKNOWN {
            return known;
        }
        let _ = NUMBER.try_with(|place| place.set(CHANGING));
        let number = HELD.try_with(|held| held.0).ok().flatten();
        let number = number.unwrap_or(NONE);
        let _ = NUMBER.try_with(|place| place.set(number));
        number
    }
}

pub(crate) use numbers::seat;

#[cfg(all(feature = "std", unix, not(miri), not(spanwire_loom)))]
pub(crate) use numbers::leave_behind;

#[cfg(all(test, feature = "std", unix, not(miri), not(spanwire_loom)))]
pub(crate) use numbers::free;

/// Runs `run` with this thread's seat.
#[inline(always)]
pub(crate) fn with<R>(run: impl FnOnce(Option<Seat>) -> R) -> R {
    run(seat())
}
