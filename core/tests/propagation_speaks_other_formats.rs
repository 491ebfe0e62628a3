//! B3 and Jaeger headers, several formats at once, and the environment as a carrier.
#![cfg(feature = "std")]

extern crate alloc;

use alloc::collections::BTreeMap;
use std::collections::HashMap;

use spanwire_core::context::{Baggage, SpanContext, TraceFlags, TraceState};
use spanwire_core::id::{SpanId, TraceId};
use spanwire_core::propagation::{
    B3, Composite, Context, Environment, EnvironmentName, Extractor, Jaeger, Propagator, STANDARD,
    SamplingRequest, TraceContext, by_name,
};

const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";

type Headers = Vec<(String, String)>;

fn extract(propagator: &dyn Propagator, headers: &[(&str, &str)]) -> Context {
    let mut context = Context::EMPTY;
    propagator.extract(&headers, &mut context);
    context
}

fn inject(propagator: &dyn Propagator, context: &Context) -> Headers {
    let mut carrier = Headers::new();
    propagator.inject(context, &mut carrier);
    carrier
}

fn owned(headers: &[(&str, &str)]) -> Headers {
    headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn span(sampled: bool) -> SpanContext {
    SpanContext::new(
        TRACE.parse().unwrap(),
        SPAN.parse().unwrap(),
        TraceFlags::NONE.with_sampled(sampled),
        true,
        TraceState::EMPTY,
    )
}

mod b3 {
    use super::*;
    use SamplingRequest::{Accept, Debug, Deferred, Deny, Unspecified};

    fn single(value: &str) -> Context {
        extract(&B3::SINGLE, &[("b3", value)])
    }

    fn expected(sampled: bool, request: SamplingRequest) -> Context {
        Context::new(span(sampled)).with_sampling_request(request)
    }

    #[test]
    fn the_single_header_is_read() {
        let ids = format!("{TRACE}-{SPAN}");
        for (rest, sampled, request) in [
            ("", false, Deferred),
            ("-0", false, Unspecified),
            ("-1", true, Unspecified),
            ("-d", true, Debug),
            ("-1-05e3ac9a4f6e3b90", true, Unspecified),
            ("-0-05e3ac9a4f6e3b90", false, Unspecified),
            ("-d-05e3ac9a4f6e3b90", true, Debug),
        ] {
            let context = single(&format!("{ids}{rest}"));
            assert_eq!(context, expected(sampled, request), "{rest}");
        }
        assert_eq!(single(&format!(" {ids}-1\t")), expected(true, Unspecified));
    }

    #[test]
    fn a_state_without_ids_is_a_request() {
        for (text, request) in [("0", Deny), ("1", Accept), ("d", Debug)] {
            let context = single(text);
            assert!(!context.span_context().is_valid());
            assert_eq!(context.sampling_request(), request);
            assert_eq!(inject(&B3::SINGLE, &context), owned(&[("b3", text)]));
        }
        let context = extract(&B3::SINGLE, &[("x-b3-sampled", "0")]);
        assert_eq!(context.sampling_request(), Deny);
        assert_eq!(
            inject(&B3::MULTI, &context),
            owned(&[("x-b3-sampled", "0")])
        );
        let context = extract(&B3::SINGLE, &[("x-b3-flags", "1")]);
        assert_eq!(inject(&B3::MULTI, &context), owned(&[("x-b3-flags", "1")]));
        assert!(inject(&B3::SINGLE, &Context::EMPTY).is_empty());
        assert!(inject(&B3::MULTI, &Context::EMPTY).is_empty());
    }

    #[test]
    fn a_short_trace_id_is_padded() {
        let context = single("463ac35c9f6413ad-a2fb4a1d1a96d312-d");
        let id = context.span_context().trace_id().to_string();
        assert_eq!(id, "0000000000000000463ac35c9f6413ad");
        assert_eq!(context.sampling_request(), Debug);
        let headers = [
            ("X-B3-TraceId", "463ac35c9f6413ad"),
            ("X-B3-SpanId", "a2fb4a1d1a96d312"),
        ];
        let context = extract(&B3::MULTI, &headers);
        assert_eq!(context.span_context().trace_id().to_string(), id);
        assert_eq!(context.sampling_request(), Deferred);
    }

    #[test]
    fn malformed_single_headers_are_refused() {
        let ids = format!("{TRACE}-{SPAN}");
        for text in [
            "",
            "-",
            "2",
            "D",
            "00",
            "true",
            TRACE,
            "80f198ee56343ba8",
            &format!("{ids}-"),
            &format!("{ids}-q"),
            &format!("{ids}-01"),
            &format!("{ids}-true"),
            &format!("{ids}-D"),
            &format!("{ids}-05e3ac9a4f6e3b90"),
            &format!("{ids}-1-"),
            &format!("{ids}-1-05e3ac9a4f6e3b9"),
            &format!("{ids}-1-05e3ac9a4f6e3b9000"),
            &format!("{ids}-1-EF00000000000000"),
            &format!("{ids}-1-05e3ac9a4f6e3b90-"),
            &format!("{ids}-1-05e3ac9a4f6e3b90-1"),
            &format!("{}-{SPAN}-1", TRACE.to_uppercase()),
            &format!("{TRACE}-{}-1", SPAN.to_uppercase()),
            &format!("{TRACE}00-{SPAN}-1"),
            &format!("{}-{SPAN}-1", &TRACE[..30]),
            &format!("{}-{SPAN}-1", &TRACE[..15]),
            &format!("{TRACE}-{SPAN}00-1"),
            &format!("{TRACE}-{}-1", &SPAN[..15]),
            &format!("{}-{SPAN}-1", "0".repeat(32)),
            &format!("{}-{SPAN}-1", "0".repeat(16)),
            &format!("{TRACE}-{}-1", "0".repeat(16)),
            &format!("qw{}-{SPAN}-1", &TRACE[2..]),
        ] {
            assert_eq!(single(text), Context::EMPTY, "{text}");
        }
    }

    #[test]
    fn the_headers_of_many_are_read() {
        let ids = [("X-B3-TraceId", TRACE), ("X-B3-SpanId", SPAN)];
        for (more, sampled, request) in [
            (&[][..], false, Deferred),
            (&[("X-B3-Sampled", "0")], false, Unspecified),
            (&[("X-B3-Sampled", "1")], true, Unspecified),
            (&[("X-B3-Sampled", "true")], true, Unspecified),
            (&[("X-B3-Sampled", "False")], false, Unspecified),
            (&[("X-B3-Sampled", "")], false, Deferred),
            (&[("X-B3-Flags", "1")], true, Debug),
            (&[("X-B3-Flags", "0")], false, Deferred),
            (
                &[("X-B3-Flags", "2"), ("X-B3-Sampled", "1")],
                true,
                Unspecified,
            ),
            (&[("X-B3-Flags", "1"), ("X-B3-Sampled", "0")], true, Debug),
            (
                &[
                    ("X-B3-ParentSpanId", "05e3ac9a4f6e3b90"),
                    ("X-B3-Sampled", "1"),
                ],
                true,
                Unspecified,
            ),
        ] {
            let headers: Vec<_> = ids.iter().chain(more).copied().collect();
            let context = extract(&B3::MULTI, &headers);
            assert_eq!(context, expected(sampled, request), "{more:?}");
        }
    }

    #[test]
    fn malformed_headers_of_many_are_refused() {
        for (trace, span, more) in [
            (TRACE, "", &[("x-b3-sampled", "1")][..]),
            ("", SPAN, &[("x-b3-sampled", "1")]),
            (TRACE, SPAN, &[("x-b3-sampled", "10")]),
            (TRACE, SPAN, &[("x-b3-sampled", "d")]),
            (TRACE, SPAN, &[("x-b3-parentspanid", "short")]),
            (
                "",
                "",
                &[("x-b3-parentspanid", SPAN), ("x-b3-sampled", "1")],
            ),
            ("00000000000000000000000000000000", SPAN, &[]),
            (TRACE, "0000000000000000", &[]),
            ("80f198ee56343ba864fe8b2a57d3ef", SPAN, &[]),
            ("80f198ee5634", SPAN, &[]),
            ("80F198EE56343BA864FE8B2A57D3EFF7", SPAN, &[]),
            (TRACE, "E457B5A2E4D86BD1", &[]),
            (TRACE, "e457b5a2e4d86bd100", &[]),
            ("qwf198ee56343ba864fe8b2a57d3eff7", SPAN, &[]),
        ] {
            let ids = [("x-b3-traceid", trace), ("x-b3-spanid", span)];
            let headers: Vec<_> = ids.iter().chain(more).copied().collect();
            assert_eq!(extract(&B3::MULTI, &headers), Context::EMPTY, "{headers:?}");
        }
    }

    #[test]
    fn the_single_header_comes_first() {
        let good = format!("{TRACE}-{SPAN}-1");
        let many = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
        let with = |single: &str, sampled: &str| {
            let headers = [many[0], many[1], ("b3", single), ("x-b3-sampled", sampled)];
            extract(&B3::SINGLE, &headers)
        };
        assert_eq!(with(&good, "0"), expected(true, Unspecified));
        assert_eq!(with(&good, "invalid"), expected(true, Unspecified));
        // A single header that can't be read, or has no ids, leaves the turn to the others.
        assert_eq!(with(&good[..50], "0"), expected(false, Unspecified));
        assert_eq!(with("1", "0"), expected(false, Unspecified));
        assert_eq!(
            extract(&B3::SINGLE, &[("b3", "0"), ("x-b3-sampled", "1")]).sampling_request(),
            Deny
        );
    }

    #[test]
    fn both_kinds_are_written() {
        for (sampled, request, single, more) in [
            (true, Unspecified, "-1", &[("x-b3-sampled", "1")][..]),
            (false, Unspecified, "-0", &[("x-b3-sampled", "0")]),
            (true, Debug, "-d", &[("x-b3-flags", "1")]),
            (false, Debug, "-d", &[("x-b3-flags", "1")]),
            (false, Deferred, "", &[]),
        ] {
            let context = expected(sampled, request);
            let text = format!("{TRACE}-{SPAN}{single}");
            assert_eq!(inject(&B3::SINGLE, &context), owned(&[("b3", &text)]));
            let ids = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
            let headers: Vec<_> = ids.iter().chain(more).copied().collect();
            assert_eq!(inject(&B3::MULTI, &context), owned(&headers));
        }
    }

    #[test]
    fn a_child_settles_what_was_deferred_and_keeps_debug() {
        let child = |request| {
            let child = span(false).with_remote(false);
            let context = expected(false, request).with_span_context(child);
            inject(&B3::SINGLE, &context)[0].1.clone()
        };
        assert!(child(Deferred).ends_with("-0"));
        assert!(child(Debug).ends_with("-d"));
        // A span of this process is decided, whatever the caller left open.
        let local = Context::new(span(false).with_remote(false)).with_sampling_request(Deferred);
        assert!(inject(&B3::SINGLE, &local)[0].1.ends_with("-0"));
    }

    #[test]
    fn a_failed_extraction_changes_nothing() {
        let before = expected(true, Debug);
        let mut after = before.clone();
        for headers in [[("b3", "nonsense")], [("b3", "0")], [("x-b3-sampled", "0")]] {
            B3::SINGLE.extract(&headers, &mut after);
            assert_eq!(after, before);
        }
    }
}

mod jaeger {
    use super::*;

    fn read(value: &str) -> Context {
        extract(&Jaeger, &[("uber-trace-id", value)])
    }

    #[test]
    fn the_four_parts_are_read() {
        for (flags, sampled, debug) in [
            ("0", false, false),
            ("1", true, false),
            ("2", false, false),
            ("3", true, true),
            ("8", false, false),
            ("9", true, false),
            ("01", true, false),
            ("0f", true, true),
            ("ff", true, true),
        ] {
            for parent in ["0", "", SPAN, "whatever"] {
                for colon in [":", "%3A", "%3a"] {
                    let text = [TRACE, SPAN, parent, flags].join(colon);
                    let context = read(&text);
                    assert_eq!(context.span_context(), &span(sampled), "{text}");
                    let asked = context.sampling_request() == SamplingRequest::Debug;
                    assert_eq!(asked, debug, "{text}");
                }
            }
        }
    }

    #[test]
    fn short_ids_are_padded() {
        let context = read("a3ce929d0e0e4736:7:0:1");
        let found = context.span_context();
        assert_eq!(
            found.trace_id().to_string(),
            "0000000000000000a3ce929d0e0e4736"
        );
        assert_eq!(found.span_id().to_string(), "0000000000000007");
        assert_eq!(read("1:1:0:0").span_context().trace_id().to_bytes()[15], 1);
    }

    #[test]
    fn malformed_values_are_refused() {
        for text in [
            "",
            ":::",
            "1:1:0",
            "1:1:0:1:1",
            "1:1:0:",
            "1:1:0:100",
            "1:1:0:g",
            "1:1:0:wired",
            ":1:0:1",
            "1::0:1",
            "0:1:0:1",
            "1:0:0:1",
            "x:1:0:1",
            "A:1:0:1",
            "1-1-0-1",
            "1%3B1%3A0%3A1",
            "1%3",
            &format!("{TRACE}0:{SPAN}:0:1"),
            &format!("{TRACE}:{SPAN}0:0:1"),
            &format!("1:1:{}:1", "0".repeat(300)),
        ] {
            assert_eq!(read(text), Context::EMPTY, "{text}");
        }
    }

    #[test]
    fn contexts_are_written_with_a_zero_parent() {
        for (sampled, request, flags) in [
            (false, SamplingRequest::Unspecified, "0"),
            (true, SamplingRequest::Unspecified, "1"),
            (true, SamplingRequest::Debug, "3"),
        ] {
            let context = Context::new(span(sampled)).with_sampling_request(request);
            let text = format!("{TRACE}:{SPAN}:0:{flags}");
            assert_eq!(
                inject(&Jaeger, &context),
                owned(&[("uber-trace-id", &text)])
            );
        }
        assert!(inject(&Jaeger, &Context::EMPTY).is_empty());
    }

    #[test]
    fn baggage_has_a_header_for_each_member() {
        let headers = [
            ("uberctx-user", "Am%C3%A9lie"),
            ("UberCtx-Tier", " a,b "),
            ("uberctx-", "no name"),
            ("uberctx-a b", "no token"),
            ("uber", "short"),
        ];
        let context = extract(&Jaeger, &headers);
        assert_eq!(context.baggage().as_str(), "user=Am%C3%A9lie,Tier=a%2Cb");
        assert_eq!(
            inject(&Jaeger, &context),
            owned(&[("uberctx-user", "Am%C3%A9lie"), ("uberctx-Tier", "a%2Cb")])
        );
        let mut known = Context::EMPTY.with_baggage(Baggage::parse("a=1"));
        Jaeger.extract(&headers, &mut known);
        assert_eq!(known.baggage().as_str(), "a=1,user=Am%C3%A9lie,Tier=a%2Cb");
    }
}

#[test]
fn composites_run_in_order() {
    let b3 = format!("{TRACE}-{SPAN}-1");
    let w3c = "00-12345678901234567890123456789012-1234567890123456-00";
    let headers = [
        ("b3", b3.as_str()),
        ("traceparent", w3c),
        ("baggage", "a=1"),
    ];
    let b3_last = Composite::new(vec![
        by_name("tracecontext").unwrap(),
        by_name("b3").unwrap(),
    ]);
    let context = extract(&b3_last, &headers);
    assert_eq!(context.span_context().trace_id().to_string(), TRACE);
    let w3c_last: [&dyn Propagator; 3] = [&B3::SINGLE, &TraceContext, &STANDARD];
    let context = extract(&Composite::new(w3c_last), &headers);
    assert_eq!(
        context.span_context().trace_id().to_string(),
        "12345678901234567890123456789012"
    );
    assert_eq!(context.baggage().as_str(), "a=1");
    let sent = inject(&Composite::new(w3c_last), &context);
    let names: Vec<_> = sent.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["b3", "traceparent", "baggage"]);
    // The later one fails: what the earlier one found stays.
    let context = extract(
        &Composite::new(w3c_last),
        &[("b3", &b3), ("traceparent", "")],
    );
    assert_eq!(context.span_context().trace_id().to_string(), TRACE);
}

