//! Exporters as their sections say.

use core::time::Duration;
use std::sync::Arc;

use spanwire_core::engine::Retry;
use spanwire_core::pipeline::{ExportPolicy, PipelineBuilder};

use super::Host;
#[allow(unused_imports, reason = "everything may be built in")]
use super::not_built_in;
use crate::config::Walk;
use crate::config::collector::{self, Exporter, SendingQueue};
#[cfg(feature = "file")]
use crate::exporter::file::FileExporterBuilder;

// Over gRPC and over HTTP.
#[cfg(any(feature = "grpc", feature = "http"))]
mod otlp;

/// How much longer a pipeline waits than the exporter does, which knows better what it waited for.
const LONGER: Duration = Duration::from_secs(1);

/// How long who sends waits for an export that may take for ever. Its own deadline comes first.
#[cfg_attr(
    not(any(feature = "grpc", feature = "http")),
    allow(dead_code, reason = "for exporters over the network")
)]
const MOST_WAIT: Duration = Duration::from_secs(3600);

/// Adds an exporter to a pipeline, as often as it is asked to.
type Add = Arc<dyn Fn(PipelineBuilder) -> PipelineBuilder + Send + Sync>;

/// One exporter, validated.
#[derive(Clone)]
pub(super) struct Outlet {
    pub(super) id: String,
    /// `otel.component.type` of its metrics.
    pub(super) kind: &'static str,
    add: Add,
    /// How long who sends waits for the export; `None`: for admission alone.
    pub(super) waits: Option<Duration>,
    /// The file that it writes to.
    #[cfg(feature = "file")]
    pub(super) file: Option<FileExporterBuilder>,
}

impl Outlet {
    /// What a section asks for. What can't be had is told to `walk`.
    pub(super) fn new(id: &str, exporter: &Exporter, host: &Host, walk: &mut Walk) -> Option<Self> {
        match exporter {
            #[cfg(feature = "grpc")]
            Exporter::OtlpGrpc(section) => otlp::grpc(id, section, host, walk),
            #[cfg(feature = "http")]
            Exporter::OtlpHttp(section) => otlp::http(id, section, host, walk),
            Exporter::Debug(section) => debug(id, section, walk),
            Exporter::File(section) => file(id, section, walk),
            #[cfg(not(all(feature = "grpc", feature = "http")))]
            other => {
                let feature = match other {
                    Exporter::OtlpGrpc(_) => "grpc",
                    _ => "http",
                };
                let _ = host;
                not_built_in(feature, walk);
                None
            }
        }
    }

    /// Adds it to a pipeline, under its id.
    pub(super) fn add(&self, builder: PipelineBuilder) -> PipelineBuilder {
        (self.add)(builder)
    }
}

#[cfg(feature = "debug")]
fn debug(id: &str, section: &collector::DebugExporter, walk: &mut Walk) -> Option<Outlet> {
    use crate::exporter::debug::{DebugExporter, Verbosity};
    use std::io::{self, Write};

    queue(section.sending_queue.as_ref(), walk);
    let verbosity: Verbosity = match section.verbosity.parse() {
        Ok(verbosity) => verbosity,
        Err(error) => {
            walk.within("verbosity", |walk| walk.fault(format!("{error}")));
            return None;
        }
    };
    // The Collector's own log goes to standard error.
    let to_stdout = match &*section.output_paths {
        _ if section.use_internal_logger => false,
        [path] if path == "stdout" => true,
        [path] if path == "stderr" => false,
        _ => {
            walk.within("output_paths", |walk| {
                walk.fault("has to be one path; accepted: stdout, stderr");
            });
            return None;
        }
    };
    let (initial, thereafter) = (section.sampling_initial, section.sampling_thereafter);
    let name = id.to_owned();
    Some(Outlet {
        id: id.into(),
        kind: "spanwire_debug_exporter",
        add: Arc::new(move |builder| {
            builder.shared_exporter(&name, move || {
                let out: Box<dyn Write + Send> = match to_stdout {
                    true => Box::new(io::stdout()),
                    false => Box::new(io::stderr()),
                };
                DebugExporter::new(out)
                    .verbosity(verbosity)
                    .sampling_initial(initial)
                    .sampling_thereafter(thereafter)
            })
        }),
        waits: None,
        #[cfg(feature = "file")]
        file: None,
    })
}

