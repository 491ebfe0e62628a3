//! Answers that are known before the question.

use crate::context::SpanContext;

/// Which spans a question is about.
#[allow(
    unnameable_types,
    reason = "so that only samplers of this crate answer beforehand"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Root,
    RemoteNotSampled,
    RemoteSampled,
    LocalNotSampled,
    LocalSampled,
}

impl Case {
    pub(crate) const ALL: [Self; 5] = [
        Self::Root,
        Self::RemoteNotSampled,
        Self::RemoteSampled,
        Self::LocalNotSampled,
        Self::LocalSampled,
    ];

    /// The case of a child of this parent, which is valid.
    #[inline]
    pub(crate) const fn child(parent: &SpanContext) -> Self {
        match (parent.is_remote(), parent.is_sampled()) {
            (true, false) => Self::RemoteNotSampled,
            (true, true) => Self::RemoteSampled,
            (false, false) => Self::LocalNotSampled,
            (false, true) => Self::LocalSampled,
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
    /// All spans are sampled; nothing is added, and the trace state stays.
    Keep,
    /// No span is; the trace state stays.
    Drop,
    /// It depends, and is told by code of this crate alone, which does not panic.
    AskCalmly,
    /// It depends.
    Ask,
}
