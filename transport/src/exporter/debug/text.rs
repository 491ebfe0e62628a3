//! A batch as text: the two shapes of the Collector's debug exporter.

use core::fmt::{self, Display, Write};

use spanwire_core::batch::Batch;
use spanwire_core::wire::view::{
    Event, KeyValue, Link, Repeated, ResourceSpans, ScopeSpans, Span, Value,
};
use spanwire_core::wire::{SpanKind, StatusCode};

use super::time::Time;
use crate::otlp::json::{Base64, Plain};
use crate::otlp::runs::{runs, with_body};

/// A line for each resource, scope and span.
pub(super) struct Normal<'a>(pub(super) &'a Batch);

impl Display for Normal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each_scope(
            f,
            self.0,
            |f, number, resource| {
                write!(f, "ResourceTraces #{number}")?;
                schema(f, resource.schema_url())?;
                if let Some(resource) = resource.resource() {
                    pairs(f, resource.attributes())?;
                }
                f.write_str("\n")
            },
            |f, number, scope| {
                write!(f, "ScopeTraces #{number}")?;
                let said = scope.scope();
                if let Some(said) = said {
                    if !said.name().is_empty() {
                        write!(f, " {}", Clean(said.name()))?;
                    }
                    if !said.version().is_empty() {
                        write!(f, "@{}", Clean(said.version()))?;
                    }
                }
                schema(f, scope.schema_url())?;
                if let Some(said) = said {
                    pairs(f, said.attributes())?;
                }
                f.write_str("\n")?;
                scope.spans().try_for_each(|span| {
                    write!(
                        f,
                        "{} {} {}",
                        Clean(span.name()),
                        span.trace_id(),
                        span.span_id()
                    )?;
                    pairs(f, span.attributes())?;
                    f.write_str("\n")
                })
            },
        )
    }
}

fn schema(f: &mut fmt::Formatter<'_>, url: &str) -> fmt::Result {
    if url.is_empty() {
        return Ok(());
    }
    write!(f, " [{}]", Clean(url))
}

fn pairs<'a>(
    f: &mut fmt::Formatter<'_>,
    mut attributes: Repeated<'a, KeyValue<'a>>,
) -> fmt::Result {
    attributes.try_for_each(|attribute| {
        write!(f, " {}=", Clean(attribute.key()))?;
        bare(f, &attribute.value())
    })
}

/// Everything that is known.
pub(super) struct Detailed<'a>(pub(super) &'a Batch);

impl Display for Detailed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each_scope(f, self.0, resource, |f, number, scope| {
            writeln!(f, "ScopeSpans #{number}")?;
            writeln!(f, "ScopeSpans SchemaURL: {}", Clean(scope.schema_url()))?;
            let said = scope.scope();
            let (name, version) = said.map_or(("", ""), |said| (said.name(), said.version()));
            writeln!(f, "InstrumentationScope {} {}", Clean(name), Clean(version))?;
            if let Some(said) = said {
                attributes(f, "InstrumentationScope attributes:", "", said.attributes())?;
            }
            scope
                .spans()
                .enumerate()
                .try_for_each(|(number, one)| span(f, number, &one))
        })
    }
}

fn resource(f: &mut fmt::Formatter<'_>, number: usize, spans: &ResourceSpans<'_>) -> fmt::Result {
    writeln!(f, "ResourceSpans #{number}")?;
    writeln!(f, "Resource SchemaURL: {}", Clean(spans.schema_url()))?;
    if let Some(resource) = spans.resource() {
        attributes(f, "Resource attributes:", "", resource.attributes())?;
    }
    let mut entities = crate::otlp::json::entity_refs(spans).enumerate().peekable();
    if entities.peek().is_some() {
        f.write_str("Resource entity refs:\n")?;
    }
    entities.try_for_each(|(number, entity)| {
        writeln!(f, "     -> Entity ref #{number}:")?;
        writeln!(f, "          -> Type: {}", Clean(entity.kind()))?;
        if !entity.schema_url().is_empty() {
            writeln!(f, "          -> Schema URL: {}", Clean(entity.schema_url()))?;
        }
        keys(f, "ID keys", entity.id_keys())?;
        keys(f, "Description keys", entity.description_keys())
    })
}

fn keys<'a>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    keys: impl Iterator<Item = &'a str>,
) -> fmt::Result {
    let mut keys = keys.peekable();
    if keys.peek().is_some() {
        writeln!(f, "          -> {title}:")?;
    }
    keys.try_for_each(|key| writeln!(f, "               -> {}", Clean(key)))
}

fn span(f: &mut fmt::Formatter<'_>, number: usize, span: &Span<'_>) -> fmt::Result {
    writeln!(f, "Span #{number}")?;
    let (trace, parent, id) = (span.trace_id(), span.parent_span_id(), span.span_id());
    row(f, "Trace ID", &Blank(trace.is_valid(), &trace))?;
    row(f, "Parent ID", &Blank(parent.is_valid(), &parent))?;
    row(f, "ID", &Blank(id.is_valid(), &id))?;
    row(f, "Name", &Clean(span.name()))?;
    row(f, "Kind", &kind(span))?;
    if !span.trace_state().is_empty() {
        row(f, "TraceState", &Clean(span.trace_state()))?;
    }
    row(f, "Start time", &Time(span.start_time_unix_nano()))?;
    row(f, "End time", &Time(span.end_time_unix_nano()))?;
    let status = span.status();
    let code = match status.map(|status| status.code()) {
        None | Some(StatusCode::Unset) => "Unset",
        Some(StatusCode::Ok) => "Ok",
        Some(StatusCode::Error) => "Error",
    };
    row(f, "Status code", &code)?;
    let message = status.map_or("", |status| status.message());
    row(f, "Status message", &Clean(message))?;
    for (what, count) in [
        ("Attributes", span.dropped_attributes_count()),
        ("Events", span.dropped_events_count()),
        ("Links", span.dropped_links_count()),
    ] {
        writeln!(f, "    Dropped{what}Count: {count}")?;
    }
    attributes(f, "Attributes:", "", span.attributes())?;
    if span.events().next().is_some() {
        f.write_str("Events:\n")?;
        for (number, one) in span.events().enumerate() {
            event(f, number, &one)?;
        }
    }
    if span.links().next().is_some() {
        f.write_str("Links:\n")?;
        for (number, one) in span.links().enumerate() {
            link(f, number, &one)?;
        }
    }
    Ok(())
}

