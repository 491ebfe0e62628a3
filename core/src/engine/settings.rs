//! What an engine is made of: exporters, pipelines, lanes.

use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;
use core::time::Duration;

use super::Engine;
use super::chain::Stage;
use super::report::{ExporterId, PipelineId};
use super::retry::Retry;
use crate::exporter::Exporter;
use crate::limiter::{Door, MemoryLimiter};

/// What the engine knows of an exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExporterSettings {
    /// The most batches in its hands at once, over all lanes that lead to it; 0 counts as 1.
    pub concurrency: usize,
    /// How long an attempt may take before its reply is cancelled. `None`: for ever. Default: 30 s (OpenTelemetry
    /// environment variable specification, `OTEL_BSP_EXPORT_TIMEOUT`).
    pub timeout: Option<Duration>,
}

impl ExporterSettings {
    /// The settings an exporter asks for.
    #[must_use]
    pub fn of(exporter: &(impl Exporter + ?Sized)) -> Self {
        Self {
            concurrency: exporter.concurrency().max(1),
            ..Self::default()
        }
    }
}

impl Default for ExporterSettings {
    fn default() -> Self {
        Self {
            concurrency: 1,
            timeout: Some(Duration::from_secs(30)),
        }
    }
}

/// What a lane cuts from the log, and how often it tries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaneSettings {
    /// Where its batches go.
    pub exporter: ExporterId,
    /// The most encoded bytes in a batch. Default: 3.5 MiB, under the 4 MiB that many servers take. One span may be
    /// larger than that; a lane that learns that its server takes less cuts less.
    pub max_bytes: usize,
    /// The most spans in a batch; 0 counts as 1. Default: no limit of its own, so that a lane with a backlog fills its
    /// batches up to `max_bytes`.
    pub max_spans: Option<usize>,
    /// How long spans wait for company. Default: 400 ms from the end of the first of them.
    ///
    /// A lane waits until what it has is worth a request: as many spans as a batch may have, or seven eighths of the bytes that
    /// it may cut or have in flight, with room in flight for half of that. What came in through [`Door::Neighbours`] waits only
    /// while the exporter has a batch of this lane in its hands, as Nagle's algorithm does (RFC 896). A flush, a close, and a
    /// log that is half full end the wait. Zero: it never waits.
    pub linger: Duration,
    /// Whether and how often a batch is sent again.
    pub retry: Retry,
}

impl LaneSettings {
    /// A lane to `exporter` with the defaults.
    #[must_use]
    pub fn new(exporter: ExporterId) -> Self {
        Self {
            exporter,
            max_bytes: 3_670_016,
            max_spans: None,
            linger: Duration::from_millis(400),
            retry: Retry::default(),
        }
    }
}

/// What a pipeline gives up when its log is full and every lane lags.
///
/// As long as one lane has come further than the others, the others skip their oldest entries instead
/// ([`LaneLag`](crate::stats::DropReason::LaneLag)): a lane that is stuck costs one that is not nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Overload {
    /// The newest: [`Engine::offer`] hands the segment back.
    #[default]
    DropNewest,
    /// The oldest, so that the log holds what happened last: a flight recorder. Counted as
    /// [`Overwritten`](crate::stats::DropReason::Overwritten).
    DropOldest,
}

/// One pipeline: doors, log, stages in order, lanes.
pub struct PipelineSettings {
    pub(super) log_bytes: usize,
    pub(super) neighbours: Option<usize>,
    pub(super) own_charge: usize,
    pub(super) overload: Overload,
    pub(super) doors: [bool; 2],
    pub(super) stages: Vec<Stage>,
    pub(super) lanes: Vec<LaneSettings>,
}

impl PipelineSettings {
    /// A pipeline whose log keeps at most this many bytes, what is in flight or waits to be sent again included. It has
    /// no door, no stage and no lane yet.
    #[must_use]
    pub fn new(log_bytes: usize) -> Self {
        Self {
            log_bytes,
            neighbours: None,
            own_charge: 0,
            overload: Overload::default(),
            doors: [false; 2],
            stages: Vec::new(),
            lanes: Vec::new(),
        }
    }

    /// Takes the segments that come in through `door`.
    #[must_use]
    pub fn door(mut self, door: Door) -> Self {
        self.doors[door_index(door)] = true;
        self
    }

    /// Sets this part of the log apart for [`Door::Neighbours`]; the rest is for [`Door::Own`]. Default: the doors share
    /// the log, and neighbours are refused while they fill half of it.
    ///
    /// With as many bytes as the neighbours' share of the memory, what that share has granted is never refused here. A
    /// lane that lags behind another keeps at most half of them.
    #[must_use]
    pub fn neighbours(mut self, bytes: usize) -> Self {
        self.neighbours = Some(bytes);
        self
    }

