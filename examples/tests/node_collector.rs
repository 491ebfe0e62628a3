//! The collector for one node is run as its users run it: what it makes of its documented configuration and of typical
//! mistakes in it, what it says, and how it ends.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The program ends by its own deadlines; a machine that is busy gets much more.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory of this test's own, with a configuration in it; gone when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("spanwire-collector-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, text: &str) {
        std::fs::write(self.0.join("node.yaml"), text).unwrap();
    }

    /// The program, with this directory as its own and no variables but these.
    fn program(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        // Tests lie in `deps`; examples, which are built with them, beside it.
        let test = std::env::current_exe().unwrap();
        let folder = test.parent().and_then(Path::parent).unwrap();
        let mut command = Command::new(folder.join("examples/node_collector"));
        command
            .current_dir(&self.0)
            .env_clear()
            .envs(variables.iter().copied())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What `--check` says of a configuration: its complaints, what it prints, and its exit code.
    fn check(&self, text: &str, arguments: &[&str]) -> (String, String, Option<i32>) {
        self.write(text);
        let variables = [
            ("CLUSTER_ID", "c-1"),
            ("OPENTELEMETRY_GRPC_TOKEN", "s3cret"),
        ];
        let arguments = [&["--config", "node.yaml", "--check"], arguments].concat();
        let output = self.program(&arguments, &variables).output();
        texts(output.expect("`cargo build --example node_collector` makes it"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn texts(output: Output) -> (String, String, Option<i32>) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        text(output.stderr),
        text(output.stdout),
        output.status.code(),
    )
}

/// The configuration that the documentation shows.
const DOCUMENTED: &str = include_str!("../ack-node.yaml");

#[test]
fn the_documented_configuration_is_valid() {
    let scratch = Scratch::new("documented");
    let (complaints, printed, code) = scratch.check(DOCUMENTED, &[]);
    assert_eq!(complaints, "");
    assert_eq!(printed, "node.yaml: valid\n");
    assert_eq!(code, Some(0));

    let arguments = ["--config", "node.yaml", "--print"];
    let variables = [("OPENTELEMETRY_GRPC_TOKEN", "s3cret"), ("CLUSTER_ID", "c")];
    let output = scratch.program(&arguments, &variables).output().unwrap();
    let (_, printed, code) = texts(output);
    assert_eq!(code, Some(0));
    assert!(
        printed.contains("Authentication: \"[REDACTED]\""),
        "{printed}"
    );
    assert!(!printed.contains("s3cret"), "{printed}");
    // What is printed is a configuration again.
    let (complaints, checked, code) = scratch.check(&printed, &[]);
    assert_eq!((&*complaints, &*checked), ("", "node.yaml: valid\n"));
    assert_eq!(code, Some(0));
}

/// Typical mistakes: what is replaced by what, and all that is said.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "    endpoint: ${env:BACKEND",
        "    endpont: ${env:BACKEND",
        "node.yaml:36:5: exporters::otlp::endpont: unknown key; accepted here: auth, authority, balancer_name, compression, endpoint, headers, keepalive, read_buffer_size, retry_on_failure, sending_queue, timeout, tls, user_agent, wait_for_ready, write_buffer_size\n",
    ),
    (
        "  # jaeger: next",
        "  jaeger: {protocols: {thrift_compact: }}",
        "node.yaml:18:3: receivers::jaeger: the receiver `jaeger` is known and not supported; accepted: otlp\n",
    ),
    (
        "        - resource\n",
        "        - resource/cluster\n",
        "node.yaml:49:5: service::pipelines::traces: references processor \"resource/cluster\" which is not configured; configured: batch, memory_limiter, resource\n",
    ),
    (
        "    check_interval: 5s\n",
        "",
        "node.yaml:22:3: processors::memory_limiter: 'check_interval' must be greater than zero\n",
    ),
    (
        "check_interval: 5s",
        "check_interval: 5",
        "node.yaml:23:5: processors::memory_limiter::check_interval: expected type 'string', got unconvertible type 'int': a duration has a unit, for instance 5s\n",
    ),
    (
        "BACKEND_ENDPOINT:-127.0.0.1:14317",
        "BACKEND_ENDPOINT:-backend",
        "node.yaml:36:5: exporters::otlp::endpoint: address backend: missing port in address\n",
    ),
    (
        "action: insert",
        "action: add",
        "node.yaml:31:9: processors::resource::attributes::0::action: error creating AttrProc due to unsupported action \"add\"; accepted: insert, update, upsert, delete, hash, extract, convert\n",
    ),
    (
        "    check_interval",
        "\tcheck_interval",
        "node.yaml:23:2: not YAML: tabs disallowed within this context (block indentation)\n",
    ),
    (
        "        endpoint: 127.0.0.1:4317",
        "        endpoint: 127.0.0.1:4317\n        tls: {cert_file: /nowhere/tls.crt, key_file: /nowhere/tls.key}",
        "node.yaml:18:9: receivers::otlp/kubelet::protocols::grpc::tls: server certificate /nowhere/tls.crt: I/O error: No such file or directory (os error 2)\n",
    ),
    (
        "      Authentication:",
        "      Authentication token:",
        "node.yaml:40:7: exporters::otlp::headers::Authentication token: header name 'authentication token' is not valid\n",
    ),
    (
        "    traces:\n",
        "    metrics:\n",
        "node.yaml:49:5: service::pipelines::metrics: only pipelines of traces are; this one is not supported\n",
    ),
];

