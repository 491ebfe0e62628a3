use super::*;

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
            "extensions: {bearertokenauth: {scheme: Basic}}",
            &[
                (
                    "bearertokenauth",
                    "extensions::bearertokenauth: no bearer token provided",
                ),
                (
                    "scheme",
                    "extensions::bearertokenauth::scheme: \"Basic\" is not supported; accepted: Bearer",
                ),
            ],
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
