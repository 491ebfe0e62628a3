//! What the benchmarks have in common: the span everybody records, the floor, a request to read; how processes are started,
//! told what to do and looked at; what is made of their figures, and what those have to be.
//!
//! `cargo bench -p spanwire-benches --bench record` prints the tables and the verdicts; `--bench micro` looks at the
//! parts of Spanwire alone.

// The span everybody records.
pub mod payload;

// The least code that leaves that span as OTLP bytes.
pub mod floor;

// A request of such spans, as a neighbour would send it.
pub mod request;

// A request as a gRPC message, and as the body of a call.
pub mod grpc;

// What a program was told on its command line.
pub mod words;

// Processor time, and which core runs what.
pub mod cpu;

// Memory of a process, as the system has it.
pub mod memory;

// Heap allocations, counted.
pub mod alloc;

// Another process of the program.
pub mod process;

// How many spans a server has counted, in shared memory.
pub mod tally;

// The server that counts them.
pub mod sink;

// What is made of many figures of one thing.
pub mod figure;

// What a figure has to be, and what a run ends with that missed it.
pub mod goal;
