//! A Collector's configuration, running: what neighbours send arrives, changed as it says and in no other way.
#![cfg(all(feature = "config", feature = "grpc", feature = "receive-grpc"))]

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;
use server::{Answer, Server};
use spanwire_core::attribute::KeyValue;
use spanwire_core::engine::Retry;
use spanwire_core::pipeline::Pipeline;
use spanwire_core::resource::Resource;
use spanwire_transport::config::collector::Config;
use spanwire_transport::config::{InvalidConfig, Surroundings};
use spanwire_transport::diagnostics::{Diagnostics, Level};
use spanwire_transport::exporter::grpc::GrpcExporter;
use spanwire_transport::setup::collector::{Collector, Node, Reload, StartError};

mod server;

const LONG: Duration = Duration::from_secs(30);

/// An environment of these variables.
#[derive(Default)]
struct Given(HashMap<&'static str, String>);

impl Given {
    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.0.insert(name, value.to_string());
        self
    }
}

impl Surroundings for Given {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.0.get(name).cloned())
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }
}

fn collector(text: &str, given: &Given) -> Result<Collector, InvalidConfig> {
    let collector = Collector::from_config(Config::load(text, given)?)?;
    Ok(collector.diagnostics(Diagnostics::silent()))
}

/// The agent that sends, as kubelet does: a resource of its own, spans of every shape.
fn kubelet(address: &str) -> Pipeline {
    let exporter = GrpcExporter::builder()
        .endpoint(format!("http://{address}"))
        .timeout(LONG)
        .build()
        .unwrap();
    let resource = Resource::builder()
        .attribute("service.name", "kubelet")
        .attribute("host.name", "node-1")
        .build();
    Pipeline::builder()
        .resource(&resource)
        .retry(Retry {
            initial: Duration::from_millis(20),
            max: Duration::from_millis(50),
            max_elapsed: Some(LONG),
            ..Retry::default()
        })
        .exporter(move || exporter.clone())
        .build()
        .unwrap()
}

fn record(pipeline: &Pipeline, spans: i64) {
    let tracer = pipeline.tracer("kubelet");
    for n in 0..spans {
        let mut parent = tracer.start("syncPod");
        parent
            .set_attribute("n", n)
            .set_attribute("k8s.pod", "a-pod");
        parent.add_event("started", &[KeyValue::new("attempt", n)]);
        let entered = parent.enter();
        tracer.start("RunPodSandbox").set_attribute("n", n);
        drop(entered);
    }
}

/// Every span with its resource and scope, in an order of its own: equal for equal multisets.
fn multiset(
    requests: impl IntoIterator<Item = Vec<ResourceSpans>>,
) -> Vec<(String, String, Vec<u8>)> {
    let mut all = Vec::new();
    for resource in requests.into_iter().flatten() {
        let attributes = resource.resource.as_ref().map(|it| &it.attributes);
        let mut names: Vec<_> = attributes
            .into_iter()
            .flatten()
            .map(|pair| format!("{}={:?}", pair.key, pair.value))
            .collect();
        names.sort();
        for scope in &resource.scope_spans {
            let name = format!("{:?}", scope.scope);
            for span in &scope.spans {
                all.push((names.join(";"), name.clone(), Span::encode_to_vec(span)));
            }
        }
    }
    all.sort();
    all
}

fn seen(server: &Server) -> Vec<(String, String, Vec<u8>)> {
    multiset(
        server
            .seen()
            .into_iter()
            .map(|seen| seen.request.resource_spans),
    )
}

/// The same spans with one more attribute of their resources.
fn edited(
    spans: Vec<(String, String, Vec<u8>)>,
    key: &str,
    value: &str,
) -> Vec<(String, String, Vec<u8>)> {
    let mut spans: Vec<_> = spans
        .into_iter()
        .map(|(resource, scope, span)| {
            let mut names: Vec<_> = resource.split(';').map(str::to_owned).collect();
            names.push(format!(
                "{key}=Some(AnyValue {{ value: Some(StringValue({value:?})) }})"
            ));
            names.sort();
            (names.join(";"), scope, span)
        })
        .collect();
    spans.sort();
    spans
}

