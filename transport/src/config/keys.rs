//! One list of keys for each section, read, checked and printed by the same walk.

use core::fmt::Write;
use core::time::Duration;

use super::duration::{self, NoDuration};
use super::fault::Fault;
use super::yaml::{Node, Value};

/// Where the walk is, and what it found.
#[derive(Default)]
pub(crate) struct Walk {
    pub(super) path: Vec<String>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) warnings: Vec<Fault>,
    /// Whether what is known and not built is a warning.
    pub(super) lenient: bool,
    /// Sections in which something is missing that was left out: why has been said.
    pub(super) excused: Vec<String>,
    /// What is said of the next span of time if it is negative, where it is not the usual.
    pub(super) negative: Option<&'static str>,
}

impl Walk {
    pub(crate) fn fault(&mut self, message: impl Into<String>) {
        self.faults.push(Fault::new(&self.path, message));
    }

    pub(crate) fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(Fault::new(&self.path, message));
    }

    /// What this key had was left out: that it is missing is no fault of its own.
    pub(super) fn excuse(&mut self, key: &str) {
        let path = self.path.iter().map(String::as_str).chain([key]);
        self.excused.push(path.collect::<Vec<_>>().join("::"));
    }

    pub(crate) fn within<R>(&mut self, key: &str, inner: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(key.into());
        let result = inner(self);
        self.path.pop();
        result
    }

    /// Says what type was wanted. The value itself may be a secret and is not shown.
    pub(super) fn expected(&mut self, wanted: &str, node: &Node) {
        self.fault(format!(
            "expected type '{wanted}', got unconvertible type '{}'",
            node.kind()
        ));
    }
}

/// What is printed for a setting.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Printed {
    /// An optional section that is off.
    Off,
    Scalar(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

/// Something that a key stands for.
pub(super) trait Setting {
    /// Takes the value of a key; keys that are not there leave what is there.
    fn read(&mut self, node: &Node, walk: &mut Walk);

    /// Finds what is wrong with values that have the right type.
    fn check(&mut self, _: &mut Walk) {}

    fn print(&mut self) -> Printed;
}

/// A map with known keys.
pub(super) trait Section: Default {
    /// Keys that the Collector has and Spanwire has not.
    const LATER: &'static [&'static str] = &[];

    /// Names every key.
    fn keys(&mut self, keys: &mut Keys<'_>);

    /// Checks what no single key can know.
    fn check(&self, _: &mut Walk) {}
}

/// The walk over the keys of one section.
pub(super) struct Keys<'a>(Mode<'a>);

enum Mode<'a> {
    Read {
        entries: &'a [(super::yaml::Key, Node)],
        names: Vec<&'static str>,
        walk: &'a mut Walk,
    },
    Check(&'a mut Walk),
    Print(Vec<(String, Printed)>),
}

impl Keys<'_> {
    pub(super) fn key(&mut self, name: &'static str, setting: &mut impl Setting) {
        match &mut self.0 {
            Mode::Read {
                entries,
                names,
                walk,
            } => {
                names.push(name);
                if let Some((_, node)) = entries.iter().find(|(key, _)| key.text == name) {
                    walk.within(name, |walk| setting.read(node, walk));
                }
            }
            Mode::Check(walk) => walk.within(name, |walk| setting.check(walk)),
            Mode::Print(entries) => entries.push((name.into(), setting.print())),
        }
    }

    /// A span of time, and what is said where it is negative.
    pub(super) fn time(&mut self, name: &'static str, time: &mut Duration, negative: &'static str) {
        if let Mode::Read { walk, .. } = &mut self.0 {
            walk.negative = Some(negative);
        }
        self.key(name, time);
        if let Mode::Read { walk, .. } = &mut self.0 {
            walk.negative = None;
        }
    }
}

fn read_keys<T: Section>(section: &mut T, node: &Node, walk: &mut Walk, optional: bool) {
    let entries = match &node.value {
        Value::Null => return,
        Value::Map(entries) => entries,
        _ => return walk.expected("map", node),
    };
    let mut keys = Keys(Mode::Read {
        entries,
        names: Vec::new(),
        walk,
    });
    section.keys(&mut keys);
    if let Mode::Read {
        entries,
        names,
        walk,
    } = keys.0
    {
        for (key, node) in entries {
            let is_switch = optional && key.text == "enabled";
            if is_switch || names.contains(&key.text.as_str()) {
                continue;
            }
            walk.within(&key.text, |walk| {
                if T::LATER.contains(&key.text.as_str()) {
                    later(node, walk);
                } else {
                    unknown(&names, walk);
                }
            });
        }
    }
}

