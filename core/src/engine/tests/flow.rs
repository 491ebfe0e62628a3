//! From the door to the exporter: batching, slots, flush and close.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;
use crate::processor::{Edit, Later, Processor};

#[test]
fn without_a_batcher_a_segment_goes_at_once() {
    let mut bench = Bench::plain();
    bench.offer(own(3));
    let attempt = bench.export(after(0.0));
    assert_eq!((attempt.batch.spans(), attempt.lane), (3, LANE));
    assert_eq!(bench.account(LANE).in_flight, 3);
    attempt.answer(Outcome::Exported);
    assert_eq!(bench.waits(after(0.0)), None);
    assert_eq!(bench.account(LANE).exported, 3);
    assert_eq!(bench.engine.bytes(PIPELINE), 0);
}

#[test]
fn age_is_told_from_the_end_of_the_first_span() {
    let mut bench = Bench::new(|pipeline, _, _| pipeline.stage(batcher(None)));
    bench.offer(own(1));
    // The engine first looks four seconds late, and does not wait four seconds longer for it.
    assert_eq!(bench.waits(after(4.0)), Some(after(5.0)));
    assert!(bench.exports(after(4.999)).is_none());
    assert_eq!(bench.export(after(5.0)).batch.spans(), 1);
}

#[test]
fn an_idle_lane_sends_a_full_batch_and_a_busy_one_a_larger_one() {
    let mut bench = Bench::new(|pipeline, _, exporter| {
        exporter.concurrency = 1;
        pipeline.stage(batcher(Some(10)))
    });
    for _ in 0..2 {
        bench.offer(own(5));
    }
    let first = bench.export(after(0.0));
    assert_eq!(first.batch.spans(), 10);
    for _ in 0..6 {
        bench.offer(own(5));
    }
    assert!(bench.exports(after(0.0)).is_none(), "one slot");
    first.answer(Outcome::Exported);
    assert_eq!(bench.export(after(0.0)).batch.spans(), 30);
}

/// The most bytes of a batch of which 1000 are worth a request.
const WORTH_1000: usize = 1142;

/// Lanes that wait for up to 100 ms for 1750 bytes, or for twenty spans.
fn lingering() -> Bench {
    Bench::new(|pipeline, lane, _| {
        lane.linger = Duration::from_millis(100);
        lane.max_bytes = 2000;
        lane.max_spans = Some(20);
        pipeline
    })
}

#[test]
fn a_lane_waits_until_a_request_is_worth_it() {
    let mut bench = Bench::new(|pipeline, lane, _| {
        lane.linger = Duration::from_millis(100);
        lane.max_bytes = WORTH_1000;
        pipeline
    });
    for answered in [true, false] {
        for left in (1..10).rev() {
            bench.offer(own(1));
            assert_eq!(bench.waits(after(0.001)), Some(after(0.1)));
            let slack = bench.engine.slack(after(0.001), None).bytes;
            assert!(
                (left * SPAN - 100..=left * SPAN).contains(&slack),
                "{slack}"
            );
        }
        bench.offer(own(1));
        let attempt = bench.export(after(0.003));
        assert_eq!(attempt.batch.spans(), 10, "1000 bytes");
        let slack = bench.engine.slack(after(0.003), None);
        assert_eq!(slack.bytes, 0, "nothing waits");
        if answered {
            attempt.answer(Outcome::Exported);
        } else {
            drop(attempt);
        }
    }
}

#[test]
fn behind_another_request_a_lane_waits_for_as_much() {
    let mut bench = Bench::new(|pipeline, lane, _| {
        lane.linger = Duration::from_millis(100);
        lane.max_bytes = WORTH_1000;
        pipeline
    });
    let offer = |bench: &mut Bench, spans| (0..spans).for_each(|_| bench.offer(own(1)));
    offer(&mut bench, 10);
    let first = bench.export(after(0.0));
    offer(&mut bench, 9);
    assert_eq!(bench.waits(after(0.0)), Some(after(0.1)), "no longer");
    offer(&mut bench, 1);
    let second = bench.export(after(0.0));
    assert_eq!(second.batch.spans(), 10);
    first.answer(Outcome::Exported);
    second.answer(Outcome::Exported);
}

