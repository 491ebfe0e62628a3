//! A forked child begins anew: other ids, an empty ring, a worker of its own; the parent does not notice.
//!
//! Each child is forked while other threads of the parent record, flush, ask and make tracers, so that in many rounds
//! every lock is held by one of them at some fork. It says by its exit status what it saw, and never returns into the
//! test harness.
#![cfg(all(unix, feature = "std"))]
#![allow(unsafe_code, reason = "a test of forking forks")]

use core::time::Duration;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use sinks::{Answering, LONG, check, eventually};
use spanwire_core::batch::Batch;
use spanwire_core::exporter::{Blocking, Exporter, Outcome, Reply};
use spanwire_core::pipeline::{Pipeline, Report};
use spanwire_core::random::{IdGenerator, ThreadIds};
use spanwire_core::stats::DropReason;
use spanwire_core::tracer::Tracer;

mod sinks;

/// How often a child is forked off a busy parent.
const ROUNDS: usize = 300;

/// How long a child may take, on a busy machine; one that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// One test forks at a time: a child has only what its own test began.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs `child` in a forked child and gives its exit status: `Err` with the line that failed.
fn fork(child: impl FnOnce() -> Result<(), u32>) -> libc::pid_t {
    // SAFETY: the child runs the code under test, and leaves by `_exit`. That it may use more than what is
    // async-signal-safe is what is tested; the allocator of this platform survives a fork.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork failed");
    if pid > 0 {
        return pid;
    }
    let status = match catch_unwind(AssertUnwindSafe(child)) {
        Ok(Ok(())) => 0,
        Ok(Err(line)) => {
            // Not by a macro, whose text the harness keeps for a report that this process does not live to give.
            let _ = writeln!(std::io::stderr(), "the child failed in line {line}");
            1
        }
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            let _ = writeln!(std::io::stderr(), "the child panicked: {said:?}");
            2
        }
    };
    // SAFETY: ends the process, and runs nothing of the parent's on the way.
    unsafe { libc::_exit(status) }
}

/// Waits for a child, which must be content.
fn wait(pid: libc::pid_t) {
    if let Err(why) = try_wait(pid) {
        panic!("{why}");
    }
}

