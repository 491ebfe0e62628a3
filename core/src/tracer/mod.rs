//! What starts spans.

use core::fmt;

use crate::attribute::KeyValue;
use crate::clock::Timestamp;
use crate::context::{Link, SpanContext, TraceFlags, TraceState};
use crate::id::{SpanId, TraceId};
use crate::recorder::{Origin, Recorder};
use crate::resource::ScopeHeader;
use crate::sampler::{
    Case, Decision, Foresight, Sampler, Sampling, SamplingInput, TraceStateChange,
};
use crate::span::{Content, OriginRef, Span, Start};
use crate::wire::SpanKind;

#[cfg(feature = "std")]
mod reborn;
#[cfg(feature = "std")]
use self::reborn::Rebuild;

/// Starts the spans of one instrumentation scope.
///
/// A tracer is made once for each part of a program that has a name, and kept. Starting a span reads the clock once
/// and touches nothing that other threads write; a span that is not sampled reads no clock.
///
/// ```
/// use std::sync::Arc;
/// use spanwire_core::recorder::Recorder;
/// use spanwire_core::sampler::{ParentBased, PerMillion};
/// use spanwire_core::tracer::Tracer;
/// use spanwire_core::wire::SpanKind;
///
/// let recorder = Arc::new(Recorder::builder().build()?);
/// let sampler = ParentBased::new(PerMillion::new(1_000_000).expect("in range"));
/// let tracer = Tracer::new(recorder, "kubelet", Arc::new(sampler));
///
/// let pod = tracer.span("sync pod").kind(SpanKind::Server).start();
/// let volume = tracer.span("mount").child_of(pod.context()).start();
/// assert_eq!(volume.context().trace_id(), pod.context().trace_id());
/// # Ok::<(), spanwire_core::recorder::InvalidMemory>(())
/// ```
pub struct Tracer {
    origin: Place,
    sampler: SamplerRef,
    /// What the sampler will say, for each case.
    foresight: [Foresight; Case::ALL.len()],
}

enum Place {
    Fixed(Origin),
    #[cfg(feature = "std")]
    Process(reborn::Origins),
    #[cfg(all(feature = "alloc", not(feature = "std")))]
    Shared(alloc::sync::Arc<Origin>),
}

enum SamplerRef {
    Static(&'static dyn Sampler),
    #[cfg(feature = "alloc")]
    Shared(alloc::sync::Arc<dyn Sampler>),
}

/// Whose child a span is.
#[derive(Clone, Copy, Debug)]
enum Parent<'a> {
    /// The span that the thread is in.
    #[cfg_attr(
        not(feature = "std"),
        expect(dead_code, reason = "without threads there is no current span")
    )]
    Current,
    /// Nobody's.
    Root,
    Context(&'a SpanContext),
}

impl Tracer {
    /// The tracer of a scope whose spans go to a recorder in a `static`.
    ///
    /// Scopes of one recorder have different numbers.
    #[must_use]
    pub const fn fixed(
        recorder: &'static Recorder,
        number: usize,
        scope: ScopeHeader<'static>,
        sampler: &'static dyn Sampler,
    ) -> Self {
        Self {
            origin: Place::Fixed(Origin::fixed(recorder, number, scope.as_bytes())),
            sampler: SamplerRef::Static(sampler),
            foresight: [Foresight::Ask; Case::ALL.len()],
        }
    }

    /// Starts a span: a child of the span that this thread is in; a root outside of any, and without `std`.
    #[inline]
    pub fn start<'a>(&'a self, name: &'a str) -> Span<'a> {
        self.span(name).start()
    }

    /// Begins to describe a span that is about to start.
    #[inline]
    pub fn span<'a>(&'a self, name: &'a str) -> SpanBuilder<'a> {
        SpanBuilder {
            tracer: self,
            name,
            kind: SpanKind::Internal,
            #[cfg(feature = "std")]
            parent: Parent::Current,
            #[cfg(not(feature = "std"))]
            parent: Parent::Root,
            attributes: &[],
            links: &[],
            started: None,
        }
    }

