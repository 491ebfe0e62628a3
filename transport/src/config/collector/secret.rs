//! Values that are not shown, and values of any type.

use core::fmt;

use super::super::keys::{Printed, Setting, Walk, quoted, text};
use super::super::yaml::{Node, Value};

const REDACTED: &str = "[REDACTED]";

/// A text that is never shown: `Debug` and print say `[REDACTED]`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Setting for Secret {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        self.0.read(node, walk);
    }

    fn print(&mut self) -> Printed {
        Printed::Scalar(if self.0.is_empty() {
            "\"\"".into()
        } else {
            format!("\"{REDACTED}\"")
        })
    }
}

/// Headers: a map, or a list of `{name, value}`. A line break at the end of a value, as a Secret made from a file has
/// it, is taken off and reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, Secret)>);

impl Setting for Headers {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        let mut found = Vec::new();
        match &node.value {
            Value::Null => return,
            Value::Map(entries) => {
                for (key, node) in entries {
                    walk.within(&key.text, |walk| header(&key.text, node, walk, &mut found));
                }
            }
            Value::List(nodes) => {
                for (index, node) in nodes.iter().enumerate() {
                    walk.within(&index.to_string(), |walk| match &node.value {
                        Value::Map(entries) => {
                            let of = |name: &str| entries.iter().find(|(key, _)| key.text == name);
                            match (
                                of("name").and_then(|(_, node)| text(node, walk)),
                                of("value"),
                            ) {
                                (Some(name), Some((_, node))) if entries.len() == 2 => {
                                    header(name, node, walk, &mut found);
                                }
                                _ => walk.fault("expected a name and a value"),
                            }
                        }
                        _ => walk.expected("map", node),
                    });
                }
            }
            _ => return walk.expected("map", node),
        }
        self.0 = found;
    }

    fn print(&mut self) -> Printed {
        let entries = self
            .0
            .iter_mut()
            .map(|(name, value)| (name.clone(), value.print()));
        Printed::Map(entries.collect())
    }
}

fn header(name: &str, node: &Node, walk: &mut Walk, found: &mut Vec<(String, Secret)>) {
    if found.iter().any(|(other, _)| other == name) {
        return walk.fault(format!("duplicate keys in map-style list: {name}"));
    }
    let mut value = String::new();
    value.read(node, walk);
    let trimmed = value.trim_end_matches(['\r', '\n']);
    if trimmed.len() < value.len() {
        walk.warn("the value ends in a line break, which is left out");
    }
    if trimmed.chars().any(|c| c.is_control() && c != '\t') {
        walk.fault("the value has control characters, which no header may have");
    }
    found.push((name.into(), Secret(trimmed.into())));
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Literal {
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// A text.
    Text(String),
}

impl Setting for Option<Literal> {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        *self = match &node.value {
            Value::Null if node.raw.is_none() => return,
            Value::Null => Some(Literal::Text(String::new())),
            Value::Bool(value) => Some(Literal::Bool(*value)),
            Value::Int(value) => Some(Literal::Int(*value)),
            Value::Float(value) => Some(Literal::Double(*value)),
            Value::Text(value) => Some(Literal::Text(value.clone())),
            Value::List(_) | Value::Map(_) => {
                return walk.expected("string, int, float or bool", node);
            }
        };
    }

    fn print(&mut self) -> Printed {
        match self {
            None => Printed::Off,
            Some(Literal::Bool(value)) => Printed::Scalar(value.to_string()),
            Some(Literal::Int(value)) => Printed::Scalar(value.to_string()),
            Some(Literal::Double(value)) => Printed::Scalar(format!("{value:?}")),
            Some(Literal::Text(value)) => Printed::Scalar(quoted(value)),
        }
    }
}
