//! What became of every span.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::IntakeAccount;
use super::branch::Names;
use crate::engine::LaneReport;
use crate::limiter::Usage;
use crate::recorder::RecorderAccount;

/// How a flush or a shutdown ended: the account of every span, at the doors and on every lane.
///
/// The accounts hold every span since the pipeline began; [`is_complete`](Self::is_complete) is about what was lost since
/// the report before. Where a call gets no answer by its deadline, the next report tells of what was lost meanwhile.
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::exporter::Outcome;
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_core::testing::InMemoryExporter;
///
/// let kept = InMemoryExporter::new();
/// kept.answer_next(Outcome::rejected("no such tenant"));
/// let pipeline = Pipeline::builder().exporter(move || kept.clone()).build()?;
/// pipeline.tracer("test").start("span").end();
///
/// let report = pipeline.shutdown(Duration::from_secs(5));
/// assert!(!report.is_complete());
/// assert_eq!((report.lost(), report.own().admitted), (1, 1));
/// assert!(report.to_string().contains("1 lost"));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a report says whether spans were lost"]
pub struct Report {
    pub(super) own: RecorderAccount,
    pub(super) neighbours: IntakeAccount,
    pub(super) lanes: Vec<LaneReport>,
    pub(super) lost: u64,
    pub(super) stranded: u64,
    pub(super) timed_out: bool,
    pub(super) names: Arc<Names>,
}

impl Report {
    /// The report of a pipeline that does not run in this process.
    pub(super) fn nothing() -> Self {
        Self::default()
    }

    /// Whether every span that had ended before the call was exported, or filtered as asked, and none was lost since
    /// the report before.
    ///
    /// Never so without a word from the pipeline's thread.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.timed_out && self.lost == 0 && self.unsettled() == 0 && !self.lanes.is_empty()
    }

    /// Spans lost since the report before, at the doors and on the lanes; of the last report: since the report before
    /// the first call for the end.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Spans that were not settled at the deadline, summed over the lanes.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.unsettled).sum()
    }

    /// Of this program's lost spans, those that had been admitted to the ring when the pipeline ended, and had no time
    /// to come to a lane: `own.admitted = stranded + admitted by a lane` that takes them, neighbours apart.
    #[must_use]
    pub fn stranded(&self) -> u64 {
        self.stranded
    }

    /// Whether the deadline came before everything was settled.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.timed_out
    }

    /// This program's own spans.
    #[must_use]
    pub fn own(&self) -> &RecorderAccount {
        &self.own
    }

    /// The spans of neighbours.
    #[must_use]
    pub fn neighbours(&self) -> &IntakeAccount {
        &self.neighbours
    }

    /// Every lane; none where the pipeline's thread did not answer.
    #[must_use]
    pub fn lanes(&self) -> &[LaneReport] {
        &self.lanes
    }

    /// The name of the [branch](super::Branch) that one of these lanes belongs to; empty where the builder's own stages
    /// and exporters made it.
    #[must_use]
    pub fn branch_of(&self, lane: &LaneReport) -> &str {
        self.names.branch(lane)
    }

    /// The name of the exporter that one of these lanes leads to; its number, from 0, where it has no name.
    #[must_use]
    pub fn exporter_of(&self, lane: &LaneReport) -> &str {
        self.names.exporter(lane)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exported: u64 = self.lanes.iter().map(|lane| lane.account.exported).sum();
        write!(f, "{} spans started, {exported} exported", self.own.started)?;
        if self.lost > 0 {
            write!(f, ", {} lost", self.lost)?;
        }
        if self.unsettled() > 0 {
            write!(f, ", {} not settled", self.unsettled())?;
        }
        if self.timed_out {
            f.write_str(", out of time")?;
        }
        for lane in &self.lanes {
            if let Some(failure) = &lane.last_failure {
                write!(f, "; exporter {}", self.exporter_of(lane))?;
                let branch = self.branch_of(lane);
                if !branch.is_empty() {
                    write!(f, " of {branch}")?;
                }
                write!(f, ": {failure}")?;
            }
        }
        Ok(())
    }
}

/// How a pipeline stands. Made by [`Pipeline::stats`](super::Pipeline::stats).
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_core::testing::InMemoryExporter;
///
/// let pipeline = Pipeline::builder().exporter(InMemoryExporter::new).build()?;
/// let tracer = pipeline.tracer("test");
/// let span = tracer.start("span");
/// assert_eq!(pipeline.stats().own.live(), 1);
/// span.end();
/// assert_eq!(pipeline.stats().own.admitted, 1);
/// # pipeline.shutdown(Duration::from_secs(5));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// This program's own spans.
    pub own: RecorderAccount,
    /// The spans of neighbours.
    pub neighbours: IntakeAccount,
    /// Every lane; none where the pipeline's thread did not answer.
    pub lanes: Vec<LaneReport>,
    /// The memory in use; `None` where the pipeline does not run in this process.
    pub memory: Option<Usage>,
    /// How often the pipeline's thread woke from sleep.
    pub wakes: u64,
}
