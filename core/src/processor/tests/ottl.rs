//! The language of conditions: what it accepts, what it says about what it does not, and what is true of a span.

use core::cmp::Ordering;

use super::*;
use any_value::Value::{
    ArrayValue, BoolValue, BytesValue, DoubleValue, IntValue, KvlistValue, StringValue,
};
use opentelemetry_proto::tonic::common::v1::{
    ArrayValue as List, InstrumentationScope, KeyValueList,
};
use opentelemetry_proto::tonic::trace::v1::Status;

/// A condition as data, to be written down and to be asked naively.
#[derive(Clone, Debug)]
enum Node {
    Text(&'static str),
    Int(i64),
    Float(f64),
    Bool(bool),
    Nil,
    Name,
    Kind,
    Code,
    ScopeName,
    Attribute(&'static str),
    Resource(&'static str),
    Compute(&'static str, Box<Self>, Box<Self>),
    Compare(&'static str, Box<Self>, Box<Self>),
    IsMatch(Box<Self>, &'static str),
    IsRoot,
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
}

/// A value of a decoded span.
#[derive(Clone, Debug, PartialEq)]
enum Is {
    Nil,
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl Node {
    fn written(&self) -> String {
        let joined = |parts: &[Self], with: &str| {
            let parts: Vec<String> = parts
                .iter()
                .map(|part| format!("({})", part.written()))
                .collect();
            parts.join(with)
        };
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => format!("{value:?}"),
            Self::Bool(value) => value.to_string(),
            Self::Nil => "nil".into(),
            Self::Name => "span.name".into(),
            Self::Kind => "span.kind".into(),
            Self::Code => "span.status.code".into(),
            Self::ScopeName => "scope.name".into(),
            Self::Attribute(key) => format!("span.attributes[{key:?}]"),
            Self::Resource(key) => format!("resource.attributes[{key:?}]"),
            Self::Compute(how, this, other) | Self::Compare(how, this, other) => {
                format!("({}) {how} ({})", this.written(), other.written())
            }
            Self::IsMatch(target, pattern) => format!("IsMatch({}, {pattern:?})", target.written()),
            Self::IsRoot => "IsRootSpan()".into(),
            Self::Not(inner) => format!("not ({})", inner.written()),
            Self::And(parts) => joined(parts, " and "),
            Self::Or(parts) => joined(parts, " or "),
        }
    }

    /// `None` is a mistake.
    fn value(&self, flat: &Flat) -> Option<Is> {
        let (resource, _, scope, _, span) = flat;
        let get = |attributes: &[KeyValue], key: &str| {
            let found = attributes.iter().find(|one| one.key == key);
            match found.and_then(|found| found.value.clone()?.value) {
                Some(StringValue(text)) => Is::Text(text),
                Some(IntValue(value)) => Is::Int(value),
                Some(DoubleValue(value)) => Is::Float(value),
                Some(BoolValue(value)) => Is::Bool(value),
                _ => Is::Nil,
            }
        };
        Some(match self {
            Self::Text(text) => Is::Text((*text).into()),
            Self::Int(value) => Is::Int(*value),
            Self::Float(value) => Is::Float(*value),
            Self::Bool(value) => Is::Bool(*value),
            Self::Nil => Is::Nil,
            Self::Name => Is::Text(span.name.clone()),
            Self::Kind => Is::Int(span.kind.into()),
            Self::Code => Is::Int(span.status.as_ref().map_or(0, |status| status.code).into()),
            Self::ScopeName => Is::Text(
                scope
                    .as_ref()
                    .map_or(String::new(), |scope| scope.name.clone()),
            ),
            Self::Attribute(key) => get(&span.attributes, key),
            Self::Resource(key) => get(
                resource
                    .as_ref()
                    .map_or(&[], |resource| &resource.attributes),
                key,
            ),
            Self::Compute(how, this, other) => {
                match (this.value(flat)?, *how, other.value(flat)?) {
                    (Is::Int(this), "+", Is::Int(other)) => Is::Int(this + other),
                    (Is::Int(this), "-", Is::Int(other)) => Is::Int(this - other),
                    (Is::Int(this), "*", Is::Int(other)) => Is::Int(this * other),
                    (Is::Int(this), "/", Is::Int(other)) if other != 0 => Is::Int(this / other),
                    (Is::Float(this), "+", Is::Float(other)) => Is::Float(this + other),
                    (Is::Float(this), "-", Is::Float(other)) => Is::Float(this - other),
                    (Is::Float(this), "*", Is::Float(other)) => Is::Float(this * other),
                    (Is::Float(this), "/", Is::Float(other)) if other != 0.0 => {
                        Is::Float(this / other)
                    }
                    _ => return None,
                }
            }
            _ => unreachable!("a condition"),
        })
    }

    fn holds(&self, flat: &Flat) -> Option<bool> {
        Some(match self {
            Self::Bool(value) => *value,
            Self::Compare(how, this, other) => {
                let order = match (this.value(flat)?, other.value(flat)?) {
                    (Is::Nil, Is::Nil) => return Some(*how == "=="),
                    (Is::Text(this), Is::Text(other)) => Some(this.cmp(&other)),
                    (Is::Bool(this), Is::Bool(other)) => Some(this.cmp(&other)),
                    (Is::Int(this), Is::Int(other)) => Some(this.cmp(&other)),
                    (Is::Int(this), Is::Float(other)) => (this as f64).partial_cmp(&other),
                    (Is::Float(this), Is::Int(other)) => this.partial_cmp(&(other as f64)),
                    (Is::Float(this), Is::Float(other)) => this.partial_cmp(&other),
                    _ => None,
                };
                match *how {
                    "==" => order == Some(Ordering::Equal),
                    "!=" => order != Some(Ordering::Equal),
                    "<" => order == Some(Ordering::Less),
                    "<=" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                    ">" => order == Some(Ordering::Greater),
                    _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
                }
            }
            Self::IsMatch(target, pattern) => match target.value(flat)? {
                Is::Nil => false,
                Is::Text(text) => regex_lite::Regex::new(pattern).unwrap().is_match(&text),
                Is::Int(value) => regex_lite::Regex::new(pattern)
                    .unwrap()
                    .is_match(&value.to_string()),
                Is::Float(value) => regex_lite::Regex::new(pattern)
                    .unwrap()
                    .is_match(&value.to_string()),
                Is::Bool(value) => regex_lite::Regex::new(pattern)
                    .unwrap()
                    .is_match(&value.to_string()),
            },
            Self::IsRoot => flat.4.parent_span_id.is_empty(),
            Self::Not(inner) => !inner.holds(flat)?,
            Self::And(parts) => {
                for part in parts {
                    if !part.holds(flat)? {
                        return Some(false);
                    }
                }
                true
            }
            Self::Or(parts) => {
                for part in parts {
                    if part.holds(flat)? {
                        return Some(true);
                    }
                }
                false
            }
            _ => unreachable!("a value"),
        })
    }
}

fn any_value_node() -> impl Strategy<Value = Node> {
    let key = || select(&["a", "b", "c", "z"]);
    let leaf = prop_oneof![
        select(&["", "a", "ab", "x\"\\y"]).prop_map(Node::Text),
        (-3_i64..4).prop_map(Node::Int),
        select(&[1.0, -0.5, 2.5e3]).prop_map(Node::Float),
        any::<bool>().prop_map(Node::Bool),
        Just(Node::Nil),
        Just(Node::Name),
        Just(Node::Kind),
        Just(Node::Code),
        Just(Node::ScopeName),
        key().prop_map(Node::Attribute),
        key().prop_map(Node::Resource),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        (select(&["+", "-", "*", "/"]), inner.clone(), inner)
            .prop_map(|(how, this, other)| Node::Compute(how, Box::new(this), Box::new(other)))
    })
}

fn any_node() -> impl Strategy<Value = Node> {
    let comparison = select(&["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        8 => (comparison, any_value_node(), any_value_node())
            .prop_map(|(how, this, other)| Node::Compare(how, Box::new(this), Box::new(other))),
        2 => (any_value_node(), select(&["^a", "b$", "", "[0-9]", "^(x|ab)+$"]))
            .prop_map(|(target, pattern)| Node::IsMatch(Box::new(target), pattern)),
        1 => Just(Node::IsRoot),
        1 => any::<bool>().prop_map(Node::Bool),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            any_vec(inner.clone(), 2..4).prop_map(Node::And),
            any_vec(inner.clone(), 2..4).prop_map(Node::Or),
            inner.prop_map(|inner| Node::Not(Box::new(inner))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 400 }))]

    /// Guarantees: what is left out is what a naive evaluator over decoded structs says, mistakes being no match.
    #[test]
    fn conditions_hold_as_a_naive_evaluator_says(segment in any_segment(), node in any_node()) {
        let text = node.written();
        let condition = OttlCondition::parse(&text, OttlContext::Explicit);
        prop_assert!(condition.is_ok(), "{}: {}", text, condition.unwrap_err());
        let all = flatten_segments([&segment]);
        let expected: Vec<Flat> =
            all.into_iter().filter(|flat| node.holds(flat) != Some(true)).collect();
        let mut filter = FilterProcessor::new(vec![Condition::Ottl(condition.unwrap())]);
        let (segments, ..) = run(&mut filter, segment, &reserve(1 << 20)).unwrap();
        prop_assert_eq!(flatten_segments(&segments), expected, "{}", text);
    }

    /// Guarantees: any text is a condition or an error with a column in it, and never a panic.
    #[test]
    fn any_text_is_read_or_refused(text in "[a-c\\[\\]\"(). =!<>0-9xé-]{0,24}|(span|not|and|or|\\(|\\)|==|\\.|name|1|\"|\\[| |IsMatch|,){0,12}") {
        if let Err(error) = OttlCondition::parse(&text, OttlContext::Span) {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.column()), "{} {}", text, error);
        }
    }
}

fn sample() -> Segment {
    let list = ArrayValue(List {
        values: vec![AnyValue {
            value: Some(IntValue(7)),
        }],
    });
    let map = KvlistValue(KeyValueList {
        values: vec![attribute("inner", list.clone())],
    });
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        parent_span_id: vec![3; 8],
        trace_state: "a=1".into(),
        name: "GET /healthz".into(),
        kind: 2,
        start_time_unix_nano: 1_000_000_000,
        end_time_unix_nano: 2_500_000_000,
        attributes: vec![
            attribute("text", StringValue("Ab".into())),
            attribute("int", IntValue(500)),
            attribute("double", DoubleValue(0.5)),
            attribute("bool", BoolValue(true)),
            attribute("bytes", BytesValue(vec![1, 2])),
            attribute("list", list),
            attribute("map", map),
        ],
        dropped_attributes_count: 4,
        status: Some(Status {
            code: 2,
            message: "late".into(),
        }),
        ..Span::default()
    };
    let message = ResourceSpans {
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "lib".into(),
                version: "1.2".into(),
                attributes: vec![attribute("k", StringValue("v".into()))],
                ..InstrumentationScope::default()
            }),
            spans: vec![span],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    let resource = prost::Message::encode_to_vec(&Resource {
        attributes: vec![attribute("service.name", StringValue("web".into()))],
        dropped_attributes_count: 1,
        ..Resource::default()
    });
    let body = Bytes::from(prost::Message::encode_to_vec(&message));
    let head = Head::from_resource(&resource, "");
    Segment::new(head, body, 1, Moment::from_nanos(0), Door::Own)
}

