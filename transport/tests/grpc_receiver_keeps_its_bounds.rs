//! Guarantees: whatever clients open, announce, leave half done or never take back, the receiver holds no more than it was
//! granted, and others are served.
//!
//! Every byte that this process allocates is counted. Tests run one at a time.
#![cfg(feature = "receive-grpc")]

use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use allocated::{COUNT, LIVE, MOST, each, settled};
use bytes::Bytes;
use client::{Client, LONG, framed, head, hear, pipeline, push, receiver, request, run};
use prost::Message;
use spanwire_transport::otlp::grpc::{Code, retry_info};
use spanwire_transport::receiver::{BODY_GRACE, BODY_STALL, CONNECTION_BYTES, READ_AHEAD_BYTES};
use waiting::eventually;

mod allocated;
mod client;
#[path = "../../core/tests/waiting/mod.rs"]
mod waiting;

static ALONE: Mutex<()> = Mutex::new(());
/// The threads of pipelines, receivers and runtimes in this process, where that can be told.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| ["spanwire", "tokio"].iter().any(|of| name.starts_with(of)))
        .count()
}

fn alone() -> std::sync::MutexGuard<'static, ()> {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // What the test before this one has left to its threads is let go by them.
    eventually("the test before has ended", || threads() == 0);
    alone
}

/// A byte of an answer has come.
fn hears(stream: &mut impl Read) {
    stream.read_exact(&mut [0]).unwrap();
}

const MIB: usize = 1 << 20;

