//! The door for spans of neighbours.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::delivery::Delivery;
use super::life::{Life, Lives};
use crate::batch::{Ack, ClientInfo, Head, Segment};
use crate::engine::PipelineId;
use crate::limiter::{self, Buffer, Door, MemoryLimiter, OVERHEAD};
use crate::wire::split::{Part, Runs, parts};
use crate::wire::validate::{Invalid, Limits, validate};

/// Takes in OTLP requests of neighbours. Door B. Made by [`Pipeline::intake`](super::Pipeline::intake).
///
/// A request is validated whole, copied once at most, and travels as bytes. It is admitted in full or not at all. Memory is
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
    client: Option<ClientInfo>,
}

impl Intake {
    pub(super) fn new(lives: Arc<Lives>, receiver: Option<usize>) -> Self {
        Self {
            lives,
            receiver,
            limits: Limits::new(),
            client: None,
        }
    }

    /// The same door with other limits on what a request may hold.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same door for requests of a sender of whom this is known: processors may ask for it. Make `client` with
    /// [`account`](Self::account), so that its memory is the neighbours'.
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use spanwire_core::batch::ClientInfo;
    /// # use spanwire_core::pipeline::Pipeline;
    /// # use spanwire_core::testing::InMemoryExporter;
    /// use spanwire_core::processor::{Actions, ResourceProcessor};
    /// # let kept = InMemoryExporter::new();
    /// # let exporter = kept.clone();
    ///
    /// let tenant = Actions::new().upsert_from_client("tenant", "metadata.x-tenant");
    /// let tenant = ResourceProcessor::new(tenant);
    /// let pipeline = Pipeline::builder()
    ///     .neighbours(1 << 20)
    ///     .stage(move || tenant.clone())
    ///     .exporter(move || exporter.clone())
    ///     .build()?;
    /// let intake = pipeline.intake();
    /// let account = intake.account().expect("the pipeline runs");
    /// let client = ClientInfo::new(&[("metadata.x-tenant", "blue")], &account)?;
    /// intake.with_client(client).offer(&[0x0a, 4, 0x12, 2, 0x12, 0])?;
    /// pipeline.shutdown(Duration::from_secs(5));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_client(mut self, client: ClientInfo) -> Self {
        self.client = Some(client);
        self
    }

    /// The neighbours' share of the budget, for a receiver to charge what it reads before it has a whole request.
    /// `None` once the pipeline is shut down.
    #[must_use]
    pub fn account(&self) -> Option<limiter::Account> {
        Some(self.life()?.arrivals.account.clone())
    }

    /// Offers an `ExportTraceServiceRequest`, encoded as protobuf.
    ///
    /// # Errors
    /// See [`IntakeError`]; nothing of the request was kept.
    pub fn offer(&self, request: &[u8]) -> Result<Received, IntakeError> {
        let visit = self.visit(request)?;
        if visit.spans == 0 {
            return Ok(Received { spans: 0 });
        }
        let segments = visit.copy(request)?;
        visit.admit(segments)
    }

    /// Offers an `ExportTraceServiceRequest` that is held already, in memory granted by [`account`](Self::account): it is
    /// neither charged nor copied again.
    ///
    /// Fields of a request may stand in any order. Where the records of a resource do not follow one another, as they do
    /// from every known exporter, or where another share granted the memory, the request is copied as by
    /// [`offer`](Self::offer).
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use spanwire_core::pipeline::Pipeline;
    /// # use spanwire_core::testing::InMemoryExporter;
    /// # let kept = InMemoryExporter::new();
    /// # let exporter = kept.clone();
    /// # let pipeline =
    /// #     Pipeline::builder().neighbours(1 << 20).exporter(move || exporter.clone()).build()?;
    /// let intake = pipeline.intake();
    /// let account = intake.account().expect("the pipeline runs");
    /// let mut body = account.acquire(6)?.into_buffer();
    /// // What a receiver reads, as it comes.
    /// for run in [&[0x0a, 4, 0x12][..], &[2, 0x12, 0]] {
    ///     assert!(body.try_put(run));
    /// }
    /// assert_eq!(intake.offer_buffer(body)?.spans(), 1);
    /// # pipeline.shutdown(Duration::from_secs(5));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`IntakeError`]; nothing of the request was kept.
    pub fn offer_buffer(&self, request: Buffer) -> Result<Received, IntakeError> {
        let visit = self.visit(request.as_slice())?;
        if visit.spans == 0 {
            return Ok(Received { spans: 0 });
        }
        let segments = visit.take_over(request)?;
        visit.admit(segments)
    }

    /// Offers a request as [`offer_buffer`](Self::offer_buffer) does, and says what becomes of it: for a receiver that
    /// answers only when its neighbour's spans have been exported.
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use spanwire_core::pipeline::{Delivered, Pipeline};
    /// # use spanwire_core::testing::InMemoryExporter;
    /// # let kept = InMemoryExporter::new();
    /// # let exporter = kept.clone();
    /// # let pipeline =
    /// #     Pipeline::builder().neighbours(1 << 20).exporter(move || exporter.clone()).build()?;
    /// # use core::future::Future;
    /// # use core::task::{Context, Poll, Waker};
    /// # let request = [0x0a, 4, 0x12, 2, 0x12, 0];
    /// let intake = pipeline.intake();
    /// let account = intake.account().expect("the pipeline runs");
    /// let mut body = account.acquire(request.len())?.into_buffer();
    /// assert!(body.try_put(&request));
    /// // In a task: `delivery.await`.
    /// let delivery = intake.deliver(body)?;
    /// pipeline.shutdown(Duration::from_secs(5));
    /// let polled = core::pin::pin!(delivery).poll(&mut Context::from_waker(Waker::noop()));
    /// assert_eq!(polled, Poll::Ready(Delivered::Exported));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`IntakeError`]; nothing of the request was kept.
    pub fn deliver(&self, request: Buffer) -> Result<Delivery, IntakeError> {
        let visit = self.visit(request.as_slice())?;
        if visit.spans == 0 {
            return Ok(Delivery::of_nothing());
        }
        Self::awaited(visit, request, Delivery::new)
    }

    /// Offers a request as [`deliver`](Self::deliver) does, and says what processors make of it: ready when they have passed on
    /// its spans, as far as a [`Batcher`](crate::batch::Batcher) or the lanes, and before these are exported. For a receiver whose
    /// neighbours are to hear that a processor fails on what they send.
    ///
    /// Processors work when lanes have use for what they give: with a backlog that may take as long as the backlog is. Whoever
    /// waits sets a limit, after which the spans are admitted all the same.
    ///
    /// # Errors
    /// See [`IntakeError`]; nothing of the request was kept.
    pub fn screen(&self, request: Buffer) -> Result<Delivery, IntakeError> {
        let visit = self.visit(request.as_slice())?;
        if visit.spans == 0 {
            return Ok(Delivery::of_nothing());
        }
        Self::awaited(visit, request, Delivery::of_screening)
    }

    fn awaited(
        visit: Visit<'_>,
        request: Buffer,
        new: fn(usize) -> (Delivery, Arc<Ack>),
    ) -> Result<Delivery, IntakeError> {
        let (delivery, ack) = new(visit.spans);
        let segments = visit.take_over(request)?.into_iter();
        visit.admit(
            segments
                .map(|segment| segment.with_ack(ack.clone()))
                .collect(),
        )?;
        Ok(delivery)
    }

    fn life(&self) -> Option<&Arc<Life>> {
        self.lives.now().filter(|life| !life.is_ending())
    }

    /// A request stands at the door: whether it is well-formed, and how many spans it has.
    fn visit(&self, request: &[u8]) -> Result<Visit<'_>, IntakeError> {
        let life = self.life().ok_or(IntakeError::Closed)?;
        let route = life.route(self.receiver).ok_or(IntakeError::NoPipeline)?;
        match validate(request, &self.limits) {
            Ok(validated) => {
                let spans = validated.counts().spans;
                let received = &life.arrivals.received;
                received.fetch_add(spans as u64, Ordering::Relaxed);
                Ok(Visit {
                    life,
                    route,
                    spans,
                    client: self.client.as_ref(),
                })
            }
            Err(invalid) => {
                life.arrivals.malformed.fetch_add(1, Ordering::Relaxed);
                Err(IntakeError::Invalid(invalid))
            }
        }
    }
}

