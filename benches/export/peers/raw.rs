//! The floor of sending: a tonic channel, and one request of encoded spans, the same bytes again and again, four at a time.

use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Version};
use http_body::Body as _;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use spanwire_benches::{
    grpc::{self, EXPORT, Whole},
    payload::NAME,
};
use tokio::{runtime::Runtime, task::JoinSet};
use tonic::{
    body::Body,
    transport::{Channel, Endpoint},
};
use tower_service::Service;

use super::{KEYS, Peer, Values};

/// Spans of one request: about a mebibyte.
const SPANS: usize = 2048;

pub fn build(endpoint: &str) -> &'static dyn Peer {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system has sockets");
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).expect("an address");
    let channel = {
        let _entered = runtime.enter();
        endpoint.connect_lazy()
    };
    Box::leak(Box::new(Raw {
        runtime: std::sync::Mutex::new(runtime),
        channel,
        message: message(),
    }))
}

struct Raw {
    runtime: std::sync::Mutex<Runtime>,
    channel: Channel,
    message: Bytes,
}

impl Peer for Raw {
    fn record(&self, spans: usize) {
        let runtime = self.runtime.lock().expect("one thread");
        runtime.block_on(async {
            let mut flying = JoinSet::new();
            for _ in 0..spans / SPANS {
                if flying.len() == 4 {
                    flying.join_next().await;
                }
                flying.spawn(send(self.channel.clone(), self.message.clone()));
            }
            while flying.join_next().await.is_some() {}
        });
    }

    /// Every call of `record` waits for its answers.
    fn flush(&self) {}
}

async fn send(mut channel: Channel, message: Bytes) {
    let mut request = Request::new(Body::new(Whole::new(message)));
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = http::Uri::from_static(EXPORT);
    let kind = HeaderValue::from_static("application/grpc");
    request.headers_mut().insert("content-type", kind);
    std::future::poll_fn(|cx| channel.poll_ready(cx))
        .await
        .expect("a server");
    let response = channel.call(request).await.expect("an answer");
    let mut body = response.into_body();
    while std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))
        .await
        .is_some()
    {}
}

/// A gRPC message of spans as everybody sends them, made by an encoder that is nobody's here.
fn message() -> Bytes {
    let values = Values::default().0;
    let attributes: Vec<KeyValue> = (KEYS.iter().zip(values))
        .map(|(key, value)| KeyValue {
            key: (*key).into(),
            value: Some(AnyValue {
                value: Some(Value::StringValue(value)),
            }),
            ..KeyValue::default()
        })
        .collect();
    let spans = (1..=SPANS as u64).map(|number| Span {
        trace_id: [number.to_be_bytes(), number.to_be_bytes()].concat(),
        span_id: number.to_be_bytes().to_vec(),
        flags: 0x101,
        name: NAME.into(),
        kind: 1,
        start_time_unix_nano: 1_760_000_000_000_000_000,
        end_time_unix_nano: 1_760_000_000_000_000_400,
        attributes: attributes.clone(),
        ..Span::default()
    });
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: spans.collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    grpc::message(false, &request.encode_to_vec())
}
