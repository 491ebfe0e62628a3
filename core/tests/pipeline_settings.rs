//! Settings that make no sense are refused by name; settings at the ends of their range work.
#![cfg(feature = "std")]

use core::time::Duration;

use sinks::{Answering, LONG, check, record};
use spanwire_core::batch::Batch;
use spanwire_core::exporter::{Exporter, Outcome, Reply};
use spanwire_core::pipeline::{Pipeline, PipelineBuilder};

mod sinks;

fn builder() -> PipelineBuilder {
    Pipeline::builder().exporter(Answering::default)
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    for (setting, builder) in [
        ("exporter", Pipeline::builder()),
        ("memory_limit", builder().memory_limit(0)),
        ("memory_limit", builder().memory_limit((1 << 20) - 1)),
        ("memory_limit", builder().memory_limit(usize::MAX)),
        ("memory_limit", builder().memory_limit(usize::MAX / 2)),
        ("memory_limit", builder().memory_limit(usize::MAX / 1024)),
        ("memory_limit", builder().neighbours(usize::MAX)),
        (
            "memory_limit",
            builder().memory_limit(1 << 20).neighbours(1 << 20),
        ),
        (
            "sampling_rate_per_million",
            builder().sampling_rate_per_million(-1),
        ),
        (
            "sampling_rate_per_million",
            builder().sampling_rate_per_million(1_000_001),
        ),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.starts_with(setting), "{setting}: {error}");
    }
}

/// Says that it takes any number of batches at once, or none.
struct Claims(usize);

impl Exporter for Claims {
    fn export(&mut self, batch: Batch, reply: Reply) {
        drop(batch);
        reply.done(Outcome::Exported);
    }

    fn concurrency(&self) -> usize {
        self.0
    }
}

#[test]
fn the_ends_of_every_range_work() {
    for builder in [
        builder().memory_limit(1 << 20),
        builder().memory_limit((1 << 20) + 1).neighbours(1),
        builder().memory_limit(1 << 30),
        builder().max_export_batch_bytes(0),
        builder().max_export_batch_bytes(usize::MAX),
        builder().max_export_batch_size(0),
        builder().max_export_batch_size(usize::MAX),
        builder().schedule_delay(Duration::ZERO),
        builder().schedule_delay(Duration::MAX),
        builder().export_timeout(Duration::ZERO),
        builder().export_timeout(Duration::from_nanos(1)),
        builder().export_timeout(Duration::MAX),
        builder().shutdown_timeout(Duration::ZERO),
        builder().shutdown_timeout(Duration::MAX),
        builder().sampling_rate_per_million(1_000_000),
        Pipeline::builder().exporter(|| Claims(0)),
        Pipeline::builder().exporter(|| Claims(usize::MAX)),
        (0..20).fold(builder(), |builder, _| builder.exporter(Answering::default)),
    ] {
        let what = format!("{builder:?}");
        let pipeline = builder.build().unwrap();
        record(&pipeline, 100);
        let flushed = pipeline.flush(LONG);
        assert!(!flushed.timed_out(), "{what}: {flushed:?}");
        record(&pipeline, 100);
        let report = pipeline.shutdown(LONG);
        assert!(!report.timed_out(), "{what}: {report:?}");
        check(&report);
        assert_eq!(report.own().admitted, 200, "{what}");
        for lane in report.lanes() {
            assert_eq!(lane.account.exported, 200, "{what}: {report:?}");
        }
    }
}

#[test]
fn a_pipeline_that_keeps_nothing_records_nothing() {
    let pipeline = builder().sampling_rate_per_million(0).build().unwrap();
    record(&pipeline, 100);
    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete());
    assert_eq!((report.own().started, report.own().not_sampled), (0, 100));
}

/// Guarantees: nothing is lost though every append opens a block, for each span is of another scope.
#[test]
fn many_scopes_share_a_small_ring() {
    let pipeline = builder()
        .memory_limit(1 << 20)
        .schedule_delay(Duration::ZERO)
        .build()
        .unwrap();
    for scope in 0..2000 {
        let scope = format!("scope {scope}");
        pipeline.tracer(scope.as_str()).start("span").end();
        if scope.ends_with("00") {
            let report = pipeline.flush(LONG);
            assert!(report.is_complete(), "{report:?}");
        }
    }
    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.lanes()[0].account.exported, 2000);
}
