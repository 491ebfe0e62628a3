//! Answers that are known before the question.

use crate::context::Marks;

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
