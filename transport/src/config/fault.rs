//! What is wrong with a configuration, and where.

use core::fmt;
use std::sync::Arc;

/// A place in a file: both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Position {
    /// Which of several texts it is in, from 0.
    pub(super) text: usize,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One thing that is wrong, or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The keys that lead to it, joined by `::`, and in files of Kubernetes by `.`; empty for the document as a whole.
    pub path: String,
    /// Where it stands, if it stands in a file.
    pub position: Option<Position>,
    /// The name of the file that is in, where files have names.
    pub file: Option<Arc<str>>,
    /// What is wrong. Holds no secret.
    pub message: String,
}

impl Fault {
    pub(super) fn new(path: &[String], message: impl Into<String>) -> Self {
        Self {
            path: path.join("::"),
            position: None,
            file: None,
            message: message.into(),
        }
    }

    pub(super) fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// Of what stands under this key in the eyes of its readers.
    pub(super) fn under(mut self, key: &str) -> Self {
        self.path = match self.path.is_empty() {
            true => key.into(),
            false => format!("{key}::{}", self.path),
        };
        self
    }

    /// Of a text that is this one of several.
    pub(super) fn in_text(mut self, text: usize) -> Self {
        if let Some(position) = &mut self.position {
            position.text = text;
        }
        self
    }

    /// With the name of the file, which are these.
    pub(super) fn of(mut self, files: &[Arc<str>]) -> Self {
        let file = self.position.and_then(|position| files.get(position.text));
        self.file = file.cloned();
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if let Some(position) = self.position {
            write!(f, "{position}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// All that is wrong with a configuration: everything that could be found, not only the first. Displays as a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidConfig {
    faults: Vec<Fault>,
}

impl InvalidConfig {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        Self { faults }
    }

    /// These faults, each changed.
    pub(super) fn map(self, change: impl FnMut(Fault) -> Fault) -> Self {
        Self::new(self.faults.into_iter().map(change).collect())
    }

    /// What is wrong; at least one.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl From<Fault> for InvalidConfig {
    fn from(fault: Fault) -> Self {
        Self::new(vec![fault])
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            write!(f, "{line}{fault}")?;
        }
        Ok(())
    }
}

impl core::error::Error for InvalidConfig {}
