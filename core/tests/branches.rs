//! Several pipelines behind the same doors: they share receivers and exporters, and nothing else.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use spanwire_core::batch::{Batch, BatchLimits, Batcher};
use spanwire_core::engine::Retry;
use spanwire_core::exporter::{Exporter, Outcome, Reply};
use spanwire_core::pipeline::{
    Branch, ExportPolicy, IntakeError, InvalidBranch, InvalidPipeline, Pipeline, PipelineBuilder,
    Report,
};
use spanwire_core::processor::{Condition, FilterProcessor, Pattern};
use spanwire_core::testing::InMemoryExporter;

mod sinks;
use sinks::{Answering, LONG, Silent, check, record};

/// An `ExportTraceServiceRequest` of three spans under two resources.
const REQUEST: [u8; 14] = [
    0x0a, 6, 0x12, 4, 0x12, 0, 0x12, 0, 0x0a, 4, 0x12, 2, 0x12, 0,
];

/// By the names of branch and exporter: what was admitted and what exported.
fn lanes(report: &Report) -> Vec<(String, String, u64, u64)> {
    let lane = |lane: &_| {
        let account = &spanwire_core::engine::LaneReport::clone(lane).account;
        assert!(account.balances(), "{account:?}");
        (
            report.branch_of(lane).to_owned(),
            report.exporter_of(lane).to_owned(),
            account.admitted,
            account.exported,
        )
    };
    report.lanes().iter().map(lane).collect()
}

fn row(branch: &str, exporter: &str, admitted: u64, exported: u64) -> (String, String, u64, u64) {
    (branch.to_owned(), exporter.to_owned(), admitted, exported)
}

#[test]
fn branches_share_receivers_and_exporters_and_have_their_own_stages() {
    let (store, copy) = (InMemoryExporter::new(), InMemoryExporter::new());
    let (to_store, to_copy) = (store.clone(), copy.clone());
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let batcher = || Batcher::new(BatchLimits::default());
    let pipeline = Pipeline::builder()
        .neighbours(1 << 20)
        .shared_exporter("store", move || {
            count.fetch_add(1, Ordering::Relaxed);
            to_store.clone()
        })
        .shared_exporter("copy", move || to_copy.clone())
        .shared_exporter("nobody", || -> Answering {
            unreachable!("no branch leads here")
        })
        .branch(
            Branch::new("own")
                .own_spans()
                .stage(batcher)
                .exporter("store"),
        )
        .branch(
            Branch::new("node")
                .receiver("otlp")
                .receiver("zipkin")
                .stage(batcher)
                .exporter("store"),
        )
        .branch(
            Branch::new("all")
                .own_spans()
                .receiver("otlp")
                .exporter("copy")
                .exporter("store"),
        )
        .build()
        .unwrap();
    assert_eq!(made.load(Ordering::Relaxed), 1);

    record(&pipeline, 10);
    let receiver = |name| pipeline.receiver(name).unwrap();
    for _ in 0..5 {
        receiver("otlp").offer(&REQUEST).unwrap();
    }
    receiver("zipkin").offer(&REQUEST).unwrap();
    pipeline.intake().offer(&REQUEST).unwrap();
    assert!(pipeline.receiver("jaeger").is_none());

    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete(), "{report}");
    assert_eq!(report.own().admitted, 10);
    assert_eq!(report.neighbours().admitted, 21);
    assert_eq!(
        lanes(&report),
        [
            row("own", "store", 10, 10),
            // Five by OTLP, one by Zipkin, one by the door that leads everywhere.
            row("node", "store", 21, 21),
            row("all", "copy", 28, 28),
            row("all", "store", 28, 28),
        ]
    );
    assert_eq!((store.span_count(), copy.span_count()), (59, 28));
}

#[test]
fn a_branch_filters_for_itself_alone() {
    let (store, copy) = (InMemoryExporter::new(), InMemoryExporter::new());
    let (to_store, to_copy) = (store.clone(), copy.clone());
    let pipeline = Pipeline::builder()
        .exporter(move || to_store.clone())
        .shared_exporter("copy", move || to_copy.clone())
        .branch(
            Branch::new("quiet")
                .own_spans()
                .stage(|| FilterProcessor::new(vec![Condition::Name(Pattern::equals("span"))]))
                .exporter("copy"),
        )
        .build()
        .unwrap();
    record(&pipeline, 10);
    pipeline.tracer("test").start("other").end();
    let report = pipeline.shutdown(LONG);
    check(&report);
    assert!(report.is_complete(), "{report}");
    assert_eq!(store.span_count(), 11);
    assert_eq!(copy.span_names(), ["other"]);
    // The builder's own stages and exporters make a branch without a name.
    assert_eq!(report.branch_of(&report.lanes()[0]), "");
    assert_eq!(report.exporter_of(&report.lanes()[0]), "0");
    assert_eq!(report.lanes()[1].account.filtered, 10);
}