#[test]
fn typical_mistakes_are_told_with_their_place_and_what_would_do() {
    let scratch = Scratch::new("mistakes");
    for (right, wrong, wanted) in MISTAKES {
        let text = DOCUMENTED.replacen(right, wrong, 1);
        assert_ne!(text, DOCUMENTED, "{right:?} is not there");
        let (complaints, printed, code) = scratch.check(&text, &[]);
        assert_eq!(complaints, *wanted);
        assert_eq!((&*printed, code), ("", Some(2)), "{wanted}");
    }
    // Everything that is wrong is told at once.
    let text = MISTAKES
        .iter()
        .filter(|(right, ..)| ["action: insert", "check_interval: 5s"].contains(right));
    let text = text.fold(DOCUMENTED.to_owned(), |text, (right, wrong, _)| {
        text.replacen(right, wrong, 1)
    });
    let (complaints, ..) = scratch.check(&text, &[]);
    assert_eq!(complaints.lines().count(), 2, "{complaints}");
}

#[test]
fn what_is_odd_is_a_warning_and_what_is_missing_can_be_left_out() {
    let scratch = Scratch::new("warnings");
    for (right, wrong, arguments, wanted) in [
        (
            "${env:OPENTELEMETRY_GRPC_TOKEN}",
            "${env:NO_SUCH_TOKEN}",
            &[][..],
            "warning: node.yaml:40:7: exporters::otlp::headers::Authentication: environment variable \"NO_SUCH_TOKEN\" is unset; its value is empty\n",
        ),
        (
            "${env:CLUSTER_ID}",
            "${env:CLUSTER_ID",
            &[],
            "warning: node.yaml:30:9: processors::resource::attributes::0::value: a `${` without its `}` is no reference, and stays as it is\n",
        ),
        (
            "  # jaeger: next",
            "  jaeger: {protocols: {thrift_compact: }}",
            &["--lenient"],
            "warning: node.yaml:18:3: receivers::jaeger: the receiver `jaeger` is known and not supported, and left out\n",
        ),
        (
            "service:\n",
            "service:\n  telemetry: {metrics: {address: ':8888'}}\n",
            &[],
            "warning: node.yaml:47:25: service::telemetry::metrics::address: is deprecated: say it as readers::0::pull::exporter::prometheus\n",
        ),
    ] {
        let text = DOCUMENTED.replacen(right, wrong, 1);
        let (complaints, printed, code) = scratch.check(&text, arguments);
        assert_eq!(complaints, wanted);
        assert_eq!((&*printed, code), ("node.yaml: valid\n", Some(0)));
    }
}

