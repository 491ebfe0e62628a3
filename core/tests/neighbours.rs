//! Door B: requests of neighbours that a receiver holds already are charged once, copied only where they must be, and
//! counted whatever becomes of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use spanwire_core::batch::Batch;
use spanwire_core::exporter::{Exporter, Outcome, Reply};
use spanwire_core::limiter::{Buffer, OVERHEAD};
use spanwire_core::pipeline::{IntakeError, Pipeline, PipelineBuilder};
use spanwire_core::testing::InMemoryExporter;

const LONG: Duration = Duration::from_secs(20);

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

fn kept(keeper: &Keeper) -> Vec<u8> {
    let batches = keeper.0.lock().unwrap();
    batches.iter().flat_map(Batch::to_vec).collect()
}

#[test]
fn a_request_that_is_held_is_charged_once_and_not_copied() {
    let keeper = Keeper::default();
    let exporter = keeper.clone();
    let pipeline = builder()
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
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

#[test]
fn records_that_stand_apart_are_brought_together() {
    let keeper = Keeper::default();
    let exporter = keeper.clone();
    let pipeline = builder()
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    // scope_spans { spans { } }, schema_url "u", scope_spans { spans { } }
    let bytes = *b"\x0a\x0b\x12\x02\x12\x00\x1a\x01u\x12\x02\x12\x00";
    let received = pipeline.intake().offer_buffer(held(&pipeline, &bytes));
    assert_eq!(received.unwrap().spans(), 2);
    assert!(pipeline.flush(LONG).is_complete());
    assert_eq!(
        kept(&keeper),
        b"\x0a\x0b\x1a\x01u\x12\x02\x12\x00\x12\x02\x12\x00"
    );
    assert_eq!(in_use(&pipeline), 11 + OVERHEAD);
    assert!(pipeline.shutdown(LONG).is_complete());
}

#[test]
fn memory_of_another_share_is_not_taken_over() {
    let keeper = Keeper::default();
    let exporter = keeper.clone();
    let pipeline = builder()
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let other = builder().exporter(InMemoryExporter::new).build().unwrap();
    let bytes = request(&[resource(2)]);
    let received = pipeline.intake().offer_buffer(held(&other, &bytes));
    assert_eq!(received.unwrap().spans(), 2);
    assert_eq!(in_use(&other), 0);
    assert!(pipeline.flush(LONG).is_complete());
    assert_eq!(kept(&keeper), bytes);
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