fn try_wait(pid: libc::pid_t) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: `status` is there to be written to.
        let done = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
        if done == pid {
            return match libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
                true => Ok(()),
                false => Err(format!("the child ended with status {status:#x}")),
            };
        }
        if start.elapsed() > PATIENCE {
            // SAFETY: the child is this process's own and has not been waited for.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            // SAFETY: as above.
            unsafe { libc::waitpid(pid, &raw mut status, 0) };
            return Err("the child hangs".into());
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Fails with the line where it stands.
macro_rules! ensure {
    ($holds:expr) => {
        if !$holds {
            return Err(line!());
        }
    };
}

/// How often the exporters of this process were made, and the spans they were given.
static MADE: AtomicUsize = AtomicUsize::new(0);
static GIVEN: AtomicU64 = AtomicU64::new(0);

struct Here;

impl Here {
    fn new() -> Self {
        MADE.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Exporter for Here {
    fn export(&mut self, batch: Batch, reply: Reply) {
        GIVEN.fetch_add(batch.spans() as u64, Ordering::Relaxed);
        drop(batch);
        reply.done(Outcome::Exported);
    }
}

fn pipeline() -> Pipeline {
    Pipeline::builder()
        .memory_limit(2 << 20)
        .schedule_delay(Duration::from_millis(2))
        .neighbours(256 << 10)
        .exporter(Here::new)
        .exporter(|| Blocking(Here::new()))
        .build()
        .unwrap()
}

fn complete(report: &Report, spans: u64) -> bool {
    report.is_complete()
        && report.own().live() == 0
        && report
            .lanes()
            .iter()
            .all(|lane| lane.account.balances() && lane.account.exported == spans)
}

/// What every child does: as if the pipeline had just been built.
fn live(pipeline: &Pipeline, tracer: &Tracer) -> Result<(), u32> {
    let (made, given) = (MADE.load(Ordering::Relaxed), GIVEN.load(Ordering::Relaxed));
    for _ in 0..10 {
        tracer.start("known to the parent").set_attribute("k", "v");
    }
    ensure!(MADE.load(Ordering::Relaxed) == made + 2);
    let own = pipeline.stats().own;
    ensure!(own.started == 10);
    let report = pipeline.flush(LONG);
    ensure!(complete(&report, 10));
    let another = pipeline.tracer("made by the child");
    another.start("span").end();
    thread::scope(|scope| scope.spawn(|| another.start("on a thread").end()).join())
        .map_err(|_| line!())?;
    ensure!(
        pipeline
            .intake()
            .offer(&[0x0a, 4, 0x12, 2, 0x12, 0])
            .is_ok()
    );
    let report = pipeline.shutdown(LONG);
    ensure!(complete(&report, 13));
    ensure!(GIVEN.load(Ordering::Relaxed) == given + 26);
    another.start("too late").end();
    ensure!(pipeline.stats().own.dropped.get(DropReason::AfterShutdown) == 1);
    Ok(())
}

#[test]
fn a_child_of_a_busy_parent_begins_anew() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pipeline = pipeline();
    let tracer = pipeline.tracer("test");
    let stop = AtomicBool::new(false);
    let failed = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let mut span = tracer.start("busy");
                    span.set_attribute("k", "v").add_event("event", &[]);
                    span.end();
                    tracer.span("busy").start_owned().end();
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = pipeline.flush(LONG);
            }
        });
        scope.spawn(|| {
            let mut n = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let _ = pipeline.stats();
                n += 1;
                // A few new scopes now and then, so that their list is being written too.
                let scope = format!("scope {}", n / 64);
                drop(pipeline.tracer(scope.as_str()));
                let _ = pipeline.intake().offer(&[0x0a, 4, 0x12, 2, 0x12, 0]);
            }
        });
        let mut failed = Vec::new();
        for round in 0..ROUNDS {
            let before = tracer.start("alive at the fork");
            // The parent's ring is flooded, and above its mark some roots are thinned out.
            let alive = u64::from(before.is_recording());
            let pid = fork(|| {
                let first = tracer.start("first of the child");
                ensure!(first.context().trace_id() != before.context().trace_id());
                drop(before);
                drop(first);
                let own = pipeline.stats().own;
                ensure!(own.dropped.get(DropReason::Forked) == alive);
                ensure!(own.started == 1 + alive && own.admitted == 1 && own.live() == 0);
                // The report tells of the span that was lost to the fork, once.
                let report = pipeline.flush(LONG);
                ensure!(report.lost() == alive && !report.timed_out());
                ensure!(report.is_complete() == (alive == 0));
                match round % 4 {
                    0 => drop(pipeline.clone()),
                    1 => {
                        let report = sinks::block_on(pipeline.shutdown_async(LONG));
                        ensure!(report.is_complete());
                    }
                    _ => ensure!(pipeline.shutdown(LONG).is_complete()),
                }
                Ok(())
            });
            if let Err(why) = try_wait(pid) {
                failed.push((round, why));
                if failed.len() > 3 {
                    break;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        failed
    });
    assert!(failed.is_empty(), "{failed:?}");
    let report = pipeline.shutdown(LONG);
    assert!(!report.timed_out(), "{report:?}");
    check(&report);
    assert_eq!(report.own().dropped.get(DropReason::Forked), 0);
    // All but what the ring had no room for, on a machine with other things to do, arrived.
    let lane = report.lanes()[0].account;
    assert_eq!(lane.exported + lane.dropped.total(), lane.admitted);
}

#[test]
fn a_child_lives_as_its_parent_did() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pipeline = pipeline();
    let tracer = pipeline.tracer("test");
    for _ in 0..20 {
        tracer.start("of the parent").end();
        wait(fork(|| live(&pipeline, &tracer)));
    }
    let report = pipeline.shutdown(LONG);
    assert!(complete(&report, 20), "{report:?}");
    check(&report);
    // Also when the parent's pipeline has ended.
    wait(fork(|| live(&pipeline, &tracer)));
}

