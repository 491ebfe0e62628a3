//! fastrace with its OpenTelemetry reporter, over the same exporter as the SDK.

use std::{borrow::Cow, hint::black_box};

use fastrace::{
    Span,
    collector::{Config, SpanContext},
};
use fastrace_opentelemetry::OpenTelemetryReporter;
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;
use spanwire_benches::payload::{NAME, SCOPE};

use super::{KEYS, Peer, Values, opentelemetry::exporter};

pub fn build(endpoint: String) -> &'static dyn Peer {
    let reporter = OpenTelemetryReporter::new(
        exporter(endpoint),
        Cow::Owned(Resource::builder_empty().with_service_name(SCOPE).build()),
        InstrumentationScope::builder(SCOPE).build(),
    );
    fastrace::set_reporter(reporter, Config::default());
    Box::leak(Box::new(Fastrace(Values::default())))
}

struct Fastrace(Values);

impl Peer for Fastrace {
    fn record(&self, spans: usize) {
        for _ in 0..spans {
            let values = &black_box(&self.0).0;
            let span = Span::root(NAME, SpanContext::random());
            drop(span.with_properties(|| {
                KEYS.iter()
                    .zip(values)
                    .map(|(key, value)| (*key, value.clone()))
            }));
        }
    }

    fn flush(&self) {
        fastrace::flush();
    }

    fn nudge(&self) {
        fastrace::flush();
    }
}
