//! The node agent is run as its users run it, and what it prints and how it ends is looked at.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spanwire_core::pipeline::Pipeline;
use spanwire_core::propagation::TraceContext;
use spanwire_transport::exporter::grpc::GrpcExporter;

// What it reads from `/proc` has tests of its own, which run here: an example with a test harness is not built as a program.
#[allow(dead_code, reason = "only its tests are wanted")]
#[path = "../node_agent/machine.rs"]
mod machine;

/// The agent ends by its own deadlines; a machine that is busy gets much more.
const PATIENCE: Duration = Duration::from_secs(60);

fn agent(arguments: &[&str], variables: &[(&str, &str)]) -> Child {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        // Tests lie in `deps`; examples, which are built with them, beside it.
        let test = std::env::current_exe().unwrap();
        let folder = test.parent().and_then(|deps| deps.parent()).unwrap();
        folder.join("examples/node_agent")
    });
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}, which `cargo build --example node_agent` makes: {error}",
                program.display()
            )
        })
}

fn terminate(child: &Child) {
    let kill: Output = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .output()
        .unwrap();
    assert!(kill.status.success(), "{kill:?}");
}

/// Waits for the end, and gives what was printed, what was complained of, and the exit code.
fn ended(mut child: Child) -> (String, String, Option<i32>) {
    let begun = Instant::now();
    let (mut out, mut complaint) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let out = std::thread::spawn(move || text(&mut out));
    let complaint = std::thread::spawn(move || text(&mut complaint));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("the agent does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    (
        out.join().unwrap(),
        complaint.join().unwrap(),
        status.code(),
    )
}

fn text(from: &mut impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}

/// The number behind a word at the start of a line.
fn number(text: &str, word: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no {word} in:\n{text}"))
}

#[test]
fn every_span_arrives_at_the_server_inside() {
    let (out, complaint, code) = ended(agent(&["--for", "2s", "--tick", "200ms"], &[]));
    assert_eq!((complaint.as_str(), code), ("", Some(0)), "{out}");
    let sampled = number(&out, "sampled");
    // At the least a tick, its relist, its sync, and this very process, twice.
    assert!(sampled >= 8, "{out}");
    assert_eq!(number(&out, "exported"), sampled, "{out}");
    assert_eq!(number(&out, "received"), sampled, "{out}");
    assert_eq!(number(&out, "dropped"), 0, "{out}");
    assert!(number(&out, "bytes") > 50 * sampled, "{out}");
    assert!(out.contains("KiB resident at the peak"), "{out}");
    let tree: Vec<_> = out
        .lines()
        .take_while(|line| !line.starts_with("sampled"))
        .collect();
    assert!(tree[0].starts_with("trace "), "{out}");
    // How far a line is indented behind its duration, in characters.
    let indent = |name: &str| {
        let found = tree.iter().find_map(|line| {
            let words = line.trim_start().split_once(' ')?.1;
            let is_it = words.trim_start().starts_with(name);
            is_it.then(|| words.len() - words.trim_start().len())
        });
        found.unwrap_or_else(|| panic!("no {name} in:\n{out}"))
    };
    let (tick, relist) = (indent("tick"), indent("relist"));
    assert!(tick < relist && relist < indent("inspect process"), "{out}");
    assert_eq!(indent("sync"), relist, "{out}");
}

#[test]
fn compressed_requests_arrive_too() {
    for (compression, is_compressed) in [("gzip", true), ("none", false)] {
        let variable = [("OTEL_EXPORTER_OTLP_COMPRESSION", compression)];
        let (out, complaint, code) = ended(agent(&["--for", "500ms"], &variable));
        assert_eq!((complaint.as_str(), code), ("", Some(0)), "{out}");
        assert_eq!(number(&out, "received"), number(&out, "sampled"), "{out}");
        let said = out.lines().find_map(|line| {
            let (_, said) = line.split_once("in this program; ")?;
            let (compressed, rest) = said.split_once(" of ")?;
            Some((compressed.to_owned(), rest.split_once(' ')?.0.to_owned()))
        });
        let (compressed, requests) = said.unwrap_or_else(|| panic!("{out}"));
        let expected = if is_compressed { &requests } else { "0" };
        assert!(compressed == expected && requests != "0", "{out}");
    }
}

