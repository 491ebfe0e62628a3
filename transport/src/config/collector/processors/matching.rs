//! Which spans are meant: `include` and `exclude`.

use spanwire_core::processor::{AttributeCondition, Condition, Pattern};
use spanwire_core::wire::SpanKind;

use super::attributes::literal;
use crate::config::collector::secret::Literal;
use crate::config::keys::{Keys, Section, Walk};

/// What stands for the name of a service that has none.
const NO_SERVICE: &str = "<nil-service-name>";

/// An attribute, and its value if that matters.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct MatchAttribute {
    /// Its key.
    pub key: String,
    /// Its value; without it any. With `regexp` a text is an expression, of the value as a text.
    pub value: Option<Literal>,
}

impl Section for MatchAttribute {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("key", &mut self.key);
        keys.key("value", &mut self.value);
    }

    fn check(&self, walk: &mut Walk) {
        if self.key.is_empty() {
            walk.fault("can't have empty key in the list of attributes");
        }
    }
}

/// An instrumentation scope.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct MatchLibrary {
    /// Its name.
    pub name: String,
    /// Its version; without it any, and an empty one none.
    pub version: Option<String>,
}

impl Section for MatchLibrary {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("name", &mut self.name);
        keys.key("version", &mut self.version);
    }
}

/// The Collector's cache of matches. Accepted; nothing is cached here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[derive(Default)]
pub struct MatchRegexp {
    /// Whether there is a cache.
    pub cacheenabled: bool,
    /// How many matches it holds.
    pub cachemaxnumentries: u32,
}

impl Section for MatchRegexp {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("cacheenabled", &mut self.cacheenabled);
        keys.key("cachemaxnumentries", &mut self.cachemaxnumentries);
    }
}

/// Spans that are like this in every respect that is given, and in each respect like one of a list; of `attributes` and
/// `resources`, like all of them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct MatchSpans {
    /// `strict`: texts are equal. `regexp`: texts are regular expressions, found anywhere unless anchored.
    pub match_type: String,
    /// Accepted; nothing is cached here.
    pub regexp: Option<MatchRegexp>,
    /// Names of services, the resource's `service.name`; one without counts as `<nil-service-name>`.
    pub services: Vec<String>,
    /// Names of spans.
    pub span_names: Vec<String>,
    /// Kinds of spans: `SPAN_KIND_SERVER`.
    pub span_kinds: Vec<String>,
    /// Attributes of spans.
    pub attributes: Vec<MatchAttribute>,
    /// Attributes of resources.
    pub resources: Vec<MatchAttribute>,
    /// Instrumentation scopes.
    pub libraries: Vec<MatchLibrary>,
}

impl Section for MatchSpans {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("match_type", &mut self.match_type);
        keys.key("regexp", &mut self.regexp);
        keys.key("services", &mut self.services);
        keys.key("span_names", &mut self.span_names);
        keys.key("span_kinds", &mut self.span_kinds);
        keys.key("attributes", &mut self.attributes);
        keys.key("resources", &mut self.resources);
        keys.key("libraries", &mut self.libraries);
    }

    fn check(&self, walk: &mut Walk) {
        self.condition(walk);
    }
}

const KINDS: [(&str, Option<SpanKind>); 6] = [
    ("SPAN_KIND_UNSPECIFIED", None),
    ("SPAN_KIND_INTERNAL", Some(SpanKind::Internal)),
    ("SPAN_KIND_SERVER", Some(SpanKind::Server)),
    ("SPAN_KIND_CLIENT", Some(SpanKind::Client)),
    ("SPAN_KIND_PRODUCER", Some(SpanKind::Producer)),
    ("SPAN_KIND_CONSUMER", Some(SpanKind::Consumer)),
];

