//! Door B: requests of neighbours that a receiver holds already are charged once, copied only where they must be, and
//! counted whatever becomes of them.

use std::future::Future;
use std::num::NonZeroU8;
use std::pin::{Pin, pin};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use spanwire_core::batch::{Batch, BatchLimits, Batcher, ClientInfo, Segment};
use spanwire_core::engine::Retry;
use spanwire_core::exporter::{Exporter, Outcome, Reply};
use spanwire_core::limiter::{Account, Buffer, OVERHEAD};
use spanwire_core::pipeline::{Delivered, Delivery, IntakeError, Pipeline, PipelineBuilder};
use spanwire_core::processor::{
    Actions, Condition, Edit, FilterProcessor, Later, OttlCondition, OttlContext, Processor,
    ResourceProcessor,
};
use spanwire_core::stats::DropReason;
use spanwire_core::testing::InMemoryExporter;
use spanwire_core::wire::SpanKind;

/// Long enough for anything that is not to take long, on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(60);

/// A resource with a host, and a scope with so many spans.
fn resource(spans: usize) -> Vec<u8> {
    let scope_spans: Vec<u8> = (0..spans).flat_map(|_| [0x12, 2, 0x30, 1]).collect();
    let mut resource = vec![
        0x0a,
        2,
        0x10,
        1,
        0x12,
        u8::try_from(scope_spans.len()).unwrap(),
    ];
    resource.extend(scope_spans);
    resource
}

fn request(resources: &[Vec<u8>]) -> Vec<u8> {
    let mut request = Vec::new();
    for resource in resources {
        request.extend([0x0a, u8::try_from(resource.len()).unwrap()]);
        request.extend(resource);
    }
    request
}

fn builder() -> PipelineBuilder {
    Pipeline::builder()
        .neighbours(1 << 20)
        .schedule_delay(Duration::from_millis(1))
}

fn held(pipeline: &Pipeline, bytes: &[u8]) -> Buffer {
    let account = pipeline.intake().account().expect("the pipeline runs");
    let mut buffer = account.acquire(bytes.len()).unwrap().into_buffer();
    assert!(buffer.try_put(bytes));
    buffer
}

fn in_use(pipeline: &Pipeline) -> usize {
    pipeline.stats().memory.expect("it runs").neighbours.in_use
}

/// Keeps every batch, and says that it was exported.
#[derive(Clone, Default)]
struct Keeper(Arc<Mutex<Vec<Batch>>>);

impl Exporter for Keeper {
    fn export(&mut self, batch: Batch, reply: Reply) {
        self.0.lock().unwrap().push(batch);
        reply.done(Outcome::Exported);
    }
}

/// A pipeline, and who keeps what it exports.
fn kept() -> (Pipeline, Keeper) {
    let keeper = Keeper::default();
    let exporter = keeper.clone();
    let builder = builder().exporter(move || exporter.clone());
    (builder.build().unwrap(), keeper)
}

/// Its requests, one after another.
fn bytes_of(keeper: &Keeper) -> Vec<u8> {
    let batches = keeper.0.lock().unwrap();
    batches.iter().flat_map(Batch::to_vec).collect()
}

#[test]
fn a_request_that_is_held_is_charged_once_and_not_copied() {
    let (pipeline, keeper) = kept();
    let bytes = request(&[resource(3), resource(1), resource(2)]);
    let buffer = held(&pipeline, &bytes);
    let at = buffer.as_slice().as_ptr_range();
    assert_eq!(in_use(&pipeline), bytes.len() + OVERHEAD);
    assert_eq!(pipeline.intake().offer_buffer(buffer).unwrap().spans(), 6);
    // One request, listed as three segments.
    assert_eq!(in_use(&pipeline), bytes.len() + 3 * OVERHEAD);
    assert!(pipeline.flush(LONG).is_complete());
    {
        let batches = keeper.0.lock().unwrap();
        let mut parts = batches
            .iter()
            .flat_map(Batch::segments)
            .flat_map(|s| s.body_parts());
        assert!(
            parts.all(|part| at.contains(&part.as_ptr())),
            "a body was copied"
        );
    }
    assert_eq!(
        in_use(&pipeline),
        bytes.len() + 3 * OVERHEAD,
        "what is kept stays charged"
    );
    keeper.0.lock().unwrap().clear();
    assert_eq!(in_use(&pipeline), 0);
    assert!(pipeline.shutdown(LONG).is_complete());
}

