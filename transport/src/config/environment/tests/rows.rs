use super::*;

/// What is expected of one variable.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// What is set beside it.
    pub(super) beside: &'static [(&'static str, &'static str)],
    /// The setting it governs, as text.
    pub(super) show: fn(&Environment) -> String,
    pub(super) default: &'static str,
    /// Values, and what the setting is then.
    pub(super) valid: &'static [(&'static str, &'static str)],
    /// Values that are told and leave the default.
    pub(super) bad: &'static [&'static str],
}

const NUMBERS: &[&str] = &[
    "x",
    "-1",
    "+1",
    " 1",
    "1.5",
    "1e3",
    "0x10",
    "2147483648",
    "99999999999999999999",
];
const SIZES: &[&str] = &[
    "0",
    "x",
    "-1",
    "+1",
    "1.5",
    "2147483648",
    "99999999999999999999",
];
const RATIOS: &[&str] = &["x", "-0.1", "1.1", "NaN", "inf", "1e400", "0,5"];
const BOOLEANS: &[&str] = &["1", "yes", "-1", "tru", "99999999999999999999"];
const ENDPOINTS: &[&str] = &[
    "://",
    "http://",
    "http:///x",
    "ftp://host",
    "http://a b",
    "http://host:65536",
    "http://host:-1",
    "host:port",
    "http://[::1",
    "unix://",
    "dns://",
    "http://host:99999999999999999999",
    "\u{1b}http://host",
    "http://user:hunter2@",
];
const HEADERS: &[&str] = &[
    "x",
    "=hunter2",
    "a b=hunter2",
    "a=%",
    "a=%zz",
    "a=%0ahunter2",
    "a=%ff",
];
const CHOICES: &[&str] = &["x", "-1", "99999999999999999999", "grpc,gzip"];

fn limits(environment: &Environment) -> String {
    let limits = environment.limits;
    format!(
        "{} {} {} {} {}",
        limits.attributes(),
        limits.events(),
        limits.links(),
        limits.event_attributes(),
        limits.link_attributes()
    )
}

fn cuts_at(environment: &Environment) -> String {
    [0, 10, 2_147_483_647]
        .into_iter()
        .find(|length| environment.limits == SpanLimits::DEFAULT.with_value_length(*length))
        .map_or_else(|| "whole".into(), |length| length.to_string())
}

fn service(environment: &Environment) -> String {
    let value = |key| {
        let value = environment.resource.get(key);
        value
            .and_then(|value| value.as_str())
            .unwrap_or("-")
            .to_string()
    };
    format!("{} {}", value("service.name"), value("k"))
}

pub(super) fn headers(environment: &Environment) -> String {
    let pairs = environment.otlp.headers.iter();
    let pairs: Vec<_> = pairs
        .map(|header| format!("{}={}", header.name, header.value.reveal()))
        .collect();
    pairs.join("|")
}

fn url(environment: &Environment) -> String {
    let endpoint = environment.otlp.endpoint.as_ref();
    endpoint.map_or_else(
        || "-".into(),
        |endpoint| format!("{} {}", endpoint.as_str(), endpoint.http_url()),
    )
}

macro_rules! shown {
    ($($field:ident).+) => {
        |environment| format!("{:?}", environment.$($field).+)
    };
}

const LENGTHS: &[(&str, &str)] = &[("0", "0"), ("10", "10"), ("2147483647", "2147483647")];
const TIMEOUTS: &[(&str, &str)] = &[
    ("0", "None"),
    ("1", "Some(1ms)"),
    ("2147483647", "Some(2147483.647s)"),
];
const FLAGS: &[(&str, &str)] = &[("true", "true"), ("TRUE", "true"), ("False", "false")];
const PROTOCOLS: &[(&str, &str)] = &[
    ("grpc", "Some(Grpc)"),
    ("HTTP/Protobuf", "Some(HttpProtobuf)"),
    ("http/json", "Some(HttpJson)"),
];
const COMPRESSIONS: &[(&str, &str)] = &[
    ("none", "Some(None)"),
    ("GZIP", "Some(Gzip)"),
    ("zstd", "Some(Zstd)"),
];
const HEADER_LISTS: &[(&str, &str)] = &[
    ("a=1", "a=1"),
    (
        " Authorization = Bearer%20x%3D , b=c=d,",
        "authorization=Bearer x=|b=c=d",
    ),
    ("a=", "a="),
];
const PATHS: &[(&str, &str)] = &[
    ("/etc/ca.pem", "Some(\"/etc/ca.pem\")"),
    ("-1", "Some(\"-1\")"),
];

const fn path(name: &'static str, show: fn(&Environment) -> String) -> Row {
    row(name, show, "None", PATHS, &[])
}

const fn row(
    name: &'static str,
    show: fn(&Environment) -> String,
    default: &'static str,
    valid: &'static [(&'static str, &'static str)],
    bad: &'static [&'static str],
) -> Row {
    Row {
        name,
        beside: &[],
        show,
        default,
        valid,
        bad,
    }
}

const fn count(name: &'static str, valid: &'static [(&'static str, &'static str)]) -> Row {
    row(name, limits, "128 128 128 128 128", valid, NUMBERS)
}

