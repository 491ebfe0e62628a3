//! Exporters that behave well, badly and not at all, and what must hold whatever they do.
#![allow(dead_code, reason = "no test uses all of them")]

use core::time::Duration;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use spanwire_core::batch::Batch;
use spanwire_core::exporter::{Exporter, Outcome, Reply};
use spanwire_core::pipeline::{Pipeline, Report};

#[path = "../waiting/mod.rs"]
mod waiting;

#[allow(unused_imports, reason = "no test uses all of them")]
pub(crate) use self::waiting::{Witness, eventually, heard};

/// Long enough for anything that is not to take long, on a machine that has other things to do.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// What a deadline may be missed by where a thread that can run is left waiting. The promise is 50 ms; what is measured is
/// printed.
pub(crate) const MARGIN: Duration = Duration::from_secs(3);

/// Runs a call that is to return by its timeout.
pub(crate) fn in_time<R>(what: &str, timeout: Duration, call: impl FnOnce() -> R) -> R {
    let witness = Witness::start();
    let start = Instant::now();
    let done = call();
    let took = start.elapsed();
    let late = witness.late();
    println!(
        "{what}: {took:?} of {timeout:?}, {:?} past the deadline, beside sleeps that were {late:?} late",
        took.saturating_sub(timeout)
    );
    assert!(
        took <= timeout.saturating_add(MARGIN + late),
        "{what}: {took:?}, {late:?}"
    );
    done
}

/// Every span is accounted for, and a report that says complete is about no lost span. No span is live.
pub(crate) fn check(report: &Report) {
    let own = report.own();
    assert_eq!(own.live(), 0, "{own:?}");
    let neighbours = report.neighbours();
    assert_eq!(
        neighbours.received,
        neighbours.refused + neighbours.admitted
    );
    let admitted = own.admitted + neighbours.admitted - neighbours.turned_away;
    for lane in report.lanes() {
        let account = &lane.account;
        assert!(account.balances(), "{account:?}");
        assert_eq!(account.admitted + report.stranded(), admitted, "{report:?}");
        if report.is_complete() {
            assert_eq!(
                account.exported + account.filtered + account.dropped.total(),
                admitted
            );
        }
    }
}

/// Answers at once, and counts.
#[derive(Clone, Default)]
pub(crate) struct Answering(pub(crate) Arc<AtomicU64>);

impl Exporter for Answering {
    fn export(&mut self, batch: Batch, reply: Reply) {
        let spans = batch.spans() as u64;
        drop(batch);
        self.0.fetch_add(spans, Ordering::Relaxed);
        reply.done(Outcome::Exported);
    }

    fn concurrency(&self) -> usize {
        4
    }
}

/// Never answers, and keeps what it is given for as long as any clone of it is there.
#[derive(Clone, Default)]
pub(crate) struct Silent(pub(crate) Arc<Mutex<Vec<(Batch, Reply)>>>);

impl Exporter for Silent {
    fn export(&mut self, batch: Batch, reply: Reply) {
        self.0.lock().unwrap().push((batch, reply));
    }

    fn concurrency(&self) -> usize {
        4
    }
}

impl Silent {
    /// How many spans it keeps.
    pub(crate) fn spans(&self) -> usize {
        let kept = self.0.lock().unwrap();
        kept.iter().map(|(batch, _)| batch.spans()).sum()
    }

    /// Answers everything now.
    pub(crate) fn speak(&self) -> usize {
        let kept = std::mem::take(&mut *self.0.lock().unwrap());
        let spans = kept.iter().map(|(batch, _)| batch.spans()).sum();
        for (batch, reply) in kept {
            drop(batch);
            reply.done(Outcome::Exported);
        }
        spans
    }
}

/// Waits at a gate before it answers, on whatever thread it is called on.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar, AtomicBool)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Whether an exporter has come to the gate.
    pub(crate) fn is_reached(&self) -> bool {
        self.0.2.load(Ordering::Relaxed)
    }
}

impl Exporter for Gate {
    fn export(&mut self, batch: Batch, reply: Reply) {
        self.0.2.store(true, Ordering::Relaxed);
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
        drop(batch);
        reply.done(Outcome::Exported);
    }
}

/// Answers after a while, from a thread.
#[derive(Clone)]
pub(crate) struct Late(pub(crate) Duration);

impl Exporter for Late {
    fn export(&mut self, batch: Batch, reply: Reply) {
        let after = self.0;
        std::thread::spawn(move || {
            std::thread::sleep(after);
            drop(batch);
            reply.done(Outcome::Exported);
        });
    }
}

/// Calls back into the pipeline that it exports for.
#[derive(Clone)]
pub(crate) struct Calling {
    pub(crate) pipeline: Arc<Mutex<Option<Pipeline>>>,
    pub(crate) call: fn(&Pipeline) -> Report,
    pub(crate) reports: Arc<Mutex<Vec<(Duration, Report)>>>,
}

impl Calling {
    pub(crate) fn new(call: fn(&Pipeline) -> Report) -> Self {
        Self {
            pipeline: Arc::default(),
            call,
            reports: Arc::default(),
        }
    }
}

impl Exporter for Calling {
    fn export(&mut self, batch: Batch, reply: Reply) {
        let pipeline = self.pipeline.lock().unwrap().clone();
        if let Some(pipeline) = pipeline {
            let start = Instant::now();
            let report = (self.call)(&pipeline);
            self.reports.lock().unwrap().push((start.elapsed(), report));
        }
        drop(batch);
        reply.done(Outcome::Exported);
    }
}

/// A pipeline to one exporter, with 2 MiB.
pub(crate) fn pipeline<E: Exporter + Clone + Sync + 'static>(exporter: &E) -> Pipeline {
    let exporter = exporter.clone();
    Pipeline::builder()
        .memory_limit(2 << 20)
        .exporter(move || exporter.clone())
        .build()
        .unwrap()
}

/// Records so many roots.
pub(crate) fn record(pipeline: &Pipeline, spans: usize) {
    let tracer = pipeline.tracer("test");
    for n in 0..spans {
        tracer.start("span").set_attribute("n", n as i64);
    }
}

/// Polls a future on this thread until it is ready.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
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
