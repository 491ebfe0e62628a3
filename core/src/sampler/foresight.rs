//! Answers that are known before the question.

use crate::context::Marks;
use crate::id::TraceId;
#[cfg(feature = "alloc")]
use crate::sampler::Sampler;

/// Which spans a question is about.
#[allow(
    unnameable_types,
    reason = "so that only samplers of this crate answer beforehand"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Root,
    LocalNotSampled,
    LocalSampled,
    RemoteNotSampled,
    RemoteSampled,
}

impl Case {
    pub(crate) const ALL: [Self; 5] = [
        Self::Root,
        Self::LocalNotSampled,
        Self::LocalSampled,
        Self::RemoteNotSampled,
        Self::RemoteSampled,
    ];

    /// The case of a child of this parent; of a root, if it is none.
    #[inline(always)]
    pub(crate) const fn of(parent: Marks) -> Self {
        if !parent.is_valid() {
            return Self::Root;
        }
        match (parent.is_remote(), parent.flags().is_sampled()) {
            (false, false) => Self::LocalNotSampled,
            (false, true) => Self::LocalSampled,
            (true, false) => Self::RemoteNotSampled,
            (true, true) => Self::RemoteSampled,
        }
    }
}

/// What is known of a sampler's answers.
#[allow(
    unnameable_types,
    reason = "so that only samplers of this crate answer beforehand"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foresight {
    /// Sampled are the traces of which bytes 8 to 15 of the id, as a big-endian number without its lowest bit, are
    /// below this bound. Nothing is added, and the trace state stays.
    Below(u64),
    /// It depends, and is told by code of this crate alone, which does not panic.
    AskCalmly,
    /// It depends.
    Ask,
}

impl Foresight {
    /// All spans are sampled: no 63-bit number reaches the bound.
    pub(crate) const KEEP: Self = Self::Below(1 << 63);

    /// No span is.
    pub(crate) const DROP: Self = Self::Below(0);
}

/// What becomes of the children of a parent: one number, so that one look tells.
///
/// The greatest `trace_id.low64() >> 1` that is sampled, or a negative number: -1 where none is, others where more is to be
/// known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlook(i64);

impl Outlook {
    /// None is sampled, nor has a trace state, and its id is made by its thread.
    const BARREN: Self = Self(-3);

    /// No trace is sampled.
    const NONE: Self = Self(-1);

    /// The parent has a trace state, or its trace may have been thinned out, or the sampler is to be asked.
    const UNKNOWN: Self = Self(-2);

    /// Of a child of such a parent.
    #[cfg(feature = "alloc")]
    fn of(sampler: &dyn Sampler, thread_ids: bool, parent: Marks) -> Self {
        if parent.has_state() {
            return Self::UNKNOWN;
        }
        match sampler.foresee(Case::of(parent)) {
            Foresight::DROP if parent.is_valid() && thread_ids => Self::BARREN,
            Foresight::DROP => Self::NONE,
            // A bound of 2^63, which no number of 63 bits reaches, becomes the greatest of them.
            Foresight::Below(bound) if !parent.is_local_not_sampled() => {
                debug_assert!(bound <= 1 << 63, "a bound on numbers of 63 bits");
                Self(bound.cast_signed().wrapping_sub(1))
            }
            _ => Self::UNKNOWN,
        }
    }

    /// Whether nothing is recorded, whatever the trace.
    #[inline(always)]
    pub(crate) const fn is_barren(self) -> bool {
        self.0 == Self::BARREN.0
    }

    /// Whether a span of this trace is sampled, of which nothing else has to be known.
    #[inline(always)]
    pub(crate) const fn keeps(self, trace_id: TraceId) -> bool {
        (trace_id.low64() >> 1).cast_signed() <= self.0
    }

    /// Whether a span that is not kept, of a parent that is not barren, is not sampled, without a longer look.
    #[inline(always)]
    pub(crate) const fn drops(self) -> bool {
        self.0 > Self::UNKNOWN.0
    }
}

/// What becomes of the children of every parent there may be, by its marks.
#[derive(Clone, Debug)]
pub(crate) struct Outlooks([Outlook; Marks::COUNT]);

impl Outlooks {
    /// Of a sampler that is always asked.
    pub(crate) const UNKNOWN: Self = Self([Outlook::UNKNOWN; Marks::COUNT]);

    /// Of a sampler, for spans whose ids are made by their threads, or are not.
    #[cfg(feature = "alloc")]
    pub(crate) fn of(sampler: &dyn Sampler, thread_ids: bool) -> Self {
        Self(core::array::from_fn(|marks| {
            Outlook::of(sampler, thread_ids, Marks::from_index(marks))
        }))
    }

    /// Of a child of such a parent.
    #[inline(always)]
    pub(crate) const fn get(&self, parent: Marks) -> Outlook {
        self.0[parent.index()]
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::context::{Names, SpanContext, TraceFlags, TraceState};
    use crate::id::SpanId;
    use crate::sampler::{AlwaysOff, AlwaysOn, ParentBased, PerMillion};

    fn parent(sampled: bool, remote: bool) -> Marks {
        let flags = TraceFlags::NONE.with_sampled(sampled);
        let (trace, span) = (TraceId::new(1, 1), SpanId::new(1));
        let context = SpanContext::new(trace, span, flags, remote, TraceState::EMPTY);
        context.names().marks
    }

    #[test]
    fn an_outlook_says_what_the_sampler_would() {
        let greatest = TraceId::new(0, u64::MAX);
        let least = TraceId::new(1, 0);
        let on = Outlooks::of(&AlwaysOn, true);
        let off = Outlooks::of(&ParentBased::new(AlwaysOff), true);
        for (sampled, remote) in [(false, true), (true, false), (true, true)] {
            let outlook = on.get(parent(sampled, remote));
            assert!(outlook.keeps(greatest) && outlook.keeps(least) && !outlook.is_barren());
            let outlook = off.get(parent(sampled, remote));
            assert_eq!(outlook.keeps(greatest), sampled);
            assert_eq!(outlook.is_barren(), !sampled);
        }
        // A root may have been thinned out, and with it its trace.
        let outlook = on.get(parent(false, false));
        assert!(!outlook.keeps(least) && !outlook.drops() && !outlook.is_barren());
        let root = off.get(Names::NONE.marks);
        assert!(!root.keeps(least) && root.drops() && !root.is_barren());
        // A thread does not make the ids: what becomes of the spans is the same.
        let other_ids = Outlooks::of(&ParentBased::new(AlwaysOff), false);
        for remote in [false, true] {
            let outlook = other_ids.get(parent(false, remote));
            assert!(!outlook.is_barren() && !outlook.keeps(least) && outlook.drops());
        }
        let sampler = PerMillion::new(250_000).unwrap();
        let Foresight::Below(bound) = sampler.foresee(Case::Root) else {
            panic!("a share is foreseen");
        };
        let root = Outlooks::of(&sampler, true).get(Names::NONE.marks);
        assert!(root.keeps(TraceId::new(1, (bound - 1) << 1)));
        assert!(!root.keeps(TraceId::new(1, bound << 1)));
        assert!(!Outlooks::UNKNOWN.get(Names::NONE.marks).keeps(least));
    }
}
