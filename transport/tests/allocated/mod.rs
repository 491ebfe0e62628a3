//! Every byte that this process allocates, counted.
#![allow(dead_code, reason = "no test uses all of it")]
#![allow(
    unsafe_code,
    reason = "a global allocator can only be watched by being one"
)]

use core::alloc::{GlobalAlloc, Layout};
use core::time::Duration;
use std::alloc::System;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Long enough on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(60);

/// Bytes that are allocated now.
pub(crate) static LIVE: AtomicUsize = AtomicUsize::new(0);
/// The most that were.
pub(crate) static MOST: AtomicUsize = AtomicUsize::new(0);
/// How often something was.
pub(crate) static COUNT: AtomicUsize = AtomicUsize::new(0);

struct Watched;

fn more(bytes: usize) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call goes to `System` unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        more(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// Waits until nothing is allocated or let go any more, and says how much there is.
pub(crate) fn settled() -> usize {
    let mut live = LIVE.load(Ordering::Relaxed);
    let begun = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let before = core::mem::replace(&mut live, LIVE.load(Ordering::Relaxed));
        if before == live {
            return live;
        }
        assert!(begun.elapsed() < LONG, "it stays as it is");
    }
}

/// How much more there is than before, for each of so many.
pub(crate) fn each(before: usize, many: usize) -> usize {
    LIVE.load(Ordering::Relaxed).saturating_sub(before) / many
}
