//! What a test may wait for on a machine that has other things to do: for events, and for no longer than a witness does.
#![allow(dead_code, reason = "no test uses all of it")]

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use spanwire_core::pipeline::{Pipeline, Report};

/// Far more than anything takes, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A thread that sleeps a little, over and over, and sums up how much longer that took than it was to: what the machine costs
/// whoever is measured beside it.
pub(crate) struct Witness(Arc<AtomicBool>, JoinHandle<Duration>);

impl Witness {
    pub(crate) fn start() -> Self {
        const NAP: Duration = Duration::from_millis(1);
        let stop = Arc::<AtomicBool>::default();
        let told = stop.clone();
        let sums = thread::spawn(move || {
            let mut late = Duration::ZERO;
            while !told.load(Ordering::Relaxed) {
                let start = Instant::now();
                thread::sleep(NAP);
                late += start.elapsed().saturating_sub(NAP);
            }
            late
        });
        Self(stop, sums)
    }

    /// How late it was, all in all.
    pub(crate) fn late(self) -> Duration {
        self.0.store(true, Ordering::Relaxed);
        self.1.join().unwrap()
    }
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Asks until the pipeline's thread has answered. Where that thread is held up beyond the deadline, a call comes back in
/// time without a word from it, and says so.
pub(crate) fn heard(what: &str, mut ask: impl FnMut() -> Report) -> Report {
    let start = Instant::now();
    loop {
        let report = ask();
        if !report.lanes().is_empty() {
            return report;
        }
        assert!(
            report.timed_out() && !report.is_complete(),
            "{what}: {report:?}"
        );
        assert!(start.elapsed() < PATIENCE, "no answer: {what}");
    }
}

/// Flushes until an attempt to export has failed, which it goes on to do, and gives the last report.
pub(crate) fn failed(pipeline: &Pipeline) -> Report {
    let start = Instant::now();
    loop {
        let report = heard("flush", || pipeline.flush(Duration::from_millis(100)));
        if report.lanes()[0].last_failure.is_some() {
            return report;
        }
        assert!(start.elapsed() < PATIENCE, "nothing fails: {report:?}");
    }
}