#[test]
fn propagators_have_the_names_of_the_environment_variable() {
    let fields = |name: &str| -> Vec<&str> {
        let mut fields = Vec::new();
        if let Some(propagator) = by_name(name) {
            propagator.fields(&mut |field| fields.push(field));
        }
        fields
    };
    assert_eq!(fields("tracecontext"), ["traceparent", "tracestate"]);
    assert_eq!(fields("baggage"), ["baggage"]);
    assert_eq!(fields("jaeger"), ["uber-trace-id"]);
    assert_eq!(fields("b3").len(), 6);
    assert_eq!(fields("b3multi").len(), 6);
    for name in ["none", "xray", "ottrace", "", "B3"] {
        assert!(by_name(name).is_none());
    }
}

#[test]
fn maps_are_carriers() {
    let id = TraceId::from_bytes([1; 16]);
    let context = Context::new(SpanContext::new(
        id,
        SpanId::from_bytes([2; 8]),
        TraceFlags::RANDOM,
        true,
        "a=1".parse().unwrap(),
    ));
    let mut hash = HashMap::<String, String>::new();
    let mut tree = BTreeMap::<String, String>::new();
    hash.insert("Traceparent".into(), "old".into());
    tree.insert("Traceparent".into(), "old".into());
    STANDARD.inject(&context, &mut hash);
    STANDARD.inject(&context, &mut tree);
    assert_eq!((hash.len(), tree.len()), (2, 2));
    for carrier in [&hash as &dyn Extractor, &tree] {
        let mut back = Context::EMPTY;
        STANDARD.extract(carrier, &mut back);
        assert_eq!(back, context);
        let mut names = Vec::new();
        carrier.for_each(&mut |name, _| names.push(name.to_owned()));
        names.sort();
        assert_eq!(names, ["traceparent", "tracestate"]);
    }
}

