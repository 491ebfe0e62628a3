//! A document as a whole.

use std::collections::BTreeMap;

use super::super::fault::InvalidConfig;
use super::super::keys::{Printed, Setting, Walk, lay_out, unknown};
use super::super::yaml::{self, Node, Value};
use super::component::{HealthCheck, OtlpReceiver};
use super::exporter::{DebugExporter, FileExporter, OtlpGrpcExporter, OtlpHttpExporter};
use super::id::ComponentId;
use super::known;
use super::processors::{Attributes, Batch, Filter, MemoryLimiter, ProbabilisticSampler, Resource};
use super::telemetry::Telemetry;

/// An enum of components: for each the types that name it, the first of them current, the others aliases.
macro_rules! components {
    ($(#[$doc:meta])* $name:ident, $what:literal, later $later:expr,
     $($(#[$variant_doc:meta])* $variant:ident($inner:ty) = [$($kind:literal),+];)*) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_doc])* $variant($inner),)* }

        impl Component for $name {
            const WHAT: &'static str = $what;
            const KINDS: &'static [&'static str] = &[$($($kind),+),*];
            const LATER: &'static [&'static str] = $later;

            fn new(kind: &str) -> Option<Self> {
                match kind {
                    $($($kind)|+ => Some(Self::$variant(<$inner>::default())),)*
                    _ => None,
                }
            }

            fn setting(&mut self) -> &mut dyn Setting {
                match self { $(Self::$variant(inner) => inner,)* }
            }
        }
    };
}

const CONNECTOR: &str = "connector";

trait Component: Sized {
    const WHAT: &'static str;
    const KINDS: &'static [&'static str];
    const LATER: &'static [&'static str];
    fn new(kind: &str) -> Option<Self>;
    fn setting(&mut self) -> &mut dyn Setting;
}

components!(
    /// What spans come in through.
    Receiver, "receiver", later known::RECEIVERS,
    /// OTLP.
    Otlp(OtlpReceiver) = ["otlp"];
);
components!(
    /// What may change, drop or hold spans on their way.
    Processor, "processor", later known::PROCESSORS,
    /// Bounds memory.
    MemoryLimiter(MemoryLimiter) = ["memory_limiter"];
    /// Gathers spans.
    Batch(Batch) = ["batch"];
    /// Changes attributes of resources.
    Resource(Resource) = ["resource"];
    /// Changes attributes of spans.
    Attributes(Attributes) = ["attributes"];
    /// Leaves out spans.
    Filter(Filter) = ["filter"];
    /// Keeps a share of the traces.
    ProbabilisticSampler(ProbabilisticSampler) = ["probabilistic_sampler"];
);
components!(
    /// What takes spans away.
    Exporter, "exporter", later known::EXPORTERS,
    /// OTLP/gRPC.
    OtlpGrpc(OtlpGrpcExporter) = ["otlp_grpc", "otlp"];
    /// OTLP/HTTP.
    OtlpHttp(OtlpHttpExporter) = ["otlp_http", "otlphttp"];
    /// Into the log.
    Debug(DebugExporter) = ["debug"];
    /// Into a file.
    File(FileExporter) = ["file"];
);
components!(
    /// What runs beside the pipelines.
    Extension, "extension", later known::EXTENSIONS,
    /// Answers probes.
    HealthCheck(HealthCheck) = ["health_check"];
);

/// One pipeline of traces: ids in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pipeline {
    /// Where spans come from; at least one.
    pub receivers: Vec<ComponentId>,
    /// What they pass, in this order.
    pub processors: Vec<ComponentId>,
    /// Where they go; at least one.
    pub exporters: Vec<ComponentId>,
}

/// What runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// Extensions, in the order in which they start.
    pub extensions: Vec<ComponentId>,
    /// Pipelines by id: `traces` or `traces/name`.
    pub pipelines: BTreeMap<ComponentId, Pipeline>,
    /// What is said of how they run.
    pub telemetry: Telemetry,
}

