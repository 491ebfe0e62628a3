//! The span this thread is in.
//!
//! A thread holds a copy of the context of the span that was [entered](Span::enter) last. New spans are its children
//! unless they are told otherwise. No borrow of the thread's cell is held while a caller's code runs.

use core::cell::{Cell, RefCell};
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::thread_local;

use pin_project_lite::pin_project;

use crate::context::{Marks, Names, SpanContext, TraceState};
use crate::fork;
use crate::id::{SpanId, TraceId};
use crate::span::Span;

struct Current {
    // One by one: most starts look at the marks alone before the others.
    trace_id: Cell<TraceId>,
    span_id: Cell<SpanId>,
    marks: Cell<Marks>,
    /// How many guards ask for silence.
    suppressed: Cell<usize>,
}

impl Current {
    #[inline(always)]
    fn names(&self) -> Names {
        Names {
            trace_id: self.trace_id.get(),
            span_id: self.span_id.get(),
            marks: self.marks.get(),
        }
    }

    fn replace(&self, names: Names) -> Names {
        Names {
            trace_id: self.trace_id.replace(names.trace_id),
            span_id: self.span_id.replace(names.span_id),
            marks: self.marks.replace(names.marks),
        }
    }
}

thread_local! {
    // Needs no destructor, so a look at it is a few loads.
    static CURRENT: Current = const {
        Current {
            trace_id: Cell::new(TraceId::INVALID),
            span_id: Cell::new(SpanId::INVALID),
            marks: Cell::new(Names::NONE.marks),
            suppressed: Cell::new(0),
        }
    };
    static STATE: RefCell<TraceState> = const { RefCell::new(TraceState::EMPTY) };
}

#[cold]
fn state() -> TraceState {
    let state = STATE.try_with(|state| state.try_borrow().ok().map(|state| state.clone()));
    state.ok().flatten().unwrap_or(TraceState::EMPTY)
}

/// The context of the span this thread is in; an invalid one outside of any.
///
/// Also invalid while the thread is being torn down.
///
/// ```
/// use spanwire_core::current;
///
/// assert!(!current::context().is_valid());
/// ```
#[must_use]
#[inline]
pub fn context() -> SpanContext {
    let Ok(names) = CURRENT.try_with(Current::names) else {
        return SpanContext::INVALID;
    };
    names.with_state(if names.marks.has_state() {
        state()
    } else {
        TraceState::EMPTY
    })
}

/// The names of the span this thread is in; those of no span outside of any.
#[inline(always)]
pub(crate) fn names() -> Names {
    CURRENT.try_with(Current::names).unwrap_or(Names::NONE)
}

/// The marks of the span this thread is in; those of no span outside of any.
#[inline(always)]
pub(crate) fn marks() -> Marks {
    let marks = CURRENT.try_with(|current| current.marks.get());
    marks.unwrap_or(Names::NONE.marks)
}

/// The trace of the span this thread is in; an invalid one outside of any.
#[inline(always)]
pub(crate) fn trace_id() -> TraceId {
    let trace_id = CURRENT.try_with(|current| current.trace_id.get());
    trace_id.unwrap_or(TraceId::INVALID)
}

/// Makes this context the current one; returns the one before.
fn replace(context: SpanContext) -> SpanContext {
    let names = context.names();
    let Ok(before) = CURRENT.try_with(|current| current.replace(names)) else {
        return SpanContext::INVALID;
    };
    let mut state = TraceState::EMPTY;
    if names.marks.has_state() || before.marks.has_state() {
        state = replace_state(context.trace_state().clone());
    }
    before.with_state(state)
}

#[cold]
fn replace_state(state: TraceState) -> TraceState {
    let before = STATE.try_with(|place| match place.try_borrow_mut() {
        Ok(mut place) => core::mem::replace(&mut *place, state),
        Err(_) => TraceState::EMPTY,
    });
    before.unwrap_or(TraceState::EMPTY)
}

