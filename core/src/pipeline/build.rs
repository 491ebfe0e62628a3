//! Settings of a pipeline, validated.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;
use core::time::Duration;
use std::sync::OnceLock;

use super::Pipeline;
use super::branch::{Branch, Chart, Draft, ExportPolicy, InvalidBranch, Names, Outlet};
use super::intake::Arrivals;
use super::life::{Life, Lives, Organs, Routes};
use super::onlooker::{MakeObserver, Onlookers};
use super::report::Stats;
use crate::batch::Head;
use crate::clock::{Clock, Moment, Timestamp};
use crate::current;
use crate::engine::{
    Engine, ExporterSettings, LaneSettings, Overload, PipelineId, PipelineSettings, Retry, Stage,
};
use crate::exporter::{Exporter, Provisions};
use crate::limiter::{BudgetError, Door, MemoryLimiter};
use crate::random::{IdGenerator, ThreadIds};
use crate::recorder::{InvalidMemory, Recorder, SpanLimits};
use crate::resource::{Resource, SchemaConflict, detect};
use crate::sampler::{AlwaysOn, InvalidRate, ParentBased, PerMillion, Sampler};
use crate::worker::{self, Bell, Onlooker, Parts};

/// The least memory of a pipeline in bytes.
const LEAST_MEMORY: usize = 1 << 20;

/// Builds a [`Pipeline`]. Names and defaults are those of the OpenTelemetry specification where it has them.
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_core::testing::InMemoryExporter;
///
/// let kept = InMemoryExporter::new();
/// let exporter = kept.clone();
/// let pipeline = Pipeline::builder()
///     .service_name("kubelet")
///     .sampling_rate_per_million(1_000_000)
///     .memory_limit(8 << 20)
///     .schedule_delay(Duration::from_secs(1))
///     .exporter(move || exporter.clone())
///     .build()?;
/// # drop(pipeline);
/// # Ok::<(), spanwire_core::pipeline::InvalidPipeline>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct PipelineBuilder {
    memory: usize,
    own: Option<usize>,
    neighbours: Option<usize>,
    spike: Option<usize>,
    sampler: Result<Arc<dyn Sampler>, InvalidRate>,
    resource: Result<Resource, SchemaConflict>,
    draft: Draft,
    observers: Vec<MakeObserver>,
    settings: Settings,
}

/// What is needed to begin a life.
pub(super) struct Blueprint {
    pub(super) sampler: Arc<dyn Sampler>,
    pub(super) shutdown_timeout: Duration,
    memory: usize,
    own: Option<usize>,
    neighbours: Option<usize>,
    spike: Option<usize>,
    head: Head,
    pub(super) chart: Chart,
    names: Arc<Names>,
    observers: Vec<MakeObserver>,
    settings: Settings,
}

struct Settings {
    schedule_delay: Duration,
    export_timeout: Option<Duration>,
    shutdown_timeout: Duration,
    batch_bytes: usize,
    batch_spans: Option<usize>,
    overload: Overload,
    retry: Retry,
    limits: SpanLimits,
    disabled: bool,
    clock: Option<Arc<dyn Clock>>,
    ids: Option<Arc<dyn IdGenerator>>,
}

impl PipelineBuilder {
    pub(super) fn new() -> Self {
        Self {
            memory: 16 << 20,
            own: None,
            neighbours: None,
            spike: None,
            sampler: Ok(Arc::new(ParentBased::new(AlwaysOn))),
            resource: Ok(detect::sdk()),
            draft: Draft::default(),
            observers: Vec::new(),
            settings: Settings {
                schedule_delay: Duration::from_secs(5),
                export_timeout: Some(Duration::from_secs(30)),
                shutdown_timeout: Duration::from_secs(5),
                batch_bytes: 7 << 19,
                batch_spans: None,
                overload: Overload::default(),
                retry: Retry::default(),
                limits: SpanLimits::DEFAULT,
                disabled: false,
                clock: None,
                ids: None,
            },
        }
    }

