use core::cell::Cell;
use core::time::Duration;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec;
use std::vec::Vec;

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;

use super::pages::PAGE;
use super::storage::Layout;
use super::*;
use crate::batch::Batch;
use crate::exporter::{Exporter, Outcome, Reply};
use crate::pipeline::Pipeline;
use crate::thread;
use crate::wire::encode::{Put, Writer, write_len_field, write_len_prefix};
use crate::wire::field;

std::thread_local! {
    /// The tours of the shards that this thread has made.
    pub(super) static TOURS: Cell<usize> = const { Cell::new(0) };
}

const SCOPE: ScopeRef<'_> = ScopeRef {
    number: 1,
    fields: &[0x0a, 0x03, 0x0a, 0x01, b'a'],
};
const OTHER: ScopeRef<'_> = ScopeRef {
    number: 2,
    fields: &[0x0a, 0x03, 0x0a, 0x01, b'b'],
};

fn ring(blocks: usize, block_bytes: usize) -> Ring {
    Ring::on_heap(Layout {
        blocks,
        block_bytes,
        shards: 1,
        max_shards: 1,
        spans: usize::MAX,
        overwrite: false,
    })
}

/// A record that says `id` in its name.
fn record(id: u64) -> ([u8; 32], usize) {
    let mut bytes = [0; 32];
    let mut out = Writer::new(&mut bytes);
    let name = std::format!("{id}");
    write_len_prefix(&mut out, field::scope_spans::SPANS, name.len() + 2);
    write_len_field(&mut out, field::span::NAME, name.as_bytes());
    let len = out.finish().unwrap();
    (bytes, len)
}

fn append(ring: &Ring, home: usize, scope: ScopeRef<'_>, id: u64) -> Result<Appended, Refused> {
    let (bytes, len) = record(id);
    ring.append(home, scope, Moment::from_nanos(id), len, |out| {
        out.copy_from_slice(&bytes[..len])
    })
}

/// Scope name and span ids of every record in a block.
fn ids(bytes: &[u8]) -> Vec<(std::string::String, Vec<u64>)> {
    ResourceSpans::decode(bytes)
        .unwrap()
        .scope_spans
        .into_iter()
        .map(|scope| {
            let ids = scope
                .spans
                .iter()
                .map(|span| span.name.parse().unwrap())
                .collect();
            (scope.scope.unwrap().name, ids)
        })
        .collect()
}

fn drain(ring: &Ring) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(block) = ring.take() {
        let found: Vec<_> = ids(block.as_bytes())
            .into_iter()
            .flat_map(|(_, ids)| ids)
            .collect();
        assert_eq!(found.len(), block.spans());
        assert_eq!(block.first().as_nanos(), found[0]);
        all.extend(found);
    }
    all
}

#[test]
fn a_ring_is_crowded_when_a_sixth_of_it_waits_to_be_taken() {
    let ring = ring(18, 64);
    let mut id = 0;
    let mut waits = |ring: &Ring, blocks: usize| {
        for _ in 0..blocks {
            id += 1;
            append(ring, 0, SCOPE, id).unwrap();
            assert_eq!(ring.seal_all(), 0);
        }
    };
    assert!(!ring.is_crowded());
    waits(&ring, 3);
    assert!(!ring.is_crowded());
    waits(&ring, 1);
    assert!(ring.is_crowded());
    let taken = ring.take();
    assert!(
        !ring.is_crowded(),
        "what was taken waits no more, though it is in use"
    );
    drop(taken);
}