#[test]
fn header_names_become_variable_names() {
    for (name, variable) in [
        ("traceparent", "TRACEPARENT"),
        ("x-b3-traceid", "X_B3_TRACEID"),
        ("X-B3-TraceId", "X_B3_TRACEID"),
        ("uber-trace-id", "UBER_TRACE_ID"),
        ("a.b c/d_e", "A_B_C_D_E"),
        ("3scale", "_3SCALE"),
        ("", "_"),
        ("é", "_"),
        ("_", "_"),
    ] {
        assert_eq!(EnvironmentName(name).to_string(), variable);
        assert!(EnvironmentName(name).matches(variable));
    }
    assert!(!EnvironmentName("traceparent").matches("traceparent"));
    assert!(!EnvironmentName("traceparent").matches("TRACEPARENT_"));
}

/// Scenario: a context is injected into the command of a child that runs this test again. Guarantees: the child reads the
/// same context from its environment.
#[test]
fn a_child_process_reads_the_context_of_its_parent() {
    const MARK: &str = "SPANWIRE_TEST_CHILD";
    let context = Context::new(span(true).with_trace_state("a=1".parse().unwrap()))
        .with_baggage(Baggage::parse("user=alice"));
    if std::env::var_os(MARK).is_some() {
        let mut found = Context::EMPTY;
        STANDARD.extract(&Environment::read(&STANDARD), &mut found);
        assert_eq!(found, context);
        return;
    }
    if cfg!(miri) {
        return;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    STANDARD.inject(&context, &mut child);
    child
        .env(MARK, "1")
        .args(["--exact", "a_child_process_reads_the_context_of_its_parent"]);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
