use std::sync::{Arc, Mutex};

use spanwire_core::pipeline::{Pipeline, Report};
use spanwire_core::stats::DropReason;
use spanwire_core::testing::InMemoryExporter;

use super::*;

/// What is said about these variables.
fn told(pairs: &[(&str, &str)]) -> Vec<String> {
    run(pairs, 0).1
}

/// Starts a pipeline with these variables, ends some spans, and gives what became of them and what was said.
fn run(pairs: &[(&str, &str)], spans: usize) -> (Report, Vec<String>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let list = heard.clone();
    let diagnostics = Diagnostics::new(move |said| list.lock().unwrap().push(said.to_string()));
    let environment = Environment::from_pairs(pairs.iter().copied());
    let pipeline = Setup::new(environment)
        .apply(Pipeline::builder(), &diagnostics)
        .build()
        .unwrap();
    let tracer = pipeline.tracer("test");
    (0..spans).for_each(|_| tracer.start("span").end());
    let report = pipeline.shutdown(Duration::from_secs(20));
    (report, std::mem::take(&mut heard.lock().unwrap()))
}

#[test]
fn an_empty_environment_says_nothing_and_loses_nothing() {
    let (report, told) = run(&[], 0);
    assert_eq!(report.lost(), 0);
    assert_eq!(told, [""; 0]);
}

#[test]
fn samplers_are_those_that_are_named() {
    for (name, argument, sampled) in [
        ("always_on", None, 10),
        ("always_off", None, 0),
        ("traceidratio", Some("1"), 10),
        ("traceidratio", Some("0"), 0),
        ("parentbased_always_on", None, 10),
        ("parentbased_always_off", None, 0),
        ("parentbased_traceidratio", Some("0"), 0),
        ("parentbased_traceidratio", None, 10),
    ] {
        let mut pairs = vec![
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_TRACES_SAMPLER", name),
        ];
        pairs.extend(argument.map(|argument| ("OTEL_TRACES_SAMPLER_ARG", argument)));
        let (report, told) = run(&pairs, 10);
        assert_eq!(report.own().started, sampled, "{name}");
        assert_eq!(
            report.own().started + report.own().not_sampled,
            10,
            "{name}"
        );
        assert_eq!(told, [""; 0], "{name}");
    }
}

#[test]
fn a_part_is_whole_millionths_and_not_none() {
    let mut problems = Vec::new();
    assert_eq!(ratio(0.01, &mut problems).rate(), 10_000);
    assert_eq!(ratio(1.0, &mut problems).rate(), 1_000_000);
    assert_eq!(ratio(0.0, &mut problems).rate(), 0);
    assert_eq!(problems, []);
    assert_eq!(ratio(1e-9, &mut problems).rate(), 1);
    assert_eq!(
        problems[0].to_string(),
        "OTEL_TRACES_SAMPLER_ARG: 0.000000001 is used in whole millionths"
    );
}

#[test]
fn a_disabled_pipeline_records_nothing() {
    let (report, told) = run(
        &[
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_TRACES_SAMPLER", "always_on"),
        ],
        10,
    );
    assert_eq!((report.own().started, report.own().not_sampled), (0, 10));
    assert_eq!(told, [""; 0]);
}

#[test]
fn what_the_program_says_later_wins_and_what_it_said_before_gives_way() {
    let kept = InMemoryExporter::new();
    let exporter = kept.clone();
    let environment = Environment::from_pairs([
        ("OTEL_SERVICE_NAME", "from-environment"),
        ("OTEL_RESOURCE_ATTRIBUTES", "zone=b"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ]);
    let builder = Pipeline::builder().service_name("from-program");
    let pipeline = Setup::new(environment)
        .apply(builder, &Diagnostics::silent())
        .sampling_rate_per_million(1_000_000)
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    pipeline.tracer("test").start("span").end();
    assert!(pipeline.shutdown(Duration::from_secs(20)).is_complete());
    let mut said = Vec::new();
    kept.each_span(|resource, _, _| {
        let attributes = resource.resource().unwrap().attributes();
        for key in ["service.name", "zone"] {
            said.extend(
                attributes
                    .get(key)
                    .and_then(|value| value.as_str())
                    .map(str::to_owned),
            );
        }
    });
    assert_eq!(said, ["from-environment", "b"]);
}

#[test]
fn an_exporter_that_cannot_be_built_is_told_and_its_spans_are_lost_with_the_reason() {
    for (variable, value, why) in [
        #[cfg(not(feature = "http"))]
        (PROTOCOL, "http/json", "\"http/json\" is not supported"),
        #[cfg(not(feature = "grpc"))]
        (PROTOCOL, "grpc", "\"grpc\" is not supported"),
        #[cfg(any(feature = "grpc", feature = "http"))]
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "dns:collector",
            "endpoint host 'collector' has no port after it",
        ),
        #[cfg(any(feature = "grpc", feature = "http"))]
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "collector",
            "endpoint host 'collector' has no port after it",
        ),
        #[cfg(not(feature = "debug"))]
        (
            "OTEL_TRACES_EXPORTER",
            "console",
            "\"console\" is not supported",
        ),
        #[cfg(not(feature = "file"))]
        (
            "OTEL_TRACES_EXPORTER",
            "otlp/stdout",
            "\"otlp/stdout\" is not supported",
        ),
    ] {
        let (report, told) = run(&[(variable, value)], 10);
        assert_eq!(told, [format!("setup: {variable}: {why}")]);
        assert!(!report.is_complete());
        let account = report.lanes()[0].account;
        assert_eq!(account.dropped.get(DropReason::Rejected), 10, "{variable}");
        let failure = report.lanes()[0].last_failure.as_deref();
        assert!(
            failure.is_some_and(|said| said.contains(variable)),
            "{failure:?}"
        );
    }
}

#[test]
fn a_queue_in_spans_is_told() {
    let told = told(&[
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
    ]);
    let expected =
        "setup: OTEL_BSP_MAX_QUEUE_SIZE: is not followed; a budget in bytes bounds what waits";
    assert_eq!(told, [expected]);
}

#[cfg(all(feature = "grpc", feature = "tls"))]
#[test]
fn what_grpc_cannot_use_is_told_and_the_rest_is_used() {
    for (pairs, variable, why) in [
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9/otlp")][..],
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "'/otlp'",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem")],
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE is not set",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_HEADERS", "grpc-timeout=hunter2")],
            "OTEL_EXPORTER_OTLP_HEADERS",
            "'grpc-timeout' is set by the exporter itself",
        ),
        (
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:9"),
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nothing/here.pem"),
            ],
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "/nothing/here.pem",
        ),
    ] {
        let told = told(pairs);
        let [said] = &told[..] else {
            panic!("{told:?}")
        };
        assert!(said.contains(variable) && said.contains(why), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[cfg(feature = "http")]
#[test]
fn a_proxy_that_cannot_be_used_is_told_by_the_name_of_its_variable() {
    let pairs = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("http_proxy", "socks5://agent:hunter2@proxy"),
    ];
    let (report, told) = run(&pairs, 10);
    let expected = "setup: http_proxy: proxy scheme 'socks5' is not http";
    assert_eq!(told, [expected]);
    let account = report.lanes()[0].account;
    assert_eq!(account.dropped.get(DropReason::Rejected), 10);
}

#[test]
fn a_setup_says_what_is_wrong_with_its_own_endpoint() {
    let setup = Setup::new(Environment::default());
    assert!(setup.clone().endpoint("no scheme://x").is_err());
    assert!(setup.endpoint("http://127.0.0.1:9").is_ok());
}
