//! A node's receivers and pipelines, as a Collector's configuration asks for them.
//!
//! [`Collector::from_config`] says whether a configuration can be had as it is, down to the certificates it names;
//! [`Collector::start`] makes a [`Node`] of it, which runs inside this program: what neighbours send and what this
//! program's own [`Tracer`](spanwire_core::tracer::Tracer)s record leave through the same exporters, within one budget of
//! memory.
//!
//! What it makes of a configuration:
//!
//! - One budget in bytes holds everything, from the first byte that is read to the last that is sent: that of the
//!   `memory_limiter`, exact at all times. Without one it is [`Collector::memory_limit`].
//! - Receivers and exporters are shared by the pipelines that name them; each pipeline has processors of its own, in the
//!   order in which it lists them, and a backlog of its own.
//! - Who sends is answered when the spans are admitted; after the export where an exporter's `sending_queue` is off, or has
//!   `wait_for_result`, and no `batch` comes before it: as the Collector answers then.
//! - A component that no pipeline names is checked, and not started.
//! - This program's own spans enter one pipeline: the first, which is `traces` where there is one of that name. See
//!   [`Collector::own_spans`].
//!
//! Start and stop are in the Collector's order: extensions, exporters, processors, then receivers; receivers first at the
//! end.

use core::fmt;
#[cfg(feature = "listen")]
use core::time::Duration;
use std::sync::Arc;

use spanwire_core::pipeline::{InvalidPipeline, PipelineBuilder};

use crate::config::collector::{ComponentId, Config, Loaded};
use crate::config::{Fault, InvalidConfig, Walk};
use crate::diagnostics::{Diagnostics, Level};
#[cfg(feature = "runtime")]
use crate::runtime::Runtime;

// How much memory there is.
mod memory;

// Where spans go.
mod exporter;

// What they pass.
mod processor;

// Where they come from.
mod receiver;

// Answers for probes.
mod health;

// Numbers for who scrapes them.
mod scrape;

// What is to run, made of all these.
mod plan;

// What runs.
mod node;

pub use self::node::{Listening, Node, NodeAccount, Received, Reload, ReloadError};
use self::plan::Plan;

/// The component of what is said to people.
const COMPONENT: &str = "collector";

/// How long sockets may take to close that nobody has sent anything to.
#[cfg(feature = "listen")]
const CLOSING: Duration = Duration::from_secs(1);

/// How often it is looked whether it has.
#[cfg(feature = "listen")]
const LOOK: Duration = Duration::from_millis(10);

type Adjust = Arc<dyn Fn(PipelineBuilder) -> PipelineBuilder + Send + Sync>;

/// A validated configuration, ready to start as often as it is asked to.
///
#[cfg_attr(
    all(feature = "receive-grpc", feature = "debug"),
    doc = "```
use core::time::Duration;
use spanwire_transport::config::Process;
use spanwire_transport::config::collector::Config;
use spanwire_transport::setup::collector::Collector;

let text = \"
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}}}}
processors: {memory_limiter: {check_interval: 1s, limit_mib: 16}, batch: }
exporters: {debug: }
service:
  pipelines:
    traces: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [debug]}
\";
let node = Collector::from_config(Config::load(text, &Process)?)?.start()?;