/// Scenario: what is on its way leaves the lane a sliver of what it may have in flight. Guarantees: the lane sends no sliver
/// before `linger` is over, but all it may once there is an answer, and nobody wakes up for what comes meanwhile.
#[test]
fn behind_a_request_that_takes_the_room_a_lane_waits_for_the_answer() {
    for answered in [true, false] {
        // Of 4000 bytes that may be in flight, 2625 are worth a request, and room for 1312.
        let mut bench = Bench::new(|_, lane, _| {
            lane.linger = Duration::from_millis(100);
            lane.max_bytes = 3000;
            PipelineSettings::new(16_000).door(Door::Own)
        });
        bench.offer(own(27));
        let first = bench.export(after(0.0));
        for _ in 0..4 {
            bench.offer(own(8));
        }
        assert_eq!(bench.waits(after(0.05)), Some(after(0.1)));
        let slack = bench.engine.slack(after(0.05), None);
        assert_eq!((slack.bytes, slack.until), (usize::MAX, None));
        if answered {
            first.answer(Outcome::Exported);
            assert_eq!(bench.export(after(0.05)).batch.spans(), 24);
        } else {
            assert_eq!(bench.export(after(0.1)).batch.spans(), 8, "the sliver");
            drop(first);
        }
    }
}

#[test]
fn what_comes_to_an_empty_lane_may_come_unseen_until_its_first_span_has_waited() {
    let lane_of = |stages: bool| {
        Bench::new(|pipeline, lane, _| {
            lane.linger = Duration::from_millis(100);
            lane.max_bytes = WORTH_1000;
            match stages {
                true => pipeline.stage(batcher(None)),
                false => pipeline,
            }
        })
    };
    let bench = lane_of(false);
    let slack = bench.engine.slack(after(0.01), Some(after(0.0)));
    assert_eq!((slack.bytes, slack.until), (1000, Some(after(0.1))));
    for (now, first) in [(0.1, Some(after(0.0))), (0.01, None)] {
        assert_eq!(bench.engine.slack(after(now), first), Slack::NONE);
    }
    let slack = lane_of(true).engine.slack(after(0.01), Some(after(0.0)));
    assert_eq!(slack, Slack::NONE, "a stage is to see it");
}

#[test]
fn without_a_slot_all_may_come_unseen() {
    let mut bench = Bench::new(|pipeline, _, exporter| {
        exporter.concurrency = 1;
        pipeline
    });
    assert_eq!(bench.engine.slack(after(0.0), None), Slack::NONE);
    bench.offer(own(1));
    let attempt = bench.export(after(0.0));
    bench.offer(own(1));
    assert!(bench.exports(after(0.0)).is_none());
    let slack = bench.engine.slack(after(0.0), None);
    assert_eq!((slack.bytes, slack.until), (usize::MAX, None));
    bench.engine.flush(after(1.0));
    assert_eq!(bench.engine.slack(after(0.0), None), Slack::NONE);
    drop(attempt);
}

#[test]
fn nobody_waits_for_company_longer_than_linger() {
    let mut bench = lingering();
    bench.offer(own(1));
    assert_eq!(bench.waits(after(0.05)), Some(after(0.1)));
    let stuck = bench.export(after(0.1));
    assert_eq!(stuck.batch.spans(), 1);
    bench.offer(own(1));
    assert_eq!(bench.export(after(0.1)).batch.spans(), 1);
    drop(stuck);
}

#[test]
fn as_many_spans_as_a_batch_may_have_wait_for_nobody() {
    let mut bench = lingering();
    for _ in 0..4 {
        bench.offer(spans(5, Door::Own));
        assert_eq!(
            bench.engine.slack(after(0.0), None).bytes,
            0,
            "each block may be the last"
        );
    }
    assert_eq!(bench.export(after(0.0)).batch.spans(), 20);
}

#[test]
fn neighbours_wait_for_company_only_behind_another_request() {
    let mut bench = Bench::new(|pipeline, lane, _| {
        lane.linger = Duration::from_millis(100);
        pipeline.door(Door::Neighbours)
    });
    bench.offer(spans(1, Door::Neighbours));
    let first = bench.export(after(0.0));
    bench.offer(spans(1, Door::Neighbours));
    assert_eq!(bench.waits(after(0.05)), Some(after(0.1)));
    first.answer(Outcome::Exported);
    assert_eq!(bench.export(after(0.05)).batch.spans(), 1);
}

