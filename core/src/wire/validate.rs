//! One walk over a request from outside: afterwards its bytes may be trusted, kept and sent on as they are.
//!
//! The walk allocates nothing. What it accepts, prost 0.14 decodes, and the [views](super::view) show the same message.
//! It refuses more than prost does:
//!
//! - tags and lengths of more than five bytes, which other decoders refuse or misread;
//! - trace ids that have neither 0 nor 16 bytes and span ids that have neither 0 nor 8, as the Collector does;
//! - what exceeds the [`Limits`].
//!
//! Protobuf encoding guide; OTLP specification 1.11, "OTLP/gRPC"; `opentelemetry/proto/trace/v1/trace.proto`.

use core::fmt;

use super::raw::{self, Fault, MAX_DEPTH};
use super::schema::{Entry, Kind, Message};
use super::utf8::is_utf8;
use super::view;

/// How large a request may be.
///
/// ```
/// use spanwire_core::wire::validate::Limits;
///
/// let limits = Limits::new().bytes(4 << 20);
/// assert_eq!(limits.depth, 100);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes of a request: 64 MiB unless set, never more than [`raw::MAX_LEN`].
    pub bytes: usize,
    /// The most messages nested in the request: [`MAX_DEPTH`] unless set, never more. An attribute's plain value is 5
    /// deep, or 6 in an event or link; an array adds 2 and a map 3.
    pub depth: u32,
    /// The most `ResourceSpans`: not limited unless set. An empty one takes two bytes on the wire, and more than that
    /// wherever it is kept on its own.
    pub resource_spans: usize,
}

impl Limits {
    /// 64 MiB, which OTLP recommends to servers, and the depth that widespread decoders take.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: 64 << 20,
            depth: MAX_DEPTH,
            resource_spans: usize::MAX,
        }
    }

    /// Sets the most bytes of a request.
    #[must_use]
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets the most messages nested in a request.
    #[must_use]
    pub const fn depth(mut self, depth: u32) -> Self {
        self.depth = depth;
        self
    }

    /// Sets the most `ResourceSpans` of a request.
    #[must_use]
    pub const fn resource_spans(mut self, resource_spans: usize) -> Self {
        self.resource_spans = resource_spans;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

/// A request whose bytes are well-formed throughout.
///
/// ```
/// use spanwire_core::wire::validate::{Limits, validate};
///
/// // One ResourceSpans, one ScopeSpans, one span with a name.
/// let valid = validate(b"\x0a\x09\x12\x07\x12\x05\x2a\x03GET", &Limits::new())?;
/// assert_eq!(valid.counts().spans, 1);
/// let resource = valid.view().resource_spans().next().unwrap();
/// let scope = resource.scope_spans().next().unwrap();
/// assert_eq!(scope.spans().next().unwrap().name(), "GET");
/// # Ok::<(), spanwire_core::wire::validate::Invalid>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Validated<'a> {
    bytes: &'a [u8],
    counts: Counts,
}

impl<'a> Validated<'a> {
    /// The bytes of the request.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What is in the request.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The request, to be read in place.
    #[must_use]
    pub const fn view(&self) -> view::Request<'a> {
        view::Request::new(self.bytes)
    }
}

/// How much a request holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// `ResourceSpans` messages.
    pub resource_spans: usize,
    /// `ScopeSpans` messages.
    pub scope_spans: usize,
    /// Spans.
    pub spans: usize,
    /// Fields of the request itself that OTLP 1.11 does not know: they belong to no resource, so that nothing keeps
    /// them when the request is taken apart. Unknown fields further down are not counted, and stay.
    pub unknown_fields: usize,
    /// The bytes that these fields take.
    pub unknown_bytes: usize,
}

/// Why a request was refused, and where.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Invalid {
    fault: Fault,
    offset: usize,
    path: Path,
}

impl Invalid {
    /// What is wrong.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        self.fault
    }

    /// The offset, from the start of the request, of the field that is wrong: that of its tag. Of a request that
    /// exceeds a limit as a whole, 0.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The names of the fields that lead to the fault.
    #[must_use]
    pub const fn path(&self) -> &Path {
        &self.path
    }

    #[cold]
    fn whole(fault: Fault) -> Self {
        Self {
            fault,
            offset: 0,
            path: Path::EMPTY,
        }
    }

    #[cold]
    fn locate(request: &[u8], fail: Fail) -> Self {
        let offset = fail.at.wrapping_sub(request.as_ptr().addr());
        Self {
            fault: fail.fault,
            offset,
            path: Path::to(request, offset),
        }
    }
}