#[test]
fn every_path_and_function_says_what_it_is_named_for() {
    for (text, expected) in [
        (r#"name == "GET /healthz""#, true),
        ("kind == SPAN_KIND_SERVER", true),
        (
            r#"kind.string == "Server" and kind.deprecated_string == "SPAN_KIND_SERVER""#,
            true,
        ),
        (
            r#"status.code == STATUS_CODE_ERROR and status.message == "late""#,
            true,
        ),
        (
            "trace_id == TraceID(0x01010101010101010101010101010101)",
            true,
        ),
        (
            r#"trace_id.string == "01010101010101010101010101010101""#,
            true,
        ),
        ("span_id == SpanID(0x0202020202020202)", true),
        (r#"parent_span_id.string == "0303030303030303""#, true),
        (
            r#"trace_state == "a=1" and trace_state["a"] == "1" and trace_state["b"] == """#,
            true,
        ),
        (
            "start_time_unix_nano == 1000000000 and end_time_unix_nano > start_time_unix_nano",
            true,
        ),
        (r#"end_time - start_time == Duration("1s500ms")"#, true),
        (r#"end_time - start_time > Duration("1.6s")"#, false),
        (r#"start_time + Duration("1.5s") == end_time"#, true),
        (
            "dropped_attributes_count == 4 and dropped_events_count == 0 and flags == 0",
            true,
        ),
        (
            r#"resource.attributes["service.name"] == "web" and resource.dropped_attributes_count == 1"#,
            true,
        ),
        (
            r#"scope.name == "lib" and instrumentation_scope.version == "1.2" and scope.attributes["k"] == "v""#,
            true,
        ),
        (
            r#"attributes["map"]["inner"][0] == 7 and attributes["list"][0] == 7 and attributes["list"][1] == nil"#,
            true,
        ),
        (
            r#"attributes["bytes"] == 0x0102 and Len(attributes["bytes"]) == 2"#,
            true,
        ),
        (
            r#"Len(attributes["list"]) == 1 and Len(attributes["text"]) == 2"#,
            true,
        ),
        (
            r#"HasPrefix(name, "GET ") and not HasSuffix(name, "x")"#,
            true,
        ),
        (
            r#"ToLowerCase(attributes["text"]) == "ab" and ToUpperCase("a") == "A""#,
            true,
        ),
        (
            r#"ConvertCase(attributes["text"], "lower") == "ab" and ConvertCase("a", "upper") == "A""#,
            true,
        ),
        (
            r#"attributes["list"] == [7] and [7.0] == attributes["list"] and attributes["list"] != [7, 8] and attributes["list"] != []"#,
            true,
        ),
        (
            r#"attributes["list"] == ["7"] or attributes["list"] == 7 or attributes["map"] == []"#,
            false,
        ),
        (
            r#"Concat([scope.name, kind, attributes["none"], attributes["text"]], "/") == "lib/2/<nil>/Ab" and Concat([], "x") == """#,
            true,
        ),
        (
            r#"Split(name, " /") == ["GET", "healthz"] and Len(Split("a,b,", ",")) == 3 and Split("ab", "") == ["a", "b"] and IsList(Split("", ","))"#,
            true,
        ),
        (r#"Split(kind, ",") == ["2"]"#, false),
        (r#"Concat([attributes["map"]], "") != "x""#, false),
        (
            r#"Int("12") == 12 and Int("x") == nil and Double(attributes["int"]) == 500.0 and String(1) == "1""#,
            true,
        ),
        (
            r#"IsString(name) and IsInt(kind) and IsDouble(0.5) and IsBool(true) and IsMap(attributes["map"]) and IsList(attributes["list"])"#,
            true,
        ),
        (
            r#"IsMatch(attributes["int"], "^5") and IsMatch(attributes["bool"], "true")"#,
            true,
        ),
        (r#"IsMatch(attributes["none"], ".*")"#, false),
        // Precedence: not, and, or; products before sums.
        ("true or true and false", true),
        ("not false and false", false),
        (
            "1 + 2 * 3 == 7 and (1 + 2) * 3 == 9 and 7 / 2 == 3 and -1 - -2 == 1",
            true,
        ),
        // Types.
        (
            r#"1 == 1.0 and 1 != "1" and not (1 < "2") and nil == nil and name != nil"#,
            true,
        ),
        // What can't be computed is no match, whatever is around it.
        ("1 / 0 == 1", false),
        ("not (1 / 0 == 1)", false),
        ("1 + 1.0 == 2.0", false),
        (r#"HasPrefix(attributes["int"], "5") or true"#, false),
        // What decides first ends it.
        ("true or 1 / 0 == 1", true),
    ] {
        let condition = OttlCondition::parse(text, OttlContext::Span)
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut filter = FilterProcessor::new(vec![Condition::Ottl(condition)]);
        let (_, filtered, _) = run(&mut filter, sample(), &reserve(0)).unwrap();
        assert_eq!(filtered == 1, expected, "{text}");
    }
}

#[cfg(feature = "sha256")]
#[test]
fn a_digest_is_that_of_the_characters_also_of_none() {
    for (text, digest) in [
        (
            "",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            "abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
    ] {
        let text = format!("SHA256({text:?}) == {digest:?}");
        let condition = OttlCondition::parse(&text, OttlContext::Span).unwrap();
        let mut filter = FilterProcessor::new(vec![Condition::Ottl(condition)]);
        assert_eq!(
            run(&mut filter, sample(), &reserve(0)).unwrap().1,
            1,
            "{text}"
        );
    }
}

#[test]
fn an_error_names_the_column_and_what_was_expected() {
    for (text, error) in [
        ("", "column 1: expected a value, found the end"),
        (
            "name",
            "column 1: expected a condition, found a value: compare it with something",
        ),
        ("name ==", "column 8: expected a value, found the end"),
        ("name = \"a\"", "column 6: expected no '='"),
        (
            "kind == SPAN_KIND_SERVR",
            "column 9: expected SPAN_KIND_.., STATUS_CODE_.. or a call, found `SPAN_KIND_SERVR`",
        ),
        (
            "name == \"é\" nor kind == 1",
            "column 13: expected `and`, `or` or the end, found `nor`",
        ),
        ("(name == \"a\"", "column 13: expected `)`, found the end"),
        ("name == \"a", "column 9: expected a closing \" after this"),
        (
            "attributes == 1",
            "column 1: expected [\"key\"] after `attributes`",
        ),
        (
            "attributes[a] == 1",
            "column 12: expected a key in quotes, or an index from 0, found `a`",
        ),
        (
            "name and kind == 1",
            "column 1: expected a condition, found a value: compare it with something",
        ),
        (
            "(kind == 1) == true",
            "column 1: expected a value, found a condition",
        ),
        (
            "IsMatch(name)",
            "column 1: expected 2 arguments of `IsMatch`, found 1",
        ),
        (
            "IsMatch(name, name)",
            "column 1: expected a text as the pattern of `IsMatch`",
        ),
        (
            "Concat(name, name) == \"x\"",
            "column 1: expected a list and a text as the arguments of `Concat`",
        ),
        (
            "SHA1(name) == \"x\"",
            "column 1: `SHA1` is not supported; there are IsMatch, IsRootSpan, HasPrefix, HasSuffix, Len, Int, Double, String, Duration, TraceID, SpanID, ToLowerCase, ToUpperCase, ConvertCase, Concat, Split, SHA256, IsString, IsInt, IsDouble, IsBool, IsMap, IsList",
        ),
        (
            "kind in [1, 2]",
            "column 6: expected `and`, `or` or the end, found `in`",
        ),
        (
            "attributes[\"map\"] == {}",
            "column 22: maps are not supported",
        ),
        ("kind == [1, 2", "column 14: expected `,`, found the end"),
        (
            "ConvertCase(name, \"snake\") == \"a\"",
            "column 1: expected \"lower\" or \"upper\" as the case of `ConvertCase`",
        ),
        (
            "span.nam == \"a\"",
            "column 1: expected attributes, name, kind, kind.string, kind.deprecated_string, status.code, status.message, trace_id, trace_id.string, span_id, span_id.string, parent_span_id, parent_span_id.string, trace_state, start_time, start_time_unix_nano, end_time, end_time_unix_nano, dropped_attributes_count, dropped_events_count, dropped_links_count, flags of a span, found `span.nam`",
        ),
        (
            "spanevent.name == \"a\"",
            "column 1: expected a path of span, resource or scope, found `spanevent.name`: conditions of events and links are not supported",
        ),
        (
            "99999999999999999999 == kind",
            "column 1: expected an integer of 64 bits",
        ),
        (
            "trace_id == 0x123",
            "column 13: expected two hexadecimal digits for each byte",
        ),
        (
            "end_time - start_time > Duration(\"1\")",
            "column 25: expected a duration such as \"1m30s\", found \"1\"",
        ),
        (
            "name == \"\\d\"",
            "column 9: expected \\\\, \\\", \\n, \\r or \\t in a text, found \\d",
        ),
    ] {
        let found = OttlCondition::parse(text, OttlContext::Span).unwrap_err();
        assert_eq!(found.to_string(), error, "{text}");
    }
    let deep = ["not ".repeat(70), "true".into()].concat();
    let found = OttlCondition::parse(&deep, OttlContext::Span).unwrap_err();
    assert_eq!(
        found.to_string(),
        "column 261: expected less nesting, found `not`"
    );
    let explicit = OttlCondition::parse("name == \"a\"", OttlContext::Explicit).unwrap_err();
    assert_eq!(
        explicit.to_string(),
        "column 1: expected a path that starts with span, resource or scope, found `name`"
    );
    let regex = OttlCondition::parse("IsMatch(name, \"(\")", OttlContext::Span).unwrap_err();
    assert!(
        regex
            .to_string()
            .starts_with("column 1: not a regular expression: "),
        "{regex}"
    );
}
