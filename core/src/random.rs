//! Where ids come from.

use crate::id::{SpanId, TraceId};

/// Makes the ids of new traces and spans.
pub trait IdGenerator: Send + Sync {
    /// A valid id for a new trace.
    fn trace_id(&self) -> TraceId;

    /// A valid id for a new span.
    fn span_id(&self) -> SpanId;

    /// Whether the last 7 bytes of every trace id are uniformly random. Only then do roots carry the W3C random flag
    /// (Trace Context Level 2, section 3.2.2.5.2).
    fn is_random(&self) -> bool {
        false
    }
}