    /// Where spans of this process come from. `None` in a forked child that has no recorder of its own.
    #[inline(always)]
    fn origin(&self) -> Option<OriginRef<'_>> {
        let origin = match &self.origin {
            Place::Fixed(origin) => origin,
            #[cfg(feature = "std")]
            Place::Process(origins) => origins.get()?,
            #[cfg(all(feature = "alloc", not(feature = "std")))]
            Place::Shared(origin) => origin,
        };
        let ours = origin.recorder().is_of_this_process();
        ours.then_some(OriginRef::Borrowed(origin))
    }

    #[cfg(feature = "alloc")]
    fn shared_origin(&self) -> Option<OriginRef<'static>> {
        let origin = match &self.origin {
            // A tracer in a `static` is shared by copying its few words.
            Place::Fixed(origin) => alloc::sync::Arc::new(origin.duplicate()),
            #[cfg(feature = "std")]
            Place::Process(origins) => origins.get()?.clone(),
            #[cfg(not(feature = "std"))]
            Place::Shared(origin) => origin.clone(),
        };
        let ours = origin.recorder().is_of_this_process();
        ours.then_some(OriginRef::Shared(origin))
    }

    #[inline]
    fn foresight(&self, case: Case) -> Foresight {
        let foresight = self.foresight.get(case as usize).copied();
        foresight.unwrap_or(Foresight::Ask)
    }

    #[inline]
    fn sampler(&self) -> &dyn Sampler {
        match &self.sampler {
            SamplerRef::Static(sampler) => *sampler,
            #[cfg(feature = "alloc")]
            SamplerRef::Shared(sampler) => &**sampler,
        }
    }
}

#[cfg(feature = "alloc")]
fn foresee(sampler: &dyn Sampler) -> [Foresight; Case::ALL.len()] {
    Case::ALL.map(|case| sampler.foresee(case))
}

#[cfg(feature = "alloc")]
mod shared {
    use alloc::sync::Arc;

    use super::{Place, SamplerRef, Tracer};
    use crate::recorder::{Origin, Recorder};
    use crate::resource::InstrumentationScope;
    use crate::sampler::Sampler;

    impl Tracer {
        /// The tracer of a scope whose spans go to this recorder.
        ///
        /// In a forked child its spans are not recorded: the recorder belongs to the parent process. A
        /// [`Pipeline`](crate::pipeline::Pipeline) makes tracers that go on in the child.
        pub fn new(
            recorder: Arc<Recorder>,
            scope: impl Into<InstrumentationScope>,
            sampler: Arc<dyn Sampler>,
        ) -> Self {
            let scope = scope.into();
            let number = recorder.next_scope();
            let origin = Arc::new(Origin::shared(recorder, number, scope.bytes().clone()));
            #[cfg(feature = "std")]
            let origin = Place::Process(super::reborn::Origins::new(origin, None));
            #[cfg(not(feature = "std"))]
            let origin = Place::Shared(origin);
            Self {
                origin,
                foresight: super::foresee(&*sampler),
                sampler: SamplerRef::Shared(sampler),
            }
        }
    }
}

#[cfg(feature = "std")]
impl Tracer {
    /// The tracer of a scope that has a new origin in every forked child.
    pub(crate) fn of_process(
        origin: alloc::sync::Arc<Origin>,
        rebuild: Rebuild,
        sampler: alloc::sync::Arc<dyn Sampler>,
    ) -> Self {
        Self {
            origin: Place::Process(reborn::Origins::new(origin, Some(rebuild))),
            foresight: foresee(&*sampler),
            sampler: SamplerRef::Shared(sampler),
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer")
            .field("sampler", &crate::sampler::Description(self.sampler()))
            .finish_non_exhaustive()
    }
}

/// A span that is about to start.
#[derive(Clone, Copy)]
#[must_use = "a span builder does nothing until it starts the span"]
pub struct SpanBuilder<'a> {
    tracer: &'a Tracer,
    name: &'a str,
    kind: SpanKind,
    parent: Parent<'a>,
    attributes: &'a [KeyValue<'a>],
    links: &'a [Link<'a>],
    started: Option<Timestamp>,
}

impl<'a> SpanBuilder<'a> {
    /// What the span is to its parent and children. Default: internal.
    #[inline]
    pub fn kind(mut self, kind: SpanKind) -> Self {
        self.kind = kind;
        self
    }

    /// Makes the span a child of this context; a root, if the context is invalid. Default: the span that this thread
    /// is in, with `std`.
    #[inline]
    pub fn child_of(mut self, parent: &'a SpanContext) -> Self {
        self.parent = Parent::Context(parent);
        self
    }

