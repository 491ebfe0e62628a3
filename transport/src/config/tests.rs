use std::path::Path;

use proptest::prelude::*;

use super::collector::{Config, Exporter, Processor, Receiver};
use super::kubernetes::TracingConfiguration;
use super::*;

struct Env(&'static [(&'static str, &'static str)]);

impl Surroundings for Env {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        let found = self.0.iter().find(|(key, _)| *key == name);
        Ok(found.map(|(_, value)| (*value).into()))
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("no such file".into())
    }
}

const NODE: &str = include_str!("../../../examples/ack-node.yaml");

#[test]
fn the_documented_node_is_accepted() {
    let env = Env(&[("OPENTELEMETRY_GRPC_TOKEN", "s3cr3t\n")]);
    let loaded = Config::load(NODE, &env).unwrap();
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
    assert!(
        loaded
            .warnings
            .iter()
            .any(|w| w.to_string().contains("line break"))
    );
    let config = loaded.config;
    let Receiver::Otlp(receiver) = &config.receivers[&"otlp".parse().unwrap()];
    assert_eq!(
        receiver.protocols.grpc.as_ref().unwrap().endpoint,
        "127.0.0.2:4317"
    );
    let Exporter::OtlpGrpc(exporter) = &config.exporters[&"otlp".parse().unwrap()] else {
        panic!("otlp is otlp_grpc");
    };
    assert_eq!(exporter.headers.0[0].1.expose(), "s3cr3t");
    assert!(exporter.tls.insecure);
    let pipeline = &config.service.pipelines[&"traces".parse().unwrap()];
    let order: Vec<String> = pipeline
        .processors
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(order, ["memory_limiter", "batch", "resource"]);
    for shown in [config.to_string(), format!("{config:?}")] {
        assert!(
            !shown.contains("s3cr3t") && shown.contains("[REDACTED]"),
            "{shown}"
        );
    }
    // What is printed is read back as the same, but for the secrets.
    let again = Config::load(&config.to_string(), &env).unwrap().config;
    assert_eq!(again.to_string(), config.to_string());
    config.check().unwrap();
}

#[test]
fn defaults_are_the_collectors() {
    let text = "
receivers: {otlp: {protocols: {grpc: , http: }}}
processors:
  memory_limiter: {check_interval: 1s, limit_percentage: 80, spike_limit_percentage: 25}
  batch:
exporters: {otlp: {endpoint: 'a:1'}, otlphttp: {endpoint: 'http://a'}, debug: }
extensions: {health_check: }
service: {extensions: [health_check], pipelines: {traces: {receivers: otlp, exporters: [debug]}}}
";
    let config = Config::load(text, &Env(&[])).unwrap().config;
    let printed = config.to_string();
    for line in [
        "endpoint: localhost:4317",
        "endpoint: localhost:4318",
        "endpoint: localhost:13133",
        "read_buffer_size: 524288",
        "max_request_body_size: 20971520",
        "traces_url_path: /v1/traces",
        "send_batch_size: 8192",
        "send_batch_max_size: 0",
        "timeout: \"200ms\"",
        "timeout: \"5s\"",
        "timeout: \"30s\"",
        "compression: gzip",
        "num_consumers: 10",
        "queue_size: 1000",
        "sizer: requests",
        "initial_interval: \"5s\"",
        "max_interval: \"30s\"",
        "max_elapsed_time: \"5m\"",
        "multiplier: 1.5",
        "randomization_factor: 0.5",
        "verbosity: basic",
        "sampling_initial: 2",
        "metadata_cardinality_limit: 1000",
        "write_buffer_size: 524288",
        "encoding: proto",
    ] {
        let bare = line.replace('"', "");
        assert!(
            printed.lines().any(|l| l.trim().replace('"', "") == bare),
            "{line} in\n{printed}"
        );
    }
    let Processor::MemoryLimiter(limiter) = &config.processors[&"memory_limiter".parse().unwrap()]
    else {
        panic!("a memory_limiter");
    };
    assert_eq!(limiter.bytes(1000), (800, 250));
}

