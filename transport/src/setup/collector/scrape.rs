//! Numbers for who scrapes them.

#[cfg(feature = "metrics-endpoint")]
use std::time::Instant;

use spanwire_core::pipeline::Pipeline;

use super::{Host, StartError};
use crate::config::Walk;
use crate::config::collector::MetricsReader;
#[cfg(feature = "metrics-endpoint")]
use crate::diagnostics::Chain;
#[cfg(feature = "metrics-endpoint")]
use crate::extension::metrics::{
    MetricsEndpoint, MetricsEndpointBuilder, MetricsEndpointError, MetricsSource,
};
use crate::telemetry::Exposition;

/// Whose numbers they are.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The receivers, with a comma between them.
    pub(super) receivers: String,
    /// `otel.component.type` and id of each exporter, in order.
    pub(super) exporters: Vec<(&'static str, String)>,
}

impl Told {
    /// How a pipeline stands, as Prometheus text.
    pub(super) fn text(&self, pipeline: &Pipeline) -> String {
        let stats = pipeline.stats();
        let mut exposition = Exposition::new(&stats).receiver(&self.receivers);
        for (kind, id) in &self.exporters {
            exposition = exposition.exporter(kind, id);
        }
        exposition.to_string()
    }
}

/// A reader of `service::telemetry::metrics`, validated.
#[derive(Clone)]
pub(super) struct Scrape {
    #[cfg(feature = "metrics-endpoint")]
    reader: MetricsReader,
    #[cfg(feature = "metrics-endpoint")]
    path: String,
    #[cfg(feature = "metrics-endpoint")]
    builder: MetricsEndpointBuilder,
}

impl Scrape {
    #[cfg(feature = "metrics-endpoint")]
    pub(super) fn new(
        index: usize,
        reader: &MetricsReader,
        host: &Host,
        walk: &mut Walk,
    ) -> Option<Self> {
        let endpoint = reader.endpoint();
        if let Err(error) = crate::receiver::socket::address(&endpoint) {
            walk.fault(Chain(&error).to_string());
            return None;
        }
        Some(Self {
            reader: reader.clone(),
            path: format!("service::telemetry::metrics::readers::{index}"),
            builder: MetricsEndpoint::builder()
                .endpoint(endpoint)
                .runtime(host.runtime.clone()),
        })
    }

    #[cfg(not(feature = "metrics-endpoint"))]
    pub(super) fn new(_: usize, _: &MetricsReader, _: &Host, walk: &mut Walk) -> Option<Self> {
        super::not_built_in("metrics-endpoint", walk);
        None
    }

    /// Listens. The socket of a configuration before may take a moment to close.
    #[cfg(feature = "metrics-endpoint")]
    fn start(&self, source: &MetricsSource, again: bool) -> Result<MetricsEndpoint, StartError> {
        let begun = Instant::now();
        loop {
            let error = match self.builder.clone().source(source.clone()).start() {
                Ok(endpoint) => return Ok(endpoint),
                Err(error) => error,
            };
            let may_pass = again && matches!(error, MetricsEndpointError::Bind { .. });
            if !may_pass || begun.elapsed() >= super::CLOSING {
                return Err(StartError::Listen {
                    path: self.path.clone(),
                    why: Chain(&error).to_string(),
                });
            }
            std::thread::sleep(super::LOOK);
        }
    }
}

/// Where numbers are told. Dropped, nobody is told any more.
#[derive(Default)]
pub(super) struct Scrapes {
    addresses: Vec<String>,
    #[cfg(feature = "metrics-endpoint")]
    source: MetricsSource,
    #[cfg(feature = "metrics-endpoint")]
    open: Vec<(MetricsReader, MetricsEndpoint)>,
}

impl Scrapes {
    /// Listens; there is nothing to tell yet. Sockets of the configuration before stay open where they are named again.
    #[cfg(feature = "metrics-endpoint")]
    pub(super) fn start(scrapes: &[Scrape], before: Option<Self>) -> Result<Self, StartError> {
        let again = before.is_some();
        let kept = before.map(|mut before| core::mem::take(&mut before.open));
        let mut kept = kept.unwrap_or_default();
        let source = match kept.first() {
            Some((_, endpoint)) => endpoint.source().clone(),
            None => MetricsSource::new(),
        };
        kept.retain(|(reader, _)| scrapes.iter().any(|scrape| scrape.reader == *reader));
        let mut all = Self {
            addresses: Vec::new(),
            source,
            open: Vec::new(),
        };
        for scrape in scrapes {
            let same = kept.iter().position(|(reader, _)| *reader == scrape.reader);
            let endpoint = match same {
                Some(at) => kept.swap_remove(at).1,
                None => scrape.start(&all.source, again)?,
            };
            all.addresses.push(match endpoint.local_addr() {
                Some(address) => address.to_string(),
                None => scrape.reader.endpoint(),
            });
            all.open.push((scrape.reader.clone(), endpoint));
        }
        Ok(all)
    }

    #[cfg(not(feature = "metrics-endpoint"))]
    pub(super) fn start(_: &[Scrape], _: Option<Self>) -> Result<Self, StartError> {
        Ok(Self::default())
    }

    /// From now on there is something to tell.
    pub(super) fn tell(&self, told: &Told, pipeline: &Pipeline) {
        #[cfg(feature = "metrics-endpoint")]
        if !self.open.is_empty() {
            let (told, pipeline) = (told.clone(), pipeline.clone());
            self.source.write_with(move || told.text(&pipeline));
        }
        #[cfg(not(feature = "metrics-endpoint"))]
        let _ = (told, pipeline);
    }

    /// Lets go of the pipeline.
    pub(super) fn clear(&self) {
        #[cfg(feature = "metrics-endpoint")]
        self.source.clear();
    }

    pub(super) fn addresses(&self) -> &[String] {
        &self.addresses
    }
}

impl Drop for Scrapes {
    fn drop(&mut self) {
        self.clear();
    }
}