#[test]
fn children_of_children() {
    fn nest(depth: usize, pipeline: &Pipeline, tracer: &Tracer) -> Result<(), u32> {
        let alive = tracer.start("alive at the fork");
        let pid = fork(|| {
            // Deeper than a pipeline follows nothing is recorded, nothing breaks, and nothing is called complete.
            if depth > 8 {
                ensure!(!tracer.start("unrecorded").is_recording());
                ensure!(!pipeline.tracer("new").start("unrecorded").is_recording());
                ensure!(!pipeline.flush(LONG).is_complete());
                ensure!(pipeline.intake().offer(&[]).is_err());
                return Ok(());
            }
            if depth % 2 == 1 {
                nest(depth + 1, pipeline, tracer)?;
            }
            drop(alive);
            live_on(pipeline, tracer)?;
            if depth.is_multiple_of(2) {
                nest(depth + 1, pipeline, tracer)?;
            }
            Ok(())
        });
        try_wait(pid).map_err(|why| {
            let _ = writeln!(std::io::stderr(), "at depth {depth}: {why}");
            line!()
        })
    }
    fn live_on(pipeline: &Pipeline, tracer: &Tracer) -> Result<(), u32> {
        let span = tracer.start("span");
        ensure!(span.is_recording());
        drop(span);
        let report = pipeline.flush(LONG);
        ensure!(!report.timed_out());
        ensure!(report.own().live() == 0 && report.own().dropped.get(DropReason::Forked) >= 1);
        let exported = report.lanes().iter().map(|lane| lane.account.exported);
        ensure!(exported.clone().count() == 2);
        ensure!(
            exported
                .clone()
                .all(|spans| spans >= 1 && spans == report.own().admitted)
        );
        Ok(())
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pipeline = pipeline();
    let tracer = pipeline.tracer("test");
    nest(1, &pipeline, &tracer).unwrap();
    let report = pipeline.shutdown(LONG);
    assert!(complete(&report, 1), "{report:?}");
}

/// Scenario: a thread that has made ids forks, and goes on as its child does.
/// Guarantees: the two make different ones, also by a tracer, and also a child of the child.
#[test]
fn a_child_does_not_repeat_its_parents_ids() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    /// The ids that come next: four without a pipeline, then a root and its child.
    fn draw(tracer: &Tracer) -> Vec<[u8; 8]> {
        let mut ids: Vec<_> = (0..4).map(|_| ThreadIds.span_id().to_bytes()).collect();
        let root = tracer.span("root").root().start();
        let child = tracer.span("child").child_of(root.context()).start();
        ids.extend([&root, &child].map(|span| span.context().span_id().to_bytes()));
        ids
    }
    let pipeline = pipeline();
    let tracer = pipeline.tracer("test");
    draw(&tracer);
    let (mut told, mut tell) = std::io::pipe().unwrap();
    let child = fork(|| {
        let grandchild = fork(|| match tell.write_all(&draw(&tracer).concat()) {
            Ok(()) => Ok(()),
            Err(_) => Err(line!()),
        });
        try_wait(grandchild).map_err(|_| line!())?;
        tell.write_all(&draw(&tracer).concat()).map_err(|_| line!())
    });
    let mut ids = draw(&tracer);
    wait(child);
    for _ in 0..2 * ids.len() {
        let mut id = [0; 8];
        told.read_exact(&mut id).unwrap();
        ids.push(id);
    }
    let drawn = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), drawn, "an id was made twice");
    drop(tracer);
    assert!(pipeline.shutdown(LONG).is_complete());
}

#[test]
fn a_child_that_does_not_use_the_pipeline_ends_normally() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let hooked = std::sync::Arc::new(Dropped);
    /// Would wait for a thread that is not there, as a runtime does.
    struct Dropped;
    impl Drop for Dropped {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::Relaxed);
        }
    }
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    let pipeline = Pipeline::builder()
        .exporter(move || {
            let _ = &hooked;
            Here::new()
        })
        .build()
        .unwrap();
    let tracer = pipeline.tracer("test");
    let intake = pipeline.intake();
    let mut handles = Some((pipeline, tracer, intake));
    for _ in 0..5 {
        let (_, tracer, _) = handles.as_ref().unwrap();
        let span = tracer.span("alive").start_owned();
        let made = MADE.load(Ordering::Relaxed);
        wait(fork(|| {
            drop(span);
            let start = Instant::now();
            drop(handles.take());
            ensure!(start.elapsed() < LONG / 4);
            ensure!(DROPS.load(Ordering::Relaxed) == 0);
            ensure!(MADE.load(Ordering::Relaxed) == made);
            Ok(())
        }));
    }
    let (pipeline, ..) = handles.take().unwrap();
    let report = pipeline.shutdown(LONG);
    assert!(complete(&report, 5), "{report:?}");
    drop(pipeline);
}

#[test]
fn a_child_whose_exporters_cannot_be_made_records_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    static FAIL: AtomicBool = AtomicBool::new(false);
    let pipeline = Pipeline::builder()
        .exporter(|| {
            if FAIL.load(Ordering::Relaxed) {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
            Here::new()
        })
        .build()
        .unwrap();
    let tracer = pipeline.tracer("test");
    wait(fork(|| {
        FAIL.store(true, Ordering::Relaxed);
        ensure!(!tracer.start("span").is_recording());
        ensure!(!pipeline.tracer("new").start("span").is_recording());
        let report = pipeline.shutdown(LONG);
        ensure!(!report.is_complete() && report.lanes().is_empty());
        ensure!(pipeline.stats().memory.is_none());
        Ok(())
    }));
    assert!(pipeline.shutdown(LONG).is_complete());
}

