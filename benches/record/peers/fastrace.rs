//! fastrace, with a reporter that throws spans away. Its properties are strings, so numbers are formatted.

use std::{
    borrow::Cow,
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use fastrace::{
    Event, Span,
    collector::{Config, Reporter, SpanContext, SpanRecord},
    local::LocalSpan,
};
use spanwire_benches::payload::{Attributes, EVENT, NAME, Payload, key, value};

use crate::peer::{FAMILY, Fate, Peer, Shape};

static DELIVERED: AtomicU64 = AtomicU64::new(0);

pub fn build(fate: Fate) -> &'static dyn Peer {
    if fate != Fate::NoPipeline {
        fastrace::set_reporter(Discard, Config::default());
    }
    Box::leak(Box::new(Fastrace {
        sampled: fate != Fate::NotSampled,
        payload: Payload::default(),
    }))
}

struct Discard;

impl Reporter for Discard {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        DELIVERED.fetch_add(spans.len() as u64, Relaxed);
    }
}

struct Fastrace {
    sampled: bool,
    payload: Payload,
}

impl Fastrace {
    fn root(&self) -> Span {
        Span::root(NAME, SpanContext::random().sampled(self.sampled))
    }
}

impl Peer for Fastrace {
    fn record(&self, shape: Shape, spans: usize) {
        match shape {
            Shape::Bare => {
                for _ in 0..spans {
                    let span = self.root();
                    black_box(&span);
                }
            }
            Shape::Root(attributes) => {
                for _ in 0..spans {
                    let span = with_properties(self.root(), black_box(&self.payload), attributes);
                    span.add_event(Event::new(EVENT));
                    drop(span);
                }
            }
            Shape::Family => {
                for _ in 0..spans / FAMILY {
                    let root = self.root();
                    let guard = root.set_local_parent();
                    for _ in 1..FAMILY {
                        let span = LocalSpan::enter_with_local_parent(NAME);
                        black_box(&span);
                    }
                    drop(guard);
                }
            }
        }
    }

    fn drain(&self) {
        fastrace::flush();
    }

    fn delivered(&self) -> u64 {
        DELIVERED.load(Relaxed)
    }
}

type Property = (&'static str, Cow<'static, str>);

#[inline]
fn with_properties(span: Span, payload: &Payload, attributes: Attributes) -> Span {
    match attributes {
        Attributes::Zero => span,
        Attributes::Four => span.with_properties(|| four(payload)),
        Attributes::Ten => span.with_properties(|| {
            let [component, pod, attempt, cached] = four(payload);
            [
                component,
                pod,
                attempt,
                cached,
                (key::METHOD, value::METHOD.into()),
                (key::SYSTEM, value::SYSTEM.into()),
                (key::CONTAINER, payload.container.clone().into()),
                (key::NODE, payload.node.clone().into()),
                (key::STATUS, payload.status.to_string().into()),
                (key::RETRIED, boolean(payload.retried)),
            ]
        }),
    }
}

#[inline]
fn four(payload: &Payload) -> [Property; 4] {
    [
        (key::COMPONENT, value::COMPONENT.into()),
        (key::POD, payload.pod.clone().into()),
        (key::ATTEMPT, payload.attempt.to_string().into()),
        (key::CACHED, boolean(payload.cached)),
    ]
}

#[inline]
fn boolean(value: bool) -> Cow<'static, str> {
    if value { "true" } else { "false" }.into()
}
