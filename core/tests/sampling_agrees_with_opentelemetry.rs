//! `PerMillion` and `ParentBased` decide as the OpenTelemetry SDK for Rust does, whose ratio sampler is that of Go.
#![cfg(feature = "std")]

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext as PeerContext, SpanId as PeerSpanId, SpanKind as PeerKind, TraceContextExt,
    TraceFlags as PeerFlags, TraceId as PeerTraceId, TraceState as PeerState,
};
use opentelemetry_sdk::trace::{Sampler as Peer, SamplingDecision, ShouldSample};
use proptest::prelude::*;
use spanwire_core::context::{SpanContext, TraceFlags, TraceState};
use spanwire_core::id::{SpanId, TraceId};
use spanwire_core::sampler::{Decision, ParentBased, PerMillion, Sampler, SamplingInput};

fn peer_keeps(peer: &Peer, parent: Option<&Context>, id: [u8; 16]) -> bool {
    let result = peer.should_sample(
        parent,
        PeerTraceId::from_bytes(id),
        "x",
        &PeerKind::Internal,
        &[],
        &[],
    );
    result.decision == SamplingDecision::RecordAndSample
}

fn keeps(sampler: &dyn Sampler, parent: Option<&SpanContext>, id: [u8; 16]) -> bool {
    let root = SamplingInput::root(TraceId::from_bytes(id), "x");
    sampler
        .sample(&SamplingInput { parent, ..root }, &mut |_| ())
        .decision
        == Decision::RecordAndSample
}

fn with_low64(high: u64, low: u64) -> [u8; 16] {
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

/// The last id kept and the first one dropped, at a thousand rates: found by halving, then asked of both samplers.
#[test]
fn both_draw_the_line_at_the_same_id() {
    for rate in (1..1_000_000)
        .step_by(997)
        .chain([2, 3, 99, 333_333, 999_999])
    {
        let (ours, peer) = (
            PerMillion::new(rate).unwrap(),
            Peer::TraceIdRatioBased(f64::from(rate) / 1_000_000.0),
        );
        let (mut kept, mut dropped) = (0_u64, u64::MAX);
        while dropped - kept > 1 {
            let middle = kept + (dropped - kept) / 2;
            *(if keeps(&ours, None, with_low64(1, middle)) {
                &mut kept
            } else {
                &mut dropped
            }) = middle;
        }
        assert!(
            peer_keeps(&peer, None, with_low64(1, kept)),
            "{rate} {kept:x}"
        );
        assert!(
            !peer_keeps(&peer, None, with_low64(1, dropped)),
            "{rate} {dropped:x}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_ids_are_judged_alike(rate in 0..=1_000_000, id: [u8; 16], sampled: bool, remote: bool, root: bool) {
        let ratio = PerMillion::new(rate).unwrap();
        let peer_ratio = Peer::TraceIdRatioBased(f64::from(rate) / 1_000_000.0);
        prop_assert_eq!(keeps(&ratio, None, id), peer_keeps(&peer_ratio, None, id));

        prop_assume!(id != [0; 16]);
        let span = [1; 8];
        let context = SpanContext::new(
            TraceId::from_bytes(id),
            SpanId::from_bytes(span),
            TraceFlags::NONE.with_sampled(sampled),
            remote,
            TraceState::EMPTY,
        );
        let peer_flags = if sampled { PeerFlags::SAMPLED } else { PeerFlags::default() };
        let peer_context = Context::new().with_remote_span_context(PeerContext::new(
            PeerTraceId::from_bytes(id),
            PeerSpanId::from_bytes(span),
            peer_flags,
            remote,
            PeerState::default(),
        ));
        let peer = Peer::ParentBased(Box::new(peer_ratio));
        prop_assert_eq!(
            keeps(&ParentBased::new(ratio), (!root).then_some(&context), id),
            peer_keeps(&peer, (!root).then_some(&peer_context), id)
        );
    }
}