#[test]
fn a_second_file_is_laid_over_the_first() {
    let scratch = Scratch::new("overlay");
    scratch.write(
        "receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}}}}\nexporters: {debug: }\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n",
    );
    let check = |over: &str, print: &str| {
        std::fs::write(scratch.0.join("over.yaml"), over).unwrap();
        let arguments = ["--config", "file:node.yaml", "--config", "over.yaml", print];
        texts(scratch.program(&arguments, &[]).output().unwrap())
    };
    let (complaints, printed, code) = check("exporters: {debug: {verbosity: detailed}}", "--print");
    assert_eq!((complaints.as_str(), code), ("", Some(0)));
    assert!(
        printed.contains("127.0.0.1:0") && printed.contains("verbosity: detailed"),
        "{printed}"
    );
    let (_, printed, _) = check("# Nothing.", "--check");
    assert_eq!(printed, "node.yaml+over.yaml: valid\n");
    let (complaints, _, code) = check("exporters: {debug: {verbosty: detailed}}", "--check");
    assert_eq!(code, Some(2));
    assert!(
        complaints.starts_with("over.yaml:1:21: exporters::debug::verbosty: unknown key"),
        "{complaints}"
    );
    let (complaints, ..) = texts(
        scratch
            .program(&["--config", "https://a/b"], &[])
            .output()
            .unwrap(),
    );
    assert!(
        complaints.starts_with("node_collector: --config: scheme \"https\" is not supported"),
        "{complaints}"
    );
}

#[test]
fn options_are_checked_and_explained() {
    let scratch = Scratch::new("options");
    for (arguments, complaint) in [
        (&[][..], "node_collector: --config: it needs a file"),
        (
            &["--config"],
            "node_collector: missing argument for option '--config'",
        ),
        (
            &["--confg", "a"],
            "node_collector: invalid option '--confg'",
        ),
        (
            &["--drain", "soon"],
            "node_collector: --drain: \"soon\" is not a time such as 500ms, 5s or 2m",
        ),
    ] {
        let (complaints, printed, code) = texts(scratch.program(arguments, &[]).output().unwrap());
        assert_eq!(complaints.lines().next(), Some(complaint));
        assert_eq!((&*printed, code), ("", Some(2)));
    }
    let output = scratch.program(&["--config", "gone.yaml"], &[]).output();
    let (complaints, _, code) = texts(output.unwrap());
    assert_eq!(
        complaints,
        "gone.yaml: No such file or directory (os error 2)\n"
    );
    assert_eq!(code, Some(2));
    let (_, printed, code) = texts(scratch.program(&["--help"], &[]).output().unwrap());
    assert!(
        printed.contains("Usage: node_collector --config FILE"),
        "{printed}"
    );
    assert_eq!(code, Some(0));
}

/// A program that runs, and what it says.
struct Running {
    child: Child,
    complaints: Receiver<String>,
}

impl Drop for Running {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, complaints) = channel();
        std::thread::spawn(move || {
            let mut lines = lines.map_while(Result::ok);
            lines.all(|line| tell.send(line).is_ok())
        });
        Self { child, complaints }
    }

    /// Reads what it says up to a line with `text`, and gives that.
    fn says(&mut self, text: &str) -> String {
        let mut heard = String::new();
        loop {
            let line = self.complaints.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("{text:?} is not said: {heard}"));
            if line.contains(text) {
                return line;
            }
            heard += &format!("{line}\n");
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end, and gives what was printed and the exit code.
    fn ended(mut self) -> (String, Option<i32>) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > PATIENCE {
                self.child.kill().unwrap();
                panic!("the program does not end");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut printed = String::new();
        let mut out = self.child.stdout.take().unwrap();
        out.read_to_string(&mut printed).unwrap();
        (printed, status.code())
    }
}

