//! Changes of attributes.

use spanwire_core::attribute::Value;
use spanwire_core::processor::{
    Actions, AttributesProcessor, ConvertTo, Extraction, Pattern, ResourceProcessor,
};

use super::made::made;
use super::matching::MatchSpans;
use crate::config::collector::secret::Literal;
use crate::config::fault::InvalidConfig;
use crate::config::keys::{Keys, Section, Walk};

/// One change of attributes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct Action {
    /// The attribute.
    pub key: String,
    /// `insert`, `update`, `upsert`, `delete`, `hash`, `extract` or `convert`, in any case.
    pub action: String,
    /// The new value.
    pub value: Option<Literal>,
    /// The attribute whose value it is.
    pub from_attribute: String,
    /// What is known about the sender whose value it is: `metadata.NAME` or `NAME` for a header, in any case, of requests to a
    /// receiver with `include_metadata`; `client.address` for its address of IP. Nothing is changed where it is not known.
    /// `auth.` is refused: no authenticator of a receiver is built.
    pub from_context: String,
    /// A regular expression: of keys for `delete` and `hash`, of a text for `extract`.
    pub pattern: String,
    /// `int`, `double` or `string`.
    pub converted_type: String,
}

impl Section for Action {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("key", &mut self.key);
        keys.key("action", &mut self.action);
        keys.key("value", &mut self.value);
        keys.key("from_attribute", &mut self.from_attribute);
        keys.key("from_context", &mut self.from_context);
        keys.key("pattern", &mut self.pattern);
        keys.key("converted_type", &mut self.converted_type);
    }

    fn check(&self, walk: &mut Walk) {
        self.add(Actions::new(), walk);
    }
}

impl Action {
    /// Adds this one to others, or says what is wrong with it.
    fn add(&self, actions: Actions, walk: &mut Walk) -> Actions {
        let kind = self.action.to_ascii_lowercase();
        let known = walk.faults.len();
        match kind.as_str() {
            "insert" | "update" | "upsert" => self.check_setting(walk),
            "delete" | "hash" => self.check_key_or_pattern(walk),
            "extract" => self.check_given(walk, "pattern", &self.pattern),
            "convert" => self.check_converting(walk),
            _ => walk.within("action", |walk| {
                let accepted = "insert, update, upsert, delete, hash, extract, convert";
                let action = &self.action;
                wrong(
                    walk,
                    &format!("unsupported action {action:?}; accepted: {accepted}"),
                );
            }),
        }
        self.check_unused(&kind, walk);
        let keys = match kind.as_str() {
            "delete" | "hash" => self.keys_like(walk),
            _ => None,
        };
        let extraction = match kind.as_str() {
            "extract" if !self.pattern.is_empty() => self.extraction(walk),
            _ => None,
        };
        if walk.faults.len() > known {
            return actions;
        }
        match (kind.as_str(), keys, extraction) {
            ("delete", keys, _) => {
                let actions = self.with_key(actions, |actions, key| actions.delete(key));
                match keys {
                    Some(keys) => actions.delete_matching(keys),
                    None => actions,
                }
            }
            ("hash", keys, _) => {
                let actions = self.with_key(actions, |actions, key| actions.hash(key));
                match keys {
                    Some(keys) => actions.hash_matching(keys),
                    None => actions,
                }
            }
            ("extract", _, Some(extraction)) => actions.extract(&self.key, extraction),
            ("convert", ..) => actions.convert(
                &self.key,
                match self.converted_type.as_str() {
                    "int" => ConvertTo::Int,
                    "double" => ConvertTo::Double,
                    _ => ConvertTo::String,
                },
            ),
            (kind, ..) => self.set(actions, kind),
        }
    }

