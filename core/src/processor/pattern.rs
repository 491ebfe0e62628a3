//! What a text is to be like.

use alloc::string::String;

use super::regex::{InvalidRegex, Regex};
use crate::sampler::glob;

/// What a text is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Equals(String),
    Glob(String),
    Regex(Regex),
}

impl Pattern {
    /// Exactly this text.
    #[must_use]
    pub fn equals(text: &str) -> Self {
        Self(Kind::Equals(text.into()))
    }

    /// This text, in which `*` stands for any number of characters and `?` for any one. There is no escape.
    ///
    /// ```
    /// use spanwire_core::processor::Pattern;
    ///
    /// assert!(Pattern::glob("GET /pods/*").matches("GET /pods/web-0"));
    /// assert!(!Pattern::glob("GET /pods/?").matches("GET /pods/web-0"));
    /// ```
    #[must_use]
    pub fn glob(text: &str) -> Self {
        Self(Kind::Glob(text.into()))
    }

    /// A text in which this regular expression is found, anywhere unless it is anchored. The time it takes grows with
    /// the text, whatever the expression.
    ///
    /// The syntax is RE2's as far as `regex-lite` has it: without classes of Unicode (`\pL`), and `(?i)` is about ASCII.
    ///
    /// # Errors
    ///
    /// [`InvalidRegex`] if it is none, and always without the feature `regex`.
    pub fn regex(text: &str) -> Result<Self, InvalidRegex> {
        Regex::new(text).map(|regex| Self(Kind::Regex(regex)))
    }

    /// Whether `text` is like this.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Equals(wanted) => wanted == text,
            Kind::Glob(pattern) => glob::matches(pattern, text),
            Kind::Regex(regex) => regex.is_match(text),
        }
    }
}
