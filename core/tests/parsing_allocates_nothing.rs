//! Reading and writing context allocates nothing: every allocation of this thread is counted.
#![cfg(feature = "std")]

use spanwire_core::context::{Baggage, BaggageRef, SpanContext, TraceState, TraceStateRef};
use spanwire_core::propagation::{
    Context, EnvironmentName, Injector, SamplingRequest, TraceContext, TraceParent, by_name,
};

mod allocations;
use allocations::allocations;

/// A carrier that keeps nothing.
struct Gone(usize);

impl Injector for Gone {
    fn set(&mut self, name: &str, value: &str) {
        self.0 += name.len() + value.len();
    }
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn sampled() -> SpanContext {
    TraceParent::parse(PARENT)
        .unwrap()
        .into_remote(TraceState::EMPTY)
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| Vec::<u8>::with_capacity(8)), 1);
}

#[test]
fn parsing() {
    let members: Vec<_> = (0..32).map(|n| format!("key{n}=value{n}")).collect();
    let long = members.join(" , ");
    let baggage = "user=Am%C3%A9lie;p=1, other=%F0%9F%92%BC";
    assert_eq!(allocations(|| TraceParent::parse(PARENT)), 0);
    assert_eq!(allocations(|| TraceParent::parse("nonsense")), 0);
    assert_eq!(
        allocations(|| TraceStateRef::parse(&long).map(|state| state.get("key31"))),
        0
    );
    assert_eq!(
        allocations(|| TraceState::parse("ot=th:8,congo=t61rcWkgMzE")),
        0
    );
    assert_eq!(allocations(|| TraceState::parse("FOO=1")), 0);
    assert_eq!(
        allocations(|| {
            let baggage = BaggageRef::new(baggage);
            assert!(baggage.get("user").unwrap() == "Amélie");
            baggage
                .iter()
                .map(|member| member.value.chars().count())
                .sum::<usize>()
        }),
        0
    );
    assert_eq!(allocations(|| Baggage::parse("user=alice,tier=gold")), 0);
    assert_eq!(
        allocations(|| EnvironmentName("x-b3-traceid").matches("X_B3_TRACEID")),
        0
    );
    // What does not fit in place takes room once, and a clone none.
    let canonical = members.join(",");
    assert_eq!(allocations(|| TraceState::parse(&canonical)), 1);
    let state = TraceState::parse(&canonical).unwrap();
    assert_eq!(allocations(|| state.clone()), 0);
}

#[test]
fn a_root_with_a_threshold() {
    assert_eq!(
        allocations(|| {
            let state = TraceState::EMPTY.insert("ot", "th:8").unwrap();
            let changed = state.insert("ot", "th:c;rv:0123456789abcd").unwrap();
            let context = sampled().with_trace_state(changed.clone());
            let copy = context.clone();
            (state, changed.remove("ot"), context, copy)
        }),
        0
    );
}

#[test]
fn extracting_and_injecting() {
    let headers = [
        ("traceparent", PARENT),
        ("tracestate", "ot=th:8"),
        ("tracestate", "congo=t61rcWkgMzE"),
        ("baggage", "user=alice"),
        ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-d"),
        ("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"),
        ("x-b3-spanid", "e457b5a2e4d86bd1"),
        ("x-b3-sampled", "1"),
        ("uber-trace-id", "abc%3A1%3A0%3A1"),
        ("uberctx-tier", "gold"),
    ];
    for name in ["tracecontext", "baggage", "b3", "b3multi", "jaeger"] {
        let propagator = by_name(name).unwrap();
        let mut context = Context::EMPTY;
        assert_eq!(
            allocations(|| propagator.extract(&headers, &mut context)),
            0,
            "{name}"
        );
        assert_ne!(context, Context::EMPTY, "{name}");
        let mut carrier = Gone(0);
        assert_eq!(
            allocations(|| propagator.inject(&context, &mut carrier)),
            0,
            "{name}"
        );
        assert!(carrier.0 > 0, "{name}");
    }
    // Injecting what is long allocates nothing either.
    let long: Vec<_> = (0..32).map(|n| format!("key{n}=value{n}")).collect();
    let state = TraceState::parse(&long.join(",")).unwrap();
    let context = Context::new(sampled().with_trace_state(state))
        .with_baggage(Baggage::parse(&long.join(",")))
        .with_sampling_request(SamplingRequest::Debug);
    for name in ["tracecontext", "baggage", "b3", "b3multi", "jaeger"] {
        let mut carrier = Gone(0);
        assert_eq!(
            allocations(|| by_name(name).unwrap().inject(&context, &mut carrier)),
            0,
            "{name}"
        );
    }
    assert_eq!(allocations(|| TraceContext::read(&headers)), 0);
}
