//! Spans left out.

use core::fmt;
use std::sync::Arc;

use spanwire_core::processor::{Condition, FilterProcessor, OttlCondition, OttlContext};

use super::made::made;
use super::matching::MatchSpans;
use crate::config::fault::InvalidConfig;
use crate::config::keys::{Keys, Printed, Section, Setting, Walk};
use crate::config::yaml::{Node, Value};

/// The `filter` processor: a span is left out when one of the conditions is true of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Filter {
    /// What becomes of spans of which a condition can't be computed. `ignore`, which is the default, and `silent`: it is not true of
    /// them, which is said with `ignore`. `propagate`: the spans that came together with them are lost, as `condition_failed`, and who sends them hears so as
    /// long as no `batch` comes first.
    pub error_mode: String,
    /// Conditions whose paths say what they are about: `span.name == "x"`.
    pub trace_conditions: TraceConditions,
    /// The older style: conditions by what they are about.
    pub traces: TraceLists,
    /// The oldest style.
    pub spans: SpanFilter,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            error_mode: IGNORE.into(),
            trace_conditions: TraceConditions::default(),
            traces: TraceLists::default(),
            spans: SpanFilter::default(),
        }
    }
}

impl Section for Filter {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("error_mode", &mut self.error_mode);
        keys.key("trace_conditions", &mut self.trace_conditions);
        keys.key("traces", &mut self.traces);
        keys.key("spans", &mut self.spans);
    }

    fn check(&self, walk: &mut Walk) {
        let has_lists = !self.traces.is_empty();
        let has_spans = self.spans.include.is_some() || self.spans.exclude.is_some();
        if has_lists && has_spans {
            walk.fault("cannot use ottl conditions and include/exclude for spans at the same time");
        }
        if !self.trace_conditions.0.is_empty() && (has_lists || has_spans) {
            walk.fault(
                "cannot use \"trace_conditions\" and \"traces\" or \"spans\" at the same time",
            );
        }
        // `spans` was checked as a section of its own; the texts of conditions are checked here alone.
        self.own_conditions(&silence(), walk);
        if self.trace_conditions.0.is_empty() && !has_lists && !has_spans {
            walk.warn("leaves out nothing: it has no conditions");
        }
    }
}

impl Filter {
    /// The processor that this describes. It says nothing of conditions that can't be computed.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] as the configuration's own check has it.
    pub fn processor(&self) -> Result<FilterProcessor, InvalidConfig> {
        self.processor_that_tells(|_| {})
    }

    /// The same, which says which condition can't be computed and why, where `error_mode` is `ignore`: for every span of which that
    /// is so.
    ///
    /// # Errors
    ///
    /// As those of [`processor`](Self::processor).
    pub fn processor_that_tells(
        &self,
        tell: impl Fn(fmt::Arguments<'_>) + Send + Sync + 'static,
    ) -> Result<FilterProcessor, InvalidConfig> {
        let tell: Tell = Arc::new(tell);
        made(|walk| {
            let mut conditions = self.own_conditions(&tell, walk);
            walk.within("spans", |walk| {
                let (include, exclude) = (self.spans.include.as_ref(), self.spans.exclude.as_ref());
                let kept = MatchSpans::chosen(include, exclude, walk);
                conditions.extend(kept.map(Condition::not));
            });
            FilterProcessor::new(conditions)
        })
    }

    /// Whether it fails on spans of which a condition can't be computed.
    pub(crate) fn fails(&self) -> bool {
        let mut modes = self
            .trace_conditions
            .0
            .iter()
            .map(|group| &*group.error_mode);
        self.error_mode == PROPAGATE || modes.any(|mode| mode == PROPAGATE)
    }

    fn own_conditions(&self, tell: &Tell, walk: &mut Walk) -> Vec<Condition> {
        check_mode(&self.error_mode, walk);
        let mut all = Vec::new();
        walk.within("trace_conditions", |walk| {
            for (index, group) in self.trace_conditions.0.iter().enumerate() {
                walk.within(&index.to_string(), |walk| {
                    group.conditions(&self.error_mode, tell, walk, &mut all);
                });
            }
        });
        walk.within("traces", |walk| {
            for (name, texts, context) in [
                ("resource", &self.traces.resource, OttlContext::Resource),
                ("span", &self.traces.span, OttlContext::Span),
            ] {
                walk.within(name, |walk| {
                    parsed(texts, context, &self.error_mode, tell, walk, &mut all)
                });
            }
            if !self.traces.spanevent.is_empty() {
                walk.within("spanevent", no_events);
            }
        });
        all
    }
}

fn check_mode(mode: &str, walk: &mut Walk) {
    walk.within("error_mode", |walk| match mode {
        IGNORE | "silent" | PROPAGATE => {}
        other => walk.fault(format!(
            "unknown error mode {other:?}; accepted: ignore, silent, propagate"
        )),
    });
}

/// The mode in which a condition that can't be computed fails.
const PROPAGATE: &str = "propagate";

/// The mode in which it is said of a condition that it can't be computed.
const IGNORE: &str = "ignore";

/// Who is told.
type Tell = Arc<dyn Fn(fmt::Arguments<'_>) + Send + Sync>;

fn silence() -> Tell {
    Arc::new(|_| {})
}

fn no_events(walk: &mut Walk) {
    walk.fault("is not supported: events are not left out one by one; leave out their spans by a condition of `span`");
}

fn parsed(
    texts: &[String],
    context: OttlContext,
    mode: &str,
    tell: &Tell,
    walk: &mut Walk,
    all: &mut Vec<Condition>,
) {
    for (index, text) in texts.iter().enumerate() {
        walk.within(&index.to_string(), |walk| {
            condition(text, context, mode, tell, walk, all)
        });
    }
}

fn condition(
    text: &str,
    context: OttlContext,
    mode: &str,
    tell: &Tell,
    walk: &mut Walk,
    all: &mut Vec<Condition>,
) {
    match OttlCondition::parse(text, context) {
        Ok(condition) => all.push(Condition::Ottl(match mode {
            PROPAGATE => condition.or_fail(),
            IGNORE => {
                let (tell, text) = (tell.clone(), text.to_owned());
                condition.or_tell(move |why| {
                    tell(format_args!("the condition {text:?} is not true of a span that it can't be computed of: {why}"));
                })
            }
            _ => condition,
        })),
        Err(error) => walk.fault(format!("unable to parse OTTL condition {text:?}: {error}")),
    }
}

/// Conditions of traces: a list of texts, or a list of groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceConditions(pub Vec<TraceGroup>);

/// Conditions, and what their paths are about when they do not say it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct TraceGroup {
    /// `resource`, `scope` or `span`; empty: paths have to say it.
    pub context: String,
    /// As that of the processor; empty: that of the processor.
    pub error_mode: String,
    /// The conditions.
    pub conditions: Vec<String>,
    /// Whether it was, and is printed as, a text in place of a group.
    is_text: bool,
}

impl TraceGroup {
    /// One condition whose paths say what they are about.
    #[must_use]
    pub fn text(condition: &str) -> Self {
        Self {
            conditions: vec![condition.into()],
            is_text: true,
            ..Self::default()
        }
    }

