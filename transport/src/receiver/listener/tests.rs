use std::io::{Read, Write};
use std::net::TcpStream;

use spanwire_core::pipeline::Pipeline;
use spanwire_core::testing::InMemoryExporter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use core::pin::pin;

use spanwire_core::limiter::OVERHEAD;
use tokio::sync::Notify;

use super::*;
use crate::dial::Connection as Stream;
use crate::receiver::acceptor::Serving;
use crate::receiver::connection::Stay;
use crate::runtime::Runtime;

const LONG: Duration = Duration::from_secs(60);

/// Says back what it hears, a byte at a time; from a `w` to the next byte a request is under way.
struct Echo;

impl Protocol for Echo {
    fn serve(&self, stream: Stream, connection: Connection) -> Serving {
        let mut stream = connection.listen_to(stream);
        Box::pin(async move {
            let left = Arc::new(Notify::new());
            let told = left.clone();
            let with = connection.clone();
            let talk = Box::pin(async move {
                let mut busy = None;
                loop {
                    if busy.is_none() {
                        let mut byte = [0];
                        let mut left = pin!(left.notified());
                        let mut read = pin!(stream.read_exact(&mut byte));
                        let go_on = poll_fn(|context| {
                            if left.as_mut().poll(context).is_ready() {
                                return Poll::Ready(false);
                            }
                            read.as_mut().poll(context).map(|read| read.is_ok())
                        })
                        .await;
                        if !go_on {
                            return;
                        }
                        let _ = stream.write_all(&byte).await;
                        busy = (byte == *b"w").then(|| with.begin());
                    } else {
                        let mut byte = [0];
                        if stream.read_exact(&mut byte).await.is_err() {
                            return;
                        }
                        let _ = stream.write_all(&byte).await;
                        busy = None;
                    }
                }
            });
            connection.drive(talk, |_| told.notify_one()).await;
        })
    }
}

fn pipeline() -> Pipeline {
    let kept = InMemoryExporter::new();
    Pipeline::builder()
        .neighbours(2 << 20)
        .exporter(move || kept.clone())
        .build()
        .unwrap()
}

fn listening() -> Listening {
    Listening {
        endpoint: "127.0.0.1:0".into(),
        max_connections: 1024,
        connection_bytes: 128 << 10,
        stay: Stay {
            handshake: LONG,
            opening: 1,
            max_idle: None,
            max_age: None,
            age_grace: None,
        },
        runtime: Runtime::own(),
        #[cfg(feature = "tls")]
        alpn: &[],
        #[cfg(feature = "tls")]
        tls: None,
    }
}

fn start(pipeline: &Pipeline, listening: Listening) -> Listener {
    Listener::start(listening, pipeline.intake(), Arc::default(), Echo).unwrap()
}

fn connect(listener: &Listener) -> TcpStream {
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

fn echo(stream: &mut TcpStream, byte: u8) {
    stream.write_all(&[byte]).unwrap();
    let mut back = [0];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, [byte]);
}

/// A connection on which something was said before the time for that was over. Who is held up for longer comes again.
fn speak(listener: &Listener, time: Duration) -> TcpStream {
    loop {
        let begun = Instant::now();
        let mut stream = connect(listener);
        let said = stream.write_all(b"a");
        match said.and_then(|()| stream.read_exact(&mut [0])) {
            Ok(()) => return stream,
            Err(why) => assert!(begun.elapsed() >= time, "{why}"),
        }
    }
}

fn is_closed(stream: &mut TcpStream) -> bool {
    loop {
        match stream.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return matches!(read, Ok(0) | Err(_)),
        }
    }
}

fn in_use(pipeline: &Pipeline) -> usize {
    pipeline.intake().account().unwrap().in_use()
}

