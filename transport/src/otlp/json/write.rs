//! Spans as JSON text: one walk over their bytes.

use core::fmt::{self, Display, Write};
use std::io;

use base64::display::Base64Display;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use spanwire_core::batch::Batch;
use spanwire_core::wire::field;
use spanwire_core::wire::raw::{Fields, MAX_DEPTH, Payload};
use spanwire_core::wire::view::{
    Event, KeyValue, Link, Repeated, Request, ResourceSpans, Scope, ScopeSpans, Span, Status, Value,
};

use crate::otlp::runs::{runs, with_body};

/// Spans as one line of OTLP/JSON: a `TracesData`, which is also an `ExportTraceServiceRequest`.
///
/// The text is written from the bytes of the spans as it is asked for: into a formatter by [`Display`](fmt::Display),
/// into anything else by [`write_to`](Self::write_to). It contains no line break. Fields that hold their default are
/// left out, keys of attributes, values and the lists that hold spans apart. Of neighbours with the same resource one
/// `resourceSpans` is made, as in the binary request. Fields that OTLP 1.11 does not know are left out.
///
/// ```
/// use spanwire_core::wire::view::Request;
/// use spanwire_transport::otlp::json::Json;
///
/// // A span named GET of kind CLIENT.
/// let request = Request::new(b"\x0a\x0b\x12\x09\x12\x07\x2a\x03GET\x30\x03");
/// assert_eq!(
///     Json::request(request).to_string(),
///     r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"GET","kind":3}]}]}]}"#
/// );
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(Source<'a>);

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Batch(&'a Batch),
    Request(Request<'a>),
}

impl<'a> Json<'a> {
    /// The spans of a batch.
    #[must_use]
    pub const fn batch(batch: &'a Batch) -> Self {
        Self(Source::Batch(batch))
    }

    /// The spans of a request.
    #[must_use]
    pub const fn request(request: Request<'a>) -> Self {
        Self(Source::Request(request))
    }

    /// Writes the text, in small pieces: `out` should be buffered.
    ///
    /// # Errors
    /// Those of `out`; part of the text may have been written then.
    pub fn write_to<W: io::Write + ?Sized>(&self, out: &mut W) -> io::Result<()> {
        // Text fails only where `out` does, whose error this gives back.
        write!(out, "{self}")
    }
}

impl Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::Batch(batch) => write_batch(f, batch),
            Source::Request(request) => {
                f.write_str(r#"{"resourceSpans":["#)?;
                each(f, request.resource_spans(), |f, spans| {
                    f.write_char('{')?;
                    let mut fields = resource(f, &spans)?;
                    scopes(f, &mut fields, spans.scope_spans())
                })?;
                f.write_str("]}")
            }
        }
    }
}

/// Neighbours with the same head are one `resourceSpans`, as in [`Batch::chunks`].
fn write_batch(out: &mut impl Write, batch: &Batch) -> fmt::Result {
    out.write_str(r#"{"resourceSpans":["#)?;
    each(out, runs(batch), |out, run| {
        let Some(first) = run.first() else {
            return Ok(());
        };
        out.write_char('{')?;
        let mut fields = resource(out, &ResourceSpans::new(first.head().as_bytes()))?;
        fields.name(out, "scopeSpans")?;
        out.write_char('[')?;
        let mut comma = Comma::default();
        for segment in run {
            with_body(segment, |body| {
                ScopeSpans::all_in(body).try_for_each(|scope| {
                    comma.write(out)?;
                    scope_spans(out, &scope)
                })
            })?;
        }
        out.write_str("]}")
    })?;
    out.write_str("]}")
}

/// What stands between the elements of a list.
#[derive(Default)]
struct Comma(bool);

impl Comma {
    fn write(&mut self, out: &mut impl Write) -> fmt::Result {
        if core::mem::replace(&mut self.0, true) {
            out.write_char(',')?;
        }
        Ok(())
    }
}

/// The elements of a list, without its brackets.
fn each<W: Write, T>(
    out: &mut W,
    elements: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut W, T) -> fmt::Result,
) -> fmt::Result {
    let mut comma = Comma::default();
    elements.into_iter().try_for_each(|element| {
        comma.write(out)?;
        write(out, element)
    })
}

