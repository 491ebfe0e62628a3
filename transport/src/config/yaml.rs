//! Text to a tree of values that know where they stand.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::fault::{Fault, InvalidConfig, Position};

/// Levels of lists and maps in one another.
const MOST_LEVELS: usize = 64;

/// Values in one document, those counted again that an alias stands for: what bounds a document that grows by aliases
/// of aliases.
const MOST_NODES: usize = 100_000;

/// Bytes of one document: above any configuration that is written by hand or by a chart.
pub(super) const MOST_BYTES: usize = 4 << 20;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    /// The text of a value that came whole out of a reference, which is what a setting of text takes.
    pub(super) raw: Option<String>,
    pub(super) at: Position,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) at: Position,
}

impl Node {
    pub(super) fn new(value: Value, at: Position) -> Self {
        let raw = None;
        Self { value, raw, at }
    }

    /// The kind of value, as errors name it.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Text(_) => "string",
            Value::List(_) => "list",
            Value::Map(_) => "map",
        }
    }
}

/// Where the values of a document stand, without the values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Places {
    at: Position,
    /// Of a map by key, of a list by index: where it stands itself, and what is in it.
    inner: Vec<(String, Position, Self)>,
}

impl Places {
    pub(super) fn of(node: &Node) -> Self {
        let inner = match &node.value {
            Value::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key.text.clone(), key.at, Self::of(node)))
                .collect(),
            Value::List(nodes) => nodes
                .iter()
                .enumerate()
                .map(|(index, node)| (index.to_string(), node.at, Self::of(node)))
                .collect(),
            _ => Vec::new(),
        };
        Self { at: node.at, inner }
    }

    /// Where the value stands that these keys lead to, or the last of them that there is.
    pub(super) fn find(&self, path: &str) -> Position {
        let (mut places, mut at) = (self, self.at);
        for name in path.split("::").filter(|name| !name.is_empty()) {
            let next = places.inner.iter().find(|(known, ..)| known == name);
            let Some((_, position, next)) = next else {
                break;
            };
            (at, places) = (*position, next);
        }
        at
    }
}

/// Reads one document; `None` when there is nothing in it.
pub(super) fn parse(text: &str) -> Result<Option<Node>, InvalidConfig> {
    parse_one_of(text, 0)
}

/// Reads one document, which is this one of several.
pub(super) fn parse_one_of(text: &str, index: usize) -> Result<Option<Node>, InvalidConfig> {
    read(text, index).map_err(|error| error.map(|fault| fault.in_text(index)))
}

fn read(text: &str, index: usize) -> Result<Option<Node>, InvalidConfig> {
    if text.len() > MOST_BYTES {
        let message = format!("a document of more than {MOST_BYTES} bytes");
        return Err(Fault::new(&[], message).into());
    }
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
    };
    let mut document = None;
    while let Some((event, at)) = reader.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(..) if document.is_some() => {
                return Err(fault(at, "more than one document in a file"));
            }
            Event::DocumentStart(..) => {}
            event => document = Some(reader.node(event, at, 0)?),
        }
    }
    if let Some(document) = &mut document
        && index > 0
    {
        stand_in(document, index);
    }
    Ok(document)
}

/// Says of all that is in a document which of several it is.
fn stand_in(node: &mut Node, text: usize) {
    node.at.text = text;
    match &mut node.value {
        Value::Map(entries) => {
            for (key, node) in entries {
                key.at.text = text;
                stand_in(node, text);
            }
        }
        Value::List(nodes) => nodes.iter_mut().for_each(|node| stand_in(node, text)),
        _ => {}
    }
}

/// Lays a document over another: maps become one, anything else takes the place of what was there.
pub(super) fn lay_over(under: &mut Node, over: Node) {
    match (&mut under.value, over) {
        (
            Value::Map(entries),
            Node {
                value: Value::Map(others),
                ..
            },
        ) => {
            for (key, node) in others {
                match entries.iter_mut().find(|(own, _)| own.text == key.text) {
                    Some((own, under)) => {
                        if !matches!((&under.value, &node.value), (Value::Map(_), Value::Map(_))) {
                            own.at = key.at;
                        }
                        lay_over(under, node);
                    }
                    None => entries.push((key, node)),
                }
            }
        }
        (_, over) => *under = over,
    }
}

