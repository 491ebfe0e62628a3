use std::path::Path;

use super::{ComponentId, Config, Loaded};
use crate::config::{InvalidConfig, Surroundings};

/// Variables that are empty.
struct Nothing;

impl Surroundings for Nothing {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        Ok((name == "EMPTY").then(String::new))
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("no such file".into())
    }
}

/// A small configuration in which this line stands in the place of the one of its key.
fn document(line: &str) -> String {
    let lines = [
        "receivers: {otlp: {protocols: {grpc: }}}",
        "exporters: {debug: }",
        "extensions:",
        "connectors:",
        "service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}",
    ];
    let key = line.split_once(':').unwrap().0;
    let lines = lines.map(|usual| match usual.starts_with(key) {
        true => line,
        false => usual,
    });
    // Connectors are not built, not even none.
    let lines = lines.iter().filter(|line| **line != "connectors:");
    lines.map(|line| format!("{line}\n")).collect()
}

fn shown(loaded: Result<Loaded, InvalidConfig>) -> String {
    match loaded {
        Ok(loaded) => {
            let warnings = loaded.warnings.iter().map(|warning| format!("{warning}\n"));
            warnings.collect()
        }
        Err(error) => error.to_string(),
    }
}

/// What is said of a section, each with the text it stands at.
fn assert_said(table: &[(&str, &[(&str, &str)])]) {
    let mut wrong = Vec::new();
    for (line, wanted) in table {
        let text = document(line);
        let at = text.lines().position(|one| one == *line).unwrap() + 1;
        let wanted = wanted.iter().map(|(place, said)| match *place {
            "" => format!("1:1: {said}"),
            place if place.contains(':') && place.starts_with('4') => format!("{place}: {said}"),
            place => {
                let column = line.find(place).unwrap() + 1;
                format!("{at}:{column}: {said}")
            }
        });
        let wanted = wanted.collect::<Vec<_>>().join("\n");
        let found = shown(Config::load(&text, &Nothing));
        if found != wanted {
            wrong.push(format!("{line}\nfound  {found}\nwanted {wanted}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn receivers_and_extensions_are_checked_as_the_collector_does() {
    assert_said(&[
        (
            "receivers: {otlp: {protocols: {}}}",
            &[(
                "otlp",
                "receivers::otlp: must specify at least one protocol when using the OTLP receiver",
            )],
        ),
        (
            "receivers: {otlp: {protocols: {grpc: {max_recv_msg_size_mib: -1}}}}",
            &[(
                "grpc",
                "receivers::otlp::protocols::grpc: invalid max_recv_msg_size_mib value, must be between 1 and 2047",
            )],
        ),
        (
            "receivers: {otlp: {protocols: {grpc: {read_buffer_size: -1, write_buffer_size: -1}}}}",
            &[
                (
                    "grpc",
                    "receivers::otlp::protocols::grpc: invalid read_buffer_size value",
                ),
                (
                    "grpc",
                    "receivers::otlp::protocols::grpc: invalid write_buffer_size value",
                ),
            ],
        ),
        (
            "receivers: {otlp: {protocols: {grpc: {endpoint: 'a:otlp'}}}}",
            &[(
                "endpoint",
                "receivers::otlp::protocols::grpc::endpoint: invalid port \"otlp\"",
            )],
        ),
        (
            "receivers: {otlp: {protocols: {http: {endpoint: '::1:4318'}}}}",
            &[(
                "endpoint",
                "receivers::otlp::protocols::http::endpoint: address ::1:4318: too many colons in address",
            )],
        ),
        (
            "receivers: {otlp: {protocols: {http: {endpoint: localhost}}}}",
            &[(
                "endpoint",
                "receivers::otlp::protocols::http::endpoint: address localhost: missing port in address",
            )],
        ),
        (
            "receivers: {otlp: {protocols: {grpc: {endpoint: '', transport: unix}}}}",
            &[(
                "grpc",
                "receivers::otlp::protocols::grpc: unix socket path cannot be empty",
            )],
        ),
        (
            "receivers: {otlp: {protocols: {grpc: {transport: udp}}}}",
            &[(
                "transport",
                "receivers::otlp::protocols::grpc::transport: transport \"udp\" is not supported; accepted: tcp, tcp4, tcp6, unix",
            )],
        ),
        (
            "receivers: {otlp: {protocols: {http: {traces_url_path: ':%zz'}}}}",
            &[(
                "traces_url_path",
                "receivers::otlp::protocols::http::traces_url_path: invalid HTTP URL path set for signal: \":%zz\"",
            )],
        ),
        (
            "receivers: {otlp: {protocols: {http: {traces_url_path: 'a?b', logs_url_path: '%2'}}}}",
            &[
                (
                    "traces_url_path",
                    "receivers::otlp::protocols::http::traces_url_path: has a query, or characters that have to be percent-encoded: \"a?b\"",
                ),
                (
                    "logs_url_path",
                    "receivers::otlp::protocols::http::logs_url_path: invalid HTTP URL path set for signal: \"%2\"",
                ),
            ],
        ),
        (
            "receivers: {otlp: {protocols: {grpc: {tls: {cert_file: a}}}}}",
            &[(
                "tls",
                "receivers::otlp::protocols::grpc::tls: must include both certificate and key",
            )],
        ),
        (
            "receivers: {otlp: {protocols: {grpc: {tls: {cert_file: a, cert_pem: b, key_file: c}}}}}",
            &[(
                "tls",
                "receivers::otlp::protocols::grpc::tls: provide either cert_file or cert_pem, not both",
            )],
        ),
        (
            "receivers: {otlp: {protocols: {grpc: {tls: {cert_file: a, key_file: b, min_version: '1.4'}}}}}",
            &[(
                "tls",
                "receivers::otlp::protocols::grpc::tls: unsupported TLS version: \"1.4\"",
            )],
        ),
        (
            "receivers: {otlp: {protocols: {grpc: {tls: {cert_file: a, key_file: b, min_version: '1.3', max_version: '1.2'}}}}}",
            &[(
                "tls",
                "receivers::otlp::protocols::grpc::tls: min_version cannot be greater than max_version",
            )],
        ),
        (
            "extensions: {health_check: {path: health}}",
            &[(
                "health_check",
                "extensions::health_check: bad config: path must start with /",
            )],
        ),
        (
            "extensions: {health_check: {check_collector_pipeline: {interval: soon, exporter_failure_threshold: 0}}}",
            &[
                (
                    "check_collector_pipeline",
                    "extensions::health_check::check_collector_pipeline: invalid interval \"soon\": wanted is a duration, for instance 5m",
                ),
                (
                    "check_collector_pipeline",
                    "extensions::health_check::check_collector_pipeline: exporter_failure_threshold must be greater than zero",
                ),
            ],
        ),
    ]);
    let taken = document(
        "extensions: {health_check: {check_collector_pipeline: {enabled: true, interval: 1m}}}",
    );
    assert_eq!(
        shown(Config::load(&taken, &Nothing)),
        "3:29: extensions::health_check::check_collector_pipeline: has no effect: what is answered is whether pipelines run\n"
    );
}

#[test]
fn exporters_are_checked_as_the_collector_does() {
    assert_said(&[
        (
            "exporters: {debug: , otlp: }",
            &[("otlp", "exporters::otlp: requires a non-empty \"endpoint\"")],
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'unix://'}}",
            &[("otlp", "exporters::otlp: unix socket path cannot be empty")],
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'https://a:b'}}",
            &[("endpoint", "exporters::otlp::endpoint: invalid port \"b\"")],
        ),
        (
            "exporters: {debug: , otlp_http: }",
            &[(
                "otlp_http",
                "exporters::otlp_http: at least one endpoint must be specified",
            )],
        ),
        (
            "exporters: {debug: , otlp_http: {endpoint: 'http://a', encoding: text}}",
            &[(
                "otlp_http",
                "exporters::otlp_http: invalid encoding type: text",
            )],
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'a:1', compression: brotli, balancer_name: mine}}",
            &[
                ("otlp", "exporters::otlp: invalid balancer_name: mine"),
                (
                    "compression",
                    "exporters::otlp::compression: unsupported compression type \"brotli\"; accepted: gzip, zstd, none",
                ),
            ],
        ),
        (
            "exporters: {debug: , otlp_http: {endpoint: 'http://a', compression: lz4}}",
            &[(
                "compression",
                "exporters::otlp_http::compression: unsupported compression type \"lz4\"; accepted: gzip, zstd, none",
            )],
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'a:1', sending_queue: {num_consumers: 0, queue_size: -1, sizer: spans}}}",
            &[
                (
                    "sending_queue",
                    "exporters::otlp::sending_queue: `num_consumers` must be positive",
                ),
                (
                    "sending_queue",
                    "exporters::otlp::sending_queue: `queue_size` must be positive",
                ),
                (
                    "sizer",
                    "exporters::otlp::sending_queue::sizer: accepted: requests, items, bytes",
                ),
            ],
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'a:1', sending_queue: {enabled: 1}}}",
            &[(
                "sending_queue",
                "exporters::otlp::sending_queue: unexpected type int for 'enabled'",
            )],
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'a:1', timeout: -1s}}",
            &[(
                "timeout",
                "exporters::otlp::timeout: 'timeout' must be non-negative",
            )],
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'a:1', retry_on_failure: {randomization_factor: 1.5, multiplier: -1}}}",
            &[
                (
                    "retry_on_failure",
                    "exporters::otlp::retry_on_failure: 'randomization_factor' must be within [0, 1]",
                ),
                (
                    "retry_on_failure",
                    "exporters::otlp::retry_on_failure: 'multiplier' must be non-negative",
                ),
            ],
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'a:1', retry_on_failure: {max_elapsed_time: 4s}}}",
            &[
                (
                    "retry_on_failure",
                    "exporters::otlp::retry_on_failure: 'max_elapsed_time' must not be less than 'initial_interval'",
                ),
                (
                    "retry_on_failure",
                    "exporters::otlp::retry_on_failure: 'max_elapsed_time' must not be less than 'max_interval'",
                ),
            ],
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'a:1', headers: [{name: a, value: b}, {name: a, value: c}]}}",
            &[(
                "{name: a, value: c}",
                "exporters::otlp::headers::1: duplicate keys in map-style list: a",
            )],
        ),
        (
            "exporters: {debug: {verbosity: none}}",
            &[(
                "verbosity",
                "exporters::debug::verbosity: verbosity level \"None\" is not supported; accepted: basic, normal, detailed",
            )],
        ),
        (
            "exporters: {debug: {verbosity: loud}}",
            &[(
                "verbosity",
                "exporters::debug::verbosity: verbosity level \"loud\" is not supported; accepted: basic, normal, detailed",
            )],
        ),
        (
            "exporters: {debug: , logging: }",
            &[(
                "logging",
                "exporters::logging: the exporter `logging` is known and not supported: the logging exporter has been deprecated, use the debug exporter instead",
            )],
        ),
    ]);
}

