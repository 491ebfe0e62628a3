use std::collections::{HashMap, HashSet};
use std::time::Duration;

use spanwire_core::exporter::Outcome;
use spanwire_core::pipeline::Pipeline;
use spanwire_core::stats::Dropped;
use spanwire_core::testing::InMemoryExporter;

use super::*;

/// One sample: its name, its labels and its value.
#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// Reads the text as strictly as the format is written: every family is told once, with its type and all its samples
/// in one piece; no series occurs twice; the text ends with a line feed.
fn parse(text: &str) -> Vec<Sample> {
    assert!(text.ends_with('\n'), "the last line ends");
    let mut samples: Vec<Sample> = Vec::new();
    let mut families = HashSet::new();
    let mut series = HashSet::new();
    let mut family = None;
    for line in text.strip_suffix('\n').unwrap().split('\n') {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(families.insert(name.to_string()), "{name} is told twice");
            assert!(!help.is_empty());
            family = Some((name.to_string(), None));
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            let (open, known) = family.as_mut().unwrap();
            assert_eq!((name, &*known), (open.as_str(), &None));
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            *known = Some(kind.to_string());
        } else {
            let sample = parse_sample(line);
            let (name, kind) = family.as_ref().unwrap();
            assert_eq!(&sample.name, name, "{line}");
            assert!(kind.is_some());
            let mut labels = sample.labels.clone();
            labels.sort();
            let names: HashSet<_> = labels.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), labels.len(), "a label occurs twice: {line}");
            assert!(
                series.insert((sample.name.clone(), labels)),
                "a series occurs twice: {line}"
            );
            samples.push(sample);
        }
    }
    samples
}

fn parse_sample(line: &str) -> Sample {
    let is_name = |name: &str| {
        let mut chars = name.chars();
        chars
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap();
            assert!(is_name(label), "{label} in {line}");
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (at, '"') => break at + 1,
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('"' | '\\') => c,
                        other => panic!("\\{other} in {line}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            labels.push((label.to_string(), value));
            rest = &after[end..];
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = rest.strip_prefix(',').unwrap();
        }
    }
    let value = rest.strip_prefix(' ').unwrap().parse().unwrap();
    Sample {
        name: name.to_string(),
        labels,
        value,
    }
}

fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |sample: &Sample, label: &(&str, &str)| {
        sample
            .labels
            .iter()
            .any(|(name, value)| (name.as_str(), value.as_str()) == *label)
    };
    let mut found = samples
        .iter()
        .filter(|sample| sample.name == name && labels.iter().all(|label| has(sample, label)))
        .filter(|sample| sample.labels.len() == labels.len());
    let sample = found
        .next()
        .unwrap_or_else(|| panic!("no {name} {labels:?}"));
    assert!(found.next().is_none());
    sample.value
}