#[test]
fn spans_that_nobody_takes_are_counted_as_lost() {
    // It is bound, and nobody listens.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("http://{}", held.local_addr().unwrap());
    let (out, complaint, code) = ended(agent(&["--for", "500ms", "--endpoint", &nobody], &[]));
    assert_eq!(code, Some(1), "{out}");
    // It says so while it runs, and once.
    let failed = complaint.matches("warn: exporter/0: an export failed: ");
    assert_eq!(failed.count(), 1, "{complaint}");
    assert!(
        complaint.contains("error: exporter/0: a span was lost: "),
        "{complaint}"
    );
    let sampled = number(&out, "sampled");
    assert_eq!(number(&out, "exported"), 0, "{out}");
    let unsettled = out.contains("unsettled").then(|| number(&out, "unsettled"));
    let lost = number(&out, "dropped") + unsettled.unwrap_or(0);
    assert_eq!(lost, sampled, "{out}");
    assert!(sampled > 0 && out.contains("last failure: "), "{out}");
}

#[test]
fn a_signal_ends_it_with_everything_exported() {
    let mut child = agent(&["--tick", "100ms", "--serve", "127.0.0.1:0"], &[]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let serves = said(&mut out, "serves     http://");
    // Whoever is answered asks one that works and knows what to do when it is told to end.
    let answer = ask(serves.strip_suffix("/relist").unwrap(), "/relist", "");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    std::thread::sleep(Duration::from_secs(1));
    terminate(&child);
    let out = text(&mut out);
    let complaint = text(&mut child.stderr.take().unwrap());
    let code = child.wait().unwrap().code();
    assert_eq!((complaint.as_str(), code), ("", Some(0)), "{out}");
    assert!(number(&out, "sampled") > 0, "{out}");
    assert_eq!(number(&out, "received"), number(&out, "sampled"), "{out}");
}

/// Scenario: a server takes connections and says nothing; a user who is tired of waiting for it asks again.
/// Guarantees: the second signal ends the agent before the first one would have.
#[test]
fn a_second_signal_ends_it_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", listener.local_addr().unwrap());
    let child = agent(&["--endpoint", &nowhere], &[]);
    // It has come as far as to export.
    let _held = listener.accept().unwrap();
    terminate(&child);
    // Signals that come together are one.
    std::thread::sleep(Duration::from_millis(500));
    terminate(&child);
    let (out, complaint, code) = ended(child);
    assert_eq!(code, Some(3), "{out}");
    assert!(complaint.contains("told so twice"), "{complaint}");
    assert!(!out.contains("exported"), "{out}");
}

#[test]
fn spans_for_which_no_exporter_is_wanted_are_not_called_exported() {
    let none = [("OTEL_TRACES_EXPORTER", "none")];
    let (out, complaint, code) = ended(agent(&["--for", "500ms"], &none));
    assert_eq!((complaint.as_str(), code), ("", Some(0)), "{out}");
    assert!(!out.contains("exported"), "{out}");
    assert_eq!(number(&out, "discarded"), number(&out, "sampled"), "{out}");
}

/// Scenario: a mounted secret is rotated, by a rename as kubelet does it, while the agent sends.
#[test]
fn a_rotated_token_needs_no_restart_and_loses_no_span() {
    let token = std::env::temp_dir().join(format!("spanwire-agent-token-{}", std::process::id()));
    std::fs::write(&token, "Bearer old\n").unwrap();
    let server = Collector::start();
    let header = format!("authorization={}", token.display());
    let child = agent(
        &[
            ("--endpoint", server.endpoint.as_str()),
            ("--protocol", "http/protobuf"),
            ("--header-file", header.as_str()),
            ("--tick", "100ms"),
        ]
        .map(|(option, value)| [option, value])
        .concat(),
        &[("OTEL_BSP_SCHEDULE_DELAY", "100")],
    );
    server.wait_for("Bearer old");
    let next = token.with_extension("next");
    std::fs::write(&next, "Bearer new\n").unwrap();
    std::fs::rename(&next, &token).unwrap();
    server.wait_for("Bearer new");
    terminate(&child);
    let (out, complaint, code) = ended(child);
    std::fs::remove_file(&token).unwrap();
    assert_eq!((complaint.as_str(), code), ("", Some(0)), "{out}");
    assert!(!out.contains("Bearer"), "{out}");
    let seen = server.seen.lock().unwrap();
    let tokens: Vec<_> = seen.iter().map(|(token, _)| token.as_str()).collect();
    // What was under way with the old one, of up to four, may arrive after the first with the new one.
    let late = tokens.iter().skip_while(|token| **token == "Bearer old");
    let (new, old): (Vec<&&str>, Vec<&&str>) = late.partition(|token| **token == "Bearer new");
    assert!(!new.is_empty() && new.len() < tokens.len(), "{tokens:?}");
    assert!(
        old.len() < 4 && old.iter().all(|token| **token == "Bearer old"),
        "{tokens:?}"
    );
    let arrived: usize = seen.iter().map(|(_, spans)| spans).sum();
    assert_eq!(number(&out, "sampled"), arrived as u64, "{out}");
    assert_eq!(number(&out, "exported"), arrived as u64, "{out}");
}

