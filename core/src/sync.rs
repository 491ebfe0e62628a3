//! The one door to atomics and cells: the processor's own, `portable-atomic`'s, or loom's.
//!
//! All three have the same signatures here, so no caller carries a `cfg`, and loom checks the code that ships.

#[cfg(spanwire_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[cfg(all(not(spanwire_loom), feature = "portable-atomic"))]
pub(crate) use portable_atomic::{AtomicBool, AtomicUsize, Ordering};

#[cfg(all(not(spanwire_loom), not(feature = "portable-atomic")))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Atomics that loom does not watch, for what lives in a `static`.
#[cfg(feature = "portable-atomic")]
pub(crate) use portable_atomic::AtomicUsize as StaticAtomicUsize;

/// Atomics that loom does not watch, for what lives in a `static`.
#[cfg(not(feature = "portable-atomic"))]
pub(crate) use core::sync::atomic::AtomicUsize as StaticAtomicUsize;

/// A cell whose owner is settled by other means; loom watches who enters it.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(
    #[cfg(spanwire_loom)] loom::cell::UnsafeCell<T>,
    #[cfg(not(spanwire_loom))] core::cell::UnsafeCell<T>,
);

impl<T> UnsafeCell<T> {
    #[cfg(not(spanwire_loom))]
    pub(crate) const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    #[cfg(spanwire_loom)]
    pub(crate) fn new(value: T) -> Self {
        Self(loom::cell::UnsafeCell::new(value))
    }

    /// Hands out the pointer for reading.
    #[inline]
    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        #[cfg(spanwire_loom)]
        return self.0.with(read);
        #[cfg(not(spanwire_loom))]
        read(self.0.get())
    }

    /// Hands out the pointer for writing.
    #[inline]
    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        #[cfg(spanwire_loom)]
        return self.0.with_mut(write);
        #[cfg(not(spanwire_loom))]
        write(self.0.get())
    }
}

/// Keeps a value on cache lines of its own, so that neighbours written by other threads don't slow it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct OwnLine<T>(pub(crate) T);
