//! Counts heap allocations, on demand: a timed batch pays one relaxed load an allocation, and no counter.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ops::Sub,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// The system allocator, watched. What it counts with stands in itself, and so in the program: a static of the library would
/// cost each allocation one load more, that of its address.
#[derive(Debug)]
pub struct Counting {
    watching: AtomicBool,
    count: AtomicU64,
    bytes: AtomicU64,
}

thread_local! {
    static THREAD: Cell<Allocated> = const { Cell::new(Allocated { count: 0, bytes: 0 }) };
}

/// Allocations made. A block that grows counts once more, with the bytes it grew by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocated {
    /// How many.
    pub count: u64,
    /// How large they were together.
    pub bytes: u64,
}

impl Sub for Allocated {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            count: self.count - earlier.count,
            bytes: self.bytes - earlier.bytes,
        }
    }
}

impl Default for Counting {
    fn default() -> Self {
        Self::new()
    }
}

impl Counting {
    /// One that counts nothing yet. A program has one.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            watching: AtomicBool::new(false),
            count: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Starts or stops counting, in every thread.
    pub fn watch(&self, on: bool) {
        self.watching.store(on, Relaxed);
    }

    /// What this thread has allocated while watched.
    #[must_use]
    pub fn this_thread(&self) -> Allocated {
        THREAD.get()
    }

    /// What all threads have allocated while watched.
    #[must_use]
    pub fn all_threads(&self) -> Allocated {
        Allocated {
            count: self.count.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }

    #[inline]
    fn count(&self, bytes: usize) {
        if self.watching.load(Relaxed) {
            let bytes = bytes as u64;
            self.count.fetch_add(1, Relaxed);
            self.bytes.fetch_add(bytes, Relaxed);
            // A thread that is being torn down still counts in the sum above.
            let _ = THREAD.try_with(|thread| {
                let before = thread.get();
                thread.set(Allocated {
                    count: before.count + 1,
                    bytes: before.bytes + bytes,
                });
            });
        }
    }
}

// SAFETY: every call goes to `System` with the arguments it came with; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the block came from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count(size.saturating_sub(layout.size()));
        // SAFETY: the caller keeps the contract of `realloc`, and the block came from `System`.
        unsafe { System.realloc(block, layout, size) }
    }
}
