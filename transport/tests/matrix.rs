//! A flush and a shutdown return by their deadline, and tell the truth, wherever they are called and whatever the sink
//! does: every place times every sink times every exporter.
#![cfg(all(unix, feature = "grpc"))]

use core::time::Duration;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use std::{panic, thread};

use server::{Answer, Nobody, Server, refusing};
use spanwire_core::exporter::Exporter;
use spanwire_core::pipeline::{Pipeline, Report};
use spanwire_transport::exporter::grpc::GrpcExporter;
use spanwire_transport::runtime::Runtime;
use tokio::runtime::{Builder, Runtime as Tokio};
use waiting::{Witness, heard};

#[cfg(feature = "http")]
#[path = "matrix/http.rs"]
mod http;
mod server;
#[path = "../../core/tests/waiting/mod.rs"]
mod waiting;

/// The exporters under test.
const EXPORTERS: &[Transport] = &[
    Transport {
        name: "gRPC",
        serve: grpc_sink,
        make: grpc_exporter,
    },
    #[cfg(feature = "http")]
    Transport {
        name: "HTTP",
        serve: http::sink,
        make: http::exporter,
    },
];

struct Transport {
    name: &'static str,
    /// A sink that takes everything and answers after a while.
    serve: fn(Duration) -> Running,
    /// What makes exporters to an address.
    make: fn(SocketAddr, Runtime) -> Factory,
}

type Factory = Box<dyn Fn() -> Box<dyn Exporter> + Send + Sync>;

fn grpc_sink(wait: Duration) -> Running {
    let server = Server::start(move |_, _| Answer::After(wait, Box::new(Answer::ok())));
    Running {
        address: server.address,
        spans: Some(Box::new(move || server.spans())),
        _nobody: None,
    }
}

fn grpc_exporter(address: SocketAddr, runtime: Runtime) -> Factory {
    let exporter = GrpcExporter::builder()
        .endpoint(format!("http://{address}"))
        .runtime(runtime)
        .build()
        .unwrap();
    Box::new(move || Box::new(exporter.clone()))
}

/// For what has to happen: far more than it takes, on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(30);

/// For what can't happen.
const SHORT: Duration = Duration::from_millis(150);

/// How long a slow sink takes: longer than the short deadline.
const SLOW: Duration = Duration::from_millis(400);

/// What a deadline may be missed by.
const PROMISE: Duration = Duration::from_millis(50);

/// The same where a thread that can run is left waiting, and a witness is not late.
const MARGIN: Duration = Duration::from_secs(3);

/// How often a cell may be tried until all of its calls keep the promise. What the code does to be late it does every time.
const TRIES: usize = 5;

const SPANS: usize = 20;

/// One test at a time forks, and has the panic hook.
static ALONE: Mutex<()> = Mutex::new(());

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sink {
    Ok,
    Slow,
    BlackHole,
    Reset,
    Refusing,
}

/// A sink, and what keeps it there.
struct Running {
    address: SocketAddr,
    /// How many spans came, where that can be asked.
    spans: Option<Box<dyn Fn() -> usize>>,
    /// Who keeps the address, where nobody is there.
    _nobody: Option<Nobody>,
}

impl Sink {
    const ALL: [Self; 5] = [
        Self::Ok,
        Self::Slow,
        Self::BlackHole,
        Self::Reset,
        Self::Refusing,
    ];

    /// The timeouts of a flush and a shutdown.
    fn timeouts(self) -> (Duration, Duration) {
        match self {
            Self::Ok => (LONG, LONG),
            Self::Slow => (SHORT, LONG),
            Self::BlackHole | Self::Reset | Self::Refusing => (SHORT, SHORT),
        }
    }

    fn start(self, transport: &Transport) -> Running {
        let serve = transport.serve;
        let address = match self {
            Self::Ok => return serve(Duration::ZERO),
            Self::Slow => return serve(SLOW),
            Self::Refusing => {
                let nobody = refusing();
                return Running {
                    address: nobody.address,
                    spans: None,
                    _nobody: Some(nobody),
                };
            }
            Self::BlackHole | Self::Reset => {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let address = listener.local_addr().unwrap();
                // Ends with the process. Keeps what it accepts, or reads a little of it and hangs up with more unread,
                // which the other side sees as a reset.
                thread::spawn(move || {
                    let mut kept = Vec::new();
                    for stream in listener.incoming() {
                        let Ok(mut stream) = stream else { continue };
                        match self {
                            Self::BlackHole => kept.push(stream),
                            _ => {
                                let _ = stream.read(&mut [0; 1]);
                            }
                        }
                    }
                });
                address
            }
        };
        Running {
            address,
            spans: None,
            _nobody: None,
        }
    }
}

