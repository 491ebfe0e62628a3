//! Exporters: what takes a batch away, and says what became of it.
//!
//! An [`Exporter`] starts the export of a [`Batch`] and returns; what became of it is told through a [`Reply`], once,
//! from any thread:
//!
//! - an answer settles the batch: exported, in part, again later, in smaller pieces, or never;
//! - a reply dropped unanswered is a failure, counted as [`Unanswered`](crate::stats::DropReason::Unanswered);
//! - at the export timeout the reply is marked cancelled; an answer that comes later is counted and settles nothing;
//! - the batch keeps its in-flight slot and its memory until both the batch and the reply are gone, whatever the answer
//!   was, so that a stuck exporter cannot be handed more than it was allowed to hold.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::num::NonZeroU8;
use core::time::Duration;

use crate::batch::Batch;
use crate::clock::{Clock, Moment};
use crate::limiter::MemoryLimiter;

mod reply;

#[cfg(all(test, spanwire_loom))]
mod loom_model;

pub use reply::{Hold, Receipt, Reply, Ticket};

/// Takes batches away: to a server, a file, a test.
///
/// One exporter serves one or more lanes. It is called on the thread that turns the engine, so [`export`](Self::export)
/// only *starts* work and returns at once; an exporter that may wait is wrapped in [`Blocking`], which gives it a thread
/// of its own.
///
/// ```
/// use spanwire_core::batch::Batch;
/// use spanwire_core::exporter::{Exporter, Outcome, Reply};
///
/// /// Counts what it is given.
/// #[derive(Default)]
/// struct Count {
///     spans: usize,
/// }
///
/// impl Exporter for Count {
///     fn export(&mut self, batch: Batch, reply: Reply) {
///         self.spans += batch.spans();
///         drop(batch);
///         reply.done(Outcome::Exported);
///     }
/// }
/// ```
pub trait Exporter: Send {
    /// Tells the exporter what its pipeline works with. Called once, before the first batch, on the thread that builds
    /// the pipeline; not at all by a host that turns an [`Engine`](crate::engine::Engine) itself and does not care to.
    ///
    /// An exporter that compresses takes the memory for it from the
    /// [working reserve](MemoryLimiter::reserve); one that gives up at [`Reply::deadline`] needs the clock to know when
    /// that is.
    fn begin(&mut self, provisions: &Provisions) {
        let _ = provisions;
    }

    /// Starts to export `batch` and returns. Never waits.
    ///
    /// `reply` is answered by [`Reply::done`], now or later, from here or from elsewhere, at best before
    /// [`Reply::deadline`]. The batch should be dropped before the answer is given: its slot is free only when both are
    /// gone, and whoever is told of a flush or a shutdown finds its memory in use until then, and no longer: of a batch
    /// that is settled the pipeline keeps nothing. An exporter that panics here costs its batch.
    fn export(&mut self, batch: Batch, reply: Reply);

    /// The most batches that may be in this exporter's hands at once; at least 1 is assumed. Read once, when the
    /// pipeline is built.
    ///
    /// Exporters to a server over a network raise it, so that one round trip does not bound the throughput (OTLP
    /// specification, "Concurrent requests"); 4 serves most links.
    fn concurrency(&self) -> usize {
        1
    }

    /// Whether [`export`](Self::export) or [`shutdown`](Self::shutdown) may wait. Such an exporter is called on a thread
    /// of its own. Read once, when the pipeline is built; [`Blocking`] answers yes for the exporter in it.
    fn may_block(&self) -> bool {
        false
    }

    /// Ends the exporter: no batch follows. Called once, after every batch has been settled or `deadline` has passed.
    ///
    /// What is still under way may go on until `deadline`, on the pipeline's monotonic clock.
    fn shutdown(&mut self, deadline: Moment) {
        let _ = deadline;
    }
}

impl<E: Exporter + ?Sized> Exporter for Box<E> {
    fn begin(&mut self, provisions: &Provisions) {
        (**self).begin(provisions);
    }

    fn export(&mut self, batch: Batch, reply: Reply) {
        (**self).export(batch, reply);
    }

    fn concurrency(&self) -> usize {
        (**self).concurrency()
    }

    fn may_block(&self) -> bool {
        (**self).may_block()
    }

    fn shutdown(&mut self, deadline: Moment) {
        (**self).shutdown(deadline);
    }
}

/// What a pipeline works with: its clock and its memory. Clones are handles on the same.
#[derive(Clone)]
pub struct Provisions {
    clock: Arc<dyn Clock>,
    limiter: MemoryLimiter,
}

impl Provisions {
    /// The clock that deadlines are told on, and the budget that memory is taken from.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, limiter: MemoryLimiter) -> Self {
        Self { clock, limiter }
    }

    /// The clock on which [`Reply::deadline`] is told.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The memory that the pipeline may use.
    #[must_use]
    pub fn limiter(&self) -> &MemoryLimiter {
        &self.limiter
    }
}

