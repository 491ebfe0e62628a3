//! A running pipeline: its builder, its tracers and intake, flush and shutdown.
//!
//! A [`Pipeline`] owns a recorder, an engine, exporters and the thread that drives them. It is made by a
//! [`PipelineBuilder`], hands out [`Tracer`]s and an [`Intake`], and says what became of every span when it is
//! flushed or shut down.

use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::time::Duration;

use crate::resource::InstrumentationScope;
use crate::tracer::Tracer;

// What leads from receivers through stages to exporters.
mod branch;

// Waiting for a request to leave.
mod delivery;

// The door for spans of neighbours.
mod intake;

// What became of every span.
mod report;

// Waiting for a flush or a shutdown.
mod wait;

// Who is told when spans are lost.
mod onlooker;

// A pipeline in one process; a forked child begins another.
mod life;

// The settings.
mod build;

pub use self::branch::{Branch, ExportPolicy, InvalidBranch};
pub use self::build::{InvalidPipeline, PipelineBuilder};
pub use self::delivery::Delivery;
pub use self::intake::{Intake, IntakeAccount, IntakeError, Received};
use self::life::Lives;
pub use self::report::{Report, Stats};
pub use crate::batch::Delivered;

/// Records this program's spans and those of its neighbours, and has them exported.
///
/// A clone is another handle of the same pipeline. When the last handle is dropped the pipeline is shut down, which
/// takes up to the [shutdown timeout](PipelineBuilder::shutdown_timeout).
///
/// In a forked child the pipeline starts anew when it is first used: with an empty ring, a worker of its own, and
/// exporters made by their factories. Nothing of the parent's is touched, or dropped. Where a factory panics there, or
/// the system gives no thread, nothing is recorded. Spans that were alive at the fork count as
/// [`Forked`](crate::stats::DropReason::Forked) when they end in the child. A handle that was in another thread's hands
/// at the fork is never dropped in the child: call [`shutdown`](Self::shutdown) there.
///
/// Under `panic = "abort"` a panic of an exporter, a processor or a sampler ends the program, as any panic does.
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::batch::Batch;
/// use spanwire_core::exporter::{Exporter, Outcome, Reply};
/// use spanwire_core::pipeline::Pipeline;
///
/// struct Count;
/// impl Exporter for Count {
///     fn export(&mut self, batch: Batch, reply: Reply) {
///         println!("{} spans", batch.spans());
///         drop(batch);
///         reply.done(Outcome::Exported);
///     }
/// }
///
/// let pipeline = Pipeline::builder().service_name("agent").exporter(|| Count).build()?;
/// let tracer = pipeline.tracer("agent");
/// tracer.start("sync").set_attribute("pods", 3);
///
/// let report = pipeline.shutdown(Duration::from_secs(5));
/// assert!(report.is_complete(), "{report}");
/// assert_eq!(report.own().admitted, 1);
/// # Ok::<(), spanwire_core::pipeline::InvalidPipeline>(())
/// ```
#[derive(Clone)]
pub struct Pipeline {
    lives: Arc<Lives>,
}

impl Pipeline {
    /// Starts to build a pipeline.
    pub fn builder() -> PipelineBuilder {
        PipelineBuilder::new()
    }

    /// The tracer of an instrumentation scope. Make it once and keep it.
    #[must_use]
    pub fn tracer(&self, scope: impl Into<InstrumentationScope>) -> Tracer {
        let scope = scope.into();
        let origin = self.lives.origin(&scope);
        let lives = Arc::downgrade(&self.lives);
        let rebuild = move || lives.upgrade()?.now().map(|life| life.origin(&scope));
        Tracer::of_process(
            origin,
            alloc::boxed::Box::new(rebuild),
            self.lives.sampler(),
        )
    }

    /// The door for spans of neighbours: to all that take any, be it from one [receiver](Branch::receiver) only.
    #[must_use]
    pub fn intake(&self) -> Intake {
        Intake::new(self.lives.clone(), None)
    }

    /// The door for spans of neighbours that leads to the [branches](Branch) which name this receiver. `None` where no
    /// branch does.
    #[must_use]
    pub fn receiver(&self, name: &str) -> Option<Intake> {
        let receiver = self.lives.receiver(name)?;
        Some(Intake::new(self.lives.clone(), Some(receiver)))
    }

    /// Exports every span that has ended by now, and says how that went.
    ///
    /// Returns when all of them are settled, or after `timeout`, with what is then left named in the report. What is
    /// settled has been let go of: of its memory, only what an exporter keeps is in use. Called on a thread of a pipeline
    /// it starts the flush and returns at once; the report says that it timed out.
    pub fn flush(&self, timeout: Duration) -> Report {
        self.lives
            .now()
            .map_or_else(Report::nothing, |life| life.flush(timeout))
    }

    /// As [`flush`](Self::flush), for an asynchronous caller: the future is ready by the timeout.
    ///
    /// The flush starts with this call, whether the future is polled or not. The pipeline's thread wakes it; an exporter
    /// that waits on that thread, though exporters must not, delays it.
    pub fn flush_async(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = Report> + Send + 'static + use<> {
        let answer = self.lives.now().map(|life| life.flush_async(timeout));
        async move {
            match answer {
                Some(answer) => answer.await,
                None => Report::nothing(),
            }
        }
    }

    /// Ends the pipeline: later spans count as dropped after shutdown; those that have ended are exported, each batch
    /// with one last attempt, by the end of `timeout`.
    ///
    /// A second call waits for the first and returns its report. Called on a thread of a pipeline it starts the
    /// shutdown and returns at once; the report says that it timed out.
    pub fn shutdown(&self, timeout: Duration) -> Report {
        self.lives
            .now()
            .map_or_else(Report::nothing, |life| life.shutdown(timeout))
    }

    /// As [`shutdown`](Self::shutdown), for an asynchronous caller: the future is ready by the timeout.
    ///
    /// The shutdown starts with this call, whether the future is polled or not.
    pub fn shutdown_async(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = Report> + Send + 'static + use<> {
        let answer = self.lives.now().map(|life| life.shutdown_async(timeout));
        async move {
            match answer {
                Some(answer) => answer.await,
                None => Report::nothing(),
            }
        }
    }

    /// How things stand: every span counted, and the memory in use.
    ///
    /// Asks the pipeline's thread, and waits for it up to a second; on a thread of the pipeline itself, the lanes are
    /// left out.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.lives
            .now()
            .map_or_else(Stats::default, |life| life.stats())
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("own", &self.lives.begun().map(|life| life.account()))
            .finish_non_exhaustive()
    }
}