#[test]
fn bytes_may_come_unseen_only_while_every_lane_waits() {
    let pipeline = |linger| {
        let lane = |exporter, millis| LaneSettings {
            linger: Duration::from_millis(millis),
            ..lane_to(ExporterId::new(exporter))
        };
        let pipeline = PipelineSettings::new(1 << 20).door(Door::Own);
        pipeline.lane(lane(0, 100)).lane(lane(1, linger))
    };
    for (linger, waits) in [(100, true), (0, false)] {
        let exporters = [ExporterSettings {
            concurrency: 2,
            ..ExporterSettings::default()
        }; 2];
        let mut bench = Bench::of(&exporters, [pipeline(linger)]);
        bench.offer(own(1));
        let attempt = bench.exports(after(0.01));
        assert_eq!(attempt.is_none(), waits);
        assert_eq!(bench.engine.slack(after(0.01), None).bytes > 0, waits);
    }
    let mut bench = Bench::of(&[ExporterSettings::default(); 2], [pipeline(100)]);
    bench.offer(own(1));
    bench.engine.flush(after(1.0));
    assert_eq!(bench.engine.slack(after(0.01), None), Slack::NONE);
}

#[test]
fn a_flush_and_a_close_wait_for_no_company() {
    for close in [false, true] {
        let mut bench = lingering();
        bench.offer(own(18));
        let stuck = bench.export(after(0.0));
        bench.offer(own(1));
        assert!(bench.exports(after(0.01)).is_none());
        if close {
            bench.engine.close(after(1.0));
        } else {
            bench.engine.flush(after(1.0));
        }
        assert_eq!(bench.export(after(0.01)).batch.spans(), 1);
        drop(stuck);
    }
}

#[test]
fn a_log_that_is_half_full_waits_for_no_company() {
    // Three entries may be in flight, and seven are more than half.
    let mut bench = Bench::new(|_, lane, _| {
        lane.linger = Duration::from_millis(100);
        PipelineSettings::new(16_000)
            .door(Door::Own)
            .own_charge(1000)
    });
    for _ in 0..6 {
        bench.offer(own(1));
    }
    assert!(bench.exports(after(0.0)).is_none());
    bench.offer(own(1));
    assert_eq!(bench.export(after(0.0)).batch.spans(), 3);
}

#[test]
fn a_span_limit_that_is_asked_for_is_kept() {
    let mut bench = Bench::new(|pipeline, lane, exporter| {
        exporter.concurrency = 9;
        lane.max_spans = Some(10);
        pipeline
    });
    for _ in 0..6 {
        bench.offer(own(4));
    }
    let mut sizes = Vec::new();
    let mut held = Vec::new();
    while let Some(attempt) = bench.exports(after(0.0)) {
        sizes.push(attempt.batch.spans());
        held.push(attempt);
    }
    assert_eq!(sizes, [8, 8, 8]);
    // A segment larger than that is cut, into as many pieces as it takes.
    for spans in [25, 95] {
        bench.offer(own(spans));
        let mut sizes = Vec::new();
        while let Some(attempt) = bench.exports(after(0.0)) {
            sizes.push(attempt.batch.spans());
            attempt.answer(Outcome::Exported);
        }
        assert_eq!(sizes.iter().sum::<usize>(), spans);
        assert!(sizes.iter().all(|spans| *spans <= 10), "{sizes:?}");
    }
}

#[test]
fn batches_end_at_the_byte_limit() {
    let mut bench = Bench::new(|pipeline, lane, _| {
        lane.max_bytes = 1000;
        pipeline
    });
    for _ in 0..10 {
        bench.offer(own(3));
    }
    let attempt = bench.export(after(0.0));
    assert_eq!(attempt.batch.spans(), 9);
    assert!(attempt.batch.encoded_len() <= 1000);
}

#[test]
fn a_slot_is_free_when_batch_and_reply_are_both_gone() {
    let mut bench = Bench::new(|pipeline, _, exporter| {
        exporter.concurrency = 1;
        pipeline
    });
    bench.offer(own(1));
    let attempt = bench.export(after(0.0));
    bench.offer(own(1));
    let kept = attempt.batch.clone();
    attempt.answer(Outcome::Exported);
    assert!(bench.exports(after(0.0)).is_none());
    assert_eq!(bench.account(LANE).exported, 1);
    assert!(bench.engine.bytes(PIPELINE) > 2 * SPAN);
    drop(kept);
    bench.export(after(0.0)).answer(Outcome::Exported);
    assert_eq!(bench.waits(after(0.0)), None);
    assert_eq!(bench.engine.bytes(PIPELINE), 0);
}

