//! `tracing` with tracing-opentelemetry's layer, as it comes, in front of the same SDK.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use spanwire_benches::payload::{Attributes, Payload, SCOPE, value};
use tracing::{info, info_span};
use tracing_subscriber::layer::SubscriberExt;

use super::opentelemetry::{fill, provider};
use crate::peer::{FAMILY, Fate, Peer, Shape};

pub fn build(fate: Fate) -> &'static dyn Peer {
    let mut peer = Tracing::default();
    if fate != Fate::NoPipeline {
        let (provider, delivered) = provider(fate);
        let tracer = provider.tracer(SCOPE);
        if fate == Fate::Full {
            fill(&tracer);
        }
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::set_global_default(subscriber)
            .expect("a worker sets its peer up once");
        peer.provider = Some(provider);
        peer.delivered = delivered;
    }
    Box::leak(Box::new(peer))
}

#[derive(Default)]
struct Tracing {
    provider: Option<SdkTracerProvider>,
    delivered: Arc<AtomicU64>,
    payload: Payload,
}

impl Peer for Tracing {
    fn record(&self, shape: Shape, spans: usize) {
        match shape {
            Shape::Bare => {
                for _ in 0..spans {
                    let span = info_span!(parent: None, "sync pod");
                    black_box(&span);
                    drop(span);
                }
            }
            Shape::Root(attributes) => {
                for _ in 0..spans {
                    let span = root(black_box(&self.payload), attributes);
                    info!(parent: &span, "image pulled");
                }
            }
            Shape::Family => {
                for _ in 0..spans / FAMILY {
                    let root = info_span!(parent: None, "sync pod");
                    for _ in 1..FAMILY {
                        let span = info_span!(parent: &root, "sync pod");
                        black_box(&span);
                        drop(span);
                    }
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
fn root(payload: &Payload, attributes: Attributes) -> tracing::Span {
    match attributes {
        Attributes::Zero => info_span!(parent: None, "sync pod"),
        Attributes::Four => info_span!(
            parent: None,
            "sync pod",
            component = value::COMPONENT,
            k8s.pod.uid = payload.pod,
            attempt = payload.attempt,
            image.cached = payload.cached,
        ),
        Attributes::Ten => info_span!(
            parent: None,
            "sync pod",
            component = value::COMPONENT,
            k8s.pod.uid = payload.pod,
            attempt = payload.attempt,
            image.cached = payload.cached,
            rpc.method = value::METHOD,
            rpc.system = value::SYSTEM,
            container.id = payload.container,
            k8s.node.uid = payload.node,
            rpc.status = payload.status,
            retried = payload.retried,
        ),
    }
}
