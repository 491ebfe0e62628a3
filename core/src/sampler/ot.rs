//! The `ot` member of a trace state: `key:value` items joined by `;`.
//!
//! OpenTelemetry specification, "TraceState" and "TraceState: Probability Sampling".

use super::TraceStateChange;
use super::threshold::{Threshold, randomness_from_text};
use crate::context::TraceState;
use crate::wire::encode::{Put, Writer};

/// The key of the member.
const KEY: &str = "ot";

/// The most characters of the member's value.
const MAX_LEN: usize = 256;

/// What samplers read from the member. An item that breaks its grammar counts as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    /// `th`: the threshold by which the span was kept.
    pub(crate) threshold: Option<Threshold>,
    /// `rv`: the randomness that replaces that of the trace id.
    pub(crate) randomness: Option<u64>,
}

impl Entry {
    pub(crate) fn of(state: &TraceState) -> Self {
        if state.is_empty() {
            Self::default()
        } else {
            state.get(KEY).map_or(Self::default(), Self::read)
        }
    }

    fn read(text: &str) -> Self {
        let mut entry = Self::default();
        for item in text.split(';') {
            match item.split_once(':') {
                Some(("th", value)) => {
                    entry.threshold = entry.threshold.or(Threshold::from_text(value))
                }
                Some(("rv", value)) => {
                    entry.randomness = entry.randomness.or(randomness_from_text(value))
                }
                _ => {}
            }
        }
        entry
    }
}

/// What `state` becomes when the items of `original`'s member stand in it with this threshold, or with none.
///
/// Both are the same unless someone else changed `state` in between, who may not touch this member. A member that
/// would grow beyond 256 characters gets no threshold: a missing one says that the count is unknown, a stale one lies.
pub(crate) fn set_threshold(
    state: &TraceState,
    original: &TraceState,
    threshold: Option<Threshold>,
) -> TraceStateChange {
    let (now, text) = (state.get(KEY), original.get(KEY).unwrap_or_default());
    if text.is_empty() && now.is_none() && threshold.is_none() {
        return TraceStateChange::Keep;
    }
    let mut room = [0; MAX_LEN];
    let len = write(text, threshold, &mut room).or_else(|| write(text, None, &mut room));
    let new = len
        .and_then(|len| room.get(..len))
        .and_then(|text| core::str::from_utf8(text).ok());
    match new {
        Some("") | None if now.is_none() => TraceStateChange::Keep,
        Some("") | None => TraceStateChange::Replace(state.remove(KEY)),
        Some(new) if now == Some(new) => TraceStateChange::Keep,
        // A member too long for a trace state without a heap is left out.
        Some(new) => {
            TraceStateChange::Replace(state.insert(KEY, new).unwrap_or_else(|_| state.remove(KEY)))
        }
    }
}