/// Of a key that is known and not supported. What it asks for may be what is done anyway.
fn later(node: &Node, walk: &mut Walk) {
    let is_off = match &node.value {
        Value::Bool(on) => !on,
        Value::List(nodes) => nodes.is_empty(),
        _ => false,
    };
    match (is_off, walk.lenient) {
        (true, _) => {}
        (false, true) => walk.warn("is known and not supported, and left out"),
        (false, false) => walk.fault("is known and not supported"),
    }
}

pub(super) fn unknown(names: &[&str], walk: &mut Walk) {
    let mut names = names.to_vec();
    names.sort_unstable();
    walk.fault(format!("unknown key; accepted here: {}", names.join(", ")));
}

impl<T: Section> Setting for T {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        read_keys(self, node, walk, false);
    }

    fn check(&mut self, walk: &mut Walk) {
        self.keys(&mut Keys(Mode::Check(walk)));
        Section::check(self, walk);
    }

    fn print(&mut self) -> Printed {
        let print = |section: &mut Self| {
            let mut keys = Keys(Mode::Print(Vec::new()));
            section.keys(&mut keys);
            match keys.0 {
                Mode::Print(entries) => entries,
                Mode::Read { .. } | Mode::Check(_) => Vec::new(),
            }
        };
        // What is off, as it is without being mentioned, needs no mention.
        let (mut entries, base) = (print(self), print(&mut Self::default()));
        entries.retain(|entry| entry.1 != Printed::Off || !base.contains(entry));
        Printed::Map(entries)
    }
}

/// An optional section: its key alone switches it on, `enabled: false` off.
impl<T: Section> Setting for Option<T> {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        if let Value::Map(entries) = &node.value
            && let Some((_, enabled)) = entries.iter().find(|(key, _)| key.text == "enabled")
        {
            match enabled.value {
                Value::Bool(true) => {}
                Value::Bool(false) => {
                    // What is off has to be well-formed all the same.
                    read_keys(&mut T::default(), node, walk, true);
                    *self = None;
                    return;
                }
                _ => walk.fault(format!("unexpected type {} for 'enabled'", enabled.kind())),
            }
        }
        read_keys(self.get_or_insert_with(T::default), node, walk, true);
    }

    fn check(&mut self, walk: &mut Walk) {
        if let Some(section) = self {
            Setting::check(section, walk);
        }
    }

    fn print(&mut self) -> Printed {
        self.as_mut().map_or(Printed::Off, Setting::print)
    }
}

impl<T: Section> Setting for Vec<T> {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        let nodes = match &node.value {
            Value::Null => return,
            Value::List(nodes) => nodes,
            _ => return walk.expected("list", node),
        };
        *self = Self::new();
        for (index, node) in nodes.iter().enumerate() {
            let mut section = T::default();
            walk.within(&index.to_string(), |walk| section.read(node, walk));
            self.push(section);
        }
    }

    fn check(&mut self, walk: &mut Walk) {
        for (index, section) in self.iter_mut().enumerate() {
            walk.within(&index.to_string(), |walk| Setting::check(section, walk));
        }
    }

    fn print(&mut self) -> Printed {
        Printed::List(self.iter_mut().map(Setting::print).collect())
    }
}

/// The text of a scalar for a setting of text: the raw text where the value came out of a reference.
pub(super) fn text<'a>(node: &'a Node, walk: &mut Walk) -> Option<&'a str> {
    match (&node.raw, &node.value) {
        (Some(raw), _) => Some(raw),
        (None, Value::Text(text)) => Some(text),
        (None, _) => {
            walk.expected("string", node);
            None
        }
    }
}

impl Setting for String {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        if node.raw.is_none() && node.value == Value::Null {
            return;
        }
        if let Some(text) = text(node, walk) {
            *self = text.into();
        }
    }

    fn print(&mut self) -> Printed {
        Printed::Scalar(quoted(self))
    }
}

impl Setting for Option<String> {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        let mut text = String::new();
        if node.raw.is_some() || node.value != Value::Null {
            text.read(node, walk);
            *self = Some(text);
        }
    }

    fn print(&mut self) -> Printed {
        self.as_mut().map_or(Printed::Off, Setting::print)
    }
}