#[test]
fn ids_and_pipelines_are_checked_as_the_collector_does() {
    assert_said(&[
        (
            "exporters: {debug: , '': }",
            &[("exporters", "exporters::: id must not be empty")],
        ),
        (
            "exporters: {debug: , /a: }",
            &[(
                "/a",
                "exporters::/a: in \"/a\" id: the part before / should not be empty",
            )],
        ),
        (
            "exporters: {debug: , debug/: }",
            &[(
                "debug/",
                "exporters::debug/: in \"debug/\" id: the part after / should not be empty",
            )],
        ),
        (
            "exporters: {debug: , 1x: }",
            &[("1x", "exporters::1x: invalid character(s) in type \"1x\"")],
        ),
        (
            "exporters: {debug: , debug/a b: }",
            &[(
                "debug/a b",
                "exporters::debug/a b: invalid character(s) in name \"a b\"",
            )],
        ),
        (
            "exporters: {debug: , 'debug/€': }",
            &[(
                "'debug/",
                "exporters::debug/€: invalid character(s) in name \"€\"",
            )],
        ),
        (
            "exporters: {debug: , ' debug ': }",
            &[("' debug", "exporters:: debug : duplicate name \"debug\"")],
        ),
        (
            "exporters: {debug: , mine/a: }",
            &[(
                "mine",
                "exporters::mine/a: unknown type: \"mine\" for id: \"mine/a\" (valid values: [otlp_grpc, otlp, otlp_http, otlphttp, debug, file])",
            )],
        ),
        (
            "service: {extensions: [health_check], pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}",
            &[(
                "extensions",
                "service::extensions: references extension \"health_check\" which is not configured",
            )],
        ),
        (
            "service: {pipelines: }",
            &[(
                "pipelines",
                "service::pipelines: service must have at least one pipeline",
            )],
        ),
        (
            "service: {pipelines: {traces: {}}}",
            &[
                (
                    "traces",
                    "service::pipelines::traces: must have at least one receiver",
                ),
                (
                    "traces",
                    "service::pipelines::traces: must have at least one exporter",
                ),
            ],
        ),
        (
            "receivers:",
            &[
                ("", "no receiver configuration specified in config"),
                (
                    "4:23",
                    "service::pipelines::traces: references receiver \"otlp\" which is not configured",
                ),
            ],
        ),
    ]);
    let long = |bytes| format!("debug/{}", "n".repeat(bytes)).parse::<ComponentId>();
    assert!(long(1024).is_ok() && long(1025).is_err());
    let long = |bytes| "t".repeat(bytes).parse::<ComponentId>();
    assert!(long(63).is_ok() && long(64).is_err());
    for (name, is_one) in [
        ("größe", true),
        ("東京", true),
        ("a/b", true),
        ("a-b.c:d", true),
        ("٣", true),
        ("é\u{301}", true),
        ("«a»", true),
        ("a\u{a0}b", false),
        ("a\u{200b}b", false),
        ("a\u{2028}b", false),
        ("a\u{e000}b", false),
        ("a+b", false),
        ("a©", false),
        ("∑", false),
        ("🔥", false),
    ] {
        let id = format!("debug/{name}").parse::<ComponentId>();
        assert_eq!(id.is_ok(), is_one, "{name:?}");
    }
}