#[test]
fn every_capacity_takes_what_fits_and_not_one_more() {
    for blocks in [1, 2, 3, 5] {
        // Scope prefix and fields take 9 bytes, a record with a one-digit name 5: three records a block.
        let ring = ring(blocks, 64);
        let (_, len) = record(0);
        let each = (64 - 9) / len;
        for round in 0..3 {
            for id in 0..blocks * each {
                assert!(
                    append(&ring, 0, SCOPE, id as u64 % 10).is_ok(),
                    "{blocks} blocks, span {id}, round {round}"
                );
            }
            assert_eq!(append(&ring, 0, SCOPE, 0), Err(Refused::Full));
            assert_eq!(append(&ring, 7, SCOPE, 0), Err(Refused::Full));
            assert_eq!(ring.used_blocks(), blocks);
            assert_eq!(ring.seal(Which::All).sealed, 1);
            assert_eq!(append(&ring, 0, SCOPE, 0), Err(Refused::Full));
            let expected: Vec<_> = (0..blocks * each).map(|id| id as u64 % 10).collect();
            assert_eq!(drain(&ring), expected);
            assert_eq!(ring.used_blocks(), 0);
        }
        assert_eq!(ring.admitted(), 3 * blocks * each);
    }
}

#[test]
fn a_flight_recorder_keeps_the_newest() {
    let spans: u64 = if cfg!(miri) { 60 } else { 1000 };
    for blocks in [1, 2, 3, 5] {
        let ring = ring(blocks, 64).overwriting();
        for id in 0..spans {
            let appended = append(&ring, 0, SCOPE, id);
            // With one block, which is open, there is no sealed one to give up.
            assert!(appended.is_ok() || blocks == 1);
        }
        ring.seal_all();
        let kept = drain(&ring);
        assert!(kept.is_sorted());
        if blocks > 1 {
            assert_eq!(kept.last(), Some(&(spans - 1)));
            assert_eq!(kept.len() + ring.overwritten(), spans as usize);
        }
    }
}

#[test]
fn alternating_scopes_share_a_block_and_stay_apart_in_it() {
    let ring = ring(1, 256);
    for id in 0..6 {
        append(&ring, 0, if id % 3 == 0 { SCOPE } else { OTHER }, id).unwrap();
    }
    ring.seal_all();
    let block = ring.take().unwrap();
    let expected = [
        ("a", vec![0]),
        ("b", vec![1, 2]),
        ("a", vec![3]),
        ("b", vec![4, 5]),
    ];
    let found = ids(block.as_bytes());
    assert_eq!(found.len(), expected.len());
    for ((name, ids), (expected_name, expected_ids)) in found.iter().zip(&expected) {
        assert_eq!((name.as_str(), ids), (*expected_name, expected_ids));
    }
}

#[test]
fn blocks_are_taken_in_the_order_of_sealing_and_given_back() {
    let ring = ring(3, 64);
    let (_, len) = record(0);
    let each = (64 - 9) / len;
    for id in 0..3 * each {
        append(&ring, 0, SCOPE, id as u64 % 10).unwrap();
    }
    let first = ring.take().unwrap();
    let second = ring.take().unwrap();
    assert!(ring.take().is_none(), "the third block is open");
    assert_eq!(append(&ring, 0, SCOPE, 0), Err(Refused::Full));
    drop(first);
    assert_eq!(
        append(&ring, 0, SCOPE, 5),
        Ok(Appended {
            opened: true,
            sealed: true
        })
    );
    drop(second);
    assert_eq!(ring.used_blocks(), 2);
}

#[test]
fn age_and_span_limit_seal() {
    let ring = Ring::on_heap(Layout {
        blocks: 4,
        block_bytes: 4096,
        shards: 1,
        max_shards: 1,
        spans: 2,
        overwrite: false,
    });
    append(&ring, 0, SCOPE, 10).unwrap();
    assert_eq!(ring.seal(Which::Until(Moment::from_nanos(9))).sealed, 0);
    let waiting = ring.seal(Which::Until(Moment::from_nanos(9)));
    assert_eq!(
        (waiting.open, waiting.oldest),
        (1, Some(Moment::from_nanos(10)))
    );
    assert_eq!(ring.seal(Which::Until(Moment::from_nanos(10))).sealed, 1);
    for id in 1..=5 {
        let sealed = append(&ring, 0, SCOPE, id).unwrap().sealed;
        assert_eq!(sealed, id == 3 || id == 5);
    }
}

