//! Values of variables, typed.

use core::fmt;
use core::time::Duration;

use spanwire_core::resource::InvalidAttributes;

/// The greatest number that is read: what every SDK takes.
pub(super) const MOST: u64 = i32::MAX as u64;

/// The most characters of a value that a fault shows.
const SHOWN: usize = 40;

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The value is not UTF-8.
    Utf8,
    /// The value is none of those expected. Only values of variables that hold no secret are shown.
    Unexpected {
        /// The value, or the part of it that is not used, cut to 40 characters.
        value: String,
        /// What is expected.
        expected: &'static str,
    },
    /// The name is known and this program has no such thing.
    Unsupported {
        /// The name.
        value: String,
    },
    /// The variable is known and this program does not follow it.
    NotFollowed {
        /// What stands in for it.
        instead: &'static str,
    },
    /// The endpoint can't be used.
    Endpoint {
        /// Why not.
        why: &'static str,
    },
    /// One header can't be used. It is left out.
    Header {
        /// Which, from 1.
        member: usize,
        /// Why not.
        why: &'static str,
    },
    /// `OTEL_RESOURCE_ATTRIBUTES` is discarded as a whole.
    Attributes(InvalidAttributes),
    /// The batch is larger than the queue. The queue's size is used for both.
    LargerThanQueue {
        /// The queue's size in spans.
        queue: usize,
    },
    /// What it asks for can't be built.
    Unbuildable {
        /// Why not.
        why: String,
    },
    /// The sampler takes no argument.
    NoArgument,
    /// `none` stands beside other names, and is passed over.
    NoneAndOthers,
}

impl Fault {
    pub(super) fn unexpected(value: &str, expected: &'static str) -> Self {
        Self::Unexpected {
            value: value.chars().take(SHOWN).collect(),
            expected,
        }
    }

    pub(super) fn unsupported(value: &str) -> Self {
        Self::Unsupported {
            value: value.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf8 => f.write_str("the value is not UTF-8"),
            Self::Unexpected { value, expected } => write!(f, "{value:?} is not {expected}"),
            Self::Unsupported { value } => write!(f, "{value:?} is not supported"),
            Self::NotFollowed { instead } => write!(f, "is not followed; {instead}"),
            Self::Endpoint { why } => f.write_str(why),
            Self::Header { member, why } => write!(f, "member {member} {why}"),
            Self::Attributes(error) => error.fmt(f),
            Self::LargerThanQueue { queue } => {
                write!(f, "is larger than the queue, which holds {queue} spans")
            }
            Self::Unbuildable { why } => f.write_str(why),
            Self::NoArgument => f.write_str("the sampler takes no argument"),
            Self::NoneAndOthers => f.write_str("none stands beside other names"),
        }
    }
}

/// Only `true` is true. What is neither `true` nor `false` is false, and a fault.
pub(super) fn boolean(text: &str) -> Result<bool, Fault> {
    match text {
        text if text.eq_ignore_ascii_case("true") => Ok(true),
        text if text.eq_ignore_ascii_case("false") => Ok(false),
        text => Err(Fault::unexpected(text, "true or false")),
    }
}

/// Digits alone: neither a sign nor white space.
fn digits(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok()?;
    (plain && number <= MOST).then_some(number)
}

pub(super) fn number(text: &str) -> Result<usize, Fault> {
    digits(text)
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| Fault::unexpected(text, "a whole number from 0 to 2147483647"))
}

pub(super) fn size(text: &str) -> Result<usize, Fault> {
    digits(text)
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| Fault::unexpected(text, "a whole number from 1 to 2147483647"))
}

pub(super) fn millis(text: &str) -> Result<Duration, Fault> {
    let expected = "a whole number of milliseconds from 0 to 2147483647";
    digits(text)
        .map(Duration::from_millis)
        .ok_or_else(|| Fault::unexpected(text, expected))
}

/// A duration that 0 makes infinite.
pub(super) fn timeout(text: &str) -> Result<Option<Duration>, Fault> {
    Ok(Some(millis(text)?).filter(|timeout| !timeout.is_zero()))
}

/// A part, from 0 to 1.
pub(super) fn ratio(text: &str) -> Result<f64, Fault> {
    text.parse()
        .ok()
        .filter(|ratio| (0.0..=1.0).contains(ratio))
        .ok_or_else(|| Fault::unexpected(text, "a number from 0 to 1"))
}

/// One of these names, in any case.
pub(super) fn choice<T: Copy>(
    text: &str,
    names: &[(&str, T)],
    unsupported: &[&str],
    expected: &'static str,
) -> Result<T, Fault> {
    if let Some((_, value)) = names
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
    {
        return Ok(*value);
    }
    if let Some(name) = unsupported
        .iter()
        .find(|name| name.eq_ignore_ascii_case(text))
    {
        return Err(Fault::unsupported(name));
    }
    Err(Fault::unexpected(text, expected))
}

/// Names between commas, each once. `None`: no name of the list can be used.
pub(super) fn choices<T: Copy + PartialEq>(
    text: &str,
    names: &[(&str, T)],
    unsupported: &[&str],
    expected: &'static str,
    faults: &mut Vec<Fault>,
) -> Option<Vec<T>> {
    let mut chosen = Vec::new();
    let mut none = false;
    for name in text
        .split(',')
        .map(|name| name.trim_matches([' ', '\t']))
        .filter(|name| !name.is_empty())
    {
        if name.eq_ignore_ascii_case("none") {
            none = true;
            continue;
        }
        match choice(name, names, unsupported, expected) {
            Ok(value) if chosen.contains(&value) => {}
            Ok(value) => chosen.push(value),
            Err(fault) => faults.push(fault),
        }
    }
    if none && !chosen.is_empty() {
        faults.push(Fault::NoneAndOthers);
    }
    (none || !chosen.is_empty()).then_some(chosen)
}
