//! Memory stays where it was promised to stay, whatever is recorded and whoever does not take it away.
//!
//! Every allocation is counted by the thread that makes it. Tests run one at a time: resident memory is the process's.
#![cfg(feature = "std")]

use core::time::Duration;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use sinks::{Answering, LONG, Silent, check, eventually};
use spanwire_core::attribute::KeyValue;
use spanwire_core::batch::Batch;
use spanwire_core::exporter::{Exporter, Reply};
use spanwire_core::pipeline::Pipeline;
use spanwire_core::sampler::AlwaysOff;
use spanwire_core::span::OwnedSpan;
use spanwire_core::stats::DropReason;
use spanwire_core::wire::SpanKind;

mod allocations;
mod sinks;

static ALONE: Mutex<()> = Mutex::new(());

const MIB: usize = 1 << 20;

/// The full figures take a release build and a quiet machine: `SPANWIRE_FULL=1`.
fn scale(full: usize, short: usize) -> usize {
    match std::env::var_os("SPANWIRE_FULL") {
        Some(_) => full,
        None => short,
    }
}

/// The memory of this process that is in use, in bytes. `None` where nobody tells.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[derive(Default)]
struct Watch {
    before: usize,
    most: usize,
}

impl Watch {
    fn new() -> Self {
        let before = resident().unwrap_or_default();
        Self {
            before,
            most: before,
        }
    }

    fn look(&mut self) {
        self.most = self.most.max(resident().unwrap_or_default());
    }

    fn growth(&mut self) -> usize {
        self.look();
        self.most - self.before
    }
}

/// Scenario: a pipeline with a large limit has recorded one span. Guarantees: of the memory for spans, ended or not, only what
/// they touched is resident. The limit is so large that the allocator asks the system for each part, whatever it has kept.
#[test]
fn memory_that_no_span_has_touched_is_not_resident() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut watch = Watch::new();
    let silent = Silent::default();
    let pipeline = Pipeline::builder()
        .memory_limit(512 * MIB)
        .exporter(move || silent.clone())
        .build()
        .unwrap();
    pipeline.tracer("test").start("one").end();
    let grown = watch.growth();
    assert!(grown <= 2 * MIB, "{grown}");
    drop(pipeline.shutdown(Duration::ZERO));
}

/// Scenario: eight threads record millions of spans for a sink that never answers. Guarantees: resident memory grows by
/// the limit and 2 MiB at most, and every span is accounted for.
#[test]
fn a_sink_that_never_answers_costs_no_more_than_the_limit() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const THREADS: usize = 8;
    let spans = scale(5_000_000, 400_000) / THREADS;
    for children in [false, true] {
        let limit = 16 * MIB;
        let mut watch = Watch::new();
        let silent = Silent::default();
        let exporter = silent.clone();
        let pipeline = Pipeline::builder()
            .memory_limit(limit)
            .exporter(move || exporter.clone())
            .build()
            .unwrap();
        let tracer = pipeline.tracer("test");
        let parent = tracer.start("parent");
        let done = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let attributes = [
                        KeyValue::new("http.request.method", "GET"),
                        KeyValue::new("http.response.status_code", 200),
                    ];
                    for _ in 0..spans {
                        let builder = tracer.span("GET /pods").attributes(&attributes);
                        if children {
                            builder.child_of(parent.context()).start().end();
                        } else {
                            builder.start().end();
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
            while done.load(Ordering::Relaxed) < THREADS as u64 {
                thread::sleep(Duration::from_millis(5));
                watch.look();
            }
        });
        drop(parent);
        let usage = pipeline.stats().memory.unwrap();
        assert!(usage.high_water <= limit, "{usage:?}");
        let report = pipeline.shutdown(Duration::from_millis(200));
        check(&report);
        let own = *report.own();
        assert_eq!(
            own.started + own.not_sampled_overload,
            (spans * THREADS) as u64 + 1
        );
        assert_eq!(own.not_sampled, 0);
        assert!(own.dropped.total() + own.not_sampled_overload > 0);
        // They are lost for want of room, and said to be.
        let contended = own.dropped.get(DropReason::Contended);
        assert!(contended <= own.dropped.total() / 10, "{own:?}");
        assert!(!report.is_complete());
        let grown = watch.growth();
        println!(
            "children {children}: grown by {:.1} MiB of {} MiB, {own:?}, {report}",
            grown as f64 / MIB as f64,
            limit / MIB
        );
        assert!(grown <= limit + 2 * MIB, "{grown}");
    }
}

