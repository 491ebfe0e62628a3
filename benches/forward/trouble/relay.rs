//! The process of the relay: receivers of both kinds, a batcher, an exporter, and spans of its own.

use std::{
    io::{self, BufRead, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use spanwire_core::{
    batch::{BatchLimits, Batcher},
    pipeline::{Pipeline, Report},
};
use spanwire_transport::{
    compression::Compression,
    exporter::grpc::GrpcExporter,
    receiver::{grpc::GrpcReceiver, http::HttpReceiver},
};

use super::OTHERS;

/// Who speaks in the relay's own spans.
pub const OWN: &str = "relay";

/// Between two spans of its own.
const EVERY: Duration = Duration::from_millis(5);

/// How long it may take until all is sent on.
const SETTLED: Duration = Duration::from_secs(120);

/// Relays until standard input ends. `account` and `flush` are answered with its account, the latter once there is nothing
/// left to be sent; `record` starts to record spans, `rest` ends that.
pub fn run(to: &str, neighbours: usize) -> io::Result<()> {
    let exporter = GrpcExporter::builder()
        .endpoint(format!("http://127.0.0.1:{to}"))
        .compression(Compression::None)
        .build()
        .map_err(io::Error::other)?;
    let pipeline = Pipeline::builder()
        .service_name(OWN)
        .sampling_rate_per_million(1_000_000)
        .memory_limit((neighbours + OTHERS) << 20)
        .neighbours(neighbours << 20)
        .stage(|| {
            Batcher::new(BatchLimits {
                spans: Some(8192),
                age: Duration::from_millis(200),
                ..BatchLimits::default()
            })
        })
        .exporter(move || exporter.clone())
        .build()
        .map_err(io::Error::other)?;
    let grpc = GrpcReceiver::builder()
        .endpoint("127.0.0.1:0")
        .serve(pipeline.intake())
        .map_err(io::Error::other)?;
    let http = HttpReceiver::builder()
        .endpoint("127.0.0.1:0")
        .serve(pipeline.intake())
        .map_err(io::Error::other)?;
    let port = |address: Option<std::net::SocketAddr>| address.map_or(0, |address| address.port());
    println!("{} {}", port(grpc.local_addr()), port(http.local_addr()));
    let recorded = Arc::new(AtomicU64::new(0));
    let mut recorder = None;
    for line in io::stdin().lock().lines() {
        let report = match line?.trim() {
            "record" => {
                let (tracer, recorded) = (pipeline.tracer(OWN), recorded.clone());
                let (stop, stopped) = std::sync::mpsc::channel::<()>();
                let thread = thread::spawn(move || {
                    use std::sync::mpsc::RecvTimeoutError::Timeout;
                    while stopped.recv_timeout(EVERY) == Err(Timeout) {
                        drop(tracer.start("a span of the relay's own"));
                        recorded.fetch_add(1, Relaxed);
                    }
                });
                recorder = Some((stop, thread));
                continue;
            }
            "rest" => {
                if let Some((stop, thread)) = recorder.take() {
                    drop(stop);
                    // It does nothing that could panic.
                    let _ = thread.join();
                }
                continue;
            }
            "flush" => Some(pipeline.flush(SETTLED)),
            _ => None,
        };
        let stats = pipeline.stats();
        let settled = report.as_ref().is_some_and(Report::is_complete);
        let sum = |of: &dyn Fn(&spanwire_core::engine::LaneAccount) -> u64| {
            stats
                .lanes
                .iter()
                .map(|lane| of(&lane.account))
                .sum::<u64>()
        };
        let memory = stats
            .memory
            .ok_or_else(|| io::Error::other("a pipeline without memory"))?;
        let (on_grpc, on_http) = (grpc.stats(), http.stats());
        let numbers = [
            u64::from(settled),
            recorded.load(Relaxed),
            stats.own.dropped.total() + stats.own.not_sampled + stats.own.not_sampled_overload,
            stats.neighbours.admitted,
            stats.neighbours.turned_away,
            sum(&|lane| lane.exported),
            sum(&|lane| lane.dropped.total()),
            sum(&|lane| lane.buffered + lane.in_flight),
            sum(&|lane| lane.possibly_duplicated),
            memory.budget as u64,
            memory.high_water as u64,
            memory.neighbours.limit as u64,
            memory.neighbours.high_water as u64,
            memory.neighbours.in_use as u64,
            on_grpc.open + on_http.open,
            on_grpc.evicted + on_http.evicted,
            on_grpc.refused + on_http.refused,
            on_grpc.cut + on_http.cut,
        ];
        let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
        println!("{}", words.join(" "));
        io::stdout().flush()?;
    }
    // Not by returning: what it holds may have nowhere to go.
    std::process::exit(0);
}

/// What a relay says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// Whether nothing was left to be sent, and nothing lost, when it was last asked to flush.
    pub settled: bool,
    /// Spans of its own, and those of them that were not taken.
    pub own: f64,
    pub own_dropped: f64,
    /// Spans of neighbours.
    pub admitted: f64,
    pub turned_away: f64,
    /// Spans of both.
    pub exported: f64,
    pub dropped: f64,
    pub waiting: f64,
    pub possibly_twice: f64,
    /// Bytes.
    pub budget: f64,
    pub high_water: f64,
    pub neighbours: f64,
    pub neighbours_high_water: f64,
    pub neighbours_in_use: f64,
    /// Connections.
    pub open: f64,
    pub evicted: f64,
    /// Requests.
    pub refused: f64,
    pub cut: f64,
}

impl Account {
    pub fn of(numbers: &[f64]) -> io::Result<Self> {
        let &[
            settled,
            own,
            own_dropped,
            admitted,
            turned_away,
            exported,
            dropped,
            waiting,
            possibly_twice,
            budget,
            high_water,
            neighbours,
            neighbours_high_water,
            neighbours_in_use,
            open,
            evicted,
            refused,
            cut,
        ] = numbers
        else {
            return Err(io::Error::other("an account is eighteen numbers"));
        };
        Ok(Self {
            settled: settled == 1.0,
            own,
            own_dropped,
            admitted,
            turned_away,
            exported,
            dropped,
            waiting,
            possibly_twice,
            budget,
            high_water,
            neighbours,
            neighbours_high_water,
            neighbours_in_use,
            open,
            evicted,
            refused,
            cut,
        })
    }
}
