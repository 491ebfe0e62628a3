//! What gives way when a log is full.

use alloc::sync::Arc;

use super::*;

/// The bytes that a segment of one span counts.
const CHARGE: usize = SPAN + 256;

fn full(overload: Overload, lanes: usize) -> Bench {
    let mut pipeline = PipelineSettings::new(10 * CHARGE)
        .door(Door::Own)
        .overload(overload);
    for lane in 0..lanes {
        pipeline = pipeline.lane(LaneSettings {
            max_spans: Some(1),
            ..lane_to(ExporterId::new(lane))
        });
    }
    Bench::of(&vec![ExporterSettings::default(); lanes], [pipeline])
}

#[test]
fn a_full_log_hands_the_newest_back() {
    let mut bench = full(Overload::DropNewest, 1);
    let mut admitted = 0;
    let refused = loop {
        match bench.engine.offer(own(1)) {
            Ok(()) => admitted += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(admitted, 10);
    assert!(refused.is_retryable());
    assert_eq!(refused.into_segment().spans(), 1);
    assert_eq!(bench.account(LANE).admitted, admitted as u64);
    // Room comes with the first batch that is gone.
    bench.export(after(0.0)).answer(Outcome::Exported);
    let next = bench.export(after(0.0));
    bench.offer(own(1));
    drop(next);
}

#[test]
fn a_flight_recorder_lets_the_oldest_go() {
    let mut bench = full(Overload::DropOldest, 1);
    for _ in 0..100 {
        bench.offer(own(1));
    }
    let account = bench.account(LANE);
    assert_eq!(account.admitted, 100);
    let kept = account.buffered;
    assert_eq!(kept, 10);
    assert_eq!(bench.dropped(DropReason::Overwritten), 100 - kept);
}

#[test]
fn what_is_in_flight_is_never_taken() {
    let mut bench = full(Overload::DropOldest, 1);
    bench.offer(own(2));
    let attempt = bench.export(after(0.0));
    for _ in 0..100 {
        bench.offer(own(1));
    }
    bench.waits(after(0.0));
    attempt.answer(Outcome::Exported);
    bench.exports(after(0.0));
    assert!(bench.account(LANE).exported >= 1);
}

#[test]
fn a_segment_larger_than_the_log_is_refused_for_good() {
    let mut bench = full(Overload::DropOldest, 1);
    let refused = bench.engine.offer(own(100)).unwrap_err();
    assert_eq!(refused.refusal(), Refusal::TooLarge);
    assert!(!refused.is_retryable());
    let refused = bench.engine.offer(spans(1, Door::Neighbours)).unwrap_err();
    assert_eq!(refused.refusal(), Refusal::NoPipeline);
}

#[test]
fn a_lane_that_is_stuck_costs_a_live_one_nothing() {
    // Scenario: lane 1's exporter never answers; 1000 spans go through a log of nine.
    // Guarantees: all of them arrive by lane 0, in order, none is refused; lane 1 counts its own loss as lag.
    for overload in [Overload::DropNewest, Overload::DropOldest] {
        let mut bench = full(overload, 2);
        let mut stuck = Vec::new();
        for _ in 0..1000 {
            bench.offer(own(1));
            while let Some(attempt) = bench.exports(after(0.0)) {
                if attempt.lane == LANE {
                    attempt.answer(Outcome::Exported);
                } else {
                    stuck.push(attempt);
                }
            }
        }
        assert_eq!(bench.account(LANE).exported, 1000);
        let other = bench.account(LaneId::new(1));
        assert_eq!(other.in_flight, 1);
        assert_eq!(other.dropped.get(DropReason::LaneLag), 999 - other.buffered);
        assert!(other.buffered >= 7, "{}", other.buffered);
    }
}

#[test]
fn a_stuck_pipeline_costs_a_live_one_nothing() {
    let pipeline = |exporter| {
        PipelineSettings::new(10 * CHARGE)
            .door(Door::Own)
            .lane(lane_to(ExporterId::new(exporter)))
    };
    let mut bench = Bench::of(
        &[ExporterSettings::default(); 2],
        [pipeline(0), pipeline(1)],
    );
    let mut stuck = Vec::new();
    for _ in 0..1000 {
        bench.offer(own(1));
        while let Some(attempt) = bench.exports(after(0.0)) {
            if attempt.lane == LANE {
                attempt.answer(Outcome::Exported);
            } else {
                stuck.push(attempt);
            }
        }
    }
    assert_eq!(bench.account(LANE).exported, 1000);
    let other = bench.account(LaneId::new(1));
    assert_eq!(other.admitted, 1000);
    assert!(other.dropped.get(DropReason::LaneLag) > 900);
}

#[test]
fn in_flight_and_retrying_stay_within_a_quarter_of_the_log() {
    let mut bench = Bench::new(|_, lane, exporter| {
        exporter.concurrency = 1000;
        lane.max_spans = Some(1);
        PipelineSettings::new(100 * CHARGE).door(Door::Own)
    });
    while bench.engine.offer(own(1)).is_ok() {}
    let mut started = 0;
    while let Some(attempt) = bench.exports(after(0.0)) {
        started += 1;
        attempt.answer(busy());
        assert!(started < 100);
    }
    assert_eq!(started, 25);
    assert_eq!(bench.account(LANE).retrying, 25);
}

#[test]
fn neighbours_have_half_the_log() {
    let mut bench = Bench::new(|_, _, _| {
        PipelineSettings::new(100 * CHARGE)
            .door(Door::Own)
            .door(Door::Neighbours)
    });
    let mut admitted = 0;
    while bench.engine.offer(spans(1, Door::Neighbours)).is_ok() {
        admitted += 1;
    }
    assert!((45..=50).contains(&admitted), "{admitted}");
    bench.offer(own(1));
}

#[test]
fn a_block_counts_whole() {
    let mut bench = Bench::new(|_, _, _| {
        PipelineSettings::new(4 * (4096 + 256))
            .door(Door::Own)
            .own_charge(4096)
    });
    for _ in 0..4 {
        bench.offer(own(1));
    }
    assert!(bench.engine.offer(own(1)).is_err());
    assert_eq!(bench.engine.bytes(PIPELINE), 4 * (4096 + 256));
}

#[test]
fn what_is_set_apart_for_neighbours_is_theirs_and_no_more_than_that() {
    let mut bench = Bench::new(|_, _, _| {
        PipelineSettings::new(100 * CHARGE)
            .door(Door::Own)
            .door(Door::Neighbours)
            .neighbours(30 * CHARGE)
    });
    let fill = |bench: &mut Bench, door| {
        let offers = iter::repeat_with(|| bench.engine.offer(spans(1, door)).is_ok());
        offers.take_while(|admitted| *admitted).count()
    };
    assert_eq!(fill(&mut bench, Door::Own), 70);
    assert_eq!(fill(&mut bench, Door::Neighbours), 30);
    assert_eq!(bench.engine.bytes(PIPELINE), 100 * CHARGE);
    // A quarter of either part is in flight at most.
    let attempt = bench.export(after(0.0));
    let (mut own, mut neighbours) = (0, 0);
    for segment in attempt.batch.segments() {
        match segment.door() {
            Door::Own => own += 1,
            Door::Neighbours => neighbours += 1,
        }
    }
    assert!(own <= 17 && neighbours <= 7, "{own} {neighbours}");
    drop(attempt);
}

/// Offers 1000 spans of neighbours, whose memory is 20 spans', to a live lane and a stuck one. Returns both accounts.
fn neighbours_beside_a_black_hole(pipelines: Vec<PipelineSettings>) -> [LaneAccount; 2] {
    let mut bench = Bench::of(&[ExporterSettings::default(); 2], pipelines);
    let memory = Arc::new(());
    let mut stuck = Vec::new();
    for _ in 0..1000 {
        // What the limiter would say: whoever keeps a span keeps its memory.
        assert!(Arc::strong_count(&memory) <= 20, "the door would be shut");
        let kept = spans(1, Door::Neighbours);
        let body = kept.body_parts().next().unwrap().clone();
        let body = Kept(body, memory.clone());
        let body = bytes::Bytes::from_owner(body);
        let head = kept.head().clone();
        bench.offer(Segment::new(head, body, 1, after(0.0), Door::Neighbours));
        while let Some(attempt) = bench.exports(after(0.0)) {
            if attempt.lane == LANE {
                attempt.answer(Outcome::Exported);
            } else {
                stuck.push(attempt);
            }
        }
    }
    [LANE, LaneId::new(1)].map(|lane| bench.account(lane))
}

struct Kept(
    bytes::Bytes,
    #[expect(dead_code, reason = "it is counted")] Arc<()>,
);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[test]
fn a_black_hole_does_not_shut_the_door_to_neighbours() {
    let pipeline = || {
        PipelineSettings::new(100 * CHARGE)
            .door(Door::Own)
            .door(Door::Neighbours)
            .neighbours(20 * CHARGE)
    };
    let lane = |exporter| lane_to(ExporterId::new(exporter));
    let one = vec![pipeline().lane(lane(0)).lane(lane(1))];
    let two = vec![pipeline().lane(lane(0)), pipeline().lane(lane(1))];
    for pipelines in [one, two] {
        let [live, stuck] = neighbours_beside_a_black_hole(pipelines);
        assert_eq!(live.exported, 1000, "{live:?}");
        assert!(stuck.dropped.get(DropReason::LaneLag) > 900, "{stuck:?}");
        assert!(stuck.buffered + stuck.in_flight > 0, "{stuck:?}");
    }
}

#[test]
fn what_came_through_a_receiver_goes_to_the_pipelines_behind_it() {
    let pipeline = || {
        PipelineSettings::new(100 * CHARGE)
            .door(Door::Own)
            .door(Door::Neighbours)
            .lane(lane_to(ExporterId::new(0)))
    };
    let mut bench = Bench::of(
        &[ExporterSettings::default()],
        [pipeline(), pipeline(), pipeline()],
    );
    let [first, _, third] = [0, 1, 2].map(PipelineId::new);
    let segment = spans(3, Door::Neighbours);
    bench
        .engine
        .offer_to(&[first, third], segment.clone())
        .unwrap();
    let admitted = [0, 1, 2].map(|id| bench.engine.admitted(PipelineId::new(id), Door::Neighbours));
    assert_eq!(admitted, [3, 0, 3]);
    let refused = bench.engine.offer_to(&[], segment).unwrap_err();
    assert_eq!(refused.refusal(), Refusal::NoPipeline);
}
