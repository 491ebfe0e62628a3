//! The door for spans of neighbours.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use super::life::Lives;
use crate::batch::{Head, Segment};
use crate::limiter::{self, Door, MemoryLimiter, OVERHEAD};
use crate::wire::split::{Part, parts};
use crate::wire::validate::{Invalid, Limits, validate};

/// Takes in OTLP requests of neighbours. Door B. Made by [`Pipeline::intake`](super::Pipeline::intake).
///
/// A request is validated whole, copied once, and travels as bytes. It is admitted in full or not at all. Memory is
/// granted before the copy is made: when the neighbours' share is used up to its soft limit the request is refused,
/// and may be sent again later. What is admitted is never turned away afterwards: the backlog has room for the whole
/// share, and what is offered before a shutdown is exported by it.
///
/// A clone is another handle on the same door.
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_core::testing::InMemoryExporter;
///
/// let kept = InMemoryExporter::new();
/// let exporter = kept.clone();
/// let pipeline =
///     Pipeline::builder().neighbours(1 << 20).exporter(move || exporter.clone()).build()?;
///
/// // An `ExportTraceServiceRequest` with one empty span.
/// let request = [0x0a, 4, 0x12, 2, 0x12, 0];
/// let received = pipeline.intake().offer(&request).expect("well-formed");
/// assert_eq!(received.spans(), 1);
/// assert!(pipeline.shutdown(Duration::from_secs(5)).is_complete());
/// # Ok::<(), spanwire_core::pipeline::InvalidPipeline>(())
/// ```
#[derive(Clone)]
pub struct Intake {
    lives: Arc<Lives>,
    /// Which receiver it is; none for all that take spans of neighbours.
    receiver: Option<usize>,
    limits: Limits,
}

impl Intake {
    pub(super) fn new(lives: Arc<Lives>, receiver: Option<usize>) -> Self {
        Self {
            lives,
            receiver,
            limits: Limits::new(),
        }
    }

    /// The same door with other limits on what a request may hold.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Offers an `ExportTraceServiceRequest`, encoded as protobuf.
    ///
    /// # Errors
    /// See [`IntakeError`]; nothing of the request was kept.
    pub fn offer(&self, request: &[u8]) -> Result<Received, IntakeError> {
        let Some(life) = self.lives.now().filter(|life| !life.is_ending()) else {
            return Err(IntakeError::Closed);
        };
        let Some(route) = life.route(self.receiver) else {
            return Err(IntakeError::NoPipeline);
        };
        let arrivals = &life.arrivals;
        let spans = match validate(request, &self.limits) {
            Ok(validated) => validated.counts().spans,
            Err(invalid) => {
                arrivals.malformed.fetch_add(1, Ordering::Relaxed);
                return Err(IntakeError::Invalid(invalid));
            }
        };
        arrivals.received.fetch_add(spans as u64, Ordering::Relaxed);
        if spans == 0 {
            return Ok(Received { spans });
        }
        let refuse = |error| {
            arrivals.refused.fetch_add(spans as u64, Ordering::Relaxed);
            Err(error)
        };
        let kept = parts(request).filter(|part| part.spans() > 0);
        let (mut bytes, mut count) = (0_usize, 0_usize);
        for part in kept.clone() {
            bytes += part.head_len() + part.body_len();
            count += 1;
        }
        // One permit for all, and each segment after the first costs as much beside its bytes as a permit.
        let bytes = bytes.saturating_add(count.saturating_sub(1).saturating_mul(OVERHEAD));
        let mut buffer = match arrivals.account.acquire(bytes) {
            Ok(permit) => permit.into_buffer(),
            Err(refused) => return refuse(IntakeError::NoRoom(refused)),
        };
        for part in kept.clone() {
            let _ = part
                .head()
                .chain(part.body())
                .all(|run| buffer.try_put(run));
        }
        let buffer = buffer.freeze();
        let moment = life.moment();
        let mut at = 0;
        let mut cut = |part: Part<'_>| {
            let body_at = at + part.head_len();
            let end = body_at + part.body_len();
            let segment = (end <= buffer.len()).then(|| {
                let head = Head::new(buffer.slice(at..body_at));
                Segment::new(
                    head,
                    buffer.slice(body_at..end),
                    part.spans(),
                    moment,
                    Door::Neighbours,
                )
            });
            at = end;
            segment
        };
        let segments = kept.filter_map(&mut cut).collect();
        if !life.offer(segments, route) {
            return refuse(IntakeError::Closed);
        }
        Ok(Received { spans })
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    spans: usize,
}

impl Received {
    /// The spans of the request.
    #[must_use]
    pub fn spans(&self) -> usize {
        self.spans
    }
}

/// Why a request was not admitted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum IntakeError {
    /// The bytes are not a well-formed request. Sending them again changes nothing.
    Invalid(Invalid),
    /// There is no memory for the request now. Sending it later may succeed, unless it is larger than the share.
    NoRoom(limiter::Refused),
    /// The pipeline is shut down.
    Closed,
    /// No pipeline takes spans of neighbours.
    NoPipeline,
}

impl IntakeError {
    /// Whether the same request may be admitted later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::NoRoom(refused) if refused.is_retryable())
    }
}

impl fmt::Display for IntakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => write!(f, "malformed request: {invalid}"),
            Self::NoRoom(refused) => write!(f, "no memory for the request: {refused}"),
            Self::Closed => f.write_str("the pipeline is shut down"),
            Self::NoPipeline => f.write_str("no pipeline takes spans of neighbours"),
        }
    }
}

impl core::error::Error for IntakeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            Self::NoRoom(refused) => Some(refused),
            Self::Closed | Self::NoPipeline => None,
        }
    }
}

/// What became of the spans of neighbours: door B's side of the law that no span is lost uncounted.
///
/// `received = refused + admitted` over well-formed requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntakeAccount {
    /// Spans in well-formed requests.
    pub received: u64,
    /// Of these, spans that were refused for want of memory, or because the pipeline had ended.
    pub refused: u64,
    /// Of these, spans that were admitted.
    pub admitted: u64,
    /// Of the admitted spans, those that the engine had no room for after all.
    pub turned_away: u64,
    /// Requests that were not well-formed.
    pub malformed_requests: u64,
}

/// What has arrived at the door.
pub(super) struct Arrivals {
    account: limiter::Account,
    received: AtomicU64,
    refused: AtomicU64,
    pub(super) admitted: AtomicU64,
    malformed: AtomicU64,
    pub(super) turned_away: Arc<AtomicU64>,
}

impl Arrivals {
    pub(super) fn new(limiter: &MemoryLimiter) -> Self {
        Self {
            account: limiter.door(Door::Neighbours),
            received: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            turned_away: Arc::default(),
        }
    }

    pub(super) fn account(&self) -> IntakeAccount {
        IntakeAccount {
            received: self.received.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            admitted: self.admitted.load(Ordering::Relaxed),
            turned_away: self.turned_away.load(Ordering::Relaxed),
            malformed_requests: self.malformed.load(Ordering::Relaxed),
        }
    }
}
