//! The process of the client: one connection, one request of 512 spans, the same bytes again and again, eight at a time.

use std::{
    cell::RefCell,
    io::{self, BufRead, Read, Write},
    pin::Pin,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Version};
use http_body::Body as _;
use spanwire_benches::{
    cpu::{self, Place},
    figure::percentile,
    grpc::{self, EXPORT, Whole},
    request::{Text, encoded},
    tally::Tally,
};
use tokio::task::LocalSet;
use tonic::{
    body::Body,
    transport::{Channel, Endpoint},
};
use tower_service::Service;

use crate::relays::Coding;

/// Spans of a request: what SDKs send.
pub const SPANS: usize = 512;

/// Requests under way.
const FLYING: usize = 8;

/// Spans that the relay has taken and the server has not counted yet, beyond which the client waits: less than any relay
/// here refuses.
const WINDOW: u64 = 32_768;

/// The bytes of a request before compression.
pub fn request_bytes() -> usize {
    encoded(SPANS, Text::Ascii).len()
}

/// Sends as it is told, line by line: for so many milliseconds. Answers with the spans sent, the seconds until the server
/// had counted the last, the spans refused, and the median and the 99th percentile of a call in microseconds.
pub fn run(coding: Coding, tally: &str, to: u16) -> io::Result<()> {
    cpu::pin_this_thread(Place::Core(cpu::cores() - 1));
    let tally = Tally::open(tally)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let channel = runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{to}"));
        endpoint
            .map_err(io::Error::other)?
            .connect()
            .await
            .map_err(io::Error::other)
    })?;
    let message = message(coding)?;
    for line in io::stdin().lock().lines() {
        let length = Duration::from_millis(line?.trim().parse().map_err(io::Error::other)?);
        let flood = Rc::new(RefCell::new(Flood::default()));
        let (began, before) = (Instant::now(), tally.spans());
        LocalSet::new().block_on(&runtime, async {
            let senders = (0..FLYING).map(|_| {
                let (channel, message) = (channel.clone(), message.clone());
                let flood = flood.clone();
                tokio::task::spawn_local(async move {
                    while began.elapsed() < length {
                        let sent = flood.borrow().sent;
                        if sent > tally.spans() - before + WINDOW {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                            continue;
                        }
                        let start = Instant::now();
                        let taken = send(channel.clone(), message.clone(), coding).await;
                        let mut flood = flood.borrow_mut();
                        flood.calls.push(start.elapsed().as_secs_f64() * 1e6);
                        if taken {
                            flood.sent += SPANS as u64;
                        } else {
                            flood.refused += SPANS as u64;
                        }
                    }
                })
            });
            for sender in senders.collect::<Vec<_>>() {
                sender.await.expect("it does not panic");
            }
        });
        let flood = flood.take();
        let mut last = Instant::now();
        let mut counted = tally.spans();
        while tally.spans() - before < flood.sent && last.elapsed() < Duration::from_secs(3) {
            std::thread::sleep(Duration::from_millis(1));
            if tally.spans() != counted {
                (counted, last) = (tally.spans(), Instant::now());
            }
        }
        let missing = flood.sent.saturating_sub(tally.spans() - before);
        let [median, p99] =
            [50, 99].map(|percent| percentile(flood.calls.iter().copied(), percent));
        println!(
            "{} {} {} {median} {p99} {missing}",
            flood.sent,
            (last - began).as_secs_f64(),
            flood.refused,
        );
        io::stdout().flush()?;
    }
    Ok(())
}

#[derive(Default)]
struct Flood {
    sent: u64,
    refused: u64,
    calls: Vec<f64>,
}

/// The gRPC message.
fn message(coding: Coding) -> io::Result<Bytes> {
    let bytes = encoded(SPANS, Text::Ascii);
    let body = match coding {
        Coding::Plain => bytes,
        Coding::Gzip => {
            let mut body = Vec::new();
            let level = flate2::Compression::new(1);
            flate2::read::GzEncoder::new(bytes.as_slice(), level).read_to_end(&mut body)?;
            body
        }
        Coding::Zstd => zstd::encode_all(bytes.as_slice(), 1)?,
    };
    Ok(grpc::message(coding != Coding::Plain, &body))
}

/// Whether the request was taken.
async fn send(mut channel: Channel, message: Bytes, coding: Coding) -> bool {
    let mut request = Request::new(Body::new(Whole::new(message)));
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = http::Uri::from_static(EXPORT);
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("te", HeaderValue::from_static("trailers"));
    if coding != Coding::Plain {
        headers.insert("grpc-encoding", HeaderValue::from_static(coding.word()));
    }
    std::future::poll_fn(|cx| channel.poll_ready(cx))
        .await
        .expect("a relay");
    let response = channel.call(request).await.expect("an answer");
    let is_ok = |headers: &http::HeaderMap| headers.get("grpc-status").map(|status| status == "0");
    let mut taken = is_ok(response.headers());
    let mut body = response.into_body();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.expect("a whole answer");
        taken = taken.or(frame.trailers_ref().and_then(is_ok));
    }
    taken == Some(true)
}
