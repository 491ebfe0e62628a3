//! Clients that nobody here wrote send through the node collector, as its documented configuration has it, to a server that
//! nobody here wrote: what arrives is what they sent, with the edits that are configured.
//!
//! Each client sends the same spans twice: to the server, and through the collector. `.ci/clients` installs them, and names
//! them in variables; a client that is not named is not asked, which is said.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

#[path = "../../transport/tests/interop/python.rs"]
mod python;

use python::Python;

/// Where neighbours and kubelet reach the collector: addresses of this machine that nobody else has, with the ports of the
/// documented file.
struct Place {
    node: String,
    kubelet: String,
}

impl Place {
    fn of_this_process() -> Self {
        let [_, high, middle, low] = std::process::id().to_be_bytes();
        let address = |half: u8| format!("127.{}.{middle}.{low}", half + high % 64);
        Self {
            node: address(64),
            kubelet: address(128),
        }
    }

    fn grpc(&self) -> String {
        format!("{}:4317", self.node)
    }

    fn http(&self) -> String {
        format!("{}:4318", self.node)
    }

    fn kubelet(&self) -> String {
        format!("{}:4317", self.kubelet)
    }
}

/// A processor that keeps with the spans what a client says of itself in a header, and the one it is put before.
const SAID: &str = "  attributes/said:
    actions:
      - {key: client.team, from_context: metadata.x-team, action: insert}
  batch: {}
";

const PATIENCE: Duration = Duration::from_secs(60);

/// The collector as a child of the test, ended by a signal.
struct Collector(Child);

