//! An exporter that is given no roots trusts those of the system, which `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
#![cfg(all(feature = "grpc", feature = "http", feature = "tls"))]

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::Command;

use authority::Authority;
use spanwire_core::engine::Retry;
use spanwire_core::exporter::Exporter;
use spanwire_core::pipeline::Pipeline;
use spanwire_transport::exporter::grpc::GrpcExporter;
use spanwire_transport::exporter::http::HttpExporter;
use waiting::heard;

mod authority;
#[path = "http/server.rs"]
#[allow(dead_code, reason = "no test uses all of it")]
mod http_server;
mod server;
#[path = "../../core/tests/waiting/mod.rs"]
mod waiting;

/// Long enough for anything that is not to take long, on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(60);

/// In a process that has it, spans go to these two endpoints, the first of them over gRPC, and it is told what became of them.
const ENDPOINTS: &str = "SPANWIRE_TEST_ENDPOINTS";

/// Sends a span: `arrived`, or the first failure.
fn sent<E: Exporter + Clone + Sync + 'static>(exporter: E) -> String {
    let retry = Retry {
        initial: Duration::from_millis(5),
        ..Retry::default()
    };
    let pipeline = Pipeline::builder()
        .retry(retry)
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    pipeline.tracer("scope").start("span").end();
    loop {
        let report = heard("flush", || pipeline.flush(Duration::from_millis(100)));
        if report.is_complete() {
            return "arrived".into();
        }
        if let Some(failure) = &report.lanes()[0].last_failure {
            return failure.to_string();
        }
    }
}

fn send(endpoints: &str) {
    let (grpc, http) = endpoints.split_once(' ').unwrap();
    let grpc = GrpcExporter::builder().endpoint(grpc).timeout(LONG);
    println!("\ngrpc: {}", sent(grpc.build().unwrap()));
    let http = HttpExporter::builder().endpoint(http).timeout(LONG);
    println!("http: {}", sent(http.build().unwrap()));
}

/// A folder of a test's own, in which a certificate lies as OpenSSL wants it, under a hash of eight digits.
struct Roots(PathBuf);

impl Roots {
    fn new(name: &str, pem: &str) -> Self {
        let name = format!("spanwire-roots-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let roots = Self(folder);
        std::fs::write(roots.file(), pem).unwrap();
        roots
    }

    fn file(&self) -> PathBuf {
        self.0.join("0a1b2c3d.0")
    }
}

impl Drop for Roots {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The environment is that of a process, so this test runs itself again, with another.
#[test]
fn where_the_environment_has_them() {
    if let Ok(endpoints) = std::env::var(ENDPOINTS) {
        return send(&endpoints);
    }
    let ours = Authority::new();
    let shown = ours.server("localhost", None, "h2");
    let grpc = server::Server::listen("127.0.0.1:0", |_, _| server::Answer::ok(), Some(shown));
    let shown = ours.server("localhost", None, "http/1.1");
    let http =
        http_server::Server::under(move || Some(shown.clone()), |_, _| Some(http_server::ok()));
    let ports = [grpc.address.port(), http.address.port()];
    let endpoints = ports
        .map(|port| format!("https://localhost:{port}"))
        .join(" ");
    let sent = |variable: &str, path: &Path| {
        let output = Command::new(std::env::current_exe().unwrap())
            .env_remove("SSL_CERT_FILE")
            .env_remove("SSL_CERT_DIR")
            .env(variable, path)
            .env(ENDPOINTS, &endpoints)
            .args(["--exact", "where_the_environment_has_them", "--nocapture"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let out = String::from_utf8(output.stdout).unwrap();
        ["grpc: ", "http: "].map(|before| {
            let said = out.lines().find_map(|line| line.strip_prefix(before));
            said.unwrap_or_else(|| panic!("no {before} in {out}"))
                .to_owned()
        })
    };
    let roots = Roots::new("ours", &ours.pem());
    let other = Roots::new("other", &Authority::new().pem());
    assert_eq!(sent("SSL_CERT_FILE", &roots.file()), ["arrived"; 2]);
    assert_eq!(sent("SSL_CERT_DIR", &roots.0), ["arrived"; 2]);
    assert_eq!((grpc.seen().len(), http.seen().len()), (2, 2));

    for (variable, path, said) in [
        ("SSL_CERT_FILE", other.file(), "invalid peer certificate: "),
        (
            "SSL_CERT_DIR",
            other.0.clone(),
            "invalid peer certificate: ",
        ),
        ("SSL_CERT_FILE", roots.0.join("nowhere"), "nowhere"),
    ] {
        for failure in sent(variable, &path) {
            assert!(failure.contains("tls: "), "{variable}: {failure}");
            assert!(failure.contains(said), "{variable}: {failure}");
        }
    }
    assert_eq!((grpc.seen().len(), http.seen().len()), (2, 2));
}
