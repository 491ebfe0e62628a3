//! OTLP over HTTP goes where the variables say, as they say.
#![cfg(feature = "http")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use spanwire_core::pipeline::Pipeline;
use spanwire_transport::config::environment::Environment;
use spanwire_transport::diagnostics::Diagnostics;
use spanwire_transport::headers::Headers;
use spanwire_transport::setup::Setup;

/// A request: its first line, its headers, its body.
type Request = (String, HashMap<String, String>, Vec<u8>);

/// Takes one request, answers that all is well, and gives the request.
fn server() -> (String, JoinHandle<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut reader = BufReader::new(&stream);
        let mut line = || {
            let mut text = String::new();
            reader.read_line(&mut text).unwrap();
            text.trim_end().to_owned()
        };
        let first = line();
        let mut headers = HashMap::new();
        while let Some((name, value)) = line().split_once(": ") {
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let len = headers
            .get("content-length")
            .map(|len| len.parse().unwrap());
        let mut body = vec![0; len.unwrap()];
        reader.read_exact(&mut body).unwrap();
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        (&stream).write_all(answer.as_bytes()).unwrap();
        (first, headers, body)
    });
    (address, served)
}

#[test]
fn each_endpoint_protocol_and_header_is_followed() {
    for (variable, path, protocol, media, first) in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "/base",
            "http/protobuf",
            "application/x-protobuf",
            "POST /base/v1/traces HTTP/1.1",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "/exactly",
            "http/json",
            "application/json",
            "POST /exactly HTTP/1.1",
        ),
    ] {
        let (address, served) = server();
        let url = format!("http://{address}{path}");
        let environment = Environment::from_pairs([
            (variable, url.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-a=1,x-b=2"),
        ]);
        assert_eq!(environment.problems, []);
        let mut own = Headers::new();
        own.set("x-b", "3").unwrap();
        let told = Diagnostics::new(|said| panic!("{said}"));
        let pipeline = Setup::new(environment)
            .headers(own)
            .apply(Pipeline::builder(), &told)
            .build()
            .unwrap();
        pipeline.tracer("test").start("sync").end();
        let report = pipeline.shutdown(Duration::from_secs(30));
        assert!(report.is_complete(), "{report}");
        assert_eq!(told.dropped(), 0, "nothing is said");
        let (line, headers, body) = served.join().unwrap();
        assert_eq!(line, first);
        assert_eq!(headers["content-type"], media);
        assert_eq!((&*headers["x-a"], &*headers["x-b"]), ("1", "3"));
        assert!(body.windows(4).any(|bytes| bytes == b"sync"));
    }
}

#[test]
fn a_proxy_of_the_environment_is_followed() {
    let (address, served) = server();
    let environment = Environment::from_pairs([
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://collector.example:4318",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("HTTP_PROXY", address.as_str()),
    ]);
    let told = Diagnostics::new(|said| panic!("{said}"));
    let pipeline = Setup::new(environment)
        .apply(Pipeline::builder(), &told)
        .build()
        .unwrap();
    pipeline.tracer("test").start("sync").end();
    assert!(pipeline.shutdown(Duration::from_secs(30)).is_complete());
    let (line, _, _) = served.join().unwrap();
    assert_eq!(
        line,
        "POST http://collector.example:4318/v1/traces HTTP/1.1"
    );
}
