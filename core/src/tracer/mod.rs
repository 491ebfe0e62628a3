//! Tracers: what starts spans.

use core::fmt;

use crate::attribute::KeyValue;
use crate::clock::Timestamp;
use crate::context::{Link, Marks, Names, SpanContext, TraceFlags, TraceState};
use crate::id::SpanId;
#[cfg(feature = "std")]
use crate::id::TraceId;
use crate::recorder::{Origin, Recorder};
use crate::resource::ScopeHeader;
use crate::sampler::{
    Case, Decision, Foresight, Outlooks, Sampler, Sampling, SamplingInput, TraceStateChange,
};
use crate::span::{Content, OriginRef, Span, Start};
use crate::wire::SpanKind;

#[cfg(feature = "std")]
mod reborn;
#[cfg(all(test, feature = "std", not(spanwire_loom)))]
mod tests;

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
    /// Where its spans come from, in the process that made it.
    origin: Origin,
    /// The same for spans that outlive the tracer, and where those of forked children come from. `None` in a `static`.
    #[cfg(feature = "alloc")]
    shared: Option<Shared>,
    sampler: SamplerRef,
    /// What the sampler will say, for each case.
    foresight: [Foresight; Case::ALL.len()],
    /// What becomes of a child, by its parent's marks. Where that is not enough, the foresight is asked.
    outlooks: Outlooks,
    /// The process of the origin that it was made with. In a forked child that is another, and every start looks for its
    /// origin.
    #[cfg(feature = "std")]
    generation: usize,
}