/// A pipeline to a sink, about to be flushed and shut down somewhere.
struct Cell {
    what: String,
    sink: Sink,
    pipeline: Pipeline,
    /// Spans that were reported as exported.
    told: Arc<AtomicU64>,
    lates: Lates,
}

/// How late calls came back, and a witness did not.
#[derive(Clone, Debug, Default)]
struct Lates(Arc<Mutex<Vec<Duration>>>);

impl Lates {
    fn took(&self, what: &str, timeout: Duration, took: Duration, witness: Witness) {
        let late = took.saturating_sub(timeout);
        let others = witness.late();
        if late > Duration::ZERO {
            println!(
                "{what} came back {late:?} after its deadline, beside sleeps that were {others:?} late"
            );
        }
        self.0.lock().unwrap().push(late.saturating_sub(others));
        assert!(
            late <= MARGIN + others,
            "{what} took {took:?} of {timeout:?}, {others:?}"
        );
    }

    /// Whether every call kept the promise, and there was one.
    fn are_kept(&self) -> bool {
        let lates = self.0.lock().unwrap();
        !lates.is_empty() && lates.iter().all(|late| *late <= PROMISE)
    }
}

impl Cell {
    fn record(&self) {
        let tracer = self.pipeline.tracer("test");
        for n in 0..SPANS {
            tracer.start("span").set_attribute("n", n as i64);
        }
    }

    fn blocking(&self) {
        self.record();
        let (flush, shutdown) = self.sink.timeouts();
        let begun = Instant::now();
        let report = self.in_time("flush", flush, || self.pipeline.flush(flush));
        self.check_flush(&report, begun.elapsed());
        let report = self.in_time("shutdown", shutdown, || self.pipeline.shutdown(shutdown));
        self.check_shutdown(&report);
    }

    async fn waiting(&self) {
        self.record();
        let (flush, shutdown) = self.sink.timeouts();
        let begun = Instant::now();
        loop {
            let (witness, start) = (Witness::start(), Instant::now());
            let report = self.pipeline.flush_async(flush).await;
            self.took("flush_async", flush, start.elapsed(), witness);
            self.check_flush(&report, begun.elapsed());
            if self.is_heard(&report, begun) {
                break;
            }
        }
        let begun = Instant::now();
        loop {
            let (witness, start) = (Witness::start(), Instant::now());
            let report = self.pipeline.shutdown_async(shutdown).await;
            self.took("shutdown_async", shutdown, start.elapsed(), witness);
            if self.is_heard(&report, begun) {
                return self.check_shutdown(&report);
            }
        }
    }

    /// Whether the pipeline's thread has answered, which it does in the end.
    fn is_heard(&self, report: &Report, begun: Instant) -> bool {
        let is_heard = !report.lanes().is_empty();
        assert!(
            is_heard || begun.elapsed() < LONG,
            "no answer: {}",
            self.what
        );
        is_heard
    }

    fn in_time(&self, call: &str, timeout: Duration, run: impl Fn() -> Report) -> Report {
        heard(&self.what, || {
            let (witness, start) = (Witness::start(), Instant::now());
            let report = run();
            self.took(call, timeout, start.elapsed(), witness);
            report
        })
    }

    fn took(&self, call: &str, timeout: Duration, took: Duration, witness: Witness) {
        let what = format!("{}: {call}", self.what);
        self.lates.took(&what, timeout, took, witness);
    }

    /// What a flush said, which was asked for so long ago.
    fn check_flush(&self, report: &Report, ago: Duration) {
        self.check(report);
        match self.sink {
            Sink::Ok => assert!(report.is_complete(), "{}: {report:?}", self.what),
            // Where the caller was held up, the answer may have come meanwhile.
            Sink::Slow if ago >= SLOW => {}
            _ => assert!(!report.is_complete(), "{}: {report:?}", self.what),
        }
    }

    fn check_shutdown(&self, report: &Report) {
        self.check(report);
        match self.sink {
            Sink::Ok | Sink::Slow => assert!(report.is_complete(), "{}: {report:?}", self.what),
            _ => {
                assert!(!report.is_complete(), "{}: {report:?}", self.what);
                assert_eq!(report.lost(), SPANS as u64, "{}: {report:?}", self.what);
            }
        }
    }

    /// Every span is accounted for.
    fn check(&self, report: &Report) {
        let own = report.own();
        assert_eq!(own.live(), 0, "{}: {own:?}", self.what);
        for lane in report.lanes() {
            let account = &lane.account;
            assert!(account.balances(), "{}: {account:?}", self.what);
            let admitted = account.admitted + report.stranded();
            assert_eq!(admitted, own.admitted, "{}: {report:?}", self.what);
            self.told.fetch_max(account.exported, Ordering::Relaxed);
        }
    }
}

