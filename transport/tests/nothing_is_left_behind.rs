//! Guarantees: a pipeline that has ended leaves no thread and no socket behind, whatever its sink did.
#![cfg(all(target_os = "linux", feature = "grpc"))]

use core::time::Duration;
use std::fs;

use server::{Answer, Server};
use spanwire_core::pipeline::Pipeline;
use spanwire_transport::exporter::grpc::GrpcExporter;
use waiting::eventually;

mod server;
#[path = "../../core/tests/waiting/mod.rs"]
mod waiting;

const LONG: Duration = Duration::from_secs(60);

/// The threads of pipelines and exporters in this process, by name.
fn threads() -> Vec<String> {
    fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_string())
        .filter(|name| name.starts_with("spanwire"))
        .collect()
}

/// The open files and sockets of this process.
fn files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn threads_and_sockets_end_with_the_pipeline() {
    // Every other one never answers.
    let server = Server::start(|number, _| match number % 2 {
        0 => Answer::ok(),
        _ => Answer::Nothing,
    });
    let once = || {
        let exporter = GrpcExporter::builder()
            .endpoint(server.url())
            .build()
            .unwrap();
        let pipeline = Pipeline::builder()
            .memory_limit(1 << 20)
            .exporter(move || exporter.clone())
            .build()
            .unwrap();
        let before = server.seen().len();
        pipeline.tracer("test").start("span").end();
        drop(pipeline.flush_async(LONG));
        eventually("it arrives", || server.seen().len() > before);
        let _ = pipeline.shutdown(Duration::from_millis(300));
    };
    // The first makes what stays: the server's end of things, and what the process opens once.
    once();
    eventually("the first has ended", || threads().is_empty());
    let before = files();
    for _ in 0..20 {
        once();
    }
    assert_eq!(server.seen().len(), 21);
    eventually("threads have ended", || threads().is_empty());
    eventually("sockets are closed", || files() <= before);
}