/// Scenario: 4 connections of 64 streams, each of which announces 4 MiB, sends all but the last byte of it where it may, and
/// stalls.
/// Guarantees: a connection holds an eighth of the share at most, the share its bound, this process its memory; another
/// client is served meanwhile, and everything is given back at the end.
#[test]
fn streams_that_stall_starve_nobody() {
    let _alone = alone();
    let share = 48 * MIB;
    let (pipeline, kept) = pipeline(share);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let address = receiver.local_addr().unwrap();
    let account = pipeline.intake().account().unwrap();
    let announced = Bytes::from_static(&[0, 0, 0x40, 0, 0]);
    let rest = Bytes::from(vec![0; 4 * MIB - 1]);
    let before = LIVE.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    run(async {
        let mut clients = Vec::new();
        let mut calls = Vec::new();
        for _ in 0..4 {
            let mut client = Client::connect(address).await;
            assert_eq!(client.export(&[]).await.code, 0);
            for _ in 0..64 {
                let mut send = client.send.clone().ready().await.unwrap();
                let (announced, rest) = (announced.clone(), rest.clone());
                calls.push(tokio::spawn(async move {
                    let (answer, mut stream) = send.send_request(head(), false).unwrap();
                    // As much as is taken; then the stream stays as it is, or it was refused.
                    let stalled = async {
                        push(&mut stream, announced, false).await?;
                        push(&mut stream, rest, false).await?;
                        core::future::pending::<()>().await;
                        Ok::<(), h2::Error>(())
                    };
                    tokio::pin!(stalled);
                    tokio::select! {
                        reply = hear(answer) => reply.map(|reply| reply.code),
                        _ = &mut stalled => Ok(-2),
                    }
                }));
            }
            clients.push(client);
        }
        // All that can be held is held, unless the machine takes so long that some is cut meanwhile.
        let begun = Instant::now();
        let mut held = 0;
        let turned_away = || receiver.stats().refused + receiver.stats().cut;
        let is_full = |held| held > 4 * 3 * MIB || receiver.stats().cut > 0;
        while turned_away() < 200 || !is_full(held) {
            assert!(begun.elapsed() < LONG, "{held}, {:?}", receiver.stats());
            held = held.max(account.in_use());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let message = request(512).encode_to_vec();
        for _ in 0..20 {
            let mut other = Client::connect(address).await;
            assert_eq!(other.export(&message).await.code, 0);
        }
        assert!(
            account.in_use() <= share / 2 + 4 * MIB,
            "{}",
            account.in_use()
        );
        let most = MOST.load(Ordering::Relaxed) - before;
        println!(
            "{} of {share} in use, {most} allocated at most, clients included: {:?}",
            account.in_use(),
            receiver.stats()
        );
        assert!(most <= share, "{most} bytes were allocated");
        // Who was refused was refused for now.
        clients.clear();
        for call in calls {
            let code = call.await.unwrap();
            assert!(
                matches!(code, Err(_) | Ok(-2))
                    || code
                        .as_ref()
                        .is_ok_and(|code| *code == Code::Unavailable as i32),
                "{code:?}"
            );
        }
    });
    assert!(pipeline.flush(LONG).is_complete());
    assert_eq!(kept.span_count(), 20 * 512);
    let stats = receiver.stats();
    assert!(stats.unread >= 200);
    kept.clear();
    eventually("all is given back", || account.in_use() == 0);
}

/// Scenario: a client sends a hundred messages at once that are too large, again and again on one connection, and goes on
/// sending each until it hears of it.
/// Guarantees: each is answered, and what comes late for those that were refused does not cost the client its connection.
#[test]
fn messages_that_come_late_for_their_refusal_cost_no_connection() {
    let _alone = alone();
    let (pipeline, _) = pipeline(48 * MIB);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let address = receiver.local_addr().unwrap();
    let mut message = vec![0];
    message.extend_from_slice(&(5 * MIB as u32).to_be_bytes());
    message.resize(message.len() + 5 * MIB, 0);
    let message = Bytes::from(message);
    run(async {
        let client = Client::connect(address).await;
        for round in 0..30 {
            let mut calls = Vec::new();
            for _ in 0..100 {
                let mut send = client.send.clone().ready().await.unwrap();
                let message = message.clone();
                calls.push(tokio::spawn(async move {
                    let (answer, mut stream) = send.send_request(head(), false)?;
                    let sending = push(&mut stream, message, true);
                    let (_, reply) = tokio::join!(sending, hear(answer));
                    reply.map(|reply| reply.code)
                }));
            }
            for call in calls {
                let code = call.await.unwrap();
                assert_eq!(code.ok(), Some(Code::ResourceExhausted as i32), "{round}");
            }
        }
    });
    let stats = receiver.stats();
    assert_eq!((stats.accepted, stats.rejected), (1, 3000));
}

/// Scenario: a client that announces a kilobyte, sends some of it, and nothing more.
#[test]
fn a_slow_sender_is_cut_and_may_come_again() {
    let _alone = alone();
    let (pipeline, _) = pipeline(8 * MIB);
    let wait = Duration::from_millis(1234);
    let receiver = receiver()
        .retry_after(wait)
        .serve(pipeline.intake())
        .unwrap();
    let address = receiver.local_addr().unwrap();
    run(async {
        let mut client = Client::connect(address).await;
        let mut send = client.send.clone().ready().await.unwrap();
        let begun = Instant::now();
        let (answer, mut stream) = send.send_request(head(), false).unwrap();
        push(&mut stream, vec![0, 0, 0, 4, 0, 1, 2].into(), false)
            .await
            .unwrap();
        let reply = hear(answer).await.unwrap();
        assert_eq!(reply.code, Code::Unavailable as i32);
        assert_eq!(reply.message, "body is slower than 65536 bytes a second");
        assert_eq!(retry_info(&reply.details), Some(wait));
        assert!(begun.elapsed() >= BODY_GRACE);
        // The connection goes on.
        assert_eq!(client.export(&request(1).encode_to_vec()).await.code, 0);
    });
    let stats = receiver.stats();
    assert_eq!((stats.cut, stats.unread, stats.accepted), (1, 1, 1));
}

/// Scenario: a client that does not wait as long as it takes to send.
#[test]
fn a_deadline_of_the_client_ends_the_request() {
    let _alone = alone();
    let (pipeline, _) = pipeline(8 * MIB);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let address = receiver.local_addr().unwrap();
    run(async {
        let client = Client::connect(address).await;
        let mut send = client.send.clone().ready().await.unwrap();
        let mut head = head();
        head.headers_mut()
            .insert("grpc-timeout", "50m".parse().unwrap());
        let (answer, mut stream) = send.send_request(head, false).unwrap();
        push(&mut stream, vec![0, 0, 0, 4, 0].into(), false)
            .await
            .unwrap();
        let reply = hear(answer).await.unwrap();
        assert_eq!(reply.code, Code::DeadlineExceeded as i32);
    });
}

/// What an HTTP/2 client says first: the preface, and settings that change nothing.
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Scenario: a neighbour that sends now and then, and hundreds of connections that say nothing, half of what there is to say,
/// or all of it and then nothing; some of them reset.
/// Guarantees: there are never more than may be, the neighbour keeps its connection, another is served, and nothing is left.
#[test]
fn idle_connections_make_room_for_others() {
    let _alone = alone();
    let (pipeline, _) = pipeline(8 * MIB);
    let receiver = receiver()
        .max_connections(16)
        .serve(pipeline.intake())
        .unwrap();
    let address = receiver.local_addr().unwrap();
    let account = pipeline.intake().account().unwrap();
    let message = request(1).encode_to_vec();
    let begun = Instant::now();
    run(async {
        let mut neighbour = Client::connect(address).await;
        assert_eq!(neighbour.export(&message).await.code, 0);
        let mut idle = Vec::new();
        for n in 0..300 {
            let mut stream = TcpStream::connect(address).unwrap();
            match n % 4 {
                0 => {}
                1 => stream.write_all(&OPENING[..10]).unwrap(),
                // Known, and never heard of again: such a client does not even say farewell.
                2 => stream.write_all(OPENING).unwrap(),
                _ => drop(stream.write_all(b"\0")),
            }
            if n % 8 != 7 {
                idle.push(stream);
            }
            assert!(receiver.stats().open <= 16);
            assert!(account.in_use() <= 4 * MIB);
        }
        // Longer idle than any of them.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(neighbour.export(&message).await.code, 0);
        let mut other = Client::connect(address).await;
        assert_eq!(other.export(&message).await.code, 0);
        println!("served after {:?}: {:?}", begun.elapsed(), receiver.stats());
        assert_eq!(neighbour.export(&message).await.code, 0);
    });
    let stats = receiver.stats();
    assert!(stats.open <= 16 && stats.evicted > 0, "{stats:?}");
    eventually("all is given back", || receiver.stats().open == 0);
    assert!(receiver.stop(LONG).is_complete());
}

/// Scenario: a client that is there, and one that is not any more: it never answers a ping.
#[test]
fn a_client_that_does_not_answer_a_ping_is_closed() {
    let _alone = alone();
    let (pipeline, _) = pipeline(8 * MIB);
    let receiver = receiver()
        .keepalive_time(Duration::from_millis(50))
        .keepalive_timeout(Duration::from_secs(5))
        .serve(pipeline.intake())
        .unwrap();
    let address = receiver.local_addr().unwrap();
    let mut dead = TcpStream::connect(address).unwrap();
    dead.write_all(OPENING).unwrap();
    run(async {
        let mut alive = Client::connect(address).await;
        eventually("the dead one is closed", || receiver.stats().open == 1);
        assert_eq!(alive.export(&request(1).encode_to_vec()).await.code, 0);
    });
    assert_eq!(receiver.stats().accepted, 2);
    drop(dead);
}

/// Scenario: a client that has nothing under way, and does not hang up when it is told to.
#[test]
fn a_stop_does_not_wait_for_who_does_nothing() {
    let _alone = alone();
    let (pipeline, _) = pipeline(8 * MIB);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let mut deaf = TcpStream::connect(receiver.local_addr().unwrap()).unwrap();
    deaf.write_all(OPENING).unwrap();
    let silent = TcpStream::connect(receiver.local_addr().unwrap()).unwrap();
    eventually("both are known", || {
        receiver.stats().open == 2 && receiver.stats().bytes as usize == OPENING.len()
    });
    let begun = Instant::now();
    assert!(receiver.stop(LONG).is_complete());
    assert!(begun.elapsed() < LONG / 2);
    drop((deaf, silent));
}

/// Scenario: a client that keeps to what it is told, with more to send than it may at once; and connections that grow old
/// and idle meanwhile.
#[test]
fn streams_are_bounded_and_old_connections_replaced_without_a_request_lost() {
    let _alone = alone();
    let (pipeline, kept) = pipeline(8 * MIB);
    let receiver = receiver()
        .max_concurrent_streams(7)
        .max_connection_age(Duration::from_secs(4))
        .max_connection_age_grace(LONG)
        .serve(pipeline.intake())
        .unwrap();
    let address = receiver.local_addr().unwrap();
    let message = framed(&request(1).encode_to_vec(), false);
    run(async {
        let mut client = Client::connect(address).await;
        assert_eq!(client.export(&[]).await.code, 0);
        assert_eq!(client.send.current_max_send_streams(), 7);
        // Begun before the connection is old, and ended after that.
        let mut send = client.send.clone().ready().await.unwrap();
        let (answer, mut stream) = send.send_request(head(), false).unwrap();
        push(&mut stream, message[..9].to_vec().into(), false)
            .await
            .unwrap();
        // In the end no more is taken on this one.
        while let Ok(reply) = client.call(head(), framed(&[], false)).await {
            assert_eq!(reply.code, 0);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        push(&mut stream, message[9..].to_vec().into(), true)
            .await
            .unwrap();
        assert_eq!(hear(answer).await.unwrap().code, 0);
        let mut next = Client::connect(address).await;
        assert_eq!(next.call(head(), message).await.unwrap().code, 0);
    });
    assert!(pipeline.flush(LONG).is_complete());
    assert_eq!(kept.span_count(), 2);
}

/// Scenario: connections of which each has made a request.
/// Guarantees: what an idle connection takes beside its window is what it is charged.
#[test]
fn a_connection_takes_no_more_than_it_is_charged() {
    let _alone = alone();
    let (pipeline, _) = pipeline(64 * MIB);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let address = receiver.local_addr().unwrap();
    let open = |many: usize| {
        let streams: Vec<_> = (0..many)
            .map(|_| {
                let mut stream = TcpStream::connect(address).unwrap();
                // A request without a message; what its headers are does not matter.
                stream.write_all(OPENING).unwrap();
                stream
                    .write_all(b"\0\0\x03\x01\x05\0\0\0\x01\x83\x86\x84")
                    .unwrap();
                stream.set_read_timeout(Some(LONG)).unwrap();
                hears(&mut stream);
                stream
            })
            .collect();
        streams
    };
    let first = open(8);
    eventually("they are served", || receiver.stats().rejected == 8);
    let before = settled();
    let more = open(64);
    eventually("they are served", || receiver.stats().rejected == 72);
    // What serving a request takes is let go after the answer.
    eventually("they take what they are charged", || {
        each(before, 64) <= CONNECTION_BYTES
    });
    println!("{} bytes a connection", each(before, 64));
    drop((first, more));
}

/// Scenario: connections that stall inside a frame as long as frames may be, one byte before its end.
/// Guarantees: they take no more than they are charged, frame and request.
#[test]
fn a_connection_that_stalls_inside_the_longest_frame_takes_no_more_than_it_is_charged() {
    let _alone = alone();
    let (pipeline, _) = pipeline(64 * MIB);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let address = receiver.local_addr().unwrap();
    let account = pipeline.intake().account().unwrap();
    let heard = AtomicUsize::new(0);
    let open = |many: usize| {
        let streams: Vec<_> = (0..many)
            .map(|_| {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(LONG)).unwrap();
                stream.write_all(OPENING).unwrap();
                let longest = longest_frame(&mut stream);
                let mut bytes = frame(1, 4, 1, &header_block());
                let mut payload = vec![0; longest];
                payload[..5].copy_from_slice(&[0, 0, 0x40, 0, 0]);
                bytes.extend(frame(0, 0, 1, &payload));
                bytes.pop();
                stream.write_all(&bytes).unwrap();
                heard.fetch_add(OPENING.len() + bytes.len(), Ordering::Relaxed);
                stream
            })
            .collect();
        let all = heard.load(Ordering::Relaxed) as u64;
        eventually("all of it is read", || receiver.stats().bytes == all);
        streams
    };
    let first = open(8);
    let (before, charged) = (settled(), account.in_use());
    let more = open(32);
    let charged = (account.in_use() - charged) / 32;
    let takes = each(before, 32);
    println!("{takes} bytes a connection, {charged} charged");
    assert!(takes <= charged);
    drop((first, more));
}

/// The longest frame that a server says it takes. RFC 9113, 6.5.
fn longest_frame(stream: &mut impl Read) -> usize {
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[3], 4, "SETTINGS come first");
    let mut settings = vec![0; usize::from(head[2])];
    stream.read_exact(&mut settings).unwrap();
    let mut longest = settings
        .chunks_exact(6)
        .filter(|setting| setting[..2] == [0, 5]);
    longest.next().map_or(16 << 10, |setting| {
        let bytes: [u8; 4] = setting[2..].try_into().unwrap();
        u32::from_be_bytes(bytes) as usize
    })
}