#[cfg(feature = "std")]
use self::reborn::Origins as Shared;
#[cfg(all(feature = "alloc", not(feature = "std")))]
type Shared = alloc::sync::Arc<Origin>;

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
            origin: Origin::fixed(recorder, number, scope.as_bytes()),
            #[cfg(feature = "alloc")]
            shared: None,
            sampler: SamplerRef::Static(sampler),
            foresight: [Foresight::Ask; Case::ALL.len()],
            outlooks: Outlooks::UNKNOWN,
            #[cfg(feature = "std")]
            generation: recorder.generation(),
        }
    }

    /// Starts a span: a child of the span that this thread is in; a root outside of any, and without `std`.
    #[inline(always)]
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
    fn origin(&self) -> Option<&Origin> {
        #[cfg(feature = "std")]
        if !crate::fork::is_ready_in(self.generation) {
            return self.find_origin();
        }
        Some(&self.origin)
    }

    /// The same where the thread is not ready, or runs in a forked child. `None` also where it is silenced.
    #[cfg(feature = "std")]
    #[cold]
    #[inline(never)]
    fn find_origin(&self) -> Option<&Origin> {
        // Asked first: what makes the origin of a forked child is the caller's code, and may start spans.
        if crate::current::is_suppressed() {
            return None;
        }
        let origin = match &self.shared {
            None => Some(&self.origin).filter(|origin| origin.is_of_this_process()),
            Some(origins) => origins.get().map(|origin| &**origin),
        };
        if origin.is_some() {
            crate::random::seed_thread();
            crate::fork::make_ready();
        }
        origin
    }

    /// The same as `origin`, which this tracer gave out, for a span that outlives the tracer.
    #[cfg(feature = "alloc")]
    fn share(&self, origin: &Origin) -> OriginRef<'static> {
        #[cfg(feature = "std")]
        let shared = self.shared.as_ref().and_then(Shared::get);
        #[cfg(not(feature = "std"))]
        let shared = self.shared.as_ref();
        // A tracer in a `static` is shared by copying its few words.
        let copy = || alloc::sync::Arc::new(origin.duplicate());
        OriginRef::Shared(shared.cloned().unwrap_or_else(copy))
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

    use super::{Outlooks, SamplerRef, Tracer};
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
            let origin = Origin::shared(recorder, number, scope.bytes().clone());
            let shared = Arc::new(origin.duplicate());
            #[cfg(feature = "std")]
            let shared = super::Shared::new(shared, None);
            Self {
                foresight: super::foresee(&*sampler),
                outlooks: Outlooks::of(&*sampler, origin.recorder().has_thread_ids()),
                #[cfg(feature = "std")]
                generation: origin.recorder().generation(),
                origin,
                shared: Some(shared),
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
            origin: origin.duplicate(),
            generation: origin.recorder().generation(),
            foresight: foresee(&*sampler),
            outlooks: Outlooks::of(&*sampler, origin.recorder().has_thread_ids()),
            shared: Some(Shared::new(origin, Some(rebuild))),
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
    ///
    /// A value among its attributes whose `Display` panics goes on panicking here: the span was not started, and is not
    /// counted.
    #[inline(always)]
    pub fn start(self) -> Span<'a> {
        self.begin(|_, origin| OriginRef::Borrowed(origin))
    }

    /// Starts a span that borrows nothing. The name is copied.
    #[cfg(feature = "alloc")]
    pub fn start_owned(self) -> crate::span::OwnedSpan {
        let share: Hold<'a> = |tracer, origin| tracer.share(origin);
        self.begin(share).into_owned()
    }

    // Inlined all the way, and straight: a span is built where its owner wants it, of numbers that stay in registers.
    // What few spans need takes the other way.
    #[inline(always)]
    fn begin(self, hold: Hold<'a>) -> Span<'a> {
        let marks = self.parent_marks();
        let Some(origin) = self.tracer.origin() else {
            return Span::unrecorded(self.again().orphan_context());
        };
        let recorder = origin.recorder();
        let outlook = self.tracer.outlooks.get(marks);
        #[cfg(feature = "std")]
        if outlook.is_barren() {
            let span_id = crate::random::ThreadIds.seeded_span_id();
            let flags = marks.flags().with_sampled(false);
            recorder.count_not_sampled();
            let names = Names::new(self.parent_trace_id(), span_id, flags);
            return Span::unrecorded(names.stateless());
        }
        let parent = self.parent_names();
        let long_way = |names| {
            self.again()
                .begin_as_told(origin, hold, names, parent.marks)
        };
        // Before anything is held or counted: a source of ids is the caller's code, and may panic.
        let names = if parent.marks.is_valid() {
            let flags = parent.marks.flags().with_sampled(false);
            Names::new(parent.trace_id, recorder.new_span_id(), flags)
        } else {
            let (trace_id, span_id, random) = recorder.new_root();
            let flags = TraceFlags::NONE.with_random(random);
            let names = Names::new(trace_id, span_id, flags);
            if recorder.thins(trace_id) {
                recorder.count_overload();
                return Span::unrecorded(names.stateless());
            }
            names
        };
        if !outlook.keeps(names.trace_id) {
            if outlook.drops() {
                recorder.count_not_sampled();
                return Span::unrecorded(names.stateless());
            }
            return long_way(names);
        }
        let Some(watch) = recorder.start_anchored() else {
            return long_way(names);
        };
        let start = Start {
            name: self.name,
            kind: self.kind,
            parent: parent.span_id,
            parent_is_remote: parent.marks.is_remote(),
            started: self.started,
            watch,
        };
        let context = names.with_sampled(true).stateless();
        let origin = hold(self.tracer, origin);
        // A draft has a destructor, and so is in memory: a span of which nothing is said yet goes without.
        if self.attributes.is_empty() && self.links.is_empty() {
            recorder.count_started();
            return Span::recorded(context, origin, start, recorder.limits(), Content::EMPTY);
        }
        let mut said = Draft {
            recorder,
            content: Content::EMPTY,
        };
        said.tell(self.attributes, self.links);
        recorder.count_started();
        Span::recorded(context, origin, start, recorder.limits(), said.finish())
    }

    /// The same description, elsewhere: one that is passed on in memory is in memory from the start.
    #[inline(always)]
    const fn again(&self) -> Self {
        Self {
            tracer: self.tracer,
            name: self.name,
            kind: self.kind,
            parent: self.parent,
            attributes: self.attributes,
            links: self.links,
            started: self.started,
        }
    }

    /// Begins a span of which the outlook does not say enough, or whose clock is not read the short way.
    #[inline(never)]
    fn begin_as_told(
        &self,
        origin: &'a Origin,
        hold: Hold<'a>,
        names: Names,
        marks: Marks,
    ) -> Span<'a> {
        let recorder = origin.recorder();
        let parent = self.parent_context();
        let parent = Some(&parent).filter(|parent| parent.is_valid());
        let inherited = || parent.map_or(TraceState::EMPTY, |parent| parent.trace_state().clone());
        if marks.is_local_not_sampled() && recorder.thins(names.trace_id) {
            // Its root may have been thinned out: a sampler that does not look at its parent would keep a piece of the trace.
            recorder.count_overload();
            return Span::unrecorded(names.with_state(inherited()));
        }
        let foresight = self.tracer.foresight(Case::of(marks));
        let mut said = Draft {
            recorder,
            content: Content::EMPTY,
        };
        let (sampled, state) = if let Foresight::Below(bound) = foresight {
            (names.trace_id.low64() >> 1 < bound, inherited())
        } else {
            let sampling = self.ask(&mut said, parent, &names, foresight);
            let state = match sampling.trace_state {
                TraceStateChange::Keep => inherited(),
                TraceStateChange::Replace(state) => state,
            };
            (sampling.decision == Decision::RecordAndSample, state)
        };
        let context = names.with_sampled(sampled).with_state(state);
        if !sampled {
            recorder.count_not_sampled();
            return Span::unrecorded(context);
        }
        let start = Start {
            name: self.name,
            kind: self.kind,
            parent: parent.map_or(SpanId::INVALID, SpanContext::span_id),
            parent_is_remote: parent.is_some_and(SpanContext::is_remote),
            started: self.started,
            watch: recorder.start(),
        };
        said.tell(self.attributes, self.links);
        recorder.count_started();
        let (origin, limits) = (hold(self.tracer, origin), recorder.limits());
        Span::recorded(context, origin, start, limits, said.finish())
    }

    /// Asks the sampler; what it says of the span goes to `said`.
    fn ask(
        self,
        said: &mut Draft<'_>,
        parent: Option<&SpanContext>,
        names: &Names,
        foresight: Foresight,
    ) -> Sampling {
        let sampler = self.tracer.sampler();
        let input = SamplingInput {
            parent,
            trace_id: names.trace_id,
            random: names.marks.flags().is_random(),
            name: self.name,
            kind: self.kind,
            attributes: self.attributes,
            links: self.links,
            moment: if sampler.needs_moment() {
                said.recorder.moment()
            } else {
                Default::default()
            },
        };
        let Draft { recorder, content } = said;
        let mut add = |attribute: KeyValue<'_>| {
            content.set_attribute(recorder.pages(), recorder.limits(), &attribute);
        };
        if foresight == Foresight::AskCalmly {
            sampler.sample(&input, &mut add)
        } else {
            ask(sampler, &input, &mut add)
        }
    }

    /// The marks among its names.
    #[inline(always)]
    fn parent_marks(self) -> Marks {
        match self.parent {
            #[cfg(feature = "std")]
            Parent::Current => crate::current::marks(),
            _ => self.parent_names().marks,
        }
    }

    /// The trace among its names.
    #[cfg(feature = "std")]
    #[inline(always)]
    fn parent_trace_id(self) -> TraceId {
        match self.parent {
            Parent::Current => crate::current::trace_id(),
            _ => self.parent_names().trace_id,
        }
    }

    /// The parent's names, those of no span for a root.
    #[inline(always)]
    fn parent_names(self) -> Names {
        match self.parent {
            #[cfg(feature = "std")]
            Parent::Current => crate::current::names(),
            Parent::Context(parent) => parent.names(),
            _ => Names::NONE,
        }
    }

    /// The context of a span that has no origin: its parent's, or an invalid one where the thread is silenced.
    #[cold]
    #[inline(never)]
    fn orphan_context(self) -> SpanContext {
        #[cfg(feature = "std")]
        if crate::current::is_suppressed() {
            return SpanContext::INVALID;
        }
        self.parent_context()
    }

    /// The parent's context, an invalid one for a root.
    #[inline(never)]
    fn parent_context(self) -> SpanContext {
        match self.parent {
            #[cfg(feature = "std")]
            Parent::Current => crate::current::context(),
            Parent::Context(parent) => parent.clone(),
            _ => SpanContext::INVALID,
        }
    }
}

/// How a span holds on to the origin that its tracer gave out.
type Hold<'a> = fn(&'a Tracer, &'a Origin) -> OriginRef<'a>;

/// What is said of a span before it is born. Given back if it never is: values are made by the caller's code, which may
/// panic.
struct Draft<'r> {
    recorder: &'r Recorder,
    content: Content,
}

impl Draft<'_> {
    #[inline(always)]
    fn tell(&mut self, attributes: &[KeyValue<'_>], links: &[Link<'_>]) {
        let (pages, limits) = (self.recorder.pages(), self.recorder.limits());
        if !attributes.is_empty() {
            self.content.start_with(pages, limits, attributes);
        }
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