pub(super) const ROWS: &[Row] = &[
    row(
        "OTEL_CONFIG_FILE",
        shown!(disabled),
        "false",
        &[],
        &["x", "-1", "/etc/otel.yaml"],
    ),
    row(
        "OTEL_SDK_DISABLED",
        shown!(disabled),
        "false",
        FLAGS,
        BOOLEANS,
    ),
    row(
        "OTEL_LOG_LEVEL",
        shown!(log_level),
        "Info",
        &[
            ("none", "None"),
            ("ERROR", "Error"),
            ("warn", "Warn"),
            ("info", "Info"),
            ("Debug", "Debug"),
        ],
        CHOICES,
    ),
    row(
        "OTEL_ENTITIES",
        service,
        "- -",
        &[],
        &["x", "service{service.name=a}"],
    ),
    row(
        "OTEL_RESOURCE_ATTRIBUTES",
        service,
        "- -",
        &[
            ("k=v", "- v"),
            ("service.name=a,k=b%2Cc", "a b,c"),
            ("k=-1", "- -1"),
        ],
        &["x", "k=v,x", "=hunter2", "k=%", "k=%ff", ","],
    ),
    Row {
        beside: &[("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,k=v")],
        ..row(
            "OTEL_SERVICE_NAME",
            service,
            "a v",
            &[("b", "b v"), ("-1", "-1 v")],
            &[],
        )
    },
    row(
        "OTEL_PROPAGATORS",
        shown!(propagators),
        "[TraceContext, Baggage]",
        &[
            ("b3", "[B3]"),
            (
                "B3multi, jaeger,,tracecontext",
                "[B3Multi, Jaeger, TraceContext]",
            ),
            (
                "baggage,baggage,tracecontext,baggage",
                "[Baggage, TraceContext]",
            ),
            ("none", "[]"),
        ],
        &[
            "x",
            "-1",
            "xray",
            "ottrace",
            "x,xray",
            "99999999999999999999",
        ],
    ),
    row(
        "OTEL_TRACES_SAMPLER",
        shown!(sampler),
        "ParentBasedAlwaysOn",
        &[
            ("always_on", "AlwaysOn"),
            ("Always_Off", "AlwaysOff"),
            ("traceidratio", "TraceIdRatio(1.0)"),
            ("parentbased_always_on", "ParentBasedAlwaysOn"),
            ("parentbased_always_off", "ParentBasedAlwaysOff"),
            ("parentbased_traceidratio", "ParentBasedTraceIdRatio(1.0)"),
        ],
        &[
            "x",
            "-1",
            "0.5",
            "xray",
            "jaeger_remote",
            "parentbased_jaeger_remote",
            "99999999999999999999",
        ],
    ),
    Row {
        beside: &[("OTEL_TRACES_SAMPLER", "traceidratio")],
        ..row(
            "OTEL_TRACES_SAMPLER_ARG",
            shown!(sampler),
            "TraceIdRatio(1.0)",
            &[
                ("0", "TraceIdRatio(0.0)"),
                ("0.25", "TraceIdRatio(0.25)"),
                ("1e-6", "TraceIdRatio(1e-6)"),
                ("1", "TraceIdRatio(1.0)"),
            ],
            RATIOS,
        )
    },
    row(
        "OTEL_TRACES_EXPORTER",
        shown!(exporters),
        "[Otlp]",
        &[
            ("none", "[]"),
            ("console", "[Console]"),
            ("OTLP, otlp/stdout,otlp", "[Otlp, OtlpStdout]"),
        ],
        &["x", "-1", "zipkin", "jaeger,zipkin", "99999999999999999999"],
    ),
    row(
        "OTEL_BSP_SCHEDULE_DELAY",
        shown!(schedule_delay),
        "5s",
        &[
            ("0", "0ns"),
            ("250", "250ms"),
            ("2147483647", "2147483.647s"),
        ],
        NUMBERS,
    ),
    row(
        "OTEL_BSP_EXPORT_TIMEOUT",
        shown!(export_timeout),
        "Some(30s)",
        TIMEOUTS,
        NUMBERS,
    ),
    row(
        "OTEL_BSP_MAX_QUEUE_SIZE",
        shown!(max_queue_size),
        "None",
        &[("1", "Some(1)"), ("4096", "Some(4096)")],
        SIZES,
    ),
    row(
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        shown!(max_export_batch_size),
        "None",
        &[("1", "Some(1)"), ("2048", "Some(2048)")],
        SIZES,
    ),
    row(
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        cuts_at,
        "whole",
        LENGTHS,
        NUMBERS,
    ),
    Row {
        beside: &[("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "10")],
        ..row(
            "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            cuts_at,
            "10",
            LENGTHS,
            NUMBERS,
        )
    },
    count(
        "OTEL_ATTRIBUTE_COUNT_LIMIT",
        &[("0", "0 128 128 128 128"), ("7", "7 128 128 128 128")],
    ),
    Row {
        beside: &[("OTEL_ATTRIBUTE_COUNT_LIMIT", "9")],
        ..row(
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
            limits,
            "9 128 128 128 128",
            &[("7", "7 128 128 128 128")],
            NUMBERS,
        )
    },
    count("OTEL_SPAN_EVENT_COUNT_LIMIT", &[("7", "128 7 128 128 128")]),
    count("OTEL_SPAN_LINK_COUNT_LIMIT", &[("7", "128 128 7 128 128")]),
    count(
        "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
        &[("7", "128 128 128 7 128")],
    ),
    count(
        "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
        &[("7", "128 128 128 128 7")],
    ),
    row(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        url,
        "-",
        &[
            ("http://host", "http://host http://host/v1/traces"),
            (
                "https://host:1/",
                "https://host:1/ https://host:1/v1/traces",
            ),
            (
                "https://[::1]:1/a?b=/c",
                "https://[::1]:1/a?b=/c https://[::1]:1/a/v1/traces?b=/c",
            ),
            ("http://host?b", "http://host?b http://host/v1/traces?b"),
            ("localhost:4317", "localhost:4317 localhost:4317/v1/traces"),
            (
                "unix:///run/otel.sock",
                "unix:///run/otel.sock unix:///run/otel.sock/v1/traces",
            ),
            ("unix:otel.sock", "unix:otel.sock unix:otel.sock/v1/traces"),
            ("dns:///host:1", "dns:///host:1 dns:///host:1/v1/traces"),
        ],
        ENDPOINTS,
    ),
    Row {
        beside: &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general/")],
        ..row(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            url,
            "http://general/ http://general/v1/traces",
            &[
                ("http://host", "http://host http://host/"),
                ("http://host/", "http://host/ http://host/"),
                ("http://host:1/a/b", "http://host:1/a/b http://host:1/a/b"),
                ("http://host?b", "http://host?b http://host/?b"),
            ],
            ENDPOINTS,
        )
    },
    row(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        shown!(otlp.protocol),
        "None",
        PROTOCOLS,
        CHOICES,
    ),
    Row {
        beside: &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")],
        ..row(
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            shown!(otlp.protocol),
            "Some(HttpJson)",
            PROTOCOLS,
            CHOICES,
        )
    },
    row(
        "OTEL_EXPORTER_OTLP_HEADERS",
        headers,
        "",
        HEADER_LISTS,
        HEADERS,
    ),
    Row {
        beside: &[("OTEL_EXPORTER_OTLP_HEADERS", "general=1")],
        ..row(
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            headers,
            "general=1",
            HEADER_LISTS,
            HEADERS,
        )
    },
    row(
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        shown!(otlp.timeout),
        "Some(10s)",
        TIMEOUTS,
        NUMBERS,
    ),
    Row {
        beside: &[("OTEL_EXPORTER_OTLP_TIMEOUT", "20")],
        ..row(
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            shown!(otlp.timeout),
            "Some(20ms)",
            TIMEOUTS,
            NUMBERS,
        )
    },
    row(
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        shown!(otlp.compression),
        "None",
        COMPRESSIONS,
        CHOICES,
    ),
    Row {
        beside: &[("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")],
        ..row(
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
            shown!(otlp.compression),
            "Some(Gzip)",
            COMPRESSIONS,
            CHOICES,
        )
    },
    path("OTEL_EXPORTER_OTLP_CERTIFICATE", shown!(otlp.certificate)),
    Row {
        beside: &[("OTEL_EXPORTER_OTLP_CERTIFICATE", "/general.pem")],
        default: "Some(\"/general.pem\")",
        ..path(
            "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
            shown!(otlp.certificate),
        )
    },
    path("OTEL_EXPORTER_OTLP_CLIENT_KEY", shown!(otlp.client_key)),
    Row {
        beside: &[("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/general.pem")],
        default: "Some(\"/general.pem\")",
        ..path(
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
            shown!(otlp.client_key),
        )
    },
    path(
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        shown!(otlp.client_certificate),
    ),
    Row {
        beside: &[("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/general.pem")],
        default: "Some(\"/general.pem\")",
        ..path(
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
            shown!(otlp.client_certificate),
        )
    },
    row(
        "OTEL_EXPORTER_OTLP_INSECURE",
        shown!(otlp.insecure),
        "false",
        FLAGS,
        BOOLEANS,
    ),
    Row {
        beside: &[("OTEL_EXPORTER_OTLP_INSECURE", "true")],
        ..row(
            "OTEL_EXPORTER_OTLP_SPAN_INSECURE",
            shown!(otlp.insecure),
            "true",
            FLAGS,
            BOOLEANS,
        )
    },
    Row {
        beside: &[("OTEL_EXPORTER_OTLP_INSECURE", "true")],
        ..row(
            "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
            shown!(otlp.insecure),
            "true",
            FLAGS,
            BOOLEANS,
        )
    },
    row(
        "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
        url,
        "-",
        &[],
        &["x", "http://localhost:9411/api/v2/spans"],
    ),
    row(
        "OTEL_EXPORTER_ZIPKIN_TIMEOUT",
        shown!(otlp.timeout),
        "Some(10s)",
        &[],
        &["x", "10000", "-1"],
    ),
];