    /// All the memory the pipeline uses for spans, in bytes: at least 1 MiB. Default: 16 MiB.
    ///
    /// It is divided into the ring and live spans, the neighbours' share, and a working reserve; what is not touched
    /// is not resident. When the ring is full new spans are dropped and counted.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// The part of the memory that requests of neighbours may fill. Default: none, and every request is refused; or, where
    /// [`own`](Self::own) is said, what that and the working reserve leave.
    pub fn neighbours(mut self, bytes: usize) -> Self {
        self.neighbours = Some(bytes);
        self
    }

    /// The part of the memory for this program's own spans: the ring and live spans. Default: what the neighbours and the
    /// working reserve leave.
    pub fn own(mut self, bytes: usize) -> Self {
        self.own = Some(bytes);
        self
    }

    /// How many bytes below the end of the neighbours' part their requests are refused, so that what is let in already
    /// has room to grow. Less than that part. Default: a fifth of it.
    pub fn neighbours_spike(mut self, bytes: usize) -> Self {
        self.spike = Some(bytes);
        self
    }

    /// Which spans are kept. Default: roots always, children as their parents.
    pub fn sampler(mut self, sampler: impl Sampler + 'static) -> Self {
        self.sampler = Ok(Arc::new(sampler));
        self
    }

    /// Keeps this many of a million roots, and children as their parents, bit for bit as Kubernetes does.
    ///
    /// From 0, none, to 1,000,000, all; another number makes [`build`](Self::build) fail.
    pub fn sampling_rate_per_million(mut self, rate: i32) -> Self {
        self.sampler = PerMillion::new(rate)
            .map(|root| -> Arc<dyn Sampler> { Arc::new(ParentBased::new(root)) });
        self
    }

    /// Starts no spans, if `yes`, whatever sampler is said before or after: what this program's tracers make carries the
    /// context of its parent onward, is not recorded, and counts nowhere. Default: `false`.
    ///
    /// It is as if there were no pipeline, for this program's own spans; those of neighbours are taken in all the same.
    /// OpenTelemetry trace API, "Behavior of the API in the absence of an installed SDK".
    ///
    /// ```
    /// use core::time::Duration;
    /// use spanwire_core::pipeline::Pipeline;
    /// use spanwire_core::propagation::TraceContext;
    /// use spanwire_core::testing::InMemoryExporter;
    ///
    /// let pipeline = Pipeline::builder().disabled(true).exporter(InMemoryExporter::new).build()?;
    /// let headers = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
    /// let caller = TraceContext::read(&headers).expect("it is one");
    /// let tracer = pipeline.tracer("agent");
    /// let span = tracer.span("serve").child_of(&caller).start();
    /// assert!(!span.is_recording());
    /// assert_eq!(span.context(), &caller);
    /// # Ok::<(), spanwire_core::pipeline::InvalidPipeline>(())
    /// ```
    pub fn disabled(mut self, yes: bool) -> Self {
        self.settings.disabled = yes;
        self
    }

    /// Who speaks: merged over what is said of this program by default.
    pub fn resource(mut self, resource: &Resource) -> Self {
        self.resource = self.resource.and_then(|own| own.merge(resource));
        self
    }

    /// The name of the service: the attribute `service.name` of the resource.
    pub fn service_name(self, name: &str) -> Self {
        let resource = Resource::builder().attribute("service.name", name).build();
        self.resource(&resource)
    }

    /// How long an ended span waits at most before it is offered to the exporters. Default: 5 s.
    pub fn schedule_delay(mut self, delay: Duration) -> Self {
        self.settings.schedule_delay = delay;
        self
    }

    /// How long an export may take; zero: for ever. Default: 30 s.
    pub fn export_timeout(mut self, timeout: Duration) -> Self {
        self.settings.export_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        self
    }

