//! Who is speaking: the program, and the part of it that made a span. Encoded once.
//!
//! OpenTelemetry resource SDK specification; trace API, "Get a Tracer"; OTLP `ResourceSpans` and `ScopeSpans`.

mod header;

#[cfg(feature = "alloc")]
mod attributes;

#[cfg(feature = "alloc")]
mod environment;

#[cfg(feature = "alloc")]
mod scope;

#[cfg(feature = "alloc")]
mod value;

/// What this process and this host say about themselves.
#[cfg(feature = "std")]
pub mod detect;

#[cfg(feature = "alloc")]
pub use attributes::{Resource, ResourceBuilder, SchemaConflict};
#[cfg(feature = "alloc")]
pub use environment::{Environment, InvalidAttributes, parse_attributes};
pub use header::{ResourceHeader, ScopeBuffer, ScopeHeader};
#[cfg(feature = "alloc")]
pub use scope::{InstrumentationScope, InstrumentationScopeBuilder};
#[cfg(feature = "alloc")]
pub use value::OwnedValue;