    fn conditions(&self, mode: &str, tell: &Tell, walk: &mut Walk, all: &mut Vec<Condition>) {
        if self.is_text {
            for text in &self.conditions {
                condition(text, OttlContext::Explicit, mode, tell, walk, all);
            }
            return;
        }
        let mode = match &*self.error_mode {
            "" => mode,
            own => {
                check_mode(own, walk);
                own
            }
        };
        let context = match self.context.as_str() {
            "" => OttlContext::Explicit,
            "resource" => OttlContext::Resource,
            "scope" => OttlContext::Scope,
            "span" => OttlContext::Span,
            "spanevent" => return walk.within("context", no_events),
            other => {
                return walk.within("context", |walk| {
                    walk.fault(format!(
                        "unknown context {other:?}; accepted: resource, scope, span"
                    ));
                });
            }
        };
        walk.within("conditions", |walk| {
            parsed(&self.conditions, context, mode, tell, walk, all)
        });
    }
}

impl Section for TraceGroup {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("context", &mut self.context);
        keys.key("error_mode", &mut self.error_mode);
        keys.key("conditions", &mut self.conditions);
    }
}

impl Setting for TraceConditions {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        let nodes = match &node.value {
            Value::Null => return,
            Value::List(nodes) => nodes,
            _ => return walk.expected("list", node),
        };
        self.0.clear();
        for (index, node) in nodes.iter().enumerate() {
            walk.within(&index.to_string(), |walk| {
                let mut group = TraceGroup::default();
                if matches!(node.value, Value::Map(_)) {
                    group.read(node, walk);
                } else {
                    let mut text = String::new();
                    text.read(node, walk);
                    group = TraceGroup::text(&text);
                }
                if self
                    .0
                    .first()
                    .is_some_and(|first| first.is_text != group.is_text)
                {
                    walk.fault("cannot use texts and groups of conditions in one list");
                }
                self.0.push(group);
            });
        }
    }

    fn print(&mut self) -> Printed {
        let print = |group: &mut TraceGroup| match group.conditions.as_mut_slice() {
            [text] if group.is_text => text.print(),
            _ => Setting::print(group),
        };
        Printed::List(self.0.iter_mut().map(print).collect())
    }
}

/// The older style: conditions whose paths are about what the list is named for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[derive(Default)]
pub struct TraceLists {
    /// Of resources: all of their spans are left out.
    pub resource: Vec<String>,
    /// Of spans.
    pub span: Vec<String>,
    /// Refused: events are not left out one by one.
    pub spanevent: Vec<String>,
}

impl TraceLists {
    fn is_empty(&self) -> bool {
        [&self.resource, &self.span, &self.spanevent]
            .into_iter()
            .all(Vec::is_empty)
    }
}

/// Lists of conditions: a text with commas is one condition.
struct Conditions<'a>(&'a mut Vec<String>);

impl Setting for Conditions<'_> {
    fn read(&mut self, node: &Node, walk: &mut Walk) {
        match &node.value {
            Value::Null | Value::List(_) => self.0.read(node, walk),
            _ => walk.expected("list", node),
        }
    }

    fn print(&mut self) -> Printed {
        self.0.print()
    }
}

impl Section for TraceLists {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("resource", &mut Conditions(&mut self.resource));
        keys.key("span", &mut Conditions(&mut self.span));
        keys.key("spanevent", &mut Conditions(&mut self.spanevent));
    }
}

/// The oldest style: spans that stay, and spans that are left out though they would.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct SpanFilter {
    /// Spans that stay; without it all.
    pub include: Option<MatchSpans>,
    /// Spans that are left out.
    pub exclude: Option<MatchSpans>,
}

impl Section for SpanFilter {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("include", &mut self.include);
        keys.key("exclude", &mut self.exclude);
    }
}
