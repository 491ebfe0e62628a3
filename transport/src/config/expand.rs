//! `${...}` in the values of a configuration, as the Collector has it.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::fault::{Fault, InvalidConfig};
use super::yaml::{self, Node, Value};

/// Rounds in which one value is expanded, since what comes out of a reference may hold another.
const MOST_ROUNDS: usize = 1000;

/// Bytes of one value after expansion: what bounds values that double in each round.
const MOST_BYTES: usize = 1 << 20;

/// Where the values of references come from. Methods are asked anew for every reference.
pub trait Surroundings {
    /// The environment variable of this name, or `None` when it is unset.
    ///
    /// # Errors
    ///
    /// What is wrong with its value, for instance that it is not UTF-8.
    fn variable(&self, name: &str) -> Result<Option<String>, String>;

    /// The content of a file.
    ///
    /// # Errors
    ///
    /// Why it could not be read.
    fn file(&self, path: &Path) -> Result<String, String>;
}

/// The environment and the files of this process. Files are read up to 1 MiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process;

impl Surroundings for Process {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        match std::env::var(name) {
            Ok(text) => Ok(Some(text)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err("is not UTF-8".into()),
        }
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        let file = fs::File::open(path).map_err(|error| error.to_string())?;
        let mut text = String::new();
        file.take(MOST_BYTES as u64 + 1)
            .read_to_string(&mut text)
            .map_err(|error| error.to_string())?;
        if text.len() > MOST_BYTES {
            return Err(format!("is larger than {MOST_BYTES} bytes"));
        }
        Ok(text)
    }
}

/// What is odd about references.
#[derive(Debug, Default)]
pub(super) struct Odd {
    pub(super) warnings: Vec<Fault>,
    /// What may well be meant.
    pub(super) notes: Vec<Fault>,
}

/// Expands all values of a document, keys not; then `$$` becomes `$`.
pub(super) fn expand(
    root: &mut Node,
    surroundings: &dyn Surroundings,
) -> Result<Odd, InvalidConfig> {
    let mut expander = Expander {
        surroundings,
        path: Vec::new(),
        faults: Vec::new(),
        odd: Odd::default(),
        room: MOST_BYTES,
    };
    expander.walk(root);
    if expander.faults.is_empty() {
        Ok(expander.odd)
    } else {
        Err(InvalidConfig::new(expander.faults))
    }
}

struct Expander<'a> {
    surroundings: &'a dyn Surroundings,
    path: Vec<String>,
    faults: Vec<Fault>,
    odd: Odd,
    /// Bytes that references may still bring into the document.
    room: usize,
}

/// Whether a reference begins in a text, and does not end.
fn is_open(text: &str) -> bool {
    text.rfind("${").is_some_and(|at| {
        let (before, after) = text.split_at(at);
        !before.ends_with('$') && !after.contains('}')
    })
}

/// What a reference stands for: a value, and its text.
struct Retrieved {
    value: Value,
    raw: String,
}

