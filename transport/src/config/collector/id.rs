//! Names of components.

use core::fmt;
use core::str::FromStr;

use super::symbols::is_symbol;

/// `type` or `type/name`: a type is a letter, then up to 62 letters, digits and `_`; a name 1 to 1024 bytes without
/// blanks, control characters and symbols.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId {
    kind: String,
    name: String,
}

impl ComponentId {
    /// The part before the `/`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The part after it; empty when there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for ComponentId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (kind.trim(), Some(name.trim())),
            None => (text.trim(), None),
        };
        if text.trim().is_empty() {
            return Err("id must not be empty".into());
        }
        if kind.is_empty() {
            return Err(format!(
                "in {text:?} id: the part before / should not be empty"
            ));
        }
        if name == Some("") {
            return Err(format!(
                "in {text:?} id: the part after / should not be empty"
            ));
        }
        let is_type = kind.starts_with(|c: char| c.is_ascii_alphabetic())
            && kind.len() <= 63
            && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_type {
            return Err(format!("invalid character(s) in type {kind:?}"));
        }
        let name = name.unwrap_or_default();
        if name.len() > 1024 || name.contains(is_symbol) {
            return Err(format!("invalid character(s) in name {name:?}"));
        }
        Ok(Self {
            kind: kind.into(),
            name: name.into(),
        })
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.name.is_empty() {
            write!(f, "/{}", self.name)?;
        }
        Ok(())
    }
}