const DOCUMENTED: &str = "
receivers:
  otlp:
    protocols:
      grpc: {endpoint: '127.0.0.1:0'}
  otlp/kubelet:
    protocols:
      grpc: {endpoint: '127.0.0.1:0'}
processors:
  memory_limiter: {check_interval: 5s, limit_mib: 32, spike_limit_mib: 8}
  batch: {timeout: 50ms}
  resource:
    attributes:
      - {key: k8s.cluster.name, value: '${env:CLUSTER_ID}', action: insert}
exporters:
  debug: {verbosity: basic, sampling_initial: 1, sampling_thereafter: 0}
  otlp:
    endpoint: ${env:BACKEND}
    timeout: 30s
    tls: {insecure: true}
    headers: {Authentication: '${env:OPENTELEMETRY_GRPC_TOKEN}'}
service:
  pipelines:
    traces:
      receivers: [otlp, otlp/kubelet]
      processors: [memory_limiter, batch, resource]
      exporters: [debug, otlp]
";

fn address_of<'a>(node: &'a Node, receiver: &str) -> &'a str {
    node.listening()
        .iter()
        .find(|listening| listening.receiver() == receiver)
        .unwrap()
        .address()
}

#[test]
fn what_kubelet_sends_arrives_with_one_resource_attribute_more_and_nothing_else() {
    // The same spans go to a server of their own as well, to be compared with.
    let (plain, backend) = (
        Server::start(|_, _| Answer::ok()),
        Server::start(|_, _| Answer::ok()),
    );
    let given = Given::default()
        .with("CLUSTER_ID", "c-1")
        .with("BACKEND", backend.address)
        .with("OPENTELEMETRY_GRPC_TOKEN", "s3cret\n");
    let collector = collector(DOCUMENTED, &given).unwrap();
    let warnings: Vec<_> = collector
        .warnings()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        warnings,
        [
            "21:15: exporters::otlp::headers::Authentication: the value ends in a line break, which is left out"
        ]
    );
    let node = collector.start().unwrap();

    let resource = Resource::builder()
        .attribute("service.name", "kubelet")
        .attribute("host.name", "node-1")
        .build();
    let exporter = |url: String| {
        let builder = GrpcExporter::builder().endpoint(url).timeout(LONG);
        builder.build().unwrap()
    };
    let to_node = exporter(format!("http://{}", address_of(&node, "otlp/kubelet")));
    let to_plain = exporter(plain.url());
    let kubelet = Pipeline::builder()
        .resource(&resource)
        .exporter(move || to_node.clone())
        .exporter(move || to_plain.clone())
        .build()
        .unwrap();
    record(&kubelet, 300);
    let sent = kubelet.shutdown(LONG);
    assert!(sent.is_complete(), "{sent}");

    // What has come in leaves by the end, though no batch was full.
    let account = node.shutdown(LONG);
    assert!(account.is_complete(), "{account}");
    assert_eq!(account.report().neighbours().admitted, 600);
    let came = seen(&backend);
    assert_eq!(came.len(), 600);
    assert_eq!(came, edited(seen(&plain), "k8s.cluster.name", "c-1"));
    for request in backend.seen() {
        assert_eq!(request.headers["authentication"], "s3cret");
        // The Collector's default.
        assert_eq!(request.compressed, cfg!(feature = "gzip"));
    }
    let lines = account.to_string();
    assert!(
        lines.starts_with("received   otlp grpc: 0 spans in 0 requests\nreceived   otlp/kubelet grpc: 600 spans in "),
        "{lines}"
    );
    assert!(
        lines.contains("exported   traces -> otlp: 600 of 600 spans\n")
            && lines.ends_with("lost       nothing"),
        "{lines}"
    );
    assert!(!lines.contains("s3cret"));
}

const TWO_PIPELINES: &str = "
receivers:
  otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}}}
  otlp/kubelet: {protocols: {grpc: {endpoint: '127.0.0.1:0'}}}
processors:
  memory_limiter: {check_interval: 1s, limit_mib: 32}
  resource/a: {attributes: [{key: via, value: a, action: upsert}]}
  resource/b: {attributes: [{key: via, value: b, action: upsert}]}
