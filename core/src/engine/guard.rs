//! Where a panic of a processor stops.

/// A processor panicked.
pub(super) struct Panicked;

/// Runs `call`; a panic in it ends here, where panics unwind and there is a `std` to catch them.
#[cfg(feature = "std")]
pub(super) fn guarded<R>(call: impl FnOnce() -> R) -> Result<R, Panicked> {
    // Whatever the panic left half done is the processor's own state, which its author answers for.
    std::panic::catch_unwind(core::panic::AssertUnwindSafe(call)).map_err(|_| Panicked)
}

/// Runs `call`. Without `std` there is nothing to catch a panic with.
#[cfg(not(feature = "std"))]
pub(super) fn guarded<R>(call: impl FnOnce() -> R) -> Result<R, Panicked> {
    Ok(call())
}
