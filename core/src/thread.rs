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
    use core::marker::PhantomData;
    use std::thread_local;

    use super::{SEATS, Seat};
    use crate::bitmap::{Bitmap, WORD};
    use crate::sync::AtomicUsize;

    static FREE: [AtomicUsize; SEATS / WORD] =
        [const { AtomicUsize::new(usize::MAX) }; SEATS / WORD];

    struct Held(Option<Seat>);

    impl Held {
        fn take() -> Self {
            let number = Bitmap(&FREE).take_lowest();
            Self(number.map(|number| Seat {
                number,
                _stays: PhantomData,
            }))
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            if let Some(seat) = self.0.take() {
                Bitmap(&FREE).insert(seat.number);
            }
        }
    }

    thread_local!(static HELD: Held = Held::take());

    /// Runs `run` with this thread's seat; with none when all are taken or the thread is being torn down.
    #[inline]
    pub(crate) fn with<R>(run: impl FnOnce(Option<&Seat>) -> R) -> R {
        let mut run = Some(run);
        let done = HELD.try_with(|held| run.take().map(|run| run(held.0.as_ref())));
        match (done, run) {
            (Ok(Some(done)), _) => done,
            (_, Some(run)) => run(None),
            // `run` is taken only by a call that returns its result.
            (_, None) => unreachable!(),
        }
    }
}

pub(crate) use numbers::with;
