//! The process of the server: decodes what comes, and knows whose it is. It shares no code with the relay.

use std::{
    collections::{HashMap, HashSet},
    io::{self, BufRead, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    resource::v1::Resource,
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, async_trait, transport::server::TcpIncoming};

use super::relay::OWN;
use crate::load::SPANS;

/// What has come.
#[derive(Default)]
struct Kept {
    /// Spans of each request of neighbours, by its number.
    requests: HashMap<u64, usize>,
    /// The identities of the relay's own spans, and how many came.
    own: HashSet<Vec<u8>>,
    own_spans: u64,
}

#[derive(Clone, Default)]
struct Server {
    /// Milliseconds before an answer.
    after: Arc<AtomicU64>,
    kept: Arc<Mutex<Kept>>,
}

impl Server {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TraceService for Server {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        tokio::time::sleep(Duration::from_millis(self.after.load(Relaxed))).await;
        // Whoever did not wait for the answer sends again: only what is answered has come.
        let mut kept = self.kept();
        for part in request.into_inner().resource_spans {
            let own = is_own(part.resource.as_ref());
            for span in part.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                if own {
                    kept.own_spans += 1;
                    kept.own.insert(span.span_id);
                } else {
                    let number = span.trace_id.first_chunk().copied().unwrap_or_default();
                    *kept.requests.entry(u64::from_be_bytes(number)).or_default() += 1;
                }
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn is_own(resource: Option<&Resource>) -> bool {
    let attributes = resource
        .into_iter()
        .flat_map(|resource| &resource.attributes);
    let mut values = attributes
        .filter(|attribute| attribute.key == "service.name")
        .filter_map(|attribute| attribute.value.as_ref()?.value.as_ref());
    values.any(|value| matches!(value, Value::StringValue(name) if name == OWN))
}

/// Serves until standard input ends. `arrived` is answered with what has come; a number is from now on the milliseconds
/// before an answer.
pub fn run() -> io::Result<()> {
    let server = Server::default();
    let told = server.clone();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            match line.trim().parse() {
                Ok(millis) => told.after.store(millis, Relaxed),
                Err(_) => {
                    println!("{}", told.kept().arrived());
                    let _ = io::stdout().flush();
                }
            }
        }
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        tonic::transport::Server::builder()
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .add_service(TraceServiceServer::new(server).max_decoding_message_size(128 << 20))
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
            .await
            .map_err(io::Error::other)
    })
}

impl Kept {
    fn arrived(&self) -> String {
        let torn = self.requests.values().filter(|&&spans| spans != SPANS);
        format!(
            "{} {} {} {} {} {}",
            self.requests.values().sum::<usize>(),
            self.requests.len(),
            torn.count(),
            digest(self.requests.keys().copied()),
            self.own.len(),
            self.own_spans,
        )
    }
}

/// Tells sets of requests apart; small enough to be exact as a float.
pub fn digest(requests: impl Iterator<Item = u64>) -> u64 {
    let mixed = requests.map(|number| {
        let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16
    });
    mixed.fold(0, u64::wrapping_add) & ((1 << 48) - 1)
}

/// What a server says has come.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// Spans of neighbours, the requests they were in, and of these the ones that did not come whole and once.
    pub spans: f64,
    pub requests: f64,
    pub torn: f64,
    /// Of the requests.
    pub digest: f64,
    /// Spans of the relay's own, by identity, and all that came.
    pub own: f64,
    pub own_spans: f64,
}

impl Arrived {
    pub fn of(numbers: &[f64]) -> io::Result<Self> {
        let &[spans, requests, torn, digest, own, own_spans] = numbers else {
            return Err(io::Error::other("what has arrived is six numbers"));
        };
        Ok(Self {
            spans,
            requests,
            torn,
            digest,
            own,
            own_spans,
        })
    }
}