impl Collector {
    fn start(place: &Place, backend: u16) -> Self {
        let test = std::env::current_exe().unwrap();
        let folder = test.parent().and_then(|deps| deps.parent()).unwrap();
        // The documented file, but for the one address that it does not leave to a variable, and what clients say of themselves.
        let mut text = include_str!("../ack-node.yaml").to_owned();
        let edits = [
            ("127.0.0.1:4317", &*place.kubelet()),
            ("2}:4317\n", "2}:4317\n        include_metadata: true\n"),
            ("2}:4318\n", "2}:4318\n        include_metadata: true\n"),
            ("  batch: {}\n", SAID),
            (
                "        - batch\n",
                "        - attributes/said\n        - batch\n",
            ),
        ];
        for (documented, here) in edits {
            let edited = text.replacen(documented, here, 1);
            assert_ne!(text, edited, "{documented}");
            text = edited;
        }
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ack-node.yaml");
        std::fs::write(&file, text).unwrap();
        let child = Command::new(folder.join("examples/node_collector"))
            .arg("--config")
            .arg(file)
            .env("MY_POD_IP", &place.node)
            .env("BACKEND_ENDPOINT", format!("127.0.0.1:{backend}"))
            // As a Secret has it, with the newline of whoever made it.
            .env("OPENTELEMETRY_GRPC_TOKEN", "a-token\n")
            .env("CLUSTER_ID", "cluster-1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`cargo build --example node_collector` makes it");
        let begun = Instant::now();
        let mut collector = Self(child);
        for at in [place.grpc(), place.http(), place.kubelet()] {
            while TcpStream::connect(&at).is_err() {
                if let Some(status) = collector.0.try_wait().unwrap() {
                    let (printed, complaint) = collector.printed();
                    panic!("the collector ended: {status}\n{printed}{complaint}");
                }
                assert!(begun.elapsed() < PATIENCE, "nobody listens on {at}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        collector
    }

    /// Has it drain; its account, what it complained of, and whether it says that all went well.
    fn end(mut self) -> (String, String, bool) {
        let id = self.0.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        assert!(told.is_ok_and(|told| told.success()));
        let (printed, complaint) = self.printed();
        (printed, complaint, self.0.wait().unwrap().success())
    }

    fn printed(&mut self) -> (String, String) {
        let (mut out, mut complaint) = (self.0.stdout.take(), self.0.stderr.take());
        let complaint = std::thread::spawn(move || complaint.take().map(std::io::read_to_string));
        let printed = out.take().map(std::io::read_to_string);
        let text = |read: Option<std::io::Result<String>>| read.unwrap().unwrap();
        (text(printed), text(complaint.join().unwrap()))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a client's program is run with, from the variable that names it. `None` when there is none.
fn client(variable: &str, file: Option<&str>) -> Option<Command> {
    let Some(program) = std::env::var_os(variable) else {
        println!("skipped: clients: {variable} names nothing; see .ci/clients");
        return None;
    };
    let mut command = Command::new(program);
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    command.args(file.map(|file| folder.join(file)));
    Some(command)
}

/// The spans a client sent, directly and through the collector, each as text, with how many there are of it.
type Spans = BTreeMap<String, usize>;

/// `team` is what the client says of itself to the collector, where it does.
fn sent_by(mut client: Command, place: &Place, grpc: &str, team: Option<&str>) -> (Spans, Spans) {
    let interpreter = std::env::var("SPANWIRE_INTEROP_PYTHON").expect("there is a server");
    let mut server = Python::start(&interpreter, &[]);
    let direct = [server.grpc[0], server.http[0]].map(|port| format!("127.0.0.1:{port}"));
    let collector = Collector::start(place, server.grpc[0]);
    let relay = [grpc, &place.http()];
    let ended = client.args(direct).args(relay).output().unwrap();
    let complaint = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{complaint}");
    let told = String::from_utf8(ended.stdout).unwrap();
    let told: usize = told
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
        .sum();

    let (account, complaint, complete) = collector.end();
    assert!(complete, "{account}{complaint}");
    assert!(
        !format!("{account}{complaint}").contains("a-token"),
        "a secret is told"
    );
    server.close();
    let (mut direct, mut relayed) = (Spans::new(), Spans::new());
    while let Some(line) = server.line() {
        let mut span: Json = serde_json::from_str(&line).unwrap();
        let object = span.as_object_mut().unwrap();
        object.remove("how");
        let spans = match object.remove("tenant") {
            Some(Json::Null) => {
                let resource = object["resource"].as_object_mut().unwrap();
                let cluster = resource.remove("k8s.cluster.name");
                assert_eq!(cluster, Some(json!({"string": "cluster-1"})), "{line}");
                let attributes = object["attributes"].as_array_mut().unwrap();
                let said = attributes.extract_if(.., |pair| pair[0] == "client.team");
                let said: Vec<Json> = said.map(|mut pair| pair[1].take()).collect();
                let expected = team.map(|team| json!({"string": team}));
                assert_eq!(said, Vec::from_iter(expected), "{line}");
                &mut relayed
            }
            _ => &mut direct,
        };
        *spans.entry(span.to_string()).or_default() += 1;
    }
    assert_eq!(
        direct.values().sum::<usize>(),
        told,
        "the client says otherwise"
    );
    (direct, relayed)
}

/// One test, for all of them have the same place.
#[test]
fn what_clients_send_arrives_as_they_sent_it() {
    let place = Place::of_this_process();
    let clients = [
        (
            "python",
            client("SPANWIRE_INTEROP_PYTHON", Some("client.py")),
            place.grpc(),
            Some("a team"),
        ),
        (
            "node",
            client("SPANWIRE_CLIENTS_NODE", Some("client.mjs")),
            place.grpc(),
            None,
        ),
        // As kubelet does, which is written in Go.
        (
            "go",
            client("SPANWIRE_CLIENTS_GO", None),
            place.kubelet(),
            None,
        ),
    ];
    for (name, client, grpc, team) in clients {
        let Some(client) = client else { continue };
        let (direct, relayed) = sent_by(client, &place, &grpc, team);
        for (span, times) in &direct {
            assert_eq!(relayed.get(span), Some(times), "{name}: {span}");
        }
        assert_eq!(
            direct.len(),
            relayed.len(),
            "{name}: spans that nobody sent"
        );
        // `.ci/clients` reads it.
        let spans: usize = relayed.values().sum();
        println!("{name}: {spans} spans through the collector");
    }
}