/// An OTLP/HTTP server of plain sockets: of each request, its token and its spans. Ends with the process.
struct Collector {
    endpoint: String,
    seen: Arc<Mutex<Vec<(String, usize)>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let desk = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, desk) = (stream.unwrap(), desk.clone());
                std::thread::spawn(move || serve(BufReader::new(stream), &desk));
            }
        });
        Self { endpoint, seen }
    }

    fn wait_for(&self, token: &str) {
        let begun = Instant::now();
        let is_there = || self.seen.lock().unwrap().iter().any(|seen| seen.0 == token);
        while !is_there() {
            assert!(begun.elapsed() < PATIENCE, "no request with '{token}'");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn serve(mut stream: BufReader<TcpStream>, desk: &Mutex<Vec<(String, usize)>>) {
    loop {
        let (mut token, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            match line.trim_end().split_once(": ") {
                None if line == "\r\n" => break,
                Some(("authorization", value)) => token = value.into(),
                Some(("content-length", value)) => length = value.parse().unwrap(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        let scopes = request
            .resource_spans
            .iter()
            .flat_map(|one| &one.scope_spans);
        let spans = scopes.map(|scope| scope.spans.len()).sum();
        desk.lock().unwrap().push((token, spans));
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.get_mut().write_all(answer).unwrap();
    }
}

#[test]
fn an_option_wins_over_a_variable_and_a_bad_variable_is_named() {
    let variables = [
        ("OTEL_TRACES_SAMPLER", "always_on"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
    ];
    let none = ["--for", "300ms", "--sampling-rate-per-million", "0"];
    let (out, complaint, code) = ended(agent(&none, &variables));
    assert_eq!(code, Some(0), "{out}{complaint}");
    assert_eq!(number(&out, "sampled"), 0, "{out}");
    assert!(complaint.contains("OTEL_BSP_SCHEDULE_DELAY"), "{complaint}");
}

#[test]
fn spans_are_shown_where_that_is_asked_for() {
    let console = [("OTEL_TRACES_EXPORTER", "console")];
    let (out, complaint, code) = ended(agent(&["--for", "300ms"], &console));
    assert_eq!((complaint.as_str(), code), ("", Some(0)), "{out}");
    assert!(
        out.contains("inspect process") && !out.contains("received"),
        "{out}"
    );
}

/// What stands behind a word at the start of the next line.
fn said(out: &mut impl BufRead, word: &str) -> String {
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let rest = line.strip_prefix(word);
    rest.unwrap_or_else(|| panic!("{line:?} is not {word:?}"))
        .trim()
        .to_owned()
}

/// What is answered to `GET PATH`: all of it.
fn ask(address: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n").unwrap();
    text(&mut stream)
}

#[test]
fn spans_of_neighbours_leave_with_its_own_and_their_traces_are_continued() {
    let mut child = agent(
        &[
            "--tick",
            "1h",
            "--receive",
            "127.0.0.1:0",
            "--serve",
            "127.0.0.1:0",
        ],
        &[],
    );
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let receives = said(&mut out, "receives   OTLP/gRPC on ");
    let serves = said(&mut out, "serves     http://");
    let serves = serves.strip_suffix("/relist").unwrap();

    // A neighbour with a tracer of its own: it asks for a relist within a span, and exports that span to the agent.
    let exporter = GrpcExporter::builder()
        .endpoint(format!("http://{receives}"))
        .build()
        .unwrap();
    let neighbour = Pipeline::builder()
        .service_name("neighbour")
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let tracer = neighbour.tracer("neighbour");
    let span = tracer.start("ask");
    let mut headers = Vec::<(String, String)>::new();
    TraceContext::write(span.context(), &mut headers);
    let (name, value) = &headers[0];
    let answer = ask(serves, "/relist", &format!("{name}: {value}\r\n"));
    let trace = span.context().trace_id();
    span.end();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(&format!("trace {trace}\n")), "{answer}");
    // Who says nothing of a trace gets one of the agent's own; who asks for something else, nothing.
    let answer = ask(serves, "/relist", "");
    assert!(
        answer.contains("trace ") && !answer.contains(&trace.to_string()),
        "{answer}"
    );
    assert!(ask(serves, "/", "").starts_with("HTTP/1.1 404"));
    let report = neighbour.shutdown(PATIENCE);
    assert!(report.is_complete(), "{report}");
    let id = child.id().to_string();
    let kill = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(kill.success());
    let out = text(&mut out);
    assert!(child.wait().unwrap().success(), "{out}");
    assert_eq!(number(&out, "neighbours"), 1, "{out}");
    // Both doors lead to the same lane, and to the server behind it.
    let own = number(&out, "sampled");
    assert_eq!(number(&out, "exported"), own + 1, "{out}");
    assert_eq!(number(&out, "received"), own + 1, "{out}");
}

#[test]
fn a_relist_for_a_caller_is_in_its_trace() {
    let console = [("OTEL_TRACES_EXPORTER", "console")];
    let arguments = ["--tick", "1h", "--serve", "127.0.0.1:0"];
    let mut child = agent(&arguments, &console);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let serves = said(&mut out, "serves     http://");
    let serves = serves.strip_suffix("/relist").unwrap();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    let answer = ask(serves, "/relist", &parent);
    assert!(answer.contains(&format!("trace {trace}\n")), "{answer}");
    // A caller that does not sample does not want to be traced further.
    let answer = ask(serves, "/relist", &parent.replace("-01\r", "-00\r"));
    assert!(answer.contains("not sampled"), "{answer}");
    let id = child.id().to_string();
    let kill = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(kill.success());
    let out = text(&mut out);
    assert!(child.wait().unwrap().success(), "{out}");
    let line = |name: &str| {
        let lines = out.lines().filter(|line| line.contains(trace));
        lines.filter(|line| line.contains(name)).count()
    };
    assert_eq!((line("tick"), line("relist")), (1, 1), "{out}");
}

/// Guarantees: what the environment disables stays disabled, whatever the command line says of sampling, and counts nowhere.
#[test]
fn a_disabled_agent_records_nothing() {
    let variables = [("OTEL_SDK_DISABLED", "true")];
    let arguments = ["--for", "500ms", "--sampling-rate-per-million", "1000000"];
    let (out, complaint, code) = ended(agent(&arguments, &variables));
    assert_eq!((complaint.as_str(), code), ("", Some(0)), "{out}");
    assert_eq!(
        (number(&out, "sampled"), number(&out, "exported")),
        (0, 0),
        "{out}"
    );
}

#[test]
fn a_caller_is_understood_in_the_formats_of_the_environment() {
    let variables = [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_PROPAGATORS", "b3")];
    let arguments = ["--tick", "1h", "--serve", "127.0.0.1:0"];
    let mut child = agent(&arguments, &variables);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let serves = said(&mut out, "serves     http://");
    let serves = serves.strip_suffix("/relist").unwrap();
    let trace = "463ac35c9f6413ad463ac35c9f6413ad";
    let answer = ask(
        serves,
        "/relist",
        &format!("b3: {trace}-a2fb4a1d1a96d312-1\r\n"),
    );
    assert!(answer.contains(&format!("trace {trace}\n")), "{answer}");
    let answer = ask(
        serves,
        "/relist",
        &format!("traceparent: 00-{trace}-a2fb4a1d1a96d312-01\r\n"),
    );
    assert!(
        answer.contains("trace ") && !answer.contains(trace),
        "{answer}"
    );
    terminate(&child);
    let out = text(&mut out);
    assert!(child.wait().unwrap().success(), "{out}");
}

#[test]
fn help_is_given_and_bad_arguments_are_named() {
    let (out, complaint, code) = ended(agent(&["--help"], &[]));
    assert_eq!((complaint.as_str(), code), ("", Some(0)));
    for (arguments, named) in [
        (&["--bogus"][..], "--bogus"),
        (&["stray"], "stray"),
        (&["--for"], "--for"),
        (&["--for", "5 weeks"], "--for"),
        (&["--tick", "0s"], "--tick"),
        (&["--endpoint", "ftp://host"], "--endpoint"),
        (&["--protocol", "smoke"], "--protocol"),
        (&["--header", "hunter2"], "--header"),
        (&["--header", "grpc-timeout=hunter2"], "--header"),
        (&["--header-file", "=x"], "--header-file"),
        (
            &["--sampling-rate-per-million", "-1"],
            "--sampling-rate-per-million",
        ),
        (
            &["--sampling-rate-per-million", "1000001"],
            "--sampling-rate-per-million",
        ),
        (&["--memory-limit", "8 apples"], "--memory-limit"),
        (
            &["--memory-limit", "99999999999999999999Gi"],
            "--memory-limit",
        ),
        (&["--memory-limit", "1"], "memory_limit"),
    ] {
        let (printed, complaint, code) = ended(agent(arguments, &[]));
        assert_eq!((printed.as_str(), code), ("", Some(2)), "{arguments:?}");
        assert!(complaint.contains(named), "{arguments:?}: {complaint}");
        assert!(!complaint.contains("hunter2"), "{complaint}");
        if named != "stray" {
            let option = named.replace("memory_limit", "--memory-limit");
            assert!(
                option == "--bogus" || out.contains(&option),
                "{option} in {out}"
            );
        }
    }
}
