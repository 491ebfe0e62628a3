//! Counts kept by each thread for itself, and added up by whoever asks.

use crate::stats::DropReason;
use crate::sync::{AtomicUsize, Ordering};
use crate::thread::Seat;
#[cfg(feature = "alloc")]
use crate::{sync::OwnLine, thread::SEATS};

/// What is counted where spans start and end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    /// Spans that were sampled.
    Started,
    /// Spans that a sampler dropped.
    NotSampled,
    /// Roots that were thinned out for want of room.
    Overload,
    RingFull,
    Contended,
    AfterShutdown,
    Forked,
    SpanTooLarge,
}

const COUNTS: usize = 8;

impl Count {
    /// The counts of spans that were lost after they had been sampled.
    pub(super) const DROPS: [(Self, DropReason); 5] = [
        (Self::RingFull, DropReason::RingFull),
        (Self::Contended, DropReason::Contended),
        (Self::AfterShutdown, DropReason::AfterShutdown),
        (Self::Forked, DropReason::Forked),
        (Self::SpanTooLarge, DropReason::SpanTooLarge),
    ];
}

#[derive(Debug)]
struct Row([AtomicUsize; COUNTS]);

impl Row {
    #[cfg(not(spanwire_loom))]
    const fn new() -> Self {
        Self([const { AtomicUsize::new(0) }; COUNTS])
    }

    #[cfg(spanwire_loom)]
    fn new() -> Self {
        Self(core::array::from_fn(|_| AtomicUsize::new(0)))
    }
}

/// One row for each thread with a seat, which alone writes it, and one that the others share.
#[derive(Debug)]
pub(super) struct Counters {
    shared: Row,
    #[cfg(feature = "alloc")]
    seats: alloc::vec::Vec<OwnLine<Row>>,
}

impl Counters {
    /// The shared row alone.
    #[cfg(not(spanwire_loom))]
    pub(super) const fn fixed() -> Self {
        Self {
            shared: Row::new(),
            #[cfg(feature = "alloc")]
            seats: alloc::vec::Vec::new(),
        }
    }

    #[cfg(feature = "alloc")]
    pub(super) fn on_heap() -> Self {
        Self {
            shared: Row::new(),
            seats: (0..SEATS).map(|_| OwnLine(Row::new())).collect(),
        }
    }

    /// The bytes of the rows on the heap.
    #[cfg(feature = "alloc")]
    pub(super) const BYTES: usize = SEATS * size_of::<OwnLine<Row>>();

    #[cfg(feature = "alloc")]
    pub(super) fn is_on_heap(&self) -> bool {
        !self.seats.is_empty()
    }

    #[inline]
    pub(super) fn add(&self, count: Count, seat: Option<Seat>) {
        #[cfg(feature = "alloc")]
        if let Some(row) = seat.and_then(|seat| self.seats.get(seat.number())) {
            // The seat's thread is the only writer, so nothing comes between the load and the store.
            let cell = &row.0.0[count as usize];
            cell.store(
                cell.load(Ordering::Relaxed).wrapping_add(1),
                Ordering::Relaxed,
            );
            return;
        }
        let _ = seat;
        self.add_shared(count);
    }

    #[cold]
    #[inline(never)]
    fn add_shared(&self, count: Count) {
        self.shared.0[count as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self, count: Count) -> usize {
        let sum = self.shared.0[count as usize].load(Ordering::Relaxed);
        #[cfg(feature = "alloc")]
        let sum = self.seats.iter().fold(sum, |sum, row| {
            sum.wrapping_add(row.0.0[count as usize].load(Ordering::Relaxed))
        });
        sum
    }
}
