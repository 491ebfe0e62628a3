//! What a sampler says of a span is on the wire, and what a builder was told is what the sampler hears.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use spanwire_core::attribute::KeyValue;
use spanwire_core::context::{Link, SpanContext, TraceFlags, TraceState};
use spanwire_core::pipeline::Pipeline;
use spanwire_core::sampler::{
    AlwaysOff, AlwaysOn, Annotating, OwnedCondition, ParentBased, Probability, Rule, RuleBased,
    Sampler, Sampling, SamplingInput, TraceStateChange,
};
use spanwire_core::testing::InMemoryExporter;
use spanwire_core::wire::SpanKind;

/// The spans that a program records under a sampler, as another decoder reads them.
fn exported(sampler: impl Sampler + 'static, program: impl FnOnce(&Pipeline)) -> Vec<Span> {
    let kept = InMemoryExporter::new();
    let exporter = kept.clone();
    let pipeline = Pipeline::builder()
        .sampler(sampler)
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    program(&pipeline);
    assert!(pipeline.shutdown(Duration::from_secs(30)).is_complete());
    let requests = kept.requests().into_iter();
    requests
        .map(|request| ExportTraceServiceRequest::decode(&request[..]).unwrap())
        .flat_map(|request| request.resource_spans)
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap()
}

fn attributes(span: &Span) -> Vec<(&str, &Value)> {
    span.attributes
        .iter()
        .map(|one| {
            let value = one.value.as_ref().and_then(|value| value.value.as_ref());
            (one.key.as_str(), value.unwrap())
        })
        .collect()
}

#[test]
fn attributes_of_a_sampler_come_first_and_count_once() {
    let sampler = Annotating::new(AlwaysOn, |add| {
        add(KeyValue::new("sampler.type", "always_on"));
        add(KeyValue::new("shared", "the sampler's"));
    });
    let spans = exported(sampler, |pipeline| {
        let told = [KeyValue::new("shared", "the program's")];
        let tracer = pipeline.tracer("test");
        let mut span = tracer.span("span").attributes(&told).start();
        span.set_attribute("later", 7);
        span.end();
    });
    assert_eq!(
        attributes(named(&spans, "span")),
        [
            ("sampler.type", &Value::StringValue("always_on".into())),
            ("shared", &Value::StringValue("the program's".into())),
            ("later", &Value::IntValue(7)),
        ]
    );
}

#[test]
fn a_threshold_goes_with_the_trace_to_its_children() {
    let always = Probability::new(1.0).unwrap();
    let spans = exported(ParentBased::new(always), |pipeline| {
        let tracer = pipeline.tracer("test");
        let root = tracer.start("root");
        assert_eq!(root.context().trace_state().as_str(), "ot=th:0");
        let child = tracer.span("child").child_of(root.context()).start();
        let grandchild = tracer.span("grandchild").child_of(child.context()).start();
        grandchild.end();
        child.end();
        root.end();
    });
    assert_eq!(spans.len(), 3);
    for span in &spans {
        assert_eq!(span.trace_state, "ot=th:0", "{}", span.name);
        assert_eq!(span.trace_id, spans[0].trace_id, "{}", span.name);
    }
    // Of a trace that comes from elsewhere, what others wrote stays.
    let remote = SpanContext::new(
        "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap(),
        "00f067aa0ba902b7".parse().unwrap(),
        TraceFlags::SAMPLED,
        true,
        TraceState::parse("vendor=x").unwrap(),
    );
    let always = Probability::new(1.0).unwrap();
    let spans = exported(always, |pipeline| {
        let tracer = pipeline.tracer("test");
        tracer.span("served").child_of(&remote).start().end();
    });
    assert_eq!(named(&spans, "served").trace_state, "ot=th:0,vendor=x");
}

#[test]
fn rules_hear_name_kind_attributes_and_parent() {
    let rule = |when: OwnedCondition, then: bool| Rule {
        when,
        then: if then {
            Box::new(AlwaysOn) as Box<dyn Sampler>
        } else {
            Box::new(AlwaysOff)
        },
    };
    let any = OwnedCondition::new;
    let rules = vec![
        rule(any().name("GET /healthz"), false),
        rule(any().kind(SpanKind::Producer), false),
        rule(any().attribute_values("tenant", ["noisy"]), false),
        rule(any(), true),
    ];
    let spans = exported(RuleBased::new(rules), |pipeline| {
        let tracer = pipeline.tracer("test");
        let noisy = [KeyValue::new("tenant", "noisy")];
        let calm = [KeyValue::new("tenant", "calm")];
        tracer.start("GET /healthz").end();
        tracer.start("GET /pods").end();
        tracer.span("sent").kind(SpanKind::Producer).start().end();
        tracer.span("taken").kind(SpanKind::Consumer).start().end();
        tracer.span("noisy").attributes(&noisy).start().end();
        tracer.span("calm").attributes(&calm).start().end();
    });
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["GET /pods", "taken", "calm"]);
}

/// Says all that it heard.
struct Hearing;

impl Sampler for Hearing {
    fn sample(&self, input: &SamplingInput<'_>, add: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
        let heard = format!(
            "{} {:?} {} attributes, {} links, parent {:?}",
            input.name,
            input.kind,
            input.attributes.len(),
            input.links.len(),
            input.parent.map(|parent| parent.is_remote())
        );
        add(KeyValue::new("heard", heard.as_str()));
        Sampling {
            trace_state: TraceStateChange::Replace(TraceState::parse("said=yes").unwrap()),
            ..Sampling::SAMPLE
        }
    }

    fn description(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Hearing")
    }
}

#[test]
fn a_sampler_of_the_program_hears_all_and_replaces_the_state() {
    let spans = exported(Hearing, |pipeline| {
        let tracer = pipeline.tracer("test");
        let root = tracer.start("root");
        let links = [Link::new(root.context())];
        let told = [KeyValue::new("a", 1), KeyValue::new("b", 2)];
        let child = tracer
            .span("child")
            .kind(SpanKind::Client)
            .child_of(root.context())
            .attributes(&told)
            .links(&links)
            .start();
        child.end();
        root.end();
    });
    let heard = |name| attributes(named(&spans, name))[0].1.clone();
    assert_eq!(
        heard("root"),
        Value::StringValue("root Internal 0 attributes, 0 links, parent None".into())
    );
    assert_eq!(
        heard("child"),
        Value::StringValue("child Client 2 attributes, 1 links, parent Some(false)".into())
    );
    assert!(spans.iter().all(|span| span.trace_state == "said=yes"));
}
