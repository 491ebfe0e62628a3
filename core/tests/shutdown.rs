//! A flush or a shutdown returns by its deadline wherever it is called, whatever the sink does, and tells the truth.
#![cfg(feature = "std")]

use core::time::Duration;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use sinks::{
    Answering, Calling, Gate, LONG, Late, MARGIN, Silent, block_on, check, eventually, heard,
    in_time, pipeline, record,
};
use spanwire_core::attribute::{KeyValue, Value};
use spanwire_core::batch::Batch;
use spanwire_core::exporter::{Blocking, Exporter, Outcome, Reply};
use spanwire_core::pipeline::{Pipeline, Report};
use spanwire_core::stats::DropReason;

mod sinks;

const TIMEOUT: Duration = Duration::from_millis(150);

/// Flushes and shuts down in every way, with a sink that keeps spans from being exported.
fn all_ways(what: &str, build: impl Fn() -> Pipeline) {
    for (way, call) in [
        (
            "flush",
            (|pipeline| pipeline.flush(TIMEOUT)) as fn(&Pipeline) -> Report,
        ),
        ("shutdown", |pipeline| pipeline.shutdown(TIMEOUT)),
        ("flush_async", |pipeline| {
            block_on(pipeline.flush_async(TIMEOUT))
        }),
        ("shutdown_async", |pipeline| {
            block_on(pipeline.shutdown_async(TIMEOUT))
        }),
    ] {
        let pipeline = build();
        record(&pipeline, 100);
        let asked =
            |what: &str, call: &dyn Fn() -> Report| heard(what, || in_time(what, TIMEOUT, call));
        let report = asked(&format!("{what}, {way}"), &|| call(&pipeline));
        assert!(!report.is_complete(), "{report:?}");
        assert_eq!(report.lost() + report.unsettled(), 100, "{report:?}");
        check(&report);
        // And once more, with the sink already stuck.
        record(&pipeline, 100);
        let report = asked(&format!("{what}, {way} again"), &|| call(&pipeline));
        assert!(!report.is_complete(), "{report:?}");
        check(&report);
        let report = asked(&format!("{what}, shutdown after"), &|| {
            pipeline.shutdown(TIMEOUT)
        });
        assert!(!report.is_complete(), "{report:?}");
        check(&report);
        record(&pipeline, 10);
        assert!(
            pipeline.stats().own.dropped.get(DropReason::AfterShutdown) >= 10,
            "{:?}",
            pipeline.stats()
        );
        in_time(&format!("{what}, drop"), Duration::ZERO, || drop(pipeline));
    }
}

#[test]
fn a_sink_that_never_answers() {
    let silent = Silent::default();
    all_ways("silent", || pipeline(&silent));
}

#[test]
fn a_sink_that_blocks_its_thread() {
    let gate = Gate::default();
    all_ways("blocking", || pipeline(&Blocking(gate.clone())));
    gate.open();
}

/// It must not, but nobody can keep it from doing so. Futures then need someone to poll them.
#[test]
fn a_sink_that_blocks_the_thread_of_the_pipeline() {
    let gate = Gate::default();
    for call in [
        (|pipeline| pipeline.flush(TIMEOUT)) as fn(&Pipeline) -> Report,
        |pipeline| pipeline.shutdown(TIMEOUT),
    ] {
        let pipeline = Pipeline::builder()
            .shutdown_timeout(TIMEOUT)
            .exporter({
                let gate = gate.clone();
                move || gate.clone()
            })
            .build()
            .unwrap();
        record(&pipeline, 100);
        // The first call brings the sink to the gate.
        let report = in_time("in place, flush", TIMEOUT, || pipeline.flush(TIMEOUT));
        assert!(!report.is_complete() && report.timed_out());
        eventually("the sink is at the gate", || gate.is_reached());
        record(&pipeline, 100);
        for _ in 0..2 {
            let report = in_time("in place, again", TIMEOUT, || call(&pipeline));
            assert!(!report.is_complete() && report.timed_out());
            check(&report);
        }
        let report = in_time("in place, shutdown", TIMEOUT, || pipeline.shutdown(TIMEOUT));
        assert!(!report.is_complete() && report.timed_out());
        // The worker cannot close the ring, the caller can.
        record(&pipeline, 10);
        let own = in_time("in place, stats", Duration::from_secs(1), || {
            pipeline.stats().own
        });
        assert_eq!(own.dropped.get(DropReason::AfterShutdown), 10);
        assert_eq!(own.live(), 0);
        in_time("in place, drop", TIMEOUT, || drop(pipeline));
    }
    gate.open();
}