fn event(f: &mut fmt::Formatter<'_>, number: usize, event: &Event<'_>) -> fmt::Result {
    writeln!(f, "SpanEvent #{number}")?;
    item(f, "Name", &Clean(event.name()))?;
    item(f, "Timestamp", &Time(event.time_unix_nano()))?;
    item(
        f,
        "DroppedAttributesCount",
        &event.dropped_attributes_count(),
    )?;
    attributes(f, "     -> Attributes::", "     ", event.attributes())
}

fn link(f: &mut fmt::Formatter<'_>, number: usize, link: &Link<'_>) -> fmt::Result {
    writeln!(f, "SpanLink #{number}")?;
    let (trace, id) = (link.trace_id(), link.span_id());
    item(f, "Trace ID", &Blank(trace.is_valid(), &trace))?;
    item(f, "ID", &Blank(id.is_valid(), &id))?;
    item(f, "TraceState", &Clean(link.trace_state()))?;
    item(
        f,
        "DroppedAttributesCount",
        &link.dropped_attributes_count(),
    )?;
    attributes(f, "     -> Attributes::", "     ", link.attributes())
}

/// A row of a span: the label in a column of 15.
fn row(f: &mut fmt::Formatter<'_>, label: &str, value: &dyn Display) -> fmt::Result {
    writeln!(f, "    {label:15}: {value}")
}

fn item(f: &mut fmt::Formatter<'_>, label: &str, value: &dyn Display) -> fmt::Result {
    writeln!(f, "     -> {label}: {value}")
}

/// A list of attributes under its title; nothing if there are none.
fn attributes<'a>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    indent: &str,
    mut attributes: Repeated<'a, KeyValue<'a>>,
) -> fmt::Result {
    if { attributes }.next().is_none() {
        return Ok(());
    }
    writeln!(f, "{title}")?;
    attributes.try_for_each(|attribute| {
        let value = attribute.value();
        let kind = match value {
            Value::Str(_) => "Str",
            Value::Bool(_) => "Bool",
            Value::Int(_) => "Int",
            Value::Double(_) => "Double",
            Value::Bytes(_) => "Bytes",
            Value::Map(_) => "Map",
            Value::Array(_) => "Slice",
            _ => "Empty",
        };
        write!(f, "{indent}     -> {}: {kind}(", Clean(attribute.key()))?;
        bare(f, &value)?;
        f.write_str(")\n")
    })
}

/// A value without its type: a string as it is, bytes in base64, a map or an array as JSON.
fn bare(f: &mut fmt::Formatter<'_>, value: &Value<'_>) -> fmt::Result {
    match *value {
        Value::Str(text) => Clean(text).fmt(f),
        Value::Bytes(bytes) => Base64(bytes).fmt(f),
        Value::Empty | Value::StrIndex(_) => Ok(()),
        value => write!(Cleaning(f), "{}", Plain(value)),
    }
}

fn kind(span: &Span<'_>) -> &'static str {
    match span.kind() {
        None => "Unspecified",
        Some(SpanKind::Internal) => "Internal",
        Some(SpanKind::Server) => "Server",
        Some(SpanKind::Client) => "Client",
        Some(SpanKind::Producer) => "Producer",
        Some(SpanKind::Consumer) => "Consumer",
    }
}

/// Shows each resource, and under it each scope.
fn each_scope(
    f: &mut fmt::Formatter<'_>,
    batch: &Batch,
    mut resource: impl FnMut(&mut fmt::Formatter<'_>, usize, &ResourceSpans<'_>) -> fmt::Result,
    mut scope: impl FnMut(&mut fmt::Formatter<'_>, usize, &ScopeSpans<'_>) -> fmt::Result,
) -> fmt::Result {
    for (number, run) in runs(batch).enumerate() {
        let Some(first) = run.first() else { continue };
        resource(f, number, &ResourceSpans::new(first.head().as_bytes()))?;
        let mut number = 0;
        for segment in run {
            with_body(segment, |body| {
                ScopeSpans::all_in(body).try_for_each(|one| {
                    scope(f, number, &one)?;
                    number += 1;
                    Ok(())
                })
            })?;
        }
    }
    Ok(())
}

/// An id, or nothing for one that is not valid.
struct Blank<'a>(bool, &'a dyn Display);

impl Display for Blank<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 { self.1.fmt(f) } else { Ok(()) }
    }
}

/// Text without control characters: they are escaped.
struct Clean<'a>(&'a str);

impl Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Cleaning(f).write_str(self.0)
    }
}

struct Cleaning<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Cleaning<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.split_inclusive(char::is_control).try_for_each(|part| {
            let plain = part.trim_end_matches(char::is_control);
            self.0.write_str(plain)?;
            let control = part.get(plain.len()..).unwrap_or_default();
            write!(self.0, "{}", control.escape_default())
        })
    }
}
