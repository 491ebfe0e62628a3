//! A neighbour's request: validated in place by Spanwire, decoded into structs by prost.

use std::{hint::black_box, time::Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spanwire_benches::request::{Text, encoded};

use crate::{cpu, samples::median};

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
    pub validated: Option<f64>,
}

/// Reads both requests both ways, in turn.
pub fn run(rounds: usize) -> Vec<Reading> {
    [Text::Ascii, Text::NonAscii]
        .map(|text| read(text, rounds))
        .to_vec()
}

fn read(text: Text, rounds: usize) -> Reading {
    let bytes = encoded(SPANS, text);
    let (mut decoded, mut validated) = (Vec::new(), Vec::new());
    for _ in 0..rounds * 8 {
        decoded.push(timed(|| {
            drop(black_box(ExportTraceServiceRequest::decode(black_box(
                bytes.as_slice(),
            ))))
        }));
        validated.extend(validate(&bytes));
    }
    Reading {
        text,
        bytes: bytes.len() as f64 / SPANS as f64,
        decoded: median(decoded.into_iter()),
        validated: (!validated.is_empty()).then(|| median(validated.into_iter())),
    }
}

fn validate(_bytes: &[u8]) -> Option<f64> {
    None
}

/// Wall time when nothing else ran, CPU time when something did.
fn timed(work: impl FnOnce()) -> f64 {
    let (cpu, wall) = (cpu::thread_nanos(), Instant::now());
    work();
    let wall = wall.elapsed().as_nanos() as f64;
    ((cpu::thread_nanos() - cpu) as f64).min(wall) / SPANS as f64
}