struct Reader<'a> {
    events: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Position)>, InvalidConfig> {
        match self.events.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, position(&span)))),
            Some(Err(error)) => {
                let marker = error.marker();
                let at = Position {
                    text: 0,
                    line: marker.line(),
                    column: marker.col() + 1,
                };
                Err(fault(at, format!("not YAML: {}", error.info())))
            }
        }
    }

    /// The next event inside of a list or a map.
    fn inner(&mut self, of: Position) -> Result<(Event<'a>, Position), InvalidConfig> {
        self.next()?
            .ok_or_else(|| fault(of, "not YAML: the document ends inside of this"))
    }

    fn node(
        &mut self,
        event: Event<'a>,
        at: Position,
        level: usize,
    ) -> Result<Node, InvalidConfig> {
        if level > MOST_LEVELS {
            let message = format!("lists and maps in more than {MOST_LEVELS} levels");
            return Err(fault(at, message));
        }
        let before = self.nodes;
        self.count(1, at)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (scalar(&text, style, tag.as_deref(), at)?, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut nodes = Vec::new();
                loop {
                    match self.inner(at)? {
                        (Event::SequenceEnd, _) => break,
                        (event, at) => nodes.push(self.node(event, at, level + 1)?),
                    }
                }
                (Value::List(nodes), anchor)
            }
            Event::MappingStart(_, anchor, _) => (self.map(at, level)?, anchor),
            Event::Alias(id) => {
                let Some((node, size)) = self.anchors.get(&id) else {
                    return Err(fault(at, "an alias inside of what it stands for"));
                };
                let (mut node, size) = (node.clone(), *size);
                self.count(size, at)?;
                node.at = at;
                return Ok(node);
            }
            _ => return Err(fault(at, "not YAML: no value where one belongs")),
        };
        let node = Node::new(value, at);
        if anchor != 0 {
            let size = self.nodes - before;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok(node)
    }

    fn map(&mut self, at: Position, level: usize) -> Result<Value, InvalidConfig> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, key_at) = self.inner(at)?;
            let text = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(fault(key_at, "a key has to be text")),
            };
            let (event, at) = self.inner(key_at)?;
            let node = self.node(event, at, level + 1)?;
            if text == "<<" {
                merged.push(node);
                continue;
            }
            if let Some((key, _)) = entries.iter().find(|(key, _)| key.text == text) {
                let message = format!("the key `{text}` stands here again, after {}", key.at);
                return Err(fault(key_at, message));
            }
            entries.push((Key { text, at: key_at }, node));
        }
        for node in merged {
            merge(&mut entries, node)?;
        }
        Ok(Value::Map(entries))
    }

    fn count(&mut self, nodes: usize, at: Position) -> Result<(), InvalidConfig> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MOST_NODES {
            let message = format!("more than {MOST_NODES} values, those of aliases counted");
            return Err(fault(at, message));
        }
        Ok(())
    }
}

/// `<<`: the entries of another map, or of several, where this one has none of their keys.
fn merge(entries: &mut Vec<(Key, Node)>, node: Node) -> Result<(), InvalidConfig> {
    match node.value {
        Value::Map(others) => {
            for (key, node) in others {
                if entries.iter().all(|(own, _)| own.text != key.text) {
                    entries.push((key, node));
                }
            }
            Ok(())
        }
        Value::List(maps) if maps.iter().all(|map| matches!(map.value, Value::Map(_))) => {
            maps.into_iter().try_for_each(|map| merge(entries, map))
        }
        _ => Err(fault(node.at, "`<<` takes a map or a list of maps")),
    }
}

fn position(span: &Span) -> Position {
    Position {
        text: 0,
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

fn fault(at: Position, message: impl Into<String>) -> InvalidConfig {
    Fault::new(&[], message).at(at).into()
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    at: Position,
) -> Result<Value, InvalidConfig> {
    let value = if style == ScalarStyle::Plain {
        resolve(text)
    } else {
        Value::Text(text.into())
    };
    let Some(tag) = tag else { return Ok(value) };
    match tag.core_suffix() {
        Some("str") => Ok(Value::Text(text.into())),
        Some("int" | "float" | "bool" | "null") => Ok(resolve(text)),
        _ => Err(fault(
            at,
            format!("the tag `{}` means nothing here", tag.original()),
        )),
    }
}

/// A plain scalar as the YAML library of the Collector resolves it: `0123` is octal, `yes` is text.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Value::Text(text.into());
    }
    let plain = text.replace('_', "");
    if let Some(number) = integer(&plain) {
        return Value::Int(number);
    }
    let looks_like_a_float = plain
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'));
    match plain.parse() {
        Ok(number) if looks_like_a_float => Value::Float(number),
        _ => Value::Text(text.into()),
    }
}

fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = if let Some(digits) = digits.strip_prefix("0x") {
        (digits, 16)
    } else if let Some(digits) = digits.strip_prefix("0b") {
        (digits, 2)
    } else if let Some(digits) = digits.strip_prefix("0o") {
        (digits, 8)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (digits, 8)
    } else {
        (digits, 10)
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -number } else { number }).ok()
}
