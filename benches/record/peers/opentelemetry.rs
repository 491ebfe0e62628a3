//! The OpenTelemetry SDK behind its batch processor, with an exporter that throws spans away.

use std::{
    future::{Ready, ready},
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use opentelemetry::{
    Context, KeyValue, global,
    trace::{Span, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_proto::{
    tonic::collector::trace::v1::ExportTraceServiceRequest,
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter},
};
use prost::Message;
use spanwire_benches::payload::{Attributes, EVENT, NAME, Payload, SCOPE, key, value};

use crate::peer::{FAMILY, Fate, Peer, Shape};

pub fn build(fate: Fate) -> &'static dyn Peer {
    match fate {
        // What a library gets in a program that installed no provider.
        Fate::NoPipeline => Box::leak(Box::new(Sdk {
            tracer: global::tracer(SCOPE),
            provider: None,
            delivered: Arc::default(),
            payload: Payload::default(),
        })),
        _ => {
            let (provider, delivered) = provider(fate);
            let sdk: &'static Sdk<SdkTracer> = Box::leak(Box::new(Sdk {
                tracer: provider.tracer(SCOPE),
                provider: Some(provider),
                delivered,
                payload: Payload::default(),
            }));
            if fate == Fate::Full {
                fill(&sdk.tracer);
            }
            sdk
        }
    }
}

/// A provider with the default batch processor, and the count of spans its exporter has seen.
pub fn provider(fate: Fate) -> (SdkTracerProvider, Arc<AtomicU64>) {
    let delivered = Arc::<AtomicU64>::default();
    let exporter = Discard {
        fate,
        resource: ResourceAttributesWithSchema::default(),
        delivered: delivered.clone(),
    };
    let root = if fate == Fate::NotSampled {
        Sampler::AlwaysOff
    } else {
        Sampler::AlwaysOn
    };
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(root)))
        .with_resource(Resource::builder_empty().with_service_name(SCOPE).build())
        .with_span_processor(BatchSpanProcessor::builder(exporter).build())
        .build();
    (provider, delivered)
}

/// More spans than the default queue of 2048 and the batch of 512 in the exporter's hands.
pub fn fill(tracer: &SdkTracer) {
    for _ in 0..4096 {
        tracer.start(NAME).end();
    }
}

struct Sdk<T> {
    tracer: T,
    provider: Option<SdkTracerProvider>,
    delivered: Arc<AtomicU64>,
    payload: Payload,
}

impl<T> Peer for Sdk<T>
where
    T: Tracer + Sync,
    T::Span: Send + Sync + 'static,
{
    fn record(&self, shape: Shape, spans: usize) {
        match shape {
            Shape::Bare => {
                for _ in 0..spans {
                    let mut span = self.tracer.start(NAME);
                    black_box(&span);
                    span.end();
                }
            }
            Shape::Root(attributes) => {
                for _ in 0..spans {
                    let builder = self
                        .tracer
                        .span_builder(NAME)
                        .with_attributes(values(black_box(&self.payload), attributes));
                    let mut span = builder.start(&self.tracer);
                    span.add_event(EVENT, Vec::new());
                    span.end();
                }
            }
            Shape::Family => {
                for _ in 0..spans / FAMILY {
                    let context = Context::new().with_span(self.tracer.start(NAME));
                    for _ in 1..FAMILY {
                        let mut span = self.tracer.start_with_context(NAME, &context);
                        black_box(&span);
                        span.end();
                    }
                    context.span().end();
                }
            }
        }
    }

    fn drain(&self) {
        if let Some(provider) = &self.provider {
            // Fails only for a full queue, after its timeout; the harness never drains that fate.
            let _ = provider.force_flush();
        }
    }

    fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }
}

#[inline]
fn values(payload: &Payload, attributes: Attributes) -> Vec<KeyValue> {
    match attributes {
        Attributes::Zero => Vec::new(),
        Attributes::Four => vec![
            KeyValue::new(key::COMPONENT, value::COMPONENT),
            KeyValue::new(key::POD, payload.pod.clone()),
            KeyValue::new(key::ATTEMPT, payload.attempt),
            KeyValue::new(key::CACHED, payload.cached),
        ],
        Attributes::Ten => vec![
            KeyValue::new(key::COMPONENT, value::COMPONENT),
            KeyValue::new(key::POD, payload.pod.clone()),
            KeyValue::new(key::ATTEMPT, payload.attempt),
            KeyValue::new(key::CACHED, payload.cached),
            KeyValue::new(key::METHOD, value::METHOD),
            KeyValue::new(key::SYSTEM, value::SYSTEM),
            KeyValue::new(key::CONTAINER, payload.container.clone()),
            KeyValue::new(key::NODE, payload.node.clone()),
            KeyValue::new(key::STATUS, payload.status),
            KeyValue::new(key::RETRIED, payload.retried),
        ],
    }
}

/// The end of the road.
#[derive(Debug)]
struct Discard {
    fate: Fate,
    resource: ResourceAttributesWithSchema,
    delivered: Arc<AtomicU64>,
}

impl SpanExporter for Discard {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        if self.fate == Fate::Full {
            loop {
                std::thread::park();
            }
        }
        if self.fate == Fate::Encoded {
            black_box(self.encode(&batch));
        }
        self.delivered.fetch_add(batch.len() as u64, Relaxed);
        done()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

impl Discard {
    /// What opentelemetry-otlp does with a batch, up to the socket: its gRPC client keeps the batch for a retry, sends
    /// a clone of it, and tonic encodes that with prost.
    fn encode(&self, batch: &[SpanData]) -> Vec<u8> {
        let resource_spans = group_spans_by_resource_and_scope(batch.to_vec(), &self.resource);
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }
}

fn done() -> Ready<OTelSdkResult> {
    ready(Ok(()))
}
