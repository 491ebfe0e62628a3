//! Pages: the memory of spans that have not ended.
//!
//! A page is claimed by a span when it is first told something, and goes back when the span ends. A thread with a
//! [`Seat`] keeps a few free pages for itself, so that the next span costs no atomic operation; the rest are in a set
//! that all threads share, so a span may end on another thread than it started on.

use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::NonNull;

use crate::bitmap::Bitmap;
use crate::sync::AtomicUsize;
use crate::thread::Seat;

/// The size of a page in bytes.
pub(crate) const PAGE: usize = 768;

/// The memory of one page. Words, so that numbers may be kept in it in their own form.
#[repr(transparent)]
pub(super) struct Cell(UnsafeCell<[u64; PAGE / size_of::<u64>()]>);

// SAFETY: the functions that reach into a page are unsafe, and demand that nobody else is there.
unsafe impl Sync for Cell {}

impl Cell {
    /// A page of zeros.
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "it is copied into arrays, never referred to"
    )]
    pub(super) const ZERO: Self = Self(UnsafeCell::new([0; PAGE / size_of::<u64>()]));
}

/// The memory of live spans.
pub(crate) struct Pages {
    /// The pages, wherever they live: read on every write to a page, so without a look at `place`.
    cells: NonNull<[Cell]>,
    place: Place,
}

enum Place {
    Static {
        free: &'static [AtomicUsize],
    },
    #[cfg(feature = "alloc")]
    Heap(heap::Slab),
}

// SAFETY: `cells` is a shared reference to pages that may be shared; it is a pointer only because those on the heap
// are freed through it at the end.
unsafe impl Send for Pages {}

// SAFETY: as above.
unsafe impl Sync for Pages {}

/// A page that the holder of this value owns. Must be given back; a forgotten page is lost to its slab.
#[derive(Debug)]
pub(super) struct Page {
    number: u32,
}

impl Page {
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The page with this number.
    ///
    /// # Safety
    /// The caller owns that page: its [`Page`] value was turned into the number, and no other made of it lives.
    pub(super) unsafe fn from_number(number: u32) -> Self {
        Self { number }
    }
}

impl Pages {
    #[inline]
    fn free(&self) -> Bitmap<'_> {
        match &self.place {
            Place::Static { free } => Bitmap(free),
            #[cfg(feature = "alloc")]
            Place::Heap(slab) => Bitmap(&slab.free),
        }
    }

    /// What tells this slab from others. Never zero.
    #[inline(always)]
    pub(super) fn address(&self) -> usize {
        self.cells.addr().get()
    }

    /// The first byte of page `number`.
    ///
    /// # Safety
    /// The page was claimed from this slab.
    #[inline(always)]
    pub(super) unsafe fn start(&self, number: u32) -> NonNull<u8> {
        debug_assert!((number as usize) < self.cells.len());
        // SAFETY: a page that was claimed lies inside the slab.
        unsafe { self.cells.cast::<Cell>().add(number as usize) }.cast()
    }

    /// Claims a page. `None` when none is free.
    #[inline(always)]
    pub(super) fn take(&self, seat: Option<Seat>) -> Option<Page> {
        #[cfg(feature = "alloc")]
        if let (Place::Heap(slab), Some(seat)) = (&self.place, seat)
            && let Some(number) = slab.pop(seat)
        {
            return Some(Page { number });
        }
        let _ = seat;
        let number = self.free().take_lowest()?;
        Some(Page {
            number: u32::try_from(number).ok()?,
        })
    }

    /// Gives a page back.
    #[inline(always)]
    pub(super) fn give(&self, page: Page, seat: Option<Seat>) {
        #[cfg(feature = "alloc")]
        if let (Place::Heap(slab), Some(seat)) = (&self.place, seat)
            && slab.push(seat, page.number)
        {
            return;
        }
        let _ = seat;
        self.free().insert(page.number as usize);
    }

    /// Pages that spans hold. Threads must be at rest.
    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        let kept = match &self.place {
            Place::Static { .. } => 0,
            #[cfg(feature = "alloc")]
            Place::Heap(slab) => slab.kept_pages(),
        };
        self.cells.len() - self.free().count() - kept
    }

    /// Pages that no span holds and no thread keeps.
    #[cfg(test)]
    pub(crate) fn shared_free(&self) -> usize {
        self.free().count()
    }
}

#[cfg(not(spanwire_loom))]
impl Pages {
    /// The pages of this storage.
    pub(crate) const fn fixed<
        const BLOCKS: usize,
        const BLOCK_BYTES: usize,
        const SHARDS: usize,
        const PAGES: usize,
    >(
        storage: &'static super::Storage<BLOCKS, BLOCK_BYTES, SHARDS, PAGES>,
    ) -> Self {
        Self {
            cells: NonNull::from_ref(storage.pages.as_slice()),
            place: Place::Static {
                free: &storage.free_pages,
            },
        }
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("pages", &self.cells.len())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "alloc")]
mod heap {
    use alloc::boxed::Box;