exporters:
  otlp/shared: {endpoint: '${env:SHARED}', timeout: 30s, tls: {insecure: true}, compression: none}
  otlp/only: {endpoint: '${env:ONLY}', timeout: 30s, tls: {insecure: true}, compression: none}
  otlp/unused: {endpoint: 'nowhere:1', tls: {insecure: true}}
service:
  pipelines:
    traces/a:
      receivers: [otlp, otlp/kubelet]
      processors: [memory_limiter, resource/b, resource/a]
      exporters: [otlp/shared]
    traces/b:
      receivers: [otlp/kubelet]
      processors: [memory_limiter, resource/a, resource/b]
      exporters: [otlp/shared, otlp/only]
";

#[test]
fn pipelines_share_receivers_and_exporters_and_own_spans_take_one_of_them() {
    let (shared, only) = (
        Server::start(|_, _| Answer::ok()),
        Server::start(|_, _| Answer::ok()),
    );
    let given = Given::default()
        .with("SHARED", shared.address)
        .with("ONLY", only.address);
    let collector = collector(TWO_PIPELINES, &given).unwrap();
    let error = collector.clone().own_spans("traces/c").unwrap_err();
    assert_eq!(
        error.to_string(),
        "service::pipelines: there is no pipeline \"traces/c\" for own spans; configured: traces/a, traces/b"
    );
    let node = collector
        .own_spans("traces/b")
        .unwrap()
        .adjust(|builder| builder.service_name("agent"))
        .start()
        .unwrap();
    for (receiver, spans) in [("otlp", 3), ("otlp/kubelet", 5)] {
        let kubelet = kubelet(address_of(&node, receiver));
        record(&kubelet, spans);
        assert!(kubelet.shutdown(LONG).is_complete());
    }
    node.tracer("agent").start("relist").end();
    assert!(node.flush(LONG).is_complete());

    let came = |server: &Server, resource: &str| {
        let spans = seen(server);
        let there = spans.iter().filter(|(it, ..)| it.contains(resource));
        there.count()
    };
    // Both receivers lead to a, one of them to b as well.
    assert_eq!(
        came(
            &shared,
            "via=Some(AnyValue { value: Some(StringValue(\"a\")) })"
        ),
        16
    );
    assert_eq!(
        came(
            &shared,
            "via=Some(AnyValue { value: Some(StringValue(\"b\")) })"
        ),
        11
    );
    assert_eq!(shared.spans(), 27);
    assert_eq!(only.spans(), 11);
    assert_eq!(
        came(
            &only,
            "service.name=Some(AnyValue { value: Some(StringValue(\"agent\")) })"
        ),
        1
    );

    let metrics = node.metrics();
    for line in [
        "otelcol_exporter_sent_spans_total{exporter=\"otlp/shared\"} 27",
        "otelcol_exporter_sent_spans_total{exporter=\"otlp/only\"} 11",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    let account = node.shutdown(LONG);
    assert!(account.is_complete(), "{account}");
    assert_eq!(account.report().neighbours().received, 16);
    assert_eq!(account.received()[1].stats.spans, 10);
}

const ONE: &str = "
receivers: {otlp: {protocols: {grpc: {endpoint: '${env:LISTEN:-127.0.0.1:0}'}}}}
processors: {memory_limiter: {check_interval: 1s, limit_mib: 16}, batch: }
exporters:
  otlp:
    endpoint: ${env:BACKEND}
    tls: {insecure: true}
    compression: none
    retry_on_failure: {enabled: '${env:RETRY:-false}'}
    timeout: 20s
service:
  pipelines:
    traces: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp]}
";

