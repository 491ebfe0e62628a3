//! What holds for any bytes in any header. The same functions serve proptest and fuzz targets.

use spanwire_core::context::{Baggage, BaggageRef, TraceState, TraceStateRef};
use spanwire_core::propagation::{
    Context, EnvironmentName, Extractor, Propagator, TraceParent, by_name,
};

/// All properties over one input.
pub(crate) fn any_bytes_are_survived(data: &[u8]) {
    traceparent(data);
    trace_state(data);
    baggage(data);
    headers(data);
    if let Ok(text) = core::str::from_utf8(data) {
        environment(text);
    }
}

/// What is read as a `traceparent` is written as one that is read the same.
pub(crate) fn traceparent(data: &[u8]) {
    let Ok(parent) = TraceParent::parse(data) else {
        return;
    };
    assert!(parent.trace_id.is_valid() && parent.span_id.is_valid());
    let text = parent.to_string();
    assert_eq!(TraceParent::parse(&text), Ok(parent));
    let trimmed = data.trim_ascii();
    assert_eq!(trimmed[2..53], text.as_bytes()[2..53]);
}

/// A trace state is what a naive reader of the grammar finds, and changing it keeps the rules.
pub(crate) fn trace_state(data: &[u8]) {
    let expected = naive_trace_state(data);
    let state = TraceState::parse(data);
    assert_eq!(state.is_ok(), expected.is_some());
    let (Ok(state), Some(expected)) = (state, expected) else {
        return;
    };
    let members: Vec<String> = state.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(members, expected);
    assert_eq!(state.as_str(), members.join(","));
    assert!(state.as_str().len() <= TraceState::MAX_LEN);
    assert_eq!(TraceState::parse(state.as_str()), Ok(state.clone()));

    let view = TraceStateRef::parse(data).unwrap();
    assert_eq!(view.is_empty(), state.is_empty());
    for (key, value) in &state {
        assert_eq!(view.get(key), Some(value));
        assert_eq!(state.get(key), Some(value));
        assert_eq!(state.remove(key).get(key), None);
        let set = state.insert(key, "new").unwrap();
        assert_eq!(set.iter().next(), Some((key, "new")));
        assert_eq!(set.iter().filter(|(other, _)| *other == key).count(), 1);
    }
    let set = state.insert("spanwire", "1").unwrap();
    assert!(set.iter().count() <= 32 && set.as_str().len() <= TraceState::MAX_LEN);
    assert_eq!(set.get("spanwire"), Some("1"));
    assert_eq!(TraceState::parse(set.as_str()), Ok(set.clone()));
    let left: Vec<_> = set.iter().skip(1).collect();
    let mut all = state.iter().filter(|(key, _)| *key != "spanwire");
    assert!(left.iter().all(|member| all.any(|other| other == *member)));
}

fn naive_trace_state(data: &[u8]) -> Option<Vec<String>> {
    let mut members: Vec<(String, String)> = Vec::new();
    let mut count = 0;
    for member in data.split(|byte| *byte == b',') {
        let member = core::str::from_utf8(member).ok()?;
        let member = member.trim_matches([' ', '\t']);
        if member.is_empty() {
            continue;
        }
        let (key, value) = member.split_once('=')?;
        let start = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
        if !key.starts_with(start)
            || key.len() > 256
            || !key
                .chars()
                .all(|char| start(char) || "_-*/@".contains(char))
            || !(1..=256).contains(&value.len())
            || !value
                .chars()
                .all(|char| matches!(char, ' '..='~') && char != '=')
        {
            return None;
        }
        count += 1;
        if !members.iter().any(|(other, _)| other == key) {
            members.push((key.to_owned(), value.to_owned()));
        }
    }
    if count > 32 {
        return None;
    }
    let mut members: Vec<_> = members.iter().map(|(k, v)| format!("{k}={v}")).collect();
    while members.join(",").len() > 512 {
        let long = members.iter().rposition(|member| member.len() > 128);
        members.remove(long.unwrap_or(members.len() - 1));
    }
    Some(members)
}