    use core::ptr::NonNull;

    use super::{Cell, PAGE, Pages, Place};
    use crate::bitmap;
    use crate::sync::{AtomicUsize, OwnLine, UnsafeCell};
    use crate::thread::{SEATS, Seat};

    /// The most free pages that a thread keeps for itself.
    const KEEP: usize = 8;

    pub(super) struct Slab {
        pub(super) free: Box<[AtomicUsize]>,
        // An array, so that a seat's number need not be compared with its length.
        kept: Box<[OwnLine<Kept>; SEATS]>,
        /// How many pages a thread keeps: few where there are few.
        keep: usize,
    }

    /// The free pages of one thread.
    struct Kept(UnsafeCell<Stack>);

    // SAFETY: a stack is entered only with the seat of its number, of which one thread at a time has a reference, and
    // no stack is entered while it is: `pop` and `push` call nothing of others. What one thread leaves, the next
    // thread with that seat sees, as seats change hands through a set that releases and acquires.
    unsafe impl Sync for Kept {}

    #[derive(Clone, Copy)]
    struct Stack {
        len: usize,
        pages: [u32; KEEP],
    }

    impl Drop for Pages {
        fn drop(&mut self) {
            if let Place::Heap(_) = self.place {
                // SAFETY: the pages were leaked from a box by `on_heap`, and nobody has them any more.
                drop(unsafe { Box::from_raw(self.cells.as_ptr()) });
            }
        }
    }

    impl Slab {
        #[inline]
        fn stack<R>(&self, seat: Seat, run: impl FnOnce(&mut Stack) -> R) -> Option<R> {
            let kept = self.kept.get(seat.number())?;
            Some(kept.0.0.with_mut(|stack| {
                // SAFETY: the seat proves that no other thread is here, and `run` is `pop`'s or `push`'s.
                run(unsafe { &mut *stack })
            }))
        }

        #[cfg(test)]
        pub(super) fn kept_pages(&self) -> usize {
            // SAFETY: a test asks while no thread starts or ends spans of this slab.
            self.kept
                .iter()
                .map(|kept| kept.0.0.with(|stack| unsafe { (*stack).len }))
                .sum()
        }

        #[inline]
        pub(super) fn pop(&self, seat: Seat) -> Option<u32> {
            self.stack(seat, |stack| {
                let last = stack.len.checked_sub(1)?;
                let page = stack.pages.get(last).copied()?;
                stack.len = last;
                Some(page)
            })?
        }

        #[inline]
        pub(super) fn push(&self, seat: Seat, page: u32) -> bool {
            let kept = self.stack(seat, |stack| match stack.pages.get_mut(stack.len) {
                Some(slot) if stack.len < self.keep => {
                    *slot = page;
                    stack.len += 1;
                    true
                }
                _ => false,
            });
            kept == Some(true)
        }
    }

    impl Pages {
        /// This many pages. Their memory is mapped by the system when a page is first used.
        pub(crate) fn on_heap(pages: usize) -> Self {
            let pages = pages.min(u32::MAX as usize);
            let empty = || {
                OwnLine(Kept(UnsafeCell::new(Stack {
                    len: 0,
                    pages: [0; KEEP],
                })))
            };
            // Words, not pages: only of those does `vec!` ask the allocator for zeros instead of writing them.
            let words = alloc::vec![0_u64; pages * (PAGE / size_of::<u64>())].into_boxed_slice();
            let first = Box::into_raw(words).cast::<Cell>();
            // SAFETY: `Cell` is a transparent wrapper around an `UnsafeCell` of so many words, and has the alignment of
            // one: as many cells have the layout of the words, and the pointer comes from `Box::into_raw`.
            let cells = unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(first, pages)) };
            let cells = NonNull::from(Box::leak(cells));
            let place = Place::Heap(Slab {
                free: bitmap::words(pages, true),
                kept: Box::new(core::array::from_fn(|_| empty())),
                keep: (pages / 64).min(KEEP),
            });
            Self { cells, place }
        }

        /// The bytes it holds on the heap.
        pub(crate) fn heap_bytes(&self) -> usize {
            match &self.place {
                Place::Static { .. } => 0,
                Place::Heap(_) => Self::bytes_of(self.cells.len()),
            }
        }

        /// The bytes of a slab of this many pages, all parts included.
        pub(crate) const fn bytes_of(pages: usize) -> usize {
            pages * PAGE + pages.div_ceil(8) + SEATS * size_of::<OwnLine<Kept>>()
        }
    }
}
