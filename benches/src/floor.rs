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
                fixed!(out, key::COMPONENT, value::COMPONENT);
                text!(out, key::POD, payload.pod);
                varint!(out, key::ATTEMPT, INT, payload.attempt);
                varint!(out, key::CACHED, BOOL, payload.cached);
            }
            if attributes == Attributes::Ten {
                fixed!(out, key::METHOD, value::METHOD);
                fixed!(out, key::SYSTEM, value::SYSTEM);
                text!(out, key::CONTAINER, payload.container);
                text!(out, key::NODE, payload.node);
                varint!(out, key::STATUS, INT, payload.status);
                varint!(out, key::RETRIED, BOOL, payload.retried);
            }
            // Span.events = 11, Event.time_unix_nano = 1, Event.name = 2.
            let mut record = const {
                record::<{ EVENT.len() + 13 }>(&[0x5a, 11 + EVENT.len() as u8, 0x09], 8, EVENT)
            };
            record[3..11].copy_from_slice(&event.to_le_bytes());
            out.put(&record);
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
    /// Puts so many bytes that the compiler knows how many.
    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.room[self.at..self.at + N].copy_from_slice(bytes);
        self.at += N;
    }

    #[inline(always)]
    fn put_str(&mut self, text: &str) {
        self.room[self.at..self.at + text.len()].copy_from_slice(text.as_bytes());
        self.at += text.len();
    }
}

/// The fields of a span up to its flags, in one piece.
#[inline(always)]
fn header(out: &mut Out<'_>, span: &Started, parent: Option<&Started>, end: u64) {
    let mut ids = [0; 28];
    ids[0] = 0x0a;
    ids[1] = 16;
    ids[2..18].copy_from_slice(&span.trace);
    ids[18] = 0x12;
    ids[19] = 8;
    ids[20..28].copy_from_slice(&span.span);
    out.put(&ids);
    if let Some(parent) = parent {
        out.put(&[0x22, 8]);
        out.put(&parent.span);
    }
    // The name is field 5.
    let mut name = const { record::<{ NAME.len() + 2 }>(&[], 0, NAME) };
    name[0] = 0x2a;
    out.put(&name);
    // kind = internal, start, end, flags = sampled and "is remote" known.
    let mut rest = [0; 26];
    rest[0] = 0x30;
    rest[1] = 1;
    rest[2] = 0x39;
    rest[3..11].copy_from_slice(&span.start.to_le_bytes());
    rest[11] = 0x41;
    rest[12..20].copy_from_slice(&end.to_le_bytes());
    rest[20] = 0x85;
    rest[21] = 0x01;
    rest[22..26].copy_from_slice(&0x101_u32.to_le_bytes());
    out.put(&rest);
}

/// `AnyValue.bool_value`, a varint.
const BOOL: u8 = 0x10;

/// `AnyValue.int_value`, a varint.
const INT: u8 = 0x18;

/// A constant: `head`, `gap` zeros, then field 2 with `text`, which is shorter than 128 bytes.
const fn record<const N: usize>(head: &[u8], gap: usize, text: &str) -> [u8; N] {
    let mut out = [0; N];
    let mut at = copy(&mut out, 0, head) + gap;
    out[at] = 0x12;
    out[at + 1] = text.len() as u8;
    at = copy(&mut out, at + 2, text.as_bytes());
    assert!(at == N, "the constant has another length");
    out
}

/// A constant: a `Span.attributes` (9) with this key, and room for a value of `value` bytes in its `AnyValue`.
const fn attribute<const N: usize>(key: &str, value: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out[0] = 0x4a;
    out[1] = (key.len() + value.len() + 4) as u8;
    out[2] = 0x0a;
    out[3] = key.len() as u8;
    let at = copy(&mut out, 4, key.as_bytes());
    out[at] = 0x12;
    out[at + 1] = value.len() as u8;
    let at = copy(&mut out, at + 2, value);
    assert!(at == N, "the constant has another length");
    out
}

const fn copy(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let mut next = 0;
    while next < bytes.len() {
        out[at + next] = bytes[next];
        next += 1;
    }
    at + bytes.len()
}

/// An attribute known when the program is built: one copy.
macro_rules! fixed {
    ($out:ident, $key:expr, $value:expr) => {
        $out.put(
            const {
                &{
                    const VALUE: [u8; $value.len() + 2] = {
                        let mut value = [0; $value.len() + 2];
                        value[0] = 0x0a;
                        value[1] = $value.len() as u8;
                        copy(&mut value, 2, $value.as_bytes());
                        value
                    };
                    attribute::<{ $key.len() + $value.len() + 8 }>($key, &VALUE)
                }
            },
        )
    };
}

/// A string shorter than 100 bytes: everything before it is a constant but three lengths.
macro_rules! text {
    ($out:ident, $key:expr, $value:expr) => {{
        let mut head = const { attribute::<{ $key.len() + 8 }>($key, &[0x0a, 0]) };
        let len = $value.len() as u8;
        head[1] += len;
        head[$key.len() + 5] += len;
        head[$key.len() + 7] = len;
        $out.put(&head);
        $out.put_str(&$value);
    }};
}

/// A boolean, or a number below 128: a constant but for its last byte.
macro_rules! varint {
    ($out:ident, $key:expr, $tag:expr, $value:expr) => {{
        let mut record = const { attribute::<{ $key.len() + 8 }>($key, &[$tag, 0]) };
        record[$key.len() + 7] = $value as u8;
        $out.put(&record);
    }};
}

use {fixed, text, varint};

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
            assert_eq!(span.encoded_len(), bytes.len() - 3, "no unknown fields");
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
