//! The wall clock may step: spans follow within a second, timers do not notice. An idle pipeline does not wake.
#![cfg(feature = "std")]

use core::time::Duration;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use sinks::{Answering, LONG, check, eventually};
use spanwire_core::batch::Batch;
use spanwire_core::clock::{Clock, Moment, Timestamp};
use spanwire_core::exporter::{Exporter, Outcome, Reply};
use spanwire_core::pipeline::Pipeline;
use spanwire_core::wire::view::Request;

mod sinks;

/// The host's clocks, with a wall clock that somebody sets.
struct Stepping {
    origin: Instant,
    step: AtomicI64,
}

impl Clock for Stepping {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let nanos = since.as_nanos() as i64 + self.step.load(Ordering::Relaxed);
        Timestamp::from_unix_nanos(nanos as u64)
    }

    fn moment(&self) -> Moment {
        Moment::from_nanos(self.origin.elapsed().as_nanos() as u64)
    }
}

/// Keeps when each span started and ended, and when it was exported.
#[derive(Clone, Default)]
struct Times(Arc<Mutex<Vec<Seen>>>);

/// A span's name, start and end, and when it was exported.
type Seen = (String, u64, u64, Instant);

impl Exporter for Times {
    fn export(&mut self, batch: Batch, reply: Reply) {
        let request = batch.to_vec();
        for resource in Request::new(&request).resource_spans() {
            for scope in resource.scope_spans() {
                for span in scope.spans() {
                    self.0.lock().unwrap().push((
                        span.name().to_string(),
                        span.start_time_unix_nano(),
                        span.end_time_unix_nano(),
                        Instant::now(),
                    ));
                }
            }
        }
        drop(batch);
        reply.done(Outcome::Exported);
    }
}

#[test]
fn a_wall_clock_that_steps_moves_spans_and_no_timer() {
    const DELAY: Duration = Duration::from_millis(300);
    let clock = Arc::new(Stepping {
        origin: Instant::now(),
        step: AtomicI64::new(0),
    });
    for step in [40, -40, 80, -3600] {
        let times = Times::default();
        let exporter = times.clone();
        let pipeline = Pipeline::builder()
            .clock(clock.clone())
            .schedule_delay(DELAY)
            .exporter(move || exporter.clone())
            .build()
            .unwrap();
        let tracer = pipeline.tracer("test");
        let begun = Instant::now();
        let across = tracer.start("across");
        let start = Instant::now();
        tracer.start("before").end();
        clock
            .step
            .fetch_add(step * 1_000_000_000, Ordering::Relaxed);
        let stepped = clock.now().as_unix_nanos();
        tracer.start("after").end();
        let until = clock.now().as_unix_nanos();
        across.end();
        // What a duration may come to, on a machine that has other things to do.
        let longest = 1_000_000_000 + begun.elapsed().as_nanos() as u64;
        eventually("exported", || times.0.lock().unwrap().len() == 3);
        for (name, started, ended, exported) in times.0.lock().unwrap().iter() {
            // Durations do not jump.
            assert!(ended >= started && ended - started < longest, "{name}");
            let waited = exported.duration_since(start);
            println!("step {step} s, {name}: exported after {waited:?}");
            assert!(waited >= DELAY, "{name}: {waited:?}");
            // Far less than the wall clock was stepped by.
            assert!(waited < Duration::from_secs(30), "{name}: {waited:?}");
            if name == "after" {
                let within = stepped - 1_000_000_000..until + 1_000_000_000;
                assert!(within.contains(started), "{started} {stepped} {until}");
            }
        }
        // Deadlines do not move either.
        let late = sinks::Silent::default();
        let exporter = late.clone();
        let other = Pipeline::builder()
            .clock(clock.clone())
            .exporter(move || exporter.clone())
            .build()
            .unwrap();
        sinks::record(&other, 1);
        let timeout = Duration::from_millis(200);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                clock.step.fetch_sub(step * 500_000_000, Ordering::Relaxed);
            });
            let start = Instant::now();
            let report = sinks::in_time("flush", timeout, || other.flush(timeout));
            assert!(report.timed_out() && start.elapsed() >= timeout);
        });
        check(&other.shutdown(timeout));
        check(&pipeline.shutdown(LONG));
    }
}

/// Guarantees: without an open block the worker sleeps; with one it wakes when that block is due, and never more often
/// than once a second.
#[test]
fn an_idle_pipeline_does_not_wake() {
    const TICK: Duration = Duration::from_millis(10);
    const TICKS: u32 = 140;
    let delay = Duration::from_secs(2);
    let pipeline = Pipeline::builder()
        .schedule_delay(delay)
        .exporter(Answering::default)
        .build()
        .unwrap();
    // A question wakes the worker, and may do so twice: once to hear it, and once for whoever asks and does not know that
    // it has been heard.
    let first = pipeline.stats().wakes;
    std::thread::sleep(Duration::from_secs(3));
    let idle = pipeline.stats().wakes - first;
    println!("idle for 3 s: {idle} wake-ups, of which one asks");
    assert!(idle <= 3, "{idle}");

    sinks::record(&pipeline, 1);
    let first = pipeline.stats().wakes;
    let start = Instant::now();
    for _ in 0..TICKS {
        sinks::record(&pipeline, 1);
        std::thread::sleep(TICK);
    }
    let took = start.elapsed();
    let open = pipeline.stats().wakes - first;
    // A thread that is stopped while it records holds up the block it records in, and the worker looks again.
    let held = took.saturating_sub(TICK * TICKS);
    let looks = held.as_secs_f64() / (delay / 5).as_secs_f64();
    let seconds = took.as_secs_f64();
    println!("a block open for {seconds:.1} s: {open} wake-ups, of which one asks");
    // New scopes and threads open further blocks; appending to one that is open wakes nobody.
    assert!(
        open as f64 <= 4.0 + seconds + looks,
        "{open} in {seconds} s"
    );
    check(&pipeline.shutdown(LONG));
}
