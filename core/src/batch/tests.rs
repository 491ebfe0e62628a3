use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::samples::{any_segments, flatten, flatten_segments, segment_of};
use super::*;
use crate::limiter::{Account, Door, MemoryLimiter};
use crate::wire::raw::{Fields, Payload};
use crate::wire::varint;

fn reserve(bytes: usize) -> Account {
    MemoryLimiter::builder(bytes + 256)
        .reserve(bytes)
        .build()
        .unwrap()
        .reserve()
}

fn at(nanos: u64) -> Moment {
    Moment::from_nanos(nanos)
}

fn flatten_batches(batches: &[Batch]) -> Vec<samples::Flat> {
    batches
        .iter()
        .flat_map(|batch| flatten(&batch.to_vec()))
        .collect()
}

/// Guarantees: the views of a batch say what an independent decoder says.
fn views_agree(batch: &Batch) -> Result<(), TestCaseError> {
    let expected = flatten(&batch.to_vec());
    prop_assert_eq!(batch.views().count(), expected.len());
    for (view, (resource, resource_schema_url, scope, schema_url, span)) in
        batch.views().zip(expected)
    {
        prop_assert_eq!(view.span.name(), span.name);
        prop_assert_eq!(view.span.trace_id().to_bytes().to_vec(), span.trace_id);
        prop_assert_eq!(view.span.attributes().count(), span.attributes.len());
        prop_assert_eq!(view.resource_schema_url(), resource_schema_url);
        prop_assert_eq!(view.schema_url(), schema_url);
        let attributes = view
            .resource()
            .map(|resource| resource.attributes().count());
        prop_assert_eq!(
            attributes,
            resource.map(|resource| resource.attributes.len())
        );
        prop_assert_eq!(
            view.scope().map(|scope| scope.name().into()),
            scope.map(|scope| scope.name)
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 64 }))]

    /// Guarantees: the chunks are the request of all segments, in the length that was promised.
    #[test]
    fn chunks_are_a_request_of_every_span(segments in any_segments()) {
        let expected = flatten_segments(&segments);
        let runs = segments.chunk_by(|a, b| a.head() == b.head()).count();
        let batch = Batch::from_iter(segments.clone());
        prop_assert!(batch.chunks().all(|chunk| !chunk.is_empty()));
        prop_assert!(batch.clone().into_chunks().eq(batch.chunks()));
        let request = batch.to_vec();
        prop_assert_eq!(request.len(), batch.encoded_len());
        prop_assert_eq!(flatten(&request), &expected[..]);
        prop_assert_eq!(batch.spans(), expected.len());
        views_agree(&batch)?;
        prop_assert_eq!(batch.first_end(), segments.iter().map(Segment::first_end).min());

        let mut resource_spans = 0;
        for field in Fields::new(&request) {
            let Payload::Len(payload) = field.payload else {
                return Err(TestCaseError::fail("not a message"));
            };
            prop_assert_eq!(field.record.len(), 1 + varint::len(payload.len() as u64) + payload.len());
            resource_spans += 1;
        }
        prop_assert_eq!(resource_spans, runs);
    }

    /// Guarantees: pieces of pieces hold every span once, in order, each well-formed, and what they paid is given back.
    #[test]
    fn a_split_covers_every_span_once(segments in any_segments(), pieces in 0..12_usize, again in 2..9_usize) {
        let reserve = reserve(1 << 20);
        let batch = Batch::from_iter(segments);
        let expected = flatten(&batch.to_vec());
        match batch.split(pieces, &reserve) {
            Err(error) => {
                prop_assert_eq!(error, SplitError::OneSpan);
                prop_assert_eq!(expected.len(), 1);
            }
            Ok(split) => {
                prop_assert_eq!(split.len(), pieces.clamp(2, MAX_PIECES).min(expected.len()));
                prop_assert_eq!(flatten_batches(&split), &expected[..]);
                let mut smaller = Vec::new();
                for piece in split {
                    prop_assert!(piece.segments().iter().all(|segment| segment.spans() > 0));
                    prop_assert_eq!(flatten(&piece.to_vec()).len(), piece.spans());
                    prop_assert_eq!(piece.to_vec().len(), piece.encoded_len());
                    views_agree(&piece)?;
                    match piece.split(again, &reserve) {
                        Ok(pieces) => smaller.extend(pieces),
                        Err(SplitError::OneSpan) => smaller.push(piece),
                        Err(error) => return Err(TestCaseError::fail(alloc::format!("{error}"))),
                    }
                }
                prop_assert_eq!(flatten_batches(&smaller), &expected[..]);
            }
        }
        prop_assert_eq!(reserve.in_use(), 0);
    }

    /// Guarantees: a batcher gives every span once and in order, past a limit only where one span alone is.
    #[test]
    fn a_batcher_keeps_its_limits(
        segments in any_segments(),
        bytes in 0..3000_usize,
        spans in proptest::option::of(0..10_usize),
    ) {
        let limits = BatchLimits { bytes, spans, age: Duration::from_secs(1) };
        let reserve = reserve(1 << 20);
        let mut batcher = Batcher::new(limits);
        let expected = flatten_segments(&segments);
        let mut batches = Vec::new();
        for segment in segments {
            batcher.push(segment);
            while let Some(batch) = batcher.next(at(0), &reserve) {
                batches.push(batch);
            }
        }
        let waiting = batcher.spans();
        prop_assert_eq!(batches.iter().map(Batch::spans).sum::<usize>() + waiting, expected.len());
        while let Some(batch) = batcher.take(&reserve) {
            batches.push(batch);
        }
        prop_assert!(batcher.is_empty() && batcher.due().is_none());
        prop_assert_eq!(batcher.spans(), 0);
        for batch in &batches {
            if batch.spans() > 1 {
                prop_assert!(batch.encoded_len() <= bytes, "{} > {bytes}", batch.encoded_len());
                prop_assert!(spans.is_none_or(|spans| batch.spans() <= spans));
            }
        }
        prop_assert_eq!(flatten_batches(&batches), expected);
    }
}