#[test]
fn two_pipelines_share_the_slots_of_an_exporter() {
    let exporter = ExporterSettings {
        concurrency: 2,
        ..ExporterSettings::default()
    };
    let pipeline = || {
        PipelineSettings::new(1 << 20)
            .door(Door::Own)
            .lane(lane_to(ExporterId::new(0)))
    };
    let mut bench = Bench::of(&[exporter], [pipeline(), pipeline()]);
    bench.offer(own(1));
    let (first, second) = (bench.export(after(0.0)), bench.export(after(0.0)));
    // They take turns.
    assert_eq!([first.lane.index(), second.lane.index()], [0, 1]);
    bench.offer(own(1));
    assert!(bench.exports(after(0.0)).is_none());
    first.answer(Outcome::Exported);
    assert_eq!(bench.export(after(0.0)).lane.index(), 0);
    assert_eq!(bench.account(LaneId::new(1)).admitted, 2);
}

#[test]
fn a_backlog_alternates_the_doors_by_bytes() {
    let mut bench = Bench::new(|pipeline, lane, exporter| {
        exporter.concurrency = 1;
        lane.max_bytes = 1000;
        pipeline.door(Door::Neighbours)
    });
    for _ in 0..40 {
        bench.offer(own(1));
    }
    for _ in 0..8 {
        bench.offer(spans(5, Door::Neighbours));
    }
    let mut by_door = [0, 0];
    for _ in 0..4 {
        let attempt = bench.export(after(0.0));
        for segment in attempt.batch.segments() {
            by_door[usize::from(segment.door() == Door::Neighbours)] += segment.spans();
        }
        attempt.answer(Outcome::Exported);
    }
    // Small segments weigh more, for what each costs beside its spans.
    assert!(
        by_door[1] > by_door[0] && by_door[0] > by_door[1] / 4,
        "{by_door:?}"
    );
}

#[test]
fn answers_and_releases_wake() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let limiter = MemoryLimiter::builder(32 << 20).build().unwrap();
    let mut builder = Engine::builder(&limiter);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    builder.waker(Arc::clone(&count).into());
    let exporter = builder.exporter(ExporterSettings::default());
    builder.pipeline(
        PipelineSettings::new(1 << 20)
            .door(Door::Own)
            .lane(lane_to(exporter)),
    );
    let mut bench = Bench {
        engine: builder.build().unwrap(),
    };
    bench.offer(own(1));
    let attempt = bench.export(after(0.0));
    let woken = || count.0.swap(0, Ordering::Relaxed) > 0;
    assert!(!woken());
    attempt.reply.done(Outcome::Exported);
    assert!(woken());
    drop(attempt.batch);
    assert!(woken());
}

#[test]
fn a_flush_covers_what_was_offered_before_it() {
    let mut bench = Bench::new(|pipeline, _, _| pipeline.stage(batcher(None)));
    bench.offer(own(2));
    bench.waits(after(0.0));
    bench.engine.flush(after(10.0));
    let attempt = bench.export(after(0.0));
    assert_eq!(attempt.batch.spans(), 2);
    // What comes later is not waited for.
    bench.offer(own(7));
    assert_eq!(bench.flushed(after(0.0)), None);
    attempt.answer(Outcome::Exported);
    let report = bench.flushed(after(0.1)).unwrap();
    assert!(report.is_complete(), "{report}");
    assert_eq!(report.lanes[0].account.buffered, 7);
}

#[test]
fn a_flush_of_nothing_ends_at_once() {
    let mut bench = Bench::plain();
    bench.engine.flush(after(10.0));
    assert!(bench.flushed(after(0.0)).unwrap().is_complete());
}

#[test]
fn a_flush_says_what_it_lost_and_what_it_left() {
    let mut bench = Bench::new(|pipeline, lane, _| {
        lane.max_spans = Some(1);
        pipeline
    });
    bench.offer(own(1));
    bench.offer(own(1));
    let lost = bench.export(after(0.0));
    let _left = bench.export(after(0.0));
    bench.engine.flush(after(10.0));
    lost.answer(Outcome::rejected("permission denied"));
    assert_eq!(bench.waits(after(0.0)), Some(after(10.0)));
    let report = bench.flushed(after(10.0)).unwrap();
    assert!(report.timed_out && !report.is_complete());
    assert_eq!((report.lost(), report.unsettled()), (1, 1));
    let failure = report.lanes[0].last_failure.as_deref();
    assert_eq!(failure, Some("permission denied"));
}

