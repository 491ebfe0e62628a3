//! What the benchmarks have in common: the span everybody records, the floor, and a request to read.
//!
//! `cargo bench -p spanwire-benches --bench record` prints the tables and the verdicts; `--bench micro` looks at the
//! parts of Spanwire alone.

// The span everybody records.
pub mod payload;

// The least code that leaves that span as OTLP bytes.
pub mod floor;

// A request of such spans, as a neighbour would send it.
pub mod request;