/// One span, as a program without any library sends it.
fn send(address: &str) {
    let body = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":"sync","kind":1}]}]}]}"#;
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "POST /v1/traces HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

/// An address that nobody listens on. While the socket is there nobody is given it by chance; who asks for it gets it.
fn free() -> (tokio::net::TcpSocket, String) {
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.set_reuseaddr(true).unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap().to_string();
    (held, address)
}

/// What is said when a receiver listens: its address.
fn address(said: &str) -> &str {
    said.rsplit_once(' ').unwrap().1
}

const SMALL: &str = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
processors: {memory_limiter: {check_interval: 1s, limit_mib: 32}, batch: {timeout: 1h}}
exporters: {file: {path: spans.jsonl}}
service:
  pipelines:
    traces: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [file]}
";

#[test]
fn it_drains_when_it_is_told_to_end_and_goes_on_as_its_file_says() {
    let scratch = Scratch::new("runs");
    scratch.write(SMALL);
    let mut running = Running::start(scratch.program(&["--config", "node.yaml"], &[]));
    let said = running.says("otlp takes http on");
    send(address(&said));

    // A file that is wrong, one that says the same, one that says something else.
    scratch.write(&SMALL.replace("batch:", "bunch:"));
    running.signal("-HUP");
    running.says("reload: the old configuration runs on");
    let line = running.says("node.yaml:");
    assert!(line.contains("processors::bunch: unknown type"), "{line}");
    scratch.write(SMALL);
    running.signal("-HUP");
    running.says("reload: nothing has changed");
    send(address(&said));
    scratch.write(&SMALL.replace("spans.jsonl}", "more.jsonl}"));
    running.signal("-HUP");
    let said = running.says("otlp takes http on");
    running.says("goes on with the new configuration");
    send(address(&said));

    running.signal("-TERM");
    let (printed, code) = running.ended();
    assert_eq!(
        printed,
        "received   otlp http: 2 spans in 2 requests\n\
         exported   traces -> file: 2 of 2 spans\n\
         lost       nothing\n\
         received   otlp http: 1 spans in 1 requests\n\
         exported   traces -> file: 1 of 1 spans\n\
         lost       nothing\n"
    );
    assert_eq!(code, Some(0));
    for (file, spans) in [("spans.jsonl", 2), ("more.jsonl", 1)] {
        let text = std::fs::read_to_string(scratch.0.join(file)).unwrap();
        assert_eq!(text.matches("\"name\":\"sync\"").count(), spans, "{text}");
    }
}

#[test]
fn lost_spans_are_an_exit_code() {
    let scratch = Scratch::new("lost");
    // A directory where the file should be.
    scratch.write(&SMALL.replace("path: spans.jsonl", "path: '.', append: true"));
    let output = scratch.program(&["--config", "node.yaml"], &[]).output();
    let (complaints, _, code) = texts(output.unwrap());
    assert!(
        complaints.starts_with("node.yaml:exporters::file::path: .: "),
        "{complaints}"
    );
    assert_eq!(code, Some(2));

    let (_held, nobody) = free();
    let text = SMALL
        .replace("exporters: [file]", "exporters: [otlp]")
        .replace(
            "file: {path: spans.jsonl}",
            &format!("otlp: {{endpoint: '{nobody}', tls: {{insecure: true}}}}"),
        );
    scratch.write(&text);
    let mut running = Running::start(scratch.program(&["--config", "node.yaml"], &[]));
    let said = running.says("otlp takes http on");
    send(address(&said));
    running.signal("-INT");
    let (printed, code) = running.ended();
    assert!(printed.ends_with("lost       1 span\n"), "{printed}");
    assert_eq!(code, Some(1));
}

/// What a scraper gets: the head, and the text.
fn scrape(address: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: node\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    (head.into(), text.into())
}