#[test]
fn a_closed_ring_refuses_and_keeps_what_it_has() {
    let ring = ring(2, 64);
    append(&ring, 0, SCOPE, 1).unwrap();
    assert_eq!(ring.close(), 0);
    assert_eq!(append(&ring, 0, SCOPE, 2), Err(Refused::Closed));
    ring.seal_all();
    assert_eq!(drain(&ring), [1]);
}

#[test]
fn what_no_block_holds_is_too_large() {
    let ring = ring(2, 64);
    let append = |len| ring.append(0, SCOPE, Moment::default(), len, |out| out.fill(0));
    assert_eq!(append(64 - 9 + 1), Err(Refused::TooLarge));
    assert_eq!(append(usize::MAX), Err(Refused::TooLarge));
    assert!(append(64 - 9).is_ok());
}

#[test]
fn a_panicking_writer_leaves_the_shard_usable() {
    let ring = ring(2, 64);
    append(&ring, 0, SCOPE, 1).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        ring.append(0, SCOPE, Moment::default(), 5, |out| {
            out.fill(0xff);
            panic!("planted");
        })
    }));
    assert!(panicked.is_err());
    append(&ring, 0, SCOPE, 2).unwrap();
    ring.seal_all();
    assert_eq!(drain(&ring), [1, 2]);
    assert_eq!(ring.admitted(), 2);
}

#[test]
fn a_held_shard_is_walked_around_and_the_ring_grows() {
    let ring = Ring::on_heap(Layout {
        blocks: 8,
        block_bytes: 64,
        shards: 1,
        max_shards: 2,
        spans: usize::MAX,
        overwrite: false,
    });
    // A span that ends while another is being written on the same shard.
    ring.append(0, SCOPE, Moment::from_nanos(1), 5, |out| {
        out.copy_from_slice(&record(1).0[..5]);
        assert_eq!(ring.shards(), 1);
        append(&ring, 0, SCOPE, 2).unwrap();
        assert_eq!(ring.shards(), 2);
        ring.append(1, SCOPE, Moment::from_nanos(3), 5, |out| {
            out.copy_from_slice(&record(3).0[..5]);
            let before = TOURS.get();
            assert_eq!(append(&ring, 0, SCOPE, 4), Err(Refused::Contended));
            assert_eq!(TOURS.get() - before, 2);
            assert_eq!(ring.seal(Which::All).busy, 2);
        })
        .unwrap();
    })
    .unwrap();
    ring.seal_all();
    assert_eq!(drain(&ring).len(), 3);
}

#[test]
fn threads_lose_nothing_that_was_taken_in() {
    const THREADS: u64 = 4;
    let each: u64 = if cfg!(miri) { 40 } else { 20_000 };
    let ring = Ring::on_heap(Layout {
        blocks: 16,
        block_bytes: 512,
        shards: 2,
        max_shards: 4,
        spans: usize::MAX,
        overwrite: false,
    });
    let refused = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let mut seen = BTreeMap::new();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (ring, refused, done) = (&ring, &refused, &done);
            scope.spawn(move || {
                for id in 0..each {
                    let scope = if id % 5 == 0 { OTHER } else { SCOPE };
                    if append(ring, thread as usize, scope, thread * each + id).is_err() {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
                done.fetch_add(1, Ordering::Release);
            });
        }
        loop {
            let last = done.load(Ordering::Acquire) == THREADS as usize;
            if last {
                assert_eq!(ring.seal_all(), 0);
            }
            while let Some(block) = ring.take() {
                for (_, ids) in ids(block.as_bytes()) {
                    for id in ids {
                        *seen.entry(id).or_insert(0) += 1;
                    }
                }
            }
            if last {
                break;
            }
            std::thread::yield_now();
        }
    });
    assert!(seen.values().all(|times| *times == 1));
    assert_eq!(seen.len(), ring.admitted());
    assert_eq!(
        seen.len() + refused.load(Ordering::Relaxed),
        (THREADS * each) as usize
    );
    assert_eq!(ring.used_blocks(), 0);
}

