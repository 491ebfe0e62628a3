//! What a caller's code breaks is that caller's: exporters, stages, samplers, clocks, ids and attributes that panic cost
//! what they held, are counted, and the pipeline lives on.
#![cfg(feature = "std")]

use core::fmt;
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::time::Instant;

use sinks::{Answering, LONG, block_on, check, eventually, in_time, pipeline, record};
use spanwire_core::attribute::{KeyValue, Value};
use spanwire_core::batch::{Batch, Segment};
use spanwire_core::clock::{Clock, Moment, Timestamp};
use spanwire_core::exporter::{Blocking, Exporter, Outcome, Reply};
use spanwire_core::id::{SpanId, TraceId};
use spanwire_core::pipeline::Pipeline;
use spanwire_core::processor::{Edit, Later, Processor};
use spanwire_core::random::{IdGenerator, ThreadIds};
use spanwire_core::sampler::{AlwaysOn, Sampler, Sampling, SamplingInput};
use spanwire_core::stats::DropReason;

mod sinks;

/// Panics, without a word where it was on purpose.
fn fail() -> ! {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"on purpose") {
                before(info);
            }
        }));
    });
    std::panic::panic_any("on purpose")
}

/// Whether the code called now is to panic, told to all of a test at once.
#[derive(Clone, Default)]
struct Mood(Arc<AtomicBool>);

impl Mood {
    fn set(&self, panics: bool) {
        self.0.store(panics, Ordering::SeqCst);
    }

    fn show(&self) {
        if self.0.load(Ordering::SeqCst) {
            fail();
        }
    }
}

#[derive(Clone)]
enum Hold {
    /// The batch and the reply are dropped by the panic.
    Both,
    /// The answer was given before.
    Answered,
    /// They are somewhere else.
    Elsewhere(Arc<std::sync::Mutex<Vec<(Batch, Reply)>>>),
}

#[derive(Clone)]
struct Panicking(Mood, Hold, bool);

impl Exporter for Panicking {
    fn export(&mut self, batch: Batch, reply: Reply) {
        match &self.1 {
            Hold::Both => {
                self.0.show();
                drop(batch);
                reply.done(Outcome::Exported);
            }
            Hold::Answered => {
                drop(batch);
                reply.done(Outcome::Exported);
                self.0.show();
            }
            Hold::Elsewhere(kept) => {
                kept.lock().unwrap().push((batch, reply));
                self.0.show();
            }
        }
    }

    fn shutdown(&mut self, _: Moment) {
        if self.2 {
            fail();
        }
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        if self.2 && !std::thread::panicking() && std::thread::current().name() != Some("main") {
            let name = std::thread::current()
                .name()
                .unwrap_or_default()
                .to_string();
            if name.starts_with("spanwire") {
                fail();
            }
        }
    }
}

fn panicking(mood: &Mood, hold: &Hold, blocking: bool) -> Pipeline {
    let exporter = Panicking(mood.clone(), hold.clone(), true);
    if blocking {
        pipeline(&Blocking(exporter))
    } else {
        pipeline(&exporter)
    }
}

#[test]
fn an_exporter_that_panics_costs_its_batch() {
    for blocking in [false, true] {
        let mood = Mood::default();
        let pipeline = panicking(&mood, &Hold::Both, blocking);
        for (panics, spans) in [(true, 10), (false, 20), (true, 30), (false, 40)] {
            mood.set(panics);
            record(&pipeline, spans);
            let report = pipeline.flush(LONG);
            assert_eq!(report.is_complete(), !panics, "{report:?}");
            assert_eq!(report.lost(), if panics { spans as u64 } else { 0 });
            check(&report);
        }
        let report = pipeline.shutdown(LONG);
        check(&report);
        let account = report.lanes()[0].account;
        assert_eq!(account.dropped.get(DropReason::Panicked), 40);
        assert_eq!((account.exported, account.late_replies), (60, 0));
        assert!(report.is_complete(), "nothing was lost since: {report:?}");
    }
}

#[test]
fn an_exporter_that_panics_after_its_answer_costs_nothing() {
    for blocking in [false, true] {
        let mood = Mood::default();
        let pipeline = panicking(&mood, &Hold::Answered, blocking);
        mood.set(true);
        record(&pipeline, 10);
        let report = pipeline.flush(LONG);
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(report.lanes()[0].account.exported, 10);
        let report = pipeline.shutdown(LONG);
        assert!(report.is_complete(), "{report:?}");
        check(&report);
    }
}

#[test]
fn an_exporter_that_panics_with_the_batch_elsewhere() {
    for blocking in [false, true] {
        let kept = Arc::default();
        let mood = Mood::default();
        let pipeline = panicking(&mood, &Hold::Elsewhere(Arc::clone(&kept)), blocking);
        mood.set(true);
        record(&pipeline, 10);
        if blocking {
            // Whoever has the reply may still answer, and nobody else can.
            eventually("it arrives", || !kept.lock().unwrap().is_empty());
            for (batch, reply) in std::mem::take(&mut *kept.lock().unwrap()) {
                drop(batch);
                reply.done(Outcome::Exported);
            }
            assert!(pipeline.flush(LONG).is_complete());
        } else {
            let report = pipeline.flush(LONG);
            assert_eq!(report.lost(), 10, "{report:?}");
            kept.lock().unwrap().clear();
        }
        let report = pipeline.shutdown(LONG);
        check(&report);
    }
}

