//! Several pipelines behind the same doors, which share receivers and exporters by name.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::engine::{LaneReport, Retry, Stage};
use crate::exporter::Exporter;

/// Makes an exporter, at the start and again in a forked child.
pub(super) type MakeExporter = Box<dyn Fn() -> Box<dyn Exporter> + Send + Sync>;

/// Makes a stage, at the start and again in a forked child.
pub(super) type MakeStage = Box<dyn Fn() -> Stage + Send + Sync>;

/// One of several pipelines in a [`Pipeline`](super::Pipeline): where its spans come from, the stages they pass, and the
/// exporters they go to. What the Collector lists under `service::pipelines`.
///
/// Branches share what they name: a [receiver](Self::receiver) feeds every branch that names it, and an
/// [exporter](super::PipelineBuilder::shared_exporter) takes from all of them, with one bound on what is in its hands.
/// Each branch has stages and a backlog of its own, so one whose exporters are stuck costs the others nothing.
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::pipeline::{Branch, Pipeline};
/// use spanwire_core::testing::InMemoryExporter;
///
/// let (store, copy) = (InMemoryExporter::new(), InMemoryExporter::new());
/// let (to_store, to_copy) = (store.clone(), copy.clone());
/// let pipeline = Pipeline::builder()
///     .neighbours(1 << 20)
///     .shared_exporter("store", move || to_store.clone())
///     .shared_exporter("copy", move || to_copy.clone())
///     .branch(Branch::new("own").own_spans().exporter("store"))
///     .branch(Branch::new("node").receiver("otlp").exporter("store").exporter("copy"))
///     .build()?;
///
/// pipeline.tracer("agent").start("sync").end();
/// let otlp = pipeline.receiver("otlp").expect("a branch names it");
/// otlp.offer(&[0x0a, 4, 0x12, 2, 0x12, 0]).expect("a well-formed request");
///
/// assert!(pipeline.shutdown(Duration::from_secs(5)).is_complete());
/// assert_eq!((store.span_count(), copy.span_count()), (2, 1));
/// # Ok::<(), spanwire_core::pipeline::InvalidPipeline>(())
/// ```
#[must_use = "a branch does nothing until a builder has it"]
pub struct Branch {
    name: String,
    own: bool,
    receivers: Vec<String>,
    stages: Vec<MakeStage>,
    exporters: Vec<String>,
    batch_spans: Option<usize>,
}

impl Branch {
    /// A branch of this name, which no other branch of the pipeline has. It names no source and no exporter yet, and
    /// needs one of each.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            own: false,
            receivers: Vec::new(),
            stages: Vec::new(),
            exporters: Vec::new(),
            batch_spans: None,
        }
    }

    /// Takes this program's own spans.
    pub fn own_spans(mut self) -> Self {
        self.own = true;
        self
    }

    /// Takes what is offered to the receiver of this name: see [`Pipeline::receiver`](super::Pipeline::receiver). A
    /// receiver exists because a branch names it, once or more often.
    pub fn receiver(mut self, name: &str) -> Self {
        if !self.receivers.iter().any(|known| known == name) {
            self.receivers.push(name.to_owned());
        }
        self
    }

    /// Adds a stage that spans pass before they reach the exporters of this branch, in the order of these calls. `make`
    /// is called when the pipeline is built, and again in a forked child that uses it.
    pub fn stage<S: Into<Stage>>(mut self, make: impl Fn() -> S + Send + Sync + 'static) -> Self {
        self.stages.push(Box::new(move || make().into()));
        self
    }

    /// Sends every span that leaves the last stage to the shared exporter of this name.
    pub fn exporter(mut self, name: &str) -> Self {
        if !self.exporters.iter().any(|known| known == name) {
            self.exporters.push(name.to_owned());
        }
        self
    }

    /// The most spans in a batch of this branch. Default: as
    /// [`PipelineBuilder::max_export_batch_size`](super::PipelineBuilder::max_export_batch_size) says.
    pub fn max_export_batch_size(mut self, spans: usize) -> Self {
        self.batch_spans = Some(spans);
        self
    }
}