impl Expander<'_> {
    fn walk(&mut self, node: &mut Node) {
        if let Err(message) = self.value(node) {
            self.faults
                .push(Fault::new(&self.path, message).at(node.at));
            return;
        }
        match &mut node.value {
            Value::List(nodes) => {
                for (index, node) in nodes.iter_mut().enumerate() {
                    self.path.push(index.to_string());
                    self.walk(node);
                    self.path.pop();
                }
            }
            Value::Map(entries) => {
                for (key, node) in entries {
                    self.path.push(key.text.clone());
                    self.walk(node);
                    self.path.pop();
                }
            }
            Value::Text(text) => {
                if is_open(text) {
                    let message = "a `${` without its `}` is no reference, and stays as it is";
                    self.odd.warnings.push(Fault::new(&self.path, message));
                }
                unescape(text);
            }
            _ => {}
        }
        if let Some(raw) = &mut node.raw {
            unescape(raw);
        }
    }

    /// Expands until nothing changes: a whole reference keeps its type, one inside of a text is pasted.
    fn value(&mut self, node: &mut Node) -> Result<(), String> {
        for _ in 0..MOST_ROUNDS {
            let Value::Text(text) = &node.value else {
                return self.raw(node);
            };
            let Some(reference) = find(text) else {
                return Ok(());
            };
            if reference == text {
                let reference = reference.to_owned();
                let Retrieved { value, raw } = self.retrieve(&reference)?;
                node.value = value;
                node.raw = Some(raw);
            } else {
                let pasted = self.paste(text)?;
                node.value = Value::Text(pasted);
                node.raw = None;
            }
        }
        Err("too many recursive expansions".into())
    }

    /// The text that is kept beside a typed value is expanded too; where it can't be, only the value is left.
    fn raw(&mut self, node: &mut Node) -> Result<(), String> {
        for _ in 0..MOST_ROUNDS {
            let Some(raw) = &node.raw else { return Ok(()) };
            if find(raw).is_none() {
                return Ok(());
            }
            node.raw = self.paste(raw).ok();
        }
        Err("too many recursive expansions".into())
    }

    fn paste(&mut self, text: &str) -> Result<String, String> {
        let Some(reference) = find(text) else {
            return Ok(text.into());
        };
        let new = self.retrieve(reference)?.raw;
        let times = text.matches(reference).count();
        self.charge(new.len().saturating_mul(times))?;
        Ok(text.replace(reference, &new))
    }

    fn charge(&mut self, bytes: usize) -> Result<(), String> {
        self.room = self.room.checked_sub(bytes).ok_or_else(|| {
            format!("references of this document bring more than {MOST_BYTES} bytes")
        })?;
        Ok(())
    }

    fn retrieve(&mut self, reference: &str) -> Result<Retrieved, String> {
        let inner = reference
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or_default();
        if inner.contains('$') {
            // What stands inside may have come out of a secret: it is not shown.
            return Err("a reference contains unsupported characters ('$')".into());
        }
        let (scheme, rest) = match inner.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest),
            _ => ("env", inner),
        };
        let raw = match scheme {
            "env" => match self.variable(rest)? {
                Some(text) => text,
                None => {
                    return Ok(Retrieved {
                        value: Value::Null,
                        raw: String::new(),
                    });
                }
            },
            "file" => self
                .surroundings
                .file(Path::new(rest))
                .map_err(|error| format!("unable to read the file `{rest}`: {error}"))?,
            "yaml" => rest.into(),
            other => {
                return Err(format!(
                    "scheme \"{other}\" is not supported for uri; supported are env, file and yaml"
                ));
            }
        };
        self.charge(raw.len())?;
        let value = match yaml::parse(&raw) {
            Ok(Some(node)) => node.value,
            Ok(None) => Value::Null,
            Err(_) => Value::Text(raw.clone()),
        };
        let value = match value {
            // Quotes around a value of the environment are part of it.
            Value::Text(_) => Value::Text(raw.clone()),
            value => value,
        };
        Ok(Retrieved { value, raw })
    }

    fn variable(&mut self, reference: &str) -> Result<Option<String>, String> {
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!(
                "environment variable \"{name}\" has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$"
            ));
        }
        let found = self
            .surroundings
            .variable(name)
            .map_err(|error| format!("environment variable \"{name}\" {error}"))?;
        if found.is_none() && default.is_none() {
            let message = format!("environment variable \"{name}\" is unset; its value is empty");
            self.odd.warnings.push(Fault::new(&self.path, message));
        }
        if found.as_deref() == Some("") {
            let message = format!("environment variable \"{name}\" is empty");
            self.odd.notes.push(Fault::new(&self.path, message));
        }
        Ok(found.or_else(|| default.map(Into::into)))
    }
}

/// The reference to expand next: up to the first `}`, from the last `${` before it. One with an odd number of `$`
/// before it is escaped and ends the search.
fn find(text: &str) -> Option<&str> {
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let close = rest.find('}')?;
        let Some(open) = rest.get(..close)?.rfind("${") else {
            from += close + 1;
            continue;
        };
        let before = rest.get(..open)?;
        let dollars = before.len() - before.trim_end_matches('$').len();
        if dollars % 2 == 1 {
            return None;
        }
        return rest.get(open..=close);
    }
}

fn is_scheme(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-'))
}

fn unescape(text: &mut String) {
    if text.contains("$$") {
        *text = text.replace("$$", "$");
    }
}

#[cfg(test)]
mod tests;
