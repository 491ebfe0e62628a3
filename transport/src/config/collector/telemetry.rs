//! What a collector says of itself: `service::telemetry`.

use super::super::keys::{Printed, Setting, Walk, unknown};
use super::super::yaml::{Node, Value};
use crate::diagnostics::Level;

/// What is said about its running.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Telemetry {
    /// Messages to people.
    pub logs: Logs,
    /// Numbers for who scrapes them.
    pub metrics: Metrics,
}

/// Messages to people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Logs {
    /// The least that matters enough to be said: `debug`, `info`, `warn` or `error`, in any case.
    pub level: String,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            level: "info".into(),
        }
    }
}

impl Logs {
    /// The level, as messages have it; `info` where a configuration was not checked.
    #[must_use]
    pub fn most(&self) -> Level {
        level(&self.level).unwrap_or(Level::Info)
    }
}

/// Numbers for who scrapes them. Default: nothing listens; a section that says nothing of `readers` has the Collector's, on
/// `localhost:8888`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// `none`: nothing listens. `basic`, `normal` and `detailed` are the same here. Default: `normal`.
    pub level: String,
    /// Where who scrapes finds them, as Prometheus text at `/metrics`. Default: nowhere.
    pub readers: Vec<MetricsReader>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            level: "normal".into(),
            readers: Vec::new(),
        }
    }
}

impl Metrics {
    /// Where is listened: nowhere at the level `none`.
    pub fn listening(&self) -> impl Iterator<Item = &MetricsReader> {
        let is_none = self.level.eq_ignore_ascii_case("none");
        self.readers.iter().filter(move |_| !is_none)
    }
}

/// Where metrics are pulled from: `pull::exporter::prometheus`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricsReader {
    /// The address or the name to listen on. Default: `localhost`, which nobody reaches from outside.
    pub host: String,
    /// The port; 0: one that is free. Default: 8888.
    pub port: u16,
}

impl Default for MetricsReader {
    fn default() -> Self {
        Self {
            host: "localhost".into(),
            port: 8888,
        }
    }
}

impl MetricsReader {
    /// `host:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let (host, port) = (&self.host, self.port);
        match host.contains(':') && !host.starts_with('[') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        }
    }

    fn read(&mut self, node: &Node, walk: &mut Walk) {
        each(node, walk, |key, node, walk| match key {
            "pull" => each(node, walk, |key, node, walk| match key {
                "exporter" => each(node, walk, |key, node, walk| match key {
                    "prometheus" => each(node, walk, |key, node, walk| match key {
                        "host" => self.host.read(node, walk),
                        "port" => self.port.read(node, walk),
                        key if OTHER_PROMETHEUS.contains(&key) => {
                            walk.warn("has no effect: names and labels are as they are");
                        }
                        _ => unknown(&[OTHER_PROMETHEUS, &["host", "port"]].concat(), walk),
                    }),
                    _ => unknown(&["prometheus"], walk),
                }),
                _ => unknown(&["exporter"], walk),
            }),
            "periodic" => walk.fault(
                "is not supported: metrics are not pushed; accepted: pull, which a scraper asks",
            ),
            _ => unknown(&["pull"], walk),
        });
    }
}

impl Setting for Metrics {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        let mut is_said = false;
        each(node, walk, |key, node, walk| match key {
            "level" => {
                self.level.read(node, walk);
                let levels = ["none", "basic", "normal", "detailed"];
                if !levels.contains(&&*self.level.to_ascii_lowercase()) {
                    walk.fault(format!(
                        "unknown metrics level {:?}; accepted: {}",
                        self.level,
                        levels.join(", ")
                    ));
                }
            }
            "readers" => {
                is_said = true;
                match &node.value {
                    Value::Null => {}
                    Value::List(nodes) => {
                        for (index, node) in nodes.iter().enumerate() {
                            let mut reader = MetricsReader::default();
                            walk.within(&index.to_string(), |walk| reader.read(node, walk));
                            self.readers.push(reader);
                        }
                    }
                    _ => walk.expected("list", node),
                }
            }
            // What it was before there were readers.
            "address" => {
                is_said = true;
                let mut address = String::new();
                address.read(node, walk);
                let reader = address.rsplit_once(':').and_then(|(host, port)| {
                    let host = match host {
                        "" => "0.0.0.0",
                        host => host,
                    };
                    Some(MetricsReader {
                        host: host.into(),
                        port: port.parse().ok()?,
                    })
                });
                match reader {
                    Some(reader) => self.readers.push(reader),
                    None => walk.fault(format!("address {address}: missing port in address")),
                }
                walk.warn("is deprecated: say it as readers::0::pull::exporter::prometheus");
            }
            "views" => walk.warn("has no effect: every number is told as it is"),
            _ => unknown(&["level", "readers", "views"], walk),
        });
        if !is_said && matches!(node.value, Value::Map(_)) {
            self.readers.push(MetricsReader::default());
        }
    }

    fn print(&mut self) -> Printed {
        let readers = self.readers.iter_mut().map(|reader| {
            let map = |key: &str, inner| Printed::Map(vec![(key.into(), inner)]);
            let prometheus = Printed::Map(vec![
                ("host".into(), reader.host.print()),
                ("port".into(), reader.port.print()),
            ]);
            map("pull", map("exporter", map("prometheus", prometheus)))
        });
        let readers = Printed::List(readers.collect());
        Printed::Map(vec![
            ("level".into(), self.level.print()),
            ("readers".into(), readers),
        ])
    }
}

fn level(text: &str) -> Option<Level> {
    match text.to_ascii_lowercase().as_str() {
        "debug" => Some(Level::Debug),
        "info" => Some(Level::Info),
        "warn" => Some(Level::Warn),
        "error" => Some(Level::Error),
        _ => None,
    }
}