/// A well-formed request, until it is admitted.
struct Visit<'a> {
    life: &'a Life,
    route: Arc<[PipelineId]>,
    spans: usize,
    client: Option<&'a ClientInfo>,
}

impl Visit<'_> {
    fn refuse(&self, error: IntakeError) -> IntakeError {
        let refused = &self.life.arrivals.refused;
        refused.fetch_add(self.spans as u64, Ordering::Relaxed);
        error
    }

    fn segment(&self, head: Bytes, body: Bytes, spans: usize) -> Segment {
        let moment = self.life.moment();
        Segment::new(Head::new(head), body, spans, moment, Door::Neighbours)
            .with_client(self.client.cloned())
    }

    /// The request as segments, in memory of their own.
    fn copy(&self, request: &[u8]) -> Result<Vec<Segment>, IntakeError> {
        let (mut bytes, mut count) = (0_usize, 0_usize);
        for part in with_spans(request) {
            bytes += part.head_len() + part.body_len();
            count += 1;
        }
        let account = &self.life.arrivals.account;
        let permit = account.acquire(bytes.saturating_add(listing(count)));
        let refuse = |refused| self.refuse(IntakeError::NoRoom(refused));
        let mut buffer = permit.map_err(refuse)?.into_buffer();
        for part in with_spans(request) {
            let _ = part
                .head()
                .chain(part.body())
                .all(|run| buffer.try_put(run));
        }
        let buffer = buffer.freeze();
        let mut at = 0;
        let cut = |part: Part<'_>| {
            let body_at = at + part.head_len();
            let end = body_at + part.body_len();
            let parts = (end <= buffer.len())
                .then(|| (buffer.slice(at..body_at), buffer.slice(body_at..end)));
            at = end;
            let (head, body) = parts?;
            Some(self.segment(head, body, part.spans()))
        };
        Ok(with_spans(request).filter_map(cut).collect())
    }

    /// The request as segments, in the memory it is in.
    fn take_over(&self, request: Buffer) -> Result<Vec<Segment>, IntakeError> {
        let bytes = request.as_slice();
        let count = with_spans(bytes).count();
        let is_ours = request.account().is_same(&self.life.arrivals.account);
        if !is_ours || !with_spans(bytes).all(|part| is_in_one_piece(&part)) {
            return self.copy(bytes);
        }
        let frozen = request.freeze_with(listing(count));
        let bytes = frozen.map_err(|refused| self.refuse(IntakeError::NoRoom(refused)))?;
        let cut = |part: Part<'_>| {
            let slice = |mut runs: Runs<'_>| {
                runs.next()
                    .map_or_else(Bytes::new, |run| bytes.slice_ref(run))
            };
            let spans = if count == 1 { self.spans } else { part.spans() };
            self.segment(slice(part.head()), slice(part.body()), spans)
        };
        Ok(with_spans(&bytes).map(cut).collect())
    }

    fn admit(self, segments: Vec<Segment>) -> Result<Received, IntakeError> {
        let spans = self.spans;
        if !self.life.offer(segments, self.route.clone()) {
            return Err(self.refuse(IntakeError::Closed));
        }
        Ok(Received { spans })
    }
}