#[test]
fn what_no_backend_takes_is_in_the_account_to_the_span() {
    let nobody = server::refusing();
    let given = Given::default().with("BACKEND", &nobody);
    let node = collector(ONE, &given).unwrap().start().unwrap();
    let kubelet = kubelet(address_of(&node, "otlp"));
    record(&kubelet, 20);
    // Admission is what is answered: kubelet has nothing to send again.
    assert!(kubelet.shutdown(LONG).is_complete());
    let account = node.shutdown(LONG);
    assert!(!account.is_complete());
    let report = account.report();
    let lanes: Vec<_> = report.lanes().iter().map(|lane| &lane.account).collect();
    let [lane] = &*lanes else { panic!("{account}") };
    assert!(lane.balances());
    assert_eq!(
        (lane.admitted, lane.exported, lane.dropped.total()),
        (40, 0, 40)
    );
    // Whether a batch failed before the end or by it, all of them are told.
    assert_eq!(report.lost(), 40, "{account}");
    let lines = account.to_string();
    assert!(lines.ends_with("lost       40 spans"), "{lines}");
    assert!(lines.contains("40 dropped ("), "{lines}");
}

#[test]
fn without_a_queue_who_sends_is_told_how_the_export_went() {
    let unavailable = |_: usize, _: &server::Received| Answer::status(3, "not like this", &[]);
    for (queue, batch, told) in [
        ("", false, true),
        ("enabled: false", false, false),
        ("wait_for_result: true", false, false),
        // Who gathers spans has answered for them.
        ("enabled: false", true, true),
    ] {
        let backend = Server::start(unavailable);
        let given = Given::default().with("BACKEND", backend.address);
        let text = ONE.replace("timeout: 20s", &format!("sending_queue: {{{queue}}}"));
        let text = match batch {
            true => text,
            false => text.replace("[memory_limiter, batch]", "[memory_limiter]"),
        };
        let node = collector(&text, &given).unwrap().start().unwrap();
        let kubelet = kubelet(address_of(&node, "otlp"));
        record(&kubelet, 1);
        let report = kubelet.shutdown(LONG);
        assert_eq!(report.is_complete(), told, "{queue} {batch}: {report}");
        assert_eq!(node.shutdown(LONG).report().lost(), 2);
    }
}

#[test]
fn a_condition_that_cannot_be_computed_loses_spans_only_where_it_is_to_and_who_sends_them_hears() {
    for (filter, batch, told, lost) in [
        // `n` is a number, and no text.
        (
            "error_mode: ignore, trace_conditions: ['HasPrefix(span.attributes[\"n\"], \"x\")']",
            false,
            true,
            0,
        ),
        (
            "error_mode: propagate, trace_conditions: ['span.attributes[\"n\"] == 7']",
            false,
            true,
            0,
        ),
        (
            "error_mode: propagate, trace_conditions: ['HasPrefix(span.attributes[\"n\"], \"x\")']",
            false,
            false,
            2,
        ),
        (
            "traces: {span: ['HasPrefix(attributes[\"n\"], \"x\")']}, error_mode: propagate",
            false,
            false,
            2,
        ),
        (
            "trace_conditions: [{context: span, error_mode: propagate, conditions: ['1 / attributes[\"n\"] == 0']}]",
            false,
            false,
            2,
        ),
        // Who gathers spans has answered for them.
        (
            "error_mode: propagate, trace_conditions: ['HasPrefix(span.attributes[\"n\"], \"x\")']",
            true,
            true,
            2,
        ),
    ] {
        let backend = Server::start(|_, _| Answer::ok());
        let given = Given::default().with("BACKEND", backend.address);
        let text = ONE.replace("batch: }", &format!("batch: , filter: {{{filter}}}}}"));
        let text = text.replace(
            ", batch]",
            match batch {
                true => ", batch, filter]",
                false => ", filter, batch]",
            },
        );
        let node = collector(&text, &given).unwrap().start().unwrap();
        let kubelet = kubelet(address_of(&node, "otlp"));
        record(&kubelet, 1);
        let report = kubelet.shutdown(LONG);
        assert_eq!(report.is_complete(), told, "{filter} {batch}: {report}");
        if !told {
            let why = report.lanes()[0].last_failure.as_ref().unwrap().to_string();
            assert!(
                why.contains("a condition of a processor can't be computed"),
                "{why}"
            );
        }
        let account = node.shutdown(LONG);
        assert_eq!(account.report().lost(), lost, "{filter} {batch}: {account}");
        assert_eq!(backend.spans() as u64, 2 - lost);
        if lost > 0 {
            assert!(
                account.to_string().contains("condition_failed 2"),
                "{account}"
            );
        }
    }
}

