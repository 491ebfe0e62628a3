//! What a program sees of a pipeline that works: spans arrive, flushes cover what ended before them, memory is bounded.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use spanwire_core::attribute::KeyValue;
use spanwire_core::batch::Batch;
use spanwire_core::clock::Clock;
use spanwire_core::context::{SpanContext, TraceFlags, TraceState};
use spanwire_core::exporter::{Exporter, Outcome, Provisions, Reply};
use spanwire_core::id::{SpanId, TraceId};
use spanwire_core::pipeline::Pipeline;
use spanwire_core::resource::InstrumentationScope;
use spanwire_core::testing::InMemoryExporter;
use spanwire_core::tracer::Tracer;

use sinks::Answering;

mod sinks;

const LONG: Duration = sinks::LONG;

fn pipeline(kept: &InMemoryExporter) -> Pipeline {
    let exporter = kept.clone();
    Pipeline::builder()
        .service_name("test")
        .exporter(move || exporter.clone())
        .build()
        .unwrap()
}

#[test]
fn a_flush_covers_every_span_that_ended_before_it() {
    let kept = InMemoryExporter::new();
    let pipeline = pipeline(&kept);
    let tracer = pipeline.tracer("scope");
    for round in 1..=20 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..50 {
                        tracer.start("span").set_attribute("n", n);
                    }
                });
            }
        });
        let report = pipeline.flush(LONG);
        assert!(report.is_complete(), "{report}");
        assert_eq!(report.lanes()[0].account.exported, round * 200);
        assert_eq!(report.own().admitted, round * 200);
    }
    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete(), "{report}");
}