/// The fields of an object. What holds its default is not written.
#[derive(Default)]
struct Object(Comma);

impl Object {
    /// Writes the name of a field; its value follows. Names need no escaping.
    fn name(&mut self, out: &mut impl Write, name: &str) -> fmt::Result {
        self.0.write(out)?;
        out.write_char('"')?;
        out.write_str(name)?;
        out.write_str("\":")
    }

    fn text(&mut self, out: &mut impl Write, name: &str, text: &str) -> fmt::Result {
        if text.is_empty() {
            return Ok(());
        }
        self.name(out, name)?;
        string(out, text)
    }

    /// A 32-bit number.
    fn number<N: Display + PartialEq + Default>(
        &mut self,
        out: &mut impl Write,
        name: &str,
        number: N,
    ) -> fmt::Result {
        if number == N::default() {
            return Ok(());
        }
        self.name(out, name)?;
        write!(out, "{number}")
    }

    /// A 64-bit number, or an id: without anything to escape, in quotes.
    fn quoted(
        &mut self,
        out: &mut impl Write,
        name: &str,
        value: impl Display,
        is_default: bool,
    ) -> fmt::Result {
        if is_default {
            return Ok(());
        }
        self.name(out, name)?;
        write!(out, "\"{value}\"")
    }

    fn attributes<'a>(
        &mut self,
        out: &mut impl Write,
        name: &str,
        mut attributes: impl Iterator<Item = KeyValue<'a>> + Clone,
        depth: u32,
    ) -> fmt::Result {
        if attributes.clone().next().is_none() {
            return Ok(());
        }
        self.name(out, name)?;
        out.write_char('[')?;
        each(out, &mut attributes, |out, attribute| {
            key_value(out, &attribute, depth)
        })?;
        out.write_char(']')
    }
}

/// The fields of a `ResourceSpans` but its spans, without the braces.
fn resource(out: &mut impl Write, spans: &ResourceSpans<'_>) -> Result<Object, fmt::Error> {
    let mut fields = Object::default();
    if let Some(resource) = spans.resource() {
        fields.name(out, "resource")?;
        out.write_char('{')?;
        let mut inner = Object::default();
        inner.attributes(out, "attributes", resource.attributes(), MAX_DEPTH)?;
        inner.number(
            out,
            "droppedAttributesCount",
            resource.dropped_attributes_count(),
        )?;
        let mut entities = entity_refs(spans).peekable();
        if entities.peek().is_some() {
            inner.name(out, "entityRefs")?;
            out.write_char('[')?;
            each(out, entities, entity_ref)?;
            out.write_char(']')?;
        }
        out.write_char('}')?;
    }
    fields.text(out, "schemaUrl", spans.schema_url())?;
    Ok(fields)
}

/// `EntityRef`, which views do not show: what identifies the resource, and what describes it.
#[derive(Clone, Copy)]
pub(crate) struct EntityRef<'a>(&'a [u8]);

impl<'a> EntityRef<'a> {
    pub(crate) fn schema_url(self) -> &'a str {
        self.texts(1).last().unwrap_or_default()
    }

    pub(crate) fn kind(self) -> &'a str {
        self.texts(2).last().unwrap_or_default()
    }

    pub(crate) fn id_keys(self) -> impl Iterator<Item = &'a str> {
        self.texts(3)
    }

    pub(crate) fn description_keys(self) -> impl Iterator<Item = &'a str> {
        self.texts(4)
    }

    fn texts(self, number: u32) -> impl Iterator<Item = &'a str> {
        // Bytes that are not text were not validated.
        payloads(self.0, number).map(|bytes| core::str::from_utf8(bytes).unwrap_or_default())
    }
}