#[test]
fn a_taken_block_outlives_the_loan() {
    let ring = Arc::new(ring(1, 64));
    append(&ring, 0, SCOPE, 7).unwrap();
    ring.seal_all();
    let sealed = Sealed::new(ring.clone(), ring.take_number().unwrap());
    let bytes = bytes::Bytes::from_owner(sealed);
    let clone = bytes.slice(1..);
    drop(bytes);
    assert_eq!(append(&ring, 0, SCOPE, 8), Err(Refused::Full));
    drop(clone);
    append(&ring, 0, SCOPE, 8).unwrap();
}

impl Blank for u64 {
    const BLANK: Self = 7;
}

/// The most bytes of a body that are taken the short way: more than its first page holds.
const SHORT: usize = PAGE + 88;

/// A body with its first page, and a note in it.
fn body(pages: &Pages) -> Body<u64> {
    let mut body = Body::EMPTY;
    assert!(body.open(pages).is_none());
    assert!(body.take_first(pages, None, SHORT as u16));
    body
}

fn read(told: &Told<'_, u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    told.for_each_piece(|piece| bytes.extend_from_slice(piece));
    bytes
}

#[test]
fn a_body_spans_pages_and_rewinds() {
    const FIRST: usize = Told::<'static, u64>::FIRST;
    const REST: usize = PAGE - size_of::<u32>();
    let pages = Pages::on_heap(4);
    let text: Vec<u8> = (0..FIRST + 3 * REST).map(|at| at as u8).collect();
    for len in [0, 1, FIRST - 1, FIRST, FIRST + 1, FIRST + 3 * REST] {
        let mut body = body(&pages);
        let mut told = body.open(&pages).unwrap();
        assert!(told.reserve(len));
        let mut writer = told.writer();
        for piece in text[..len].chunks(100) {
            writer.put(piece);
        }
        assert_eq!(read(&told), &text[..len]);
        assert_eq!(told.byte(len), None);
        if len > 0 {
            assert_eq!(told.byte(len - 1), Some(text[len - 1]));
            told.set_byte(len - 1, 0);
            assert_eq!(told.byte(len - 1), Some(0));
        }
        assert_eq!(*told.notes(), 7, "the notes are not among the bytes");
        body.release(&pages, None);
        assert_eq!(pages.shared_free(), 4);
    }
    let mut body = body(&pages);
    assert!(
        !body.take_first(&pages, None, SHORT as u16),
        "it has a first page"
    );
    let mut told = body.open(&pages).unwrap();
    let start = told.mark();
    assert!(told.reserve(FIRST + 3));
    told.writer().put(&text[..FIRST + 1]);
    let mark = told.mark();
    told.writer().put(b"xy");
    told.rewind(mark);
    assert_eq!(told.len(), FIRST + 1);
    told.rewind(start);
    told.writer().put(&text[..FIRST + 3]);
    assert_eq!(read(&told), &text[..FIRST + 3]);
    let end = told.seek(FIRST - 1);
    told.writer().put(b"abc");
    told.rewind(end);
    assert_eq!(
        read(&told)[FIRST - 1..],
        [b'a', b'b', b'c', text[FIRST + 2]]
    );
    assert!(told.take_short(SHORT - FIRST - 3 + 1).is_none(), "too many");
    let room = told
        .take_short(SHORT - FIRST - 3)
        .expect("as many as may be");
    room.fill(0);
    assert!(told.take_short(1).is_none());
    told.rewind(end);
    assert!(!told.reserve(3 * REST), "there are only four pages");
    assert!(told.reserve(3 * REST - 3));
    assert!(body.open(&Pages::on_heap(1)).is_none(), "another slab");
    body.release(&Pages::on_heap(1), None);
    body.release(&pages, None);
    assert_eq!(pages.shared_free(), 4);
}

