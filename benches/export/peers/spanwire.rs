//! Spanwire: the pipeline and the gRPC exporter with their defaults.

use std::{hint::black_box, time::Duration};

use spanwire_benches::payload::{NAME, SCOPE};
use spanwire_core::{pipeline::Pipeline, tracer::Tracer};
use spanwire_transport::exporter::grpc::GrpcExporter;

use super::{KEYS, Peer, Values};

/// Longer than any flush takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn build(endpoint: &str) -> &'static dyn Peer {
    let exporter = GrpcExporter::builder()
        .endpoint(endpoint)
        .build()
        .expect("an address of this machine");
    let pipeline = Pipeline::builder()
        .service_name(SCOPE)
        .exporter(move || exporter.clone())
        .build()
        .expect("the defaults");
    Box::leak(Box::new(Spanwire {
        tracer: pipeline.tracer(SCOPE),
        pipeline,
        values: Values::default(),
    }))
}

struct Spanwire {
    tracer: Tracer,
    pipeline: Pipeline,
    values: Values,
}

impl Peer for Spanwire {
    fn record(&self, spans: usize) {
        for _ in 0..spans {
            let mut span = self.tracer.span(NAME).root().start();
            for (key, value) in KEYS.iter().zip(&black_box(&self.values).0) {
                span.set_attribute(key, value.as_str());
            }
        }
    }

    fn flush(&self) {
        // What is not settled then is in the account.
        let _ = self.pipeline.flush(PATIENCE);
    }

    fn lost(&self) -> Option<u64> {
        let stats = self.pipeline.stats();
        let lanes = stats.lanes.iter().map(|lane| lane.account.dropped.total());
        // Roots are thinned out when the ring fills; they are not sampled, and counted.
        let door = stats.own.dropped.total() + stats.own.not_sampled_overload;
        Some(door + lanes.sum::<u64>())
    }
}
