//! What one writes first: the generated server, a queue of requests, the generated client.

use std::{io, sync::mpsc::sync_channel, time::Duration};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_client::TraceServiceClient,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::ResourceSpans,
};
use tokio::{
    net::TcpListener,
    sync::mpsc::{Receiver, Sender, channel},
    time::timeout,
};
use tonic::{
    Request, Response, Status, async_trait,
    codec::CompressionEncoding,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

use super::{BATCH_MILLIS, BATCH_SPANS, CLUSTER, Coding, Name};

/// Requests that wait for the batcher.
const QUEUE: usize = 64;

/// Starts it on a thread of its own; returns its port.
pub fn start(name: Name, coding: Coding, to: String) -> io::Result<u16> {
    let (tell, port) = sync_channel(1);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let _heard = tell.send(listener.local_addr()?.port());
            serve(listener, name, coding, to)
                .await
                .map_err(io::Error::other)
        })
    });
    port.recv().map_err(io::Error::other)
}

async fn serve(
    listener: TcpListener,
    name: Name,
    coding: Coding,
    to: String,
) -> Result<(), tonic::transport::Error> {
    let channel_to = Endpoint::from_shared(to)?.connect().await?;
    let mut client = TraceServiceClient::new(channel_to);
    let (queue, requests) = channel(QUEUE);
    let mut server = TraceServiceServer::new(Relay(queue));
    let encoding = match coding {
        Coding::Plain => None,
        Coding::Gzip => Some(CompressionEncoding::Gzip),
        Coding::Zstd => Some(CompressionEncoding::Zstd),
    };
    if let Some(encoding) = encoding {
        client = client.send_compressed(encoding);
        server = server.accept_compressed(encoding);
    }
    tokio::spawn(batch(requests, client, name.edits()));
    Server::builder()
        .add_service(server)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await
}

/// Takes requests in.
struct Relay(Sender<Vec<ResourceSpans>>);

#[async_trait]
impl TraceService for Relay {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans = request.into_inner().resource_spans;
        match self.0.send(spans).await {
            Ok(()) => Ok(Response::new(ExportTraceServiceResponse::default())),
            Err(_) => Err(Status::unavailable("the relay has ended")),
        }
    }
}

/// Puts requests together, and sends them on, four at a time.
async fn batch(
    mut requests: Receiver<Vec<ResourceSpans>>,
    client: TraceServiceClient<Channel>,
    edits: bool,
) {
    let mut flying = tokio::task::JoinSet::new();
    while let Some(mut resource_spans) = requests.recv().await {
        let mut spans = count(&resource_spans);
        let patience = tokio::time::Instant::now() + Duration::from_millis(BATCH_MILLIS);
        while spans < BATCH_SPANS {
            let left = patience.saturating_duration_since(tokio::time::Instant::now());
            match timeout(left, requests.recv()).await {
                Ok(Some(more)) => {
                    spans += count(&more);
                    resource_spans.extend(more);
                }
                _ => break,
            }
        }
        if edits {
            resource_spans.iter_mut().for_each(edit);
        }
        if flying.len() == 4 {
            flying.join_next().await;
        }
        let mut client = client.clone();
        flying.spawn(async move {
            let request = ExportTraceServiceRequest { resource_spans };
            client.export(request).await.expect("an answer");
        });
    }
}

fn count(resource_spans: &[ResourceSpans]) -> usize {
    let scopes = resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

/// Inserts or replaces one attribute of the resource.
fn edit(spans: &mut ResourceSpans) {
    let attributes = &mut spans.resource.get_or_insert_default().attributes;
    let value = Some(AnyValue {
        value: Some(any_value::Value::StringValue(CLUSTER.1.into())),
    });
    match attributes
        .iter_mut()
        .find(|attribute| attribute.key == CLUSTER.0)
    {
        Some(attribute) => attribute.value = value,
        None => attributes.push(KeyValue {
            key: CLUSTER.0.into(),
            value,
            ..KeyValue::default()
        }),
    }
}
