use std::sync::{Arc, Mutex};

use spanwire_core::pipeline::{Pipeline, Report};
use spanwire_core::propagation::TraceContext;
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

/// Guarantees: whatever the program says of its sampler later, nothing is recorded and nothing counts as exported; a
/// caller's context goes onward as it came.
#[test]
fn a_disabled_pipeline_records_nothing_and_passes_contexts_on() {
    let environment = Environment::from_pairs([
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ]);
    let kept = InMemoryExporter::new();
    let exporter = kept.clone();
    let pipeline = Setup::new(environment)
        .apply(Pipeline::builder(), &Diagnostics::silent())
        .sampling_rate_per_million(1_000_000)
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let tracer = pipeline.tracer("test");
    for flags in ["00", "01"] {
        let caller = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        let headers = [("traceparent", caller.as_str()), ("tracestate", "a=b")];
        let caller = TraceContext::read(&headers).unwrap();
        let span = tracer.span("serve").child_of(&caller).start();
        assert_eq!(span.context(), &caller);
        let entered = span.enter();
        let child = tracer.start("child");
        assert_eq!(child.context(), &caller);
        let mut onward = Vec::<(String, String)>::new();
        TraceContext::write(child.context(), &mut onward);
        let expected = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(onward, expected);
        drop((entered, child));
        assert_eq!(
            tracer
                .span("owned")
                .child_of(&caller)
                .start_owned()
                .context(),
            &caller
        );
    }
    assert!(!tracer.span("root").root().start().context().is_valid());
    let report = pipeline.shutdown(Duration::from_secs(20));
    assert_eq!((report.own().started, report.own().not_sampled), (0, 0));
    let exported = report.lanes().iter().map(|lane| lane.account.exported);
    assert_eq!(exported.sum::<u64>(), 0);
    assert_eq!(kept.span_count(), 0);
    assert!(report.is_complete(), "{report}");
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
        assert_eq!(told, and_rejected(format!("setup: {variable}: {why}")));
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

/// What is said of an exporter that can't be built, and of ten spans that were to leave by it.
fn and_rejected(said: String) -> [String; 3] {
    let failed = said.replace("setup: ", "exporter/0: an export failed: ");
    let lost = "exporter/0: a span was lost: rejected (9 more like this since it was last said)";
    [said, failed, lost.into()]
}

/// Guarantees: `OTEL_LOG_LEVEL` bounds what the environment, the setup and the pipeline say.
#[test]
fn a_log_level_is_followed() {
    let heard = |level: &'static str| {
        let pairs = [
            ("OTEL_LOG_LEVEL", level),
            ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/nothing"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:9"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "nothing"),
        ];
        let list = Arc::new(Mutex::new(Vec::new()));
        let heard = list.clone();
        let diagnostics = Diagnostics::new(move |said| heard.lock().unwrap().push(said.level));
        let environment = Environment::from_pairs(pairs);
        environment.tell(&diagnostics);
        let pipeline = Setup::new(environment)
            .apply(Pipeline::builder(), &diagnostics)
            .build()
            .unwrap();
        pipeline.tracer("test").start("span").end();
        let _ = pipeline.shutdown(Duration::from_secs(20));
        let list = list.lock().unwrap();
        let count = |level| list.iter().filter(|said| **said == level).count();
        (count(Level::Error), count(Level::Warn))
    };
    assert_eq!(heard("none"), (0, 0));
    assert_eq!(heard("error"), (1, 0));
    assert_eq!(heard("warn"), (1, 4));
    assert_eq!(heard(""), (1, 4), "the default is info");
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

/// Scenario: a value that can't be used stands in a variable for all signals, or in the one for traces.
/// Guarantees: that variable is named, whichever protocol is spoken, and no other; no secret is shown.
#[cfg(all(feature = "grpc", feature = "http", feature = "tls"))]
#[test]
fn what_an_exporter_cannot_use_is_told_by_the_variable_it_stands_in() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = std::env::temp_dir();
    let certificate = folder.join(format!("spanwire-setup-{}.pem", std::process::id()));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    let certificate = certificate.to_str().unwrap();
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(&str, &str, Pairs<'_>, &str)] = &[
        ("HEADERS", "content-type=hunter2", &[], "'content-type'"),
        ("CERTIFICATE", "/nothing/here.pem", &[], "/nothing/here.pem"),
        (
            "CLIENT_KEY",
            "/key.pem",
            &[],
            "CLIENT_CERTIFICATE is not set",
        ),
        (
            "CLIENT_CERTIFICATE",
            "/cert.pem",
            &[],
            "CLIENT_KEY is not set",
        ),
        (
            "CLIENT_CERTIFICATE",
            "/nothing/cert.pem",
            &[
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate),
                ("OTEL_EXPORTER_OTLP_CLIENT_KEY", certificate),
            ],
            "/nothing/cert.pem",
        ),
        (
            "CLIENT_KEY",
            "/nothing/key.pem",
            &[
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate),
                ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate),
            ],
            "/nothing/key.pem",
        ),
    ];
    for protocol in ["grpc", "http/protobuf"] {
        for (name, value, beside, why) in cases {
            for of in ["", "TRACES_"] {
                let variable = format!("OTEL_EXPORTER_OTLP_{of}{name}");
                let mut pairs = vec![
                    (variable.as_str(), *value),
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:9"),
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ];
                pairs.extend_from_slice(beside);
                let told = told(&pairs);
                let [said] = &told[..] else {
                    panic!("{protocol} {variable}: {told:?}")
                };
                let named = said.starts_with(&format!("setup: {variable}: "));
                assert!(named && said.contains(why), "{variable}: {said}");
                assert!(!said.contains("hunter2"), "{said}");
            }
        }
    }
    std::fs::remove_file(certificate).unwrap();
}

#[cfg(feature = "grpc")]
#[test]
fn a_path_that_grpc_cannot_use_is_told_and_the_rest_is_used() {
    let told = told(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9/otlp")]);
    let [said] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(
        said.starts_with("setup: OTEL_EXPORTER_OTLP_ENDPOINT: ") && said.contains("'/otlp'"),
        "{said}"
    );
}

/// Guarantees: what the variables say of an insecure connection is for gRPC alone, and not passed over in silence.
#[cfg(all(feature = "http", feature = "tls"))]
#[test]
fn over_http_the_scheme_alone_says_whether_there_is_tls() {
    for variable in [
        "OTEL_EXPORTER_OTLP_INSECURE",
        "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
    ] {
        let told = |endpoint| {
            told(&[
                (variable, "true"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ])
        };
        let why = "is not followed; over HTTP the scheme of the endpoint says whether there is TLS";
        assert_eq!(told("127.0.0.1:9"), [format!("setup: {variable}: {why}")]);
        assert_eq!(told("http://127.0.0.1:9"), [""; 0]);
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
    assert_eq!(told, and_rejected(expected.into()));
    let account = report.lanes()[0].account;
    assert_eq!(account.dropped.get(DropReason::Rejected), 10);
}

#[test]
fn a_setup_says_what_is_wrong_with_its_own_endpoint() {
    let setup = Setup::new(Environment::default());
    assert!(setup.clone().endpoint("no scheme://x").is_err());
    assert!(setup.endpoint("http://127.0.0.1:9").is_ok());
}