#[test]
fn a_connection_is_charged_while_it_is_open() {
    let pipeline = pipeline();
    let listener = start(&pipeline, listening());
    assert_eq!(in_use(&pipeline), 0);
    let mut one = connect(&listener);
    let mut two = connect(&listener);
    echo(&mut one, b'a');
    echo(&mut two, b'b');
    let each = listening().connection_bytes + OVERHEAD;
    assert_eq!(in_use(&pipeline), 2 * each);
    let stats = listener.stats();
    assert_eq!((stats.accepted, stats.open, stats.bytes), (2, 2, 2));
    drop(one);
    let begun = Instant::now();
    while in_use(&pipeline) != each {
        assert!(begun.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(two);
    assert!(listener.stop(LONG).is_complete());
    assert_eq!(in_use(&pipeline), 0);
}

#[test]
fn the_connection_that_was_idle_longest_makes_room_and_a_busy_one_does_not() {
    let pipeline = pipeline();
    let listener = start(
        &pipeline,
        Listening {
            max_connections: 2,
            ..listening()
        },
    );
    let mut busy = connect(&listener);
    echo(&mut busy, b'w');
    let mut idle = connect(&listener);
    echo(&mut idle, b'a');
    let mut third = connect(&listener);
    echo(&mut third, b'b');
    assert!(is_closed(&mut idle));
    echo(&mut busy, b'x');
    let stats = listener.stats();
    assert_eq!((stats.accepted, stats.open, stats.evicted), (3, 2, 1));
}

#[test]
fn connections_hold_a_third_of_the_share_at_most() {
    let pipeline = pipeline();
    let listener = start(&pipeline, listening());
    // A third of 2 MiB, at 128 KiB and a little: five, of which none moves.
    let mut streams: Vec<_> = (0..5)
        .map(|_| {
            let mut stream = connect(&listener);
            echo(&mut stream, b'w');
            stream
        })
        .collect();
    let mut sixth = connect(&listener);
    sixth.write_all(b"a").unwrap();
    sixth
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    assert!(sixth.read(&mut [0]).is_err(), "it waits");
    assert_eq!(listener.stats().open, 5);
    assert!(in_use(&pipeline) <= (2 << 20) / 3);
    // One goes, and the next is served.
    drop(streams.pop());
    sixth.set_read_timeout(Some(LONG)).unwrap();
    let mut back = [0];
    sixth.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"a");
}

#[test]
fn who_says_nothing_is_closed_and_who_is_idle_or_old_is_too() {
    let pipeline = pipeline();
    let short = Duration::from_millis(50);
    for stay in [
        Stay {
            handshake: short,
            ..listening().stay
        },
        Stay {
            max_idle: Some(short),
            ..listening().stay
        },
        Stay {
            max_age: Some(short),
            ..listening().stay
        },
    ] {
        let silent = stay.handshake < LONG;
        let listener = start(
            &pipeline,
            Listening {
                stay,
                ..listening()
            },
        );
        let mut stream = connect(&listener);
        assert!(is_closed(&mut stream));
        assert_eq!(listener.stats().handshakes_failed, u64::from(silent));
        if silent {
            let mut stream = speak(&listener, short);
            std::thread::sleep(Duration::from_millis(100));
            echo(&mut stream, b'a');
        }
    }
}

#[test]
fn a_stop_lets_finish_what_is_under_way_and_cuts_at_its_deadline() {
    let pipeline = pipeline();
    for in_future in [false, true] {
        let stop = |listener: &Listener, within: Duration| {
            if !in_future {
                return listener.stop(within);
            }
            let stopped = listener.stop_async(within);
            let host = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            host.block_on(stopped)
        };
        let listener = start(&pipeline, listening());
        let mut idle = connect(&listener);
        echo(&mut idle, b'a');
        let mut busy = connect(&listener);
        echo(&mut busy, b'w');
        let address = listener.local_addr().unwrap();
        let finishing = std::thread::spawn(move || {
            assert!(is_closed(&mut idle), "who is idle leaves at once");
            assert!(TcpStream::connect(address).is_err(), "nobody accepts");
            echo(&mut busy, b'x');
            assert!(is_closed(&mut busy));
        });
        assert!(stop(&listener, LONG).is_complete());
        finishing.join().unwrap();

        let listener = start(&pipeline, listening());
        let mut busy = connect(&listener);
        echo(&mut busy, b'w');
        let stopped = stop(&listener, Duration::from_millis(50));
        assert_eq!(stopped.cut, 1);
        assert!(is_closed(&mut busy));
    }
}

#[test]
fn a_listener_that_is_dropped_closes_everything_on_any_runtime() {
    let pipeline = pipeline();
    let host = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    for runtime in [Runtime::own(), Runtime::of_host(host.handle().clone())] {
        let listener = start(
            &pipeline,
            Listening {
                runtime,
                ..listening()
            },
        );
        let address = listener.local_addr().unwrap();
        let mut stream = connect(&listener);
        echo(&mut stream, b'w');
        drop(listener);
        assert!(is_closed(&mut stream));
        let begun = Instant::now();
        while TcpStream::connect(address).is_ok() {
            assert!(begun.elapsed() < LONG);
        }
    }
}

#[test]
fn what_cant_be_listened_on_is_named() {
    let pipeline = pipeline();
    let refused = |endpoint: &str| {
        let listening = Listening {
            endpoint: endpoint.into(),
            ..listening()
        };
        let started = Listener::start(listening, pipeline.intake(), Arc::default(), Echo);
        started.err().unwrap().to_string()
    };
    assert_eq!(
        refused("localhost"),
        "endpoint host 'localhost' has no port after it"
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let why = refused(&address.to_string());
    assert!(
        why.starts_with(&format!("endpoint '{address}': ")) && why.contains("in use"),
        "{why}"
    );
    let kept = InMemoryExporter::new();
    let none = Pipeline::builder()
        .exporter(move || kept.clone())
        .build()
        .unwrap();
    let started = Listener::start(listening(), none.intake(), Arc::default(), Echo);
    assert_eq!(
        started.err().unwrap().to_string(),
        "neighbours' share of the memory limit has 0 bytes, and a receiver needs 1572864"
    );
}

#[test]
fn a_runtime_without_io_is_told_of() {
    let pipeline = pipeline();
    let host = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let runtime = Runtime::of_host(host.handle().clone());
    let listening = Listening {
        runtime,
        ..listening()
    };
    let listener = start(&pipeline, listening);
    let begun = Instant::now();
    while listener.failure().is_none() {
        assert!(begun.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(listener.failure(), Some("its runtime does no I/O"));
    assert_eq!(listener.stats().accept_failures, 1);
    assert!(TcpStream::connect(listener.local_addr().unwrap()).is_err());
    assert!(listener.stop(LONG).is_complete());
}

#[test]
fn a_runtime_that_ends_is_told_of_and_a_stop_is_none() {
    let pipeline = pipeline();
    let host = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let runtime = Runtime::of_host(host.handle().clone());
    let listening = || Listening {
        runtime: runtime.clone(),
        ..listening()
    };
    let stopped = start(&pipeline, listening());
    let listener = start(&pipeline, listening());
    for listener in [&stopped, &listener] {
        echo(&mut connect(listener), b'a');
    }
    assert!(stopped.stop(LONG).is_complete());
    assert_eq!(listener.failure(), None);
    host.shutdown_timeout(LONG);
    assert_eq!(listener.failure(), Some("its runtime has ended"));
    assert_eq!(stopped.failure(), None);
}

#[test]
fn a_runtime_that_never_turns_is_told_of_when_it_is_gone() {
    let pipeline = pipeline();
    let host = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let listening = Listening {
        runtime: Runtime::of_host(host.handle().clone()),
        ..listening()
    };
    let listener = start(&pipeline, listening);
    assert_eq!(listener.failure(), None);
    drop(host);
    assert_eq!(listener.failure(), Some("its runtime has ended"));
}