/// Scenario: one of two branches leads to a black hole; both take this program's spans and those of a receiver, far more
/// than memory holds. Guarantees: the other exports every span, the door stays open, and every span is counted.
#[test]
fn a_black_hole_behind_one_branch_costs_the_other_nothing() {
    const ROUNDS: usize = 40;
    const SPANS: usize = 500;
    let (live, hole) = (Answering::default(), Silent::default());
    let (to_live, to_hole) = (live.clone(), hole.clone());
    let pipeline = Pipeline::builder()
        .memory_limit(4 << 20)
        .neighbours(256 << 10)
        .schedule_delay(Duration::from_millis(1))
        .export_timeout(Duration::ZERO)
        .shared_exporter("live", move || to_live.clone())
        .shared_exporter("hole", move || to_hole.clone())
        .branch(
            Branch::new("live")
                .own_spans()
                .receiver("otlp")
                .exporter("live"),
        )
        .branch(
            Branch::new("stuck")
                .own_spans()
                .receiver("otlp")
                .exporter("hole"),
        )
        .build()
        .unwrap();
    let otlp = pipeline.receiver("otlp").unwrap();
    // A request of 64 KiB: one resource, one scope, one span with a field that nobody knows.
    let request = large_request(64 << 10);
    let start = Instant::now();
    for round in 1..=ROUNDS {
        record(&pipeline, SPANS);
        while let Err(error) = otlp.offer(&request) {
            assert!(error.is_retryable(), "{error}");
            assert!(start.elapsed() < LONG, "the door stays shut: {error}");
            std::thread::sleep(Duration::from_millis(1));
        }
        // What the live branch has is settled before more comes, so that it never lags.
        let arrived = (round * (SPANS + 1)) as u64;
        sinks::eventually("the live branch exports all", || {
            live.0.load(Ordering::Relaxed) == arrived
        });
    }
    let report = sinks::heard("shutdown", || pipeline.shutdown(Duration::from_millis(100)));
    let admitted = (ROUNDS * (SPANS + 1)) as u64;
    assert_eq!(report.own().dropped.total(), 0, "{:?}", report.own());
    assert_eq!(report.neighbours().turned_away, 0);
    let [live, stuck] = report.lanes() else {
        panic!("{report:?}")
    };
    for lane in [live, stuck] {
        assert!(lane.account.balances(), "{:?}", lane.account);
        assert_eq!(lane.account.admitted, admitted);
    }
    assert_eq!(live.account.exported, admitted);
    assert_eq!(stuck.account.exported, 0);
    assert_eq!(stuck.account.dropped.total(), admitted);
    let said = report.to_string();
    assert!(said.contains("exporter hole of stuck"), "{said}");
}

