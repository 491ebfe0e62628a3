//! Bytes that many threads hold pieces of.

use core::cell::UnsafeCell;

/// Bytes that are shared, while every piece of them has at most one writer at a time.
///
/// Who may write which piece is settled by the sets and locks of the ring; the arena only does the arithmetic.
#[repr(transparent)]
pub(super) struct Byte(UnsafeCell<u8>);

// SAFETY: the functions that reach into a byte are unsafe, and demand that nobody else is there.
unsafe impl Sync for Byte {}

impl Byte {
    /// A byte that is zero.
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "it is copied into arrays, never referred to"
    )]
    pub(super) const ZERO: Self = Self(UnsafeCell::new(0));
}

/// Zeroed bytes on the heap. The system maps them when they are touched.
#[cfg(feature = "alloc")]
pub(super) fn zeroed(len: usize) -> alloc::boxed::Box<[Byte]> {
    use alloc::boxed::Box;
    let bytes: Box<[u8]> = alloc::vec![0; len].into_boxed_slice();
    // SAFETY: `Byte` is a transparent wrapper around an `UnsafeCell<u8>`, which has the layout of a `u8`, and the
    // pointer comes from `Box::into_raw`.
    unsafe { Box::from_raw(Box::into_raw(bytes) as *mut [Byte]) }
}

/// The bytes from `at` on, for reading.
///
/// Empty where the arena ends earlier.
///
/// # Safety
/// For as long as the result lives, nobody writes to any of these bytes.
#[inline]
pub(super) unsafe fn read(arena: &[Byte], at: usize, len: usize) -> &[u8] {
    let Some(piece) = at.checked_add(len).and_then(|end| arena.get(at..end)) else {
        return &[];
    };
    // SAFETY: the piece is initialised, has the layout of as many `u8`, and by the condition above has no writer.
    unsafe { &*(core::ptr::from_ref(piece) as *const [u8]) }
}

/// The bytes from `at` on, for writing.
///
/// Empty where the arena ends earlier.
///
/// # Safety
/// For as long as the result lives, nobody else reads or writes any of these bytes.
#[inline]
#[allow(
    clippy::mut_from_ref,
    reason = "that nobody else is there is the caller's duty"
)]
pub(super) unsafe fn write(arena: &[Byte], at: usize, len: usize) -> &mut [u8] {
    let Some(piece) = at.checked_add(len).and_then(|end| arena.get(at..end)) else {
        return &mut [];
    };
    let first = UnsafeCell::raw_get(piece.as_ptr().cast::<UnsafeCell<u8>>());
    // SAFETY: `first` points to `len` initialised bytes inside `UnsafeCell`s, and by the condition above nobody else
    // is there.
    unsafe { core::slice::from_raw_parts_mut(first, len) }
}