    /// How long the drop of the last handle waits. Default: 5 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.settings.shutdown_timeout = timeout;
        self
    }

    /// The most encoded bytes in a batch. Default: 3.5 MiB, and never more than an eighth of the memory.
    pub fn max_export_batch_bytes(mut self, bytes: usize) -> Self {
        self.settings.batch_bytes = bytes;
        self
    }

    /// The most spans in a batch. Default: no limit but that of its bytes.
    pub fn max_export_batch_size(mut self, spans: usize) -> Self {
        self.settings.batch_spans = Some(spans);
        self
    }

    /// What gives way when no exporter keeps up. Default: the newest spans.
    pub fn overload(mut self, overload: Overload) -> Self {
        self.settings.overload = overload;
        self
    }

    /// How a batch that failed is tried again. Default: [`Retry::default`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.settings.retry = retry;
        self
    }

    /// How much one span may hold. Default: [`SpanLimits::DEFAULT`].
    pub fn span_limits(mut self, limits: SpanLimits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// The clock. Default: [`SystemClock`](crate::clock::SystemClock).
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.settings.clock = Some(clock);
        self
    }

    /// The source of ids. Default: [`ThreadIds`].
    pub fn ids(mut self, ids: Arc<dyn IdGenerator>) -> Self {
        self.settings.ids = Some(ids);
        self
    }

    /// Adds an exporter. Each one that is added here gets every span of this pipeline; those of a [branch](Self::branch) are its
    /// own. `make` is called by [`build`](Self::build), and again in a forked child that uses the pipeline.
    pub fn exporter<E: Exporter + 'static>(
        mut self,
        make: impl Fn() -> E + Send + Sync + 'static,
    ) -> Self {
        self.draft
            .exporters
            .push(Box::new(move || Box::new(make())));
        self
    }

    /// Adds a stage that spans pass before they reach the exporters, in the order of these calls. `make` is called by
    /// [`build`](Self::build), and again in a forked child that uses the pipeline.
    pub fn stage<S: Into<Stage>>(mut self, make: impl Fn() -> S + Send + Sync + 'static) -> Self {
        self.draft.stages.push(Box::new(move || make().into()));
        self
    }

    /// Adds an exporter that [branches](Self::branch) share by its name. One that no branch leads to is not made.
    pub fn shared_exporter<E: Exporter + 'static>(
        self,
        name: &str,
        make: impl Fn() -> E + Send + Sync + 'static,
    ) -> Self {
        self.shared_exporter_with(name, ExportPolicy::new(), make)
    }

    /// Adds an exporter that [branches](Self::branch) share by its name, with an [`ExportPolicy`] of its own.
    pub fn shared_exporter_with<E: Exporter + 'static>(
        mut self,
        name: &str,
        policy: ExportPolicy,
        make: impl Fn() -> E + Send + Sync + 'static,
    ) -> Self {
        self.draft.shared.push(Outlet {
            name: name.to_owned(),
            policy,
            make: Box::new(move || Box::new(make())),
        });
        self
    }

    /// Adds a pipeline of its own stages and exporters behind the same doors. Where
    /// [`exporter`](Self::exporter) and [`stage`](Self::stage) are called too, they make one more, which takes this
    /// program's own spans and those of [`Pipeline::intake`].
    pub fn branch(mut self, branch: Branch) -> Self {
        self.draft.branches.push(branch);
        self
    }

    /// Adds who is told when spans have been lost or an export has failed, and when exports arrive again after that.
    /// `make` is called by [`build`](Self::build), and again in a forked child that uses the pipeline.
    ///
    /// What it makes is called on the pipeline's thread when that is awake anyway, at most once a second, and once more at the
    /// end where there is news. It should return soon: spans wait meanwhile. One that panics is called again.
    ///
    /// ```
    /// use core::time::Duration;
    /// use spanwire_core::pipeline::{Pipeline, Stats};
    /// use spanwire_core::testing::InMemoryExporter;
    ///
    /// let pipeline = Pipeline::builder()
    ///     .observer(|| {
    ///         |stats: &Stats| {
    ///             for lane in &stats.lanes {
    ///                 eprintln!("{} exports failed: {:?}", lane.account.failures, lane.last_failure);
    ///             }
    ///         }
    ///     })
    ///     .exporter(InMemoryExporter::new)
    ///     .build()?;
    /// # Ok::<(), spanwire_core::pipeline::InvalidPipeline>(())
    /// ```
    pub fn observer<O: FnMut(&Stats) + Send + 'static>(
        mut self,
        make: impl Fn() -> O + Send + Sync + 'static,
    ) -> Self {
        self.observers.push(Box::new(move || Box::new(make())));
        self
    }

    /// Takes the memory and starts the worker.
    ///
    /// # Errors
    /// [`InvalidPipeline`] names the setting at fault, or says that the system gives no more threads.
    ///
    /// # Panics
    /// When a factory of an exporter or a stage does. Nothing has been started then.
    pub fn build(self) -> Result<Pipeline, InvalidPipeline> {
        let sampler = self.sampler.map_err(InvalidPipeline::SamplingRate)?;
        let resource = self.resource.map_err(InvalidPipeline::Resource)?;
        if self.draft.is_empty() {
            return Err(InvalidPipeline::NoExporter);
        }
        let chart = self.draft.chart().map_err(InvalidPipeline::Branch)?;
        if self.memory < LEAST_MEMORY {
            return Err(InvalidPipeline::MemoryLimit {
                given: self.memory,
                least: LEAST_MEMORY,
            });
        }
        let blueprint = Blueprint {
            sampler,
            shutdown_timeout: self.settings.shutdown_timeout,
            memory: self.memory,
            own: self.own,
            neighbours: self.neighbours,
            spike: self.spike,
            head: Head::from_resource(resource.as_bytes(), resource.schema_url()),
            names: Arc::new(Names::of(&chart)),
            chart,
            observers: self.observers,
            settings: self.settings,
        };
        Ok(Pipeline {
            lives: Arc::new(Lives::begin(blueprint)?),
        })
    }
}