fn large_request(bytes: usize) -> Vec<u8> {
    let field = |tag: u8, inner: &[u8]| {
        let mut out = vec![tag];
        let mut len = inner.len();
        while len >= 128 {
            out.push(len as u8 | 128);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend(inner);
        out
    };
    // `Span.name`.
    let name = field(0x2a, &vec![b'x'; bytes]);
    field(0x0a, &field(0x12, &field(0x12, &name)))
}

/// What is admitted is exported, however fast it comes: a refusal is the caller's to see.
#[test]
fn what_neighbours_are_told_ok_about_is_never_lost() {
    let live = Answering::default();
    let exporter = live.clone();
    let pipeline = Pipeline::builder()
        .memory_limit(4 << 20)
        // More than half the log would be.
        .neighbours(2 << 20)
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let request = large_request(8 << 10);
    let (accepted, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let report = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let intake = pipeline.intake();
                loop {
                    match intake.offer(if accepted.load(Ordering::Relaxed) % 2 == 0 {
                        &request
                    } else {
                        &REQUEST
                    }) {
                        Ok(received) => accepted.fetch_add(received.spans(), Ordering::Relaxed),
                        Err(IntakeError::Closed) => break,
                        Err(error) => {
                            assert!(error.is_retryable(), "{error}");
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
        std::thread::sleep(Duration::from_millis(300));
        sinks::eventually("something is accepted", || {
            accepted.load(Ordering::Relaxed) > 0
        });
        pipeline.shutdown(LONG)
    });
    let (accepted, refused) = (accepted.into_inner() as u64, refused.into_inner());
    println!("{accepted} spans accepted, {refused} requests refused; {report}");
    assert!(accepted > 0);
    let neighbours = pipeline.stats().neighbours;
    assert_eq!(neighbours.turned_away, 0, "{neighbours:?}");
    assert_eq!(neighbours.admitted, accepted);
    assert_eq!(live.0.load(Ordering::Relaxed), accepted);
    assert_eq!(report.lost(), 0, "{report}");
}

#[test]
fn what_does_not_fit_together_is_named() {
    let fault = |change: fn(PipelineBuilder) -> PipelineBuilder| {
        let builder = Pipeline::builder().shared_exporter("store", Answering::default);
        match change(builder).build() {
            Err(InvalidPipeline::Branch(fault)) => fault,
            other => panic!("{other:?}"),
        }
    };
    let own = || Branch::new("own").own_spans().exporter("store");
    let name = |name: &str| name.to_owned();
    assert_eq!(
        fault(|builder| builder.branch(Branch::new("a").exporter("store"))),
        InvalidBranch::NoSource { branch: name("a") }
    );
    assert_eq!(
        fault(|builder| builder.branch(Branch::new("a").own_spans())),
        InvalidBranch::NoExporter { branch: name("a") }
    );
    assert_eq!(
        fault(|builder| builder.branch(Branch::new("a").own_spans().exporter("stor"))),
        InvalidBranch::UnknownExporter {
            branch: name("a"),
            exporter: name("stor")
        }
    );
    assert_eq!(
        fault(|builder| {
            let twice = builder.shared_exporter("store", Answering::default);
            twice.branch(Branch::new("own").own_spans().exporter("store"))
        }),
        InvalidBranch::NameTaken {
            name: name("store")
        }
    );
    assert_eq!(
        fault(|builder| {
            let twice = || Branch::new("a").own_spans().exporter("store");
            builder.branch(twice()).branch(twice())
        }),
        InvalidBranch::NameTaken { name: name("a") }
    );
    assert_eq!(
        fault(|builder| builder.branch(Branch::new("a").receiver("otlp").exporter("store"))),
        InvalidBranch::OwnSpansUnclaimed
    );
    let nowhere = Pipeline::builder().stage(|| Batcher::new(BatchLimits::default()));
    assert_eq!(
        nowhere.branch(own()).build().unwrap_err(),
        InvalidPipeline::NoExporter
    );
    let told = InvalidPipeline::Branch(InvalidBranch::NoSource { branch: name("a") });
    assert_eq!(told.to_string(), "branch");
    assert_eq!(
        told.source().unwrap().to_string(),
        "'a' takes neither own spans nor those of a receiver"
    );
}

#[test]
fn without_a_receiver_there_is_no_door() {
    let pipeline = Pipeline::builder()
        .neighbours(1 << 20)
        .shared_exporter("store", Answering::default)
        .branch(Branch::new("own").own_spans().exporter("store"))
        .build()
        .unwrap();
    let error = pipeline.intake().offer(&REQUEST).unwrap_err();
    assert_eq!(error, IntakeError::NoPipeline);
    assert!(!error.is_retryable());
}

/// Never takes anything, and counts batches and the most spans in one.
#[derive(Clone, Default)]
struct Refusing {
    batches: Arc<AtomicUsize>,
    largest: Arc<AtomicUsize>,
}

impl Exporter for Refusing {
    fn export(&mut self, batch: Batch, reply: Reply) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.largest.fetch_max(batch.spans(), Ordering::Relaxed);
        drop(batch);
        reply.done(Outcome::retry("not today"));
    }
}

#[test]
fn a_shared_exporter_is_tried_as_its_own_policy_says() {
    let (once, thrice) = (Refusing::default(), Refusing::default());
    let (to_once, to_thrice) = (once.clone(), thrice.clone());
    let often = Retry {
        initial: Duration::from_millis(1),
        max: Duration::from_millis(1),
        max_elapsed: None,
        ..Retry::default()
    };
    let pipeline = Pipeline::builder()
        .schedule_delay(Duration::from_millis(1))
        .retry(Retry::NEVER)
        .shared_exporter("once", move || to_once.clone())
        .shared_exporter_with("thrice", ExportPolicy::new().retry(often), move || {
            to_thrice.clone()
        })
        .branch(
            Branch::new("own")
                .own_spans()
                .exporter("once")
                .exporter("thrice"),
        )
        .build()
        .unwrap();
    record(&pipeline, 1);
    sinks::eventually("a third attempt", || {
        thrice.batches.load(Ordering::Relaxed) >= 3
    });
    assert_eq!(once.batches.load(Ordering::Relaxed), 1);
    let report = pipeline.shutdown(LONG);
    check(&report);
    assert_eq!(report.lost(), 2, "{report}");
}

#[test]
fn a_shared_exporter_has_its_own_time() {
    let (patient, hasty) = (Silent::default(), Silent::default());
    let (to_patient, to_hasty) = (patient.clone(), hasty.clone());
    let soon = ExportPolicy::new()
        .retry(Retry::NEVER)
        .export_timeout(Duration::from_millis(20));
    let pipeline = Pipeline::builder()
        .export_timeout(Duration::ZERO)
        .shared_exporter("patient", move || to_patient.clone())
        .shared_exporter_with("hasty", soon, move || to_hasty.clone())
        .branch(
            Branch::new("own")
                .own_spans()
                .exporter("patient")
                .exporter("hasty"),
        )
        .build()
        .unwrap();
    record(&pipeline, 1);
    let first = pipeline.flush(Duration::from_millis(50));
    let cancelled = |silent: &Silent| {
        let held = silent.0.lock().unwrap();
        held.iter().any(|(_, reply)| reply.cancelled())
    };
    sinks::eventually("the time of the hasty one", || cancelled(&hasty));
    assert!(!cancelled(&patient));
    assert_eq!(patient.speak(), 1);
    hasty.0.lock().unwrap().clear();
    let report = pipeline.shutdown(LONG);
    check(&report);
    assert_eq!(first.lost() + report.lost(), 1, "{report}");
}

#[test]
fn a_branch_has_its_own_batch_size() {
    let (narrow, wide) = (Refusing::default(), Refusing::default());
    let (to_narrow, to_wide) = (narrow.clone(), wide.clone());
    let batcher = || Batcher::new(BatchLimits::default());
    let pipeline = Pipeline::builder()
        .neighbours(1 << 20)
        .retry(Retry::NEVER)
        .shared_exporter("narrow", move || to_narrow.clone())
        .shared_exporter("wide", move || to_wide.clone())
        .branch(
            Branch::new("narrow")
                .own_spans()
                .receiver("otlp")
                .stage(batcher)
                .exporter("narrow")
                .max_export_batch_size(3),
        )
        .branch(
            Branch::new("wide")
                .receiver("otlp")
                .stage(batcher)
                .exporter("wide"),
        )
        .build()
        .unwrap();
    let otlp = pipeline.receiver("otlp").unwrap();
    for _ in 0..4 {
        otlp.offer(&REQUEST).unwrap();
    }
    check(&pipeline.shutdown(LONG));
    assert_eq!(narrow.largest.load(Ordering::Relaxed), 3);
    assert_eq!(wide.largest.load(Ordering::Relaxed), 12);
}

#[test]
fn neighbours_get_what_the_own_part_leaves_and_are_refused_below_its_end() {
    let memory = |builder: PipelineBuilder| {
        let pipeline = builder
            .memory_limit(8 << 20)
            .own(1 << 20)
            .exporter(Answering::default)
            .build()
            .unwrap();
        pipeline.stats().memory.unwrap()
    };
    let usage = memory(Pipeline::builder());
    assert_eq!(usage.own.limit, 1 << 20);
    assert_eq!(
        usage.neighbours.limit,
        (8 << 20) - (1 << 20) - usage.reserve.limit
    );
    assert_eq!(
        usage.neighbours.soft_limit,
        usage.neighbours.limit - usage.neighbours.limit / 5
    );
    let usage = memory(Pipeline::builder().neighbours_spike(1 << 19));
    assert_eq!(
        usage.neighbours.soft_limit,
        usage.neighbours.limit - (1 << 19)
    );
    let error = Pipeline::builder()
        .own(1 << 20)
        .neighbours_spike(usize::MAX)
        .exporter(Answering::default)
        .build()
        .unwrap_err();
    assert_eq!(error.to_string(), "memory_limit");
    let why = error.source().unwrap().to_string();
    assert!(why.starts_with("memory 'spike'"), "{why}");
}