/// Scenario: the same under TLS, with clients of rustls in this process.
/// Guarantees: both ends together take no more than the one is charged.
#[cfg(feature = "tls")]
#[test]
fn a_connection_under_tls_takes_no_more_than_it_is_charged() {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;

    let _alone = alone();
    let (pipeline, _) = pipeline(64 * MIB);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".into()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let tls = spanwire_transport::tls::ServerTls::pem(certificate.pem(), key.serialize_pem());
    let receiver = receiver().tls(tls).serve(pipeline.intake()).unwrap();
    let address = receiver.local_addr().unwrap();
    let account = pipeline.intake().account().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    let open = |many: usize| {
        let streams: Vec<_> = (0..many)
            .map(|_| {
                let name = ServerName::try_from("localhost").unwrap();
                let session = rustls::ClientConnection::new(config.clone(), name).unwrap();
                let stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(LONG)).unwrap();
                let mut stream = rustls::StreamOwned::new(session, stream);
                stream.write_all(OPENING).unwrap();
                stream
                    .write_all(b"\0\0\x03\x01\x05\0\0\0\x01\x83\x86\x84")
                    .unwrap();
                hears(&mut stream);
                stream
            })
            .collect();
        streams
    };
    let first = open(8);
    eventually("they are served", || receiver.stats().rejected == 8);
    let (before, charged) = (settled(), account.in_use());
    let more = open(32);
    eventually("they are served", || receiver.stats().rejected == 40);
    let charged = (account.in_use() - charged) / 32 - READ_AHEAD_BYTES;
    eventually("they take what they are charged", || {
        each(before, 32) <= charged
    });
    println!(
        "{} bytes a connection under TLS, both ends; {charged} charged beside what it reads ahead",
        each(before, 32)
    );
    drop((first, more));
}

