use std::path::Path;

use super::{ComponentId, Config, Loaded};
use crate::config::{InvalidConfig, Surroundings};

// What a section may say, in the Collector's words.
mod checks;

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
