//! The live handle of a span.
//!
//! What a span is told is encoded at once into its pages; its end writes a header before that and appends both to
//! the ring. A span belongs to one task, may move between threads, and is ended by [`Span::end`] or by being dropped.

use core::error::Error;
use core::fmt;

use crate::attribute::{KeyValue, Value};
use crate::clock::{Moment, Stopwatch, Timestamp};
use crate::context::{Link, SpanContext};
use crate::id::SpanId;
use crate::recorder::{Appended, Origin, Recorder, Refused, SpanLimits};
use crate::ring::Told;
use crate::thread;
use crate::wire::{SpanKind, StatusCode};

mod chosen;
mod content;
mod gaps;
mod keys;
mod record;
mod room;
mod short;
mod told;

#[cfg(all(test, feature = "std", not(spanwire_loom)))]
mod tests;

pub(crate) use self::content::Content;
use self::record::{Ended, Facts};
use self::told::Notes;

/// A span that has started and not ended.
///
/// A span that is not sampled holds its context and nothing else: its methods return at once, and values made by a
/// closure are not made. What exceeds a limit is dropped and counted in the span's own `dropped_*` fields.
///
/// `Span<'a>` borrows its tracer and its name; [`OwnedSpan`] holds a reference of its own and can be sent to a task
/// that outlives both. OpenTelemetry trace API, "Span".
///
/// ```
/// use std::sync::Arc;
/// use spanwire_core::recorder::Recorder;
/// use spanwire_core::sampler::AlwaysOn;
/// use spanwire_core::span::Status;
/// use spanwire_core::tracer::Tracer;
///
/// let recorder = Arc::new(Recorder::builder().build()?);
/// let tracer = Tracer::new(recorder.clone(), "agent", Arc::new(AlwaysOn));
///
/// let mut span = tracer.start("sync pod");
/// span.set_attribute("pod.uid", "8f0f").set_attribute("attempt", 3);
/// span.add_event("image pulled", &[]);
/// span.set_status(Status::Error("no space left"));
/// span.end();
///
/// assert_eq!(recorder.account().admitted, 1);
/// # Ok::<(), spanwire_core::recorder::InvalidMemory>(())
/// ```
#[must_use = "a span that is dropped ends at once"]
pub struct Span<'a> {
    // Before the context, so that it is dropped right after the look at it that `drop` takes.
    live: Option<Live<'a>>,
    context: SpanContext,
}

/// A span that borrows nothing: for tasks that outlive the function that starts them.
///
/// Costs one reference count more than [`Span`] at its start and at its end.
#[cfg(feature = "alloc")]
pub type OwnedSpan = Span<'static>;

/// What a recorded span knows beside its context.
struct Live<'a> {
    origin: OriginRef<'a>,
    facts: Facts<'a>,
    watch: Stopwatch,
    content: Content,
}

/// Where a span comes from.
#[derive(Clone)]
pub(crate) enum OriginRef<'a> {
    Borrowed(&'a Origin),
    #[cfg(feature = "alloc")]
    Shared(alloc::sync::Arc<Origin>),
}

/// Whether an operation failed, as told by the one who knows.
///
/// OpenTelemetry trace API, "Set Status".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status<'a> {
    /// It failed, for this reason; an empty reason is none.
    Error(&'a str),
    /// It succeeded, whatever was said before or is said later. For applications; libraries leave it unset.
    Ok,
}

/// What is settled when a span starts.
pub(crate) struct Start<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: SpanKind,
    pub(crate) parent: SpanId,
    pub(crate) parent_is_remote: bool,
    /// When it started, if the caller says so.
    pub(crate) started: Option<Timestamp>,
    pub(crate) watch: Stopwatch,
}

impl OriginRef<'_> {
    #[inline]
    pub(crate) fn get(&self) -> &Origin {
        match self {
            Self::Borrowed(origin) => origin,
            #[cfg(feature = "alloc")]
            Self::Shared(origin) => origin,
        }
    }
}

impl<'a> Span<'a> {
    /// A span that is not recorded, with this context.
    ///
    /// Its children are not sampled unless the context is. OpenTelemetry trace API, "Wrapping a SpanContext in a
    /// Span".
    #[inline]
    pub const fn unrecorded(context: SpanContext) -> Self {
        Self {
            context,
            live: None,
        }
    }

    /// A recorded span.
    #[inline(always)]
    pub(crate) fn recorded(
        context: SpanContext,
        origin: OriginRef<'a>,
        start: Start<'a>,
        limits: &SpanLimits,
        content: Content,
    ) -> Self {
        let has_state = !context.trace_state().is_empty();
        let facts = Facts::new(&start, limits, has_state);
        Self {
            context,
            live: Some(Live {
                origin,
                facts,
                watch: start.watch,
                content,
            }),
        }
    }