/// Baggage is decoded as a naive decoder does, stays within its limits, and reads the same after it was written.
pub(crate) fn baggage(data: &[u8]) {
    for member in BaggageRef::new(data).iter() {
        let naive = naive_percent_decode(member.value.as_encoded());
        assert_eq!(member.value.to_string(), naive);
        assert!(member.value == naive.as_str());
    }
    let baggage = Baggage::parse(data);
    assert!(baggage.as_str().len() <= Baggage::MAX_LEN);
    assert!(baggage.iter().count() <= Baggage::MAX_MEMBERS);
    assert_eq!(Baggage::parse(baggage.as_str()), baggage);
    let mut keys: Vec<_> = baggage.iter().map(|member| member.key).collect();
    for key in &keys {
        let last = BaggageRef::new(data).get(key).unwrap();
        assert_eq!(baggage.get(key), Some(last));
        assert!(baggage.remove(key).get(key).is_none());
        let value = last.to_string();
        if let Ok(set) = baggage.insert(key, &value) {
            assert!(set.get(key).unwrap() == value.as_str());
            assert!(set.iter().map(|member| member.key).eq(keys.iter().copied()));
        }
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), baggage.iter().count());
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(set) = Baggage::EMPTY.insert("key", text)
    {
        assert!(Baggage::parse(set.as_str()).get("key").unwrap() == text);
    }
}

fn naive_percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes
            .get(at + 1..at + 3)
            .filter(|digits| bytes[at] == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        if let Some(digits) = digits {
            let digits = core::str::from_utf8(digits).unwrap();
            decoded.push(u8::from_str_radix(digits, 16).unwrap());
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The input as every header of every format, whole and in pieces: what is extracted is injected and extracted again
/// without change, and what is not leaves a known context alone.
pub(crate) fn headers(data: &[u8]) {
    const NAMES: [&str; 11] = [
        "traceparent",
        "tracestate",
        "baggage",
        "b3",
        "x-b3-traceid",
        "x-b3-spanid",
        "x-b3-parentspanid",
        "x-b3-sampled",
        "x-b3-flags",
        "uber-trace-id",
        "uberctx-key",
    ];
    let whole: Vec<(&str, &[u8])> = NAMES.iter().map(|name| (*name, data)).collect();
    let pieces = data.split(|byte| *byte == b'\n');
    let pieces: Vec<(&str, &[u8])> = pieces
        .filter_map(|piece| {
            let (first, value) = piece.split_first()?;
            Some((NAMES[usize::from(*first) % NAMES.len()], value))
        })
        .collect();
    for name in ["tracecontext", "baggage", "b3", "b3multi", "jaeger"] {
        let propagator = by_name(name).unwrap();
        for headers in [&whole, &pieces] {
            extract_and_inject(propagator, headers);
        }
    }
}

fn extract_and_inject(propagator: &dyn Propagator, headers: &dyn Extractor) {
    let mut found = Context::EMPTY;
    propagator.extract(headers, &mut found);
    let span = found.span_context();
    assert_eq!(span.is_valid(), span.is_remote());
    let mut sent = Vec::<(String, String)>::new();
    propagator.inject(&found, &mut sent);
    for (_, value) in &sent {
        assert!(
            value
                .bytes()
                .all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        );
    }
    let mut again = Context::EMPTY;
    propagator.extract(&sent, &mut again);
    assert_eq!(again, found);

    let known = TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let known = known.unwrap().into_remote(TraceState::EMPTY);
    let mut over = Context::new(known.clone());
    propagator.extract(headers, &mut over);
    let expected = if span.is_valid() { span } else { &known };
    assert_eq!(over.span_context(), expected);
}

/// A variable's name has only upper-case letters, digits and `_`, no leading digit, and is its own name.
pub(crate) fn environment(name: &str) {
    let variable = EnvironmentName(name).to_string();
    assert!(!variable.is_empty() && !variable.starts_with(|char: char| char.is_ascii_digit()));
    assert!(
        variable
            .chars()
            .all(|char| matches!(char, 'A'..='Z' | '0'..='9' | '_'))
    );
    assert_eq!(EnvironmentName(&variable).to_string(), variable);
    assert!(EnvironmentName(name).matches(&variable));
}
