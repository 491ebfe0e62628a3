//! The 41 expectations of the W3C trace-context suite (SPEC_LEVEL=2, STRICT_LEVEL=2), offline, under the suite's names;
//! then the 83 header sets its self-test records; then the rules for changing a trace state.
#![cfg(feature = "std")]

use spanwire_core::context::{InvalidTraceState, SpanContext, TraceFlags, TraceState};
use spanwire_core::id::{SpanId, TraceId};
use spanwire_core::propagation::{
    Context, InvalidTraceParent, Propagator, TraceContext, TraceParent,
};

const ID: &str = "12345678901234567890123456789012";
const PARENT: &str = "1234567890123456";
const PLAIN: &str = "00-12345678901234567890123456789012-1234567890123456-01";

type Headers = Vec<(String, String)>;

/// What the suite's service does: continue the trace of the request, or start one, and call out `calls` times.
fn serve(request: &[(&str, &str)], calls: u64) -> Vec<Headers> {
    let request = request.to_vec();
    let parent = TraceContext::read(&request);
    let child = parent.unwrap_or_else(|| {
        let id = TraceId::from_bytes([0xab; 16]);
        let span = SpanId::from_bytes([0xcd; 8]);
        SpanContext::new(id, span, TraceFlags::NONE, false, TraceState::EMPTY)
    });
    (1..=calls)
        .map(|call| {
            let mut carrier = Headers::new();
            let child = child
                .clone()
                .with_span_id(SpanId::from_bytes(call.to_be_bytes()));
            TraceContext.inject(&Context::new(child), &mut carrier);
            carrier
        })
        .collect()
}

fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let mut values = headers.iter().filter(|(key, _)| key == name);
    let value = values.next().map(|(_, value)| value.as_str());
    assert!(values.next().is_none(), "{name} sent twice");
    value
}

/// The trace state sent on, as the suite looks at it: a map.
struct Sent {
    kept: bool,
    flags: u8,
    state: TraceState,
}

impl Sent {
    fn keys(&self) -> Vec<&str> {
        self.state.iter().map(|(key, _)| key).collect()
    }
}

fn send(request: &[(&str, &str)]) -> Sent {
    let mut calls = serve(request, 1);
    let headers = calls.remove(0);
    let parent = TraceParent::parse(header(&headers, "traceparent").unwrap()).unwrap();
    assert_ne!(parent.span_id, PARENT.parse().unwrap());
    Sent {
        kept: parent.trace_id == ID.parse().unwrap(),
        flags: parent.flags.bits(),
        state: header(&headers, "tracestate")
            .unwrap_or_default()
            .parse()
            .unwrap(),
    }
}

fn kept(traceparent: &str) -> bool {
    send(&[("traceparent", traceparent)]).kept
}

fn state(values: &[&str]) -> Sent {
    let mut request = vec![("traceparent", PLAIN)];
    request.extend(values.iter().map(|value| ("tracestate", *value)));
    let sent = send(&request);
    assert!(sent.kept, "a trace state never costs the trace: {values:?}");
    sent
}

