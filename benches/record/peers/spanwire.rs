//! Spanwire: a pipeline whose exporter throws batches away.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use spanwire_benches::payload::{Attributes, EVENT, NAME, Payload, SCOPE, key, value};
use spanwire_core::{
    attribute::KeyValue,
    batch::Batch,
    context::SpanContext,
    exporter::{Exporter, Outcome, Reply},
    pipeline::Pipeline,
    sampler::{AlwaysOff, AlwaysOn, ParentBased},
    span::Span,
    tracer::Tracer,
};

use crate::{
    ALLOCATOR,
    hand::Hand,
    peer::{FAMILY, Fate, Peer, Shape},
};

/// Bytes of the pipeline, all in all.
const MEMORY: usize = 32 << 20;

/// Longer than any flush takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Spans that are alive at once while they change threads.
const HANDFUL: usize = 250;

/// Handfuls that change threads before any allocation counts.
const WARM_UP: usize = 40;

pub fn build(fate: Fate) -> &'static dyn Peer {
    if fate == Fate::NoPipeline {
        return Box::leak(Box::new(Spanwire::default()));
    }
    let delivered = Arc::<AtomicU64>::default();
    let builder = Pipeline::builder().service_name(SCOPE).memory_limit(MEMORY);
    let builder = match fate {
        Fate::NotSampled => builder.sampler(ParentBased::new(AlwaysOff)),
        _ => builder.sampler(ParentBased::new(AlwaysOn)),
    };
    let builder = match fate {
        Fate::Full => builder.exporter(Stuck::default),
        _ => {
            let delivered = delivered.clone();
            builder.exporter(move || Discard(delivered.clone()))
        }
    };
    let pipeline = builder.build().expect("settings within their ranges");
    let peer: &'static Spanwire = Box::leak(Box::new(Spanwire {
        tracer: Some(pipeline.tracer(SCOPE)),
        pipeline: Some(pipeline),
        delivered,
        payload: Payload::default(),
    }));
    if fate == Fate::Full {
        peer.fill();
    }
    peer
}

/// The end of the road: the chunks of the request are at hand, and given back.
struct Discard(Arc<AtomicU64>);

impl Exporter for Discard {
    fn export(&mut self, batch: Batch, reply: Reply) {
        for chunk in batch.chunks() {
            black_box(chunk);
        }
        self.0.fetch_add(batch.spans() as u64, Relaxed);
        drop(batch);
        reply.done(Outcome::Exported);
    }
}

/// Keeps what it gets and never answers.
#[derive(Default)]
struct Stuck(Vec<(Batch, Reply)>);

impl Exporter for Stuck {
    fn export(&mut self, batch: Batch, reply: Reply) {
        self.0.push((batch, reply));
    }
}

#[derive(Default)]
struct Spanwire {
    /// None: what a program has that set nothing up.
    tracer: Option<Tracer>,
    pipeline: Option<Pipeline>,
    delivered: Arc<AtomicU64>,
    payload: Payload,
}

impl Spanwire {
    /// Records until the door refuses.
    fn fill(&self) {
        while let Some(pipeline) = &self.pipeline {
            self.record(Shape::Bare, 1000);
            let own = pipeline.stats().own;
            if own.dropped.total() + own.not_sampled_overload > 0 {
                break;
            }
        }
    }

    #[inline]
    fn start(&self) -> Span<'_> {
        self.start_with(&[])
    }

    #[inline]
    fn start_with<'a>(&'a self, attributes: &'a [KeyValue<'a>]) -> Span<'a> {
        match &self.tracer {
            Some(tracer) => tracer.span(NAME).attributes(attributes).start(),
            None => Span::unrecorded(SpanContext::INVALID),
        }
    }

    /// Records roots with one event.
    #[inline]
    fn roots<'a, const N: usize>(
        &'a self,
        spans: usize,
        values: impl Fn(&'a Payload) -> [KeyValue<'a>; N],
    ) {
        for _ in 0..spans {
            let attributes = values(black_box(&self.payload));
            let mut span = self.start_with(&attributes);
            span.add_event(EVENT, &[]);
            // Dropped, it ends where it stands; `end` would move it first.
        }
    }
}

#[inline]
fn four(payload: &Payload) -> [KeyValue<'_>; 4] {
    [
        KeyValue::new(key::COMPONENT, value::COMPONENT),
        KeyValue::new(key::POD, &payload.pod),
        KeyValue::new(key::ATTEMPT, payload.attempt),
        KeyValue::new(key::CACHED, payload.cached),
    ]
}

#[inline]
fn ten(payload: &Payload) -> [KeyValue<'_>; 10] {
    let [component, pod, attempt, cached] = four(payload);
    [
        component,
        pod,
        attempt,
        cached,
        KeyValue::new(key::METHOD, value::METHOD),
        KeyValue::new(key::SYSTEM, value::SYSTEM),
        KeyValue::new(key::CONTAINER, &payload.container),
        KeyValue::new(key::NODE, &payload.node),
        KeyValue::new(key::STATUS, payload.status),
        KeyValue::new(key::RETRIED, payload.retried),
    ]
}

impl Peer for Spanwire {
    fn record(&self, shape: Shape, spans: usize) {
        match shape {
            Shape::Bare => {
                for _ in 0..spans {
                    let span = self.start();
                    black_box(&span);
                }
            }
            Shape::Root(Attributes::Zero) => self.roots(spans, |_| []),
            Shape::Root(Attributes::Four) => self.roots(spans, four),
            Shape::Root(Attributes::Ten) => self.roots(spans, ten),
            Shape::Family => {
                for _ in 0..spans / FAMILY {
                    let root = self.start();
                    let entered = root.enter();
                    for _ in 1..FAMILY {
                        let span = self.start();
                        black_box(&span);
                    }
                    drop(entered);
                    root.end();
                }
            }
        }
    }

    fn drain(&self) {
        if let Some(pipeline) = &self.pipeline {
            let report = pipeline.flush(PATIENCE);
            assert!(!report.timed_out(), "{report}");
        }
    }

    fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    fn hand_over(&self, spans: usize, warm: &dyn Fn()) -> Option<u64> {
        let (started, ended) = (Hand::new(), Hand::new());
        let allocations = thread::scope(|scope| {
            let ender = scope.spawn(|| {
                let before = ALLOCATOR.this_thread();
                loop {
                    let mut handful: Vec<Span<'_>> = started.take();
                    if handful.is_empty() {
                        break;
                    }
                    // Dropped, they end here.
                    handful.clear();
                    ended.give(handful);
                }
                ALLOCATOR.this_thread() - before
            });
            let mut handful = Vec::with_capacity(HANDFUL);
            let before = ALLOCATOR.this_thread();
            for round in 0..WARM_UP + spans.div_ceil(HANDFUL) {
                if round == WARM_UP {
                    warm();
                }
                let attributes = four(&self.payload);
                handful.extend((0..HANDFUL).map(|_| {
                    let mut span = self.start();
                    span.set_attributes(&attributes);
                    span.add_event(EVENT, &[]);
                    span
                }));
                started.give(handful);
                handful = ended.take();
            }
            let own = ALLOCATOR.this_thread() - before;
            started.give(Vec::new());
            let other = ender.join().expect("ending a span does not panic");
            own.count + other.count
        });
        self.drain();
        Some(allocations)
    }
}