    fn set(&self, actions: Actions, kind: &str) -> Actions {
        let (key, from) = (self.key.as_str(), self.from_attribute.as_str());
        let value = match (&self.value, self.client_name()) {
            (Some(value), _) => literal(value),
            (None, Some(Ok(name))) => {
                return match kind {
                    "insert" => actions.insert_from_client(key, &name),
                    "update" => actions.update_from_client(key, &name),
                    _ => actions.upsert_from_client(key, &name),
                };
            }
            (None, _) => {
                return match kind {
                    "insert" => actions.insert_from(key, from),
                    "update" => actions.update_from(key, from),
                    _ => actions.upsert_from(key, from),
                };
            }
        };
        match kind {
            "insert" => actions.insert(key, value),
            "update" => actions.update(key, value),
            _ => actions.upsert(key, value),
        }
    }

    fn with_key(&self, actions: Actions, change: fn(Actions, &str) -> Actions) -> Actions {
        if self.key.is_empty() {
            actions
        } else {
            change(actions, &self.key)
        }
    }

    fn keys_like(&self, walk: &mut Walk) -> Option<Pattern> {
        if self.pattern.is_empty() {
            return None;
        }
        let pattern = Pattern::regex(&self.pattern);
        pattern
            .map_err(|error| walk.within("pattern", |walk| wrong(walk, &error.to_string())))
            .ok()
    }

    fn extraction(&self, walk: &mut Walk) -> Option<Extraction> {
        Extraction::new(&self.pattern)
            .map_err(|error| walk.within("pattern", |walk| wrong(walk, &error.to_string())))
            .ok()
    }

    fn check_given(&self, walk: &mut Walk, name: &str, value: &str) {
        for (name, value) in [("key", self.key.as_str()), (name, value)] {
            if value.is_empty() {
                wrong(walk, &format!("missing required field {name:?}"));
            }
        }
    }

    fn check_setting(&self, walk: &mut Walk) {
        if self.key.is_empty() {
            wrong(walk, "missing required field \"key\"");
        }
        let sources = [
            self.value.is_some(),
            !self.from_attribute.is_empty(),
            !self.from_context.is_empty(),
        ];
        if sources.into_iter().filter(|given| *given).count() != 1 {
            wrong(
                walk,
                "this action needs exactly one of \"value\", \"from_attribute\" and \"from_context\"",
            );
        }
        if let Some(Err(why)) = self.client_name() {
            walk.within("from_context", |walk| walk.fault(why));
        }
    }

    /// What receivers call that which `from_context` asks for.
    fn client_name(&self) -> Option<Result<String, String>> {
        let asked = Some(self.from_context.as_str()).filter(|asked| !asked.is_empty())?;
        if asked == ADDRESS {
            return Some(Ok(ADDRESS.into()));
        }
        if asked.starts_with("auth.") {
            let why = "is not supported: a receiver has no authenticator that knows more than whom it lets in; accepted: metadata.NAME, client.address";
            return Some(Err(why.into()));
        }
        // A bare name is a header's too.
        let header = asked.strip_prefix(METADATA).unwrap_or(asked);
        Some(match is_header_name(header) {
            true => Ok(format!("{METADATA}{}", header.to_ascii_lowercase())),
            false => Err(format!("{header:?} is not the name of a header")),
        })
    }

    fn check_key_or_pattern(&self, walk: &mut Walk) {
        if self.key.is_empty() && self.pattern.is_empty() {
            wrong(walk, "missing \"key\" or \"pattern\"");
        }
    }

    fn check_converting(&self, walk: &mut Walk) {
        self.check_given(walk, "converted_type", &self.converted_type);
        let types = ["int", "double", "string", ""];
        if !types.contains(&self.converted_type.as_str()) {
            wrong(walk, "\"converted_type\" has to be int, double or string");
        }
    }

