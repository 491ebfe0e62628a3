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

/// What the Collector knows under `metrics`.
const METRICS: &[&str] = &["address", "level", "readers", "views"];

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
            "metrics" => each(node, walk, |key, node, walk| {
                match key {
                // Nothing is asked for.
                "level" if node.value == Value::Text("none".into()) => {}
                key if METRICS.contains(&key) => walk.warn(
                    "has no effect: nothing listens for scrapers; the program has the metrics as Prometheus text, and may serve it",
                ),
                _ => unknown(METRICS, walk),
            }
            }),
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
        Printed::Map(vec![("logs".into(), Printed::Map(vec![level]))])
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
