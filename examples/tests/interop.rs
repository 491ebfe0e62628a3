//! The node agent sends to an independent server: what it says it exported is what arrives there.
//!
//! `.ci/interop` installs what the server takes and names the interpreter in `SPANWIRE_INTEROP_PYTHON`; without it there
//! is nobody to send to, which is said.
#![cfg(target_os = "linux")]

use std::collections::HashSet;
use std::process::Command;

use serde_json::{Value as Json, json};

#[path = "../../transport/tests/interop/identity.rs"]
mod identity;
#[path = "../../transport/tests/interop/python.rs"]
mod python;

use identity::Identity;
use python::Python;

/// Runs the agent, and gives what it printed.
fn agent(endpoint: &str, protocol: &str, compression: &str, identity: &Identity) -> String {
    // Tests lie in `deps`; examples, which are built with them, beside it.
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(|deps| deps.parent()).unwrap();
    let ended = Command::new(folder.join("examples/node_agent"))
        .args(["--for", "1s", "--tick", "200ms", "--endpoint", endpoint])
        .args(["--protocol", protocol, "--header", "x-tenant=blue"])
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
        .env("OTEL_EXPORTER_OTLP_CERTIFICATE", &identity.0[0])
        .output()
        .unwrap();
    let printed = String::from_utf8(ended.stdout).unwrap();
    let complaint = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{printed}{complaint}");
    assert_eq!(complaint, "");
    printed
}

/// The word behind another at the start of a line.
fn word<'a>(text: &'a str, before: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(before));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.unwrap_or_else(|| panic!("no {before} in:\n{text}"))
}

#[test]
fn what_the_agent_says_it_exported_is_what_an_independent_server_got() {
    let Ok(interpreter) = std::env::var("SPANWIRE_INTEROP_PYTHON") else {
        println!("skipped: interop: SPANWIRE_INTEROP_PYTHON names no interpreter; see .ci/interop");
        return;
    };
    let identity = Identity::new();
    for (protocol, compression, how) in [
        ("grpc", "none", json!(["grpc", null])),
        // What gRPC makes of the encoding is not shown to a service.
        ("grpc", "gzip", json!(["grpc", null])),
        (
            "http/protobuf",
            "none",
            json!(["application/x-protobuf", null]),
        ),
        (
            "http/protobuf",
            "gzip",
            json!(["application/x-protobuf", "gzip"]),
        ),
        ("http/json", "none", json!(["application/json", null])),
        ("http/json", "gzip", json!(["application/json", "gzip"])),
    ] {
        for is_secure in [false, true] {
            arrives(
                &interpreter,
                &identity,
                [protocol, compression],
                is_secure,
                &how,
            );
        }
    }
}

/// All that the agent sends this way arrives.
fn arrives(
    interpreter: &str,
    identity: &Identity,
    [protocol, compression]: [&str; 2],
    is_secure: bool,
    how: &Json,
) {
    let mut python = Python::start(interpreter, &identity.0);
    let [plain, secure] = match protocol {
        "grpc" => python.grpc,
        _ => python.http,
    };
    let endpoint = match is_secure {
        false => format!("http://127.0.0.1:{plain}"),
        true => format!("https://localhost:{secure}"),
    };
    let printed = agent(&endpoint, protocol, compression, identity);
    python.close();
    let mut arrived = Vec::<Json>::new();
    while let Some(line) = python.line() {
        arrived.push(serde_json::from_str(&line).unwrap());
    }
    let number = |before: &str| word(&printed, before).parse::<usize>().unwrap();
    assert_eq!(number("exported"), arrived.len(), "{protocol}: {printed}");
    assert_eq!(number("sampled"), arrived.len(), "{protocol}: {printed}");
    assert!(!arrived.is_empty());
    for span in &arrived {
        assert_eq!(span["how"], *how);
        assert_eq!(span["tenant"], "blue");
        let service = &span["resource"]["service.name"]["string"];
        assert_eq!(service, "node-agent");
    }
    // The trace that it shows is there as well, whole and joined up.
    let trace = word(&printed, "trace ").trim_end_matches(',');
    let of_trace: Vec<_> = arrived
        .iter()
        .filter(|span| span["trace_id"] == trace)
        .collect();
    let shown = word(&printed, &format!("trace {trace},"));
    assert_eq!(shown.parse(), Ok(of_trace.len()), "{printed}");
    let ids: HashSet<_> = of_trace
        .iter()
        .map(|span| span["span_id"].as_str())
        .collect();
    let roots = of_trace.iter().filter(|span| span["parent_span_id"] == "");
    assert_eq!((ids.len(), roots.count()), (of_trace.len(), 1));
    for span in &of_trace {
        let parent = &span["parent_span_id"];
        assert!(parent == "" || ids.contains(&parent.as_str()), "{span}");
    }
    println!(
        "interop: agent, {protocol}, {compression}, TLS: {is_secure}: {} spans, all of them",
        arrived.len()
    );
}