#[test]
fn a_close_exports_what_is_left_and_admits_no_more() {
    let mut bench = Bench::new(|pipeline, _, _| pipeline.stage(batcher(None)));
    bench.offer(own(2));
    bench.engine.close(after(10.0));
    let refused = bench.engine.offer(own(3)).unwrap_err();
    assert_eq!(refused.refusal(), Refusal::Closed);
    assert_eq!(refused.into_segment().spans(), 3);
    let attempt = bench.export(after(0.0));
    assert_eq!(attempt.reply.deadline(), Some(after(10.0)));
    attempt.answer(Outcome::Exported);
    let Step::Closed(report) = bench.engine.poll(after(0.0)) else {
        panic!("not closed")
    };
    assert!(report.is_complete());
    assert!(bench.engine.is_closed());
    assert_eq!(bench.waits(after(0.0)), None);
}

#[test]
fn what_a_close_leaves_is_counted() {
    let mut bench = Bench::new(|pipeline, _, exporter| {
        exporter.concurrency = 1;
        pipeline
    });
    bench.offer(own(2));
    let stuck = bench.export(after(0.0));
    bench.offer(own(3));
    bench.engine.close(after(1.0));
    assert_eq!(bench.waits(after(0.0)), Some(after(1.0)));
    let Step::Closed(report) = bench.engine.poll(after(1.0)) else {
        panic!("not closed")
    };
    assert!(report.timed_out);
    assert_eq!(report.lost(), 5);
    assert_eq!(bench.dropped(DropReason::ShutdownDeadline), 5);
    // An answer after the close settles nothing.
    assert!(stuck.reply.cancelled());
    stuck.answer(Outcome::Exported);
    bench.waits(after(2.0));
    let account = bench.account(LANE);
    assert_eq!((account.exported, account.late_replies), (0, 1));
}

struct Panics;

impl Processor for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    fn process(&mut self, segment: Segment, edit: &mut Edit<'_>) -> Result<(), Later> {
        assert!(segment.spans() != 13, "thirteen spans");
        edit.emit(segment);
        Ok(())
    }
}

#[cfg(feature = "std")]
#[test]
fn a_processor_that_panics_costs_its_segment() {
    let mut bench = Bench::new(|pipeline, _, _| pipeline.stage(boxed(Panics)));
    for count in [1, 13, 2] {
        bench.offer(own(count));
    }
    assert_eq!(bench.export(after(0.0)).batch.spans(), 3);
    assert_eq!(bench.dropped(DropReason::Panicked), 13);
}

#[test]
fn an_exporter_that_panics_costs_its_batch() {
    let mut bench = Bench::plain();
    bench.offer(own(4));
    let Attempt {
        ticket,
        batch,
        reply,
        ..
    } = bench.export(after(0.0));
    // Unwinding drops both; then whoever called says so.
    drop((batch, reply));
    assert!(bench.engine.complete(ticket, Outcome::Panicked, after(0.0)));
    assert_eq!(bench.dropped(DropReason::Panicked), 4);
    assert!(!bench.engine.complete(ticket, Outcome::Panicked, after(0.0)));
    bench.waits(after(0.0));
    assert_eq!(bench.dropped(DropReason::Unanswered), 0);
    assert_eq!(bench.account(LANE).late_replies, 1);
}

#[test]
fn an_engine_without_the_needful_is_not_built() {
    let limiter = MemoryLimiter::builder(32 << 20).build().unwrap();
    let error = |pipeline: PipelineSettings| {
        let mut builder = Engine::builder(&limiter);
        builder.exporter(ExporterSettings::default());
        builder.pipeline(pipeline);
        builder.build().err()
    };
    let lane = |index| lane_to(ExporterId::new(index));
    let new = PipelineSettings::new;
    assert_eq!(
        error(new(1).lane(lane(0))),
        Some(BuildError::NoDoor(PIPELINE))
    );
    assert_eq!(
        error(new(1).door(Door::Own)),
        Some(BuildError::NoLane(PIPELINE))
    );
    let no_log = new(0).door(Door::Own).lane(lane(0));
    assert_eq!(error(no_log), Some(BuildError::NoLog(PIPELINE)));
    let unknown = new(1).door(Door::Own).lane(lane(1));
    let expected = BuildError::UnknownExporter(ExporterId::new(1));
    assert_eq!(error(unknown), Some(expected));
}
