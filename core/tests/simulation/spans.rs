//! Spans that can be told apart: each is named by its number.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use spanwire_core::batch::{Batch, Head, Segment};
use spanwire_core::clock::Moment;
use spanwire_core::limiter::Door;
use spanwire_core::wire::view::Request;

/// The bytes of all bodies that are alive.
#[derive(Clone, Default)]
pub(crate) struct Alive(Arc<AtomicUsize>);

impl Alive {
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn own(&self, memory: Vec<u8>) -> Bytes {
        self.0.fetch_add(memory.len(), Ordering::Relaxed);
        Bytes::from_owner(Owned {
            memory,
            alive: self.clone(),
        })
    }
}

struct Owned {
    memory: Vec<u8>,
    alive: Alive,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.alive.0.fetch_sub(self.memory.len(), Ordering::Relaxed);
    }
}

fn field(out: &mut Vec<u8>, tag: u8, payload: &[u8]) {
    out.push(tag);
    let mut len = payload.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(payload);
}

/// A segment of the spans `first..first + count`, each with a name of at least `width` bytes, in one or two scopes.
pub(crate) fn segment(
    alive: &Alive,
    head: &Head,
    (first, count, width): (u64, usize, usize),
    two_scopes: bool,
    first_end: Moment,
    door: Door,
) -> Segment {
    let mut body = Vec::new();
    let cut = if two_scopes { count / 2 } else { 0 };
    for range in [0..cut, cut..count] {
        if range.is_empty() {
            continue;
        }
        // A scope called "s".
        let mut scope_spans = Vec::new();
        field(&mut scope_spans, 0x0a, &[0x0a, 1, b's']);
        for index in range {
            let mut span = Vec::new();
            let name = format!("{:0>width$}", first + index as u64);
            field(&mut span, 0x2a, name.as_bytes());
            field(&mut scope_spans, 0x12, &span);
        }
        field(&mut body, 0x12, &scope_spans);
    }
    Segment::new(head.clone(), alive.own(body), count, first_end, door)
}

/// The numbers of the spans in a batch, read from the bytes that would be sent.
pub(crate) fn numbers(batch: &Batch) -> Vec<u64> {
    let request = batch.to_vec();
    assert_eq!(request.len(), batch.encoded_len());
    let mut numbers = Vec::with_capacity(batch.spans());
    for resource in Request::new(&request).resource_spans() {
        for scope in resource.scope_spans() {
            for span in scope.spans() {
                numbers.push(span.name().parse().expect("a span of this world"));
            }
        }
    }
    assert_eq!(
        numbers.len(),
        batch.spans(),
        "spans counted and spans in the bytes"
    );
    numbers
}