impl fmt::Debug for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invalid")
            .field("fault", &self.fault)
            .field("offset", &self.offset)
            .field("path", &format_args!("{}", self.path))
            .finish()
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.len == 0 {
            write!(f, "{} at byte {}", self.fault, self.offset)
        } else {
            write!(f, "{} at byte {} in {}", self.fault, self.offset, self.path)
        }
    }
}

impl core::error::Error for Invalid {}

/// The names of the fields from the request down to one of its fields, such as `resource_spans.scope_spans.spans.name`.
///
/// [`Display`](fmt::Display) joins them by dots. At most 24 names are kept; `..` stands for those below. The path ends
/// above a field that has no name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Path {
    numbers: [u8; Self::ROOM],
    /// How many names there are, even if there is no room for all.
    len: u8,
}

impl Path {
    const ROOM: usize = 24;
    const EMPTY: Self = Self {
        numbers: [0; Self::ROOM],
        len: 0,
    };

    /// The names, from the outermost one.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        let mut message = Some(Message::Request);
        self.numbers
            .iter()
            .take(usize::from(self.len))
            .map_while(move |number| {
                let (name, inner) = message?.field(u32::from(*number))?;
                message = inner;
                Some(name)
            })
    }

    /// Descends to the field at this offset. Everything before it is well-formed.
    fn to(request: &[u8], offset: usize) -> Self {
        let mut path = Self::EMPTY;
        let mut message = Message::Request;
        // The part of the message not yet passed, and where the field is in it.
        let mut rest = request;
        let mut offset = offset;
        loop {
            let Ok((tag, after)) = raw::read_tag(rest) else {
                return path;
            };
            let known = message.field(tag >> 3);
            let payload = match raw::read_len(after) {
                Ok((payload, _)) if tag & 7 == 2 => payload,
                _ => &[],
            };
            let record =
                raw::skip(tag, after, MAX_DEPTH).map_or(rest.len(), |next| rest.len() - next.len());
            if offset >= record {
                offset -= record;
                let Some(next) = rest.get(record..) else {
                    return path;
                };
                rest = next;
                continue;
            }
            let Some((_, inner)) = known else {
                return path;
            };
            path.push(tag >> 3);
            let (Some(inner), Some(inside)) = (inner, (offset + payload.len()).checked_sub(record))
            else {
                return path;
            };
            message = inner;
            rest = payload;
            offset = inside;
        }
    }

    fn push(&mut self, number: u32) {
        if let (Some(slot), Ok(number)) = (
            self.numbers.get_mut(usize::from(self.len)),
            u8::try_from(number),
        ) {
            *slot = number;
        }
        self.len = self.len.saturating_add(1);
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.names().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            f.write_str(name)?;
        }
        if usize::from(self.len) > Self::ROOM {
            f.write_str("...")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Walks a whole `ExportTraceServiceRequest` once and says whether it may be kept.
///
/// Fields may stand in any order and occur more than once. Unknown fields are passed over.
///
/// # Errors
/// The first fault, in the order of the bytes. [`Fault::is_malformed`] tells bytes that are no request from requests
/// that break a limit or a rule of OTLP. Nothing of a refused request should be kept.
pub fn validate<'a>(request: &'a [u8], limits: &Limits) -> Result<Validated<'a>, Invalid> {
    if request.len() > limits.bytes.min(raw::MAX_LEN) {
        return Err(Invalid::whole(Fault::TooLarge));
    }
    let mut walk = Walk {
        counts: Counts::default(),
    };
    match walk.message(Message::Request, request, limits.depth.min(MAX_DEPTH)) {
        Ok(()) if walk.counts.resource_spans > limits.resource_spans => {
            Err(Invalid::whole(Fault::TooManyResourceSpans))
        }
        Ok(()) => Ok(Validated {
            bytes: request,
            counts: walk.counts,
        }),
        Err(fail) => Err(Invalid::locate(request, fail)),
    }
}