impl Setting for bool {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        match node.value {
            Value::Null => {}
            Value::Bool(value) => *self = value,
            _ => walk.expected("bool", node),
        }
    }

    fn print(&mut self) -> Printed {
        Printed::Scalar(self.to_string())
    }
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Setting for $int {
            fn read(&mut self, node: &Node, walk: &mut Walk) {
                match node.value {
                    Value::Null => {}
                    Value::Int(value) => match Self::try_from(value) {
                        Ok(value) => *self = value,
                        Err(_) => walk.fault(format!(
                            "{value} is out of range: from {} to {}", Self::MIN, Self::MAX
                        )),
                    },
                    _ => walk.expected("int", node),
                }
            }

            fn print(&mut self) -> Printed {
                Printed::Scalar(self.to_string())
            }
        }
    )*};
}
integers!(i64, u16, u32, u64, i32);

impl Setting for Option<i32> {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        if node.value != Value::Null {
            self.get_or_insert(0).read(node, walk);
        }
    }

    fn print(&mut self) -> Printed {
        self.as_mut().map_or(Printed::Off, Setting::print)
    }
}

impl Setting for f64 {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        match node.value {
            Value::Null => {}
            Value::Float(value) => *self = value,
            Value::Int(value) => *self = value as Self,
            _ => walk.expected("float", node),
        }
    }

    fn print(&mut self) -> Printed {
        Printed::Scalar(self.to_string())
    }
}

impl Setting for Duration {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        if node.raw.is_none() && node.value == Value::Null {
            return;
        }
        if node.value == Value::Int(0) {
            *self = Self::ZERO;
            return;
        }
        if matches!(node.value, Value::Int(_) | Value::Float(_)) && node.raw.is_none() {
            return walk.fault(format!(
                "expected type 'string', got unconvertible type '{}': a duration has a unit, for instance 5s",
                node.kind()
            ));
        }
        let Some(text) = text(node, walk) else { return };
        match duration::parse(text) {
            Ok(duration) => *self = duration,
            Err(NoDuration::Negative) => match walk.negative {
                Some(said) => walk.fault(said),
                None => {
                    let key = walk.path.last().cloned().unwrap_or_default();
                    walk.fault(format!("'{key}' must be non-negative"));
                }
            },
            Err(NoDuration::Malformed) => walk.fault(
                "not a duration: wanted are numbers with units (ns, us, ms, s, m, h), for instance 1m30s",
            ),
        }
    }

    fn print(&mut self) -> Printed {
        Printed::Scalar(duration::print(*self))
    }
}

/// A list of texts; one text is split at its commas.
impl Setting for Vec<String> {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        match (&node.value, &node.raw) {
            (Value::Null, _) => {}
            (Value::List(nodes), _) => {
                *self = Self::new();
                for (index, node) in nodes.iter().enumerate() {
                    let mut text = String::new();
                    walk.within(&index.to_string(), |walk| text.read(node, walk));
                    self.push(text);
                }
            }
            (Value::Text(text), _) => *self = text.split(',').map(Into::into).collect(),
            _ => walk.expected("list", node),
        }
    }

    fn print(&mut self) -> Printed {
        Printed::List(self.iter_mut().map(Setting::print).collect())
    }
}

/// Text that YAML reads back as this text.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./:".contains(c))
        && !text.ends_with(':')
        && matches!(super::yaml::resolve(text), Value::Text(_));
    if is_plain {
        return text.into();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            // A `$` of a value is written twice, so that it is read back as itself.
            '$' => out.push_str("$$"),
            c if c.is_control() || c == '\u{feff}' || ('\u{2028}'..='\u{2029}').contains(&c) => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Lays out as YAML of two blanks a level.
pub(super) fn lay_out(printed: &Printed, level: usize, out: &mut String) {
    let indent = "  ".repeat(level);
    match printed {
        Printed::Off => out.push_str(" {enabled: false}\n"),
        Printed::Scalar(text) => {
            out.push(' ');
            out.push_str(text);
            out.push('\n');
        }
        Printed::List(items) if items.is_empty() => out.push_str(" []\n"),
        Printed::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Printed::List(items) => {
            out.push('\n');
            for item in items {
                out.push_str(&indent);
                out.push('-');
                lay_out(item, level + 1, out);
            }
        }
        Printed::Map(entries) => {
            if level > 0 {
                out.push('\n');
            }
            for (key, value) in entries {
                out.push_str(&indent);
                out.push_str(&quoted(key));
                out.push(':');
                lay_out(value, level + 1, out);
            }
        }
    }
}
