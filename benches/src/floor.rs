//! The least code that leaves a span as OTLP bytes: a buffer a thread, a counter for a clock, wyrand for ids, one pass.
//!
//! It has no sampler, no limits, no pipeline and no reader, and it knows the shape of its span. Nothing that does more
//! can be faster; how much more Spanwire pays for doing more is what the ratio to it tells.

use core::cell::RefCell;

use crate::payload::{Attributes, EVENT, NAME, Payload, key, value};

/// Bytes a thread fills before it starts over.
const BUFFER: usize = 1 << 20;

/// More than the largest span takes.
const ROOM: usize = 1024;

/// The encoder of one thread.
pub struct Floor {
    buffer: Vec<u8>,
    at: usize,
    seed: u64,
    clock: Counter,
}

thread_local! {
    static FLOOR: RefCell<Floor> = RefCell::new(Floor::new());
}

/// Runs `work` with this thread's encoder.
pub fn with<R>(work: impl FnOnce(&mut Floor) -> R) -> R {
    FLOOR.with_borrow_mut(work)
}

/// The names of a span that was started.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    trace: [u8; 16],
    span: [u8; 8],
    start: u64,
}

impl Floor {
    /// An encoder with an empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER],
            at: 0,
            seed: 0x2545_f491_4f6c_dd1d,
            clock: Counter::new(),
        }
    }

    /// Starts a root.
    #[inline]
    pub fn root(&mut self) -> Started {
        let (high, low) = (self.random(), self.random());
        let mut trace = [0; 16];
        trace[..8].copy_from_slice(&high.to_be_bytes());
        trace[8..].copy_from_slice(&low.to_be_bytes());
        self.start(trace)
    }

    /// Starts a child.
    #[inline]
    pub fn child(&mut self, parent: &Started) -> Started {
        self.start(parent.trace)
    }

    #[inline]
    fn start(&mut self, trace: [u8; 16]) -> Started {
        Started {
            trace,
            span: self.random().to_be_bytes(),
            start: self.clock.now(),
        }
    }

    /// Ends a span without attributes or events and returns its bytes: one field of a `ScopeSpans`.
    #[inline]
    pub fn end_bare(&mut self, span: &Started, parent: Option<&Started>) -> &[u8] {
        let end = self.clock.now();
        self.write(|out| header(out, span, parent, end))
    }

    /// Ends a span with one event and these attributes and returns its bytes: one field of a `ScopeSpans`.
    #[inline]
    pub fn end(&mut self, span: &Started, payload: &Payload, attributes: Attributes) -> &[u8] {
        let event = self.clock.now();
        let end = self.clock.now();
        self.write(|out| {
            header(out, span, None, end);
            if attributes != Attributes::Zero {
                text(out, key::COMPONENT, value::COMPONENT);
                text(out, key::POD, &payload.pod);
                number(out, key::ATTEMPT, payload.attempt);
                boolean(out, key::CACHED, payload.cached);
            }
            if attributes == Attributes::Ten {
                text(out, key::METHOD, value::METHOD);
                text(out, key::SYSTEM, value::SYSTEM);
                text(out, key::CONTAINER, &payload.container);
                text(out, key::NODE, &payload.node);
                number(out, key::STATUS, payload.status);
                boolean(out, key::RETRIED, payload.retried);
            }
            // Span.events = 11, Event.time_unix_nano = 1, Event.name = 2.
            out.put(&[0x5a, 11 + EVENT.len() as u8, 0x09]);
            out.put(&event.to_le_bytes());
            out.put(&[0x12, EVENT.len() as u8]);
            out.put(EVENT.as_bytes());
        })
    }

    #[inline]
    fn write(&mut self, fields: impl FnOnce(&mut Out<'_>)) -> &[u8] {
        if self.at + ROOM > BUFFER {
            self.at = 0;
        }
        let room = &mut self.buffer[self.at..self.at + ROOM];
        // ScopeSpans.spans = 2, then a length of two bytes written last.
        let mut out = Out { room, at: 3 };
        fields(&mut out);
        let len = out.at - 3;
        out.room[0] = 0x12;
        out.room[1] = len as u8 | 0x80;
        out.room[2] = (len >> 7) as u8;
        let begin = self.at;
        self.at += len + 3;
        &self.buffer[begin..self.at]
    }

    /// The next number of wyrand.
    #[inline]
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0xa076_1d64_78bd_642f);
        let product = u128::from(self.seed) * u128::from(self.seed ^ 0xe703_7ed1_a0b4_28db);
        (product >> 64) as u64 ^ product as u64
    }
}

impl Default for Floor {
    fn default() -> Self {
        Self::new()
    }
}