#[test]
fn a_condition_that_cannot_be_computed_is_told_of_once_in_a_while_where_it_is_ignored() {
    for (filter, level, told) in [
        ("", "info", true),
        ("error_mode: ignore, ", "info", true),
        ("error_mode: ignore, ", "error", false),
        ("error_mode: silent, ", "info", false),
    ] {
        let backend = Server::start(|_, _| Answer::ok());
        let given = Given::default().with("BACKEND", backend.address);
        let conditions = r#"trace_conditions: ['1 / span.attributes["n"] == 7', 'HasPrefix(span.attributes["n"], "x")']"#;
        let text = ONE
            .replace(
                "batch: }",
                &format!("batch: , filter/odd: {{{filter}{conditions}}}}}"),
            )
            .replace(", batch]", ", filter/odd, batch]")
            .replace(
                "service:",
                &format!("service:\n  telemetry: {{logs: {{level: {level}}}}}"),
            );
        let (tell, heard) = std::sync::mpsc::channel();
        let diagnostics = Diagnostics::new(move |said| {
            if said.level == Level::Warn {
                let _ = tell.send(said.message.to_owned());
            }
        });
        let collector = collector(&text, &given).unwrap().diagnostics(diagnostics);
        let node = collector.start().unwrap();
        let kubelet = kubelet(address_of(&node, "otlp"));
        record(&kubelet, 50);
        assert!(kubelet.shutdown(LONG).is_complete());
        assert!(node.shutdown(LONG).is_complete());
        assert_eq!(backend.spans(), 100, "none is left out");
        drop(collector);
        let heard: Vec<String> = heard.iter().collect();
        if !told {
            assert_eq!(heard, [""; 0], "{filter}");
            continue;
        }
        // Of a hundred times, each is said once.
        assert_eq!(heard.len(), 2, "{heard:?}");
        for (said, text, why) in [
            (&heard[0], "1 / span", "division by zero"),
            (&heard[1], "HasPrefix(", "of a type"),
        ] {
            assert!(said.starts_with("processors::filter/odd: "), "{said}");
            assert!(said.contains(text) && said.contains(why), "{said}");
        }
    }
}

#[test]
fn a_node_goes_on_with_another_configuration_and_keeps_the_old_one_where_the_new_one_fails() {
    let (first, second) = (
        Server::start(|_, _| Answer::ok()),
        Server::start(|_, _| Answer::ok()),
    );
    let listen = server::refusing();
    let given = |backend: &Server| {
        Given::default()
            .with("BACKEND", backend.address)
            .with("LISTEN", &listen)
    };
    let mut node = collector(ONE, &given(&first)).unwrap().start().unwrap();
    // One kubelet all the way through: it sends again what is refused meanwhile.
    let kubelet = kubelet(&listen.to_string());
    let send = || {
        record(&kubelet, 5);
        let report = kubelet.flush(LONG);
        assert!(report.is_complete(), "{report}");
    };
    send();

    let same = collector(ONE, &given(&first)).unwrap();
    assert!(matches!(node.reload(same, LONG), Ok(Reload::Unchanged)));
    send();

    let less = collector(ONE, &given(&first)).unwrap().own_memory(1 << 20);
    match node.reload(less, LONG) {
        Ok(Reload::Restarted(account)) => assert!(account.is_complete(), "{account}"),
        other => panic!("{other:?}"),
    }

    // A file that is wrong never gets as far as a node.
    assert!(collector(&ONE.replace("batch: }", "batsch: }"), &given(&second)).is_err());

    // One that can't listen is given up for the one before.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let occupied = given(&second).with("LISTEN", taken.local_addr().unwrap());
    let error = node
        .reload(collector(ONE, &occupied).unwrap(), LONG)
        .unwrap_err();
    assert!(
        matches!(&error.why, StartError::Listen { path, .. } if path == "receivers::otlp::protocols::grpc")
    );
    assert!(error.gone.is_none(), "{error}");
    assert!(error.account.as_ref().unwrap().is_complete());
    assert!(
        error.to_string().ends_with("the old configuration runs on"),
        "{error}"
    );
    send();
    assert!(node.flush(LONG).is_complete());
    assert_eq!((first.spans(), second.spans()), (30, 0));

    match node.reload(collector(ONE, &given(&second)).unwrap(), LONG) {
        Ok(Reload::Restarted(account)) => assert!(account.is_complete(), "{account}"),
        other => panic!("{other:?}"),
    }
    send();
    assert!(kubelet.shutdown(LONG).is_complete());
    assert!(node.shutdown(LONG).is_complete());
    assert_eq!((first.spans(), second.spans()), (30, 10));
}

