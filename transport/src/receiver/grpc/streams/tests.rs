use core::time::Duration;
use std::sync::atomic::AtomicUsize;

use hyper::rt::Executor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::receiver::body::tests::connection;
use crate::receiver::connection::READ_AHEAD_BYTES;

/// Reads all there is, and begins a request for every kilobyte, which takes `pause` to have it.
struct Reading {
    stream: crate::dial::Connection,
    streams: Streams,
    pause: Duration,
    untaken: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Future for Reading {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            let mut chunk = [0; 1024];
            let mut buffer = tokio::io::ReadBuf::new(&mut chunk);
            let read = Pin::new(&mut this.stream).poll_read(context, &mut buffer);
            core::task::ready!(read).unwrap();
            let read = buffer.filled().len();
            if read == 0 {
                return Poll::Ready(());
            }
            let now = this.untaken.fetch_add(read, Ordering::Relaxed) + read;
            this.most.fetch_max(now, Ordering::Relaxed);
            let (untaken, pause) = (this.untaken.clone(), this.pause);
            this.streams.execute(async move {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                untaken.fetch_sub(read, Ordering::Relaxed);
            });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_ahead_is_bounded_whatever_a_peer_sends_at_once() {
    let connection = connection(1 << 20);
    let (ours, mut theirs) = tokio::io::duplex(4 << 20);
    let (untaken, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let streams = Streams::new();
    let reading = Reading {
        stream: connection.listen_ahead(Box::new(ours)),
        streams: streams.clone(),
        pause: Duration::ZERO,
        untaken: untaken.clone(),
        most: most.clone(),
    };
    theirs.write_all(&vec![0; 3 << 20]).await.unwrap();
    theirs.shutdown().await.unwrap();
    Multiplexed::new(reading, streams, connection.clone()).await;
    assert_eq!(connection.counts().read().bytes, 3 << 20, "all is read");
    assert_eq!(untaken.load(Ordering::Relaxed), 0);
    let most = most.load(Ordering::Relaxed);
    assert!(most <= READ_AHEAD_BYTES, "{most}");
    assert!(most > READ_AHEAD_BYTES / 2, "{most}");
}

#[tokio::test(start_paused = true)]
async fn requests_go_on_when_they_are_woken_and_places_are_used_again() {
    let connection = connection(1 << 20);
    let (ours, mut theirs) = tokio::io::duplex(1 << 10);
    let (untaken, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let streams = Streams::new();
    let reading = Reading {
        stream: connection.listen_ahead(Box::new(ours)),
        streams: streams.clone(),
        pause: Duration::from_millis(10),
        untaken: untaken.clone(),
        most,
    };
    let mut both = Multiplexed::new(reading, streams, connection);
    let writing = async {
        for _ in 0..100 {
            theirs.write_all(&[0; 100]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(11)).await;
            assert_eq!(untaken.load(Ordering::Relaxed), 0, "each was woken");
        }
        drop(theirs);
    };
    tokio::join!(&mut both, writing);
    assert!(both.places.len() <= 2, "{}", both.places.len());
}

#[tokio::test]
async fn who_waits_for_room_is_not_read_past() {
    let connection = connection(1 << 20);
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let mut ours = connection.listen_ahead(Box::new(ours));
    theirs.write_all(&vec![0; 1 << 20]).await.unwrap();
    let mut all = vec![0; 1 << 20];
    assert!(!connection.reads_on());
    let read = tokio::time::timeout(Duration::from_millis(10), ours.read_exact(&mut all));
    assert!(read.await.is_err(), "it stops at the bound");
    let waiting = connection.wait(crate::receiver::pressure::Need::Large);
    assert!(!connection.reads_on());
    drop(waiting);
    assert!(connection.reads_on());
    assert!(!connection.reads_on(), "until the bound is met again");
}