/// The entities that the resource is about.
pub(crate) fn entity_refs<'a>(spans: &ResourceSpans<'a>) -> impl Iterator<Item = EntityRef<'a>> {
    payloads(spans.as_bytes(), field::resource_spans::RESOURCE)
        .flat_map(|resource| payloads(resource, field::resource::ENTITY_REFS))
        .map(EntityRef)
}

/// The messages or strings that are this field, in order.
fn payloads(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Fields::new(message).filter_map(move |found| match found.payload {
        Payload::Len(bytes) if found.number == number => Some(bytes),
        _ => None,
    })
}

/// All fields are written, defaults too: widespread readers miss those of this message.
fn entity_ref(out: &mut impl Write, entity: EntityRef<'_>) -> fmt::Result {
    out.write_str(r#"{"schemaUrl":"#)?;
    string(out, entity.schema_url())?;
    out.write_str(r#","type":"#)?;
    string(out, entity.kind())?;
    out.write_str(r#","idKeys":["#)?;
    each(out, entity.id_keys(), |out, key| string(out, key))?;
    out.write_str(r#"],"descriptionKeys":["#)?;
    each(out, entity.description_keys(), |out, key| string(out, key))?;
    out.write_str("]}")
}

fn scopes(
    out: &mut impl Write,
    fields: &mut Object,
    scopes: Repeated<'_, ScopeSpans<'_>>,
) -> fmt::Result {
    fields.name(out, "scopeSpans")?;
    out.write_char('[')?;
    each(out, scopes, |out, scope| scope_spans(out, &scope))?;
    out.write_str("]}")
}

fn scope_spans(out: &mut impl Write, spans: &ScopeSpans<'_>) -> fmt::Result {
    out.write_char('{')?;
    let mut fields = Object::default();
    if let Some(scope) = spans.scope() {
        fields.name(out, "scope")?;
        instrumentation_scope(out, &scope)?;
    }
    fields.name(out, "spans")?;
    out.write_char('[')?;
    each(out, spans.spans(), |out, one| span(out, &one))?;
    out.write_char(']')?;
    fields.text(out, "schemaUrl", spans.schema_url())?;
    out.write_char('}')
}

fn instrumentation_scope(out: &mut impl Write, scope: &Scope<'_>) -> fmt::Result {
    out.write_char('{')?;
    let mut fields = Object::default();
    fields.text(out, "name", scope.name())?;
    fields.text(out, "version", scope.version())?;
    fields.attributes(out, "attributes", scope.attributes(), MAX_DEPTH)?;
    fields.number(
        out,
        "droppedAttributesCount",
        scope.dropped_attributes_count(),
    )?;
    out.write_char('}')
}

fn span(out: &mut impl Write, span: &Span<'_>) -> fmt::Result {
    out.write_char('{')?;
    let mut fields = Object::default();
    let (trace, id, parent) = (span.trace_id(), span.span_id(), span.parent_span_id());
    fields.quoted(out, "traceId", trace, !trace.is_valid())?;
    fields.quoted(out, "spanId", id, !id.is_valid())?;
    fields.text(out, "traceState", span.trace_state())?;
    fields.quoted(out, "parentSpanId", parent, !parent.is_valid())?;
    fields.number(out, "flags", span.flags())?;
    fields.text(out, "name", span.name())?;
    fields.number(out, "kind", span.kind_number())?;
    let (start, end) = (span.start_time_unix_nano(), span.end_time_unix_nano());
    fields.quoted(out, "startTimeUnixNano", start, start == 0)?;
    fields.quoted(out, "endTimeUnixNano", end, end == 0)?;
    fields.attributes(out, "attributes", span.attributes(), MAX_DEPTH)?;
    fields.number(
        out,
        "droppedAttributesCount",
        span.dropped_attributes_count(),
    )?;
    if span.events().next().is_some() {
        fields.name(out, "events")?;
        out.write_char('[')?;
        each(out, span.events(), |out, one| event(out, &one))?;
        out.write_char(']')?;
    }
    fields.number(out, "droppedEventsCount", span.dropped_events_count())?;
    if span.links().next().is_some() {
        fields.name(out, "links")?;
        out.write_char('[')?;
        each(out, span.links(), |out, one| link(out, &one))?;
        out.write_char(']')?;
    }
    fields.number(out, "droppedLinksCount", span.dropped_links_count())?;
    if let Some(verdict) = span.status() {
        fields.name(out, "status")?;
        status(out, &verdict)?;
    }
    out.write_char('}')
}

fn event(out: &mut impl Write, event: &Event<'_>) -> fmt::Result {
    out.write_char('{')?;
    let mut fields = Object::default();
    let time = event.time_unix_nano();
    fields.quoted(out, "timeUnixNano", time, time == 0)?;
    fields.text(out, "name", event.name())?;
    fields.attributes(out, "attributes", event.attributes(), MAX_DEPTH)?;
    fields.number(
        out,
        "droppedAttributesCount",
        event.dropped_attributes_count(),
    )?;
    out.write_char('}')
}

fn link(out: &mut impl Write, link: &Link<'_>) -> fmt::Result {
    out.write_char('{')?;
    let mut fields = Object::default();
    let (trace, id) = (link.trace_id(), link.span_id());
    fields.quoted(out, "traceId", trace, !trace.is_valid())?;
    fields.quoted(out, "spanId", id, !id.is_valid())?;
    fields.text(out, "traceState", link.trace_state())?;
    fields.attributes(out, "attributes", link.attributes(), MAX_DEPTH)?;
    fields.number(
        out,
        "droppedAttributesCount",
        link.dropped_attributes_count(),
    )?;
    fields.number(out, "flags", link.flags())?;
    out.write_char('}')
}

fn status(out: &mut impl Write, status: &Status<'_>) -> fmt::Result {
    out.write_char('{')?;
    let mut fields = Object::default();
    fields.text(out, "message", status.message())?;
    fields.number(out, "code", status.code_number())?;
    out.write_char('}')
}

fn key_value(out: &mut impl Write, attribute: &KeyValue<'_>, depth: u32) -> fmt::Result {
    out.write_str(r#"{"key":"#)?;
    string(out, attribute.key())?;
    out.write_str(r#","value":"#)?;
    any_value(out, &attribute.value(), depth)?;
    out.write_char('}')
}

/// An `AnyValue`. Bytes that were not validated may nest without end; what lies too deep is an empty value.
fn any_value(out: &mut impl Write, value: &Value<'_>, depth: u32) -> fmt::Result {
    let Some(depth) = depth.checked_sub(1) else {
        return out.write_str("{}");
    };
    match *value {
        Value::Str(text) => {
            out.write_str(r#"{"stringValue":"#)?;
            string(out, text)?;
            out.write_char('}')
        }
        Value::Bool(value) => write!(out, r#"{{"boolValue":{value}}}"#),
        Value::Int(value) => write!(out, r#"{{"intValue":"{value}"}}"#),
        Value::Double(value) => {
            out.write_str(r#"{"doubleValue":"#)?;
            double(out, value)?;
            out.write_char('}')
        }
        Value::Bytes(bytes) => write!(out, r#"{{"bytesValue":"{}"}}"#, Base64(bytes)),
        Value::Array(array) => {
            out.write_str(r#"{"arrayValue":{"values":["#)?;
            each(out, array.iter(), |out, one| any_value(out, &one, depth))?;
            out.write_str("]}}")
        }
        Value::Map(map) => {
            out.write_str(r#"{"kvlistValue":{"values":["#)?;
            each(out, map.iter(), |out, one| key_value(out, &one, depth))?;
            out.write_str("]}}")
        }
        // An index into a table that only profiles have says nothing about a span.
        _ => out.write_str("{}"),
    }
}

/// A double as JSON: the shortest digits that read back as the same number, or what proto3 says in their stead.
fn double(out: &mut impl Write, value: f64) -> fmt::Result {
    if value.is_nan() {
        return out.write_str(r#""NaN""#);
    }
    if value.is_infinite() {
        return out.write_str(if value > 0.0 {
            r#""Infinity""#
        } else {
            r#""-Infinity""#
        });
    }
    let size = value.abs();
    if size != 0.0 && !(1e-5..1e17).contains(&size) {
        write!(out, "{value:e}")
    } else {
        write!(out, "{value}")
    }
}

/// A string in quotes, escaped as RFC 8259 demands and no further.
pub(super) fn string(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    let mut rest = text;
    // What is escaped takes one byte, so that both cuts are between characters.
    while let Some(at) = rest
        .bytes()
        .position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\')
    {
        let (Some(plain), Some(byte)) = (rest.get(..at), rest.as_bytes().get(at)) else {
            break;
        };
        out.write_str(plain)?;
        match byte {
            b'"' => out.write_str("\\\""),
            b'\\' => out.write_str("\\\\"),
            b'\n' => out.write_str("\\n"),
            b'\r' => out.write_str("\\r"),
            b'\t' => out.write_str("\\t"),
            byte => write!(out, "\\u{byte:04x}"),
        }?;
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    out.write_str(rest)?;
    out.write_char('"')
}

/// Bytes in base64, with padding.
pub(crate) struct Base64<'a>(pub(crate) &'a [u8]);

impl Display for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::<GeneralPurpose>::new(self.0, &STANDARD).fmt(f)
    }
}

/// A value as JSON without the names of its types: a map is an object, an array a list. For people.
#[cfg(feature = "debug")]
pub(crate) struct Plain<'a>(pub(crate) Value<'a>);

#[cfg(feature = "debug")]
impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        plain(f, &self.0, MAX_DEPTH)
    }
}

#[cfg(feature = "debug")]
fn plain(out: &mut impl Write, value: &Value<'_>, depth: u32) -> fmt::Result {
    let Some(depth) = depth.checked_sub(1) else {
        return out.write_str("null");
    };
    match *value {
        Value::Str(text) => string(out, text),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Int(value) => write!(out, "{value}"),
        Value::Double(value) => double(out, value),
        Value::Bytes(bytes) => write!(out, "\"{}\"", Base64(bytes)),
        Value::Array(array) => {
            out.write_char('[')?;
            each(out, array.iter(), |out, one| plain(out, &one, depth))?;
            out.write_char(']')
        }
        Value::Map(map) => {
            out.write_char('{')?;
            each(out, map.iter(), |out, one| {
                string(out, one.key())?;
                out.write_char(':')?;
                plain(out, &one.value(), depth)
            })?;
            out.write_char('}')
        }
        _ => out.write_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
        let mut text = String::new();
        write(&mut text).unwrap();
        text
    }

    #[test]
    fn strings_are_escaped_as_rfc_8259_demands() {
        let text = of(|out| string(out, "a\"b\\c\n\r\t\u{1}\u{1f}\u{7f}é\u{2028}💼"));
        assert_eq!(
            text,
            "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f\u{7f}é\u{2028}💼\""
        );
        assert_eq!(of(|out| string(out, "")), "\"\"");
    }

    #[test]
    fn doubles_are_numbers_or_the_three_words() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.5, "0.5"),
            (-1.5, "-1.5"),
            (1e16, "10000000000000000"),
            (1e17, "1e17"),
            (1.25e-5, "0.0000125"),
            (1.25e-7, "1.25e-7"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::from_bits(1), "5e-324"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(of(|out| double(out, value)), expected);
        }
    }

    #[test]
    fn values_nested_without_end_are_cut() {
        // 2,000 arrays, one in the other: the views stop nobody from walking into all of them.
        let mut value = Vec::new();
        for _ in 0..2_000 {
            let mut list = Vec::new();
            spanwire_core::wire::encode::write_len_field(&mut list, 1, &value);
            value.clear();
            spanwire_core::wire::encode::write_len_field(&mut value, 5, &list);
        }
        let text = of(|out| any_value(out, &Value::new(&value), MAX_DEPTH));
        assert_eq!(text.matches("arrayValue").count(), MAX_DEPTH as usize);
    }

    #[test]
    fn the_error_of_a_writer_comes_back() {
        struct Full;
        impl io::Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = Json::batch(&Batch::new()).write_to(&mut Full).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