#[test]
fn a_receiver_whose_runtime_is_gone_is_named() {
    let server = Server::start(|_, _| Answer::ok());
    let given = Given::default()
        .with("BACKEND", server.address)
        .with("LISTEN", "127.0.0.1:0");
    let host = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let runtime = spanwire_transport::runtime::Runtime::of_host(host.handle().clone());
    let node = collector(ONE, &given).unwrap().runtime(runtime);
    let node = node.start().unwrap();
    // What it listens with is open once somebody is answered.
    let kubelet = kubelet(address_of(&node, "otlp"));
    record(&kubelet, 5);
    assert!(kubelet.flush(LONG).is_complete());
    assert_eq!(node.failure(), None);
    host.shutdown_timeout(LONG);
    assert_eq!(
        node.failure().as_deref(),
        Some("receivers::otlp::protocols::grpc: its runtime has ended")
    );
    assert_eq!(node.listening()[0].failure(), Some("its runtime has ended"));
    drop(kubelet);
    let _ = node.shutdown(Duration::ZERO);
}

/// What a probe is answered: its first line and its body.
#[cfg(feature = "health-check")]
fn probe(address: &str) -> Option<(String, String)> {
    use std::io::{Read, Write};

    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), body.to_owned()))
}

#[cfg(feature = "health-check")]
#[test]
fn probes_are_answered_while_it_runs_and_through_a_reload() {
    let backend = Server::start(|_, _| Answer::ok());
    let given = Given::default().with("BACKEND", backend.address);
    let held = server::refusing();
    let text = |bodies: &str, timeout: &str| {
        let text = ONE.replace("batch: }", &format!("batch: {{timeout: {timeout}}} }}"));
        format!(
            "{text}  extensions: [health_check]\nextensions: {{health_check: {{endpoint: '{held}'{bodies}}}}}\n"
        )
    };
    let address = held.to_string();
    let start = |bodies, timeout| collector(&text(bodies, timeout), &given).unwrap();
    let mut node = start("", "200ms").start().unwrap();
    assert_eq!(node.probes(), std::slice::from_ref(&address));
    let (line, body) = probe(&address).unwrap();
    assert_eq!(line, "HTTP/1.1 200 OK");
    assert!(
        body.starts_with("{\"status\":\"Server available\""),
        "{body}"
    );

    // Other pipelines behind the same probe, then another answer at the same address.
    for (bodies, timeout, wanted) in [
        ("", "300ms", "{\"status\":\"Server available\""),
        (", response_body: {healthy: fine}", "300ms", "fine"),
    ] {
        match node.reload(start(bodies, timeout), LONG) {
            Ok(Reload::Restarted(_)) => {}
            other => panic!("{other:?}"),
        }
        let (line, body) = probe(&address).unwrap();
        assert_eq!(line, "HTTP/1.1 200 OK");
        assert!(body.starts_with(wanted), "{body}");
    }
    assert!(node.shutdown(LONG).is_complete());
    let begun = std::time::Instant::now();
    while probe(&address).is_some() {
        assert!(begun.elapsed() < LONG, "probes are answered after the end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(all(feature = "http", feature = "receive-http"))]
#[test]
fn both_protocols_of_a_receiver_lead_to_the_same_pipelines() {
    use spanwire_transport::exporter::http::{Encoding, HttpExporter};

    let backend = Server::start(|_, _| Answer::ok());
    let given = Given::default().with("BACKEND", backend.address);
    let text = ONE.replace(
        "'${env:LISTEN:-127.0.0.1:0}'}",
        "'127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0', traces_url_path: /in}",
    );
    let node = collector(&text, &given).unwrap().start().unwrap();
    let [grpc, http] = node.listening() else {
        panic!("{node:?}")
    };
    assert_eq!((grpc.protocol(), http.protocol()), ("grpc", "http"));
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let exporter = HttpExporter::builder()
            .traces_endpoint(format!("http://{}/in", http.address()))
            .encoding(encoding)
            .timeout(LONG)
            .build()
            .unwrap();
        let pipeline = Pipeline::builder()
            .exporter(move || exporter.clone())
            .build()
            .unwrap();
        record(&pipeline, 2);
        let report = pipeline.shutdown(LONG);
        assert!(report.is_complete(), "{report}");
    }
    let kubelet = kubelet(grpc.address());
    record(&kubelet, 3);
    assert!(kubelet.shutdown(LONG).is_complete());
    let account = node.shutdown(LONG);
    assert!(account.is_complete(), "{account}");
    assert_eq!(backend.spans(), 14);
    let spans: Vec<_> = account.received().iter().map(|it| it.stats.spans).collect();
    assert_eq!(spans, [6, 8]);
}

#[cfg(feature = "http")]
#[test]
fn an_exporter_goes_through_the_proxy_that_is_configured() {
    use std::io::{BufRead, BufReader};

    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (stream, _) = proxy.accept().unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    });
    let text = ONE
        .replace(
            "  otlp:\n",
            &format!("  otlp_http: {{endpoint: 'http://backend.example:4318', proxy_url: '{url}'}}\n  otlp:\n"),
        )
        .replace("exporters: [otlp]", "exporters: [otlp_http]");
    let given = Given::default().with("BACKEND", "127.0.0.1:1");
    let node = collector(&text, &given).unwrap().start().unwrap();
    node.tracer("agent").start("relist").end();
    // The proxy hangs up; what it was asked for is enough.
    assert!(!node.shutdown(LONG).is_complete());
    assert_eq!(
        asked.join().unwrap(),
        "POST http://backend.example:4318/v1/traces HTTP/1.1\r\n"
    );
}

