//! Counts heap allocations, on demand: a timed batch pays one relaxed load an allocation, and no counter.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ops::Sub,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// The system allocator, watched.
pub struct Counting;

static WATCHING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static THREAD: Cell<Allocated> = const { Cell::new(Allocated { count: 0, bytes: 0 }) };
}

/// Allocations made. A block that grows counts once more, with the bytes it grew by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocated {
    pub count: u64,
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

/// Starts or stops counting, in every thread.
pub fn watch(on: bool) {
    WATCHING.store(on, Relaxed);
}

/// What this thread has allocated while watched.
pub fn this_thread() -> Allocated {
    THREAD.get()
}

/// What all threads have allocated while watched.
pub fn all_threads() -> Allocated {
    Allocated {
        count: COUNT.load(Relaxed),
        bytes: BYTES.load(Relaxed),
    }
}

fn count(bytes: usize) {
    if WATCHING.load(Relaxed) {
        let bytes = bytes as u64;
        COUNT.fetch_add(1, Relaxed);
        BYTES.fetch_add(bytes, Relaxed);
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

// SAFETY: every call goes to `System` with the arguments it came with; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the block came from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.saturating_sub(layout.size()));
        // SAFETY: the caller keeps the contract of `realloc`, and the block came from `System`.
        unsafe { System.realloc(block, layout, size) }
    }
}