#[test]
fn one_mistake_is_one_error() {
    for (from, to, name, wanted) in [
        (
            "  debug:\n",
            "  debug:\n  mine:\n",
            "mine",
            "unknown type: \"mine\"",
        ),
        (
            "  debug:\n",
            "  debug:\n  zipkin:\n",
            "zipkin",
            "the exporter `zipkin` is known and not supported",
        ),
        (
            "receivers:\n",
            "connectors:\n  spanmetrics:\nreceivers:\n",
            "spanmetrics",
            "connectors are not supported",
        ),
    ] {
        for exporters in [name.to_owned(), format!("debug, {name}")] {
            let text = format!(
                "receivers:\n  otlp:\n    protocols: {{grpc: }}\nexporters:\n  debug:\nservice:\n  pipelines:\n    traces: {{receivers: [otlp], exporters: [{exporters}]}}\n"
            );
            let error = Config::load(&text.replacen(from, to, 1), &Nothing).unwrap_err();
            let [fault] = error.faults() else {
                panic!("{exporters}: {error}")
            };
            assert!(fault.message.starts_with(wanted), "{fault}");
        }
    }
}

const TWO_PIPELINES: &str = "
receivers: {otlp: {protocols: {grpc: }}}
processors: {batch: , redaction: , queuebatch: }
exporters: {debug: , nop: }
connectors: {spanmetrics: , forward/a: }
service:
  pipelines:
    traces: {receivers: [otlp, nop], processors: [redaction, batch], exporters: [debug, nop, spanmetrics]}
    traces/in: {receivers: [otlp], exporters: [forward/a]}
    traces/out: {receivers: [forward/a], processors: [queuebatch], exporters: [debug]}
    metrics: {receivers: [spanmetrics], exporters: [debug]}