macro_rules! suite {
    ($($name:ident $body:block)+) => {
        $(#[test] fn $name() $body)+

        #[test]
        fn all_41_are_here() {
            assert_eq!([$(stringify!($name)),+].len(), 41);
        }
    };
}

suite! {
    both_traceparent_and_tracestate_missing {
        assert!(!send(&[]).kept);
    }
    traceparent_included_tracestate_missing {
        assert!(kept(PLAIN));
    }
    traceparent_duplicated {
        let other = "00-12345678901234567890123456789011-1234567890123456-01";
        let sent = send(&[("traceparent", other), ("traceparent", PLAIN)]);
        assert!(!sent.kept);
        let sent = send(&[("traceparent", PLAIN), ("traceparent", PLAIN)]);
        assert!(!sent.kept);
    }
    traceparent_header_name {
        assert!(!send(&[("trace-parent", PLAIN)]).kept);
        assert!(!send(&[("trace.parent", PLAIN)]).kept);
    }
    traceparent_header_name_valid_casing {
        for name in ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"] {
            assert!(send(&[(name, PLAIN)]).kept);
        }
    }
    traceparent_version_0x00 {
        assert!(!kept(&format!("{PLAIN}.")));
        assert!(!kept(&format!("{PLAIN}-what-the-future-will-be-like")));
    }
    traceparent_version_0xcc {
        assert!(kept(&PLAIN.replacen("00-", "cc-", 1)));
        assert!(kept(&format!("{}-what-the-future", PLAIN.replacen("00-", "cc-", 1))));
        assert!(!kept(&format!("{}.what-the-future", PLAIN.replacen("00-", "cc-", 1))));
    }
    traceparent_version_0xff {
        assert!(!kept(&PLAIN.replacen("00-", "ff-", 1)));
    }
    traceparent_version_illegal_characters {
        assert!(!kept(&PLAIN.replacen("00-", ".0-", 1)));
        assert!(!kept(&PLAIN.replacen("00-", "0.-", 1)));
    }
    traceparent_version_too_long {
        assert!(!kept(&PLAIN.replacen("00-", "000-", 1)));
        assert!(!kept(&PLAIN.replacen("00-", "0000-", 1)));
    }
    traceparent_version_too_short {
        assert!(!kept(&PLAIN.replacen("00-", "0-", 1)));
    }
    traceparent_trace_id_all_zero {
        assert!(!kept(&PLAIN.replacen(ID, &"0".repeat(32), 1)));
    }
    traceparent_trace_id_illegal_characters {
        assert!(!kept(&PLAIN.replacen(ID, ".2345678901234567890123456789012", 1)));
        assert!(!kept(&PLAIN.replacen(ID, "1234567890123456789012345678901.", 1)));
    }
    traceparent_trace_id_too_long {
        assert!(!kept(&PLAIN.replacen(ID, "123456789012345678901234567890123", 1)));
    }
    traceparent_trace_id_too_short {
        assert!(!kept(&PLAIN.replacen(ID, "1234567890123456789012345678901", 1)));
    }
    traceparent_parent_id_all_zero {
        assert!(!kept("00-12345678901234567890123456789012-0000000000000000-01"));
    }
    traceparent_parent_id_illegal_characters {
        assert!(!kept("00-12345678901234567890123456789012-.234567890123456-01"));
        assert!(!kept("00-12345678901234567890123456789012-123456789012345.-01"));
    }
    traceparent_parent_id_too_long {
        assert!(!kept("00-12345678901234567890123456789012-12345678901234567-01"));
    }
    traceparent_parent_id_too_short {
        assert!(!kept("00-12345678901234567890123456789012-123456789012345-01"));
    }
    traceparent_trace_flags_illegal_characters {
        assert!(!kept("00-12345678901234567890123456789012-1234567890123456-.0"));
        assert!(!kept("00-12345678901234567890123456789012-1234567890123456-0."));
    }
    traceparent_trace_flags_too_long {
        assert!(!kept("00-12345678901234567890123456789012-1234567890123456-001"));
    }
    traceparent_trace_flags_too_short {
        assert!(!kept("00-12345678901234567890123456789012-1234567890123456-1"));
    }
    traceparent_ows_handling {
        for (before, after) in [(" ", ""), ("\t", ""), ("", " "), ("", "\t"), ("\t ", " \t")] {
            assert!(kept(&format!("{before}{PLAIN}{after}")));
        }
    }
    tracestate_included_traceparent_missing {
        let sent = send(&[("tracestate", "foo=1")]);
        assert!(!sent.kept && sent.state.is_empty());
        let sent = send(&[("tracestate", "foo=1,bar=2")]);
        assert!(!sent.kept && sent.state.is_empty());
    }
    tracestate_included_traceparent_included {
        assert_eq!(state(&["foo=1,bar=2"]).state.as_str(), "foo=1,bar=2");
    }
    tracestate_header_name {
        for name in ["trace-state", "trace.state"] {
            let sent = send(&[("traceparent", PLAIN), (name, "foo=1")]);
            assert!(sent.kept && sent.state.is_empty());
        }
    }
    tracestate_header_name_valid_casing {
        for name in ["TraceState", "TrAcEsTaTe", "TRACESTATE"] {
            let sent = send(&[("traceparent", PLAIN), (name, "foo=1")]);
            assert_eq!(sent.state.get("foo"), Some("1"));
        }
    }
    tracestate_empty_header {
        assert!(state(&[""]).state.is_empty());
        assert_eq!(state(&["foo=1", ""]).state.as_str(), "foo=1");
        assert_eq!(state(&["", "foo=1"]).state.as_str(), "foo=1");
    }
    tracestate_multiple_headers_different_keys {
        let sent = state(&["foo=1,bar=2", "rojo=1,congo=2", "baz=3"]);
        assert_eq!(sent.state.as_str(), "foo=1,bar=2,rojo=1,congo=2,baz=3");
    }
    tracestate_duplicated_keys {
        // Both or one may be passed on; one keeps every receiver content.
        assert_eq!(state(&["foo=1,foo=1"]).state.as_str(), "foo=1");
        assert_eq!(state(&["foo=1,foo=2"]).state.as_str(), "foo=1");
        assert_eq!(state(&["foo=1", "foo=1"]).state.as_str(), "foo=1");
        assert_eq!(state(&["foo=1", "foo=2"]).state.as_str(), "foo=1");
    }
    tracestate_all_allowed_characters {
        let key = "0123456789abcdefghijklmnopqrstuvwxyz_-*/";
        let value: String = (' '..='~').filter(|char| !matches!(char, ',' | '=')).collect();
        for key in [key.to_owned(), format!("{key}@a-z0-9_-*/")] {
            let text = format!("{key}={value}");
            assert_eq!(state(&[&text]).state.get(&key), Some(value.as_str()));
        }
    }
    tracestate_ows_handling {
        assert_eq!(state(&["foo=1 \t , \t bar=2, \t baz=3"]).state.as_str(), "foo=1,bar=2,baz=3");
        assert_eq!(state(&["foo=1\t \t,\t \tbar=2,\t \tbaz=3"]).state.as_str(), "foo=1,bar=2,baz=3");
        for text in [" foo=1", "\tfoo=1", "foo=1 ", "foo=1\t", "\t foo=1 \t"] {
            assert_eq!(state(&[text]).state.as_str(), "foo=1");
        }
    }
    tracestate_key_illegal_characters {
        for text in ["foo =1", "FOO=1", "foo.bar=1"] {
            assert!(state(&[text]).state.is_empty(), "{text}");
        }
    }
    tracestate_key_illegal_vendor_format {
        assert_eq!(state(&["foo@=1,bar=2"]).state.as_str(), "foo@=1,bar=2");
        assert!(state(&["@foo=1,bar=2"]).state.is_empty());
        assert_eq!(state(&["foo@@bar=1,bar=2"]).state.as_str(), "foo@@bar=1,bar=2");
        assert_eq!(state(&["foo@bar@baz=1,bar=2"]).state.as_str(), "foo@bar@baz=1,bar=2");
    }
    tracestate_member_count_limit {
        let members: Vec<_> = (1..=33).map(|n| format!("bar{n:02}={n:02}")).collect();
        let headers = |to: usize| -> Vec<String> {
            members[..to].chunks(10).map(|chunk| chunk.join(",")).collect()
        };
        let many: Vec<_> = headers(32);
        let sent = state(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(sent.state.as_str(), members[..32].join(","));
        let many = headers(33);
        let sent = state(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(sent.state.get("bar01"), None);
        assert!(state(&[&members.join(",")]).state.is_empty());
    }
    tracestate_key_length_limit {
        let key = "z".repeat(256);
        let sent = state(&["foo=1", &format!("{key}=1")]);
        assert_eq!(sent.keys(), ["foo", key.as_str()]);
        assert!(state(&["foo=1", &format!("{key}z=1")]).state.is_empty());
        let vendor = format!("{}@{}", "t".repeat(240), "v".repeat(15));
        assert_eq!(state(&["foo=1", &format!("{vendor}=1")]).keys(), ["foo", vendor.as_str()]);
        assert_eq!(state(&["foo=1", "t@vvvvvvvvvvvvvvv=1"]).keys(), ["foo", "t@vvvvvvvvvvvvvvv"]);
    }
    tracestate_value_illegal_characters {
        assert!(state(&["foo=bar=baz"]).state.is_empty());
        assert!(state(&["foo=,bar=3"]).state.is_empty());
    }
    multiple_requests_with_valid_traceparent {
        let calls = serve(&[("traceparent", PLAIN)], 3);
        let parents: Vec<_> = calls.iter().map(|call| header(call, "traceparent").unwrap()).collect();
        assert!(parents.iter().all(|parent| parent[3..35] == *ID));
        assert!(parents[0] != parents[1] && parents[1] != parents[2] && parents[0] != parents[2]);
    }
    multiple_requests_without_traceparent {
        let calls = serve(&[], 3);
        let parents: Vec<_> = calls.iter().map(|call| header(call, "traceparent").unwrap()).collect();
        assert!(parents.iter().all(|parent| parent[3..35] != *ID));
    }
    multiple_requests_with_illegal_traceparent {
        let calls = serve(&[("traceparent", "00-00000000000000000000000000000000-1234567890123456-01")], 3);
        let parents: Vec<_> = calls.iter().map(|call| header(call, "traceparent").unwrap()).collect();
        assert!(parents.iter().all(|parent| TraceParent::parse(*parent).is_ok()));
    }
    traceparent_random_flag_comes_back_set {
        let sent = send(&[("traceparent", "00-12345678901234567890123456789012-1234567890123456-02")]);
        assert!(sent.kept);
        assert_eq!(sent.flags, 2);
    }
}

/// Scenario: the header sets recorded from the self-test of the suite. Guarantees: every validity flag is met.
#[test]
fn recorded_headers_are_judged_as_recorded() {
    let text = include_str!("data/w3c_trace_context_headers.json");
    let cases: serde_json::Value = serde_json::from_str(text).unwrap();
    let cases = cases.as_array().unwrap();
    let mut valid = 0;
    for case in cases {
        let headers: Vec<(&str, &str)> = case["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .collect();
        let parent = TraceContext::read(&headers);
        let expected = case["is_traceparent_valid"].as_bool().unwrap();
        assert_eq!(parent.is_some(), expected, "{headers:?}");
        let Some(parent) = parent else { continue };
        valid += 1;
        if let Some(expected) = case["is_tracestate_valid"].as_bool() {
            // The parser behind the flag does not count; the suite itself wants a list of 33 gone.
            let expected = expected && !headers.iter().any(|(_, value)| value.contains("bar33"));
            assert_eq!(!parent.trace_state().is_empty(), expected, "{headers:?}");
        }
    }
    assert_eq!((cases.len(), valid), (83, 52));
}

#[test]
fn a_traceparent_is_refused_for_its_first_fault() {
    let refused = |text: &str| TraceParent::parse(text).unwrap_err();
    assert_eq!(refused(""), InvalidTraceParent::Length);
    assert_eq!(refused(&PLAIN[..54]), InvalidTraceParent::Length);
    assert_eq!(refused(&format!("{PLAIN}-")), InvalidTraceParent::Length);
    assert_eq!(
        refused(&PLAIN.replace("00-", "FF-")),
        InvalidTraceParent::Version
    );
    assert_eq!(
        refused(&PLAIN.replace("00-", "00_")),
        InvalidTraceParent::Separator
    );
    let upper = "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01";
    assert_eq!(refused(upper), InvalidTraceParent::TraceId);
    let upper = "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067aa0ba902b7-01";
    assert_eq!(refused(upper), InvalidTraceParent::SpanId);
    assert_eq!(
        refused(&PLAIN.replace("-01", "-0A")),
        InvalidTraceParent::Flags
    );
}

#[test]
fn undefined_flags_are_read_and_not_passed_on() {
    for bits in 0..=u8::MAX {
        let text = format!("00-{ID}-{PARENT}-{bits:02x}");
        let parent = TraceParent::parse(&text).unwrap();
        assert_eq!(parent.flags.bits(), bits & 3);
        let mut buffer = [0; TraceParent::LEN];
        let written = parent.encode(&mut buffer);
        assert_eq!(written, format!("00-{ID}-{PARENT}-{:02x}", bits & 3));
    }
    let future = TraceParent::parse(&format!("cc-{ID}-{PARENT}-ff-more")).unwrap();
    assert_eq!(future.to_string(), format!("00-{ID}-{PARENT}-03"));
}

#[test]
fn a_failed_extraction_changes_nothing() {
    let known = TraceContext::read(&[("traceparent", PLAIN), ("tracestate", "a=1")]).unwrap();
    let before = Context::new(known);
    let mut after = before.clone();
    TraceContext.extract(&[("traceparent", "nonsense")], &mut after);
    TraceContext.extract(&[("tracestate", "b=2")], &mut after);
    assert_eq!(after, before);
}

#[test]
fn an_invalid_context_is_not_injected() {
    let mut carrier = Headers::new();
    TraceContext.inject(&Context::EMPTY, &mut carrier);
    assert!(carrier.is_empty());
}

#[test]
fn injecting_replaces_what_was_there() {
    let mut carrier = vec![("TraceParent".to_owned(), "old".to_owned())];
    let context = TraceContext::read(&[("traceparent", PLAIN)]).unwrap();
    TraceContext::write(&context, &mut carrier);
    assert_eq!(carrier, [("traceparent".to_owned(), PLAIN.to_owned())]);
}

#[test]
fn changed_members_move_to_the_left() {
    let state: TraceState = "a=1,b=2,c=3".parse().unwrap();
    assert_eq!(state.insert("b", "9").unwrap().as_str(), "b=9,a=1,c=3");
    assert_eq!(state.insert("d", "4").unwrap().as_str(), "d=4,a=1,b=2,c=3");
    assert_eq!(state.remove("b").as_str(), "a=1,c=3");
    assert_eq!(state.remove("x"), state);
    assert_eq!(state.remove("a").remove("b").remove("c"), TraceState::EMPTY);
    assert_eq!(state.as_str(), "a=1,b=2,c=3");
}

#[test]
fn a_33rd_member_drops_the_right_most() {
    let full: Vec<_> = (0..32).map(|n| format!("k{n:02}={n}")).collect();
    let state: TraceState = full.join(",").parse().unwrap();
    let more = state.insert("z", "0").unwrap();
    assert_eq!(more.iter().count(), 32);
    assert_eq!(more.as_str(), format!("z=0,{}", full[..31].join(",")));
    let same = state.insert("k31", "x").unwrap();
    assert_eq!(same.as_str(), format!("k31=x,{}", full[..31].join(",")));
}

#[test]
fn a_long_list_loses_long_members_first_then_the_right_most() {
    let member = |key: &str, len: usize| format!("{key}={}", "v".repeat(len - key.len() - 1));
    let parse = |members: &[String]| -> Vec<String> {
        let state: TraceState = members.join(",").parse().unwrap();
        assert!(state.as_str().len() <= TraceState::MAX_LEN);
        state.iter().map(|(key, _)| key.to_owned()).collect()
    };
    // 512 bytes are kept.
    let a = member("a", 128);
    let exact = [
        a.clone(),
        member("b", 128),
        member("c", 128),
        member("d", 125),
    ];
    assert_eq!(exact.join(",").len(), 512);
    assert_eq!(parse(&exact), ["a", "b", "c", "d"]);
    // 513 are not; no member is longer than 128: the right-most goes.
    let over = [
        a.clone(),
        member("b", 128),
        member("c", 128),
        member("d", 126),
    ];
    assert_eq!(parse(&over), ["a", "b", "c"]);
    // A longer one goes first, wherever it stands, and of two the right one.
    let long = [
        member("a", 129),
        member("b", 128),
        member("c", 128),
        member("d", 126),
    ];
    assert_eq!(parse(&long), ["b", "c", "d"]);
    let two = [
        member("a", 250),
        member("b", 20),
        member("c", 250),
        member("d", 20),
    ];
    assert_eq!(parse(&two), ["a", "b", "d"]);
    // The member that is being set stays, however long; 513 bytes can't.
    let state: TraceState = exact.join(",").parse().unwrap();
    let set = state.insert("n", &"v".repeat(200)).unwrap();
    let keys: Vec<_> = set.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["n", "a", "b"]);
    let key = "k".repeat(256);
    assert_eq!(
        state.insert(&key, &"v".repeat(255)).unwrap().iter().count(),
        1
    );
    assert_eq!(
        state.insert(&key, &"v".repeat(256)),
        Err(InvalidTraceState::TooLong)
    );
}

#[test]
fn members_that_break_the_grammar_are_not_set() {
    let state = TraceState::EMPTY;
    for key in ["", "A", "@a", "_a", "a.b", "a b", "ä", &"k".repeat(257)] {
        assert_eq!(state.insert(key, "1"), Err(InvalidTraceState::Key), "{key}");
    }
    for value in ["", "a ", "a,b", "a=b", "\t", "ä", &"v".repeat(257)] {
        assert_eq!(
            state.insert("a", value),
            Err(InvalidTraceState::Value),
            "{value}"
        );
    }
    assert_eq!(state.insert("0a@b@c", " 1").unwrap().as_str(), "0a@b@c= 1");
}