// Own spans leave through the same exporters.
println!(\"neighbours send to {}\", node.listening()[0].address());
node.tracer(\"agent\").start(\"sync\").end();
let account = node.shutdown(Duration::from_secs(5));
assert!(account.is_complete(), \"{account}\");
# Ok::<(), Box<dyn core::error::Error>>(())
```"
)]
#[derive(Clone)]
#[must_use = "a configuration does nothing until `start`"]
pub struct Collector {
    loaded: Loaded,
    warnings: Vec<Fault>,
    own: Option<String>,
    adjust: Option<Adjust>,
    diagnostics: Diagnostics,
    host: Host,
}

/// What the program around a collector gives it.
#[derive(Clone, Debug)]
struct Host {
    memory_limit: usize,
    own_memory: Option<usize>,
    #[cfg(feature = "runtime")]
    runtime: Runtime,
}

impl Collector {
    /// Makes sure that everything in a configuration can be had. Opens no socket and sends nothing; certificates and keys
    /// are read.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] with everything that is wrong or not supported, by the keys that lead to it, and its position in the
    /// text where there is one.
    pub fn from_config(config: impl Into<Loaded>) -> Result<Self, InvalidConfig> {
        let loaded = config.into();
        let mut collector = Self {
            warnings: loaded.warnings.clone(),
            loaded,
            own: None,
            adjust: None,
            diagnostics: Diagnostics::default(),
            host: Host {
                memory_limit: memory::DEFAULT,
                own_memory: None,
                #[cfg(feature = "runtime")]
                runtime: Runtime::own(),
            },
        };
        collector.loaded.config.check()?;
        let (_, warnings) = collector.plan()?;
        collector.warnings.extend(warnings);
        Ok(collector)
    }

    /// What is odd about the configuration: what was said while it was read, and settings that have no effect here.
    #[must_use]
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// Which pipeline takes this program's own spans, such as `traces/own`. Default: the first in the order of their ids.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] when there is no such pipeline.
    pub fn own_spans(mut self, pipeline: &str) -> Result<Self, InvalidConfig> {
        let pipelines = &self.loaded.config.service.pipelines;
        let id = pipeline.parse::<ComponentId>().ok();
        if id.is_none_or(|id| !pipelines.contains_key(&id)) {
            let known: Vec<_> = pipelines.keys().map(ToString::to_string).collect();
            let mut walk = Walk::default();
            walk.within("service", |walk| {
                walk.within("pipelines", |walk| {
                    walk.fault(format!(
                        "there is no pipeline {pipeline:?} for own spans; configured: {}",
                        known.join(", ")
                    ));
                });
            });
            return Err(InvalidConfig::new(walk.faults));
        }
        self.own = Some(pipeline.into());
        Ok(self)
    }

    /// The part of the memory for this program's own spans, in bytes. Default: 2 MiB, or an eighth of the limit where that
    /// is less.
    pub fn own_memory(mut self, bytes: usize) -> Self {
        self.host.own_memory = Some(bytes);
        self
    }

    /// All the memory in bytes, where no pipeline has a `memory_limiter`. Default: 64 MiB.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.host.memory_limit = bytes;
        self
    }

    /// What a configuration has no words for, such as the sampler and the resource of this program's own spans: called
    /// with the pipeline's builder before the configuration is told to it. Exporters and branches are the configuration's.
    pub fn adjust(
        mut self,
        adjust: impl Fn(PipelineBuilder) -> PipelineBuilder + Send + Sync + 'static,
    ) -> Self {
        self.adjust = Some(Arc::new(adjust));
        self
    }

    /// What runs the network. Default: [`Runtime::own`], so that each exporter and each receiver has a thread.
    #[cfg(feature = "runtime")]
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.host.runtime = runtime;
        self
    }

    /// Where messages to people go. Default: [`Diagnostics::default`]. `service::telemetry::logs::level` bounds what is said.
    pub fn diagnostics(mut self, diagnostics: Diagnostics) -> Self {
        self.diagnostics = diagnostics;
        self
    }

    /// Takes the memory, starts the pipelines and opens the sockets, and says the [`warnings`](Self::warnings), and variables
    /// that are set and empty.
    ///
    /// # Errors
    ///
    /// [`StartError`] names what could not be had. Nothing is left running then.
    pub fn start(&self) -> Result<Node, StartError> {
        let (plan, _) = self.plan().map_err(StartError::Config)?;
        self.tell_warnings();
        Node::start(self.clone(), plan)
    }

    /// What is to run, and what is odd about it, by position.
    fn plan(&self) -> Result<(Plan, Vec<Fault>), InvalidConfig> {
        let mut walk = Walk::default();
        let own = self.own.as_deref();
        let plan = Plan::of(
            &self.loaded.config,
            own,
            &self.host,
            &self.voice(),
            &mut walk,
        );
        match walk.faults.is_empty() {
            true => Ok((plan, self.loaded.placed(walk.warnings))),
            false => Err(InvalidConfig::new(self.loaded.placed(walk.faults))),
        }
    }

    fn tell_warnings(&self) {
        for note in &self.loaded.notes {
            self.say(Level::Info, format_args!("{note}"));
        }
        for warning in &self.warnings {
            self.say(Level::Warn, format_args!("{warning}"));
        }
    }

    /// Whether both would run the same. What a closure adjusts can't be compared, nor a runtime.
    fn is_same(&self, other: &Self) -> bool {
        let memory = |host: &Host| (host.memory_limit, host.own_memory);
        self.loaded.config == other.loaded.config
            && self.own == other.own
            && memory(&self.host) == memory(&other.host)
    }

    /// Says something, unless the configuration wants to hear less.
    fn say(&self, level: Level, message: fmt::Arguments<'_>) {
        self.voice().say(level, message);
    }

    /// The diagnostics, down to the level that the configuration asks for.
    fn heard(&self) -> Diagnostics {
        let most = self.loaded.config.service.telemetry.logs.most();
        self.diagnostics.up_to(Some(most))
    }

    fn voice(&self) -> Voice {
        Voice {
            diagnostics: self.diagnostics.clone(),
            most: self.loaded.config.service.telemetry.logs.most(),
        }
    }
}

/// What a collector says to people, down to the level that its configuration asks for.
#[derive(Clone)]
struct Voice {
    diagnostics: Diagnostics,
    most: Level,
}

impl Voice {
    fn say(&self, level: Level, message: fmt::Arguments<'_>) {
        if level <= self.most {
            self.diagnostics.say(level, COMPONENT, message);
        }
    }
}

/// The feature that a section needs is off.
#[cfg_attr(
    all(
        feature = "debug",
        feature = "file",
        feature = "grpc",
        feature = "health-check",
        feature = "http",
        feature = "metrics-endpoint",
        feature = "receive-grpc",
        feature = "receive-http",
        feature = "tls"
    ),
    allow(dead_code, reason = "everything is built in")
)]
fn not_built_in(feature: &str, walk: &mut Walk) {
    walk.fault(format!(
        "is not built in: this program lacks the feature `{feature}` of spanwire-transport"
    ));
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector")
            .field("config", &self.loaded.config)
            .field("own_spans", &self.own)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// Why a node does not start. Nothing of it is left running.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration can't be had any more: a certificate has gone, say.
    Config(InvalidConfig),
    /// The pipelines can't be built: too little memory, say.
    Pipeline {
        /// The keys that lead to what is at fault.
        path: String,
        /// What is wrong.
        error: InvalidPipeline,
    },
    /// The file of an exporter can't be made.
    File {
        /// The keys that lead to it.
        path: String,
        /// What the system says.
        why: String,
    },
    /// A receiver or an extension can't listen.
    Listen {
        /// The keys that lead to it.
        path: String,
        /// What is wrong, such as the address that somebody else has.
        why: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Pipeline { path, .. } => f.write_str(path),
            Self::File { path, why } | Self::Listen { path, why } => write!(f, "{path}: {why}"),
        }
    }
}

impl core::error::Error for StartError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            // Its words are ours.
            Self::Config(error) => error.source(),
            Self::Pipeline { error, .. } => Some(error),
            Self::File { .. } | Self::Listen { .. } => None,
        }
    }
}

#[cfg(all(
    test,
    feature = "debug",
    feature = "file",
    feature = "grpc",
    feature = "gzip",
    feature = "health-check",
    feature = "http",
    feature = "metrics-endpoint",
    feature = "receive-grpc",
    feature = "receive-http",
    feature = "tls"
))]
mod tests;
