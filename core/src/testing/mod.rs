//! For the tests of programs that link Spanwire: an exporter that keeps what it is given, and a clock that stands still
//! until it is told to go on.

mod clock;
mod memory;

pub use clock::ManualClock;
pub use memory::InMemoryExporter;