#[test]
fn the_only_page_of_a_body_is_taken_out_and_put_back() {
    let pages = Pages::on_heap(4);
    let mut none = Body::<()>::EMPTY;
    assert!(none.take_only(&pages).is_none());
    let mut body = body(&pages);
    body.open(&pages).unwrap().writer().put(b"told");
    assert!(body.take_only(&Pages::on_heap(1)).is_none(), "another slab");
    let only = body.take_only(&pages).unwrap();
    assert!(!body.has_pages());
    let (mut copy, mut other) = ([0; 4], [0; 5]);
    only.copy_to(&mut copy);
    only.copy_to(&mut other);
    assert_eq!((&copy, other, only.len()), (b"told", [0; 5], 4));
    only.put_back(&mut body);
    assert_eq!(body.open(&pages).unwrap().byte(3), Some(b'd'));
    body.take_only(&pages).unwrap().release(None);
    assert_eq!((body.has_pages(), pages.shared_free()), (false, 4));
    let mut body = self::body(&pages);
    assert!(body.open(&pages).unwrap().reserve(PAGE));
    assert!(body.take_only(&pages).is_none(), "there are two");
    body.release(&pages, None);
    assert_eq!(pages.shared_free(), 4);
}

#[test]
fn a_thread_keeps_a_few_pages() {
    let pages = Pages::on_heap(128);
    thread::with(|seat| {
        let taken: Vec<_> = (0..5).map(|_| pages.take(seat).unwrap()).collect();
        for page in taken {
            pages.give(page, seat);
        }
    });
    // 128 pages allow two to be kept by each thread.
    assert_eq!(pages.shared_free(), 126);
    let mut body = body(&pages);
    let mut told = body.open(&pages).unwrap();
    assert!(told.reserve(PAGE));
    assert_eq!(pages.shared_free(), 125);
    thread::with(|seat| body.release(&pages, seat));
}

/// Answers at once.
struct Sink;

impl Exporter for Sink {
    fn export(&mut self, batch: Batch, reply: Reply) {
        drop(batch);
        reply.done(Outcome::Exported);
    }
}

#[test]
#[cfg_attr(miri, ignore = "32 threads and a pipeline take too long there")]
fn no_end_makes_more_than_two_tours() {
    const THREADS: usize = 32;
    const SPANS: u64 = 4000;
    let pipeline = Pipeline::builder()
        .memory_limit(64 << 20)
        .schedule_delay(Duration::from_millis(1))
        .exporter(|| Sink)
        .build()
        .unwrap();
    let tracers = ["one", "two"].map(|scope| pipeline.tracer(scope));
    let start = std::sync::Barrier::new(THREADS);
    // By thread: how many ends made no tour, one, two, more.
    let record = || {
        let mut ends = [0_u64; 4];
        start.wait();
        for n in 0..SPANS {
            let mut span = tracers[n as usize % 2].start("span");
            span.set_attribute("k8s.pod.name", "coredns-5d78c9869d-xk2vq");
            let before = TOURS.get();
            span.end();
            ends[(TOURS.get() - before).min(3)] += 1;
        }
        ends
    };
    let mut ends = [0; 4];
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(record)).collect();
        for thread in threads {
            for (sum, more) in ends.iter_mut().zip(thread.join().unwrap()) {
                *sum += more;
            }
        }
    });
    let report = pipeline.shutdown(Duration::from_secs(60));
    std::println!("ends with no tour, one, two, more: {ends:?}; {report}");
    assert_eq!(ends.iter().sum::<u64>(), THREADS as u64 * SPANS);
    assert_eq!(ends[3], 0, "{ends:?}");
    assert!(ends[1] > 0, "{ends:?}");
    let own = report.own();
    assert_eq!(own.dropped.total(), 0, "{own:?}");
    assert_eq!(
        own.admitted + own.not_sampled_overload,
        THREADS as u64 * SPANS
    );
    assert!(report.is_complete(), "{report}");
}