#[test]
fn a_sink_that_answers_late_is_waited_for_until_the_deadline() {
    let late = Late(Duration::from_millis(100));
    let pipeline = pipeline(&late);
    record(&pipeline, 100);
    let report = pipeline.flush(LONG);
    assert!(report.is_complete(), "{report}");
    check(&report);
    record(&pipeline, 100);
    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete(), "{report}");
    check(&report);
    assert_eq!(report.lanes()[0].account.exported, 200);
}

#[test]
fn an_answer_after_the_close_changes_nothing() {
    let silent = Silent::default();
    let pipeline = pipeline(&silent);
    record(&pipeline, 100);
    drop(pipeline.flush_async(LONG));
    eventually("the sink has them", || silent.spans() == 100);
    let report = heard("shutdown", || {
        in_time("shutdown", TIMEOUT, || pipeline.shutdown(TIMEOUT))
    });
    check(&report);
    let account = report.lanes()[0].account;
    assert_eq!((account.dropped.total(), account.exported), (100, 0));
    assert_eq!(silent.speak(), 100);
    let report = in_time("shutdown again", Duration::ZERO, || {
        pipeline.shutdown(TIMEOUT)
    });
    check(&report);
    assert!(!report.is_complete());
    assert_eq!(report.lanes()[0].account, account);
}

#[test]
fn shutdown_twice_and_flush_after_it() {
    let pipeline = pipeline(&Answering::default());
    record(&pipeline, 100);
    for _ in 0..3 {
        let report = in_time("shutdown", LONG, || pipeline.shutdown(LONG));
        assert!(report.is_complete(), "{report}");
        check(&report);
        let report = in_time("flush", LONG, || pipeline.flush(LONG));
        assert!(report.is_complete(), "{report}");
    }
    record(&pipeline, 7);
    let report = pipeline.flush(TIMEOUT);
    assert!(!report.is_complete(), "seven spans were lost: {report:?}");
    assert_eq!(report.own().dropped.get(DropReason::AfterShutdown), 7);
    check(&report);
    assert!(report.to_string().contains("7 lost"), "{report}");
    assert!(pipeline.intake().offer(&[]).is_err());
    let stats = pipeline.stats();
    assert_eq!(stats.lanes[0].account.exported, 100);
}

/// Guarantees: of many that call for the end at once, all are told the same.
#[test]
fn shutdown_from_several_threads() {
    for silent in [false, true] {
        let sink = Silent::default();
        let pipeline = if silent {
            pipeline(&sink)
        } else {
            pipeline(&Answering::default())
        };
        // Some are lost at the door, and nobody has been told.
        let tracer = pipeline.tracer("test");
        record(&pipeline, 100);
        let started = tracer.start("ends too late");
        let timeout = if silent { TIMEOUT } else { LONG };
        let reports: Vec<Report> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|n| {
                    let pipeline = &pipeline;
                    let call = move || match n % 4 {
                        0 => block_on(pipeline.shutdown_async(timeout)),
                        1 => {
                            let _ = pipeline.flush(timeout);
                            pipeline.shutdown(timeout)
                        }
                        _ => pipeline.shutdown(timeout),
                    };
                    scope.spawn(move || heard("shutdown", || in_time("shutdown", timeout, call)))
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        for report in &reports {
            assert_eq!(report.is_complete(), !silent, "{report:?}");
            assert_eq!(report.own().live(), 1);
            assert_eq!(report.lanes(), reports[0].lanes());
        }
        drop(started);
        let report = pipeline.shutdown(timeout);
        assert!(!report.is_complete(), "one more was lost: {report:?}");
        check(&report);
    }
}

/// Guarantees: what is lost between two reports is in the second one, though it was lost on a lane and not at a door.
#[test]
fn a_report_tells_of_what_was_lost_before_the_call() {
    #[derive(Clone)]
    struct Refusing;
    impl Exporter for Refusing {
        fn export(&mut self, batch: Batch, reply: Reply) {
            drop(batch);
            reply.done(Outcome::rejected("no"));
        }
    }
    let pipeline = Pipeline::builder()
        .schedule_delay(Duration::from_millis(1))
        .exporter(|| Refusing)
        .build()
        .unwrap();
    record(&pipeline, 10);
    eventually("the batch is refused", || {
        let lanes = pipeline.stats().lanes;
        lanes
            .first()
            .is_some_and(|lane| lane.account.dropped.total() == 10)
    });
    let reports: Vec<Report> = thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| pipeline.flush(LONG)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(reports.iter().any(|report| report.lost() == 10));
    // It has been told now.
    let report = pipeline.flush(LONG);
    assert!(report.is_complete(), "{report:?}");
    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete(), "{report:?}");
}