impl fmt::Debug for PipelineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineBuilder")
            .field("memory_limit", &self.memory)
            .field("own", &self.own)
            .field("neighbours", &self.neighbours)
            .field("disabled", &self.settings.disabled)
            .field("schedule_delay", &self.settings.schedule_delay)
            .field("export_timeout", &self.settings.export_timeout)
            .field("exporters", &self.draft.exporters.len())
            .field("stages", &self.draft.stages.len())
            .field("branches", &self.draft.branches)
            .finish_non_exhaustive()
    }
}

impl Blueprint {
    /// Begins a life.
    pub(super) fn live(&self, ancestors: Vec<Arc<Recorder>>) -> Result<Life, InvalidPipeline> {
        let settings = &self.settings;
        let batch_bytes = settings.batch_bytes.clamp(1, self.memory / 8);
        let reserve = 2 * batch_bytes + (self.memory / 16).min(1 << 20);
        let mut limiter = MemoryLimiter::builder(self.memory)
            .largest_batch(batch_bytes)
            .reserve(reserve);
        if let Some(own) = self.own {
            limiter = limiter.own(own);
        }
        if let Some(neighbours) = self.neighbours {
            limiter = limiter.neighbours(neighbours);
        }
        if let Some(spike) = self.spike {
            limiter = limiter.spike(spike);
        }
        let limiter = limiter.build().map_err(InvalidPipeline::Budget)?;
        if !is_obtainable(self.memory) {
            return Err(InvalidPipeline::OutOfMemory { bytes: self.memory });
        }
        let own = limiter.door(Door::Own);
        let bell = Arc::new(Bell::default());
        let mut recorder = Recorder::builder()
            .memory(own.limit().saturating_sub(crate::limiter::OVERHEAD))
            .limits(settings.limits)
            .overwrite_oldest(false)
            .of_no_process(settings.disabled)
            .wake(bell.clone());
        if let Some(clock) = &settings.clock {
            recorder = recorder.clock(clock.clone());
        }
        if let Some(ids) = &settings.ids {
            recorder = recorder.ids(ids.clone());
        }
        let recorder = Arc::new(recorder.build().map_err(InvalidPipeline::Memory)?);
        let permit = own
            .acquire(recorder.memory())
            .map_err(|_| InvalidPipeline::MemoryLimit {
                given: self.memory,
                least: LEAST_MEMORY,
            })?;
        let mut exporters: Vec<Box<dyn Exporter>> = self
            .chart
            .exporters
            .iter()
            .map(|outlet| (outlet.make)())
            .collect();
        let provisions = Provisions::new(Arc::new(Time(recorder.clone())), limiter.clone());
        for exporter in &mut exporters {
            exporter.begin(&provisions);
        }
        let (engine, routes) = self
            .engine(&recorder, &limiter, &exporters, &bell)
            .map_err(InvalidPipeline::Engine)?;
        let last = Arc::new(OnceLock::new());
        let arrivals = Arc::new(Arrivals::new(&limiter));
        let parts = Parts {
            recorder: recorder.clone(),
            engine,
            exporters,
            head: self.head.clone(),
            delay: settings.schedule_delay,
            bell: bell.clone(),
            last: last.clone(),
            onlooker: self.onlooker(&recorder, &arrivals, &limiter, &bell),
        };
        let worker = worker::start(parts).map_err(|error| InvalidPipeline::Thread(error.kind()))?;
        Ok(Life::new(Organs {
            recorder,
            limiter,
            own: permit,
            arrivals,
            worker,
            bell,
            last,
            routes,
            names: self.names.clone(),
            ancestors,
        }))
    }