#[test]
fn spans_leave_by_themselves_after_the_schedule_delay() {
    let kept = InMemoryExporter::new();
    let exporter = kept.clone();
    let pipeline = Pipeline::builder()
        .schedule_delay(Duration::from_millis(50))
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    pipeline.tracer("scope").start("span").end();
    let start = Instant::now();
    let exported = |pipeline: &Pipeline| {
        let lanes = pipeline.stats().lanes;
        lanes.first().map_or(0, |lane| lane.account.exported)
    };
    while exported(&pipeline) == 0 {
        assert!(start.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn two_exporters_get_every_span_and_neighbours_pass_too() {
    let (one, two) = (InMemoryExporter::new(), InMemoryExporter::new());
    let (first, second) = (one.clone(), two.clone());
    let pipeline = Pipeline::builder()
        .neighbours(1 << 20)
        .exporter(move || first.clone())
        .exporter(move || second.clone())
        .build()
        .unwrap();
    pipeline.tracer("own").start("own").end();
    let request = [0x0a, 4, 0x12, 2, 0x12, 0];
    assert_eq!(pipeline.intake().offer(&request).unwrap().spans(), 1);
    assert!(pipeline.intake().offer(&request[..5]).is_err());
    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete(), "{report}");
    for lane in report.lanes() {
        assert_eq!(lane.account.exported, 2);
    }
    assert_eq!(
        (
            report.neighbours().admitted,
            report.neighbours().malformed_requests
        ),
        (1, 1)
    );
    assert!(pipeline.intake().offer(&request).is_err());
}

/// Never answers, and keeps everything.
#[derive(Clone, Default)]
struct BlackHole(Arc<std::sync::Mutex<Vec<(Batch, Reply)>>>);

impl Exporter for BlackHole {
    fn export(&mut self, batch: Batch, reply: Reply) {
        self.0.lock().unwrap().push((batch, reply));
    }
}

#[test]
fn a_black_hole_costs_memory_up_to_the_limit_and_every_span_is_counted() {
    let hole = BlackHole::default();
    let exporter = hole.clone();
    let pipeline = Pipeline::builder()
        .memory_limit(2 << 20)
        .schedule_delay(Duration::from_millis(1))
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let tracer = pipeline.tracer("scope");
    let parent = tracer.start("parent");
    for n in 0..50_000 {
        let filler = [KeyValue::new(
            "filler",
            "0123456789012345678901234567890123456789",
        )];
        tracer
            .span("child")
            .child_of(parent.context())
            .attributes(&filler)
            .start()
            .set_attribute("n", n);
    }
    drop(parent);
    let timeout = Duration::from_millis(100);
    let report = sinks::in_time("flush", timeout, || pipeline.flush(timeout));
    assert!(!report.is_complete() && report.timed_out());
    let own = *report.own();
    assert_eq!(own.started, 50_001);
    assert_eq!(own.admitted + own.dropped.total(), 50_001);
    assert!(own.dropped.total() > 0);
    let usage = pipeline.stats().memory.unwrap();
    assert!(usage.high_water <= 2 << 20, "{usage:?}");
    let report = sinks::heard("shutdown", || pipeline.shutdown(Duration::from_millis(50)));
    assert!(!report.is_complete());
    let lane = &report.lanes()[0].account;
    assert!(lane.balances());
    assert_eq!(lane.exported, 0);
}

#[test]
fn answers_also_come_as_futures() {
    let kept = InMemoryExporter::new();
    let pipeline = pipeline(&kept);
    pipeline.tracer("scope").start("span").end();
    let report = block_on(pipeline.flush_async(LONG));
    assert!(report.is_complete(), "{report}");
    let report = block_on(pipeline.shutdown_async(LONG));
    assert!(report.is_complete(), "{report}");
    let again = block_on(pipeline.shutdown_async(LONG));
    assert_eq!(again.own().started, 1);
    assert!(!again.timed_out());
}

fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn an_idle_pipeline_sleeps() {
    let count = Answering::default();
    let exporter = count.clone();
    let pipeline = Pipeline::builder()
        .schedule_delay(Duration::from_millis(200))
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let before = pipeline.stats().wakes;
    std::thread::sleep(Duration::from_millis(600));
    // Asking costs one wake-up each, and the first may cost another, later.
    let wakes = pipeline.stats().wakes - before;
    assert!(wakes <= 2, "{wakes}");
    let before = pipeline.stats().wakes;
    pipeline.tracer("scope").start("span").end();
    sinks::eventually("exported", || count.0.load(Ordering::Relaxed) == 1);
    std::thread::sleep(Duration::from_millis(300));
    let wakes = pipeline.stats().wakes - before;
    // One when the block is opened, one when it is due, one for the answer, one for the question; and one that the
    // question before may have left behind.
    assert!((1..=5).contains(&wakes), "{wakes}");
}

/// What one kubelet sync of a pod may say, under a scope of an ordinary length.
fn record_syncs(tracers: &[Tracer], spans: usize) {
    for (n, tracer) in (0..spans).zip(tracers.iter().cycle()) {
        let mut span = tracer.start("syncPod");
        span.set_attribute("k8s.namespace.name", "kube-system");
        span.set_attribute("k8s.pod.name", "coredns-5d78c9869d-xk2vq");
        span.set_attribute("k8s.pod.update_type", "update");
        span.set_attribute("n", (n % 100) as i64);
    }
}

/// Leaves its batches to others.
struct Passing(std::sync::mpsc::Sender<(Batch, Reply)>);

impl Exporter for Passing {
    fn export(&mut self, batch: Batch, reply: Reply) {
        let _ = self.0.send((batch, reply));
    }
}

/// Guarantees: a batch wakes the worker when it is worth a request, and when it is answered; not when it is opened, begun or
/// let go of. Where the machine has other things to do, the worker may wake by itself; so the best of many rounds counts.
#[test]
fn a_batch_wakes_the_worker_twice() {
    const BATCHES: u64 = 10;
    let (sender, batches) = std::sync::mpsc::channel();
    let pipeline = Pipeline::builder()
        .exporter(move || Passing(sender.clone()))
        .build()
        .unwrap();
    let tracer = pipeline.tracer("scope");
    let text = "x".repeat(400);
    let pass_on = || {
        let mut left = BATCHES;
        while left > 0 {
            tracer.start("span").set_attribute("text", &*text);
            if let Ok((batch, reply)) = batches.try_recv() {
                drop(batch);
                reply.done(Outcome::Exported);
                left -= 1;
            }
        }
    };
    pass_on();
    let fewest = (0..200).map(|_| {
        let before = pipeline.stats().wakes;
        pass_on();
        pipeline.stats().wakes - before
    });
    let mut fewest = fewest.take_while(|wakes| *wakes > BATCHES * 5 / 2);
    let tried = fewest.by_ref().count();
    assert!(tried < 200, "more than 2.5 wake-ups a batch, always");
    drop(batches);
    let _ = pipeline.shutdown(Duration::from_secs(1));
}

#[test]
fn two_scopes_by_turns_cost_at_most_a_twentieth_more_bytes() {
    const SPANS: usize = 20_000;
    let scopes = ["k8s.io/kubernetes/pkg/kubelet", "k8s.io/kubernetes/pkg/cri"];
    let exported = |scopes: &[&'static str]| {
        let kept = InMemoryExporter::new();
        let pipeline = pipeline(&kept);
        let tracers: Vec<_> = scopes
            .iter()
            .map(|scope| {
                pipeline.tracer(
                    InstrumentationScope::builder(scope)
                        .version("1.31.0")
                        .build(),
                )
            })
            .collect();
        record_syncs(&tracers, SPANS);
        let report = pipeline.shutdown(LONG);
        assert!(report.is_complete(), "{report}");
        let mut spans_of = vec![0; scopes.len()];
        kept.each_span(|_, scope, _| {
            let name = scope.scope().map(|scope| scope.name().to_owned());
            let index = scopes
                .iter()
                .position(|known| Some(*known) == name.as_deref());
            spans_of[index.expect("a scope of the test")] += 1;
        });
        assert_eq!(spans_of, vec![SPANS / scopes.len(); scopes.len()]);
        kept.requests()
            .iter()
            .map(|request| request.len())
            .sum::<usize>()
    };
    let one = exported(&scopes[..1]);
    let two = exported(&scopes);
    println!("{one} bytes under one scope, {two} under two by turns");
    assert!(
        two * 20 <= one * 21,
        "{one} bytes under one scope, {two} under two by turns"
    );
}

/// Scenario: a sink that never answers, a log that is full, and a flush that waits for both while spans go on to end, a
/// few at a time. Guarantees: the flush seals what it covers and nothing else, so that the last blocks go on to be
/// filled, instead of each going away with a span or two in it.
#[test]
fn a_flush_that_waits_seals_nothing_that_came_after_it() {
    let build = || {
        Pipeline::builder()
            .memory_limit(2 << 20)
            .schedule_delay(Duration::from_secs(60))
            .export_timeout(Duration::ZERO)
            .exporter(BlackHole::default)
            .build()
            .unwrap()
    };
    // Children are not thinned out.
    let parent = SpanContext::new(
        TraceId::from_bytes([1; 16]),
        SpanId::from_bytes([1; 8]),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    let record = |pipeline: &Pipeline| {
        let tracer = pipeline.tracer("scope");
        let mut span = tracer.span("child").child_of(&parent).start();
        span.set_attribute("k8s.pod.name", "coredns-5d78c9869d-xk2vq");
    };
    let dropped = |pipeline: &Pipeline| pipeline.stats().own.dropped.total();
    let full = build();
    let room = (0..)
        .find(|n| {
            record(&full);
            n % 64 == 0 && dropped(&full) > 0
        })
        .unwrap();
    let pipeline = build();
    for _ in 0..room / 100 * 85 {
        record(&pipeline);
    }
    assert_eq!(dropped(&pipeline), 0);
    let flush = pipeline.flush_async(LONG);
    for _ in 0..200 {
        record(&pipeline);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(dropped(&pipeline), 0, "of {room} that would have fit");
    drop(flush);
    let _ = pipeline.shutdown(Duration::ZERO);
    let _ = full.shutdown(Duration::ZERO);
}

/// Guarantees: an exporter knows the clock its deadlines are told on, and the budget its memory is taken from, before its
/// first batch.
#[test]
fn an_exporter_is_told_what_its_pipeline_works_with() {
    #[derive(Default)]
    struct Told {
        clock: Option<Arc<dyn Clock>>,
    }
    impl Exporter for Told {
        fn begin(&mut self, provisions: &Provisions) {
            let permit = provisions.limiter().reserve().acquire(1000).unwrap();
            assert!(provisions.limiter().usage().reserve.in_use >= 1000);
            drop(permit);
            self.clock = Some(provisions.clock().clone());
        }

        fn export(&mut self, batch: Batch, reply: Reply) {
            drop(batch);
            let left = match (&self.clock, reply.deadline()) {
                (Some(clock), Some(deadline)) => deadline.saturating_since(clock.moment()),
                _ => Duration::ZERO,
            };
            let right = left > LONG && left <= LONG + Duration::from_secs(60);
            reply.done(if right {
                Outcome::Exported
            } else {
                Outcome::rejected(format!("{left:?} left"))
            });
        }
    }
    let pipeline = Pipeline::builder()
        .memory_limit(8 << 20)
        .export_timeout(LONG + Duration::from_secs(60))
        .exporter(|| spanwire_core::exporter::Blocking(Told::default()))
        .build()
        .unwrap();
    pipeline.tracer("scope").start("span").end();
    // The deadline of a flush does not shorten that of an export.
    let report = pipeline.flush(LONG + LONG);
    assert!(report.is_complete(), "{report}");
}