";

#[test]
fn what_is_not_built_is_left_out_where_that_is_asked_for() {
    let text = TWO_PIPELINES.replace(
        "{otlp: {protocols: {grpc: }}}",
        "{otlp: {protocols: {grpc: }}, nop: }",
    );
    let loaded = Config::load_lenient(&text, &Nothing).unwrap();
    assert_eq!(
        shown(Ok(loaded.clone())),
        "2:42: receivers::nop: the receiver `nop` is known and not supported, and left out
3:23: processors::redaction: the processor `redaction` is known and not supported, and left out
3:36: processors::queuebatch: the processor `queuebatch` is known and not supported, and left out
4:22: exporters::nop: the exporter `nop` is known and not supported, and left out
5:1: connectors: connectors are not supported, and left out
9:5: service::pipelines::traces/in: none of its exporters is supported: it is left out
10:5: service::pipelines::traces/out: none of its receivers is supported: it is left out
11:5: service::pipelines::metrics: only pipelines of traces are; this one is not supported, and left out
"
    );
    let pipelines = &loaded.config.service.pipelines;
    let [(id, pipeline)] = &*pipelines.iter().collect::<Vec<_>>() else {
        panic!("{pipelines:?}")
    };
    let names = |ids: &[ComponentId]| {
        ids.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(id.to_string(), "traces");
    assert_eq!(
        (
            names(&pipeline.receivers),
            names(&pipeline.processors),
            names(&pipeline.exporters)
        ),
        ("otlp".into(), "batch".into(), "debug".into())
    );

    // Without leave, each of them is told once.
    let error = Config::load(&text, &Nothing).unwrap_err();
    assert_eq!(error.faults().len(), 6, "{error}");

    // Of nothing that is left, it is told why.
    let alone =
        document("service: {pipelines: {traces: {receivers: [otlp], exporters: [spanmetrics]}}}")
            + "connectors: {spanmetrics: }\n";
    let error = Config::load_lenient(&alone, &Nothing).unwrap_err();
    assert_eq!(
        error.to_string(),
        "4:11: service::pipelines: service must have at least one pipeline
4:23: service::pipelines::traces: none of its exporters is supported: it is left out
5:1: connectors: connectors are not supported, and left out"
    );
    let twice = Config::load_lenient(&document("connectors: {debug: }"), &Nothing).unwrap_err();
    assert!(
        twice.to_string().contains("4:14: connectors::debug: ambiguous ID: Found both \"debug\" exporter and \"debug\" connector; change one of the ids"),
        "{twice}"
    );
}

#[test]
fn types_are_known_with_and_without_underscores() {
    for (key, kinds) in [
        (
            "receivers",
            ["jaeger", "k8s_cluster", "prometheus_remote_write"].as_slice(),
        ),
        (
            "processors",
            &[
                "queuebatch",
                "redaction",
                "tail_sampling",
                "k8sattributes",
                "k8s_attributes",
            ],
        ),
        (
            "exporters",
            &["nop", "loadbalancing", "load_balancing", "splunk_hec"],
        ),
        (
            "extensions",
            &["zpages", "file_storage", "basicauth", "opamp"],
        ),
    ] {
        for kind in kinds {
            let (one, text) = match key {
                "receivers" => (
                    format!("receivers: {{otlp: {{protocols: {{grpc: }}}}, {kind}: }}"),
                    "",
                ),
                "exporters" => (format!("exporters: {{debug: , {kind}: }}"), ""),
                "extensions" => (format!("extensions: {{{kind}: }}"), ""),
                _ => (String::from("extensions:"), "processors: {KIND: }\n"),
            };
            let text = document(&one) + &text.replace("KIND", kind);
            let loaded = Config::load_lenient(&text, &Nothing).unwrap();
            let [warning] = &*loaded.warnings else {
                panic!("{kind}: {:?}", loaded.warnings)
            };
            assert!(
                warning
                    .message
                    .contains("is known and not supported, and left out"),
                "{warning}"
            );
        }
    }
}

#[test]
fn keys_that_are_not_built_are_known_by_name() {
    let mut wrong = Vec::new();
    for (section, key) in [
        (
            "receivers: {otlp: {protocols: {grpc: {KEY}}}}",
            "dialer: {timeout: 1s}",
        ),
        (
            "receivers: {otlp: {protocols: {grpc: {KEY}}}}",
            "middlewares: [{id: a}]",
        ),
        (
            "receivers: {otlp: {protocols: {http: {KEY}}}}",
            "middlewares: [{id: a}]",
        ),
        (
            "receivers: {otlp: {protocols: {http: {tls: {cert_file: a, key_file: b, KEY}}}}}",
            "include_system_ca_certs_pool: true",
        ),
        (
            "receivers: {otlp: {protocols: {http: {tls: {cert_file: a, key_file: b, KEY}}}}}",
            "tpm: {enabled: true}",
        ),
        (
            "receivers: {otlp: {protocols: {http: {auth: {authenticator: a, KEY}}}}}",
            "request_params: [token]",
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'a:1', KEY}}",
            "middlewares: [{id: a}]",
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'a:1', tls: {KEY}}}",
            "cipher_suites: [a]",
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'a:1', tls: {KEY}}}",
            "curve_preferences: [a]",
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'a:1', tls: {KEY}}}",
            "include_insecure_cipher_suites: true",
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'a:1', sending_queue: {KEY}}}",
            "batch: ",
        ),
        (
            "exporters: {debug: , otlp: {endpoint: 'a:1', sending_queue: {KEY}}}",
            "storage: file_storage",
        ),
        (
            "exporters: {debug: , otlp_http: {endpoint: 'http://a', KEY}}",
            "compression_params: {level: 1}",
        ),
        (
            "exporters: {debug: , otlp_http: {endpoint: 'http://a', KEY}}",
            "max_idle_conns: 1",
        ),
        (
            "exporters: {debug: , otlp_http: {endpoint: 'http://a', KEY}}",
            "disable_keep_alives: true",
        ),
        (
            "exporters: {debug: , otlp_http: {endpoint: 'http://a', KEY}}",
            "read_buffer_size: 1",
        ),
        (
            "exporters: {debug: , otlp_http: {endpoint: 'http://a', KEY}}",
            "metrics_endpoint: 'http://a'",
        ),
        ("extensions: {health_check: {KEY}}", "use_v2: true"),
    ] {
        let text = document(&section.replace("KEY", key));
        let (strict, lenient) = (
            Config::load(&text, &Nothing),
            Config::load_lenient(&text, &Nothing),
        );
        let name = format!("::{}: ", key.split_once(':').unwrap().0);
        let strict = shown(strict);
        if !strict.ends_with(&format!("{name}is known and not supported"))
            || strict.lines().count() > 1
        {
            wrong.push(format!("{section} {key}: {strict}"));
        }
        let lenient = match lenient {
            Ok(loaded) => shown(Ok(loaded)),
            Err(error) => format!("error: {error}"),
        };
        if !lenient.ends_with(&format!("{name}is known and not supported, and left out\n"))
            || lenient.starts_with("error")
        {
            wrong.push(format!("{section} {key}: {lenient}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What is off, or empty, asks for nothing.
    let text = document(
        "exporters: {debug: , otlp_http: {endpoint: 'http://a', disable_keep_alives: false, middlewares: []}}",
    );
    assert_eq!(shown(Config::load(&text, &Nothing)), "");
}

#[test]
fn documents_are_laid_over_one_another() {
    let base = document(
        "exporters: {debug: , otlp: {endpoint: '${env:EMPTY}', headers: {a: b}, tls: {insecure: true}}}",
    );
    let over = "
exporters:
  otlp: {endpoint: 'a:1', headers: {c: d}, timeout: 1s}
processors: {batch: }
service: {pipelines: {traces: {exporters: [otlp], processors: [batch]}}}
";
    let load = |texts: &[(&str, &str)]| Config::load_all(texts, &Nothing);
    let loaded = load(&[("base", &base), ("empty", "# nothing\n"), ("over", over)]).unwrap();
    // What was replaced is not expanded: nothing is said of the variable.
    assert_eq!(shown(Ok(loaded.clone())), "");
    let printed = loaded.config.to_string();
    for line in [
        "endpoint: a:1",
        "a: \"[REDACTED]\"",
        "c: \"[REDACTED]\"",
        "insecure: true",
        "timeout: 1s",
    ] {
        assert!(
            printed.lines().any(|printed| printed.trim() == line),
            "{line} in\n{printed}"
        );
    }
    let pipeline = loaded.config.service.pipelines.values().next().unwrap();
    let lists = [
        &pipeline.receivers,
        &pipeline.processors,
        &pipeline.exporters,
    ];
    let lists = lists.map(|list| {
        list.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    });
    assert_eq!(lists, ["otlp", "batch", "otlp"], "lists are replaced");

    // What is wrong stands in one of them.
    for (first, second, wanted) in [
        (
            base.as_str(),
            "exporters: {otlp: {timeout: soon}}",
            "over:1:20: exporters::otlp::timeout: not a duration",
        ),
        (
            &*base.replace("otlp: {protocols", "otlp: {protocol"),
            over,
            "base:1:20: receivers::otlp::protocol: unknown key",
        ),
        (&base, "exporters: [", "over:1:12: not YAML"),
        (
            &base,
            "receivers: {otlp: }",
            "base:2:22: exporters::otlp: requires a non-empty \"endpoint\"\nover:1:13: receivers::otlp: must specify at least one protocol",
        ),
        (
            &base,
            "exporters: {otlp: {endpoint: '${http://a}'}}",
            "over:1:30: exporters::otlp::endpoint: scheme \"http\" is not supported",
        ),
        ("", " ", "empty configuration file"),
    ] {
        let found = load(&[("base", first), ("over", second)]);
        let found = shown(found);
        assert!(
            found.starts_with(wanted),
            "{second}\nfound  {found}\nwanted {wanted}"
        );
    }
    // So do warnings, those too that are found later.
    let odd = load(&[
        ("base", &base),
        (
            "over",
            "exporters: {otlp: {endpoint: 'a:1', headers: {c: \"d\\n\"}}}",
        ),
    ])
    .unwrap();
    assert_eq!(
        shown(Ok(odd.clone())),
        "over:1:47: exporters::otlp::headers::c: the value ends in a line break, which is left out\n"
    );
    let fault =
        crate::config::Fault::new(&["exporters".into(), "otlp".into(), "endpoint".into()], "x");
    assert_eq!(
        odd.placed(vec![fault])[0].to_string(),
        "over:1:20: exporters::otlp::endpoint: x"
    );
}

#[test]
fn variables_that_are_empty_are_noted_and_those_that_are_unset_are_a_warning() {
    let text = document(
        "exporters: {debug: , otlp: {endpoint: 'a:1', headers: {a: '${EMPTY}', b: '${UNSET}'}}}",
    );
    let loaded = Config::load(&text, &Nothing).unwrap();
    let notes: Vec<_> = loaded.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        ["2:56: exporters::otlp::headers::a: environment variable \"EMPTY\" is empty"]
    );
    assert_eq!(
        shown(Ok(loaded)),
        "2:71: exporters::otlp::headers::b: environment variable \"UNSET\" is unset; its value is empty\n"
    );
}
