//! The node agent is run as its users run it, and what it prints and how it ends is looked at.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
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
    signal(child, "-TERM");
}

fn signal(child: &Child, signal: &str) {
    let kill: Output = Command::new("kill")
        .args([signal, &child.id().to_string()])
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

/// Guarantees: Ctrl-C, which sends SIGINT, ends it as SIGTERM does.
#[test]
fn a_signal_ends_it_with_everything_exported() {
    for told in ["-TERM", "-INT"] {
        let mut child = agent(&["--tick", "100ms", "--serve", "127.0.0.1:0"], &[]);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let serves = said(&mut out, "serves     http://");
        // Whoever is answered asks one that works and knows what to do when it is told to end.
        let answer = ask(serves.strip_suffix("/relist").unwrap(), "/relist", "");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        std::thread::sleep(Duration::from_secs(1));
        signal(&child, told);
        let out = text(&mut out);
        let complaint = text(&mut child.stderr.take().unwrap());
        let code = child.wait().unwrap().code();
        assert_eq!((complaint.as_str(), code), ("", Some(0)), "{told}: {out}");
        let sampled = number(&out, "sampled");
        assert!(out.starts_with("trace ") && sampled > 0, "{told}: {out}");
        assert_eq!(number(&out, "exported"), sampled, "{told}: {out}");
        assert_eq!(number(&out, "received"), sampled, "{told}: {out}");
    }
}

/// Scenario: a server takes connections and says nothing; a user who is tired of waiting for it asks again.
/// Guarantees: the second signal, whichever the first was, ends the agent before the first one would have.
#[test]
fn a_second_signal_ends_it_at_once() {
    for [first, second] in [["-TERM", "-TERM"], ["-INT", "-INT"], ["-INT", "-TERM"]] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let nowhere = format!("http://{}", listener.local_addr().unwrap());
        let child = agent(&["--endpoint", &nowhere], &[]);
        // It has come as far as to export.
        let _held = listener.accept().unwrap();
        signal(&child, first);
        // Signals that come together are one.
        std::thread::sleep(Duration::from_millis(500));
        signal(&child, second);
        let (out, complaint, code) = ended(child);
        assert_eq!(code, Some(3), "{first} {second}: {out}");
        assert!(complaint.contains("told so twice"), "{complaint}");
        assert!(!out.contains("exported"), "{out}");
    }
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

/// The requests among the lines that were printed, read by OpenTelemetry's own messages, and the rest.
fn requests(out: &str) -> (Vec<Span>, String) {
    let (lines, rest): (Vec<&str>, Vec<&str>) = out.lines().partition(|line| line.starts_with('{'));
    let requests = lines.into_iter().map(|line| {
        serde_json::from_str::<ExportTraceServiceRequest>(line)
            .unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    let spans = requests
        .flat_map(|request| request.resource_spans)
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .collect();
    (spans, rest.join("\n"))
}

#[test]
fn spans_on_standard_output_are_otlp_json_a_request_a_line() {
    let stdout = [("OTEL_TRACES_EXPORTER", "otlp/stdout")];
    let (out, complaint, code) = ended(agent(&["--for", "300ms"], &stdout));
    assert_eq!((complaint.as_str(), code), ("", Some(0)), "{out}");
    let (spans, rest) = requests(&out);
    assert_eq!(number(&rest, "sampled"), spans.len() as u64, "{rest}");
    assert_eq!(number(&rest, "exported"), spans.len() as u64, "{rest}");
    // One trace, joined up: this process is inspected within the relist of the tick.
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (tick, relist) = (named("tick"), named("relist"));
    let own = Some(i64::from(std::process::id()));
    let inspect = spans.iter().find(|span| pid(span) == own).unwrap();
    assert!(tick.parent_span_id.is_empty(), "{tick:?}");
    assert_eq!(relist.parent_span_id, tick.span_id);
    assert_eq!(inspect.name, "inspect process");
    assert_eq!(inspect.parent_span_id, relist.span_id);
    assert!(spans.iter().all(|span| span.trace_id == tick.trace_id));
    assert!(spans.iter().all(|span| span.trace_id.len() == 16));
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    let found = span.attributes.iter().find(|pair| pair.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

fn pid(span: &Span) -> Option<i64> {
    match attribute(span, "process.pid")? {
        Value::IntValue(pid) => Some(*pid),
        _ => None,
    }
}

/// A procfs of a test's own.
struct Proc(PathBuf);

impl Proc {
    fn new(name: &str) -> Self {
        let name = format!("spanwire-agent-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A process with these files of it.
    fn process(&self, pid: u32, files: &[(&str, &str)]) -> PathBuf {
        let folder = self.0.join(pid.to_string());
        std::fs::create_dir(&folder).unwrap();
        for (file, text) in files {
            std::fs::write(folder.join(file), text).unwrap();
        }
        folder
    }

    fn option(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const STATUS: (&str, &str) = ("status", "Name:\tfine\nVmRSS:\t     12 kB\n");
const CGROUP: (&str, &str) = ("cgroup", "0::/init.scope\n");

/// Scenario: among the processes, one is gone between the listing and the look, one does not let itself be read, and one
/// takes its time to answer.
/// Guarantees: each of them is a span with an error that says so, and costs no other process anything.
#[test]
fn processes_that_cannot_be_read_and_slow_ones_are_errors() {
    let proc = Proc::new("troubled");
    proc.process(1, &[("comm", "fine\n"), STATUS, CGROUP]);
    // What is left of a process that ends after it was listed: a name, and nothing behind it.
    proc.process(2, &[]);
    // It is listed, and refuses to be read: root may read whatever the bits of a file say, but no directory.
    let refusing = proc.process(3, &[("comm", "refusing\n"), CGROUP]);
    std::fs::create_dir(refusing.join("status")).unwrap();
    let slow = proc.process(4, &[("comm", "slow\n"), CGROUP]);
    let pipe = slow.join("status");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    // Who opens a pipe waits for the other end, and who reads it, for what is written.
    std::thread::spawn(move || {
        let mut pipe = std::fs::File::create(pipe).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        pipe.write_all(STATUS.1.as_bytes()).unwrap();
    });
    std::fs::write(proc.0.join("version"), "no process").unwrap();

    let arguments = ["--for", "500ms", "--tick", "1h", "--proc", proc.option()];
    let stdout = [("OTEL_TRACES_EXPORTER", "otlp/stdout")];
    let (out, complaint, code) = ended(agent(&arguments, &stdout));
    assert_eq!((complaint.as_str(), code), ("", Some(0)), "{out}");
    let (spans, rest) = requests(&out);
    let of = |process: i64| {
        let found = spans.iter().find(|span| pid(span) == Some(process));
        found.unwrap_or_else(|| panic!("no {process} in {spans:?}"))
    };
    let inspected = spans.iter().filter(|span| span.name == "inspect process");
    assert_eq!(inspected.count(), 4, "{spans:?}");
    let memory = |process| attribute(of(process), "process.memory.usage");
    let took = |process| of(process).end_time_unix_nano - of(process).start_time_unix_nano;
    // On a machine that has other things to do, one that would be quick may be slow too.
    let late = of(1).status.as_ref().filter(|status| status.code == 2);
    let late = late.map(|status| status.message.as_str());
    assert!(late.is_none() || took(1) > 20_000_000, "{late:?}");
    for (process, failed, recorded) in [
        (1, late.and(Some("slow read")), None),
        (
            2,
            Some("No such file or directory (os error 2)"),
            Some("exception"),
        ),
        (3, Some("Is a directory (os error 21)"), Some("exception")),
        (4, Some("slow read"), None),
    ] {
        let span = of(process);
        let status = span.status.as_ref().filter(|status| status.code == 2);
        assert_eq!(
            status.map(|status| status.message.as_str()),
            failed,
            "{span:?}"
        );
        let events = span.events.iter().map(|event| event.name.as_str());
        assert_eq!(events.collect::<Vec<_>>(), Vec::from_iter(recorded));
        // What was read all the same is there, and nothing else.
        let read = recorded.is_none().then_some(Value::IntValue(12 * 1024));
        assert_eq!(memory(process), read.as_ref(), "{span:?}");
        let shown = failed.map(|failed| format!("ERROR {failed}"));
        assert!(shown.is_none_or(|shown| rest.contains(&shown)), "{rest}");
    }
    assert!(took(4) > 100_000_000, "{} ns", took(4));
    let tick = spans.iter().find(|span| span.name == "tick").unwrap();
    let counted = ["processes", "errors"].map(|key| attribute(tick, key));
    let expected = [2, 3 + i64::from(late.is_some())].map(Value::IntValue);
    assert_eq!(counted, [Some(&expected[0]), Some(&expected[1])]);
}

/// Scenario: a process that was seen does not let itself be read any more, and later it is gone.
/// Guarantees: it is an error first, and no end; then it has ended.
#[test]
fn a_process_that_cannot_be_read_has_not_ended() {
    let proc = Proc::new("refusing");
    let folder = proc.process(1, &[("comm", "refusing\n"), STATUS, CGROUP]);
    let arguments = ["--tick", "1h", "--serve", "127.0.0.1:0"];
    let arguments = [&arguments[..], &["--proc", proc.option()]].concat();
    let mut child = agent(&arguments, &[("OTEL_TRACES_EXPORTER", "none")]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let serves = said(&mut out, "serves     http://");
    let relist = || ask(serves.strip_suffix("/relist").unwrap(), "/relist", "");
    let answer = relist();
    assert!(answer.contains("\r\n1 processes, "), "{answer}");
    std::fs::remove_file(folder.join("status")).unwrap();
    std::fs::create_dir(folder.join("status")).unwrap();
    let answer = relist();
    let refused = "\r\n1 processes, 0 pods, 0 started, 0 ended, 1 errors ";
    assert!(answer.contains(refused), "{answer}");
    // It is listed still, and gone when it is looked at.
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    let answer = relist();
    let gone = "\r\n0 processes, 0 pods, 0 started, 1 ended, 1 errors ";
    assert!(answer.contains(gone), "{answer}");
    terminate(&child);
    let out = text(&mut out);
    assert!(child.wait().unwrap().success(), "{out}");
}

/// Scenario: the whole procfs goes away while the agent runs, and comes back.
/// Guarantees: the relist is the one span that fails, no process is said to have ended, and the agent goes on.
#[test]
fn a_procfs_that_cannot_be_listed_is_an_error_and_no_end_of_processes() {
    let proc = Proc::new("leaving");
    proc.process(1, &[("comm", "fine\n"), STATUS, CGROUP]);
    let arguments = [
        "--tick",
        "1h",
        "--serve",
        "127.0.0.1:0",
        "--proc",
        proc.option(),
    ];
    let stdout = [("OTEL_TRACES_EXPORTER", "otlp/stdout")];
    let mut child = agent(&arguments, &stdout);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let serves = said(&mut out, "serves     http://");
    let relist = || ask(serves.strip_suffix("/relist").unwrap(), "/relist", "");
    let answer = relist();
    assert!(answer.contains("\r\n1 processes, "), "{answer}");
    let away = proc.0.with_extension("away");
    std::fs::rename(&proc.0, &away).unwrap();
    let answer = relist();
    std::fs::rename(&away, &proc.0).unwrap();
    assert!(
        answer.contains(" 0 started, 0 ended, 1 errors "),
        "{answer}"
    );
    let answer = relist();
    assert!(
        answer.contains("\r\n1 processes, 0 pods, 0 started, 0 ended, "),
        "{answer}"
    );
    terminate(&child);
    let out = text(&mut out);
    assert!(child.wait().unwrap().success(), "{out}");
    let (spans, _) = requests(&out);
    let relists = spans.iter().filter(|span| span.name == "relist");
    let failed = relists.map(|span| span.status.as_ref().map_or(0, |status| status.code));
    assert_eq!(failed.collect::<Vec<_>>(), [0, 0, 2, 0], "{spans:?}");
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
        (&["--proc", "/nowhere"], "--proc"),
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