/// A frame of HTTP/2. RFC 9113, 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// The head of an export, in literals that nobody has to remember. RFC 7541, 6.2.2.
fn header_block() -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", client::PATH),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        for text in [name, value] {
            if text == name {
                out.push(0);
            }
            out.push(u8::try_from(text.len()).unwrap());
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// Scenario: requests that have begun, and stall after five bytes.
/// Guarantees: what each of them takes is what it is charged.
#[test]
fn a_request_takes_no_more_than_it_is_charged() {
    let _alone = alone();
    let (pipeline, _) = pipeline(64 * MIB);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let account = pipeline.intake().account().unwrap();
    let mut stream = TcpStream::connect(receiver.local_addr().unwrap()).unwrap();
    stream.write_all(OPENING).unwrap();
    let begin = |stream: &mut TcpStream, number: u32| {
        let mut bytes = frame(1, 4, number, &header_block());
        bytes.extend(frame(0, 0, number, &[0, 0, 0, 1, 0]));
        stream.write_all(&bytes).unwrap();
    };
    begin(&mut stream, 1);
    eventually("it has begun", || account.in_use() > 100_000 + 256);
    let (before, charged) = (settled(), account.in_use());
    for n in 1..64 {
        begin(&mut stream, 2 * n + 1);
    }
    eventually("all have begun", || account.in_use() >= charged + 63 * 256);
    let charge = || account.in_use().saturating_sub(charged) / 63;
    eventually("they take what they are charged", || {
        each(before, 63) <= charge()
    });
    println!("{} bytes a request, {} charged", each(before, 63), charge());
}