#[test]
fn metrics_are_scraped_where_the_configuration_says_so_and_through_a_reload() {
    let scratch = Scratch::new("scraped");
    let reader = "service:\n  telemetry:\n    metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]}\n";
    let scraped = SMALL.replace("service:\n", reader);
    scratch.write(&scraped);
    let mut running = Running::start(scratch.program(&["--config", "node.yaml"], &[]));
    let said = running.says("metrics are served on http://");
    let place = said.rsplit_once("http://").unwrap().1.to_owned();
    let place = place.strip_suffix("/metrics").unwrap();
    let said = running.says("otlp takes http on");
    send(address(&said));
    let begun = Instant::now();
    let told = loop {
        let (head, text) = scrape(place);
        if text.contains("\notelcol_receiver_accepted_spans_total{receiver=\"otlp\"") {
            assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
            assert!(head.contains("text/plain; version=0.0.4"), "{head}");
            break text;
        }
        // Its receivers are open a moment before there is anything to tell.
        let status = head.split(' ').nth(1);
        assert!(matches!(status, Some("200" | "503")), "{head}");
        assert!(begun.elapsed() < PATIENCE, "{text}");
        std::thread::sleep(Duration::from_millis(5));
    };
    let accepted = told
        .lines()
        .find(|line| line.starts_with("otelcol_receiver_accepted_spans_total"));
    assert!(accepted.is_some_and(|line| line.ends_with(" 1")), "{told}");

    // Another configuration with the same reader: the same place, other numbers.
    scratch.write(&scraped.replace("spans.jsonl}", "more.jsonl}"));
    running.signal("-HUP");
    running.says("goes on with the new configuration");
    let (head, text) = scrape(place);
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    let accepted = text
        .lines()
        .find(|line| line.starts_with("otelcol_receiver_accepted_spans_total"));
    assert!(accepted.is_some_and(|line| line.ends_with(" 0")), "{text}");

    // One without: nobody is there any more.
    scratch.write(SMALL);
    running.signal("-HUP");
    running.says("goes on with the new configuration");
    let begun = Instant::now();
    while TcpStream::connect(place).is_ok() {
        assert!(begun.elapsed() < PATIENCE);
    }
    running.signal("-TERM");
    assert_eq!(running.ended().1, Some(0));
}

#[test]
fn told_twice_to_end_it_waits_for_nothing() {
    let scratch = Scratch::new("twice");
    // Takes connections, and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = SMALL
        .replace("exporters: [file]", "exporters: [otlp]")
        .replace(
            "file: {path: spans.jsonl}",
            &format!(
                "otlp: {{endpoint: '{}', tls: {{insecure: true}}, timeout: 10m}}",
                silent.local_addr().unwrap()
            ),
        );
    scratch.write(&text);
    let arguments = ["--config", "node.yaml", "--drain", "30s"];
    let mut running = Running::start(scratch.program(&arguments, &[]));
    let said = running.says("otlp takes http on");
    send(address(&said));
    running.signal("-TERM");
    // It drains: it takes nothing in any more.
    let (begun, place) = (Instant::now(), address(&said).to_owned());
    while TcpStream::connect(&place).is_ok() {
        assert!(
            begun.elapsed() < PATIENCE,
            "it takes on after it was told to end"
        );
    }
    assert!(
        running.child.try_wait().unwrap().is_none(),
        "it does not drain"
    );
    running.signal("-TERM");
    running.says("signal: ends at once: it was told so twice");
    assert_eq!(running.ended(), (String::new(), Some(3)));
}

#[test]
fn a_reload_without_patience_finds_its_own_port_free() {
    let scratch = Scratch::new("port");
    let (_held, place) = free();
    let text = SMALL.replace("127.0.0.1:0", &place);
    scratch.write(&text);
    let arguments = ["--config", "node.yaml", "--drain", "0ms"];
    let mut running = Running::start(scratch.program(&arguments, &[]));
    running.says("otlp takes http on");
    for n in 0..10 {
        // A connection that is open all the while.
        let _open = TcpStream::connect(&place).unwrap();
        scratch.write(&text.replace("timeout: 1h", &format!("timeout: {}h", n + 2)));
        running.signal("-HUP");
        running.says("goes on with the new configuration");
    }
    running.signal("-TERM");
    // With no time for it, a machine that is busy may not have heard that nothing was lost.
    let code = running.ended().1;
    assert!(matches!(code, Some(0 | 1)), "{code:?}");
}
