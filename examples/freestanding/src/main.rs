//! Records spans with neither std nor an allocator, and writes their OTLP bytes to standard output.
//!
//! Everything lives in `static`s: four blocks of 1 KiB, eight pages for spans that have not ended, the scope, the ids.
//! The bytes are those of an OTLP `ResourceSpans` without its resource; whoever forwards them knows who this is.
//! `examples/tests/freestanding.rs` builds this program, runs it, and reads them with an independent decoder.
#![no_std]
#![no_main]

use core::ffi::{c_int, c_void};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use spanwire_core::attribute::KeyValue;
use spanwire_core::clock::{Clock, Moment, Timestamp};
use spanwire_core::random::SeededIds;
use spanwire_core::recorder::Recorder;
use spanwire_core::resource::ScopeBuffer;
use spanwire_core::ring::Storage;
use spanwire_core::sampler::AlwaysOn;
use spanwire_core::span::Status;
use spanwire_core::tracer::Tracer;
use spanwire_core::wire::SpanKind;

/// A timer that counts its own readings, a microsecond each, from the start of 2026.
struct Timer(AtomicUsize);

const START: u64 = 1_767_225_600_000_000_000;

impl Timer {
    fn nanos(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) as u64 * 1_000
    }
}

impl Clock for Timer {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_nanos(START + self.nanos())
    }

    fn moment(&self) -> Moment {
        Moment::from_nanos(self.nanos())
    }
}

static TIMER: Timer = Timer(AtomicUsize::new(0));
// A board takes its seed from a noise source, afresh at every start.
static IDS: SeededIds = SeededIds::new(*b"one seed for ever, only for show");
static STORAGE: Storage<4, 1024, 2, 8> = Storage::new();
static RECORDER: Recorder = Recorder::fixed(&STORAGE, &TIMER, &IDS);
static SCOPE: ScopeBuffer<32> = match ScopeBuffer::new("motor", "1.2.0", "") {
    Some(scope) => scope,
    None => panic!("32 bytes are too few"),
};
static TRACER: Tracer = Tracer::fixed(&RECORDER, 0, SCOPE.header(), &AlwaysOn);

#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    for turn in 0..8 {
        let attributes = [
            KeyValue::new("turn", turn),
            KeyValue::new("forward", turn % 2 == 0),
        ];
        let mut whole = TRACER
            .span("turn the motor")
            .kind(SpanKind::Server)
            .attributes(&attributes)
            .start();
        let mut ramp = TRACER.span("ramp up").child_of(whole.context()).start();
        ramp.set_attribute("volts", 11.5).add_event("at speed", &[]);
        ramp.end();
        if turn == 7 {
            whole.set_status(Status::Error("the motor stalled"));
        }
        whole.end();
        // A full block is written while others fill; a superloop does the same between its other tasks.
        if !drain() {
            return 1;
        }
    }
    RECORDER.ring().seal_all();
    let account = RECORDER.account();
    c_int::from(!drain() || account.started != 16 || account.dropped.total() != 0)
}

/// Writes the blocks that are sealed.
fn drain() -> bool {
    while let Some(block) = RECORDER.ring().take() {
        if !write_all(1, block.as_bytes()) {
            return false;
        }
    }
    true
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
