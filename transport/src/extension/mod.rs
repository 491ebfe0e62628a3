//! What stands beside pipelines, and takes no part in them: the Collector's extensions, and its own metrics.

// Short requests over HTTP, answered.
mod responder;

// Whether the program is well, for who asks over HTTP.
#[cfg(feature = "health-check")]
pub mod health_check;

// How it stands, for who scrapes it.
#[cfg(feature = "metrics-endpoint")]
pub mod metrics;
