//! Messages of OTLP traces, read in place.
//!
//! A view borrows the bytes of its message and finds fields when asked, in whatever order they were written. It
//! allocates nothing and copies nothing but numbers and ids. As protobuf demands, the last occurrence of a scalar wins,
//! repeated fields keep their order, and a message field that occurs more than once is the merger of all occurrences.
//!
//! Views are meant for [validated](super::validate) bytes. Over any other bytes they do not panic: a message ends at its
//! first malformed field, a field of the wrong type is passed over, and text that is not UTF-8 is empty.
//!
//! Protobuf encoding guide, "Last One Wins" and "Field Order"; `opentelemetry/proto/trace/v1/trace.proto`.

use core::fmt;
use core::marker::PhantomData;

use super::field;
use super::raw::{Field, Fields, Payload};

/// Shows messages by what their accessors say.
macro_rules! shown {
    ($($message:ident: $($said:ident),+;)+) => {$(
        impl fmt::Debug for $message<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message))
                    $(.field(stringify!($said), &self.$said()))+
                    .finish()
            }
        }
    )+};
}

mod span;
mod value;

pub use span::{Event, Link, Span, Status};
pub use value::{Array, KeyValue, Map, Value};

/// `ExportTraceServiceRequest` or `TracesData`.
///
/// ```
/// use spanwire_core::wire::view::Request;
///
/// let request = Request::new(b"\x0a\x09\x12\x07\x12\x05\x2a\x03GET");
/// for resource in request.resource_spans() {
///     for scope in resource.scope_spans() {
///         for span in scope.spans() {
///             assert_eq!(span.name(), "GET");
///         }
///     }
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Request<'a> {
    bytes: &'a [u8],
}

impl<'a> Request<'a> {
    /// The request with these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The bytes of the request.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The spans of each resource, in order.
    #[must_use]
    pub fn resource_spans(&self) -> Repeated<'a, ResourceSpans<'a>> {
        Repeated::within(self.bytes, field::request::RESOURCE_SPANS)
    }
}

/// `ResourceSpans`: a resource and its spans. Also what a [head](ResourceSpans::new) or a [body](ScopeSpans::all_in) of
/// one is read through.
#[derive(Clone, Copy)]
pub struct ResourceSpans<'a> {
    bytes: &'a [u8],
}

impl<'a> ResourceSpans<'a> {
    /// The message with these bytes. They may be only a part of its fields: those other than `scope_spans` show the
    /// resource and the schema URL, and no spans.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The bytes of the message.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whose spans these are; `None` if nobody said.
    #[must_use]
    pub fn resource(&self) -> Option<Resource<'a>> {
        Merged::within(self.bytes, field::resource_spans::RESOURCE)
            .map(|fields| Resource { fields })
    }

    /// The spans of each instrumentation scope, in order.
    #[must_use]
    pub fn scope_spans(&self) -> Repeated<'a, ScopeSpans<'a>> {
        ScopeSpans::all_in(self.bytes)
    }

    /// The schema of the resource; empty if nobody said.
    #[must_use]
    pub fn schema_url(&self) -> &'a str {
        Merged::of(self.bytes).text(field::resource_spans::SCHEMA_URL)
    }
}

/// `Resource`: who is speaking.
#[derive(Clone, Copy)]
pub struct Resource<'a> {
    fields: Merged<'a>,
}

impl<'a> Resource<'a> {
    /// The resource with these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            fields: Merged::of(bytes),
        }
    }

    /// What is said about the resource, in order.
    #[must_use]
    pub const fn attributes(&self) -> Repeated<'a, KeyValue<'a>> {
        Repeated::of(self.fields, field::resource::ATTRIBUTES)
    }

    /// How many attributes were dropped before the resource was sent.
    #[must_use]
    pub fn dropped_attributes_count(&self) -> u32 {
        self.fields
            .number(field::resource::DROPPED_ATTRIBUTES_COUNT) as u32
    }
}

/// `ScopeSpans`: an instrumentation scope and its spans.
#[derive(Clone, Copy)]
pub struct ScopeSpans<'a> {
    bytes: &'a [u8],
}

impl<'a> ScopeSpans<'a> {
    /// The message with these bytes, without tag and length.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The messages in a body: in a sequence of `ScopeSpans` records with their tags and lengths, as in a
    /// `ResourceSpans`. Records of other fields are passed over.
    ///
    /// ```
    /// use spanwire_core::wire::view::ScopeSpans;
    ///
    /// let body = b"\x12\x07\x12\x05\x2a\x03GET\x12\x07\x12\x05\x2a\x03PUT";
    /// let names = ScopeSpans::all_in(body).flat_map(|scope| scope.spans()).map(|span| span.name());
    /// assert!(names.eq(["GET", "PUT"]));
    /// ```
    #[must_use]
    pub const fn all_in(body: &'a [u8]) -> Repeated<'a, Self> {
        Repeated::within(body, field::resource_spans::SCOPE_SPANS)
    }

    /// The bytes of the message, without tag and length.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Which library made the spans; `None` if nobody said.
    #[must_use]
    pub fn scope(&self) -> Option<Scope<'a>> {
        Merged::within(self.bytes, field::scope_spans::SCOPE).map(|fields| Scope { fields })
    }

