//! Regular expressions.

use alloc::string::{String, ToString};
use core::fmt;

use regex_lite::Captures;

/// A regular expression; two are equal when their texts are.
#[derive(Clone)]
pub(super) struct Regex(regex_lite::Regex);

impl Regex {
    pub(super) fn new(text: &str) -> Result<Self, InvalidRegex> {
        regex_lite::Regex::new(text)
            .map(Self)
            .map_err(|error| InvalidRegex(error.to_string()))
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The names of the groups, in order; `None` for a group without.
    pub(super) fn groups(&self) -> impl Iterator<Item = Option<&str>> {
        self.0.capture_names().skip(1)
    }

    /// What the groups of the first match hold, in order: nothing for a group that took no part.
    pub(super) fn captures<'t>(&self, text: &'t str) -> Option<impl Iterator<Item = &'t str>> {
        let groups = |captures: Captures<'t>| {
            (1..captures.len()).map(move |at| captures.get(at).map_or("", |group| group.as_str()))
        };
        self.0.captures(text).map(groups)
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Regex {}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_str().fmt(f)
    }
}

/// What is wrong with a regular expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRegex(String);

impl fmt::Display for InvalidRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a regular expression: {}", self.0)
    }
}

impl core::error::Error for InvalidRegex {}
