use core::time::Duration;
use std::sync::mpsc::channel;

use super::*;

const LONG: Duration = Duration::from_secs(20);

/// Whether a future runs, is silenced, and can sleep and speak over sockets.
fn works(spawner: &Spawner) -> bool {
    let (sender, receiver) = channel();
    let spawned = spawner.spawn(async move {
        let before = current::is_suppressed();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        sender
            .send(before && current::is_suppressed() && socket.is_ok())
            .unwrap();
    });
    spawned.is_ok() && receiver.recv_timeout(LONG) == Ok(true)
}

/// Tells when it is dropped.
struct Told(std::sync::mpsc::Sender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

fn hosts() -> [tokio::runtime::Runtime; 3] {
    use tokio::runtime::Builder;
    let multi = |workers| {
        Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build()
            .unwrap()
    };
    let single = Builder::new_current_thread().enable_all().build().unwrap();
    [single, multi(1), multi(3)]
}

#[test]
fn a_thread_of_its_own() {
    let spawner = Spawner::new(&Runtime::own());
    assert!(works(&spawner));
    assert!(works(&spawner));
    assert_eq!(spawner.executor().moves(), 0);
}

#[test]
fn the_threads_of_the_host() {
    for host in hosts().into_iter().skip(1) {
        let spawner = Spawner::new(&Runtime::of_host(host.handle().clone()));
        assert!(works(&spawner));
        assert_eq!(spawner.executor().moves(), 0);
    }
}

/// Guarantees: whatever kind of runtime has ended, its successor runs the very future that it would not.
#[test]
fn a_host_that_has_ended_is_replaced() {
    for host in hosts() {
        let spawner = Spawner::new(&Runtime::of_host(host.handle().clone()));
        drop(host);
        assert!(works(&spawner));
        assert_eq!(spawner.executor().moves(), 1);
        assert!(works(&spawner));
        assert_eq!(spawner.executor().moves(), 1);
    }
}

#[test]
fn what_is_unfinished_is_dropped_at_the_end() {
    let [single, multi, _] = hosts();
    for runtime in [
        Runtime::own(),
        Runtime::of_host(multi.handle().clone()),
        Runtime::of_host(single.handle().clone()),
    ] {
        let spawner = Spawner::new(&runtime);
        let (sender, receiver) = channel();
        let told = Told(sender);
        spawner
            .spawn(async move {
                let _told = told;
                core::future::pending::<()>().await;
            })
            .unwrap();
        assert!(receiver.try_recv().is_err());
        spawner.close();
        single.block_on(tokio::task::yield_now());
        receiver.recv_timeout(LONG).unwrap();
        assert!(spawner.spawn(async {}).is_err());
    }
}

#[test]
fn an_executor_keeps_nothing_alive() {
    let spawner = Spawner::new(&Runtime::own());
    let executor = spawner.executor();
    let (sender, receiver) = channel();
    let told = Told(sender);
    executor.spawn(Box::pin(async move {
        let _told = told;
        core::future::pending::<()>().await;
    }));
    drop(spawner);
    receiver.recv_timeout(LONG).unwrap();
    executor.spawn(Box::pin(async { unreachable!("nobody runs it") }));
}
