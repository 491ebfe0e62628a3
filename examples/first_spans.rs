//! Embeds a pipeline, records a few hundred spans on two threads, and reads the exported bytes back.
//!
//! The exporter is our own: it keeps the request bytes where another would send them. They are read by
//! opentelemetry-proto, which knows nothing of Spanwire.

use std::collections::HashMap;
use std::error::Error;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spanwire_core::attribute::KeyValue;
use spanwire_core::batch::Batch;
use spanwire_core::exporter::{Exporter, Outcome, Reply};
use spanwire_core::pipeline::Pipeline;
use spanwire_core::tracer::Tracer;
use spanwire_core::wire::SpanKind;

/// Hands the bytes of each request to another thread.
struct Forward(mpsc::Sender<Vec<u8>>);

impl Exporter for Forward {
    fn export(&mut self, batch: Batch, reply: Reply) {
        let request = batch.to_vec();
        // The batch gives its blocks back to the ring before the answer frees its slot.
        drop(batch);
        reply.done(match self.0.send(request) {
            Ok(()) => Outcome::Exported,
            Err(_) => Outcome::Rejected {
                code: None,
                reason: "nobody reads".into(),
            },
        });
    }
}

/// One unit of work, and a part of it that is its child because it starts inside.
fn sync_pod(tracer: &Tracer, number: i64) {
    let attributes = [
        KeyValue::new("pod.number", number),
        KeyValue::new("pod.namespace", "default"),
    ];
    let pod = tracer
        .span("sync pod")
        .kind(SpanKind::Server)
        .attributes(&attributes)
        .start();
    let _entered = pod.enter();
    let mut mount = tracer.start("mount volume");
    mount
        .set_attribute("volume.bytes", 1_i64 << 30)
        .add_event("attached", &[]);
}

fn main() -> Result<(), Box<dyn Error>> {
    let (sender, requests) = mpsc::channel();
    let pipeline = Pipeline::builder()
        .service_name("node-agent")
        .sampling_rate_per_million(1_000_000)
        .memory_limit(8 * 1024 * 1024)
        .exporter(move || Forward(sender.clone()))
        .build()?;
    let tracer = pipeline.tracer("node-agent/pods");

    thread::scope(|threads| {
        for half in 0..2 {
            let tracer = &tracer;
            threads.spawn(move || (0..100).for_each(|n| sync_pod(tracer, half * 100 + n)));
        }
    });

    let report = pipeline.shutdown(Duration::from_secs(5));
    println!("{report}");

    let mut bytes = 0;
    let mut names = HashMap::<String, usize>::new();
    for request in requests.try_iter() {
        bytes += request.len();
        for resource in ExportTraceServiceRequest::decode(request.as_slice())?.resource_spans {
            for span in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                *names.entry(span.name).or_default() += 1;
            }
        }
    }
    println!("{bytes} bytes of OTLP hold {names:?}");
    let all_there = names.get("sync pod") == Some(&200) && names.get("mount volume") == Some(&200);
    if report.is_complete() && all_there {
        Ok(())
    } else {
        Err("spans were lost".into())
    }
}
