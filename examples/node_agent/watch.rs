//! A stage of the pipeline that looks at what passes: it counts bytes, and keeps one trace to show it.

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spanwire_core::batch::Segment;
use spanwire_core::id::{SpanId, TraceId};
use spanwire_core::processor::{Edit, Later, Processor};
use spanwire_core::wire::StatusCode;
use spanwire_core::wire::view::Span;

/// The most spans of the trace that are kept.
const KEPT: usize = 10_000;

/// The most children of a span that are shown.
const SHOWN: usize = 12;

/// What passed. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Passed>>);

#[derive(Default)]
struct Passed {
    bytes: u64,
    wanted: Option<TraceId>,
    spans: Vec<Kept>,
}

/// A span of the wanted trace.
struct Kept {
    id: SpanId,
    parent: SpanId,
    label: String,
    failed: bool,
    start: u64,
    end: u64,
}

impl Watch {
    fn passed(&self) -> MutexGuard<'_, Passed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the spans of this trace, if none is kept yet.
    pub(crate) fn want(&self, trace: TraceId) {
        self.passed().wanted.get_or_insert(trace);
    }

    /// The bytes of the spans that passed.
    pub(crate) fn bytes(&self) -> u64 {
        self.passed().bytes
    }

    /// The wanted trace as a tree with durations; empty if none of it has passed.
    pub(crate) fn tree(&self) -> String {
        let mut passed = self.passed();
        passed.spans.sort_by_key(|span| span.start);
        let mut text = String::new();
        if let Some(trace) = passed.wanted.filter(|_| !passed.spans.is_empty()) {
            let _ = writeln!(text, "trace {trace}, {} spans", passed.spans.len());
            branch(&passed.spans, SpanId::INVALID, 1, &mut text);
        }
        text
    }
}

fn branch(spans: &[Kept], parent: SpanId, depth: usize, text: &mut String) {
    let children = spans.iter().filter(|span| span.parent == parent);
    let mut left_out = 0;
    for (number, span) in children.enumerate() {
        // What failed is always shown.
        if number >= SHOWN && !span.failed {
            left_out += 1;
            continue;
        }
        let took = Duration::from_nanos(span.end.saturating_sub(span.start));
        let took = format!("{took:.1?}");
        let indent = depth * 2;
        let _ = writeln!(text, "{took:>9}{:indent$}{}", "", span.label);
        branch(spans, span.id, depth + 1, text);
    }
    if left_out > 0 {
        let indent = depth * 2;
        let _ = writeln!(text, "{:>9}{:indent$}{left_out} more", "..", "");
    }
}

impl Processor for Watch {
    fn name(&self) -> &str {
        "watch"
    }

    fn process(&mut self, segment: Segment, edit: &mut Edit<'_>) -> Result<(), Later> {
        {
            let mut passed = self.passed();
            passed.bytes += (segment.head().len() + segment.body_len()) as u64;
            if let Some(wanted) = passed.wanted {
                for view in segment.views() {
                    let span = view.span;
                    if span.trace_id() == wanted && passed.spans.len() < KEPT {
                        passed.spans.push(Kept {
                            id: span.span_id(),
                            parent: span.parent_span_id(),
                            label: label(&span),
                            failed: failure(&span).is_some(),
                            start: span.start_time_unix_nano(),
                            end: span.end_time_unix_nano(),
                        });
                    }
                }
            }
        }
        edit.emit(segment);
        Ok(())
    }
}

/// Its name, what it is about, and whether it failed.
fn label(span: &Span<'_>) -> String {
    let mut label = span.name().to_owned();
    if let Some(pid) = span
        .attributes()
        .get("process.pid")
        .and_then(|pid| pid.as_int())
    {
        let _ = write!(label, " {pid}");
    }
    let command = span.attributes().get("process.command");
    if let Some(command) = command.and_then(|command| command.as_str()) {
        let _ = write!(label, " ({command})");
    }
    if let Some(message) = failure(span) {
        let _ = write!(label, " ERROR {message}");
    }
    label
}

fn failure<'a>(span: &Span<'a>) -> Option<&'a str> {
    let status = span.status()?;
    (status.code() == StatusCode::Error).then(|| status.message())
}
