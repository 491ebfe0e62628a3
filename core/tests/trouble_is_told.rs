//! Who asks to be told of trouble is told of it: soon, seldom, and of all of it at the end.

use core::time::Duration;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use spanwire_core::engine::Retry;
use spanwire_core::exporter::Outcome;
use spanwire_core::pipeline::{Pipeline, PipelineBuilder, Stats};
use spanwire_core::testing::InMemoryExporter;
use waiting::eventually;

mod waiting;

const LONG: Duration = Duration::from_secs(60);

/// When it was told, and how many attempts had failed by then.
type Told = Arc<Mutex<Vec<(Instant, u64)>>>;

fn watched(kept: &InMemoryExporter) -> (PipelineBuilder, Told) {
    let told = Told::default();
    let list = told.clone();
    let exporter = kept.clone();
    let builder = Pipeline::builder()
        .schedule_delay(Duration::from_millis(1))
        .retry(Retry {
            initial: Duration::from_millis(1),
            multiplier_percent: 100,
            ..Retry::default()
        })
        .observer(move || {
            let list = list.clone();
            move |stats: &Stats| {
                let failures = stats.lanes[0].account.failures;
                list.lock().unwrap().push((Instant::now(), failures));
                assert!(failures != 1, "an observer panics, and is called again");
            }
        })
        .exporter(move || exporter.clone());
    (builder, told)
}

/// Scenario: many attempts fail, one soon after the other, and then all is well.
/// Guarantees: the first is told at once, the others once a second at most, and all of them by the end.
#[test]
fn failures_are_told_at_once_and_then_seldom() {
    let kept = InMemoryExporter::new();
    for _ in 0..300 {
        kept.answer_next(Outcome::retry("no"));
    }
    let (builder, told) = watched(&kept);
    let pipeline = builder.build().unwrap();
    let tracer = pipeline.tracer("test");
    tracer.start("span").end();
    eventually("the first is told", || !told.lock().unwrap().is_empty());
    assert_eq!(told.lock().unwrap()[0].1, 1);
    eventually("the span arrives", || kept.span_count() == 1);
    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete(), "{report}");
    let lane = &report.lanes()[0];
    assert_eq!((lane.account.failures, lane.failing), (300, false));
    let told = told.lock().unwrap();
    assert_eq!(told.last().map(|(_, failures)| *failures), Some(300));
    // The last may follow at once, since nothing follows it.
    for pair in told[..told.len() - 1].windows(2) {
        let between = pair[1].0 - pair[0].0;
        assert!(between >= Duration::from_millis(990), "{between:?}");
    }
}

#[test]
fn where_all_is_well_nobody_is_called() {
    let kept = InMemoryExporter::new();
    let (builder, told) = watched(&kept);
    let pipeline = builder.build().unwrap();
    let tracer = pipeline.tracer("test");
    (0..1000).for_each(|_| tracer.start("span").end());
    assert!(pipeline.shutdown(LONG).is_complete());
    assert!(told.lock().unwrap().is_empty());
}

/// Guarantees: being told costs no wake-up. With nothing to do the pipeline sleeps, whatever there is left to tell.
#[test]
fn an_observer_wakes_nobody() {
    let kept = InMemoryExporter::new();
    kept.answer_next(Outcome::retry("no"));
    let (builder, told) = watched(&kept);
    let pipeline = builder.build().unwrap();
    pipeline.tracer("test").start("span").end();
    eventually("the span arrives", || kept.span_count() == 1);
    let before = pipeline.stats().wakes;
    std::thread::sleep(Duration::from_millis(1500));
    let after = pipeline.stats().wakes;
    assert!(after - before <= 2, "{before} to {after}");
    let _ = pipeline.shutdown(LONG);
    assert!(!told.lock().unwrap().is_empty());
}
