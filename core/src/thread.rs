//! Which thread this is: a small number, reused.
//!
//! Numbers are handed out lowest first and go back when their thread ends. Whoever holds a [`Seat`] is alone with
//! everything kept under its number; threads without one share what is kept for all.

/// How many threads have a number of their own at a time. The rest share.
pub(crate) const SEATS: usize = 128;

/// Proof that this thread is the only one with this number.
#[derive(Debug)]
pub(crate) struct Seat {
    number: usize,
    /// A seat proves something about one thread, so it never leaves it.
    _stays: core::marker::PhantomData<*const ()>,
}

impl Seat {
    /// Below [`SEATS`].
    #[inline]
    pub(crate) fn number(&self) -> usize {
        self.number
    }
}

#[cfg(any(not(feature = "std"), spanwire_loom))]
mod numbers {
    use super::Seat;

    /// Without threads nothing tells an interrupt from what it interrupts: nobody has a seat. Nor has anybody under
    /// loom, whose atomics can't be static.
    #[inline]
    pub(crate) fn with<R>(run: impl FnOnce(Option<&Seat>) -> R) -> R {
        run(None)
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

    static FREE: [AtomicUsize; SEATS / WORD] =
        [const { AtomicUsize::new(usize::MAX) }; SEATS / WORD];

    /// What a thread knows of its number: the number, or one of these.
    const UNKNOWN: usize = usize::MAX;
    const NONE: usize = usize::MAX - 1;

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
            let _ = NUMBER.try_with(|number| number.set(NONE));
            if let Some(number) = self.0.take() {
                Bitmap(&FREE).insert(number);
            }
        }
    }

    /// Runs `run` with this thread's seat; with none when all are taken or the thread is being torn down.
    #[inline(always)]
    pub(crate) fn with<R>(run: impl FnOnce(Option<&Seat>) -> R) -> R {
        let mut number = NUMBER.try_with(Cell::get).unwrap_or(NONE);
        if number == UNKNOWN {
            number = sit_down();
        }
        let seat = Seat {
            number,
            _stays: PhantomData,
        };
        run((number < SEATS).then_some(&seat))
    }

    /// Takes a number for this thread, if there is one.
    #[cold]
    #[inline(never)]
    fn sit_down() -> usize {
        let number = HELD.try_with(|held| held.0).ok().flatten();
        let number = number.unwrap_or(NONE);
        let _ = NUMBER.try_with(|place| place.set(number));
        number
    }
}

pub(crate) use numbers::with;