/// Guarantees: spans that are alive take their memory from the limit, and when there is none their content is dropped,
/// not they.
#[test]
fn many_live_spans_stay_within_the_limit() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const LIVE: usize = 100_000;
    let limit = 64 * MIB;
    let count = Answering::default();
    let exporter = count.clone();
    let pipeline = Pipeline::builder()
        .memory_limit(limit)
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let tracer = pipeline.tracer("test");
    // The handles are the caller's.
    let mut live = Vec::with_capacity(LIVE);
    let handles = LIVE * size_of_val(&tracer.start("size"));
    let mut watch = Watch::new();
    let filler = "x".repeat(600);
    for n in 0..LIVE {
        let mut span = tracer.start("live");
        span.set_attribute("n", n as i64);
        if n % 10 == 0 {
            span.set_attribute("filler", filler.as_str());
        }
        live.push(span);
    }
    assert_eq!(pipeline.stats().own.live(), LIVE as u64);
    let usage = pipeline.stats().memory.unwrap();
    assert!(usage.high_water <= limit, "{usage:?}");
    let grown = watch.growth();
    println!(
        "{LIVE} live spans: {} KiB grown, handles {} KiB",
        grown / 1024,
        handles / 1024
    );
    assert!(grown <= limit + handles + 2 * MIB, "{grown} {handles}");
    let mut ended = 0;
    for span in live {
        drop(span);
        ended += 1;
        if ended % 1000 == 0 {
            let _ = pipeline.flush(LONG);
        }
    }
    let report = pipeline.shutdown(LONG);
    check(&report);
    assert_eq!(report.own().dropped.total(), 0, "{report:?}");
    assert_eq!(count.0.load(Ordering::Relaxed), LIVE as u64 + 1);
    // All pages are back: a span has room for what it is told.
    assert!(watch.growth() <= limit + handles + 2 * MIB);
}

/// Hands spans from one thread to another without allocating: as many places as there are, each taken and filled under
/// a lock that allocates nothing.
struct Places(Vec<Mutex<Option<OwnedSpan>>>);

/// Scenario: a span starts on one thread and ends on another, a million times. Guarantees: neither allocates, and
/// memory does not grow.
#[test]
fn a_span_that_ends_on_another_thread_costs_no_allocation() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let spans = scale(1_000_000, 100_000);
    let warm = spans / 5;
    let count = Answering::default();
    let exporter = count.clone();
    let pipeline = Pipeline::builder()
        .schedule_delay(Duration::from_millis(20))
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let tracer = pipeline.tracer("test");
    let places = Places((0..256).map(|_| Mutex::new(None)).collect());
    let barrier = Barrier::new(2);
    let (started, ended, grown) = thread::scope(|scope| {
        let starts = scope.spawn(|| {
            let mut before = 0;
            for n in 0..spans {
                if n == warm {
                    barrier.wait();
                    before = allocations::so_far();
                }
                let mut span = tracer.span("handed over").start_owned();
                span.set_attribute("n", n as i64).set_attribute("k", "v");
                let place = &places.0[n % places.0.len()];
                let mut span = Some(span);
                while span.is_some() {
                    let mut place = place.lock().unwrap();
                    if place.is_none() {
                        *place = span.take();
                    } else {
                        drop(place);
                        thread::yield_now();
                    }
                }
            }
            allocations::so_far() - before
        });
        let ends = scope.spawn(|| {
            let mut before = 0;
            let mut watch = Watch::default();
            for n in 0..spans {
                if n == warm {
                    barrier.wait();
                    watch = Watch::new();
                    before = allocations::so_far();
                }
                let place = &places.0[n % places.0.len()];
                loop {
                    let taken = place.lock().unwrap().take();
                    match taken {
                        Some(span) => {
                            span.end();
                            break;
                        }
                        None => thread::yield_now(),
                    }
                }
            }
            let allocated = allocations::so_far() - before;
            (allocated, watch.growth())
        });
        let started = starts.join().unwrap();
        let (ended, grown) = ends.join().unwrap();
        (started, ended, grown)
    });
    println!(
        "{spans} spans handed over: {started} and {ended} allocations, {} KiB grown",
        grown / 1024
    );
    assert_eq!((started, ended), (0, 0));
    // The ring is touched as it is used, and the exporter's thread may lag.
    assert!(grown <= 18 * MIB, "{grown}");
    let report = pipeline.shutdown(LONG);
    check(&report);
    assert_eq!(
        report.own().started,
        spans as u64 - report.own().not_sampled_overload
    );
}