struct Out<'a> {
    room: &'a mut [u8],
    at: usize,
}

impl Out<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.room[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

/// The fields 1 to 8 of a span, and its flags.
#[inline]
fn header(out: &mut Out<'_>, span: &Started, parent: Option<&Started>, end: u64) {
    let mut fixed = [0; 28];
    fixed[0] = 0x0a;
    fixed[1] = 16;
    fixed[2..18].copy_from_slice(&span.trace);
    fixed[18] = 0x12;
    fixed[19] = 8;
    fixed[20..28].copy_from_slice(&span.span);
    out.put(&fixed);
    if let Some(parent) = parent {
        out.put(&[0x22, 8]);
        out.put(&parent.span);
    }
    out.put(&[0x2a, NAME.len() as u8]);
    out.put(NAME.as_bytes());
    // kind = internal, start, end, flags = sampled and "is remote" known.
    let mut fixed = [0; 26];
    fixed[0] = 0x30;
    fixed[1] = 1;
    fixed[2] = 0x39;
    fixed[3..11].copy_from_slice(&span.start.to_le_bytes());
    fixed[11] = 0x41;
    fixed[12..20].copy_from_slice(&end.to_le_bytes());
    fixed[20] = 0x85;
    fixed[21] = 0x01;
    fixed[22..26].copy_from_slice(&0x101_u32.to_le_bytes());
    out.put(&fixed);
}

/// Span.attributes = 9, KeyValue.key = 1, KeyValue.value = 2, AnyValue.string_value = 1. Both are shorter than 100 bytes.
#[inline]
fn text(out: &mut Out<'_>, key: &str, value: &str) {
    let (k, v) = (key.len() as u8, value.len() as u8);
    out.put(&[0x4a, k + v + 6, 0x0a, k]);
    out.put(key.as_bytes());
    out.put(&[0x12, v + 2, 0x0a, v]);
    out.put(value.as_bytes());
}

/// AnyValue.int_value = 3. The value is below 128.
#[inline]
fn number(out: &mut Out<'_>, key: &str, value: i64) {
    varint(out, key, 0x18, value as u8 & 0x7f);
}

/// AnyValue.bool_value = 2.
#[inline]
fn boolean(out: &mut Out<'_>, key: &str, value: bool) {
    varint(out, key, 0x10, value.into());
}

#[inline]
fn varint(out: &mut Out<'_>, key: &str, tag: u8, value: u8) {
    let k = key.len() as u8;
    out.put(&[0x4a, k + 6, 0x0a, k]);
    out.put(key.as_bytes());
    out.put(&[0x12, 2, tag, value]);
}

/// The processor's own counter, turned into nanoseconds since the Unix epoch by one multiplication.
struct Counter {
    wall: u64,
    ticks: u64,
    /// Nanoseconds a tick, in units of 2^-32.
    rate: u64,
}

impl Counter {
    fn new() -> Self {
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as u64);
        Self {
            wall,
            ticks: ticks(),
            // How long a tick really is does not change what reading it costs.
            rate: (1 << 32) * 10 / 26,
        }
    }

    #[inline]
    fn now(&self) -> u64 {
        let elapsed = ticks().wrapping_sub(self.ticks);
        self.wall + ((u128::from(elapsed) * u128::from(self.rate)) >> 32) as u64
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has `rdtsc`; Linux lets user code run it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn ticks() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::ScopeSpans;
    use prost::Message;

    use super::*;

    #[test]
    fn the_floor_writes_what_an_independent_decoder_reads() {
        let mut floor = Floor::new();
        for attributes in Attributes::ALL {
            let started = floor.root();
            let bytes = floor
                .end(&started, &Payload::default(), attributes)
                .to_vec();
            let scope = ScopeSpans::decode(bytes.as_slice()).expect("well-formed");
            let span = &scope.spans[0];
            assert_eq!(span.name, NAME);
            assert_eq!(span.trace_id, started.trace);
            assert_eq!(span.attributes.len(), attributes.count());
            assert_eq!(span.events[0].name, EVENT);
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
            assert_eq!(
                scope.encoded_len(),
                bytes.len(),
                "nothing padded, nothing unknown"
            );
        }
    }

    #[test]
    fn a_child_names_its_parent() {
        let mut floor = Floor::new();
        let root = floor.root();
        let child = floor.child(&root);
        let scope = ScopeSpans::decode(floor.end_bare(&child, Some(&root))).expect("well-formed");
        assert_eq!(scope.spans[0].parent_span_id, root.span);
        assert_eq!(scope.spans[0].trace_id, root.trace);
    }
}
