//! The OpenTelemetry Collector's configuration.

// What no name may have.
#[rustfmt::skip]
mod symbols;

// Ids: `type` or `type/name`.
mod id;

// What is not shown.
mod secret;

// TLS, gRPC and HTTP settings.
mod net;

// Settings of receivers and extensions.
mod component;

// Settings of processors.
mod processors;

// Settings of exporters.
mod exporter;

// What a collector says of itself.
mod telemetry;

// Types of components that the Collector has.
#[rustfmt::skip]
mod known;

// Components by id, and the pipelines between them.
mod document;

// Texts, laid over one another, to such components, and what is odd about them.
mod load;

pub use component::{
    BearerTokenAuth, CheckCollectorPipeline, HealthCheck, OtlpReceiver, Protocols, ResponseBody,
};
pub use document::{Config, Exporter, Extension, Pipeline, Processor, Receiver, Service};
pub use exporter::{
    DebugExporter, FileExporter, OtlpGrpcExporter, OtlpHttpExporter, Retry, SendingQueue,
};
pub use id::ComponentId;
pub use load::Loaded;
pub use net::{
    Authenticator, ClientKeepalive, ClientTls, Cors, EnforcementPolicy, GrpcServer, HttpServer,
    ServerKeepalive, ServerParameters, ServerTls,
};
#[cfg(any(feature = "receive-grpc", feature = "receive-http"))]
pub(crate) use processors::ADDRESS;
pub(crate) use processors::METADATA;
pub use processors::{
    Action, Attributes, Batch, Filter, MatchAttribute, MatchLibrary, MatchRegexp, MatchSpans,
    Memory, MemoryLimiter, MemorySource, ProbabilisticSampler, Resource, SpanFilter,
    TraceConditions, TraceGroup, TraceLists,
};
pub use secret::{Headers, Literal, Secret};
pub use telemetry::{Logs, Metrics, MetricsReader, Telemetry};

#[cfg(test)]
mod tests;