/// A fault, and the address of the field's tag.
#[derive(Clone, Copy)]
struct Fail {
    fault: Fault,
    at: usize,
}

impl Fail {
    #[cold]
    #[inline(never)]
    fn new(fault: Fault, field: &[u8]) -> Self {
        Self {
            fault,
            at: field.as_ptr().addr(),
        }
    }
}

struct Walk {
    counts: Counts,
}

impl Walk {
    /// Walks one message. `depth` is how many levels may be entered below it.
    fn message(&mut self, message: Message, bytes: &[u8], depth: u32) -> Result<(), Fail> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let field = rest;
            let fail = |fault| Fail::new(fault, field);
            let (tag, after) = raw::read_tag(rest).map_err(fail)?;
            let Entry {
                kind,
                message: inner,
            } = message.entry(tag);
            rest = match kind {
                Kind::KeyValue => {
                    let (key_value, after) = raw::read_len(after).map_err(fail)?;
                    // A key and a value are two levels.
                    if depth < 2 || !is_plain(key_value) {
                        let depth = depth.checked_sub(1).ok_or(Fault::Depth).map_err(fail)?;
                        self.message(Message::KeyValue, key_value, depth)?;
                    }
                    after
                }
                Kind::Message => {
                    let (payload, after) = raw::read_len(after).map_err(fail)?;
                    let depth = depth.checked_sub(1).ok_or(Fault::Depth).map_err(fail)?;
                    match inner {
                        Message::Span => self.counts.spans += 1,
                        Message::ScopeSpans => self.counts.scope_spans += 1,
                        Message::ResourceSpans => self.counts.resource_spans += 1,
                        _ => {}
                    }
                    self.message(inner, payload, depth)?;
                    after
                }
                Kind::Text => {
                    let (text, after) = raw::read_len(after).map_err(fail)?;
                    if !is_utf8(text) {
                        return Err(fail(Fault::Utf8));
                    }
                    after
                }
                Kind::Bytes => raw::read_len(after).map_err(fail)?.1,
                Kind::TraceId => {
                    let (id, after) = raw::read_len(after).map_err(fail)?;
                    if !matches!(id.len(), 0 | 16) {
                        return Err(fail(Fault::IdLength));
                    }
                    after
                }
                Kind::SpanId => {
                    let (id, after) = raw::read_len(after).map_err(fail)?;
                    if !matches!(id.len(), 0 | 8) {
                        return Err(fail(Fault::IdLength));
                    }
                    after
                }
                Kind::Varint => raw::skip_varint(after).map_err(fail)?,
                Kind::Fixed64 => after.get(8..).ok_or(Fault::Truncated).map_err(fail)?,
                Kind::Fixed32 => after.get(4..).ok_or(Fault::Truncated).map_err(fail)?,
                Kind::Mistyped => return Err(fail(Fault::UnexpectedWireType)),
                Kind::Unknown => {
                    let after = raw::skip(tag, after, depth).map_err(fail)?;
                    if message == Message::Request {
                        self.counts.unknown_fields += 1;
                        self.counts.unknown_bytes += field.len() - after.len();
                    }
                    after
                }
            };
        }
        Ok(())
    }
}

/// Whether these are the fields of a `KeyValue` as nearly everyone writes it: a key of less than 128 bytes, then one
/// plain value of less than 128 bytes, all text UTF-8. `false` says nothing.
#[inline]
fn is_plain(key_value: &[u8]) -> bool {
    let [0x0a, key_len @ 0..=0x7f, rest @ ..] = key_value else {
        return false;
    };
    let Some((key, rest)) = rest.split_at_checked(usize::from(*key_len)) else {
        return false;
    };
    let [0x12, value_len @ 0..=0x7f, value @ ..] = rest else {
        return false;
    };
    if value.len() != usize::from(*value_len) {
        return false;
    }
    match value {
        // Tags and lengths are ASCII too, so that all of it is text if the key and the value are.
        [0x0a, len @ 0..=0x7f, text @ ..] => text.len() == usize::from(*len) && is_utf8(key_value),
        [0x10 | 0x18, number @ ..] => matches!(raw::skip_varint(number), Ok([])) && is_utf8(key),
        [0x21, double @ ..] => double.len() == 8 && is_utf8(key),
        _ => false,
    }
}