    /// The spans, in order.
    #[must_use]
    pub const fn spans(&self) -> Repeated<'a, Span<'a>> {
        Repeated::within(self.bytes, field::scope_spans::SPANS)
    }

    /// The schema of the scope and its spans; empty if nobody said.
    #[must_use]
    pub fn schema_url(&self) -> &'a str {
        Merged::of(self.bytes).text(field::scope_spans::SCHEMA_URL)
    }
}

/// `InstrumentationScope`: which library made the spans.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    fields: Merged<'a>,
}

impl<'a> Scope<'a> {
    /// The scope with these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            fields: Merged::of(bytes),
        }
    }

    /// The name; empty if nobody said.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.fields.text(field::scope::NAME)
    }

    /// The version; empty if nobody said.
    #[must_use]
    pub fn version(&self) -> &'a str {
        self.fields.text(field::scope::VERSION)
    }

    /// What is said about the scope, in order.
    #[must_use]
    pub const fn attributes(&self) -> Repeated<'a, KeyValue<'a>> {
        Repeated::of(self.fields, field::scope::ATTRIBUTES)
    }

    /// How many attributes were dropped before the scope was sent.
    #[must_use]
    pub fn dropped_attributes_count(&self) -> u32 {
        self.fields.number(field::scope::DROPPED_ATTRIBUTES_COUNT) as u32
    }
}

/// The elements of a repeated message field, in order.
///
/// A [`Clone`] starts again where this one stands.
pub struct Repeated<'a, T> {
    fields: Merged<'a>,
    number: u32,
    element: PhantomData<fn() -> T>,
}

impl<'a, T> Repeated<'a, T> {
    const fn of(fields: Merged<'a>, number: u32) -> Self {
        Self {
            fields,
            number,
            element: PhantomData,
        }
    }

    const fn within(message: &'a [u8], number: u32) -> Self {
        Self::of(Merged::of(message), number)
    }
}

impl<T> Clone for Repeated<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Repeated<'_, T> {}

impl<'a, T: From<Element<'a>>> Iterator for Repeated<'a, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        loop {
            match self.fields.next()? {
                Field {
                    number,
                    payload: Payload::Len(bytes),
                    ..
                } if number == self.number => return Some(T::from(Element(bytes))),
                _ => {}
            }
        }
    }
}

impl<'a, T: From<Element<'a>>> core::iter::FusedIterator for Repeated<'a, T> {}

impl<'a, T: From<Element<'a>> + fmt::Debug> fmt::Debug for Repeated<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

/// The bytes of one element of a repeated field: what [`Repeated`] makes views of.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a>(&'a [u8]);

macro_rules! elements {
    ($($view:ident),+) => {
        $(impl<'a> From<Element<'a>> for $view<'a> {
            #[inline]
            fn from(element: Element<'a>) -> Self {
                Self::new(element.0)
            }
        })+
    };
}

elements!(
    ResourceSpans,
    ScopeSpans,
    Span,
    Event,
    Link,
    KeyValue,
    Value
);

/// The fields of a message that may be scattered over several records of its parent: protobuf merges them.
#[derive(Clone, Copy)]
struct Merged<'a> {
    /// What is left of the record at hand.
    record: Fields<'a>,
    /// What is left of the parent, and which of its fields the message is.
    parent: Fields<'a>,
    number: u32,
}

impl<'a> Merged<'a> {
    /// The fields of a message that is in one piece.
    #[inline]
    const fn of(message: &'a [u8]) -> Self {
        Self {
            record: Fields::new(message),
            parent: Fields::new(&[]),
            number: 0,
        }
    }

    /// The fields of the message that is this field of its parent; `None` if it does not occur.
    #[inline]
    fn within(parent: &'a [u8], number: u32) -> Option<Self> {
        let mut parent = Fields::new(parent);
        let record = next_message(&mut parent, number)?;
        Some(Self {
            record,
            parent,
            number,
        })
    }

    /// The last occurrence of a text field.
    fn text(self, number: u32) -> &'a str {
        let mut text: &[u8] = &[];
        for field in self {
            if let (true, Payload::Len(bytes)) = (field.number == number, field.payload) {
                text = bytes;
            }
        }
        text_of(text)
    }

    /// The last occurrence of a number.
    fn number(self, number: u32) -> u64 {
        let mut last = 0;
        for field in self {
            if let (true, Payload::Varint(value)) = (field.number == number, field.payload) {
                last = value;
            }
        }
        last
    }
}

impl<'a> Iterator for Merged<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            if let Some(field) = self.record.next() {
                return Some(field);
            }
            self.record = next_message(&mut self.parent, self.number)?;
        }
    }
}

#[inline]
fn next_message<'a>(parent: &mut Fields<'a>, number: u32) -> Option<Fields<'a>> {
    loop {
        match parent.next()? {
            Field {
                number: found,
                payload: Payload::Len(bytes),
                ..
            } if found == number => return Some(Fields::new(bytes)),
            _ => {}
        }
    }
}

/// Text that was validated, or nothing.
#[inline]
fn text_of(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}

shown! {
    Request: resource_spans;
    ResourceSpans: resource, scope_spans, schema_url;
    Resource: attributes, dropped_attributes_count;
    ScopeSpans: scope, spans, schema_url;
    Scope: name, version, attributes, dropped_attributes_count;
}