/// The resources of a request that have spans.
fn with_spans(request: &[u8]) -> impl Iterator<Item = Part<'_>> + Clone {
    parts(request).filter(Part::has_spans)
}

/// Whether neither head nor body is in several places.
fn is_in_one_piece(part: &Part<'_>) -> bool {
    part.head().nth(1).is_none() && part.body().nth(1).is_none()
}

/// What so many segments cost beside their bytes. One is paid for with the permit of the bytes.
fn listing(segments: usize) -> usize {
    segments.saturating_sub(1).saturating_mul(OVERHEAD)
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
    /// The pipeline is shut down. Sending it later may succeed: with what takes its place.
    Closed,
    /// No pipeline takes spans of neighbours.
    NoPipeline,
}

impl IntakeError {
    /// Whether the same request may be admitted later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoRoom(refused) => refused.is_retryable(),
            Self::Closed => true,
            Self::Invalid(_) | Self::NoPipeline => false,
        }
    }
}

impl fmt::Display for IntakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(_) => f.write_str("malformed request"),
            Self::NoRoom(_) => f.write_str("no memory for the request"),
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
/// `received = refused + admitted` over well-formed requests. A request that comes after the end, or to a receiver that no
/// pipeline names, is refused unread: it is in none of these numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntakeAccount {
    /// Spans in well-formed requests.
    pub received: u64,
    /// Of these, spans that were refused for want of memory, or because the pipeline ended meanwhile.
    pub refused: u64,
    /// Of these, spans that were admitted.
    pub admitted: u64,
    /// Of the admitted spans, those that the engine did not take after all: none, as long as the worker lives. Were there
    /// any, they would be counted here rather than vanish, and a report on them is not complete.
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