#[test]
fn shutdown_inside_a_drop_during_unwinding() {
    struct Service(Pipeline, Duration, Arc<Mutex<Option<Report>>>);
    impl Drop for Service {
        fn drop(&mut self) {
            assert!(thread::panicking());
            let report = in_time("unwinding", self.1, || self.0.shutdown(self.1));
            *self.2.lock().unwrap() = Some(report);
        }
    }
    for silent in [true, false] {
        let pipeline = if silent {
            pipeline(&Silent::default())
        } else {
            pipeline(&Answering::default())
        };
        record(&pipeline, 50);
        let report = Arc::new(Mutex::new(None));
        let timeout = if silent { TIMEOUT } else { LONG };
        let service = Service(pipeline, timeout, report.clone());
        let thread = thread::spawn(move || {
            let _service = &service;
            std::panic::resume_unwind(Box::new("on purpose"));
            #[allow(unreachable_code, reason = "the service is moved here")]
            drop(service);
        });
        assert!(thread.join().is_err());
        let report = report.lock().unwrap().take().unwrap();
        assert_eq!(report.is_complete(), !silent);
        check(&report);
    }
}

#[test]
fn the_drop_of_the_last_handle_shuts_down() {
    let count = Answering::default();
    let exporter = count.clone();
    let pipeline = Pipeline::builder()
        .shutdown_timeout(LONG)
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let tracer = pipeline.tracer("test");
    let other = pipeline.clone();
    let intake = pipeline.intake();
    record(&pipeline, 100);
    drop(pipeline);
    drop(intake);
    tracer.start("still open").end();
    drop(other);
    assert_eq!(count.0.load(Ordering::Relaxed), 101);
    // Nobody is there to count it, and nothing breaks.
    tracer.start("after the end").end();
    drop(tracer);
    let pipeline = Pipeline::builder()
        .shutdown_timeout(TIMEOUT)
        .exporter(Silent::default)
        .build()
        .unwrap();
    record(&pipeline, 100);
    in_time("drop", TIMEOUT, || drop(pipeline));
}

#[test]
fn a_panic_hook_may_shut_down() {
    for silent in [true, false] {
        let pipeline = if silent {
            pipeline(&Silent::default())
        } else {
            pipeline(&Answering::default())
        };
        record(&pipeline, 50);
        let report = Arc::new(Mutex::new(None));
        let (hooked, slot) = (pipeline.clone(), report.clone());
        let armed = AtomicBool::new(true);
        let timeout = if silent { TIMEOUT } else { LONG };
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let ours = thread::current().name() == Some("panics");
            if ours && armed.swap(false, Ordering::Relaxed) {
                let done = in_time("hook", timeout, || hooked.shutdown(timeout));
                *slot.lock().unwrap() = Some(done);
            } else {
                before(info);
            }
        }));
        let tracer = pipeline.tracer("test");
        let thread = thread::Builder::new()
            .name("panics".into())
            .spawn(move || {
                let mut span = tracer.start("held while it panics");
                span.set_attribute("worse", Value::Display(&Worse));
            })
            .unwrap();
        assert!(thread.join().is_err());
        let _ = std::panic::take_hook();
        let report = report.lock().unwrap().take().unwrap();
        assert_eq!(report.is_complete(), !silent);
        assert_eq!(report.own().live(), 1);
        let own = pipeline.stats().own;
        assert_eq!(
            (own.live(), own.dropped.get(DropReason::AfterShutdown)),
            (0, 1)
        );
    }
}

struct Worse;

impl core::fmt::Display for Worse {
    fn fmt(&self, _: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        panic!("on purpose")
    }
}

