//! Spanwire: a recorder, and a thread that takes the sealed blocks and gives them back.

use std::{
    hint::black_box,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{self, Thread},
    time::Duration,
};

use spanwire_benches::payload::{Attributes, EVENT, NAME, Payload, SCOPE, key, value};
use spanwire_core::{
    attribute::KeyValue,
    context::SpanContext,
    recorder::{Recorder, Wake},
    sampler::{AlwaysOff, AlwaysOn, ParentBased, Sampler},
    span::Span,
    tracer::Tracer,
};

use crate::{
    hand::Hand,
    peer::{FAMILY, Fate, Peer, Shape},
};

/// Bytes of the ring and of live spans.
const MEMORY: usize = 32 << 20;

/// Spans that are alive at once while they change threads.
const HANDFUL: usize = 250;

/// Handfuls that change threads before any allocation counts.
const WARM_UP: usize = 40;

pub fn build(fate: Fate) -> &'static dyn Peer {
    if fate == Fate::NoPipeline {
        return Box::leak(Box::new(Spanwire::default()));
    }
    let sampler: Arc<dyn Sampler> = match fate {
        Fate::NotSampled => Arc::new(ParentBased::new(AlwaysOff)),
        _ => Arc::new(ParentBased::new(AlwaysOn)),
    };
    let sink = Arc::<Sink>::default();
    let recorder = Recorder::builder()
        .memory(MEMORY)
        .wake(sink.clone())
        .build();
    let recorder = Arc::new(recorder.expect("more memory than the least"));
    let peer: &'static Spanwire = Box::leak(Box::new(Spanwire {
        tracer: Some(Tracer::new(recorder.clone(), SCOPE, sampler)),
        recorder: Some(recorder.clone()),
        sink: sink.clone(),
        payload: Payload::default(),
    }));
    if fate == Fate::Full {
        while recorder.account().dropped.total() == 0
            && recorder.account().not_sampled_overload == 0
        {
            peer.record(Shape::Bare, 100);
        }
    } else {
        let reader = thread::spawn({
            let sink = sink.clone();
            move || sink.run(&recorder)
        });
        let _ = sink.reader.set(reader.thread().clone());
    }
    peer
}

#[derive(Default)]
struct Spanwire {
    /// None: what a program has that set nothing up.
    tracer: Option<Tracer>,
    recorder: Option<Arc<Recorder>>,
    sink: Arc<Sink>,
    payload: Payload,
}

impl Spanwire {
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
            span.end();
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
                    black_box(self.start()).end();
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
                        black_box(self.start()).end();
                    }
                    drop(entered);
                    root.end();
                }
            }
        }
    }

    fn drain(&self) {
        if let Some(recorder) = &self.recorder {
            self.sink.drain(recorder);
        }
    }

    fn delivered(&self) -> u64 {
        self.sink.delivered.load(Relaxed)
    }

    fn hand_over(&self, spans: usize, settled: &mut dyn FnMut()) -> bool {
        let (started, ended) = (Hand::new(), Hand::new());
        thread::scope(|scope| {
            scope.spawn(|| {
                loop {
                    let mut handful: Vec<Span<'_>> = started.take();
                    if handful.is_empty() {
                        break;
                    }
                    // Dropped, they end here.
                    handful.clear();
                    ended.give(handful);
                }
            });
            let mut handful = Vec::with_capacity(HANDFUL);
            let rounds = WARM_UP + spans.div_ceil(HANDFUL);
            for round in 0..rounds {
                if round == WARM_UP {
                    settled();
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
            settled();
            started.give(Vec::new());
        });
        self.drain();
        true
    }
}

/// The end of the road: blocks are taken as they are sealed, looked at, and given back.
#[derive(Default)]
struct Sink {
    reader: OnceLock<Thread>,
    parked: AtomicBool,
    delivered: AtomicU64,
}

impl Sink {
    fn run(&self, recorder: &Recorder) {
        loop {
            self.take(recorder);
            self.parked.store(true, SeqCst);
            // A block that was sealed before the flag was up woke nobody.
            if self.take(recorder) == 0 {
                thread::park_timeout(Duration::from_secs(1));
            }
            self.parked.store(false, Relaxed);
        }
    }

    fn take(&self, recorder: &Recorder) -> u64 {
        let mut taken = 0;
        while let Some(block) = recorder.ring().take() {
            black_box(block.as_bytes());
            taken += block.spans() as u64;
        }
        self.delivered.fetch_add(taken, Relaxed);
        taken
    }

    /// Seals what is open and takes it; the reader may be helping.
    fn drain(&self, recorder: &Recorder) {
        while recorder.ring().seal_all() > 0 {
            thread::yield_now();
        }
        self.take(recorder);
        while recorder.account().admitted > self.delivered.load(Relaxed) {
            thread::yield_now();
        }
    }
}

impl Wake for Sink {
    fn sealed(&self) {
        if self.parked.load(Relaxed)
            && self.parked.swap(false, SeqCst)
            && let Some(reader) = self.reader.get()
        {
            reader.unpark();
        }
    }
}
