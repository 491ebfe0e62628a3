//! The engine by example: one claim a test, seconds as numbers.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::batch::{BatchLimits, Batcher, Head};
use crate::stats::DropReason;

mod flow;
mod overload;
mod retrying;

/// The bytes of the body of one of [`spans`].
const SPAN: usize = 100;

fn at(seconds: f64) -> Moment {
    Moment::from_nanos((seconds * 1e9) as u64)
}

fn after(seconds: f64) -> Moment {
    at(1000.0 + seconds)
}

/// A segment of this many spans of 100 bytes, ended at second 1000.
fn spans(count: usize, door: Door) -> Segment {
    let mut scope = Vec::new();
    for _ in 0..count {
        scope.extend([0x12, 96, 0x2a, 94]);
        scope.extend([b'x'; 94]);
    }
    let mut body = vec![0x12];
    let mut len = scope.len();
    while len >= 128 {
        body.push(len as u8 | 128);
        len >>= 7;
    }
    body.push(len as u8);
    body.extend(scope);
    let head = Head::new([0x1a, 1, b'u'].as_slice().into());
    Segment::new(head, body.into(), count, after(0.0), door)
}

fn own(count: usize) -> Segment {
    spans(count, Door::Own)
}

/// An attempt in the exporter's hands.
struct Attempt {
    lane: LaneId,
    ticket: Ticket,
    batch: Batch,
    reply: Reply,
}

impl Attempt {
    fn answer(self, outcome: Outcome) {
        drop(self.batch);
        self.reply.done(outcome);
    }
}

struct Bench {
    engine: Engine,
}

const LANE: LaneId = LaneId::new(0);
const PIPELINE: PipelineId = PipelineId::new(0);

/// Settings without jitter.
fn steady() -> Retry {
    Retry {
        jitter_percent: 0,
        ..Retry::default()
    }
}

/// A lane that waits for no company: most claims are about one segment after the other.
fn lane_to(exporter: ExporterId) -> LaneSettings {
    LaneSettings {
        linger: Duration::ZERO,
        ..LaneSettings::new(exporter)
    }
}

impl Bench {
    /// One pipeline to one exporter, without stages.
    fn new(
        change: impl FnOnce(
            PipelineSettings,
            &mut LaneSettings,
            &mut ExporterSettings,
        ) -> PipelineSettings,
    ) -> Self {
        let mut exporter = ExporterSettings {
            concurrency: 4,
            ..ExporterSettings::default()
        };
        let mut lane = LaneSettings {
            retry: steady(),
            ..lane_to(ExporterId::new(0))
        };
        let pipeline = PipelineSettings::new(1 << 20).door(Door::Own);
        let pipeline = change(pipeline, &mut lane, &mut exporter).lane(lane);
        Self::of(&[exporter], [pipeline])
    }

    fn of(
        exporters: &[ExporterSettings],
        pipelines: impl IntoIterator<Item = PipelineSettings>,
    ) -> Self {
        let limiter = MemoryLimiter::builder(32 << 20).build().unwrap();
        let mut builder = Engine::builder(&limiter);
        for exporter in exporters {
            builder.exporter(*exporter);
        }
        for pipeline in pipelines {
            builder.pipeline(pipeline);
        }
        Self {
            engine: builder.build().unwrap(),
        }
    }

    fn plain() -> Self {
        Self::new(|pipeline, _, _| pipeline)
    }

    fn offer(&mut self, segment: Segment) {
        self.engine.offer(segment).unwrap();
    }

    /// The next attempt; panics if there is none.
    fn export(&mut self, now: Moment) -> Attempt {
        self.exports(now).expect("an attempt")
    }

    fn exports(&mut self, now: Moment) -> Option<Attempt> {
        match self.engine.poll(now) {
            Step::Export {
                lane,
                ticket,
                batch,
                reply,
                ..
            } => Some(Attempt {
                lane,
                ticket,
                batch,
                reply,
            }),
            Step::Wait(_) => None,
            step => panic!("{step:?}"),
        }
    }

    /// Until when there is nothing to do.
    fn waits(&mut self, now: Moment) -> Option<Moment> {
        match self.engine.poll(now) {
            Step::Wait(until) => until,
            step => panic!("{step:?}"),
        }
    }

    fn flushed(&mut self, now: Moment) -> Option<Report> {
        match self.engine.poll(now) {
            Step::Flushed { report, .. } => Some(report),
            Step::Wait(_) => None,
            step => panic!("{step:?}"),
        }
    }

    fn account(&self, lane: LaneId) -> LaneAccount {
        let account = self.engine.account(lane).unwrap();
        assert!(account.balances(), "{account:?}");
        account
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.account(LANE).dropped.get(reason)
    }
}

fn batcher(spans: Option<usize>) -> Batcher {
    Batcher::new(BatchLimits {
        spans,
        ..BatchLimits::default()
    })
}

fn busy() -> Outcome {
    Outcome::retry("busy")
}

fn boxed(processor: impl crate::processor::Processor + 'static) -> Stage {
    Stage::from(Box::new(processor) as Box<dyn crate::processor::Processor>)
}
