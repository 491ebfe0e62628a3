//! The bare tier: run with `--no-default-features`. Context is read and passed on within 30 bytes of trace state and
//! baggage; longer lists lose whole members.
#![cfg(not(feature = "alloc"))]

use spanwire_core::context::{
    Baggage, BaggageRef, InvalidBaggage, InvalidTraceState, TraceState, TraceStateRef,
};
use spanwire_core::propagation::{
    B3, Context, EnvironmentName, Extractor, Injector, Propagator, STANDARD, TraceContext,
};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Room for three headers.
#[derive(Default)]
struct Pocket(Vec<(String, String)>);

impl Injector for Pocket {
    fn set(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }
}

impl Extractor for Pocket {
    fn get_all<'c>(&'c self, name: &str, each: &mut dyn FnMut(&'c [u8])) {
        self.0.as_slice().get_all(name, each);
    }
}

#[test]
fn the_tier_is_bare() {
    assert_eq!((TraceState::MAX_LEN, Baggage::MAX_LEN), (30, 30));
}

#[test]
fn a_long_trace_state_loses_whole_members() {
    let cut = |text: &str| TraceState::parse(text).unwrap();
    let fits = "ot=th:8,congo=t61rcWkgMzE,aa=1";
    assert_eq!((fits.len(), cut(fits).as_str()), (30, fits));
    assert_eq!(cut("ot=th:8,congo=t61rcWkgMzE,aa=12").as_str(), &fits[..25]);
    assert_eq!(cut("a=123456789012345678901234567890").as_str(), "");
    let long = ["a=1,b=", &"v".repeat(130), ",c=3"].concat();
    assert_eq!(cut(&long).as_str(), "a=1,c=3");
    let state = cut(&fits[..25]);
    assert_eq!(
        state.insert("a", "12345").unwrap().as_str(),
        "a=12345,ot=th:8"
    );
    assert_eq!(
        state.insert("a", "12345678901234567890123456789"),
        Err(InvalidTraceState::TooLong)
    );
    // The view keeps everything.
    let view = TraceStateRef::parse("ot=th:8,congo=t61rcWkgMzE,aa=12").unwrap();
    assert_eq!(view.get("aa"), Some("12"));
}

#[test]
fn long_baggage_loses_whole_members() {
    let text = "user=alice,secret=0123456789abcdef,t=g";
    let baggage = Baggage::parse(text);
    assert_eq!(baggage.as_str(), "user=alice,t=g");
    assert_eq!(
        baggage.insert("x", "0123456789abcdef"),
        Err(InvalidBaggage::TooLong)
    );
    assert!(BaggageRef::new(text).get("secret").unwrap() == "0123456789abcdef");
}

#[test]
fn contexts_travel() {
    let headers = [
        ("traceparent", PARENT),
        ("tracestate", "ot=th:8"),
        ("tracestate", "b=2"),
        ("baggage", "user=alice"),
    ];
    let mut context = Context::EMPTY;
    STANDARD.extract(&headers, &mut context);
    assert_eq!(context.span_context().trace_state().as_str(), "ot=th:8,b=2");
    let mut pocket = Pocket::default();
    STANDARD.inject(&context, &mut pocket);
    let mut back = Context::EMPTY;
    STANDARD.extract(&pocket, &mut back);
    assert_eq!(back, context);
    B3::SINGLE.inject(&context, &mut pocket);
    assert_eq!(pocket.0[3].1, format!("{}-1", &PARENT[3..52]));
    assert!(EnvironmentName("traceparent").matches("TRACEPARENT"));
}

#[test]
fn recorded_headers_are_judged_as_with_an_allocator() {
    let text = include_str!("data/w3c_trace_context_headers.json");
    let cases: serde_json::Value = serde_json::from_str(text).unwrap();
    for case in cases.as_array().unwrap() {
        let headers: Vec<(&str, &str)> = case["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .collect();
        let parent = TraceContext::read(&headers.as_slice());
        let expected = case["is_traceparent_valid"].as_bool().unwrap();
        assert_eq!(parent.is_some(), expected, "{headers:?}");
    }
}