#[cfg(not(feature = "debug"))]
fn debug(_: &str, _: &collector::DebugExporter, walk: &mut Walk) -> Option<Outlet> {
    not_built_in("debug", walk);
    None
}

#[cfg(feature = "file")]
fn file(id: &str, section: &collector::FileExporter, _: &mut Walk) -> Option<Outlet> {
    use crate::exporter::file::FileExporter;

    // Nothing is rotated unless somebody asks, and a configuration can't yet.
    let settings = FileExporter::builder(&section.path)
        .max_bytes(0)
        .truncate(!section.append);
    let file = settings.clone();
    let name = id.to_owned();
    Some(Outlet {
        id: id.into(),
        kind: "spanwire_file_exporter",
        add: Arc::new(move |builder| {
            let settings = settings.clone();
            builder.shared_exporter(&name, move || settings.clone().build())
        }),
        waits: None,
        file: Some(file),
    })
}

#[cfg(not(feature = "file"))]
fn file(_: &str, _: &collector::FileExporter, walk: &mut Walk) -> Option<Outlet> {
    not_built_in("file", walk);
    None
}

/// What a queue section asks for beyond the requests in flight.
fn queue(section: Option<&SendingQueue>, walk: &mut Walk) {
    let Some(section) = section else { return };
    let usual = SendingQueue::default();
    walk.within("sending_queue", |walk| {
        if (section.queue_size, &section.sizer) != (usual.queue_size, &usual.sizer) {
            walk.within("queue_size", |walk| {
                walk.warn("has no effect: what waits is bounded in bytes, by the memory_limiter");
            });
        }
        if section.block_on_overflow {
            walk.within("block_on_overflow", |walk| {
                walk.warn(
                    "has no effect: who sends when there is no room is refused, and may send again",
                );
            });
        }
    });
}

/// How an exporter is tried, and how often.
#[cfg_attr(
    not(any(feature = "grpc", feature = "http")),
    allow(dead_code, reason = "for exporters over the network")
)]
fn policy(retry: &collector::Retry, timeout: Duration, walk: &mut Walk) -> ExportPolicy {
    let percent = |of: f64| (of * 100.0).round() as u32;
    let retry = if retry.enabled {
        if retry.multiplier < 1.0 {
            walk.within("retry_on_failure", |walk| {
                walk.within("multiplier", |walk| {
                    walk.warn("is used as 1: delays never shrink")
                });
            });
        }
        Retry {
            initial: retry.initial_interval,
            multiplier_percent: percent(retry.multiplier),
            jitter_percent: percent(retry.randomization_factor),
            max: retry.max_interval,
            max_elapsed: Some(retry.max_elapsed_time).filter(|time| !time.is_zero()),
        }
    } else {
        Retry::NEVER
    };
    let timeout = match timeout {
        Duration::ZERO => Duration::ZERO,
        timeout => timeout.saturating_add(LONGER),
    };
    ExportPolicy::new().retry(retry).export_timeout(timeout)
}

/// How long an export may take with everything that is tried, where there is no queue between who sends and the exporter.
#[cfg_attr(
    not(any(feature = "grpc", feature = "http")),
    allow(dead_code, reason = "for exporters over the network")
)]
fn waits(
    queue: Option<&SendingQueue>,
    retry: &collector::Retry,
    timeout: Duration,
) -> Option<Duration> {
    if queue.is_some_and(|queue| !queue.wait_for_result) {
        return None;
    }
    let attempt = if timeout.is_zero() {
        MOST_WAIT
    } else {
        timeout
    };
    let retrying = match (retry.enabled, retry.max_elapsed_time) {
        (false, _) => Duration::ZERO,
        (true, Duration::ZERO) => MOST_WAIT,
        (true, most) => most,
    };
    Some(attempt.saturating_add(retrying).min(MOST_WAIT))
}