#[test]
fn what_cannot_start_leaves_nothing_running_and_says_what_is_at_fault() {
    let backend = Server::start(|_, _| Answer::ok());
    let given = || Given::default().with("BACKEND", backend.address);
    let free = server::refusing();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let text = ONE
        .replace(
            "{otlp: {protocols: {grpc: {endpoint: '${env:LISTEN:-127.0.0.1:0}'}}}}",
            &format!(
                "{{otlp: {{protocols: {{grpc: {{endpoint: '{free}'}}}}}}, otlp/b: {{protocols: {{grpc: {{endpoint: '{taken}'}}}}}}}}"
            ),
        )
        .replace("[otlp]", "[otlp, otlp/b]");
    let text = text.replacen("exporters: [otlp, otlp/b]", "exporters: [otlp]", 1);
    let holder = std::net::TcpListener::bind(taken);
    let error = collector(&text, &given()).unwrap().start().unwrap_err();
    drop(holder);
    let said = error.to_string();
    assert!(
        said.starts_with("receivers::otlp/b::protocols::grpc: ")
            && said.contains(&taken.to_string()),
        "{said}"
    );
    // The first receiver was open by then.
    std::net::TcpListener::bind(free.address).unwrap();

    let small = ONE.replace("limit_mib: 16", "limit_mib: 1, spike_limit_mib: 0");
    let error = collector(&small, &given()).unwrap().start().unwrap_err();
    let error = spanwire_transport::diagnostics::Chain(&error).to_string();
    assert!(
        error.starts_with("processors::memory_limiter: ") || {
            // So little is enough for pipelines, and not for a receiver.
            error.starts_with("receivers::otlp::protocols::grpc: ")
        },
        "{error}"
    );
}