impl fmt::Debug for Provisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provisions")
            .field("limiter", &self.limiter)
            .finish_non_exhaustive()
    }
}

/// An exporter that may wait: it is called on a thread of its own, never on the pipeline's.
///
/// A thread costs its stack (usually 2 MiB of address space, some tens of KiB resident). Without a thread to give, as in
/// a superloop, the exporter in it is called in place.
///
/// ```
/// # #[cfg(feature = "std")] {
/// use core::time::Duration;
/// use spanwire_core::batch::Batch;
/// use spanwire_core::exporter::{Blocking, Exporter, Outcome, Reply};
/// use spanwire_core::pipeline::Pipeline;
///
/// /// Writes requests to a disk that may be slow.
/// struct Disk;
///
/// impl Exporter for Disk {
///     fn export(&mut self, batch: Batch, reply: Reply) {
///         let mut disk = std::io::sink();
///         let written = batch.chunks().try_for_each(|chunk| std::io::Write::write_all(&mut disk, &chunk));
///         reply.done(match written {
///             Ok(()) => Outcome::Exported,
///             Err(_) => Outcome::retry("the disk is full"),
///         });
///     }
/// }
///
/// let pipeline = Pipeline::builder().exporter(|| Blocking(Disk)).build()?;
/// pipeline.tracer("test").start("span").end();
/// assert!(pipeline.shutdown(Duration::from_secs(5)).is_complete());
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Blocking<E>(pub E);

impl<E: Exporter> Exporter for Blocking<E> {
    fn begin(&mut self, provisions: &Provisions) {
        self.0.begin(provisions);
    }

    fn export(&mut self, batch: Batch, reply: Reply) {
        self.0.export(batch, reply);
    }

    fn concurrency(&self) -> usize {
        self.0.concurrency()
    }

    fn may_block(&self) -> bool {
        true
    }

    fn shutdown(&mut self, deadline: Moment) {
        self.0.shutdown(deadline);
    }
}

/// What became of a batch.
///
/// Texts are for people: the lane keeps the newest, cut to [`Receipt::TEXT_LIMIT`] bytes. They must not carry secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Every span has arrived.
    Exported,
    /// The server took the batch in part. Final: it is never sent again (OTLP specification, "Partial Success").
    Partial {
        /// Spans the server says it rejected; more than the batch has count as all of it.
        rejected: u64,
        /// Why.
        message: Cow<'static, str>,
    },
    /// The batch did not arrive, and may be sent again.
    Retry {
        /// The server asks to wait at least this long (`RetryInfo`, `Retry-After`).
        after: Option<Duration>,
        /// The server may have stored the batch all the same: the connection broke or time ran out while the answer was
        /// awaited. Sending it again counts its spans as possibly duplicated.
        possibly_stored: bool,
        /// Why.
        reason: Cow<'static, str>,
    },
    /// The batch is too large for the server. It is split; a batch of one span is dropped.
    TooLarge {
        /// The most encoded bytes the server takes, if it said so.
        limit: Option<usize>,
    },
    /// The batch did not arrive and never will.
    Rejected {
        /// The code of the gRPC status that the server gave, from 1 to 16, or that its HTTP status stands for; `None`
        /// where it gave none. Senders who wait hear it: see [`Delivered::Rejected`].
        ///
        /// [`Delivered::Rejected`]: crate::pipeline::Delivered::Rejected
        code: Option<NonZeroU8>,
        /// Why.
        reason: Cow<'static, str>,
    },
    /// The exporter let go of the batch without an answer. A dropped [`Reply`] says so by itself.
    Unanswered,
    /// The exporter panicked. Said by whoever called it.
    Panicked,
}

impl Outcome {
    /// A failure that may be tried again at any time and cannot have stored anything: the connection was refused, say.
    #[must_use]
    pub fn retry(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Retry {
            after: None,
            possibly_stored: false,
            reason: reason.into(),
        }
    }

    /// A failure for good, of which no server gave a status.
    #[must_use]
    pub fn rejected(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Rejected {
            code: None,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exported => f.write_str("exported"),
            Self::Partial { rejected, message } => {
                write!(f, "{rejected} spans rejected by the server: {message}")
            }
            Self::Retry { reason, .. } => write!(f, "not exported yet: {reason}"),
            Self::TooLarge { limit: Some(limit) } => {
                write!(f, "too large for the server, which takes {limit} bytes")
            }
            Self::TooLarge { limit: None } => f.write_str("too large for the server"),
            Self::Rejected { reason, .. } => write!(f, "rejected: {reason}"),
            Self::Unanswered => f.write_str("dropped by the exporter without an answer"),
            Self::Panicked => f.write_str("the exporter panicked"),
        }
    }
}