#[test]
fn typical_mistakes_as_a_user_sees_them() {
    let good = "receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:4317
processors:
  batch:
exporters:
  debug:
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [batch]
      exporters: [debug]
";
    Config::load(good, &Env(&[])).unwrap();
    for (from, to, error) in [
        (
            "endpoint:",
            "endpont:",
            "5:9: receivers::otlp::protocols::grpc::endpont: unknown key; accepted here: auth, endpoint, include_metadata, keepalive, max_concurrent_streams, max_recv_msg_size_mib, read_buffer_size, tls, transport, write_buffer_size",
        ),
        (
            "127.0.0.1:4317",
            "127.0.0.1",
            "5:9: receivers::otlp::protocols::grpc::endpoint: address 127.0.0.1: missing port in address",
        ),
        (
            "  debug:\n",
            "  debgu:\n",
            "9:3: exporters::debgu: unknown type: \"debgu\" for id: \"debgu\" (valid values: [otlp_grpc, otlp, otlp_http, otlphttp, debug, file])\n12:5: service::pipelines::traces: references exporter \"debug\" which is not configured",
        ),
        (
            "  otlp:\n    protocols:",
            "  zipkin:\n  otlp:\n    protocols:",
            "2:3: receivers::zipkin: the receiver `zipkin` is known and not supported; accepted: otlp",
        ),
        (
            "[batch]",
            "[batch, resource]",
            "12:5: service::pipelines::traces: references processor \"resource\" which is not configured; configured: batch",
        ),
        (
            "[batch]",
            "[batch, batch]",
            "12:5: service::pipelines::traces: references processor \"batch\" multiple times",
        ),
        (
            "      exporters: [debug]\n",
            "",
            "12:5: service::pipelines::traces: must have at least one exporter",
        ),
        (
            "  batch:\n",
            "  batch: {timeout: 200}\n",
            "7:11: processors::batch::timeout: expected type 'string', got unconvertible type 'int': a duration has a unit, for instance 5s",
        ),
        (
            "  batch:\n",
            "  batch:\n  memory_limiter: {limit_mib: 100}\n",
            "8:3: processors::memory_limiter: 'check_interval' must be greater than zero",
        ),
        (
            "  debug:\n",
            "  debug:\n  debug:\n",
            "10:3: the key `debug` stands here again, after 9:3",
        ),
        (
            "traces:",
            "trace:",
            "12:5: service::pipelines::trace: unknown pipeline signal: \"trace\"; accepted: traces",
        ),
    ] {
        let wrong = good.replacen(from, to, 1);
        assert_ne!(wrong, good);
        assert_eq!(
            Config::load(&wrong, &Env(&[])).unwrap_err().to_string(),
            error
        );
    }
    assert_eq!(
        Config::load("", &Env(&[])).unwrap_err().to_string(),
        "empty configuration file"
    );
    let lenient = good
        .replace("[otlp]", "[otlp, zipkin]")
        .replace("  otlp:\n", "  zipkin:\n  otlp:\n");
    let loaded = Config::load_lenient(&lenient, &Env(&[])).unwrap();
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
}