#[test]
fn pieces_are_of_about_the_same_size() {
    let reserve = reserve(1 << 20);
    let batch = Batch::from_iter([
        segment_of(1000, 50),
        segment_of(10, 5000),
        segment_of(1000, 50),
    ]);
    for pieces in 2..=MAX_PIECES {
        let split = batch.split(pieces, &reserve).unwrap();
        let share = batch.encoded_len() / pieces;
        for piece in &split {
            assert!(
                piece.encoded_len().abs_diff(share) < 6000,
                "{piece:?} of {share}"
            );
        }
    }
    let by = batch.encoded_len() / 3 + 6000;
    assert_eq!(batch.split_by(by, &reserve).unwrap().len(), 3);
    assert_eq!(batch.split_by(0, &reserve).unwrap().len(), MAX_PIECES);
}

#[test]
fn a_split_copies_no_span() {
    let reserve = reserve(1 << 20);
    let segment = segment_of(100, 1000);
    let body = segment.body().as_ptr_range();
    let split = Batch::from_iter([segment]).split(8, &reserve).unwrap();
    for piece in &split {
        let spans = piece
            .segments()
            .iter()
            .map(|segment| segment.body().as_ptr_range());
        assert!(
            spans
                .clone()
                .all(|part| body.start <= part.start && part.end <= body.end)
        );
        assert!(
            piece
                .segments()
                .iter()
                .all(|segment| segment.lead().len() < 10)
        );
    }
    // 7 cuts, 14 leads.
    assert!(reserve.in_use() < 14 * (256 + 10));
    drop(split);
    assert_eq!(reserve.in_use(), 0);
}

#[test]
fn a_batch_that_cannot_be_split_says_why() {
    let one = Batch::from_iter([segment_of(1, 10)]);
    assert_eq!(
        one.split(2, &reserve(1000)).unwrap_err(),
        SplitError::OneSpan
    );
    assert_eq!(
        Batch::new().split(2, &reserve(1000)).unwrap_err(),
        SplitError::OneSpan
    );

    let two = Batch::from_iter([segment_of(2, 10)]);
    let SplitError::NoRoom(refused) = two.split(2, &reserve(0)).unwrap_err() else {
        panic!("there is no reserve");
    };
    assert!(!refused.is_retryable());
    assert_eq!(two.split(2, &reserve(1000)).unwrap().len(), 2);
    // Whole segments need no room.
    let apart = Batch::from_iter([segment_of(1, 10), segment_of(1, 10)]);
    assert_eq!(apart.split(2, &reserve(0)).unwrap().len(), 2);

    // Not what its maker vouched for: cut off, empty, of another field, with fewer spans.
    for body in [
        &b"\x12\x05\x12\x00"[..],
        b"",
        b"\x0a\x02\x12\x00",
        b"\x12\x02\x12\x00",
        b"\x12\xff\xff\xff\xff\xff",
    ] {
        let body = Bytes::copy_from_slice(body);
        let segment = Segment::new(Head::default(), body, 3, at(0), Door::Neighbours);
        let split = Batch::from_iter([segment]).split(2, &reserve(1000));
        assert_eq!(split.unwrap_err(), SplitError::Malformed);
    }
}