/// A configuration of the Collector, as far as it is built here.
///
/// ```
/// use spanwire_transport::config::Process;
/// use spanwire_transport::config::collector::Config;
///
/// let text = "
/// receivers: {otlp: {protocols: {grpc: }}}
/// exporters: {debug: }
/// service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}
/// ";
/// let loaded = Config::load(text, &Process)?;
/// assert!(loaded.warnings.is_empty());
/// assert!(loaded.config.to_string().contains("endpoint: localhost:4317"));
///
/// let wrong = Config::load(&text.replace("grpc", "grcp"), &Process).unwrap_err();
/// assert_eq!(
///     wrong.faults()[0].to_string(),
///     "2:32: receivers::otlp::protocols::grcp: unknown key; accepted here: grpc, http"
/// );
/// # Ok::<(), spanwire_transport::config::InvalidConfig>(())
/// ```
///
/// `Display` prints it as YAML, defaults and all, secrets as `[REDACTED]`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Receivers by id.
    pub receivers: BTreeMap<ComponentId, Receiver>,
    /// Processors by id.
    pub processors: BTreeMap<ComponentId, Processor>,
    /// Exporters by id.
    pub exporters: BTreeMap<ComponentId, Exporter>,
    /// Extensions by id.
    pub extensions: BTreeMap<ComponentId, Extension>,
    /// What of it runs.
    pub service: Service,
}