/// Has an exporter let go of what it keeps, and looks at once what memory is in use: on the thread of the pipeline, which is
/// about to give its answer and has done nothing since.
struct Looks {
    let_go: Box<dyn Fn() + Send + Sync>,
    account: Account,
    seen: Mutex<Option<usize>>,
}

impl Looks {
    fn at(pipeline: &Pipeline, let_go: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            let_go: Box::new(let_go),
            account: pipeline.intake().account().unwrap(),
            seen: Mutex::new(None),
        })
    }

    fn seen(&self) -> usize {
        let begun = Instant::now();
        loop {
            if let Some(seen) = *self.seen.lock().unwrap() {
                return seen;
            }
            assert!(begun.elapsed() < LONG, "nobody is told");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        (self.let_go)();
        let mut seen = self.seen.lock().unwrap();
        seen.get_or_insert(self.account.in_use());
    }
}

/// Holds the first segment up until the test has come as far.
struct Waits(Option<Arc<Barrier>>);

impl Processor for Waits {
    fn name(&self) -> &str {
        "waits"
    }

    fn process(&mut self, segment: Segment, edit: &mut Edit<'_>) -> Result<(), Later> {
        if let Some(barrier) = self.0.take() {
            barrier.wait();
        }
        edit.emit(segment);
        Ok(())
    }
}

/// Guarantees: of what a flush, a shutdown or a delivery says is settled the pipeline holds nothing when it says so. What
/// exporters do not keep is free then, and what they keep is free when they let go of it.
#[test]
fn what_is_settled_is_let_go_before_that_is_said() {
    type Call = fn(&Pipeline, Buffer) -> Pin<Box<dyn Future<Output = bool>>>;
    let flush: Call = |pipeline, buffer| {
        assert_eq!(pipeline.intake().offer_buffer(buffer).unwrap().spans(), 6);
        let flushed = pipeline.flush_async(LONG);
        Box::pin(async { flushed.await.is_complete() })
    };
    let shutdown: Call = |pipeline, buffer| {
        assert_eq!(pipeline.intake().offer_buffer(buffer).unwrap().spans(), 6);
        let ended = pipeline.shutdown_async(LONG);
        Box::pin(async { ended.await.is_complete() })
    };
    let deliver: Call = |pipeline, buffer| {
        let delivery = pipeline.intake().deliver(buffer).unwrap();
        Box::pin(async { delivery.await == Delivered::Exported })
    };
    for (what, keeps, call) in [
        ("flush", false, flush),
        ("flush, kept", true, flush),
        ("shutdown", false, shutdown),
        ("shutdown, kept", true, shutdown),
        // While a part of it is kept, a request is not delivered.
        ("deliver", false, deliver),
    ] {
        let (keeper, barrier) = (Keeper::default(), Arc::new(Barrier::new(2)));
        let (exporter, gate) = (keeper.clone(), barrier.clone());
        let builder = builder().stage(move || Waits(Some(gate.clone())));
        let builder = match keeps {
            true => builder.exporter(move || exporter.clone()),
            false => builder.exporter(InMemoryExporter::new),
        };
        let pipeline = builder.build().unwrap();
        let looks = Looks::at(&pipeline, move || keeper.0.lock().unwrap().clear());
        let bytes = request(&[resource(3), resource(1), resource(2)]);
        let mut called = call(&pipeline, held(&pipeline, &bytes));
        let waker = Waker::from(looks.clone());
        let polled = called.as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Pending);
        barrier.wait();
        assert_eq!(looks.seen(), 0, "{what}");
        let polled = called
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(true), "{what}");
        assert!(pipeline.shutdown(LONG).is_complete());
    }
}