#[test]
fn age_counts_from_the_end_of_the_first_span() {
    let reserve = reserve(0);
    let limits = BatchLimits {
        age: Duration::from_nanos(100),
        ..BatchLimits::default()
    };
    let ended = |nanos| {
        let segment = segment_of(1, 1);
        Segment::new(
            segment.head().clone(),
            segment.body().clone(),
            1,
            at(nanos),
            Door::Own,
        )
    };
    let mut batcher = Batcher::new(limits);
    assert_eq!(batcher.due(), None);
    batcher.push(ended(1000));
    assert_eq!(batcher.due(), Some(at(1100)));
    // A straggler is older than what came before it.
    batcher.push(ended(950));
    assert_eq!(batcher.due(), Some(at(1050)));
    assert!(batcher.next(at(1049), &reserve).is_none());
    assert_eq!(batcher.next(at(1050), &reserve).unwrap().spans(), 2);
    assert_eq!(batcher.due(), None);
}

#[test]
fn a_segment_past_a_limit_goes_out_whole_when_there_is_no_room_to_cut_it() {
    let limits = BatchLimits {
        spans: Some(2),
        ..BatchLimits::default()
    };
    let mut batcher = Batcher::new(limits);
    batcher.push(segment_of(5, 10));
    assert!(batcher.due().unwrap() <= at(0), "it is ready");
    assert_eq!(batcher.next(at(0), &reserve(0)).unwrap().spans(), 5);

    batcher.push(segment_of(5, 10));
    let reserve = reserve(10_000);
    let sizes: Vec<usize> = core::iter::from_fn(|| batcher.take(&reserve))
        .map(|batch| batch.spans())
        .collect();
    assert_eq!(sizes, [2, 2, 1]);
}

#[test]
fn a_lane_cuts_what_fits_and_knows_when() {
    let segments = [segment_of(2, 100), segment_of(2, 100), segment_of(2, 100)];
    let one = Batch::from_iter(segments[..1].to_vec()).encoded_len();
    let two = Batch::from_iter(segments[..2].to_vec()).encoded_len();
    let age = Duration::from_nanos(7);
    for (bytes, spans, taken, full) in [
        (0, None, 1, true),
        (one, None, 1, true),
        (two - 1, None, 1, true),
        (two, None, 2, true),
        (usize::MAX, None, 3, false),
        (usize::MAX, Some(1), 1, true),
        (usize::MAX, Some(3), 1, true),
        (usize::MAX, Some(4), 2, true),
        (usize::MAX, Some(6), 3, true),
        (usize::MAX, Some(7), 3, false),
    ] {
        let cut = BatchLimits { bytes, spans, age }.cut(&segments);
        assert_eq!(
            (cut.batch.segments().len(), cut.full),
            (taken, full),
            "{bytes} {spans:?}"
        );
        assert_eq!(cut.due, Some(at(7)));
        assert_eq!(cut.is_ready(at(6)), full);
        assert!(cut.is_ready(at(7)));
    }
    let nothing = BatchLimits::default().cut([]);
    assert!(!nothing.is_ready(at(u64::MAX)));
}

#[test]
fn heads_are_equal_by_their_bytes() {
    let head = Head::from_resource(b"\x10\x01", "");
    assert_eq!(head, head.clone());
    assert_eq!(head, Head::new(Bytes::from_static(b"\x0a\x02\x10\x01")));
    assert_ne!(head, Head::from_resource(b"\x10\x02", ""));
    assert_ne!(head, Head::default());
    assert!(Head::from_resource(b"", "").is_empty());
}

#[cfg(feature = "prost")]
#[test]
fn a_batch_decodes_into_structs() {
    let batch = Batch::from_iter([segment_of(3, 5)]);
    let request = batch.decode().unwrap();
    assert_eq!(
        request.resource_spans[0].scope_spans[0].spans[2].name,
        "00002"
    );
}