/// Builds a pipeline for every sink and every exporter, and has it flushed and shut down by `run`, until it is in time.
fn everywhere(place: &str, runtime: impl Fn() -> Runtime, run: impl Fn(Arc<Cell>)) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for transport in EXPORTERS {
        for sink in Sink::ALL {
            let what = format!("{}, {place}, {sink:?}", transport.name);
            let mut lates = Lates::default();
            for _ in 0..TRIES {
                lates = once(transport, sink, &what, runtime(), &run);
                if lates.are_kept() {
                    break;
                }
            }
            assert!(
                lates.are_kept(),
                "{what}: late each time, at last {lates:?}"
            );
        }
    }
}

/// The same for one of them, once.
fn once(
    transport: &Transport,
    sink: Sink,
    what: &str,
    runtime: Runtime,
    run: impl Fn(Arc<Cell>),
) -> Lates {
    let running = sink.start(transport);
    let make = (transport.make)(running.address, runtime);
    let pipeline = Pipeline::builder()
        .memory_limit(2 << 20)
        .shutdown_timeout(sink.timeouts().1)
        .exporter(make)
        .build()
        .unwrap();
    let (told, lates) = (Arc::<AtomicU64>::default(), Lates::default());
    run(Arc::new(Cell {
        what: what.into(),
        sink,
        pipeline,
        told: told.clone(),
        lates: lates.clone(),
    }));
    if let Some(spans) = running.spans {
        // A span called exported is one that the server has.
        let (told, came) = (told.load(Ordering::Relaxed), spans() as u64);
        assert!(told > 0 && came >= told, "{what}: {came}");
    }
    lates
}

fn multi(workers: usize) -> Tokio {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap()
}

fn current_thread() -> Tokio {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn without_a_runtime() {
    everywhere("no runtime", Runtime::own, |cell| cell.blocking());
    everywhere("no runtime, polled by hand", Runtime::own, |cell| {
        server::block_on(cell.waiting());
    });
}

/// A blocking call inside a future keeps the host's only thread; the exporter has another.
#[test]
fn on_a_current_thread_runtime() {
    everywhere("current_thread", Runtime::own, |cell| {
        current_thread().block_on(async { cell.blocking() });
    });
    everywhere("current_thread, awaited", Runtime::own, |cell| {
        current_thread().block_on(cell.waiting());
    });
    let host = current_thread();
    let lent = || Runtime::of_host(host.handle().clone());
    everywhere("current_thread, lent, awaited", lent, |cell| {
        host.block_on(cell.waiting())
    });
}

#[test]
fn on_one_worker() {
    let host = multi(1);
    everywhere("1 worker", Runtime::own, |cell| {
        host.block_on(host.spawn(async move { cell.blocking() }))
            .unwrap();
    });
    let lent = || Runtime::of_host(host.handle().clone());
    everywhere("1 worker, lent, awaited", lent, |cell| {
        host.block_on(host.spawn(async move { cell.waiting().await }))
            .unwrap();
    });
}

#[test]
fn on_several_workers() {
    let host = multi(3);
    everywhere("3 workers", Runtime::own, |cell| {
        host.block_on(host.spawn(async move { cell.blocking() }))
            .unwrap();
    });
    let lent = || Runtime::of_host(host.handle().clone());
    everywhere("3 workers, lent", lent, |cell| {
        host.block_on(host.spawn(async move { cell.blocking() }))
            .unwrap();
    });
    everywhere("3 workers, lent, awaited", lent, |cell| {
        host.block_on(host.spawn(async move { cell.waiting().await }))
            .unwrap();
    });
}

#[test]
fn in_drop() {
    struct Guard(Arc<Cell>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.blocking();
        }
    }
    everywhere("in Drop", Runtime::own, |cell| drop(Guard(cell)));
    // The last handle of a pipeline shuts it down by itself.
    everywhere("in Drop, unasked", Runtime::own, |cell| {
        cell.record();
        let (timeout, told) = (cell.sink.timeouts().1, cell.told.clone());
        let (what, lates) = (cell.what.clone(), cell.lates.clone());
        let (witness, start) = (Witness::start(), Instant::now());
        drop(cell);
        lates.took(&what, timeout, start.elapsed(), witness);
        // There was time for all of them, where there is a server.
        told.store(SPANS as u64, Ordering::Relaxed);
    });
}