#[test]
fn messages_are_said_from_the_level_that_is_asked_for() {
    let backend = Server::start(|_, _| Answer::ok());
    let given = || {
        Given::default()
            .with("BACKEND", backend.address)
            .with("RETRY", "true")
            .with("EMPTY", "")
    };
    for (level, wanted) in [
        ("info", vec![Level::Info, Level::Info]),
        ("WARN", vec![]),
        ("error", vec![]),
    ] {
        let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let list = heard.clone();
        let text = ONE.replace("  otlp:\n", "  otlp:\n    user_agent: ${EMPTY}\n");
        let text = format!("{text}  telemetry: {{logs: {{level: {level}}}}}\n");
        let collector = Collector::from_config(Config::load(&text, &given()).unwrap()).unwrap();
        let node = collector
            .diagnostics(Diagnostics::new(move |said| {
                list.lock().unwrap().push(said.level);
            }))
            .start()
            .unwrap();
        drop(node);
        assert_eq!(*heard.lock().unwrap(), wanted);
    }
}

#[test]
fn what_is_lost_is_told_while_a_node_runs() {
    let backend = Server::start(|_, _| Answer::status(16, "no token", &[]));
    let given = Given::default()
        .with("BACKEND", backend.address)
        .with("RETRY", "true");
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let list = heard.clone();
    let collector = Collector::from_config(Config::load(ONE, &given).unwrap()).unwrap();
    let node = collector
        .diagnostics(Diagnostics::new(move |said| {
            list.lock()
                .unwrap()
                .push((said.level, said.message.to_string()));
        }))
        .start()
        .unwrap();
    let kubelet = kubelet(node.listening()[0].address());
    record(&kubelet, 3);
    assert!(kubelet.shutdown(LONG).is_complete());
    let begun = std::time::Instant::now();
    let told = |what: &str| {
        let heard = heard.lock().unwrap();
        heard
            .iter()
            .any(|(level, said)| *level <= Level::Warn && said.contains(what))
    };
    while !told("lost") {
        assert!(begun.elapsed() < LONG, "{heard:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(node);
}

#[cfg(feature = "file")]
const FILED: &str = "
receivers: {otlp: {protocols: {grpc: {endpoint: '${env:LISTEN}'}}}}
exporters:
  file:
    path: ${env:FILE}
    append: ${env:APPEND}
service:
  pipelines: {traces: {receivers: [otlp], exporters: [file]}}
";

/// Guarantees: a file is emptied by a node that starts, and by none that does not.
#[cfg(feature = "file")]
#[test]
fn what_is_in_a_file_is_not_lost_to_a_start_that_fails() {
    use std::fs;

    let path = std::env::temp_dir().join(format!("spanwire-kept-{}.jsonl", std::process::id()));
    let given = |listen: &dyn ToString, append| {
        let file = path.display().to_string();
        let given = Given::default().with("LISTEN", listen.to_string());
        given.with("FILE", file).with("APPEND", append)
    };
    let text = || fs::read_to_string(&path).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let occupied = taken.local_addr().unwrap();
    fs::write(&path, "old\n").unwrap();
    let failed = collector(FILED, &given(&occupied, false)).unwrap().start();
    assert!(matches!(failed, Err(StartError::Listen { .. })));
    assert_eq!(text(), "old\n");

    let free = &"127.0.0.1:0";
    let node = collector(FILED, &given(free, true)).unwrap().start();
    assert!(node.unwrap().shutdown(LONG).is_complete());
    assert_eq!(text(), "old\n");
    let mut node = collector(FILED, &given(free, false))
        .unwrap()
        .start()
        .unwrap();
    assert_eq!(text(), "", "nothing has been sent yet");

    let send = |node: &Node| {
        let kubelet = kubelet(node.listening()[0].address());
        record(&kubelet, 1);
        assert!(kubelet.shutdown(LONG).is_complete());
        assert!(node.flush(LONG).is_complete());
        text().lines().count()
    };
    assert_eq!(send(&node), 1);
    let error = node.reload(collector(FILED, &given(&occupied, false)).unwrap(), LONG);
    assert!(error.unwrap_err().gone.is_none());
    assert_eq!(send(&node), 2, "the one before goes on");
    assert!(node.shutdown(LONG).is_complete());
    fs::remove_file(&path).unwrap();
}