    /// Makes the span a root, whatever span this thread is in.
    #[inline]
    pub fn root(mut self) -> Self {
        self.parent = Parent::Root;
        self
    }

    /// Attributes that are known now; the sampler sees them.
    #[inline]
    pub fn attributes(mut self, attributes: &'a [KeyValue<'a>]) -> Self {
        self.attributes = attributes;
        self
    }

    /// Links that are known now; the sampler sees them.
    #[inline]
    pub fn links(mut self, links: &'a [Link<'a>]) -> Self {
        self.links = links;
        self
    }

    /// When the span started, if not now.
    #[inline]
    pub fn started_at(mut self, time: Timestamp) -> Self {
        self.started = Some(time);
        self
    }

    /// Starts the span.
    #[inline]
    pub fn start(self) -> Span<'a> {
        let tracer = self.tracer;
        self.start_from(|| tracer.origin())
    }

    /// Starts a span that borrows nothing. The name is copied.
    #[cfg(feature = "alloc")]
    pub fn start_owned(self) -> crate::span::OwnedSpan {
        let tracer = self.tracer;
        self.start_from(|| tracer.shared_origin()).into_owned()
    }

    // Inlined all the way, so that a span is built where its owner wants it and not copied there.
    #[inline(always)]
    fn start_from(self, origin: impl FnOnce() -> Option<OriginRef<'a>>) -> Span<'a> {
        let Some(parent) = self.parent() else {
            return Span::unrecorded(SpanContext::INVALID);
        };
        let Some(origin) = origin() else {
            return Span::unrecorded(parent);
        };
        let recorder = origin.get().recorder();
        let has_parent = parent.is_valid();
        // Asked before anything is held: a source of ids is the caller's code, and may panic.
        let (trace_id, span_id, random, case) = if has_parent {
            let random = parent.flags().is_random();
            let case = Case::child(&parent);
            (parent.trace_id(), recorder.new_span_id(), random, case)
        } else {
            let (trace_id, span_id) = recorder.new_root();
            let random = recorder.ids_are_random();
            if recorder.thins(trace_id) {
                return thinned(recorder, trace_id, span_id, random);
            }
            (trace_id, span_id, random, Case::Root)
        };
        let foresight = self.tracer.foresight(case);
        let parent_span = if has_parent {
            parent.span_id()
        } else {
            SpanId::INVALID
        };
        let parent_is_remote = parent.is_remote();
        let flags = TraceFlags::NONE.with_random(random);
        let (sampled, state, said) = match foresight {
            Foresight::Keep | Foresight::Drop => {
                let state = if has_parent {
                    parent.into_trace_state()
                } else {
                    TraceState::EMPTY
                };
                (foresight == Foresight::Keep, state, Content::EMPTY)
            }
            _ => self.ask(recorder, parent, trace_id, random, foresight),
        };
        let context = SpanContext::new(
            trace_id,
            span_id,
            flags.with_sampled(sampled),
            false,
            state,
        );
        let mut draft = Draft {
            recorder,
            content: said,
        };
        if !sampled {
            recorder.count_not_sampled();
            return Span::unrecorded(context);
        }
        let watch = recorder.start();
        if !self.attributes.is_empty() {
            draft.set_attributes(self.attributes);
        }
        if !self.links.is_empty() {
            draft.add_links(self.links);
        }
        recorder.count_started();
        Span::recorded(
            context,
            Start {
                name: self.name,
                kind: self.kind,
                parent: parent_span,
                parent_is_remote,
                started: self.started,
                watch,
                content: draft.finish(),
            },
            origin,
        )
    }

    /// The parent's context, an invalid one for a root. `None` where the thread is silenced.
    #[inline(always)]
    fn parent(&self) -> Option<SpanContext> {
        match self.parent {
            #[cfg(feature = "std")]
            Parent::Current => crate::current::around(),
            #[cfg(feature = "std")]
            _ if crate::current::is_suppressed() => None,
            Parent::Context(parent) => Some(parent.clone()),
            _ => Some(SpanContext::INVALID),
        }
    }

    /// Asks the sampler whether the span is sampled, for its trace state, and what it says of the span.
    #[inline(always)]
    fn ask(
        &self,
        recorder: &Recorder,
        parent: SpanContext,
        trace_id: TraceId,
        random: bool,
        foresight: Foresight,
    ) -> (bool, TraceState, Content) {
        // Built here, so that neither need be in memory where nobody is asked.
        let question = Question {
            tracer: self.tracer,
            name: self.name,
            kind: self.kind,
            attributes: self.attributes,
            links: self.links,
            parent,
            trace_id,
            random,
            calmly: foresight == Foresight::AskCalmly,
        };
        question.ask(recorder)
    }
}