#[test]
fn recording_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pipeline = Pipeline::builder()
        .exporter(Answering::default)
        .build()
        .unwrap();
    let off = Pipeline::builder()
        .sampler(AlwaysOff)
        .exporter(Answering::default)
        .build()
        .unwrap();
    let tracers = [pipeline.tracer("test"), off.tracer("test")];
    let attributes = [
        KeyValue::new("http.request.method", "GET"),
        KeyValue::new("http.response.status_code", 200),
    ];
    for (tracer, sampled) in tracers.iter().zip([true, false]) {
        for round in 0..3 {
            let before = allocations::so_far();
            for n in 0..10_000_i64 {
                let mut root = tracer
                    .span("GET /pods")
                    .kind(SpanKind::Server)
                    .attributes(&attributes)
                    .start();
                assert_eq!(root.is_recording(), sampled);
                root.set_attribute("n", n).set_attribute("text", "value");
                root.add_event("event", &attributes);
                let _entered = root.enter();
                let mut child = tracer.start("child");
                child.set_status(spanwire_core::span::Status::Error("why"));
                child.end();
            }
            let allocated = allocations::so_far() - before;
            println!("sampled {sampled}, round {round}: {allocated} allocations");
            if round > 0 {
                assert_eq!(allocated, 0);
            }
        }
    }
    let report = pipeline.shutdown(LONG);
    check(&report);
    check(&off.shutdown(LONG));
}

/// Answers at once, and sees how long it was not called.
#[derive(Clone, Default)]
struct Gaps(Answering, Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    last: Option<Instant>,
    longest: Duration,
    count: usize,
}

impl Calls {
    fn seen(&self) -> (usize, Duration) {
        (self.count, self.longest)
    }
}

impl Exporter for Gaps {
    fn export(&mut self, batch: Batch, reply: Reply) {
        let mut calls = self.1.lock().unwrap();
        let now = Instant::now();
        let gap = calls.last.map_or(Duration::ZERO, |last| now - last);
        calls.longest = calls.longest.max(gap);
        calls.last = Some(now);
        calls.count += 1;
        self.0.export(batch, reply);
    }

    fn concurrency(&self) -> usize {
        4
    }
}

/// Guarantees: with a sink that answers and default settings no span is lost, though 32 threads record.
#[test]
fn thirty_two_threads_lose_no_span() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const THREADS: usize = 32;
    let spans = scale(200_000, 3_000);
    let count = Gaps::default();
    let exporter = count.clone();
    let pipeline = Pipeline::builder()
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let tracer = pipeline.tracer("test");
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for n in 0..spans {
                    tracer
                        .start("span")
                        .set_attribute("n", n as i64)
                        .set_attribute("k", "v");
                }
            });
        }
    });
    let took = start.elapsed();
    let wakes = pipeline.stats().wakes;
    let report = pipeline.shutdown(LONG);
    check(&report);
    let own = report.own();
    let (batches, gap) = count.1.lock().unwrap().seen();
    println!(
        "{THREADS} threads: {own:?} in {took:?}; {report}; {wakes} wake-ups, {batches} batches, {gap:?} between two"
    );
    // Roots that are thinned, where the pipeline's thread waits for a processor longer than the ring lasts, are not lost.
    assert_eq!(
        own.started + own.not_sampled_overload,
        (THREADS * spans) as u64
    );
    assert_eq!(own.dropped.total(), 0, "{own:?}");
    assert_eq!(count.0.0.load(Ordering::Relaxed), own.started);
}

/// Guarantees: what exporters keep stays charged after the pipeline is gone, and is given back when they let go.
#[test]
fn what_is_kept_after_the_end_stays_whole() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let silent = Silent::default();
    let exporter = silent.clone();
    let pipeline = Pipeline::builder()
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    sinks::record(&pipeline, 1000);
    drop(pipeline.flush_async(LONG));
    eventually("the sink has them", || silent.spans() == 1000);
    let report = pipeline.shutdown(Duration::from_millis(100));
    check(&report);
    drop(pipeline);
    let kept = std::mem::take(&mut *silent.0.lock().unwrap());
    let mut spans = 0;
    for (batch, _) in &kept {
        let request = batch.to_vec();
        for resource in spanwire_core::wire::view::Request::new(&request).resource_spans() {
            for scope in resource.scope_spans() {
                spans += scope.spans().filter(|span| span.name() == "span").count();
            }
        }
    }
    assert_eq!(spans, 1000);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            drop(kept);
            stop.store(true, Ordering::Relaxed);
        });
        eventually("all is let go", || stop.load(Ordering::Relaxed));
    });
}