    /// What others may know of the span: its ids, its flags and its trace state.
    #[must_use]
    #[inline]
    pub const fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Whether what is said to this span is kept: it was sampled.
    #[must_use]
    #[inline]
    pub const fn is_recording(&self) -> bool {
        self.live.is_some()
    }

    /// Sets an attribute. A key that was set before gets the new value.
    ///
    /// Dropped and counted: an empty key, a new key at the limit, what has no room.
    #[inline]
    pub fn set_attribute<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) -> &mut Self {
        if let Some(live) = &mut self.live {
            live.set(&KeyValue {
                key,
                value: value.into(),
            });
        }
        self
    }

    /// Sets an attribute to a value that is made only if the span is recorded.
    ///
    /// ```
    /// # use spanwire_core::context::SpanContext;
    /// # use spanwire_core::span::Span;
    /// let mut span = Span::unrecorded(SpanContext::INVALID);
    /// span.set_attribute_with("pods", || -> i64 { unreachable!("nobody listens") });
    /// ```
    #[inline]
    pub fn set_attribute_with<V>(&mut self, key: &str, value: impl FnOnce() -> V) -> &mut Self
    where
        V: for<'v> IntoValue<'v>,
    {
        if let Some(live) = &mut self.live {
            let value = value();
            live.set(&KeyValue {
                key,
                value: value.as_value(),
            });
        }
        self
    }

    /// Sets attributes, in order.
    #[inline]
    pub fn set_attributes(&mut self, attributes: &[KeyValue<'_>]) -> &mut Self {
        if let Some(live) = &mut self.live {
            live.set_all(attributes);
        }
        self
    }

    /// Adds an event that happens now.
    ///
    /// Dropped and counted: an event at the limit or without room; of its attributes those without a key or above
    /// their limit.
    #[inline]
    pub fn add_event(&mut self, name: &str, attributes: &[KeyValue<'_>]) -> &mut Self {
        if let Some(live) = &mut self.live {
            // Looked up once: reading the clock would have it looked up again.
            let recorder = live.origin.get().recorder();
            let time = live.watch.timestamp_after(recorder.elapsed(&live.watch));
            let (pages, limits) = (recorder.pages(), recorder.limits());
            live.content
                .add_event(pages, limits, time, name, attributes, &[]);
        }
        self
    }

    /// Adds an event that happened at this time.
    pub fn add_event_at(
        &mut self,
        time: Timestamp,
        name: &str,
        attributes: &[KeyValue<'_>],
    ) -> &mut Self {
        if let Some(live) = &mut self.live {
            live.add_event(time, name, attributes, &[]);
        }
        self
    }

    /// Adds an event about an error that was not handled: `exception`, with the error's type and text.
    ///
    /// The type is left out where it is hidden behind `dyn Error`. The status is not changed: call
    /// [`set_status`](Self::set_status) when the operation failed by it. Attributes of the caller win over those made
    /// from the error. OpenTelemetry semantic conventions, "Exceptions on spans".
    ///
    /// ```
    /// # use spanwire_core::context::SpanContext;
    /// # use spanwire_core::span::Span;
    /// # let mut span = Span::unrecorded(SpanContext::INVALID);
    /// let error = "nobody".parse::<u32>().unwrap_err();
    /// span.record_error(&error, &[]);
    /// ```
    pub fn record_error<E>(&mut self, error: &E, attributes: &[KeyValue<'_>]) -> &mut Self
    where
        E: Error + ?Sized,
    {
        if let Some(live) = &mut self.live {
            let kind = core::any::type_name::<E>();
            let text = Text(error);
            let message = KeyValue {
                key: "exception.message",
                value: Value::Display(&text),
            };
            let time = live.now();
            if kind.starts_with("dyn ") {
                live.add_event(time, "exception", &[message], attributes);
            } else {
                let kind = KeyValue {
                    key: "exception.type",
                    value: Value::Str(kind),
                };
                live.add_event(time, "exception", &[kind, message], attributes);
            }
        }
        self
    }

    /// Adds a link to another span.
    ///
    /// Dropped and counted: a link at the limit or without room, and one to no span that says nothing else either.
    /// Samplers see only links that are known at the start.
    pub fn add_link(&mut self, link: &Link<'_>) -> &mut Self {
        if let Some(live) = &mut self.live {
            live.add_link(link);
        }
        self
    }

    /// Says whether the operation failed. `Ok` is final; an error replaces an earlier error.
    pub fn set_status(&mut self, status: Status<'_>) -> &mut Self {
        if let Some(live) = &mut self.live {
            live.set_status(status);
        }
        self
    }

    /// Gives the span another name. Without room for it the old one stays.
    pub fn update_name(&mut self, name: &str) -> &mut Self {
        if let Some(live) = &mut self.live {
            live.update_name(name);
        }
        self
    }

    /// Ends the span now.
    // Inlined, a span would be moved before it ends.
    #[inline(never)]
    pub fn end(mut self) {
        self.finish(None);
    }

    /// Ends the span at this time, which may lie before its start.
    #[inline(never)]
    pub fn end_at(mut self, time: Timestamp) {
        self.finish(Some(time));
    }

    #[inline(always)]
    fn finish(&mut self, end: Option<Timestamp>) {
        // Ended where it stands: taking it out first would copy it.
        let Some(live) = &mut self.live else { return };
        // Looked up once: reading the clock would have it looked up again.
        let origin = live.origin.get();
        let recorder = origin.recorder();
        if !recorder.is_of_this_process() {
            self.forget();
            return;
        }
        let elapsed = recorder.elapsed(&live.watch);
        let time = end.unwrap_or_else(|| live.watch.timestamp_after(elapsed));
        if live.facts.is_plain
            && let Some(seat) = thread::seat()
            && let Some(told) = live.content.take_plain(recorder.pages())
        {
            let (facts, scope) = (&live.facts, origin.number());
            if facts.append(&self.context, time, &told, recorder, seat, scope) {
                told.release(seat);
                self.live = None;
                return;
            }
            live.content.put_back(told);
        }
        self.end_the_long_way(time, elapsed);
    }

    #[inline(never)]
    fn finish_here(&mut self) {
        self.finish(None);
    }

    /// Counts a span that was started before this process was forked. The pages are the parent process's: they are not
    /// touched.
    #[cold]
    #[inline(never)]
    fn forget(&mut self) {
        if let Some(live) = self.live.take() {
            live.recorder().count_forked();
        }
    }

    /// Ends a span that is not plain, whose thread has no seat, or does not find room where it usually does.
    #[cold]
    #[inline(never)]
    fn end_the_long_way(&mut self, time: Timestamp, elapsed: u64) {
        // Taken out first: a consumer that is woken is the caller's code, and may panic.
        if let Some(mut live) = self.live.take() {
            let appended = live.end_any(&self.context, time, live.watch.moment_after(elapsed));
            if appended != Ok(Appended::default()) {
                live.recorder().settle(appended);
            }
        }
    }

    /// The same span, borrowing nothing.
    ///
    /// The name is copied into the span; without room for it the span is named by what fits.
    #[cfg(feature = "alloc")]
    pub(crate) fn into_owned(mut self) -> OwnedSpan {
        let live = self.live.take().and_then(Live::into_owned);
        Span {
            context: core::mem::replace(&mut self.context, SpanContext::INVALID),
            live,
        }
    }
}

impl Drop for Span<'_> {
    // Inlined: a span that is not recorded costs its owner a look, and no call.
    #[inline(always)]
    fn drop(&mut self) {
        if self.live.is_some() {
            self.finish_here();
        }
    }
}

impl fmt::Debug for Span<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span")
            .field("context", &self.context)
            .field("is_recording", &self.is_recording())
            .finish_non_exhaustive()
    }
}

/// A value that can be lent as an attribute's value: what the closure of [`Span::set_attribute_with`] returns.
pub trait IntoValue<'v> {
    /// The value, borrowed.
    fn as_value(&'v self) -> Value<'v>;
}

macro_rules! into_value {
    ($($type:ty),+ $(,)?) => {
        $(impl<'v> IntoValue<'v> for $type {
            fn as_value(&'v self) -> Value<'v> {
                Value::from(*self)
            }
        })+
    };
}

into_value!(
    bool,
    i8,
    i16,
    i32,
    i64,
    u8,
    u16,
    u32,
    f32,
    f64,
    &'static str
);

#[cfg(feature = "alloc")]
impl<'v> IntoValue<'v> for alloc::string::String {
    fn as_value(&'v self) -> Value<'v> {
        Value::Str(self)
    }
}

#[cfg(feature = "alloc")]
impl<'v> IntoValue<'v> for alloc::vec::Vec<u8> {
    fn as_value(&'v self) -> Value<'v> {
        Value::Bytes(self)
    }
}

impl<'v> IntoValue<'v> for fmt::Arguments<'_> {
    fn as_value(&'v self) -> Value<'v> {
        Value::Display(self)
    }
}

/// The text of an error.
struct Text<'e, E: ?Sized>(&'e E);

impl<E: Error + ?Sized> fmt::Display for Text<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0, f)
    }
}