/// How a [shared exporter](super::PipelineBuilder::shared_exporter_with) is tried, and how often. What is not said is as the
/// pipeline has it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[must_use = "settings do nothing by themselves"]
pub struct ExportPolicy {
    pub(super) retry: Option<Retry>,
    pub(super) timeout: Option<Option<Duration>>,
}

impl ExportPolicy {
    /// As the pipeline has it.
    pub const fn new() -> Self {
        Self {
            retry: None,
            timeout: None,
        }
    }

    /// How a batch that failed is tried again: see [`PipelineBuilder::retry`](super::PipelineBuilder::retry).
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// How long an export may take; zero: for ever. See
    /// [`PipelineBuilder::export_timeout`](super::PipelineBuilder::export_timeout).
    pub const fn export_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(if timeout.is_zero() {
            None
        } else {
            Some(timeout)
        });
        self
    }
}

impl fmt::Debug for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Branch")
            .field("name", &self.name)
            .field("own_spans", &self.own)
            .field("receivers", &self.receivers)
            .field("stages", &self.stages.len())
            .field("exporters", &self.exporters)
            .field("max_export_batch_size", &self.batch_spans)
            .finish()
    }
}

/// Why a branch can't be built. Names the branch, or the name at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidBranch {
    /// Two branches, or two shared exporters, have this name.
    NameTaken {
        /// The name.
        name: String,
    },
    /// The branch takes neither this program's own spans nor those of a receiver.
    NoSource {
        /// The branch.
        branch: String,
    },
    /// The branch leads to no exporter.
    NoExporter {
        /// The branch.
        branch: String,
    },
    /// The branch names an exporter that there is none of.
    UnknownExporter {
        /// The branch.
        branch: String,
        /// The exporter it names.
        exporter: String,
    },
    /// No branch takes this program's own spans.
    OwnSpansUnclaimed,
}

impl fmt::Display for InvalidBranch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTaken { name } => write!(f, "the name '{name}' is taken"),
            Self::NoSource { branch } => {
                write!(
                    f,
                    "'{branch}' takes neither own spans nor those of a receiver"
                )
            }
            Self::NoExporter { branch } => write!(f, "'{branch}' leads to no exporter"),
            Self::UnknownExporter { branch, exporter } => {
                write!(f, "'{branch}' leads to '{exporter}', which does not exist")
            }
            Self::OwnSpansUnclaimed => f.write_str("none takes this program's own spans"),
        }
    }
}

impl core::error::Error for InvalidBranch {}

/// What the calls of a builder add up to: branches and exporters, by position.
#[derive(Default)]
pub(super) struct Chart {
    pub(super) branches: Vec<Charted>,
    pub(super) exporters: Vec<Outlet>,
    /// The names of receivers.
    pub(super) receivers: Vec<String>,
}

/// One exporter.
pub(super) struct Outlet {
    pub(super) name: String,
    pub(super) policy: ExportPolicy,
    pub(super) make: MakeExporter,
}

/// One branch of a chart.
pub(super) struct Charted {
    name: String,
    pub(super) own: bool,
    /// Takes from the intake without a name, beside these receivers.
    pub(super) neighbours: bool,
    pub(super) receivers: Vec<usize>,
    pub(super) stages: Vec<MakeStage>,
    pub(super) exporters: Vec<usize>,
    pub(super) batch_spans: Option<usize>,
}

impl Charted {
    /// Whether spans of neighbours come here through this receiver, or through the intake without a name.
    pub(super) fn takes_from(&self, receiver: Option<usize>) -> bool {
        match receiver {
            Some(receiver) => self.receivers.contains(&receiver),
            None => self.neighbours,
        }
    }
}