    /// The bytes of memory that a segment from [`Door::Own`] keeps at least, however little is in it: the size of a
    /// block of the ring.
    #[must_use]
    pub fn own_charge(mut self, bytes: usize) -> Self {
        self.own_charge = bytes;
        self
    }

    /// What is given up when every lane lags.
    #[must_use]
    pub fn overload(mut self, overload: Overload) -> Self {
        self.overload = overload;
        self
    }

    /// Adds a stage after those already there: a processor, or a batcher.
    #[must_use]
    pub fn stage(mut self, stage: impl Into<Stage>) -> Self {
        self.stages.push(stage.into());
        self
    }

    /// Adds a lane. Every lane exports every span that leaves the last stage.
    #[must_use]
    pub fn lane(mut self, lane: LaneSettings) -> Self {
        self.lanes.push(lane);
        self
    }
}

impl fmt::Debug for PipelineSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineSettings")
            .field("log_bytes", &self.log_bytes)
            .field("neighbours", &self.neighbours)
            .field("own_charge", &self.own_charge)
            .field("overload", &self.overload)
            .field("doors", &self.doors)
            .field("stages", &self.stages)
            .field("lanes", &self.lanes)
            .finish()
    }
}

/// Makes an [`Engine`].
#[derive(Debug)]
pub struct EngineBuilder {
    pub(super) seed: u64,
    pub(super) waker: Waker,
    pub(super) limiter: MemoryLimiter,
    pub(super) exporters: Vec<ExporterSettings>,
    pub(super) pipelines: Vec<PipelineSettings>,
}

impl EngineBuilder {
    pub(super) fn new(limiter: MemoryLimiter) -> Self {
        Self {
            seed: 0,
            waker: Waker::noop().clone(),
            limiter,
            exporters: Vec::new(),
            pipelines: Vec::new(),
        }
    }

    /// What the jitter of retries is drawn from. The same seed and the same calls give the same steps; neighbours
    /// should not share one.
    pub fn seed(&mut self, seed: u64) -> &mut Self {
        self.seed = seed;
        self
    }

    /// Woken, from any thread, when a reply is answered and when a batch or a reply is let go: time to
    /// [`poll`](Engine::poll).
    pub fn waker(&mut self, waker: Waker) -> &mut Self {
        self.waker = waker;
        self
    }

    /// Adds an exporter.
    pub fn exporter(&mut self, settings: ExporterSettings) -> ExporterId {
        self.exporters.push(settings);
        ExporterId::new(self.exporters.len() - 1)
    }

    /// Adds a pipeline.
    pub fn pipeline(&mut self, settings: PipelineSettings) -> PipelineId {
        self.pipelines.push(settings);
        PipelineId::new(self.pipelines.len() - 1)
    }

    /// Builds the engine.
    ///
    /// # Errors
    ///
    /// [`BuildError`] says which part is missing.
    pub fn build(self) -> Result<Engine, BuildError> {
        for (index, pipeline) in self.pipelines.iter().enumerate() {
            let id = PipelineId::new(index);
            if !pipeline.doors.contains(&true) {
                return Err(BuildError::NoDoor(id));
            }
            if pipeline.lanes.is_empty() {
                return Err(BuildError::NoLane(id));
            }
            if pipeline.log_bytes == 0 {
                return Err(BuildError::NoLog(id));
            }
            for lane in &pipeline.lanes {
                if lane.exporter.index() >= self.exporters.len() {
                    return Err(BuildError::UnknownExporter(lane.exporter));
                }
            }
        }
        Ok(Engine::from_parts(self))
    }
}

/// What is missing to build an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The pipeline has no door.
    NoDoor(PipelineId),
    /// The pipeline has no lane.
    NoLane(PipelineId),
    /// The log of the pipeline holds no byte.
    NoLog(PipelineId),
    /// A lane leads to an exporter that another builder made.
    UnknownExporter(ExporterId),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDoor(id) => write!(f, "pipeline {id} has no door"),
            Self::NoLane(id) => write!(f, "pipeline {id} has no lane"),
            Self::NoLog(id) => write!(f, "the log of pipeline {id} holds no byte"),
            Self::UnknownExporter(id) => {
                write!(f, "a lane leads to exporter {id}, which does not exist")
            }
        }
    }
}

impl core::error::Error for BuildError {}

/// Where the numbers of a door stand in a pair.
pub(super) const fn door_index(door: Door) -> usize {
    match door {
        Door::Own => 0,
        Door::Neighbours => 1,
    }
}
