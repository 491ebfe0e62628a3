//! How long a text is: cut where its limit says, and, made by `Display`, measured once and written as it was measured.

use core::cell::Cell;
use core::fmt;

use super::put::Put;
use crate::attribute::Value;

/// How much of a value is kept. OpenTelemetry common specification, "Attribute Limits".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueLimit(usize);

impl ValueLimit {
    /// Values are kept whole. The default.
    pub const NONE: Self = Self(usize::MAX);

    /// Strings are cut after this many Unicode scalar values, byte arrays after this many bytes, inside arrays and
    /// maps too. Other values are never cut.
    #[must_use]
    pub const fn new(length: usize) -> Self {
        Self(length)
    }

    /// The most bytes of which a string or byte array is kept whole, whatever is in it.
    #[inline]
    pub(crate) const fn most(self) -> usize {
        self.0
    }

    #[inline]
    pub(super) fn cut(self, text: &str) -> &str {
        // Text of n bytes has at most n characters.
        if text.len() <= self.0 {
            return text;
        }
        self.cut_longer(text)
    }

    #[cold]
    fn cut_longer(self, text: &str) -> &str {
        match text.char_indices().nth(self.0) {
            Some((end, _)) => text.get(..end).unwrap_or(text),
            None => text,
        }
    }

    #[inline]
    pub(super) fn cut_bytes(self, bytes: &[u8]) -> &[u8] {
        bytes.get(..self.0).unwrap_or(bytes)
    }
}

impl Default for ValueLimit {
    fn default() -> Self {
        Self::NONE
    }
}

/// A `Display` implementation wrote less the second time than it did the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inconsistent;

impl fmt::Display for Inconsistent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Display implementation gave two texts of different length, or failed")
    }
}

impl core::error::Error for Inconsistent {}

/// Whether a text is made by `Display` somewhere in a value: it is then to be measured once and remembered.
#[must_use]
#[inline]
pub(crate) fn is_displayed(value: &Value<'_>) -> bool {
    match value {
        Value::Display(_) => true,
        Value::Array(values) => values.iter().any(is_displayed),
        Value::Map(entries) => entries.iter().any(|entry| is_displayed(&entry.value)),
        _ => false,
    }
}

/// How long the texts are that `Display` makes.
///
/// A length stands in front of each message around a text. All of them must rest on one measurement, whatever a
/// `Display` implementation does when it is asked again.
pub(crate) trait Texts<'t> {
    /// Whether writing may come to another length than measuring.
    const MAY_FAIL: bool;

    /// The bytes of a text. `None` when there are too many to remember.
    fn len(&self, text: &'t (dyn fmt::Display + 't), limit: ValueLimit) -> Option<usize>;
}

/// Measures a text whenever it is asked. For values without texts made by `Display`, and for estimates.
pub(crate) struct Fresh;

impl<'t> Texts<'t> for Fresh {
    const MAY_FAIL: bool = false;

    #[inline]
    fn len(&self, text: &'t (dyn fmt::Display + 't), limit: ValueLimit) -> Option<usize> {
        Some(Measure::of(text, limit))
    }
}

/// The texts of one attribute, event or link that are remembered. What has more of them is not written.
const TEXTS: usize = 16;

/// A text, and its length.
type Known<'t> = (&'t (dyn fmt::Display + 't), usize);

/// Measures each text once.
#[derive(Default)]
pub(crate) struct Memo<'t> {
    known: [Cell<Option<Known<'t>>>; TEXTS],
}

impl<'t> Texts<'t> for Memo<'t> {
    const MAY_FAIL: bool = true;

    fn len(&self, text: &'t (dyn fmt::Display + 't), limit: ValueLimit) -> Option<usize> {
        for place in &self.known {
            match place.get() {
                #[allow(
                    ambiguous_wide_pointer_comparisons,
                    reason = "copies of one reference have one vtable"
                )]
                Some((known, len)) if core::ptr::eq(known, text) => return Some(len),
                Some(_) => {}
                None => {
                    let len = Measure::of(text, limit);
                    place.set(Some((text, len)));
                    return Some(len);
                }
            }
        }
        None
    }
}

/// Counts the bytes of a text up to a number of characters.
struct Measure {
    bytes: usize,
    characters_left: usize,
}

impl Measure {
    fn of(text: &dyn fmt::Display, limit: ValueLimit) -> usize {
        let mut measure = Self {
            bytes: 0,
            characters_left: limit.0,
        };
        // An error means that the limit is reached, or that the value can't be formatted: its text ends there.
        let _ = fmt::write(&mut measure, format_args!("{text}"));
        measure.bytes
    }
}

impl fmt::Write for Measure {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let kept = ValueLimit(self.characters_left).cut(text);
        self.bytes = self.bytes.saturating_add(kept.len());
        if self.characters_left != usize::MAX {
            self.characters_left -= kept.chars().count();
        }
        if kept.len() == text.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// Writes exactly as many bytes of a text as were measured.
pub(super) struct Exactly<'a, P> {
    out: &'a mut P,
    left: usize,
    split: bool,
}

impl<'a, P: Put> Exactly<'a, P> {
    pub(super) fn write(
        out: &'a mut P,
        text: &dyn fmt::Display,
        len: usize,
    ) -> Result<(), Inconsistent> {
        let mut exactly = Self {
            out,
            left: len,
            split: false,
        };
        let _ = fmt::write(&mut exactly, format_args!("{text}"));
        if exactly.left == 0 && !exactly.split {
            Ok(())
        } else {
            Err(Inconsistent)
        }
    }
}

impl<P: Put> fmt::Write for Exactly<'_, P> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Some(kept) = text.get(..text.len().min(self.left)) else {
            // The measured length ends inside a character: the text is not the one that was measured.
            self.split = true;
            return Err(fmt::Error);
        };
        self.out.put(kept.as_bytes());
        self.left -= kept.len();
        if kept.len() == text.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}