impl<'a> Live<'a> {
    #[inline]
    fn recorder(&self) -> &Recorder {
        self.origin.get().recorder()
    }

    #[inline]
    fn now(&self) -> Timestamp {
        let elapsed = self.recorder().elapsed(&self.watch);
        self.watch.timestamp_after(elapsed)
    }

    /// Sets an attribute. Inlined, so that a kind that is known where this is called costs no look.
    #[inline(always)]
    fn set(&mut self, attribute: &KeyValue<'_>) {
        let key = attribute.key;
        let set = match attribute.value {
            Value::Str(text) => self.set_text(key, text),
            Value::Int(integer) => self.set_integer(key, integer),
            Value::Bool(truth) => self.set_truth(key, truth),
            Value::Double(double) => self.set_double(key, double),
            _ => false,
        };
        if !set {
            self.set_any(attribute);
        }
    }

    #[inline(never)]
    fn set_text(&mut self, key: &str, text: &str) -> bool {
        self.set_short(|told| told.set_text(key, text))
    }

    #[inline(never)]
    fn set_integer(&mut self, key: &str, integer: i64) -> bool {
        self.set_short(|told| told.set_one(key, &integer))
    }

    #[inline(never)]
    fn set_truth(&mut self, key: &str, truth: bool) -> bool {
        self.set_short(|told| told.set_one(key, &truth))
    }