/// Keeps every batch, and answers nothing.
#[derive(Clone, Default)]
struct Silent(Arc<Mutex<Vec<(Batch, Reply)>>>);

impl Exporter for Silent {
    fn export(&mut self, batch: Batch, reply: Reply) {
        self.0.lock().unwrap().push((batch, reply));
    }
}

/// Scenario: an exporter keeps its batch until the pipeline has given it up.
/// Guarantees: when that is said, the batch is the exporter's alone.
#[test]
fn what_was_given_up_is_let_go_before_that_is_said() {
    let silent = Silent::default();
    let exporter = silent.clone();
    let pipeline = builder()
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let bytes = request(&[resource(2)]);
    let buffer = held(&pipeline, &bytes);
    assert_eq!(pipeline.intake().offer_buffer(buffer).unwrap().spans(), 2);
    let begun = Instant::now();
    while silent.0.lock().unwrap().is_empty() {
        assert!(begun.elapsed() < LONG, "nothing is exported");
        std::thread::sleep(Duration::from_millis(1));
    }
    let looks = Looks::at(&pipeline, move || silent.0.lock().unwrap().clear());
    let waker = Waker::from(looks.clone());
    let mut ended = Box::pin(pipeline.shutdown_async(Duration::from_millis(50)));
    // Ready only where the pipeline was given up before it could answer, which it does all the same.
    let _ = ended.as_mut().poll(&mut Context::from_waker(&waker));
    assert_eq!(looks.seen(), 0);
    assert_eq!(pipeline.shutdown(LONG).lost(), 2);
}

#[test]
fn records_that_stand_apart_are_brought_together() {
    let (pipeline, keeper) = kept();
    // scope_spans { spans { } }, schema_url "u", scope_spans { spans { } }
    let bytes = *b"\x0a\x0b\x12\x02\x12\x00\x1a\x01u\x12\x02\x12\x00";
    let received = pipeline.intake().offer_buffer(held(&pipeline, &bytes));
    assert_eq!(received.unwrap().spans(), 2);
    assert!(pipeline.flush(LONG).is_complete());
    assert_eq!(
        bytes_of(&keeper),
        b"\x0a\x0b\x1a\x01u\x12\x02\x12\x00\x12\x02\x12\x00"
    );
    assert_eq!(in_use(&pipeline), 11 + OVERHEAD);
    assert!(pipeline.shutdown(LONG).is_complete());
}

#[test]
fn memory_of_another_share_is_not_taken_over() {
    let (pipeline, keeper) = kept();
    let other = builder().exporter(InMemoryExporter::new).build().unwrap();
    let bytes = request(&[resource(2)]);
    let received = pipeline.intake().offer_buffer(held(&other, &bytes));
    assert_eq!(received.unwrap().spans(), 2);
    assert_eq!(in_use(&other), 0);
    assert!(pipeline.flush(LONG).is_complete());
    assert_eq!(bytes_of(&keeper), bytes);
    assert_eq!(in_use(&pipeline), bytes.len() - 2 + OVERHEAD);
    assert!(pipeline.shutdown(LONG).is_complete());
    assert!(other.shutdown(LONG).is_complete());
}

#[test]
fn what_is_refused_is_counted_and_given_back() {
    let pipeline = builder().exporter(InMemoryExporter::new).build().unwrap();
    let intake = pipeline.intake();
    let bytes = request(&[resource(2)]);
    let cut = held(&pipeline, &bytes[..bytes.len() - 1]);
    assert!(matches!(
        intake.offer_buffer(cut),
        Err(IntakeError::Invalid(_))
    ));
    assert_eq!(in_use(&pipeline), 0);
    assert_eq!(
        intake.offer_buffer(held(&pipeline, b"")).unwrap().spans(),
        0
    );
    assert_eq!(in_use(&pipeline), 0);
    let late = held(&pipeline, &bytes);
    let report = pipeline.shutdown(LONG);
    let account = report.neighbours();
    assert_eq!((account.malformed_requests, account.received), (1, 0));
    let error = intake.offer_buffer(late).unwrap_err();
    assert_eq!(error, IntakeError::Closed);
    assert!(
        error.is_retryable(),
        "what takes the place of the pipeline may take it"
    );
    assert!(intake.account().is_none());
}