/// What a builder was told, before it is put together.
#[derive(Default)]
pub(super) struct Draft {
    /// Of the branch that the builder's own stages and exporters make.
    pub(super) stages: Vec<MakeStage>,
    pub(super) exporters: Vec<MakeExporter>,
    pub(super) shared: Vec<Outlet>,
    pub(super) branches: Vec<Branch>,
}

impl Draft {
    /// Whether there is nowhere for a span to go.
    pub(super) fn is_empty(&self) -> bool {
        self.exporters.is_empty() && (self.branches.is_empty() || !self.stages.is_empty())
    }

    /// Puts names together. An exporter that no branch leads to is left out.
    pub(super) fn chart(self) -> Result<Chart, InvalidBranch> {
        for (index, Outlet { name, .. }) in self.shared.iter().enumerate() {
            let mut before = self.shared.iter().take(index);
            if before.any(|known| known.name == *name) {
                return Err(InvalidBranch::NameTaken { name: name.clone() });
            }
        }
        let mut chart = Chart::default();
        for (number, make) in self.exporters.into_iter().enumerate() {
            chart.exporters.push(Outlet {
                name: number.to_string(),
                policy: ExportPolicy::new(),
                make,
            });
        }
        if !chart.exporters.is_empty() {
            chart.branches.push(Charted {
                name: String::new(),
                own: true,
                neighbours: true,
                receivers: Vec::new(),
                stages: self.stages,
                exporters: (0..chart.exporters.len()).collect(),
                batch_spans: None,
            });
        }
        let mut shared: Vec<_> = self
            .shared
            .into_iter()
            .map(|outlet| (outlet.name.clone(), Some(outlet), None))
            .collect();
        for branch in self.branches {
            let Branch {
                name,
                own,
                receivers,
                stages,
                exporters,
                batch_spans,
            } = branch;
            if name.is_empty() || chart.branches.iter().any(|known| known.name == name) {
                return Err(InvalidBranch::NameTaken { name });
            }
            if !own && receivers.is_empty() {
                return Err(InvalidBranch::NoSource { branch: name });
            }
            if exporters.is_empty() {
                return Err(InvalidBranch::NoExporter { branch: name });
            }
            let mut led_to = Vec::new();
            for exporter in exporters {
                let known = shared.iter_mut().find(|(known, ..)| *known == exporter);
                let Some((_, outlet, position)) = known else {
                    return Err(InvalidBranch::UnknownExporter {
                        branch: name,
                        exporter,
                    });
                };
                if let Some(outlet) = outlet.take() {
                    *position = Some(chart.exporters.len());
                    chart.exporters.push(outlet);
                }
                led_to.extend(*position);
            }
            let mut fed_by = Vec::new();
            for receiver in receivers {
                let known = chart.receivers.iter().position(|known| *known == receiver);
                fed_by.push(known.unwrap_or(chart.receivers.len()));
                if known.is_none() {
                    chart.receivers.push(receiver);
                }
            }
            chart.branches.push(Charted {
                name,
                own,
                neighbours: !fed_by.is_empty(),
                receivers: fed_by,
                stages,
                exporters: led_to,
                batch_spans,
            });
        }
        if !chart.branches.iter().any(|branch| branch.own) {
            return Err(InvalidBranch::OwnSpansUnclaimed);
        }
        Ok(chart)
    }
}

/// What the branches and exporters of a pipeline are called.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    branches: Vec<String>,
    exporters: Vec<String>,
}

impl Names {
    pub(super) fn of(chart: &Chart) -> Self {
        let branches = chart.branches.iter().map(|branch| branch.name.clone());
        let exporters = chart.exporters.iter().map(|outlet| outlet.name.clone());
        Self {
            branches: branches.collect(),
            exporters: exporters.collect(),
        }
    }

    pub(super) fn branch(&self, lane: &LaneReport) -> &str {
        let name = self.branches.get(lane.pipeline.index());
        name.map_or("", String::as_str)
    }

    pub(super) fn exporter(&self, lane: &LaneReport) -> &str {
        let name = self.exporters.get(lane.exporter.index());
        name.map_or("", String::as_str)
    }
}
