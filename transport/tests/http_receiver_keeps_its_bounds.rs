//! Guarantees: what comes to nothing over HTTP costs nobody else a request, be it a connection, a head or a body; what it
//! held comes back.
#![cfg(all(feature = "receive-http", feature = "receive-grpc"))]

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use client::{LONG, exported, pipeline, request, run};
use post::{PROTOBUF, call, of_type, posted, receiver};
use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

mod client;
mod post;

/// How many connections come to nothing.
const MANY: usize = 1000;

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How a connection of the many comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It stays until the end.
    Held,
    /// It is reset after a moment.
    Reset,
}

/// Opens many connections at once, on each of which `said` is sent and then nothing more, until `over`.
async fn come_to_nothing(address: SocketAddr, said: &[u8], end: End, over: &AtomicBool) {
    let over_at_last = async || {
        while !over.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let one = async || {
        let connecting = async {
            let mut stream = TcpStream::connect(address).await.ok()?;
            // Who is sent away does not mind.
            let _ = stream.write_all(said).await;
            Some(stream)
        };
        let stream = tokio::select! {
            stream = connecting => stream,
            () = over_at_last() => None,
        };
        match (stream, end) {
            (Some(stream), End::Reset) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let _ = stream.set_zero_linger();
            }
            (Some(_stream), End::Held) => over_at_last().await,
            (None, _) => {}
        }
    };
    let mut all: Vec<_> = (0..MANY).map(|_| Box::pin(one())).collect();
    core::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        match all.is_empty() {
            true => core::task::Poll::Ready(()),
            false => core::task::Poll::Pending,
        }
    })
    .await;
}

/// Scenario: a thousand connections send half of a request at once, small or large, and stall or are reset. A neighbour that
/// was there before goes on, and another comes.
/// Guarantees: none of a hundred requests is refused, the newcomer is served within seconds, and all is given back.
#[test]
fn half_a_request_on_a_thousand_connections_costs_nobody_a_request() {
    for (announced, sent, end) in [
        (100_000, 50_000, End::Held),
        (100_000, 50_000, End::Reset),
        (1 << 20, 1 << 19, End::Held),
        (3 << 20, 3 << 20, End::Held),
    ] {
        let case = format!("{sent} of {announced} bytes, {end:?}");
        let (pipeline, kept) = pipeline(32 << 20);
        let receiver = receiver().serve(pipeline.intake()).unwrap();
        let address = receiver.local_addr().unwrap();
        let mut said = posted(&of_type(PROTOBUF), &vec![0; announced]);
        said.truncate(said.len() - announced + sent.min(announced - 1));
        let message = request(20).encode_to_vec();
        let (over, taken) = (AtomicBool::new(false), AtomicUsize::new(0));
        let mut neighbour = call(&receiver);
        assert_eq!(neighbour.post(&of_type(PROTOBUF), &message).status, 200);
        std::thread::scope(|scope| {
            scope.spawn(|| run(come_to_nothing(address, &said, end, &over)));
            let sending = scope.spawn(|| {
                let mut slowest = Duration::ZERO;
                for n in 0..100 {
                    let begun = Instant::now();
                    let answered = neighbour.post(&of_type(PROTOBUF), &message);
                    slowest = slowest.max(begun.elapsed());
                    if answered.status != 200 {
                        return Err(format!("{case}: request {n}: {}", answered.says()));
                    }
                    taken.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(slowest)
            });
            std::thread::sleep(Duration::from_millis(500));
            let begun = Instant::now();
            let newcomer = call(&receiver).post(&of_type(PROTOBUF), &message).status;
            let waited = begun.elapsed();
            let slowest = sending.join();
            over.store(true, Ordering::Relaxed);
            let slowest = slowest.unwrap();
            println!(
                "{case}: the slowest took {slowest:?}, the newcomer {waited:?}; {:?}",
                receiver.stats()
            );
            assert_eq!(newcomer, 200, "{case}");
            slowest.unwrap();
        });
        assert_eq!(taken.into_inner(), 100, "{case}");
        let spans = exported(&pipeline, &kept)
            .iter()
            .flat_map(|request| &request.resource_spans)
            .flat_map(|resource| &resource.scope_spans)
            .map(|scope| scope.spans.len())
            .sum::<usize>();
        assert_eq!(spans, 102 * 20, "{case}");
        kept.clear();
        drop(neighbour);
        let account = pipeline.intake().account().unwrap();
        eventually("connections end", || receiver.stats().open == 0);
        eventually("all is given back", || account.in_use() == 0);
    }
}