    /// What is given and has no meaning for an action is a mistake about the action.
    fn check_unused(&self, kind: &str, walk: &mut Walk) {
        let is_set = ["insert", "update", "upsert"].contains(&kind);
        let uses_pattern = ["delete", "hash", "extract"].contains(&kind);
        for (name, given, used) in [
            ("value", self.value.is_some(), is_set),
            ("from_attribute", !self.from_attribute.is_empty(), is_set),
            ("from_context", !self.from_context.is_empty(), is_set),
            ("pattern", !self.pattern.is_empty(), uses_pattern),
            (
                "converted_type",
                !self.converted_type.is_empty(),
                kind == "convert",
            ),
        ] {
            let is_known = is_set || uses_pattern || kind == "convert";
            if given && !used && is_known {
                walk.within(name, |walk| {
                    wrong(
                        walk,
                        &format!("action \"{kind}\" does not use the {name:?} field"),
                    );
                });
            }
        }
    }
}

/// What receivers call the address of a sender, and what they put before the names of headers.
pub(crate) const ADDRESS: &str = "client.address";
pub(crate) const METADATA: &str = "metadata.";

/// A token (RFC 9110, 5.6.2), or what HTTP/2 has in the place of `host`.
fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let token = name.strip_prefix(':').filter(|rest| *rest == "authority");
    let token = token.unwrap_or(name);
    !token.is_empty() && token.bytes().all(is_token)
}

/// What these ask about senders, as receivers call it.
fn client_names(actions: &[Action]) -> impl Iterator<Item = String> {
    actions
        .iter()
        .filter_map(|action| action.client_name()?.ok())
}

fn wrong(walk: &mut Walk, what: &str) {
    walk.fault(format!("error creating AttrProc due to {what}"));
}

pub(super) fn literal(literal: &Literal) -> Value<'_> {
    match literal {
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::Text(value) => Value::Str(value),
    }
}

fn all(list: &[Action], name: &str, walk: &mut Walk) -> Actions {
    let mut actions = Actions::new();
    walk.within(name, |walk| {
        for (index, action) in list.iter().enumerate() {
            walk.within(&index.to_string(), |walk| {
                actions = action.add(core::mem::take(&mut actions), walk);
            });
        }
    });
    actions
}

/// The `resource` processor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct Resource {
    /// Changes of the resource's attributes, in order.
    pub attributes: Vec<Action>,
}

impl Section for Resource {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("attributes", &mut self.attributes);
    }

    fn check(&self, walk: &mut Walk) {
        if self.attributes.is_empty() {
            walk.fault("missing required field \"attributes\"");
        }
    }
}

impl Resource {
    /// What it asks about senders, as receivers call it.
    pub(crate) fn client_names(&self) -> impl Iterator<Item = String> {
        client_names(&self.attributes)
    }

    /// The processor that this describes.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] as the configuration's own check has it.
    pub fn processor(&self) -> Result<ResourceProcessor, InvalidConfig> {
        made(|walk| ResourceProcessor::new(all(&self.attributes, "attributes", walk)))
    }
}

/// The `attributes` processor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct Attributes {
    /// Changes of the spans' attributes, in order.
    pub actions: Vec<Action>,
    /// The spans that are changed; without it all.
    pub include: Option<MatchSpans>,
    /// Spans that are not changed, though they are included.
    pub exclude: Option<MatchSpans>,
}

impl Section for Attributes {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("actions", &mut self.actions);
        keys.key("include", &mut self.include);
        keys.key("exclude", &mut self.exclude);
    }

    fn check(&self, walk: &mut Walk) {
        if self.actions.is_empty() {
            walk.fault("missing required field \"actions\"");
        }
    }
}

impl Attributes {
    /// What it asks about senders, as receivers call it.
    pub(crate) fn client_names(&self) -> impl Iterator<Item = String> {
        client_names(&self.actions)
    }

    /// The processor that this describes.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] as the configuration's own check has it.
    pub fn processor(&self) -> Result<AttributesProcessor, InvalidConfig> {
        made(|walk| {
            let processor = AttributesProcessor::new(all(&self.actions, "actions", walk));
            match MatchSpans::chosen(self.include.as_ref(), self.exclude.as_ref(), walk) {
                Some(condition) => processor.only(condition),
                None => processor,
            }
        })
    }
}