/// What a sampler is asked.
struct Question<'a> {
    tracer: &'a Tracer,
    name: &'a str,
    kind: SpanKind,
    attributes: &'a [KeyValue<'a>],
    links: &'a [Link<'a>],
    parent: SpanContext,
    trace_id: TraceId,
    random: bool,
    /// Whether the answer is known to cause no panic.
    calmly: bool,
}

impl Question<'_> {
    #[inline(never)]
    fn ask(self, recorder: &Recorder) -> (bool, TraceState, Content) {
        let sampler = self.tracer.sampler();
        let parent = self.parent.is_valid().then_some(&self.parent);
        let input = SamplingInput {
            parent,
            trace_id: self.trace_id,
            random: self.random,
            name: self.name,
            kind: self.kind,
            attributes: self.attributes,
            links: self.links,
            moment: if sampler.needs_moment() {
                recorder.moment()
            } else {
                Default::default()
            },
        };
        let mut said = Draft {
            recorder,
            content: Content::EMPTY,
        };
        let mut add = |attribute: KeyValue<'_>| {
            said.content
                .set_attribute(recorder.pages(), recorder.limits(), &attribute);
        };
        let sampling = if self.calmly {
            sampler.sample(&input, &mut add)
        } else {
            ask(sampler, &input, &mut add)
        };
        let state = match sampling.trace_state {
            TraceStateChange::Keep => {
                parent.map_or(TraceState::EMPTY, |parent| parent.trace_state().clone())
            }
            TraceStateChange::Replace(state) => state,
        };
        let sampled = sampling.decision == Decision::RecordAndSample;
        (sampled, state, said.finish())
    }
}

/// What is said of a span before it is born. Given back if it never is: values are made by the caller's code, which may
/// panic.
struct Draft<'r> {
    recorder: &'r Recorder,
    content: Content,
}

impl Draft<'_> {
    fn set_attributes(&mut self, attributes: &[KeyValue<'_>]) {
        let (pages, limits) = (self.recorder.pages(), self.recorder.limits());
        self.content.set_attributes(pages, limits, attributes);
    }

    #[cold]
    fn add_links(&mut self, links: &[Link<'_>]) {
        let (pages, limits) = (self.recorder.pages(), self.recorder.limits());
        for link in links {
            self.content.add_link(pages, limits, link);
        }
    }

    #[inline(always)]
    fn finish(mut self) -> Content {
        core::mem::replace(&mut self.content, Content::EMPTY)
    }
}

impl Drop for Draft<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.content.has_pages() {
            self.forget();
        }
    }
}

impl Draft<'_> {
    #[cold]
    fn forget(&mut self) {
        let pages = self.recorder.pages();
        crate::thread::with(|seat| self.content.release(pages, seat));
    }
}
/// A root that gives way.
#[cold]
fn thinned<'a>(recorder: &Recorder, trace_id: TraceId, span_id: SpanId, random: bool) -> Span<'a> {
    recorder.count_overload();
    let flags = TraceFlags::NONE.with_random(random);
    let state = TraceState::EMPTY;
    Span::unrecorded(SpanContext::new(trace_id, span_id, flags, false, state))
}

impl fmt::Debug for SpanBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanBuilder")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Asks a sampler; one that panics drops the span.
#[inline]
fn ask(
    sampler: &dyn Sampler,
    input: &SamplingInput<'_>,
    add: &mut dyn FnMut(KeyValue<'_>),
) -> Sampling {
    #[cfg(feature = "std")]
    {
        let ask = core::panic::AssertUnwindSafe(|| sampler.sample(input, add));
        std::panic::catch_unwind(ask).unwrap_or(Sampling::DROP)
    }
    #[cfg(not(feature = "std"))]
    sampler.sample(input, add)
}
