//! The health check against plain sockets: what it says, to whom, and that nobody keeps it from answering.
#![cfg(feature = "health-check")]

use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use spanwire_transport::extension::health_check::{
    Health, HealthCheck, HealthCheckBuilder, MOST_CONNECTIONS,
};

use waiting::Witness;

#[path = "../../core/tests/waiting/mod.rs"]
mod waiting;

/// Long enough for anything that is not to take long, on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(60);

fn check() -> HealthCheckBuilder {
    HealthCheck::builder().endpoint("127.0.0.1:0")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// The answer to a request, without its date: status line and headers, and the body.
fn ask(check: &HealthCheck, request: &[u8]) -> (String, String) {
    let mut stream = connect(check.local_addr().unwrap());
    stream.write_all(request).unwrap();
    read(stream)
}

fn read(mut stream: impl Read) -> (String, String) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let head: Vec<_> = head
        .lines()
        .filter(|line| !line.starts_with("date: "))
        .collect();
    (head.join("\n"), body.into())
}

fn get(check: &HealthCheck, path: &str) -> (String, String) {
    ask(
        check,
        format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes(),
    )
}

/// Whether the next read finds the end of a connection, be it a reset. Not to have heard of it in time is none.
fn has_ended(stream: &mut TcpStream) -> bool {
    loop {
        match stream.read(&mut [0; 64]) {
            Ok(read) => return read == 0,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        }
    }
}

const NOT_READY: &str =
    r#"{"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":""}"#;

#[test]
fn a_program_is_well_when_it_says_so_and_no_longer() {
    let check = check().start().unwrap();
    let unavailable = (
        "HTTP/1.1 503 Service Unavailable\ncontent-type: application/json\nconnection: close\n\
         content-length: 78"
            .to_string(),
        NOT_READY.to_string(),
    );
    assert_eq!(get(&check, "/"), unavailable);
    check.health().ready();
    let (head, body) = get(&check, "/anything");
    assert!(
        head.starts_with("HTTP/1.1 200 OK\ncontent-type: application/json\n"),
        "{head}"
    );
    let said: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(said["status"], "Server available");
    let since = said["upSince"].as_str().unwrap().to_string();
    assert!(since.starts_with("20") && since.ends_with('Z'), "{since}");
    assert!(said["uptime"].as_str().unwrap().ends_with('s'));
    // It is ready since it said so first.
    check.health().ready();
    assert!(get(&check, "/").1.contains(&since));
    check.health().unavailable();
    assert_eq!(get(&check, "/"), unavailable);
}

#[test]
fn every_method_is_answered_and_one_path() {
    let health = Health::new();
    health.ready();
    let check = check().path("/live").health(health).start().unwrap();
    for (request, status, has_body) in [
        ("GET /live HTTP/1.1\r\n\r\n", 200, true),
        ("GET /live?verbose HTTP/1.0\r\n\r\n", 200, true),
        ("HEAD /live HTTP/1.1\r\n\r\n", 200, false),
        (
            "POST /live HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc",
            200,
            true,
        ),
        ("GET / HTTP/1.1\r\n\r\n", 404, true),
        ("GET /live/ HTTP/1.1\r\n\r\n", 404, true),
        ("nonsense\r\n\r\n", 400, false),
    ] {
        let (head, body) = ask(&check, request.as_bytes());
        let found = head.split(' ').nth(1).unwrap();
        assert_eq!(found, status.to_string(), "{request}");
        assert_eq!(!body.is_empty(), has_body, "{request}");
    }
    let long = format!("GET /live HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(9000));
    let (head, _) = ask(&check, long.as_bytes());
    assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
}

#[test]
fn what_is_said_can_be_chosen() {
    let check = check()
        .healthy_body("fine")
        .unhealthy_body("not yet")
        .start()
        .unwrap();
    let (head, body) = get(&check, "/");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(body, "not yet");
    check.health().ready();
    let (head, body) = get(&check, "/");
    assert!(
        head.contains("content-type: text/plain; charset=utf-8"),
        "{head}"
    );
    assert_eq!(body, "fine");
}

/// Scenario: many connections that never say anything whole. Guarantees: a probe is answered at once, and of the others no
/// more stay than may.
#[test]
fn nobody_keeps_a_probe_from_its_answer() {
    let check = check().start().unwrap();
    check.health().ready();
    let address = check.local_addr().unwrap();
    let (witness, begun) = (Witness::start(), Instant::now());
    let mut silent: Vec<_> = (0..3 * MOST_CONNECTIONS)
        .map(|n| {
            let mut stream = connect(address);
            if n % 2 == 0 {
                stream.write_all(b"GET / HT").unwrap();
            }
            stream
        })
        .collect();
    let (head, _) = get(&check, "/");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    // The oldest had to go, long before their 5 s were over.
    for stream in silent.iter_mut().take(2 * MOST_CONNECTIONS) {
        assert!(has_ended(stream));
    }
    let (took, late) = (begun.elapsed(), witness.late());
    assert!(took < Duration::from_secs(4) + late, "{took:?}, {late:?}");
    // The others go when their time is over.
    for stream in &mut silent {
        assert!(has_ended(stream));
    }
}

#[cfg(unix)]
#[test]
fn it_listens_on_a_unix_domain_socket_too_and_ends_when_it_is_dropped() {
    let path = std::env::temp_dir().join(format!("spanwire-health-{}", std::process::id()));
    let check = HealthCheck::builder()
        .endpoint(format!("unix:{}", path.display()))
        .start()
        .unwrap();
    assert_eq!(check.local_addr(), None);
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(read(stream).1, NOT_READY);
    drop(check);
    let begun = Instant::now();
    while path.exists() {
        assert!(begun.elapsed() < LONG, "the file goes with the check");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_setting_that_is_wrong_is_named() {
    let fault = |check: HealthCheckBuilder| check.start().unwrap_err().to_string();
    assert_eq!(
        fault(check().path("live")),
        "path 'live' does not start with /"
    );
    assert_eq!(
        fault(check().endpoint("localhost")),
        "endpoint host 'localhost' has no port after it"
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = fault(check().endpoint(address.clone()));
    assert!(
        said.starts_with(&format!("endpoint '{address}': ")),
        "{said}"
    );
}
