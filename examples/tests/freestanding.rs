//! The freestanding program is built, looked at, run, and read by an independent decoder.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::Command;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;

fn build() -> PathBuf {
    // Beside the files of this test run, and apart from the target folder that the outer cargo holds.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("freestanding");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("freestanding/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        // The program is of the host, whatever this test is built for or with.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    target.join("debug/freestanding")
}

#[test]
fn spans_recorded_without_std_decode_and_no_allocator_is_linked() {
    let program = build();

    let image = std::fs::read(&program).unwrap();
    let has = |name: &str| image.windows(name.len()).any(|w| w == name.as_bytes());
    assert!(
        has("write"),
        "the names of imported functions are in the file"
    );
    for name in ["malloc", "__rust_alloc", "__rdl_alloc", "_ZN3std"] {
        assert!(!has(name), "{name} is linked");
    }

    let run = Command::new(&program).output().unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let decoded = ResourceSpans::decode(run.stdout.as_slice()).unwrap();
    assert!(
        decoded.scope_spans.len() > 1,
        "the records fill more than one block"
    );
    for scope_spans in &decoded.scope_spans {
        let scope = scope_spans.scope.as_ref().unwrap();
        assert_eq!(
            (scope.name.as_str(), scope.version.as_str()),
            ("motor", "1.2.0")
        );
    }
    let spans: Vec<&Span> = decoded.scope_spans.iter().flat_map(|s| &s.spans).collect();
    assert_eq!(spans.len(), 16);
    for (turn, pair) in spans.chunks(2).enumerate() {
        let (ramp, whole) = (pair[0], pair[1]);
        assert_eq!(
            (ramp.name.as_str(), whole.name.as_str()),
            ("ramp up", "turn the motor")
        );
        assert_eq!(
            (&ramp.trace_id, &ramp.parent_span_id),
            (&whole.trace_id, &whole.span_id)
        );
        assert!(whole.parent_span_id.is_empty());
        assert_eq!(
            (ramp.kind(), whole.kind()),
            (SpanKind::Internal, SpanKind::Server)
        );
        assert!(whole.start_time_unix_nano < ramp.start_time_unix_nano);
        assert!(ramp.end_time_unix_nano < whole.end_time_unix_nano);
        assert_eq!(
            values(whole),
            [
                ("turn", Value::IntValue(turn as i64)),
                ("forward", Value::BoolValue(turn % 2 == 0))
            ]
        );
        assert_eq!(values(ramp), [("volts", Value::DoubleValue(11.5))]);
        assert_eq!(ramp.events[0].name, "at speed");
        let failure = whole.status.as_ref().map_or("", |s| s.message.as_str());
        assert_eq!(failure, if turn == 7 { "the motor stalled" } else { "" });
    }
}

fn values(span: &Span) -> Vec<(&str, Value)> {
    let value = |a: &KeyValue| a.value.clone().unwrap().value.unwrap();
    span.attributes
        .iter()
        .map(|a| (a.key.as_str(), value(a)))
        .collect()
}
