//! Regular expressions where they are switched off: there are none.

use core::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Regex {}

impl Regex {
    pub(super) fn new(_: &str) -> Result<Self, InvalidRegex> {
        Err(InvalidRegex(()))
    }

    pub(super) fn is_match(&self, _: &str) -> bool {
        match *self {}
    }

    pub(super) fn groups(&self) -> core::iter::Empty<Option<&str>> {
        match *self {}
    }

    pub(super) fn captures<'t>(&self, _: &'t str) -> Option<core::iter::Empty<&'t str>> {
        match *self {}
    }
}

/// Regular expressions need the feature `regex`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRegex(());

impl fmt::Display for InvalidRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("regular expressions need the feature `regex`")
    }
}

impl core::error::Error for InvalidRegex {}
