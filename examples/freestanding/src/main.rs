//! Records spans with neither std nor an allocator, and writes their OTLP bytes to standard output.
#![no_std]
#![no_main]

use core::ffi::{c_int, c_void};
use core::panic::PanicInfo;

use spanwire_core::id::TraceId;

#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    c_int::from(!write_all(1, TraceId::from_bytes([1; 16]).as_bytes()))
}

#[panic_handler]
fn panicked(_: &PanicInfo<'_>) -> ! {
    write_all(2, b"freestanding: panicked\n");
    // SAFETY: `_exit` takes any status, from any thread, at any time.
    unsafe { _exit(101) }
}

/// What `core`, compiled to unwind, refers to. Nothing unwinds here, so nothing calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Writes all of `bytes` to an open file; false if the file takes no more.
fn write_all(file: c_int, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        // SAFETY: the pointer and the length are those of a live slice, which `write` only reads.
        let written = unsafe { write(file, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written).ok().and_then(|n| bytes.get(n..)) {
            Some(rest) if written > 0 => bytes = rest,
            _ => return false,
        }
    }
    true
}

// The two things this program asks of the operating system.
#[link(name = "c")]
unsafe extern "C" {
    fn write(file: c_int, bytes: *const c_void, len: usize) -> isize;
    fn _exit(status: c_int) -> !;
}