/// A request whose segments could not be listed is refused whole: a hundred resources of one span cost a hundred
/// entries.
#[test]
fn many_small_segments_are_paid_for() {
    let pipeline = Pipeline::builder()
        .neighbours(20 << 10)
        .exporter(InMemoryExporter::new)
        .build()
        .unwrap();
    let bytes = request(&vec![resource(1); 100]);
    let error = pipeline
        .intake()
        .offer_buffer(held(&pipeline, &bytes))
        .unwrap_err();
    assert!(matches!(error, IntakeError::NoRoom(_)), "{error}");
    assert_eq!(in_use(&pipeline), 0);
    let report = pipeline.shutdown(LONG);
    let account = report.neighbours();
    assert_eq!(
        (account.received, account.refused, account.admitted),
        (100, 100, 0)
    );
}

/// Says what it was told to say, once for each batch.
#[derive(Clone)]
struct Says(Arc<Mutex<Vec<Outcome>>>);

impl Exporter for Says {
    fn export(&mut self, batch: Batch, reply: Reply) {
        drop(batch);
        let next = self.0.lock().unwrap().pop();
        reply.done(next.unwrap_or(Outcome::Exported));
    }
}

fn delivered(builder: PipelineBuilder, outcomes: &[Outcome]) -> Delivered {
    let says = Says(Arc::new(Mutex::new(
        outcomes.iter().rev().cloned().collect(),
    )));
    let pipeline = builder
        .exporter(InMemoryExporter::new)
        .exporter(move || says.clone())
        .build()
        .unwrap();
    let mut bytes = request(&[resource(2), resource(3)]);
    // The last span is of another kind than the rest.
    *bytes.last_mut().unwrap() = SpanKind::Server as u8;
    let delivery = pipeline.intake().deliver(held(&pipeline, &bytes)).unwrap();
    assert_eq!(delivery.spans(), 5);
    let _report = pipeline.shutdown(LONG);
    match pin!(delivery).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(delivered) => delivered,
        Poll::Pending => panic!("nothing is left of the request, and nobody has said so"),
    }
}

/// Scenario: two exporters, of which the second answers as the row says; the pipeline is shut down.
/// Guarantees: a sender who waits is told the worst that became of its request, and never `Exported` of a lost span.
#[test]
fn a_sender_who_waits_is_told_the_truth() {
    let retry = || Outcome::retry("busy");
    let partial = Outcome::Partial {
        rejected: 1,
        message: "one is too old".into(),
    };
    let rows = [
        (vec![], Delivered::Exported),
        (vec![partial], Delivered::Exported),
        (
            vec![Outcome::rejected("bad")],
            Delivered::Rejected { code: None },
        ),
        (
            vec![Outcome::Rejected {
                code: NonZeroU8::new(16),
                reason: "no token".into(),
            }],
            Delivered::Rejected {
                code: NonZeroU8::new(16),
            },
        ),
        (vec![retry(), retry(), retry(), retry()], Delivered::Lost),
        (vec![Outcome::Panicked], Delivered::Lost),
        // Too large for one request, and well in pieces; one piece of it refused.
        (vec![Outcome::TooLarge { limit: None }], Delivered::Exported),
        (
            vec![Outcome::TooLarge { limit: None }, Outcome::rejected("bad")],
            Delivered::Rejected { code: None },
        ),
        (vec![Outcome::Unanswered], Delivered::Lost),
    ];
    for (outcomes, expected) in rows {
        assert_eq!(delivered(builder(), &outcomes), expected, "{outcomes:?}");
    }
}