impl Config {
    /// Checks a configuration that was made in code.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] with everything that is wrong.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let mut walk = Walk::default();
        self.clone().validate(&mut walk);
        if walk.faults.is_empty() {
            Ok(())
        } else {
            Err(InvalidConfig::new(walk.faults))
        }
    }

    /// Reads the sections of a document.
    pub(super) fn sections(&mut self, root: &Node, walk: &mut Walk) {
        let mut skipped = Vec::new();
        for (key, node) in map(root, walk) {
            walk.within(&key.text, |walk| match key.text.as_str() {
                "receivers" => components(&mut self.receivers, node, walk, &mut skipped),
                "processors" => components(&mut self.processors, node, walk, &mut skipped),
                "exporters" => components(&mut self.exporters, node, walk, &mut skipped),
                "extensions" => components(&mut self.extensions, node, walk, &mut skipped),
                "service" => {}
                "connectors" => self.connectors(node, walk, &mut skipped),
                _ => unknown(
                    &[
                        "receivers",
                        "processors",
                        "exporters",
                        "extensions",
                        "service",
                    ],
                    walk,
                ),
            });
        }
        self.check_connectors(&skipped, walk);
        for (key, node) in map(root, walk)
            .iter()
            .filter(|(key, _)| key.text == "service")
        {
            walk.within(&key.text, |walk| self.read_service(node, walk, &skipped));
        }
    }

    /// Connectors are not built: who names one is told no more than that.
    fn connectors(
        &self,
        node: &Node,
        walk: &mut Walk,
        skipped: &mut Vec<(&'static str, ComponentId)>,
    ) {
        not_built("connectors are", walk);
        for (key, _) in map(node, walk) {
            match key.text.parse::<ComponentId>() {
                Ok(id) => {
                    skipped.push((CONNECTOR, id.clone()));
                    skipped.push((Receiver::WHAT, id.clone()));
                    skipped.push((Exporter::WHAT, id));
                }
                Err(message) => walk.within(&key.text, |walk| walk.fault(message)),
            }
        }
    }

    fn check_connectors(&self, skipped: &[(&'static str, ComponentId)], walk: &mut Walk) {
        for (_, id) in skipped.iter().filter(|(what, _)| *what == CONNECTOR) {
            for (what, is_one) in [
                (Receiver::WHAT, self.receivers.contains_key(id)),
                (Exporter::WHAT, self.exporters.contains_key(id)),
            ] {
                if is_one {
                    walk.within("connectors", |walk| {
                        walk.within(&id.to_string(), |walk| {
                            walk.fault(format!(
                                "ambiguous ID: Found both \"{id}\" {what} and \"{id}\" connector; change one of the ids"
                            ));
                        });
                    });
                }
            }
        }
    }

    fn read_service(&mut self, node: &Node, walk: &mut Walk, skipped: &[(&str, ComponentId)]) {
        for (key, node) in map(node, walk) {
            walk.within(&key.text, |walk| match key.text.as_str() {
                "extensions" => self.service.extensions = ids(node, walk, "extension", skipped),
                "pipelines" => {
                    for (key, node) in map(node, walk) {
                        walk.within(&key.text, |walk| {
                            self.pipeline(&key.text, node, walk, skipped)
                        });
                    }
                }
                "telemetry" => self.service.telemetry.read(node, walk),
                _ => unknown(&["extensions", "pipelines", "telemetry"], walk),
            });
        }
    }

    fn pipeline(
        &mut self,
        text: &str,
        node: &Node,
        walk: &mut Walk,
        skipped: &[(&str, ComponentId)],
    ) {
        let id = match text.parse::<ComponentId>() {
            Ok(id) => id,
            Err(message) => return walk.fault(message),
        };
        match id.kind() {
            "traces" => {}
            "metrics" | "logs" | "profiles" => {
                return not_built("only pipelines of traces are; this one is", walk);
            }
            other => {
                return walk.fault(format!(
                    "unknown pipeline signal: {other:?}; accepted: traces"
                ));
            }
        }
        let mut pipeline = Pipeline::default();
        let entries = map(node, walk);
        for (key, node) in entries {
            walk.within(&key.text, |walk| match key.text.as_str() {
                "receivers" => pipeline.receivers = ids(node, walk, "receiver", skipped),
                "processors" => pipeline.processors = ids(node, walk, "processor", skipped),
                "exporters" => pipeline.exporters = ids(node, walk, "exporter", skipped),
                _ => unknown(&["receivers", "processors", "exporters"], walk),
            });
        }
        let lists = [
            ("receivers", &pipeline.receivers),
            ("exporters", &pipeline.exporters),
        ];
        for (what, left) in lists {
            let named = |(key, node): &(yaml::Key, Node)| {
                key.text == what
                    && match &node.value {
                        Value::List(nodes) => !nodes.is_empty(),
                        Value::Text(_) => true,
                        _ => false,
                    }
            };
            if !left.is_empty() || !entries.iter().any(named) {
                continue;
            }
            if walk.lenient {
                return walk.warn(format!("none of its {what} is supported: it is left out"));
            }
            walk.excuse(what);
        }
        if self.service.pipelines.insert(id, pipeline).is_some() {
            walk.fault(format!("duplicate name {text:?}"));
        }
    }

    /// Finds what is wrong with sections that could be read, and among them.
    pub(super) fn validate(&mut self, walk: &mut Walk) {
        let faults_before = walk.faults.len();
        check_all("receivers", &mut self.receivers, walk);
        check_all("processors", &mut self.processors, walk);
        check_all("exporters", &mut self.exporters, walk);
        check_all("extensions", &mut self.extensions, walk);
        // Of components that could not be read, nothing more is said.
        if self.receivers.is_empty() && faults_before == 0 {
            walk.fault("no receiver configuration specified in config");
        }
        if self.exporters.is_empty() && faults_before == 0 {
            walk.fault("no exporter configuration specified in config");
        }
        let service = &self.service;
        walk.within("service", |walk| {
            walk.within("extensions", |walk| {
                for id in service
                    .extensions
                    .iter()
                    .filter(|id| !self.extensions.contains_key(id))
                {
                    walk.fault(format!(
                        "references extension \"{id}\" which is not configured"
                    ));
                }
            });
            walk.within("pipelines", |walk| {
                if service.pipelines.is_empty() && faults_before == 0 {
                    walk.fault("service must have at least one pipeline");
                }
                for (id, pipeline) in &service.pipelines {
                    walk.within(&id.to_string(), |walk| self.check_pipeline(pipeline, walk));
                }
            });
        });
    }

    fn check_pipeline(&self, pipeline: &Pipeline, walk: &mut Walk) {
        if pipeline.receivers.is_empty() {
            walk.fault("must have at least one receiver");
        }
        if pipeline.exporters.is_empty() {
            walk.fault("must have at least one exporter");
        }
        references("receiver", &pipeline.receivers, &self.receivers, walk);
        references("processor", &pipeline.processors, &self.processors, walk);
        references("exporter", &pipeline.exporters, &self.exporters, walk);
        for (index, id) in pipeline.processors.iter().enumerate() {
            if pipeline
                .processors
                .iter()
                .take(index)
                .any(|other| other == id)
            {
                walk.fault(format!("references processor \"{id}\" multiple times"));
            }
        }
    }
}

fn references<C>(
    what: &str,
    ids: &[ComponentId],
    configured: &BTreeMap<ComponentId, C>,
    walk: &mut Walk,
) {
    for id in ids.iter().filter(|id| !configured.contains_key(id)) {
        let known: Vec<String> = configured.keys().map(ToString::to_string).collect();
        let known = match known.is_empty() {
            true => String::new(),
            false => format!("; configured: {}", known.join(", ")),
        };
        walk.fault(format!(
            "references {what} \"{id}\" which is not configured{known}"
        ));
    }
}

fn check_all<C: Component>(key: &str, all: &mut BTreeMap<ComponentId, C>, walk: &mut Walk) {
    walk.within(key, |walk| {
        for (id, component) in all {
            walk.within(&id.to_string(), |walk| component.setting().check(walk));
        }
    });
}

fn map<'a>(node: &'a Node, walk: &mut Walk) -> &'a [(yaml::Key, Node)] {
    match &node.value {
        Value::Map(entries) => entries,
        Value::Null => &[],
        _ => {
            walk.expected("map", node);
            &[]
        }
    }
}