#[test]
fn bombs_of_aliases_and_of_levels_are_refused() {
    let mut text = String::from("a0: &a0 [x]\n");
    for level in 1..20 {
        let of = format!("*a{}, ", level - 1).repeat(9);
        text += &format!("a{level}: &a{level} [{of}]\n");
    }
    let error = Config::load(&text, &Env(&[])).unwrap_err().to_string();
    assert!(error.contains("more than 100000 values"), "{error}");
    let error = Config::load(&"[".repeat(100_000), &Env(&[]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("levels") || error.contains("not YAML"),
        "{error}"
    );
}

#[test]
fn kubernetes_settings_are_validated_as_kubernetes_does() {
    let schemes = |scheme: &str| {
        format!(
            "unsupported scheme: {scheme}. Options are none, dns, unix, or unix-abstract. See https://github.com/grpc/grpc/blob/master/doc/naming.md"
        )
    };
    let valid = String::new();
    for (endpoint, rate, at_endpoint, at_rate) in [
        ("localhost:4317", 0, valid.clone(), ""),
        ("127.0.0.1:4317", 1_000_000, valid.clone(), ""),
        ("dns://google.com:4317", 1_000_000, valid.clone(), ""),
        ("dns:///google.com:4317", 1, valid.clone(), ""),
        ("unix://path/to/socket", 1, valid.clone(), ""),
        ("unix-abstract://name", 1, valid.clone(), ""),
        ("", 1, valid.clone(), ""),
        (
            "localhost:4317",
            -1,
            valid.clone(),
            "sampling rate must be positive",
        ),
        (
            "localhost:4317",
            1_000_001,
            valid,
            "sampling rate per million must be less than or equal to one million",
        ),
        ("http://localhost:4317", 1, schemes("http"), ""),
        ("https://localhost:4317", 1, schemes("https"), ""),
        (
            "dn%2s://localhost:4317",
            -1,
            "parse \"dn%2s://localhost:4317\": invalid URL escape \"%2s\"".into(),
            "sampling rate must be positive",
        ),
    ] {
        let settings = format!("endpoint: '{endpoint}'\nsamplingRatePerMillion: {rate}\n");
        let kubelet = format!(
            "kind: KubeletConfiguration\ntracing:\n  {}",
            settings.replacen('\n', "\n  ", 1)
        );
        let server = format!("kind: TracingConfiguration\n{settings}");
        let made = TracingConfiguration {
            endpoint: Some(endpoint.into()),
            sampling_rate_per_million: Some(rate),
        };
        // Kubernetes names the settings alike wherever they stand.
        for (found, places) in [
            (
                TracingConfiguration::from_kubelet(&kubelet).map(Option::unwrap),
                ["3:3: ", "4:3: "],
            ),
            (
                TracingConfiguration::from_api_server(&server),
                ["2:1: ", "3:1: "],
            ),
            (made.check().map(|()| made.clone()), ["", ""]),
        ] {
            let mut wanted: Vec<_> = [
                (places[1], "tracing.samplingRatePerMillion", at_rate),
                (places[0], "tracing.endpoint", &at_endpoint),
            ]
            .into_iter()
            .filter(|(.., wrong)| !wrong.is_empty())
            .map(|(place, path, wrong)| format!("{place}{path}: {wrong}"))
            .collect();
            wanted.sort();
            match found {
                Ok(tracing) => {
                    assert_eq!(wanted, [""; 0], "{endpoint}");
                    assert_eq!(tracing, made);
                }
                Err(error) => {
                    let mut found: Vec<_> = error.to_string().lines().map(str::to_owned).collect();
                    found.sort();
                    assert_eq!(found, wanted);
                }
            }
        }
    }
    for text in ["kind: KubeletConfiguration", "tracing:", ""] {
        assert_eq!(TracingConfiguration::from_kubelet(text), Ok(None));
    }
    let unset = TracingConfiguration::from_kubelet("tracing: {}").unwrap();
    assert_eq!(unset, Some(TracingConfiguration::default()));
    for version in ["v1", "v1beta1", "v1alpha1"] {
        let file = format!(
            "apiVersion: apiserver.config.k8s.io/{version}\nkind: TracingConfiguration\nsamplingRatePerMillion: 7\n"
        );
        let tracing = TracingConfiguration::from_api_server(&file).unwrap();
        assert_eq!(tracing.sampling_rate_per_million, Some(7));
    }
    let said = |error: InvalidConfig| error.to_string();
    for (text, wanted) in [
        ("endpont: x", "1:1: tracing.endpont: unknown key"),
        (
            "apiVersion: v1\nkind: TracingConfiguration\n",
            "1:13: apiVersion: no kind \"TracingConfiguration\" is registered for version \"v1\"; accepted: apiserver.config.k8s.io/v1, ",
        ),
        (
            "kind: KubeletConfiguration",
            "1:7: kind: expected a file of kind TracingConfiguration",
        ),
    ] {
        let found = TracingConfiguration::from_api_server(text).map_err(said);
        assert!(found.as_ref().unwrap_err().starts_with(wanted), "{found:?}");
    }
    let beta = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ntracing: {endpoint: 'a:1'}\n";
    assert!(TracingConfiguration::from_kubelet(beta).unwrap().is_some());
    for (text, wanted) in [
        (
            &*beta.replace("v1beta1", "v2"),
            "1:13: apiVersion: no kind \"KubeletConfiguration\" is registered for version \"kubelet.config.k8s.io/v2\"; accepted: kubelet.config.k8s.io/v1beta1",
        ),
        (
            "tracing: {samplingRatePerMillion: many}",
            "1:11: tracing.samplingRatePerMillion: expected type 'int', got unconvertible type 'string'",
        ),
    ] {
        let found = TracingConfiguration::from_kubelet(text).map_err(said);
        assert_eq!(found, Err(wanted.into()));
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}", at in 0..NODE.len(), cut in 0..40_usize) {
        let _ = Config::load(&text, &Env(&[]));
        let _ = TracingConfiguration::from_kubelet(&format!("tracing: {{endpoint: {text:?}}}"));
        let (start, end) = (NODE.get(..at), NODE.get(at + cut..));
        if let (Some(start), Some(end)) = (start, end) {
            let _ = Config::load_lenient(&format!("{start}{text}{end}"), &Env(&[]));
        }
    }
}