/// Makes this context the current one of this thread until the guard is dropped.
///
/// An invalid context is that of no span, whatever else it holds. Guards are dropped in the reverse order of their making,
/// as scopes do; also by a panic. One that is dropped out of order restores what it replaced.
pub fn enter(context: SpanContext) -> Entered {
    Entered {
        previous: Some(replace(context)),
        _stays: PhantomData,
    }
}

/// Keeps a span current; restores the one before when dropped.
#[must_use = "dropping the guard leaves the span at once"]
#[derive(Debug)]
pub struct Entered {
    previous: Option<SpanContext>,
    /// The guard restores the cell of the thread it was made on.
    _stays: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(previous) = self.previous.take() {
            drop(replace(previous));
        }
    }
}

impl Span<'_> {
    /// Makes this span the current one of this thread until the guard is dropped. The span may end before.
    ///
    /// ```
    /// use spanwire_core::current;
    /// use spanwire_core::context::SpanContext;
    /// use spanwire_core::span::Span;
    ///
    /// let span = Span::unrecorded(SpanContext::INVALID);
    /// let entered = span.enter();
    /// assert_eq!(&current::context(), span.context());
    /// drop(entered);
    /// ```
    pub fn enter(&self) -> Entered {
        enter(self.context().clone())
    }

    /// Runs `run` with this span as the current one.
    pub fn in_scope<R>(&self, run: impl FnOnce() -> R) -> R {
        let _entered = self.enter();
        run()
    }
}

/// Silences this thread until the guard is dropped: spans that are started are not recorded, and have no context.
///
/// For threads that carry spans away, so that a pipeline never traces itself.
pub fn suppress() -> Suppressed {
    let _ = CURRENT.try_with(|current| {
        current
            .suppressed
            .set(current.suppressed.get().saturating_add(1))
    });
    // So that the next span that starts asks whether there is silence; while there is, the thread does not become ready.
    fork::make_unready();
    Suppressed {
        _stays: PhantomData,
    }
}

/// Whether this thread is silenced.
#[must_use]
#[inline]
pub fn is_suppressed() -> bool {
    CURRENT
        .try_with(|current| current.suppressed.get() > 0)
        .unwrap_or(false)
}

/// Keeps a thread silent until it is dropped.
#[must_use = "dropping the guard ends the silence at once"]
#[derive(Debug)]
pub struct Suppressed {
    _stays: PhantomData<*const ()>,
}

impl Drop for Suppressed {
    fn drop(&mut self) {
        let _ = CURRENT.try_with(|current| {
            current
                .suppressed
                .set(current.suppressed.get().saturating_sub(1))
        });
    }
}

pin_project! {
    /// A future that is in a span whenever it is polled. Made by [`InSpan::in_span`].
    ///
    /// The span ends when the future has finished, or is dropped.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Traced<'a, F> {
        #[pin]
        future: F,
        span: Option<Span<'a>>,
    }
}

impl<'a, F> Traced<'a, F> {
    /// The span, until the future has finished.
    #[must_use]
    pub fn span(&self) -> Option<&Span<'a>> {
        self.span.as_ref()
    }
}

impl<F: Future> Future for Traced<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let entered = this.span.as_ref().map(Span::enter);
        let poll = this.future.poll(context);
        drop(entered);
        if poll.is_ready() {
            *this.span = None;
        }
        poll
    }
}

/// Puts futures into spans.
///
/// ```
/// use spanwire_core::context::SpanContext;
/// use spanwire_core::current::{self, InSpan};
/// use spanwire_core::span::Span;
///
/// let span = Span::unrecorded(SpanContext::INVALID);
/// let work = async { current::context() }.in_span(span);
/// # let _ = work;
/// ```
pub trait InSpan: Future + Sized {
    /// This future, in `span` whenever it is polled. The span ends when the future has finished, or is dropped.
    fn in_span(self, span: Span<'_>) -> Traced<'_, Self> {
        Traced {
            future: self,
            span: Some(span),
        }
    }
}

impl<F: Future> InSpan for F {}
