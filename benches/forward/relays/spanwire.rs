//! Spanwire: a gRPC receiver, memory limiter, batcher and, where asked for, resource processor, a gRPC exporter.

use std::time::Duration;

use spanwire_core::{
    batch::{BatchLimits, Batcher},
    pipeline::Pipeline,
    processor::{Actions, ResourceProcessor},
};
use spanwire_transport::{
    compression::Compression, exporter::grpc::GrpcExporter, receiver::grpc::GrpcReceiver,
};

use super::{BATCH_MILLIS, BATCH_SPANS, CLUSTER, Coding, Name};

/// The budget, and what neighbours may fill of it.
pub const MEMORY: usize = 64 << 20;
const NEIGHBOURS: usize = 32 << 20;

/// Starts it; returns its port.
pub fn start(name: Name, coding: Coding, to: &str) -> u16 {
    let exporter = GrpcExporter::builder()
        .endpoint(to)
        .compression(match coding {
            Coding::Plain => Compression::None,
            Coding::Gzip => Compression::Gzip,
            Coding::Zstd => Compression::Zstd,
        })
        .build()
        .expect("an address of this machine");
    let mut pipeline = Pipeline::builder()
        .memory_limit(MEMORY)
        .neighbours(NEIGHBOURS)
        .stage(|| {
            Batcher::new(BatchLimits {
                spans: Some(BATCH_SPANS),
                age: Duration::from_millis(BATCH_MILLIS),
                ..BatchLimits::default()
            })
        });
    if name.edits() {
        let (key, value) = CLUSTER;
        pipeline =
            pipeline.stage(move || ResourceProcessor::new(Actions::new().upsert(key, value)));
    }
    let pipeline = pipeline
        .exporter(move || exporter.clone())
        .build()
        .expect("settings within their ranges");
    let receiver = GrpcReceiver::builder()
        .endpoint("127.0.0.1:0")
        .serve(pipeline.intake())
        .expect("a free port");
    let port = receiver.local_addr().expect("a port of TCP").port();
    // Both run until the process ends.
    Box::leak(Box::new((pipeline, receiver)));
    port
}