#[test]
fn the_numbers_of_a_pipeline_are_told_under_all_three_families() {
    let good = InMemoryExporter::new();
    let bad = InMemoryExporter::new();
    bad.answer_next(Outcome::Partial {
        rejected: 2,
        message: "quota".into(),
    });
    let (first, second) = (good.clone(), bad.clone());
    let pipeline = Pipeline::builder()
        .exporter(move || first.clone())
        .exporter(move || second.clone())
        .build()
        .unwrap();
    let tracer = pipeline.tracer("scope");
    for _ in 0..5 {
        drop(tracer.start("span"));
    }
    let live = tracer.start("alive");
    let _ = pipeline.flush(Duration::from_secs(20));

    let stats = pipeline.stats();
    let text = Exposition::new(&stats)
        .exporter("otlp_grpc_span_exporter", "otlp/one \"quoted\"\\\n")
        .label("pipe-line", "p\"1")
        .to_string();
    let samples = parse(&text);
    let common = ("pipe_line", "p\"1");
    let own =
        |name: &str, labels: &[(&str, &str)]| value(&samples, name, &[labels, &[common]].concat());
    let sampled = ("otel_span_sampling_result", "RECORD_AND_SAMPLE");
    assert_eq!(own("otel_sdk_span_started_total", &[sampled]), 6.0);
    assert_eq!(
        own(
            "otel_sdk_span_started_total",
            &[("otel_span_sampling_result", "DROP")]
        ),
        0.0
    );
    assert_eq!(own("otel_sdk_span_live", &[sampled]), 1.0);
    let one = [
        ("otel_component_name", "otlp_grpc_span_exporter/0"),
        ("otel_component_type", "otlp_grpc_span_exporter"),
    ];
    let two = [
        ("otel_component_name", "spanwire_exporter/1"),
        ("otel_component_type", "spanwire_exporter"),
    ];
    let rejected = [("error_type", "rejected")];
    assert_eq!(own("otel_sdk_exporter_span_exported_total", &one), 5.0);
    assert_eq!(
        own(
            "otel_sdk_exporter_span_exported_total",
            &[&one[..], &rejected].concat()
        ),
        0.0
    );
    assert_eq!(own("otel_sdk_exporter_span_exported_total", &two), 3.0);
    assert_eq!(
        own(
            "otel_sdk_exporter_span_exported_total",
            &[&two[..], &rejected].concat()
        ),
        2.0
    );
    assert_eq!(own("otel_sdk_exporter_span_inflight", &one), 0.0);
    for number in ["0", "1"] {
        let name = format!("batching_span_processor/{number}");
        let labels = [
            ("otel_component_name", name.as_str()),
            ("otel_component_type", "batching_span_processor"),
        ];
        assert_eq!(own("otel_sdk_processor_span_processed_total", &labels), 5.0);
        assert_eq!(own("otel_sdk_processor_span_queue_size", &labels), 0.0);
        for error in ["queue_full", "already_shutdown"] {
            let labels = [&labels[..], &[("error_type", error)]].concat();
            assert_eq!(own("otel_sdk_processor_span_processed_total", &labels), 0.0);
        }
    }
    let exporter = ("exporter", "otlp/one \"quoted\"\\\n");
    assert_eq!(own("otelcol_exporter_sent_spans_total", &[exporter]), 5.0);
    assert_eq!(
        own(
            "otelcol_exporter_send_failed_spans_total",
            &[("exporter", "exporter/1")]
        ),
        2.0
    );
    assert_eq!(
        own(
            "otelcol_exporter_queue_size",
            &[exporter, ("data_type", "traces")]
        ),
        0.0
    );
    assert_eq!(
        own(
            "otelcol_receiver_accepted_spans_total",
            &[("receiver", "otlp")]
        ),
        0.0
    );
    let labels = [("exporter", "exporter/1"), ("reason", "partially_rejected")];
    assert_eq!(own("spanwire_lane_dropped_spans_total", &labels), 2.0);
    assert_eq!(
        own("spanwire_memory_budget_bytes", &[]),
        f64::from(16 << 20)
    );

    drop(live);
    let _ = pipeline.shutdown(Duration::from_secs(20));
    drop(tracer.start("late"));
    let text = Exposition::new(&pipeline.stats()).to_string();
    let labels = [("reason", "after_shutdown")];
    assert_eq!(
        value(&parse(&text), "spanwire_dropped_spans_total", &labels),
        1.0
    );
}

/// Every reason is told once, and adds to one number of each family only.
#[test]
fn a_lost_span_is_counted_once_in_each_family() {
    for reason in DropReason::ALL {
        let mut door = Dropped::default();
        let mut account = LaneAccount::default();
        match stage(reason) {
            Stage::Door => door.add(reason, 3),
            Stage::Queue | Stage::Export => account.dropped.add(reason, 3),
        }
        let total = |counts: Vec<(&str, u64)>| counts.iter().map(|(_, count)| count).sum::<u64>();
        let before = total(before_export(&door, &account));
        let at = total(at_export(&account.dropped));
        let expected = if stage(reason) == Stage::Export {
            (0, 3)
        } else {
            (3, 0)
        };
        assert_eq!((before, at), expected, "{reason}");
        // The words of the conventions, where they have one.
        let word = match reason {
            DropReason::RingFull
            | DropReason::Contended
            | DropReason::LaneLag
            | DropReason::Overwritten => "queue_full",
            DropReason::AfterShutdown => "already_shutdown",
            DropReason::Rejected | DropReason::PartiallyRejected => "rejected",
            other => other.as_str(),
        };
        let counts = before_export(&door, &account)
            .into_iter()
            .chain(at_export(&account.dropped));
        let words: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
        assert_eq!(words, [(word, 3)], "{reason}");
        assert_eq!(handed_over(&account), at, "{reason}");
        let unique: HashMap<_, _> = before_export(&door, &account).into_iter().collect();
        assert_eq!(
            unique.len(),
            before_export(&door, &account).len(),
            "{reason}"
        );
    }
}

#[test]
fn a_pipeline_that_is_not_there_is_told_too() {
    let samples = parse(&Exposition::new(&Stats::default()).to_string());
    assert_eq!(value(&samples, "spanwire_wakes_total", &[]), 0.0);
}