    /// Begins a life in a forked child. `None` where that fails, or a factory panics: there is nobody to tell.
    pub(super) fn relive(&self, ancestors: Vec<Arc<Recorder>>) -> Option<Life> {
        // A factory that records spans would wait for the life that waits for it.
        let _quiet = current::suppress();
        worker::contained(|| self.live(ancestors).ok()).flatten()
    }

    /// Who is told of trouble; nobody, where nobody asks.
    fn onlooker(
        &self,
        recorder: &Arc<Recorder>,
        arrivals: &Arc<Arrivals>,
        limiter: &MemoryLimiter,
        bell: &Arc<Bell>,
    ) -> Option<Box<dyn Onlooker>> {
        if self.observers.is_empty() {
            return None;
        }
        Some(Box::new(Onlookers {
            observers: self.observers.iter().map(|make| make()).collect(),
            recorder: recorder.clone(),
            arrivals: arrivals.clone(),
            limiter: limiter.clone(),
            bell: bell.clone(),
        }))
    }

    fn engine(
        &self,
        recorder: &Recorder,
        limiter: &MemoryLimiter,
        exporters: &[Box<dyn Exporter>],
        bell: &Arc<Bell>,
    ) -> Result<(Engine, Routes), crate::engine::BuildError> {
        let settings = &self.settings;
        let ring = recorder.ring();
        let branches = &self.chart.branches;
        // A quarter of the ring stays with the threads that record, however far the lanes lag. Branches whose exporters
        // are stuck keep the same newest blocks, but each its own in flight, a quarter of its log.
        let stuck = 3 + branches.iter().filter(|branch| branch.own).count();
        let own_bytes = ring.blocks() * ring.block_bytes() / stuck * 3;
        let mut builder = Engine::builder(limiter);
        builder
            .seed(u64::from_be_bytes(ThreadIds.span_id().to_bytes()))
            .waker(Waker::from(bell.clone()));
        let outlets = &self.chart.exporters;
        let ids: Vec<_> = outlets
            .iter()
            .zip(exporters)
            .map(|(outlet, exporter)| {
                let id = builder.exporter(ExporterSettings {
                    timeout: outlet.policy.timeout.unwrap_or(settings.export_timeout),
                    ..ExporterSettings::of(exporter)
                });
                (id, outlet.policy.retry.unwrap_or(settings.retry))
            })
            .collect();
        let mut pipelines = Vec::new();
        for branch in branches {
            // An edit takes its memory from its door's share, and then from the reserve.
            let edited = if branch.stages.is_empty() {
                0
            } else {
                limiter.reserve().limit()
            };
            let neighbours = limiter.door(Door::Neighbours).limit();
            let neighbours = neighbours.saturating_add(edited);
            let mut pipeline = PipelineSettings::new(own_bytes.saturating_add(neighbours))
                .neighbours(neighbours)
                .own_charge(ring.block_bytes())
                .overload(settings.overload);
            if branch.own {
                pipeline = pipeline.door(Door::Own);
            }
            if branch.neighbours {
                pipeline = pipeline.door(Door::Neighbours);
            }
            for make in &branch.stages {
                pipeline = pipeline.stage(make());
            }
            for (exporter, retry) in branch.exporters.iter().filter_map(|at| ids.get(*at)) {
                let mut lane = LaneSettings::new(*exporter);
                lane.max_bytes = settings.batch_bytes.clamp(1, self.memory / 8);
                lane.max_spans = branch.batch_spans.or(settings.batch_spans);
                // Spans that are to leave at once wait for nobody.
                lane.linger = lane.linger.min(settings.schedule_delay);
                lane.retry = *retry;
                pipeline = pipeline.lane(lane);
            }
            pipelines.push(builder.pipeline(pipeline));
        }
        let route = |receiver| -> Arc<[PipelineId]> {
            let all = pipelines.iter().zip(branches);
            all.filter(|(_, branch)| branch.takes_from(receiver))
                .map(|(pipeline, _)| *pipeline)
                .collect()
        };
        let routes = Routes {
            any: route(None),
            receivers: (0..self.chart.receivers.len())
                .map(|receiver| route(Some(receiver)))
                .collect(),
        };
        Ok((builder.build()?, routes))
    }
}

