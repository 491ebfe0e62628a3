use std::collections::BTreeSet;
use std::ffi::OsString;

use super::*;

// What is expected of each variable.
mod rows;

use rows::{ROWS, headers};

#[test]
fn every_variable_has_its_row() {
    let rows: BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
    let variables: BTreeSet<_> = VARIABLES.iter().map(|variable| variable.name).collect();
    assert_eq!(rows, variables);
    assert_eq!(VARIABLES.len(), variables.len());
}

#[test]
fn each_variable_is_read_or_told() {
    for row in ROWS {
        let read = |value: Option<&str>| {
            let own = value.map(|value| (row.name, value));
            Environment::from_pairs(row.beside.iter().copied().chain(own))
        };
        for unset in [None, Some("")] {
            let environment = read(unset);
            assert_eq!(
                (row.show)(&environment),
                row.default,
                "{} {unset:?}",
                row.name
            );
            assert_eq!(environment.problems, [], "{} {unset:?}", row.name);
        }
        for (value, expected) in row.valid {
            let environment = read(Some(value));
            assert_eq!((row.show)(&environment), *expected, "{}={value}", row.name);
            assert_eq!(environment.problems, [], "{}={value}", row.name);
        }
        for value in row.bad {
            let environment = read(Some(value));
            assert_eq!(
                (row.show)(&environment),
                row.default,
                "{}={value}",
                row.name
            );
            assert!(!environment.problems.is_empty(), "{}={value}", row.name);
            for problem in &environment.problems {
                assert_eq!(problem.variable, row.name, "{}={value}", row.name);
                let told = format!("{problem} {problem:?} {environment:?}");
                assert!(problem.to_string().starts_with(row.name), "{told}");
                assert!(!told.contains("hunter2"), "{told}");
            }
        }
        let bytes = Environment::read(|name| (name == row.name).then(not_utf8));
        if cfg!(unix) {
            let [problem] = &bytes.problems[..] else {
                panic!("{}", row.name)
            };
            assert_eq!((problem.variable, &problem.fault), (row.name, &Fault::Utf8));
        }
    }
}

#[cfg(unix)]
fn not_utf8() -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(b"\xff".to_vec())
}

#[cfg(not(unix))]
fn not_utf8() -> OsString {
    OsString::from("x")
}

#[test]
fn what_can_be_used_of_a_list_is() {
    let environment = Environment::from_pairs([
        ("OTEL_PROPAGATORS", "none,b3,x"),
        ("OTEL_TRACES_EXPORTER", "zipkin,console"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1,hunter2,b=2"),
    ]);
    assert_eq!(environment.propagators, [PropagatorName::B3]);
    assert_eq!(environment.exporters, [ExporterName::Console]);
    assert_eq!(headers(&environment), "a=1|b=2");
    let told: Vec<_> = environment
        .problems
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        told,
        [
            "OTEL_PROPAGATORS: \"x\" is not one of tracecontext, baggage, b3, b3multi, jaeger, none",
            "OTEL_PROPAGATORS: none stands beside other names",
            "OTEL_TRACES_EXPORTER: \"zipkin\" is not supported",
            "OTEL_EXPORTER_OTLP_HEADERS: member 2 is not name=value",
        ]
    );
}

#[test]
fn a_batch_is_no_larger_than_the_queue() {
    for (queue, batch, expected, told) in [
        (None, "2049", 2048, true),
        (Some("100"), "100", 100, false),
        (Some("100"), "101", 100, true),
        (Some("x"), "600", 600, false),
    ] {
        let queue = queue.map(|queue| ("OTEL_BSP_MAX_QUEUE_SIZE", queue));
        let batch = ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", batch);
        let environment = Environment::from_pairs(queue.into_iter().chain([batch]));
        assert_eq!(environment.max_export_batch_size, Some(expected));
        let found = environment
            .problems
            .iter()
            .any(|problem| problem.variable == batch.0);
        assert_eq!(found, told, "{queue:?} {batch:?}");
    }
}

#[test]
fn an_argument_that_no_sampler_takes_is_told() {
    for sampler in [None, Some("always_on"), Some("parentbased_always_off")] {
        let sampler = sampler.map(|sampler| ("OTEL_TRACES_SAMPLER", sampler));
        let argument = ("OTEL_TRACES_SAMPLER_ARG", "0.5");
        let environment = Environment::from_pairs(sampler.into_iter().chain([argument]));
        let [problem] = &environment.problems[..] else {
            panic!()
        };
        assert_eq!(
            problem.to_string(),
            "OTEL_TRACES_SAMPLER_ARG: the sampler takes no argument"
        );
    }
}

#[test]
fn nothing_that_may_be_a_secret_is_shown() {
    let environment = Environment::from_pairs([
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "https://user:hunter2@host/path?token=hunter2",
        ),
    ]);
    assert_eq!(environment.problems, []);
    assert_eq!(headers(&environment), "authorization=hunter2");
    let shown = format!("{environment:?} {environment:#?}");
    assert!(
        shown.contains("[redacted]") && shown.contains("https://host/path.."),
        "{shown}"
    );
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_long_value_is_shown_in_part() {
    let environment = Environment::from_pairs([("OTEL_LOG_LEVEL", "x".repeat(1000).as_str())]);
    assert!(environment.problems[0].to_string().len() < 150);
}

#[test]
fn an_empty_environment_says_the_defaults_and_a_name_is_what_it_names() {
    let environment = Environment::from_pairs([]);
    assert_eq!(
        format!("{environment:?}"),
        format!("{:?}", Environment::default())
    );
    for name in environment.propagators {
        assert!(name.propagator().is_some());
    }
    // Whatever is set where this runs: it is read without a panic.
    let _ = Environment::of_process();
}

#[test]
fn problems_are_said_to_people() {
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let list = heard.clone();
    let diagnostics = Diagnostics::new(move |said| list.lock().unwrap().push(said.to_string()));
    Environment::from_pairs([
        ("OTEL_SDK_DISABLED", "yes"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x"),
    ])
    .tell(&diagnostics);
    assert_eq!(
        *heard.lock().unwrap(),
        [
            "config/environment: OTEL_SDK_DISABLED: \"yes\" is not true or false",
            "config/environment: OTEL_EXPORTER_OTLP_HEADERS: member 1 is not name=value",
        ]
    );
}