struct Stage(Mood);

impl Processor for Stage {
    fn process(&mut self, segment: Segment, edit: &mut Edit<'_>) -> Result<(), Later> {
        self.0.show();
        edit.emit(segment);
        Ok(())
    }

    fn name(&self) -> &str {
        "moody"
    }
}

#[test]
fn a_stage_that_panics_costs_its_segment() {
    let mood = Mood::default();
    let (stage, exporter) = (mood.clone(), Answering::default());
    let pipeline = Pipeline::builder()
        .stage(move || Box::new(Stage(stage.clone())) as Box<dyn Processor>)
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    for (panics, spans) in [(true, 10), (false, 20), (true, 30)] {
        mood.set(panics);
        record(&pipeline, spans);
        let report = pipeline.flush(LONG);
        assert_eq!(report.is_complete(), !panics, "{report:?}");
        check(&report);
    }
    let report = pipeline.shutdown(LONG);
    check(&report);
    let account = report.lanes()[0].account;
    assert_eq!(
        (account.dropped.get(DropReason::Panicked), account.exported),
        (40, 20)
    );
}

struct MoodySampler(Mood);

impl Sampler for MoodySampler {
    fn sample(&self, input: &SamplingInput<'_>, add: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
        add(KeyValue::new("asked", "once"));
        self.0.show();
        AlwaysOn.sample(input, add)
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Moody")
    }
}

/// Guarantees: not sampled, and the pages that its attributes took are free again.
#[test]
fn a_sampler_that_panics_samples_nothing() {
    let mood = Mood::default();
    let exporter = Answering::default();
    let pipeline = Pipeline::builder()
        .memory_limit(1 << 20)
        .sampler(MoodySampler(mood.clone()))
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    mood.set(true);
    record(&pipeline, 1000);
    let own = pipeline.stats().own;
    assert_eq!((own.started, own.not_sampled), (0, 1000));
    mood.set(false);
    record(&pipeline, 10);
    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.lanes()[0].account.exported, 10);
}

#[test]
fn a_factory_that_panics_is_the_builders_own_problem() {
    let second: fn() -> Answering = || fail();
    let build = || {
        Pipeline::builder()
            .exporter(|| Blocking(Answering::default()))
            .exporter(second)
            .build()
    };
    assert!(catch_unwind(build).is_err());
    let build = || {
        Pipeline::builder()
            .exporter(Answering::default)
            .stage(|| -> Box<dyn Processor> { fail() })
            .build()
    };
    assert!(catch_unwind(build).is_err());
}

struct Worse(bool);

impl fmt::Display for Worse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("some of it is written before ")?;
        if self.0 {
            fail();
        }
        Ok(())
    }
}

/// Guarantees: the attribute is not there, the span is, and no page is lost. Said ten thousand times, for a page lost each
/// time would show.
#[test]
fn an_attribute_that_panics_costs_itself() {
    let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
    #[derive(Clone)]
    struct Keeping(Arc<std::sync::Mutex<Vec<Vec<u8>>>>);
    impl Exporter for Keeping {
        fn export(&mut self, batch: Batch, reply: Reply) {
            self.0.lock().unwrap().push(batch.to_vec());
            drop(batch);
            reply.done(Outcome::Exported);
        }
    }
    let pipeline = pipeline(&Keeping(kept.clone()));
    let tracer = pipeline.tracer("test");
    let mut spans = 0;
    for _ in 0..5000 {
        let mut span = tracer.start("survives");
        span.set_attribute("before", 1);
        let set = AssertUnwindSafe(|| {
            span.set_attribute("worse", Value::Display(&Worse(true)));
        });
        assert!(catch_unwind(set).is_err());
        let event = [KeyValue::new("worse", Value::Display(&Worse(true)))];
        let add = AssertUnwindSafe(|| {
            span.add_event("event", &event);
        });
        assert!(catch_unwind(add).is_err());
        span.set_attribute("after", Value::Display(&Worse(false)));
        drop(span);
        // At the start: the span never begins, or it ends; it is not live for ever, and gives its pages back.
        let attributes = [
            KeyValue::new("first", "fine"),
            KeyValue::new("worse", Value::Display(&Worse(true))),
        ];
        let start = || drop(tracer.span("is born").attributes(&attributes).start());
        assert!(catch_unwind(AssertUnwindSafe(start)).is_err());
        spans += 1;
        if spans % 500 == 0 {
            let report = pipeline.flush(LONG);
            assert!(!report.timed_out());
        }
    }
    let own = pipeline.stats().own;
    assert_eq!(own.live(), 0, "{own:?}");
    assert_eq!(own.dropped.total(), 0, "{own:?}");
    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete(), "{report:?}");
    check(&report);
    let mut survived = 0;
    for request in kept.lock().unwrap().iter() {
        for resource in spanwire_core::wire::view::Request::new(request).resource_spans() {
            for scope in resource.scope_spans() {
                for span in scope.spans() {
                    if span.name() == "survives" {
                        survived += 1;
                        let keys: Vec<&str> = span.attributes().map(|each| each.key()).collect();
                        assert_eq!(keys, ["before", "after"], "span {survived}");
                    }
                }
            }
        }
    }
    assert_eq!(survived, spans);
}

