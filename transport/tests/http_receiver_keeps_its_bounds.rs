//! Guarantees: what comes to nothing over HTTP costs nobody else a request, be it a connection, a head or a body; what it
//! held comes back.
#![cfg(all(feature = "receive-http", feature = "receive-grpc"))]

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use allocated::{each, settled};
use client::{LONG, exported, pipeline, request, run};
use post::{JSON, PROTOBUF, call, of_type, posted, receiver};
use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

mod allocated;
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

/// What is measured here takes both processors.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
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
    let _alone = alone();
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

/// Scenario: a large text is taken on one connection while another one sends small requests, on a receiver with one thread.
/// Guarantees: what is small waits for a part of the time that the text takes.
#[test]
fn a_large_text_holds_up_nobody() {
    let _alone = alone();
    let (pipeline, kept) = pipeline(192 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let text = serde_json::to_vec(&request(24_000)).unwrap();
    let message = request(1).encode_to_vec();
    let (mut large, mut small) = (call(&receiver), call(&receiver));
    let converted = AtomicBool::new(false);
    let (took, slowest) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            // All but the end, so that what is measured is not the way here.
            let (most, end) = text.split_at(text.len() - 1);
            let mut head = posted(&of_type(JSON), &text);
            head.truncate(head.len() - text.len());
            large.write(&head);
            large.write(most);
            std::thread::sleep(Duration::from_millis(300));
            let begun = Instant::now();
            large.write(end);
            let answered = large.read();
            let took = begun.elapsed();
            converted.store(true, Ordering::Relaxed);
            assert_eq!(answered.status, 200, "{}", answered.says());
            took
        });
        let mut slowest = Duration::ZERO;
        while !converted.load(Ordering::Relaxed) {
            let begun = Instant::now();
            assert_eq!(small.post(&of_type(PROTOBUF), &message).status, 200);
            slowest = slowest.max(begun.elapsed());
        }
        (sending.join().unwrap(), slowest)
    });
    println!(
        "{} bytes of text took {took:?}, and the slowest other request {slowest:?}",
        text.len()
    );
    assert!(slowest < took / 2, "{slowest:?} of {took:?}");
    assert!(pipeline.flush(LONG).is_complete());
    assert!(kept.span_count() >= 24_000);
}

/// Scenario: a client waits for the export of its spans, and goes away: it closes, or resets.
/// Guarantees: the connection ends at once, the request counts as undelivered, and its spans are exported all the same.
#[test]
fn who_goes_away_while_an_export_is_awaited_is_let_go() {
    use spanwire_core::exporter::{Exporter, Outcome, Reply};
    use spanwire_core::pipeline::Pipeline;
    use std::sync::Arc;

    struct Slow(Arc<Mutex<Vec<Reply>>>);

    impl Exporter for Slow {
        fn export(&mut self, _: spanwire_core::batch::Batch, reply: Reply) {
            self.0.lock().unwrap().push(reply);
        }
    }

    for reset in [false, true] {
        let replies = Arc::new(Mutex::new(Vec::new()));
        let held = replies.clone();
        let pipeline = Pipeline::builder()
            .memory_limit(32 << 20)
            .neighbours(8 << 20)
            .schedule_delay(Duration::from_millis(10))
            .exporter(move || Slow(held.clone()))
            .build()
            .unwrap();
        let receiver = receiver()
            .answer_after_export(LONG)
            .serve(pipeline.intake())
            .unwrap();
        let address = receiver.local_addr().unwrap();
        let said = posted(&of_type(PROTOBUF), &request(3).encode_to_vec());
        run(async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&said).await.unwrap();
            while receiver.stats().admitted == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            if reset {
                stream.set_zero_linger().unwrap();
            }
        });
        eventually("the connection ends", || receiver.stats().open == 0);
        let stats = receiver.stats();
        assert_eq!((stats.admitted, stats.undelivered), (1, 1), "{reset}");
        eventually("a batch is on its way", || {
            !replies.lock().unwrap().is_empty()
        });
        for reply in replies.lock().unwrap().drain(..) {
            reply.done(Outcome::Exported);
        }
        let report = pipeline.flush(LONG);
        assert!(report.is_complete(), "{report}");
    }
}

/// How a connection is left.
#[derive(Clone, Copy, Debug)]
enum Left {
    Idle,
    /// In a head that is almost as long as heads may be.
    InAHead,
    /// In a body, whose next piece is on its way.
    InABody,
}

/// Scenario: connections that have made a request and are left idle, or that stall inside a long head or body.
/// Guarantees: they take no more than they are charged, requests and, here, clients included.
#[test]
fn a_connection_takes_no_more_than_it_is_charged() {
    let _alone = alone();
    let (pipeline, _) = pipeline(64 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let account = pipeline.intake().account().unwrap();
    let message = request(100).encode_to_vec();
    let whole = posted(&of_type(PROTOBUF), &message);
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: a\r\nx-long: {}",
        "a".repeat(15_000)
    );
    let head = head.into_bytes();
    let body = posted(&of_type(PROTOBUF), &vec![0; 4 << 20]);
    let body = &body[..200_000];
    for left in [Left::Idle, Left::InAHead, Left::InABody] {
        let sent = std::cell::Cell::new(receiver.stats().bytes);
        let open = |many: usize| {
            let callers: Vec<_> = (0..many)
                .map(|_| {
                    let mut caller = call(&receiver);
                    caller.write(&whole);
                    assert_eq!(caller.read().status, 200);
                    let more: &[u8] = match left {
                        Left::Idle => &[],
                        Left::InAHead => &head,
                        Left::InABody => body,
                    };
                    caller.write(more);
                    sent.set(sent.get() + (whole.len() + more.len()) as u64);
                    caller
                })
                .collect();
            eventually("all is read", || receiver.stats().bytes == sent.get());
            assert!(pipeline.flush(LONG).is_complete());
            callers
        };
        let first = open(8);
        let (before, charged) = (settled(), account.in_use());
        let more = open(32);
        settled();
        let charged = (account.in_use() - charged) / 32;
        let takes = each(before, 32);
        println!("{left:?}: {takes} bytes a connection, its client included; {charged} charged");
        assert!(takes <= charged, "{left:?}: {takes} of {charged}");
        drop((first, more));
        eventually("they are gone", || account.in_use() == 0);
    }
}