#[test]
fn in_a_panic_hook() {
    everywhere("in a panic hook", Runtime::own, |cell| {
        let before = panic::take_hook();
        let outcome = Arc::new(Mutex::new(None));
        let (told, me) = (outcome.clone(), thread::current().id());
        panic::set_hook(Box::new(move |_| {
            // A panic of the check itself comes here too, and must not begin anew.
            if thread::current().id() == me && told.lock().unwrap().is_none() {
                *told.lock().unwrap() = Some(Err("the hook panicked"));
                cell.blocking();
                *told.lock().unwrap() = Some(Ok(()));
            }
        }));
        let caught = catch_unwind(|| panic!("on purpose"));
        panic::set_hook(before);
        assert!(caught.is_err());
        let outcome = outcome.lock().unwrap().take();
        assert_eq!(outcome, Some(Ok(())));
    });
}

/// Guarantees: the child has a runtime, and connections, of its own; the parent's go on.
#[test]
fn in_a_forked_child() {
    let host = multi(2);
    let lent = || Runtime::of_host(host.handle().clone());
    let run = |cell: Arc<Cell>| {
        // The parent has a thread, and a connection, that the child has not.
        let in_parent = matches!(cell.sink, Sink::Ok | Sink::Slow);
        if in_parent {
            cell.record();
            let report = cell.pipeline.flush(LONG);
            assert!(report.is_complete(), "{report:?}");
            cell.check(&report);
        }
        let in_time = wait(fork(|| {
            cell.blocking();
            cell.lates.are_kept()
        }));
        let late = if in_time { Duration::ZERO } else { MARGIN };
        cell.lates.0.lock().unwrap().push(late);
        if in_parent {
            cell.record();
            assert!(cell.pipeline.flush(LONG).is_complete());
        }
    };
    everywhere("in a forked child", Runtime::own, run);
    everywhere("in a forked child, lent by the parent's", lent, run);
}

/// Scenario: a runtime that the host lent has ended before the first span, or between two flushes.
#[test]
fn with_the_runtime_of_the_host_gone() {
    for workers in [None, Some(1), Some(3)] {
        let gone = || {
            let host = workers.map_or_else(current_thread, multi);
            Runtime::of_host(host.handle().clone())
        };
        everywhere("host gone", gone, |cell| cell.blocking());
    }
    let host = Mutex::new(None);
    let lent = || {
        let tokio = multi(1);
        let lent = Runtime::of_host(tokio.handle().clone());
        *host.lock().unwrap() = Some(tokio);
        lent
    };
    everywhere("host goes", lent, |cell| {
        cell.record();
        let (flush, _) = cell.sink.timeouts();
        let report = cell.in_time("flush before", flush, || cell.pipeline.flush(flush));
        cell.check(&report);
        host.lock().unwrap().take();
        let report = cell.in_time("flush after", flush, || cell.pipeline.flush(flush));
        cell.check(&report);
        let shutdown = cell.sink.timeouts().1;
        let report = cell.in_time("shutdown", shutdown, || cell.pipeline.shutdown(shutdown));
        cell.check(&report);
        assert_eq!(
            report.is_complete(),
            matches!(cell.sink, Sink::Ok | Sink::Slow),
            "{}: {report:?}",
            cell.what
        );
    });
}

/// Runs `child` in a forked child, which tells by its exit status whether it panicked, and what it returned.
fn fork(child: impl FnOnce() -> bool) -> libc::pid_t {
    // SAFETY: the child runs the code under test, and leaves by `_exit`. That it may use more than what is
    // async-signal-safe is what is tested; the allocator of this platform survives a fork.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork failed");
    if pid > 0 {
        return pid;
    }
    let status = match catch_unwind(AssertUnwindSafe(child)) {
        Ok(true) => 0,
        Ok(false) => 2,
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            // Not by a macro, whose text the harness keeps for a report that this process does not live to give.
            let _ = writeln!(std::io::stderr(), "the child panicked: {said:?}");
            1
        }
    };
    // SAFETY: ends the process, and runs nothing of the parent's on the way.
    unsafe { libc::_exit(status) }
}

/// Waits for a child, which must not have panicked, for what it returned.
fn wait(pid: libc::pid_t) -> bool {
    let start = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: `status` is there to be written to.
        let done = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
        if done == pid {
            let ended = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
            match ended {
                Some(0) => return true,
                Some(2) => return false,
                _ => panic!("the child ended with status {status:#x}"),
            }
        }
        if start.elapsed() > LONG * 2 {
            // SAFETY: the child is this process's own and has not been waited for.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            panic!("the child hangs");
        }
        thread::sleep(Duration::from_millis(1));
    }
}