/// Scenario: a thousand connections that each send half of a request and stall, until a client that comes after them is served.
/// Guarantees: it is served in a few seconds, though all of them are in front of it and have never left by themselves.
#[test]
fn a_client_behind_a_thousand_that_stall_is_served() {
    let _alone = alone();
    let (pipeline, _) = pipeline(32 * MIB);
    let receiver = receiver()
        .max_connections(40)
        .serve(pipeline.intake())
        .unwrap();
    let address = receiver.local_addr().unwrap();
    let mut half = OPENING.to_vec();
    half.extend(frame(1, 4, 1, &header_block()));
    let mut data = frame(0, 0, 1, &[0; 16_000]);
    data.truncate(8000);
    half.extend(data);
    let stalling: Vec<_> = (0..1000)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(&half).unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    run(async {
        let mut other = Client::connect(address).await;
        assert_eq!(other.export(&request(1).encode_to_vec()).await.code, 0);
    });
    let waited = begun.elapsed();
    println!("served after {waited:?}: {:?}", receiver.stats());
    assert!(waited < (1000 / 40) * BODY_STALL, "{waited:?}");
    drop(stalling);
}

/// Scenario: requests of 1 span, and of 512, on one connection.
/// Guarantees: what is allocated for a request does not depend on its spans. The client's and the exporter's are counted too.
#[test]
fn a_request_costs_as_many_allocations_whatever_is_in_it() {
    let _alone = alone();
    let (pipeline, kept) = pipeline(16 * MIB);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let address = receiver.local_addr().unwrap();
    let counts: Vec<usize> = run(async {
        let mut client = Client::connect(address).await;
        let mut counts = Vec::new();
        for spans in [1, 512] {
            let message = framed(&request(spans).encode_to_vec(), false);
            let mut times = Vec::new();
            for _ in 0..40 {
                let body = message.clone();
                let before = COUNT.load(Ordering::Relaxed);
                assert_eq!(client.call(head(), body).await.unwrap().code, 0);
                times.push(COUNT.load(Ordering::Relaxed) - before);
            }
            assert!(pipeline.flush(LONG).is_complete());
            kept.clear();
            times.sort_unstable();
            counts.push(times[times.len() / 2]);
        }
        counts
    });
    println!("{counts:?} allocations a request of 1 span and of 512");
    assert!(counts[1] < counts[0] + 60, "{counts:?}");
}
