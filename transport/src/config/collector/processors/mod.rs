//! Settings of processors, and the processors that they describe.
//!
//! What a section's check finds wrong is what making its processor would find wrong: the check makes it.

// What is said of a place that a fault is found in.
mod made;

// How much memory there is.
mod cgroup;

mod batch;
mod memory_limiter;

// Which spans are meant.
mod matching;

mod attributes;
mod filter;
mod probabilistic_sampler;

#[cfg(any(feature = "receive-grpc", feature = "receive-http"))]
pub(crate) use attributes::ADDRESS;
pub(crate) use attributes::METADATA;
pub use attributes::{Action, Attributes, Resource};
pub use batch::Batch;
pub use cgroup::{Memory, MemorySource};
pub use filter::{Filter, SpanFilter, TraceConditions, TraceGroup, TraceLists};
pub use matching::{MatchAttribute, MatchLibrary, MatchRegexp, MatchSpans};
pub use memory_limiter::MemoryLimiter;
pub use probabilistic_sampler::ProbabilisticSampler;

#[cfg(test)]
mod tests;
