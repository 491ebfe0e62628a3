//! Pages: the memory of spans that have not ended.
//!
//! A page is claimed by a span when it is first told something, and goes back when the span ends. A thread with a
//! [`Seat`] keeps a few free pages for itself, so that the next span costs no atomic operation; the rest are in a set
//! that all threads share, so a span may end on another thread than it started on.

use core::fmt;
use core::ptr::NonNull;

use super::arena::{self, Byte};
use crate::bitmap::Bitmap;
use crate::sync::AtomicUsize;
use crate::thread::Seat;

/// The size of a page in bytes.
pub(crate) const PAGE: usize = 512;

/// The bytes of a page that hold content; the others hold the number of the next page.
pub(super) const PAYLOAD: usize = PAGE - size_of::<u32>();

/// The memory of live spans.
pub(crate) struct Pages {
    /// The bytes, wherever they live: read on every write to a page, so without a look at `place`.
    bytes: NonNull<[Byte]>,
    place: Place,
}

enum Place {
    Static {
        free: &'static [AtomicUsize],
    },
    #[cfg(feature = "alloc")]
    Heap(heap::Slab),
}

// SAFETY: `bytes` is a shared reference to bytes that may be shared; it is a pointer only because those on the heap
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
    fn bytes(&self) -> &[Byte] {
        // SAFETY: the bytes live in a `static`, or on the heap until `self` is dropped.
        unsafe { self.bytes.as_ref() }
    }

    #[inline]
    fn free(&self) -> Bitmap<'_> {
        match &self.place {
            Place::Static { free } => Bitmap(free),
            #[cfg(feature = "alloc")]
            Place::Heap(slab) => Bitmap(&slab.free),
        }
    }

    /// What tells this slab from others.
    #[inline]
    pub(super) fn address(&self) -> usize {
        self.bytes.addr().get()
    }

    /// `len` bytes of page `number`, from `at` on, for writing.
    ///
    /// # Safety
    /// - The page was claimed from this slab, and the caller owns it.
    /// - `at + len` is at most [`PAGE`].
    /// - For as long as the result lives, nobody else reads or writes the page.
    #[inline]
    #[allow(
        clippy::mut_from_ref,
        reason = "that nobody else is there is the caller's duty"
    )]
    pub(super) unsafe fn piece_mut(&self, number: u32, at: usize, len: usize) -> &mut [u8] {
        debug_assert!(at + len <= PAGE && (number as usize + 1) * PAGE <= self.bytes.len());
        // SAFETY: by the first condition the page lies inside the slab, by the second the piece inside the page.
        let first = unsafe { self.bytes.cast::<u8>().add(number as usize * PAGE + at) };
        // SAFETY: the bytes are initialised and in `UnsafeCell`s, and by the third condition nobody else is there.
        unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), len) }
    }

    /// Claims a page. `None` when none is free.
    #[inline]
    pub(super) fn take(&self, seat: Option<&Seat>) -> Option<Page> {
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
    #[inline]
    pub(super) fn give(&self, page: Page, seat: Option<&Seat>) {
        #[cfg(feature = "alloc")]
        if let (Place::Heap(slab), Some(seat)) = (&self.place, seat)
            && slab.push(seat, page.number)
        {
            return;
        }
        let _ = seat;
        self.free().insert(page.number as usize);
    }

    /// The bytes of a page of this slab.
    ///
    /// # Safety
    /// The page was claimed from this slab.
    #[inline]
    pub(super) unsafe fn read<'p>(&'p self, page: &'p Page) -> &'p [u8] {
        // SAFETY: a claimed page belongs to the holder of its `Page`, which is borrowed for as long as the result.
        unsafe { arena::read(self.bytes(), page.number as usize * PAGE, PAGE) }
    }

    /// The bytes of a page of this slab, for writing.
    ///
    /// # Safety
    /// The page was claimed from this slab.
    #[inline]
    #[allow(
        clippy::mut_from_ref,
        reason = "the mutable borrow of the page stands for its bytes"
    )]
    pub(super) unsafe fn write<'p>(&'p self, page: &'p mut Page) -> &'p mut [u8] {
        // SAFETY: a claimed page belongs to the holder of its `Page`, which is borrowed mutably for as long as the
        // result.
        unsafe { arena::write(self.bytes(), page.number as usize * PAGE, PAGE) }
    }

    /// Pages that spans hold. Threads must be at rest.
    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        let kept = match &self.place {
            Place::Static { .. } => 0,
            #[cfg(feature = "alloc")]
            Place::Heap(slab) => slab.kept_pages(),
        };
        self.bytes().len() / PAGE - self.free().count() - kept
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
        let bytes = NonNull::from_ref(storage.pages.as_flattened());
        Self {
            bytes,
            place: Place::Static {
                free: &storage.free_pages,
            },
        }
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("bytes", &self.bytes().len())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "alloc")]
mod heap {
    use alloc::boxed::Box;

    use core::ptr::NonNull;

    use super::super::arena;
    use super::{PAGE, Pages, Place};
    use crate::bitmap;
    use crate::sync::{AtomicUsize, OwnLine, UnsafeCell};
    use crate::thread::{SEATS, Seat};

    /// The most free pages that a thread keeps for itself.
    const KEEP: usize = 8;

    pub(super) struct Slab {
        pub(super) free: Box<[AtomicUsize]>,
        kept: Box<[OwnLine<Kept>]>,
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
                // SAFETY: the bytes were leaked from a box by `on_heap`, and nobody has them any more.
                drop(unsafe { Box::from_raw(self.bytes.as_ptr()) });
            }
        }
    }

    impl Slab {
        #[inline]
        fn stack<R>(&self, seat: &Seat, run: impl FnOnce(&mut Stack) -> R) -> Option<R> {
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
        pub(super) fn pop(&self, seat: &Seat) -> Option<u32> {
            self.stack(seat, |stack| {
                let last = stack.len.checked_sub(1)?;
                let page = stack.pages.get(last).copied()?;
                stack.len = last;
                Some(page)
            })?
        }

        #[inline]
        pub(super) fn push(&self, seat: &Seat, page: u32) -> bool {
            let kept = self.stack(seat, |stack| {
                if stack.len >= self.keep {
                    return false;
                }
                let Some(slot) = stack.pages.get_mut(stack.len) else {
                    return false;
                };
                *slot = page;
                stack.len += 1;
                true
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
            let bytes = NonNull::from(Box::leak(arena::zeroed(pages * PAGE)));
            let place = Place::Heap(Slab {
                free: bitmap::words(pages, true),
                kept: (0..SEATS).map(|_| empty()).collect(),
                keep: (pages / 64).min(KEEP),
            });
            Self { bytes, place }
        }

        /// The bytes it holds on the heap.
        pub(crate) fn heap_bytes(&self) -> usize {
            match &self.place {
                Place::Static { .. } => 0,
                Place::Heap(_) => Self::bytes_of(self.bytes.len() / PAGE),
            }
        }

        /// The bytes of a slab of this many pages, all parts included.
        pub(crate) const fn bytes_of(pages: usize) -> usize {
            pages * PAGE + pages.div_ceil(8) + SEATS * size_of::<OwnLine<Kept>>()
        }
    }
}