/// Writes `th`, then `rv`, then the other items in their order; the length, or `None` beyond 256 characters.
fn write(text: &str, threshold: Option<Threshold>, room: &mut [u8; MAX_LEN]) -> Option<usize> {
    let mut writer = Writer::new(room);
    let mut first = true;
    let mut put = |key: &str, value: &str| {
        if !first {
            writer.put(b";");
        }
        first = false;
        writer.put(key.as_bytes());
        writer.put(value.as_bytes());
    };
    if let Some(threshold) = threshold {
        put(
            "th:",
            threshold.write(&mut [0; super::threshold::DIGITS as usize]),
        );
    }
    let items = || text.split(';').filter(|item| !item.is_empty());
    if let Some(value) = items()
        .filter_map(|item| item.strip_prefix("rv:"))
        .find(|value| randomness_from_text(value).is_some())
    {
        put("rv:", value);
    }
    for item in items().filter(|item| !item.starts_with("th:") && !item.starts_with("rv:")) {
        put(item, "");
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;

    use proptest::prelude::*;

    use super::*;

    fn written(text: &str, threshold: Option<Threshold>) -> Option<String> {
        let mut room = [0; MAX_LEN];
        write(text, threshold, &mut room)
            .map(|len| String::from_utf8(room[..len].to_vec()).unwrap())
    }

    /// "Parse/serialise vectors", on which Python, JavaScript and Java agree.
    #[test]
    fn the_shared_vectors() {
        let long = "X".repeat(214);
        let (long_in, long_out) = (
            format!("a:{long};rv:1234567890abcd;th:1234567890abcd;x:3"),
            format!("th:1234567890abcd;rv:1234567890abcd;a:{long};x:3"),
        );
        for (text, expected) in [
            ("a", "a"),
            ("th:1234567890abcd", "th:1234567890abcd"),
            ("th:10000000000000", "th:1"),
            ("th:1234500000000", "th:12345"),
            ("th:10", "th:1"),
            ("th:0", "th:0"),
            ("th:100000000000000", ""),
            ("th:x", ""),
            ("th:", ""),
            ("th:A", ""),
            ("rv:01020304050607", "rv:01020304050607"),
            ("rv:1000000000000", ""),
            ("rv:100000000000000", ""),
            (&long_in, &long_out),
            ("", ""),
            ("a:1;;b:2;", "a:1;b:2"),
        ] {
            let threshold = Entry::read(text).threshold;
            assert_eq!(
                written(text, threshold).as_deref(),
                Some(expected),
                "{text:?}"
            );
        }
        assert_eq!(long_out.len(), 256);
    }

    /// Checks that follow directly, (9): 256 characters fit, 257 don't, and no stale threshold stays behind.
    #[test]
    #[cfg(feature = "alloc")]
    fn the_member_has_at_most_256_characters() {
        let eighth = Threshold::from_text("e").unwrap();
        for (length, fits) in [(251, true), (252, false)] {
            let rest = format!("a:{}", "X".repeat(length - 2));
            assert_eq!(written(&rest, Some(eighth)).is_some(), fits);
            let state = TraceState::EMPTY.insert("ot", &rest).unwrap();
            let changed = set_threshold(&state, &state, Some(eighth));
            match changed {
                TraceStateChange::Replace(state) => {
                    assert!(fits && state.get("ot").unwrap().starts_with("th:e;a:X"))
                }
                TraceStateChange::Keep => assert!(!fits),
            }
        }
        let stale = format!("th:8;a:{}", "X".repeat(249));
        let state = TraceState::EMPTY.insert("ot", &stale).unwrap();
        let TraceStateChange::Replace(state) =
            set_threshold(&state, &state, Threshold::from_text("fd70a"))
        else {
            panic!("the threshold is stale");
        };
        assert_eq!(state.get("ot"), Some(&stale[5..]));
    }

    #[test]
    fn other_members_stay() {
        let half = Threshold::from_text("8");
        let parse = |text: &str| TraceState::parse(text).unwrap();
        for (before, threshold, after) in [
            ("", None, None),
            ("", half, Some("ot=th:8")),
            ("a=1", half, Some("ot=th:8,a=1")),
            ("a=1,ot=th:8", half, None),
            ("a=1,ot=th:c", half, Some("ot=th:8,a=1")),
            ("a=1,ot=th:c", None, Some("a=1")),
            ("ot=th:c", None, Some("")),
            ("a=1,ot=b:2", None, None),
            ("ot=th:c;b:2", None, Some("ot=b:2")),
        ] {
            let expected = after.map_or(TraceStateChange::Keep, |after| {
                TraceStateChange::Replace(parse(after))
            });
            assert_eq!(
                set_threshold(&parse(before), &parse(before), threshold),
                expected,
                "{before:?}"
            );
        }
        // Who changed the member in between is overruled.
        assert_eq!(
            set_threshold(&parse("ot=x:1,b=2"), &parse("ot=rv:00000000000001"), half),
            TraceStateChange::Replace(parse("ot=th:8;rv:00000000000001,b=2").clone())
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            text in "(([a-z]|th|rv):[a-f0-9]{0,14};?){0,4}|\\PC*",
            threshold in prop::option::of((0..1_u64 << 56).prop_map(|value| Threshold::from_value(value).unwrap())),
        ) {
            if let Some(written) = written(&text, threshold) {
                prop_assert_eq!(
                    Entry::read(&written),
                    Entry { threshold, randomness: Entry::read(&text).randomness }
                );
            }
        }
    }
}
