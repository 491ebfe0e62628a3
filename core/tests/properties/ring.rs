//! No span is lost uncounted, whatever is done to a ring in whatever order.

use std::sync::Arc;

use spanwire_core::recorder::Recorder;
use spanwire_core::ring::{Ring, Sealed};
use spanwire_core::sampler::AlwaysOn;
use spanwire_core::tracer::Tracer;

use super::input::Input;

/// A block that was taken, and what it held then.
struct Held<'r> {
    sealed: Sealed<&'r Ring>,
    bytes: Vec<u8>,
}

/// After any steps: what was admitted was taken, overwritten, or is still there; blocks that are held don't change; the
/// ring never uses more blocks than it has.
pub(crate) fn operations(script: &[u8]) {
    let mut input = Input::new(script);
    let builder = Recorder::builder()
        .memory(usize::from(input.below(8)) * (32 << 10) + (320 << 10))
        .shards(usize::from(input.below(4)) + 1)
        .block_spans(usize::from(input.below(5)) + 1)
        .overwrite_oldest(input.below(2) == 0);
    let recorder = Arc::new(builder.build().expect("enough memory"));
    let tracers = ["a", "bb"].map(|scope| Tracer::new(recorder.clone(), scope, Arc::new(AlwaysOn)));
    let ring = recorder.ring();
    let filler = "x".repeat(4096);
    let mut live = Vec::new();
    let mut held: Vec<Held<'_>> = Vec::new();
    let mut taken = 0;
    while !input.is_empty() {
        match input.below(8) {
            0 | 1 => {
                let tracer = &tracers[usize::from(input.below(2))];
                let mut span = tracer.span("span").root().start_owned();
                span.set_attribute("filler", &filler[..usize::from(input.byte()) * 16]);
                live.push(span);
            }
            2 | 3 => {
                if !live.is_empty() {
                    let at = usize::from(input.byte()) % live.len();
                    live.swap_remove(at).end();
                }
            }
            4 => {
                assert_eq!(ring.seal_all(), 0, "nobody else is here");
            }
            5 | 6 => {
                if let Some(sealed) = ring.take() {
                    taken += sealed.spans() as u64;
                    let bytes = sealed.as_bytes().to_vec();
                    held.push(Held { sealed, bytes });
                }
            }
            _ => {
                if !held.is_empty() {
                    let at = usize::from(input.byte()) % held.len();
                    held.swap_remove(at);
                }
            }
        }
        let account = recorder.account();
        // Those that the soft mark thinned out are not recording.
        let recording = live.iter().filter(|span| span.is_recording()).count();
        assert_eq!(account.live(), recording as u64);
        assert!(taken + account.overwritten <= account.admitted);
        assert!(held.len() <= ring.used_blocks() && ring.used_blocks() <= ring.blocks());
        for held in &held {
            assert!(
                held.sealed.as_bytes() == held.bytes,
                "a block changed while it was held"
            );
        }
    }
    drop(live);
    drop(held);
    ring.seal_all();
    while let Some(sealed) = ring.take() {
        taken += sealed.spans() as u64;
        let spans = spanwire_core::wire::split::count_body_spans(sealed.as_bytes());
        assert_eq!(spans, sealed.spans());
    }
    let account = recorder.account();
    assert_eq!(taken + account.overwritten, account.admitted);
    assert_eq!(account.started, account.admitted + account.dropped.total());
    assert_eq!(ring.used_blocks(), 0);
}