/// Scenario: an exporter's factory records spans with the tracer that waits for it.
#[test]
fn a_factory_may_record_spans() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    static TRACER: std::sync::OnceLock<Tracer> = std::sync::OnceLock::new();
    let pipeline = Pipeline::builder()
        .exporter(|| {
            if let Some(tracer) = TRACER.get() {
                tracer.start("connect").set_attribute("k", "v");
            }
            Here::new()
        })
        .build()
        .unwrap();
    let tracer = TRACER.get_or_init(|| pipeline.tracer("test"));
    wait(fork(|| {
        tracer.start("span").end();
        let report = pipeline.shutdown(LONG);
        ensure!(complete(&report, 1));
        Ok(())
    }));
    assert!(pipeline.shutdown(LONG).is_complete());
}

/// Scenario: the pipeline's own thread forks, as an exporter that runs a program does.
#[test]
fn an_exporter_may_fork() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    #[derive(Clone)]
    struct Forking(&'static AtomicUsize);
    static PIPELINE: Mutex<Option<Pipeline>> = Mutex::new(None);
    static CHILDREN: AtomicUsize = AtomicUsize::new(0);
    static CONTENT: AtomicUsize = AtomicUsize::new(0);
    impl Exporter for Forking {
        fn export(&mut self, batch: Batch, reply: Reply) {
            let pipeline = PIPELINE.lock().unwrap().clone();
            if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
                let child = fork(|| {
                    let Some(pipeline) = pipeline else {
                        return Err(line!());
                    };
                    // This thread is the child's main thread now, not a pipeline's: it may wait.
                    let tracer = pipeline.tracer("test");
                    thread::scope(|scope| {
                        scope.spawn(|| tracer.start("span").end());
                    });
                    let report = pipeline.flush(LONG);
                    ensure!(complete(&report, 1));
                    ensure!(pipeline.shutdown(LONG).is_complete());
                    // The batch is the parent's; letting go of it harms nobody.
                    drop(batch);
                    reply.done(Outcome::Exported);
                    Ok(())
                });
                if try_wait(child).is_ok() {
                    CONTENT.fetch_add(1, Ordering::Relaxed);
                }
                return;
            }
            drop(batch);
            reply.done(Outcome::Exported);
        }
    }
    let pipeline = Pipeline::builder()
        .exporter(|| Forking(&CHILDREN))
        .build()
        .unwrap();
    *PIPELINE.lock().unwrap() = Some(pipeline.clone());
    pipeline.tracer("test").start("span").end();
    let report = pipeline.flush(LONG);
    // In the parent the batch and the reply were moved into what the child ran, and dropped unanswered.
    assert_eq!(report.lost(), 1, "{report:?}");
    assert_eq!(CONTENT.load(Ordering::Relaxed), 1);
    PIPELINE.lock().unwrap().take();
    check(&pipeline.shutdown(LONG));
}

/// Guarantees: in the child, too, calls return by their deadline.
#[test]
fn a_child_with_a_sink_that_never_answers() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pipeline = Pipeline::builder()
        .shutdown_timeout(Duration::from_millis(100))
        .exporter(sinks::Silent::default)
        .build()
        .unwrap();
    let tracer = pipeline.tracer("test");
    tracer.start("span").end();
    wait(fork(|| {
        let timeout = Duration::from_millis(100);
        tracer.start("span").end();
        // Nothing is printed here: a thread of the parent may have been printing at the fork.
        let start = Instant::now();
        let report = pipeline.flush(timeout);
        ensure!(start.elapsed() <= timeout + sinks::MARGIN);
        ensure!(!report.is_complete() && report.timed_out());
        let start = Instant::now();
        let report = pipeline.shutdown(timeout);
        ensure!(start.elapsed() <= timeout + sinks::MARGIN);
        ensure!(!report.is_complete());
        check(&report);
        Ok(())
    }));
    check(&pipeline.shutdown(Duration::from_millis(100)));
}

/// Scenario: a child outlives the calls of a parent that is still at work with the same tracer.
#[test]
fn a_parent_goes_on_while_its_child_lives() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let count = Answering::default();
    let exporter = count.clone();
    let pipeline = Pipeline::builder()
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let tracer = pipeline.tracer("test");
    let children: Vec<_> = (0..4)
        .map(|_| {
            fork(|| {
                for _ in 0..200 {
                    tracer.start("child").end();
                    ensure!(!pipeline.flush(LONG).timed_out());
                }
                ensure!(complete(&pipeline.shutdown(LONG), 200));
                Ok(())
            })
        })
        .collect();
    for _ in 0..200 {
        tracer.start("parent").end();
        assert!(pipeline.flush(LONG).is_complete());
    }
    for child in children {
        wait(child);
    }
    let report = pipeline.shutdown(LONG);
    assert!(complete(&report, 200), "{report:?}");
    eventually("exported", || count.0.load(Ordering::Relaxed) == 200);
}