/// A filter that takes spans out has not lost them, and an edit that copies a body loses nobody who waits for it.
#[test]
fn what_a_filter_takes_out_is_delivered() {
    let without = |kind| builder().stage(move || FilterProcessor::new(vec![Condition::Kind(kind)]));
    let refused = || vec![Outcome::rejected("bad")];
    let (some, all) = (SpanKind::Server, SpanKind::Internal);
    assert_eq!(delivered(without(some), &[]), Delivered::Exported);
    assert_eq!(
        delivered(without(some), &refused()),
        Delivered::Rejected { code: None }
    );
    assert_eq!(delivered(without(all), &[]), Delivered::Exported);
}

/// Writes segments of its own.
struct Anew;

impl Processor for Anew {
    fn name(&self) -> &str {
        "anew"
    }

    fn process(&mut self, segment: Segment, edit: &mut Edit<'_>) -> Result<(), Later> {
        let body: Vec<u8> = segment.body_parts().flatten().copied().collect();
        let (head, first_end, door) = (segment.head(), segment.first_end(), segment.door());
        let (head, spans) = (head.clone(), segment.spans());
        edit.emit(Segment::new(head, body.into(), spans, first_end, door));
        Ok(())
    }
}

/// What a stage writes in the place of a segment is the sender's as well.
#[test]
fn a_stage_that_writes_its_own_segments_loses_nobody_who_waits() {
    let anew = || builder().stage(|| Anew);
    assert_eq!(delivered(anew(), &[]), Delivered::Exported);
    let refused = [Outcome::rejected("bad")];
    assert_eq!(
        delivered(anew(), &refused),
        Delivered::Rejected { code: None }
    );
}

/// Wakes the thread that waits.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Scenario: a task waits while the exporter retries. Guarantees: it is woken when the request has left.
#[test]
fn a_delivery_wakes_the_task_that_waits_for_it() {
    let says = Says(Arc::new(Mutex::new(vec![Outcome::retry("busy")])));
    let soon = Duration::from_millis(20);
    let retry = Retry {
        initial: soon,
        max: soon,
        ..Retry::default()
    };
    let pipeline = builder()
        .retry(retry)
        .exporter(move || says.clone())
        .build()
        .unwrap();
    let nothing = pipeline.intake().deliver(held(&pipeline, b"")).unwrap();
    let bytes = request(&[resource(1)]);
    let delivery = pipeline.intake().deliver(held(&pipeline, &bytes)).unwrap();
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    assert_eq!(
        pin!(nothing).poll(&mut context),
        Poll::Ready(Delivered::Exported)
    );
    let mut delivery = pin!(delivery);
    let begun = Instant::now();
    while delivery.as_mut().poll(&mut context).is_pending() {
        std::thread::park_timeout(LONG);
        assert!(begun.elapsed() < LONG, "nobody woke this thread");
    }
    assert_eq!(
        delivery.poll(&mut context),
        Poll::Ready(Delivered::Exported)
    );
    assert!(pipeline.shutdown(LONG).is_complete());
}

#[test]
fn what_is_known_of_a_sender_stays_with_every_piece_of_its_request() {
    let kept = InMemoryExporter::new();
    let exporter = kept.clone();
    let limits = BatchLimits {
        spans: Some(2),
        age: Duration::from_millis(200),
        ..BatchLimits::default()
    };
    let tenant = ResourceProcessor::new(Actions::new().upsert_from_client("tenant", "tenant"));
    let pipeline = builder()
        .stage(move || Batcher::new(limits))
        .stage(|| Anew)
        .stage(move || tenant.clone())
        .exporter(move || exporter.clone());
    let pipeline = pipeline.build().unwrap();
    let account = pipeline.intake().account().unwrap();
    for (tenant, resources) in [("blue", vec![5, 1]), ("red", vec![3])] {
        let resources: Vec<_> = resources.into_iter().map(resource).collect();
        let client = ClientInfo::new(&[("tenant", tenant)], &account).unwrap();
        let intake = pipeline.intake().with_client(client);
        intake.offer(&request(&resources)).unwrap();
    }
    pipeline.intake().offer(&request(&[resource(1)])).unwrap();
    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete(), "{report}");

    let mut spans = [0; 3];
    kept.each_span(|resource, _, _| {
        let mut attributes = resource.resource().unwrap().attributes();
        let tenant = attributes.find(|one| one.key() == "tenant");
        spans[match tenant.and_then(|one| one.value().as_str()) {
            Some("blue") => 0,
            Some("red") => 1,
            other => {
                assert_eq!(other, None);
                2
            }
        }] += 1;
    });
    assert_eq!(spans, [6, 3, 1]);
    drop(pipeline);
    assert_eq!(account.in_use(), 0, "what was known is let go of");
}

