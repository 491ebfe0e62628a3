//! Attributes out of the text of another.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::processor::regex::{InvalidRegex, Regex};

/// A regular expression whose groups name attributes.
///
/// ```
/// use spanwire_core::processor::{Actions, Extraction};
///
/// # #[cfg(feature = "regex")] {
/// let route = Extraction::new("^/api/(?P<version>v[0-9]+)/(?P<resource>[a-z]+)").unwrap();
/// let actions = Actions::new().extract("url.path", route);
/// # }
/// assert!(Extraction::new("no groups").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extraction {
    regex: Regex,
    names: Vec<String>,
}

impl Extraction {
    /// The extraction that this regular expression describes.
    ///
    /// # Errors
    ///
    /// [`InvalidExtraction`] unless it is a regular expression in which there are groups and each has a name.
    pub fn new(pattern: &str) -> Result<Self, InvalidExtraction> {
        let regex = Regex::new(pattern).map_err(InvalidExtraction::Regex)?;
        let names: Option<Vec<String>> = regex.groups().map(|name| name.map(Into::into)).collect();
        let names = names.ok_or(InvalidExtraction::Unnamed)?;
        if names.is_empty() {
            return Err(InvalidExtraction::NoGroups);
        }
        Ok(Self { regex, names })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// What the groups hold, in order; nothing if the expression is not found.
    pub(super) fn of<'t, 'o>(
        &self,
        text: &'t str,
        hold: impl Fn(&'t str) -> Cow<'o, str>,
    ) -> Vec<Cow<'o, str>> {
        self.regex
            .captures(text)
            .map_or_else(Vec::new, |groups| groups.map(hold).collect())
    }
}

/// Why nothing could be extracted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidExtraction {
    /// It is no regular expression.
    Regex(InvalidRegex),
    /// A group has no name.
    Unnamed,
    /// There is no group.
    NoGroups,
}

impl fmt::Display for InvalidExtraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Regex(regex) => regex.fmt(f),
            Self::Unnamed => {
                f.write_str("a group has no name: every group is written (?P<name>..)")
            }
            Self::NoGroups => {
                f.write_str("there is no group: (?P<name>..) makes an attribute `name`")
            }
        }
    }
}

impl core::error::Error for InvalidExtraction {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Regex(regex) => Some(regex),
            Self::Unnamed | Self::NoGroups => None,
        }
    }
}