struct MoodyIds(Mood, AtomicUsize, usize);

impl MoodyIds {
    fn turn(&self) {
        if self.1.fetch_add(1, Ordering::Relaxed) % 3 == self.2 {
            self.0.show();
        }
    }
}

impl IdGenerator for MoodyIds {
    fn trace_id(&self) -> TraceId {
        self.turn();
        ThreadIds.trace_id()
    }

    fn span_id(&self) -> SpanId {
        self.turn();
        ThreadIds.span_id()
    }
}

/// Guarantees: the panic is the caller's, and leaves no span live for ever and no page lost.
#[test]
fn ids_that_panic_lose_no_account() {
    for turn in 0..3 {
        let mood = Mood::default();
        let exporter = Answering::default();
        let pipeline = Pipeline::builder()
            .memory_limit(1 << 20)
            .sampler(MoodySampler(Mood::default()))
            .ids(Arc::new(MoodyIds(mood.clone(), AtomicUsize::new(0), turn)))
            .exporter(move || exporter.clone())
            .build()
            .unwrap();
        mood.set(true);
        for _ in 0..2000 {
            let _ = catch_unwind(AssertUnwindSafe(|| record(&pipeline, 1)));
        }
        mood.set(false);
        assert_eq!(pipeline.stats().own.live(), 0);
        let tracer = pipeline.tracer("test");
        let mut span = tracer.start("after");
        span.set_attribute("there", "is a page for it");
        span.end();
        let report = pipeline.shutdown(LONG);
        assert!(report.is_complete(), "{report:?}");
        check(&report);
    }
}

struct MoodyClock(Mood, Instant);

impl Clock for MoodyClock {
    fn now(&self) -> Timestamp {
        self.0.show();
        Timestamp::from_unix_nanos(1_800_000_000_000_000_000)
    }

    fn moment(&self) -> Moment {
        self.0.show();
        Moment::from_nanos(self.1.elapsed().as_nanos() as u64)
    }
}

/// Guarantees: spans panic where they start and end, as their clock does; the pipeline's own thread survives, and calls
/// return in time.
#[test]
fn a_clock_that_panics_does_not_end_the_pipeline() {
    let mood = Mood::default();
    let exporter = Answering::default();
    let pipeline = Pipeline::builder()
        .clock(Arc::new(MoodyClock(mood.clone(), Instant::now())))
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    record(&pipeline, 10);
    let tracer = pipeline.tracer("test");
    for _ in 0..100 {
        let mut live = tracer.start("ends badly");
        live.set_attribute("k", "v");
        mood.set(true);
        assert!(catch_unwind(AssertUnwindSafe(|| tracer.start("starts badly"))).is_err());
        // A span that ends without a time ends all the same; that it does so in a drop must not panic.
        assert!(catch_unwind(AssertUnwindSafe(|| drop(live))).is_ok());
        mood.set(false);
    }
    mood.set(true);
    let timeout = Duration::from_secs(5);
    let report = in_time("flush", timeout, || pipeline.flush(timeout));
    println!("with a broken clock: {report}");
    mood.set(false);
    record(&pipeline, 10);
    let report = pipeline.flush(LONG);
    assert!(!report.timed_out(), "{report:?}");
    check(&report);
    assert_eq!(report.own().started, report.lanes()[0].account.exported);
    mood.set(true);
    let report = in_time("shutdown", LONG, || pipeline.shutdown(LONG));
    assert!(!report.timed_out(), "{report:?}");
    drop(pipeline);
}

/// Scenario: the waker of a future panics, on the thread of the pipeline.
#[test]
fn a_waker_that_panics_does_not_end_the_pipeline() {
    struct Bad;
    impl std::task::Wake for Bad {
        fn wake(self: Arc<Self>) {
            fail();
        }
    }
    let pipeline = pipeline(&Answering::default());
    for _ in 0..3 {
        record(&pipeline, 10);
        let waker = Arc::new(Bad).into();
        let mut future = Box::pin(pipeline.flush_async(LONG));
        let polled = catch_unwind(AssertUnwindSafe(|| {
            future
                .as_mut()
                .poll(&mut std::task::Context::from_waker(&waker))
                .is_ready()
        }));
        eventually("it is ready all the same", || {
            polled.as_ref().is_ok_and(|ready| *ready)
                || future
                    .as_mut()
                    .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
                    .is_ready()
        });
    }
    assert!(block_on(pipeline.flush_async(LONG)).is_complete());
    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete(), "{report:?}");
    check(&report);
}