/// The clock of a recorder, as its exporters see it.
struct Time(Arc<Recorder>);

impl Clock for Time {
    fn now(&self) -> Timestamp {
        self.0.start().started()
    }

    fn moment(&self) -> Moment {
        self.0.moment()
    }
}

/// Whether the system gives so much memory. Where it does not, taking it outright would end the program.
fn is_obtainable(bytes: usize) -> bool {
    let mut room = Vec::<u8>::new();
    let given = room.try_reserve_exact(bytes).is_ok();
    // Memory that nobody looks at need not be asked for.
    core::hint::black_box(&room);
    given
}

/// Why a pipeline can't be built. Names the setting at fault; what is wrong with it, its
/// [`source`](core::error::Error::source) says where there is one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum InvalidPipeline {
    /// There is no exporter.
    NoExporter,
    /// The memory limit is too small.
    MemoryLimit {
        /// The bytes that were given.
        given: usize,
        /// The least that will do.
        least: usize,
    },
    /// The system does not give so much memory.
    OutOfMemory {
        /// The bytes that were asked for.
        bytes: usize,
    },
    /// The memory can't be divided.
    Budget(BudgetError),
    /// What is left for this program's own spans is too little.
    Memory(InvalidMemory),
    /// The sampling rate is out of range.
    SamplingRate(InvalidRate),
    /// The resources contradict each other.
    Resource(SchemaConflict),
    /// The branches do not fit together.
    Branch(InvalidBranch),
    /// The engine can't be built.
    Engine(crate::engine::BuildError),
    /// The system gave no thread.
    Thread(std::io::ErrorKind),
}

impl fmt::Display for InvalidPipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoExporter => f.write_str("exporter: there is none"),
            Self::MemoryLimit { given, least } => {
                write!(
                    f,
                    "memory_limit: {given} bytes are too few, the least is {least}"
                )
            }
            Self::OutOfMemory { bytes } => {
                write!(f, "memory_limit: the system does not give {bytes} bytes")
            }
            Self::Budget(_) | Self::Memory(_) => f.write_str("memory_limit"),
            Self::SamplingRate(_) => f.write_str("sampling_rate_per_million"),
            Self::Resource(_) => f.write_str("resource"),
            Self::Branch(_) => f.write_str("branch"),
            Self::Engine(_) => f.write_str("engine"),
            Self::Thread(kind) => write!(f, "the system gave no thread: {kind}"),
        }
    }
}

impl core::error::Error for InvalidPipeline {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Budget(error) => Some(error),
            Self::Memory(error) => Some(error),
            Self::SamplingRate(error) => Some(error),
            Self::Resource(error) => Some(error),
            Self::Branch(error) => Some(error),
            Self::Engine(error) => Some(error),
            Self::NoExporter
            | Self::MemoryLimit { .. }
            | Self::OutOfMemory { .. }
            | Self::Thread(_) => None,
        }
    }
}