fn not_built(what: &str, walk: &mut Walk) {
    if walk.lenient {
        walk.warn(format!("{what} not supported, and left out"));
    } else {
        walk.fault(format!("{what} not supported"));
    }
}

fn components<C: Component>(
    all: &mut BTreeMap<ComponentId, C>,
    node: &Node,
    walk: &mut Walk,
    skipped: &mut Vec<(&'static str, ComponentId)>,
) {
    for (key, node) in map(node, walk) {
        walk.within(&key.text, |walk| {
            let id = match key.text.parse::<ComponentId>() {
                Ok(id) => id,
                Err(message) => return walk.fault(message),
            };
            let accepted = C::KINDS.join(", ");
            let Some(mut component) = C::new(id.kind()) else {
                if known::is_known(C::LATER, id.kind()) {
                    let hint = match (C::WHAT, id.kind()) {
                        ("exporter", "logging") => {
                            ": the logging exporter has been deprecated, use the debug exporter instead"
                        }
                        _ => "",
                    };
                    let what = format!("the {} `{}` is known and not supported", C::WHAT, id.kind());
                    if walk.lenient {
                        walk.warn(format!("{what}, and left out{hint}"));
                    } else if hint.is_empty() {
                        walk.fault(format!("{what}; accepted: {accepted}"));
                    } else {
                        walk.fault(format!("{what}{hint}"));
                    }
                } else {
                    walk.fault(format!(
                        "unknown type: {:?} for id: {:?} (valid values: [{accepted}])",
                        id.kind(),
                        key.text
                    ));
                }
                // Who names it is told no more than that.
                skipped.push((C::WHAT, id));
                return;
            };
            component.setting().read(node, walk);
            if all.insert(id, component).is_some() {
                walk.fault(format!("duplicate name {:?}", key.text.trim()));
            }
        });
    }
}

/// A list of ids, without those that are known and not supported.
fn ids(
    node: &Node,
    walk: &mut Walk,
    what: &str,
    skipped: &[(&str, ComponentId)],
) -> Vec<ComponentId> {
    let mut names: Vec<String> = Vec::new();
    names.read(node, walk);
    let mut ids = Vec::new();
    for (index, name) in names.iter().enumerate() {
        walk.within(&index.to_string(), |walk| match name.parse() {
            Ok(id)
                if skipped
                    .iter()
                    .any(|(kind, other)| *kind == what && *other == id) => {}
            Ok(id) => ids.push(id),
            Err(message) => walk.fault(message),
        });
    }
    ids
}

impl core::fmt::Display for Config {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        fn all<C: Component + Clone>(components: &BTreeMap<ComponentId, C>) -> Printed {
            let print = |(id, component): (&ComponentId, &C)| {
                (id.to_string(), component.clone().setting().print())
            };
            Printed::Map(components.iter().map(print).collect())
        }
        fn names(ids: &[ComponentId]) -> Printed {
            Printed::List(
                ids.iter()
                    .map(|id| Printed::Scalar(id.to_string()))
                    .collect(),
            )
        }
        let pipelines = self.service.pipelines.iter().map(|(id, pipeline)| {
            let lists = [
                ("receivers", &pipeline.receivers),
                ("processors", &pipeline.processors),
                ("exporters", &pipeline.exporters),
            ];
            let lists = lists.map(|(key, ids)| (key.to_owned(), names(ids)));
            (id.to_string(), Printed::Map(lists.into()))
        });
        let mut telemetry = self.service.telemetry.clone();
        let service = Printed::Map(vec![
            ("extensions".into(), names(&self.service.extensions)),
            ("pipelines".into(), Printed::Map(pipelines.collect())),
            ("telemetry".into(), telemetry.print()),
        ]);
        let document = Printed::Map(vec![
            ("receivers".into(), all(&self.receivers)),
            ("processors".into(), all(&self.processors)),
            ("exporters".into(), all(&self.exporters)),
            ("extensions".into(), all(&self.extensions)),
            ("service".into(), service),
        ]);
        let mut out = String::new();
        lay_out(&document, 0, &mut out);
        f.write_str(&out)
    }
}
