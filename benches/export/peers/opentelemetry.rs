//! The OpenTelemetry SDK: batch processor and OTLP/gRPC exporter with their defaults.

use std::hint::black_box;

use opentelemetry::{
    KeyValue,
    trace::{Span, Tracer, TracerProvider},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, SdkTracer, SdkTracerProvider},
};
use spanwire_benches::payload::{NAME, SCOPE};

use super::{KEYS, Peer, Values};

/// An exporter as the SDK and fastrace use it, and the runtime that it needs.
pub fn exporter(endpoint: String) -> SpanExporter {
    let runtime: &'static tokio::runtime::Runtime = Box::leak(Box::new(
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("the system has threads"),
    ));
    let _entered = runtime.enter();
    SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .expect("an address of this machine")
}

pub fn build(endpoint: String) -> &'static dyn Peer {
    let processor = BatchSpanProcessor::builder(exporter(endpoint)).build();
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder_empty().with_service_name(SCOPE).build())
        .with_span_processor(processor)
        .build();
    Box::leak(Box::new(Sdk {
        tracer: provider.tracer(SCOPE),
        provider,
        values: Values::default(),
    }))
}

struct Sdk {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
    values: Values,
}

impl Peer for Sdk {
    fn record(&self, spans: usize) {
        for _ in 0..spans {
            let values = &black_box(&self.values).0;
            let attributes = KEYS.iter().zip(values);
            let attributes = attributes.map(|(key, value)| KeyValue::new(*key, value.clone()));
            let builder = self.tracer.span_builder(NAME);
            builder
                .with_attributes(attributes)
                .start(&self.tracer)
                .end();
        }
    }

    fn flush(&self) {
        // Spans that did not arrive are missing at the server, whatever is said here.
        let _ = self.provider.force_flush();
    }
}
