//! A neighbour's request: validated in place by Spanwire, decoded into structs by prost.

use std::hint::black_box;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spanwire_benches::{
    cpu,
    figure::median,
    request::{Text, encoded},
};
use spanwire_core::wire::validate::{Limits, validate};

const SPANS: usize = 512;

/// Nanoseconds a span to read a request of 512 spans with ten attributes.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub text: Text,
    /// Bytes a span.
    pub bytes: f64,
    /// prost: decode into structs and drop them.
    pub decoded: f64,
    /// Spanwire: know that every byte is well-formed and UTF-8 clean, and how many spans there are.
    pub validated: f64,
}

/// Reads both requests both ways, in turn.
pub fn run(rounds: usize) -> Vec<Reading> {
    [Text::Ascii, Text::NonAscii]
        .map(|text| read(text, rounds))
        .to_vec()
}

fn read(text: Text, rounds: usize) -> Reading {
    let bytes = encoded(SPANS, text);
    assert!(
        validate(&bytes, &Limits::new()).is_ok(),
        "a request both must take"
    );
    let (mut decoded, mut validated) = (Vec::new(), Vec::new());
    for _ in 0..rounds * 8 {
        decoded.push(timed(|| {
            drop(black_box(ExportTraceServiceRequest::decode(black_box(
                bytes.as_slice(),
            ))))
        }));
        validated.push(timed(|| {
            let _ = black_box(validate(black_box(&bytes), &Limits::new()));
        }));
    }
    Reading {
        text,
        bytes: bytes.len() as f64 / SPANS as f64,
        decoded: median(decoded),
        validated: median(validated),
    }
}

/// CPU a span.
fn timed(work: impl FnOnce()) -> f64 {
    let start = cpu::thread_nanos();
    work();
    (cpu::thread_nanos() - start) as f64 / SPANS as f64
}