    #[inline(never)]
    fn set_double(&mut self, key: &str, double: f64) -> bool {
        self.set_short(|told| told.set_one(key, &double))
    }

    #[inline(always)]
    fn set_short(&mut self, set: impl FnOnce(&mut Told<'_, Notes>) -> bool) -> bool {
        let recorder = self.origin.get().recorder();
        self.content
            .set_short(recorder.pages(), recorder.limits(), set)
    }

    fn set_all(&mut self, attributes: &[KeyValue<'_>]) {
        let recorder = self.origin.get().recorder();
        self.content
            .set_attributes(recorder.pages(), recorder.limits(), attributes);
    }

    #[inline(never)]
    fn set_any(&mut self, attribute: &KeyValue<'_>) {
        let Self {
            origin, content, ..
        } = self;
        let recorder = origin.get().recorder();
        content.set_attribute(recorder.pages(), recorder.limits(), attribute);
    }

    #[inline]
    fn add_event(
        &mut self,
        time: Timestamp,
        name: &str,
        attributes: &[KeyValue<'_>],
        more: &[KeyValue<'_>],
    ) {
        let Self {
            origin, content, ..
        } = self;
        let recorder = origin.get().recorder();
        content.add_event(
            recorder.pages(),
            recorder.limits(),
            time,
            name,
            attributes,
            more,
        );
    }

    fn add_link(&mut self, link: &Link<'_>) {
        let Self {
            origin, content, ..
        } = self;
        let recorder = origin.get().recorder();
        content.add_link(recorder.pages(), recorder.limits(), link);
    }

    fn set_status(&mut self, status: Status<'_>) {
        // Ok > Error > Unset: what is final stays.
        if self.facts.status == StatusCode::Ok {
            return;
        }
        self.facts.is_plain = false;
        let Self {
            origin, content, ..
        } = self;
        let recorder = origin.get().recorder();
        let mut keep =
            |message| content.set_status_message(recorder.pages(), recorder.limits(), message);
        match status {
            Status::Ok => {
                keep(None);
                self.facts.status = StatusCode::Ok;
            }
            Status::Error(reason) => {
                keep(Some(reason).filter(|reason| !reason.is_empty()));
                self.facts.status = StatusCode::Error;
            }
        }
    }

    fn update_name(&mut self, name: &str) {
        let Self {
            origin, content, ..
        } = self;
        let recorder = origin.get().recorder();
        if content.set_name(recorder.pages(), recorder.limits(), name) {
            self.facts.move_name();
        }
    }

    /// Ends a span of any kind, wherever there is room.
    fn end_any(
        &mut self,
        context: &SpanContext,
        time: Timestamp,
        moment: Moment,
    ) -> Result<Appended, Refused> {
        let origin = self.origin.get();
        let recorder = origin.recorder();
        thread::with(|seat| {
            let ended = Ended {
                context,
                facts: &self.facts,
                content: self.content.whole(recorder.pages()),
                time,
            };
            let appended = ended.append(recorder, seat, origin.scope(), moment);
            self.content.release(recorder.pages(), seat);
            appended
        })
    }

    #[cfg(feature = "alloc")]
    fn into_owned(mut self) -> Option<Live<'static>> {
        let OriginRef::Shared(origin) = self.origin else {
            return None;
        };
        let name = self.facts.name;
        if !name.is_empty() {
            let recorder = origin.recorder();
            self.content
                .set_name_cut(recorder.pages(), recorder.limits(), name);
            self.facts.move_name();
        }
        Some(Live {
            origin: OriginRef::Shared(origin),
            facts: self.facts.into_nameless(),
            watch: self.watch,
            content: self.content,
        })
    }
}