/// What the Collector knows under `logs` and this has no use for.
const OTHER_LOGS: &[&str] = &[
    "development",
    "disable_caller",
    "disable_stacktrace",
    "disable_zap_resource",
    "encoding",
    "error_output_paths",
    "initial_fields",
    "output_paths",
    "processors",
    "sampling",
];

/// What the Collector knows under `prometheus`, and this has no use for.
const OTHER_PROMETHEUS: &[&str] = &[
    "translation_strategy",
    "with_resource_constant_labels",
    "without_scope_info",
    "without_type_suffix",
    "without_units",
];

/// What the Collector knows under `traces`.
const TRACES: &[&str] = &["level", "processors", "propagators"];

impl Setting for Telemetry {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        each(node, walk, |key, node, walk| match key {
            "logs" => each(node, walk, |key, node, walk| match key {
                "level" => {
                    self.logs.level.read(node, walk);
                    if level(&self.logs.level).is_none() {
                        walk.fault(format!(
                            "unrecognized level: {:?}; accepted: debug, info, warn, error",
                            self.logs.level
                        ));
                    }
                }
                key if OTHER_LOGS.contains(&key) => {
                    walk.warn("has no effect: the program says where its messages go");
                }
                _ => unknown(&[OTHER_LOGS, &["level"]].concat(), walk),
            }),
            "metrics" => self.metrics.read(node, walk),
            "traces" => each(node, walk, |key, node, walk| match key {
                "level" if node.value == Value::Text("none".into()) => {}
                key if TRACES.contains(&key) => {
                    walk.warn("has no effect: a pipeline never traces itself");
                }
                _ => unknown(TRACES, walk),
            }),
            "resource" => walk.warn("has no effect: the program says what its resource is"),
            _ => unknown(&["logs", "metrics", "resource", "traces"], walk),
        });
    }

    fn print(&mut self) -> Printed {
        let level = ("level".into(), Printed::Scalar(self.logs.level.clone()));
        let mut sections = vec![("logs".into(), Printed::Map(vec![level]))];
        // A section that is there asks for something.
        if self.metrics != Metrics::default() {
            sections.push(("metrics".into(), self.metrics.print()));
        }
        Printed::Map(sections)
    }
}

/// Reads the keys of a map.
fn each(node: &Node, walk: &mut Walk, mut read: impl FnMut(&str, &Node, &mut Walk)) {
    match &node.value {
        Value::Null => {}
        Value::Map(entries) => {
            for (key, node) in entries {
                walk.within(&key.text, |walk| read(&key.text, node, walk));
            }
        }
        _ => walk.expected("map", node),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::MetricsReader;
    use crate::config::{InvalidConfig, Process};

    fn load(telemetry: &str) -> Result<Config, InvalidConfig> {
        let text = format!(
            "
receivers: {{otlp: {{protocols: {{grpc: }}}}}}
exporters: {{debug: }}
service:
  telemetry: {telemetry}
  pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}
"
        );
        Config::load(&text, &Process).map(|loaded| loaded.config)
    }

    #[test]
    fn nothing_listens_until_it_is_asked_for_and_what_is_printed_asks_the_same() {
        let one = |inner: &str| {
            format!("{{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {inner}}}}}}}]}}}}")
        };
        for (telemetry, wanted) in [
            ("", &[][..]),
            ("{logs: {level: warn}}", &[]),
            ("{metrics: }", &[]),
            ("{metrics: {level: none}}", &[]),
            ("{metrics: {readers: []}}", &[]),
            ("{metrics: {level: Detailed}}", &["localhost:8888"]),
            ("{metrics: {address: ':9999'}}", &["0.0.0.0:9999"]),
            (&one("{host: 127.0.0.2, port: 0}"), &["127.0.0.2:0"]),
            (&one("{host: '::1', without_units: true}"), &["[::1]:8888"]),
            (&one("{}").replace("{readers", "{level: none, readers"), &[]),
        ] {
            let config = load(telemetry).unwrap();
            let listening = config.service.telemetry.metrics.listening();
            let listening: Vec<_> = listening.map(MetricsReader::endpoint).collect();
            assert_eq!(listening, wanted, "{telemetry}");
            let printed = config.to_string();
            let again = Config::load(&printed, &Process).unwrap().config;
            assert_eq!(again.service, config.service, "{printed}");
        }
    }

    #[test]
    fn what_can_not_be_scraped_is_told() {
        for (metrics, wanted) in [
            (
                "{level: loud}",
                "level: unknown metrics level \"loud\"; accepted: none, basic, normal, detailed",
            ),
            (
                "{readers: [{periodic: {exporter: }}]}",
                "readers::0::periodic: is not supported: metrics are not pushed; accepted: pull, which a scraper asks",
            ),
            (
                "{readers: [{pull: {exporter: {prometheus: {port: 70000}}}}]}",
                "readers::0::pull::exporter::prometheus::port: 70000 is out of range: from 0 to 65535",
            ),
            (
                "{readers: [{pull: {exporter: {otlp: }}}]}",
                "readers::0::pull::exporter::otlp: unknown key; accepted here: prometheus",
            ),
            (
                "{address: nowhere}",
                "address: address nowhere: missing port in address",
            ),
        ] {
            let error = load(&format!("{{metrics: {metrics}}}")).unwrap_err();
            let faults: Vec<_> = error.faults().iter().map(ToString::to_string).collect();
            let [fault] = &*faults else {
                panic!("{faults:?}")
            };
            let wanted = format!("service::telemetry::metrics::{wanted}");
            assert!(fault.ends_with(&wanted), "{fault}");
        }
    }
}