/// Guarantees: an exporter that calls back returns at once, and the pipeline lives on or ends, as it was told.
#[test]
fn an_exporter_may_call_back() {
    for (ends, call) in [
        (
            false,
            (|pipeline| pipeline.flush(LONG)) as fn(&Pipeline) -> Report,
        ),
        (false, |pipeline| block_on(pipeline.flush_async(LONG))),
        (true, |pipeline| pipeline.shutdown(LONG)),
        (true, |pipeline| block_on(pipeline.shutdown_async(LONG))),
        (true, |pipeline| {
            // The last handle, for all this thread knows.
            drop(pipeline.stats());
            pipeline.shutdown(LONG)
        }),
    ] {
        for blocking in [false, true] {
            let calling = Calling::new(call);
            let pipeline = if blocking {
                pipeline(&Blocking(calling.clone()))
            } else {
                pipeline(&calling)
            };
            *calling.pipeline.lock().unwrap() = Some(pipeline.clone());
            record(&pipeline, 10);
            let report = in_time("flush with callbacks", LONG, || pipeline.flush(LONG));
            assert!(!report.timed_out(), "{report:?}");
            let reports = std::mem::take(&mut *calling.reports.lock().unwrap());
            for (took, report) in &reports {
                assert!(*took < MARGIN, "{took:?}");
                assert!(!report.is_complete() && report.timed_out());
            }
            assert!(!reports.is_empty());
            record(&pipeline, 10);
            // The pipeline is let go by its own exporter, on its own thread.
            calling.pipeline.lock().unwrap().take();
            let report = pipeline.shutdown(LONG);
            check(&report);
            let account = report.lanes()[0].account;
            if ends {
                assert_eq!(account.exported, 10);
                assert_eq!(report.own().dropped.get(DropReason::AfterShutdown), 10);
            } else {
                assert_eq!(account.exported, 20);
            }
        }
    }
}

/// Scenario: an exporter drops the last handle of its own pipeline.
#[test]
fn the_last_handle_is_dropped_on_the_pipelines_thread() {
    #[derive(Clone, Default)]
    struct Holder(Arc<Mutex<Option<Pipeline>>>, Arc<AtomicBool>);
    impl Exporter for Holder {
        fn export(&mut self, batch: Batch, reply: Reply) {
            let start = Instant::now();
            let held = self.0.lock().unwrap().take();
            drop(held);
            assert!(start.elapsed() < MARGIN);
            drop(batch);
            reply.done(Outcome::Exported);
        }

        fn shutdown(&mut self, _: spanwire_core::clock::Moment) {
            self.1.store(true, Ordering::Relaxed);
        }
    }
    for blocking in [false, true] {
        let holder = Holder::default();
        let pipeline = if blocking {
            pipeline_with_delay(&Blocking(holder.clone()))
        } else {
            pipeline_with_delay(&holder)
        };
        *holder.0.lock().unwrap() = Some(pipeline.clone());
        record(&pipeline, 10);
        drop(pipeline);
        eventually("the exporter is shut down", || {
            holder.1.load(Ordering::Relaxed)
        });
    }
}

fn pipeline_with_delay<E: Exporter + Clone + Sync + 'static>(exporter: &E) -> Pipeline {
    let exporter = exporter.clone();
    Pipeline::builder()
        .schedule_delay(Duration::from_millis(200))
        .exporter(move || exporter.clone())
        .build()
        .unwrap()
}

/// Scenario: threads record all the while; the end comes at any moment. Guarantees: every span is counted once.
#[test]
fn the_end_comes_while_threads_record() {
    for round in 0..20 {
        let count = Answering::default();
        let pipeline = pipeline(&count);
        let stop = AtomicBool::new(false);
        let report = thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let tracer = pipeline.tracer("test");
                    while !stop.load(Ordering::Relaxed) {
                        tracer.start("span").set_attribute("k", "v");
                    }
                });
            }
            thread::sleep(Duration::from_millis(round));
            let flushed = in_time("flush", LONG, || pipeline.flush(LONG));
            assert!(!flushed.timed_out(), "{flushed:?}");
            let report = in_time("shutdown", LONG, || pipeline.shutdown(LONG));
            stop.store(true, Ordering::Relaxed);
            report
        });
        assert!(!report.timed_out());
        let after = pipeline.shutdown(LONG);
        check(&after);
        assert_eq!(
            after.lanes()[0].account.exported,
            count.0.load(Ordering::Relaxed)
        );
        assert_eq!(after.lanes(), report.lanes());
    }
}

/// Guarantees: a flush beside busy threads does not fill the ring with blocks of a few spans.
#[test]
fn flushing_all_the_time_costs_no_span() {
    let count = Answering::default();
    let exporter = count.clone();
    let pipeline = Pipeline::builder()
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let stop = AtomicBool::new(false);
    // By all threads since the last flush began: while the pipeline's thread is held up, they wait before the ring is full.
    let recorded = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let tracer = pipeline.tracer("test");
                while !stop.load(Ordering::Relaxed) {
                    if recorded.fetch_add(20, Ordering::Relaxed) < 40_000 {
                        for _ in 0..20 {
                            tracer.start("span").set_attribute("k", "v");
                        }
                    }
                    thread::yield_now();
                }
            });
        }
        let start = Instant::now();
        let mut flushes = 0;
        while start.elapsed() < Duration::from_millis(800) {
            recorded.store(0, Ordering::Relaxed);
            let report = pipeline.flush(LONG);
            assert!(!report.timed_out(), "{report:?}");
            flushes += 1;
        }
        stop.store(true, Ordering::Relaxed);
        println!("{flushes} flushes");
    });
    let report = pipeline.shutdown(LONG);
    check(&report);
    println!("{report}");
    let own = report.own();
    assert_eq!(own.dropped.total(), 0, "{own:?}");
}