/// What a delivery says, within a while.
fn delivered_of(delivery: Delivery) -> Delivered {
    let (mut delivery, began) = (pin!(delivery), Instant::now());
    loop {
        let polled = delivery
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Ready(delivered) => return delivered,
            Poll::Pending => assert!(began.elapsed() < LONG, "nobody says what became of it"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A filter that fails on a span whose `n` is no number, and leaves out those where it is 1.
fn failing() -> FilterProcessor {
    let condition = OttlCondition::parse("attributes[\"n\"] * 2 == 2", OttlContext::Span);
    FilterProcessor::new(vec![Condition::Ottl(condition.unwrap().or_fail())])
}

/// A span that says what its `n` is.
fn numbered(n: &str, value: &[u8]) -> Vec<u8> {
    let len = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let pair = [
        &[0x0a, len(n.as_bytes())],
        n.as_bytes(),
        &[0x12, len(value)],
        value,
    ]
    .concat();
    let span = [&[0x4a, len(&pair)], &pair[..]].concat();
    [&[0x12, len(&span) + 2, 0x12, len(&span)], &span[..]].concat()
}

#[test]
fn who_sends_what_a_processor_fails_on_is_told() {
    let pipeline = builder().stage(failing).exporter(InMemoryExporter::new);
    let pipeline = pipeline.build().unwrap();
    let (one, two, text) = (&[0x18, 1], &[0x18, 2], &[0x0a, 1, b'x']);
    let asked = |spans: &[Vec<u8>]| {
        let bytes = request(&[spans.concat()]);
        let delivery = pipeline.intake().screen(held(&pipeline, &bytes)).unwrap();
        delivered_of(delivery)
    };
    assert_eq!(
        asked(&[numbered("n", one), numbered("n", two)]),
        Delivered::Passed
    );
    assert_eq!(asked(&[numbered("n", one)]), Delivered::Passed);
    assert_eq!(
        asked(&[numbered("n", two), numbered("n", text)]),
        Delivered::Failed
    );
    // What is not there is nil, and nil can't be multiplied.
    assert_eq!(asked(&[numbered("m", one)]), Delivered::Failed);
    let report = pipeline.flush(LONG);
    let account = &report.lanes()[0].account;
    assert_eq!(
        (
            account.filtered,
            account.dropped.get(DropReason::ConditionFailed)
        ),
        (2, 3)
    );

    // Who waits for the export hears the same.
    let bytes = request(&[numbered("n", text)]);
    let delivery = pipeline.intake().deliver(held(&pipeline, &bytes)).unwrap();
    assert_eq!(delivered_of(delivery), Delivered::Failed);
    // Since the flush.
    assert_eq!(pipeline.shutdown(LONG).lost(), 1);
}

#[test]
fn who_waits_for_processors_waits_for_no_batch() {
    let limits = BatchLimits {
        age: LONG,
        ..BatchLimits::default()
    };
    let pipeline = builder()
        .stage(move || Batcher::new(limits))
        .stage(failing)
        .exporter(InMemoryExporter::new)
        .build()
        .unwrap();
    let bytes = request(&[numbered("n", &[0x0a, 1, b'x'])]);
    let delivery = pipeline.intake().screen(held(&pipeline, &bytes)).unwrap();
    assert_eq!(delivered_of(delivery), Delivered::Passed);
    let report = pipeline.shutdown(LONG);
    assert_eq!(report.lost(), 1, "{report}");
}
