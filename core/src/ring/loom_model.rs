//! The real ring under every order of its steps, as far as loom is given time to look.

use std::vec::Vec;

use loom::sync::Arc;
use loom::thread;

use super::storage::Layout;
use super::*;

const SCOPE: ScopeRef<'_> = ScopeRef {
    number: 1,
    fields: &[0x0a, 0x00],
};

/// One record: an empty span with an unknown field that holds `id`.
fn append(ring: &Ring, home: usize, id: u8) -> Result<Appended, Refused> {
    let record = [0x12, 0x02, 0x78, id];
    ring.append(
        home,
        SCOPE,
        Moment::from_nanos(id.into()),
        record.len(),
        |out| out.copy_from_slice(&record),
    )
}

fn ids(bytes: &[u8]) -> Vec<u8> {
    // A scope prefix with its fields, then records of four bytes.
    bytes[SCOPE_PREFIX + SCOPE.fields.len()..]
        .chunks(4)
        .map(|record| record[3])
        .collect()
}

fn ring(blocks: usize, block_bytes: usize, max_shards: usize, overwrite: bool) -> Ring {
    Ring::on_heap(Layout {
        blocks,
        block_bytes,
        shards: 1,
        max_shards,
        spans: usize::MAX,
        overwrite,
    })
}

/// Two threads append, a third seals and takes: each span is seen once or refused.
#[test]
fn loom_two_writers_and_a_taker() {
    loom::model(|| {
        let ring = Arc::new(ring(2, 10, 1, false));
        let writers: Vec<_> = (0..2)
            .map(|id| {
                let ring = ring.clone();
                thread::spawn(move || append(&ring, 0, id).is_ok())
            })
            .collect();
        let mut seen = Vec::new();
        ring.seal(Which::All);
        while let Some(block) = ring.take() {
            seen.extend(ids(block.as_bytes()));
        }
        let taken_in = writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .filter(|ok| *ok)
            .count();
        assert_eq!(ring.seal_all(), 0);
        while let Some(block) = ring.take() {
            seen.extend(ids(block.as_bytes()));
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), taken_in);
        assert_eq!(ring.admitted(), taken_in);
        assert_eq!(ring.used_blocks(), 0);
    });
}

/// Two threads meet on one shard: the ring grows, and nothing is lost.
#[test]
fn loom_growth() {
    loom::model(|| {
        let ring = Arc::new(ring(4, 32, 2, false));
        let other = {
            let ring = ring.clone();
            thread::spawn(move || append(&ring, 0, 1).is_ok())
        };
        let here = append(&ring, 0, 2).is_ok();
        let there = other.join().unwrap();
        assert_eq!(ring.seal_all(), 0);
        let mut seen = Vec::new();
        while let Some(block) = ring.take() {
            seen.extend(ids(block.as_bytes()));
        }
        assert_eq!(seen.len(), usize::from(here) + usize::from(there));
    });
}

/// A block is given back by one thread and claimed by another: the bytes change hands cleanly.
#[test]
fn loom_reuse_of_a_block() {
    loom::model(|| {
        let ring = Arc::new(ring(1, 10, 1, false));
        append(&ring, 0, 1).unwrap();
        ring.seal_all();
        let taker = {
            let ring = ring.clone();
            thread::spawn(move || ring.take().map(|block| ids(block.as_bytes())))
        };
        let second = append(&ring, 0, 2).is_ok();
        assert_eq!(taker.join().unwrap(), Some(Vec::from([1])));
        ring.seal_all();
        assert_eq!(ring.take().is_some(), second);
    });
}

/// A flight recorder and its taker race for the oldest block.
#[test]
fn loom_overwriting() {
    loom::model(|| {
        let ring = Arc::new(ring(2, 10, 1, true));
        append(&ring, 0, 1).unwrap();
        append(&ring, 0, 2).unwrap();
        let taker = {
            let ring = ring.clone();
            thread::spawn(move || ring.take().map_or(0, |block| block.spans()))
        };
        let third = append(&ring, 0, 3).is_ok();
        let mut seen = taker.join().unwrap();
        ring.seal_all();
        while let Some(block) = ring.take() {
            seen += block.spans();
        }
        assert_eq!(seen + ring.overwritten(), 2 + usize::from(third));
    });
}

/// Closing races with an append: what was taken in before is still there.
#[test]
fn loom_close() {
    loom::model(|| {
        let ring = Arc::new(ring(2, 10, 2, false));
        let writer = {
            let ring = ring.clone();
            thread::spawn(move || append(&ring, 0, 1).is_ok())
        };
        let mut busy = ring.close();
        while busy > 0 {
            thread::yield_now();
            busy = ring.close();
        }
        assert_eq!(append(&ring, 0, 2), Err(Refused::Closed));
        ring.seal_all();
        let mut seen = 0;
        while let Some(block) = ring.take() {
            seen += block.spans();
        }
        let taken_in = writer.join().unwrap();
        assert_eq!(seen, usize::from(taken_in));
    });
}