/// Scenario: the log is full of batches that wait to be tried again in an hour. Guarantees: a flush has them tried now,
/// though blocks of its own spans are still in the ring.
#[test]
fn a_flush_ends_back_off_also_when_the_log_is_full() {
    #[derive(Clone, Default)]
    struct Moody(Arc<AtomicBool>);
    impl Exporter for Moody {
        fn export(&mut self, batch: Batch, reply: Reply) {
            drop(batch);
            reply.done(if self.0.load(Ordering::Relaxed) {
                Outcome::Exported
            } else {
                Outcome::retry("moody")
            });
        }
    }
    let moody = Moody::default();
    let exporter = moody.clone();
    let pipeline = Pipeline::builder()
        .memory_limit(1 << 20)
        .schedule_delay(Duration::from_millis(1))
        .retry(spanwire_core::engine::Retry {
            initial: Duration::from_secs(3600),
            max: Duration::from_secs(3600),
            max_elapsed: Some(Duration::from_secs(36_000)),
            ..Default::default()
        })
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let tracer = pipeline.tracer("test");
    let parent = tracer.start("parent");
    let filler = [KeyValue::new(
        "filler",
        "0123456789".repeat(20).as_str().len() as i64,
    )];
    let start = Instant::now();
    while pipeline.stats().own.dropped.total() == 0 {
        assert!(start.elapsed() < LONG);
        for _ in 0..1000 {
            let builder = tracer.span("child").child_of(parent.context());
            drop(builder.attributes(&filler).start());
        }
    }
    drop(parent);
    moody.0.store(true, Ordering::Relaxed);
    let report = pipeline.flush(LONG);
    assert!(!report.timed_out(), "{report:?}");
    check(&report);
    assert_eq!(report.lanes()[0].account.exported, report.own().admitted);
}

/// Guarantees: whoever offers while the pipeline ends is told the truth, or the report tells it.
#[test]
fn neighbours_at_the_end() {
    let request = [0x0a, 4, 0x12, 2, 0x12, 0];
    for round in 0..20 {
        let exporter = Answering::default();
        let pipeline = Pipeline::builder()
            .neighbours(1 << 20)
            .exporter(move || exporter.clone())
            .build()
            .unwrap();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let intake = pipeline.intake();
                    // Some are refused for want of room; the end refuses for good.
                    while !matches!(
                        intake.offer(&request),
                        Err(spanwire_core::pipeline::IntakeError::Closed)
                    ) {}
                });
            }
            thread::sleep(Duration::from_millis(round % 5));
            let report = pipeline.shutdown(LONG);
            assert!(!report.timed_out());
        });
        // What was on its way when the worker ended is let go with the worker's inbox, a moment later.
        eventually("neighbours balance", || {
            let report = pipeline.shutdown(LONG);
            let neighbours = report.neighbours();
            let admitted = neighbours.admitted - neighbours.turned_away;
            neighbours.received == neighbours.refused + neighbours.admitted
                && report.lanes()[0].account.admitted == admitted
        });
        check(&pipeline.shutdown(LONG));
    }
}

#[test]
fn no_time_at_all_and_all_the_time_there_is() {
    let pipeline = pipeline(&Answering::default());
    record(&pipeline, 10);
    let report = in_time("flush", Duration::ZERO, || pipeline.flush(Duration::ZERO));
    check(&report);
    let report = pipeline.flush(Duration::MAX);
    assert!(!report.timed_out());
    let report = block_on(pipeline.flush_async(Duration::MAX));
    assert!(!report.timed_out());
    assert!(!pipeline.shutdown(Duration::MAX).timed_out());
    let pipeline = sinks::pipeline(&Silent::default());
    record(&pipeline, 10);
    let report = in_time("shutdown", Duration::ZERO, || {
        pipeline.shutdown(Duration::ZERO)
    });
    assert!(!report.is_complete());
    check(&report);
}