impl MatchSpans {
    /// What is true of the spans that one section includes and another does not exclude; `None` for all.
    pub(super) fn chosen(
        include: Option<&Self>,
        exclude: Option<&Self>,
        walk: &mut Walk,
    ) -> Option<Condition> {
        let mut of = |name: &str, section: Option<&Self>| {
            section.map(|section| walk.within(name, |walk| section.condition(walk)))
        };
        let (include, exclude) = (of("include", include), of("exclude", exclude));
        match (include, exclude.map(Condition::not)) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(one),
            (Some(include), Some(rest)) => Some(Condition::All(vec![include, rest])),
        }
    }

    /// What is true of the spans that are meant.
    pub(super) fn condition(&self, walk: &mut Walk) -> Condition {
        let is_regexp = match self.match_type.as_str() {
            "strict" => false,
            "regexp" => true,
            other => {
                walk.within("match_type", |walk| {
                    walk.fault(format!(
                        "unrecognized match_type: '{other}', valid types are: [regexp strict]"
                    ));
                });
                return Condition::Any(Vec::new());
            }
        };
        let mut all = Vec::new();
        let mut texts = Texts { is_regexp, walk };
        texts.any_of("services", &self.services, &mut all, service);
        texts.any_of("span_names", &self.span_names, &mut all, Condition::Name);
        texts.any_of("span_kinds", &self.span_kinds, &mut all, kind);
        for (name, list, of) in [
            (
                "attributes",
                &self.attributes,
                Condition::Attribute as fn(_) -> _,
            ),
            ("resources", &self.resources, Condition::ResourceAttribute),
        ] {
            all.extend(texts.attributes(name, list).into_iter().map(of));
        }
        texts.libraries(&self.libraries, &mut all);
        if self.is_empty() {
            walk.fault("at least one of \"services\", \"span_names\", \"span_kinds\", \"attributes\", \"libraries\" or \"resources\" field must be specified");
        }
        Condition::All(all)
    }

    fn is_empty(&self) -> bool {
        let texts = [&self.services, &self.span_names, &self.span_kinds];
        texts.into_iter().all(Vec::is_empty)
            && self.attributes.is_empty()
            && self.resources.is_empty()
            && self.libraries.is_empty()
    }
}

/// Texts of one kind or the other.
struct Texts<'w> {
    is_regexp: bool,
    walk: &'w mut Walk,
}

impl Texts<'_> {
    /// The pattern; one that nothing is like after a fault.
    fn pattern(&mut self, text: &str) -> Pattern {
        if self.is_regexp {
            match Pattern::regex(text) {
                Ok(pattern) => return pattern,
                Err(error) => self.walk.fault(error.to_string()),
            }
        }
        Pattern::equals(text)
    }

    fn at<R>(&mut self, name: &str, index: usize, inner: impl FnOnce(&mut Self) -> R) -> R {
        self.walk.path.extend([name.into(), index.to_string()]);
        let result = inner(self);
        self.walk.path.truncate(self.walk.path.len() - 2);
        result
    }

    fn any_of(
        &mut self,
        name: &str,
        list: &[String],
        all: &mut Vec<Condition>,
        of: fn(Pattern) -> Condition,
    ) {
        if list.is_empty() {
            return;
        }
        let any = list.iter().enumerate().map(|(index, text)| {
            self.at(name, index, |texts| {
                if name == "span_kinds"
                    && !texts.is_regexp
                    && !KINDS.iter().any(|(kind, _)| kind == text)
                {
                    let known = KINDS.map(|(kind, _)| kind).join(", ");
                    texts
                        .walk
                        .fault(format!("unknown kind {text:?}; accepted: {known}"));
                }
                of(texts.pattern(text))
            })
        });
        let any = any.collect();
        all.push(Condition::Any(any));
    }

    fn attributes(&mut self, name: &str, list: &[MatchAttribute]) -> Vec<AttributeCondition> {
        let condition = |(index, one): (usize, &MatchAttribute)| {
            self.at(name, index, |texts| match &one.value {
                None => AttributeCondition::exists(&one.key),
                Some(Literal::Text(text)) if texts.is_regexp => {
                    AttributeCondition::text_matches(&one.key, texts.pattern(text))
                }
                Some(value) => AttributeCondition::equals(&one.key, literal(value)),
            })
        };
        list.iter().enumerate().map(condition).collect()
    }

    fn libraries(&mut self, list: &[MatchLibrary], all: &mut Vec<Condition>) {
        if list.is_empty() {
            return;
        }
        let any = list.iter().enumerate().map(|(index, library)| {
            self.at("libraries", index, |texts| {
                let mut both = vec![Condition::Scope(texts.pattern(&library.name))];
                if let Some(version) = &library.version {
                    both.push(Condition::ScopeVersion(if version.is_empty() {
                        Pattern::equals("")
                    } else {
                        texts.pattern(version)
                    }));
                }
                Condition::All(both)
            })
        });
        let any = any.collect();
        all.push(Condition::Any(any));
    }
}

fn service(pattern: Pattern) -> Condition {
    let matches_none = pattern.matches(NO_SERVICE);
    let named = AttributeCondition::text_matches("service.name", pattern);
    let named = Condition::ResourceAttribute(named);
    if !matches_none {
        return named;
    }
    let any = Condition::ResourceAttribute(AttributeCondition::exists("service.name"));
    Condition::Any(vec![named, Condition::not(any)])
}

fn kind(pattern: Pattern) -> Condition {
    let every = KINDS.iter().filter_map(|(_, kind)| *kind);
    let any = KINDS
        .iter()
        .filter(|(name, _)| pattern.matches(name))
        .map(|(_, kind)| match kind {
            Some(kind) => Condition::Kind(*kind),
            // Unspecified is what none of the others is.
            None => Condition::not(Condition::Any(every.clone().map(Condition::Kind).collect())),
        });
    Condition::Any(any.collect())
}
