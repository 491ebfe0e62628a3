//! What is compared, and what it is asked to do.

use spanwire_benches::payload::Attributes;

/// Spans in a family: one root and its children.
pub const FAMILY: usize = 101;

/// The spans of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Roots without attributes or events.
    Bare,
    /// Roots with these attributes and one event.
    Root(Attributes),
    /// A bare root and a hundred bare children of it, again and again. The cost is per span, over all of them.
    Family,
}

impl Shape {
    pub const ALL: [Self; 5] = [
        Self::Bare,
        Self::Root(Attributes::Zero),
        Self::Root(Attributes::Four),
        Self::Root(Attributes::Ten),
        Self::Family,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare root",
            Self::Root(Attributes::Zero) => "root, 0 attributes",
            Self::Root(Attributes::Four) => "root, 4 attributes",
            Self::Root(Attributes::Ten) => "root, 10 attributes",
            Self::Family => "bare child",
        }
    }

    /// The word for it between processes.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Root(Attributes::Zero) => "root0",
            Self::Root(Attributes::Four) => "root4",
            Self::Root(Attributes::Ten) => "root10",
            Self::Family => "family",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.word() == word)
    }
}

/// What becomes of the spans of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing was set up to receive them.
    NoPipeline,
    /// The sampler says no.
    NotSampled,
    /// They reach an exporter that throws them away.
    Recorded,
    /// They reach an exporter that has made the bytes of the request, and throws those away.
    Encoded,
    /// The queue is full and nobody reads it.
    Full,
}

impl Fate {
    pub const ALL: [Self; 5] = [
        Self::NoPipeline,
        Self::NotSampled,
        Self::Recorded,
        Self::Encoded,
        Self::Full,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::NoPipeline => "no pipeline",
            Self::NotSampled => "not sampled",
            Self::Recorded => "recorded",
            Self::Encoded => "recorded and encoded",
            Self::Full => "ring full",
        }
    }

    /// The word for it between processes.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoPipeline => "none",
            Self::NotSampled => "off",
            Self::Recorded => "on",
            Self::Encoded => "encoded",
            Self::Full => "full",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fate| fate.word() == word)
    }
}

/// A tracing library, set up for one fate.
pub trait Peer: Sync {
    /// Makes and ends this many spans of this shape on the calling thread.
    fn record(&self, shape: Shape, spans: usize);

    /// Returns when every span that ended before the call has reached the end of its road.
    fn drain(&self);

    /// Spans that reached it since the start.
    fn delivered(&self) -> u64;

    /// Starts spans with four attributes on one thread and ends them on another: some to warm everything up, then
    /// `warm` is called, then `spans` more. Returns what these two threads have allocated since. None when the peer
    /// was not taught to.
    fn hand_over(&self, spans: usize, warm: &dyn Fn()) -> Option<u64> {
        let _ = (spans, warm);
        None
    }
}

/// The peers, by the name they have in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Spanwire,
    Floor,
    OpenTelemetry,
    Fastrace,
    Tracing,
}

impl Name {
    pub const ALL: [Self; 5] = [
        Self::Spanwire,
        Self::Floor,
        Self::OpenTelemetry,
        Self::Fastrace,
        Self::Tracing,
    ];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Spanwire => "spanwire",
            Self::Floor => "floor",
            Self::OpenTelemetry => "opentelemetry_sdk",
            Self::Fastrace => "fastrace",
            Self::Tracing => "tracing-opentelemetry",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.word() == word)
    }

    /// Whether the peer knows this fate: fastrace's queue has no end, so it is never full; the floor has only one.
    pub const fn knows(self, fate: Fate) -> bool {
        match self {
            Self::OpenTelemetry => true,
            Self::Spanwire | Self::Tracing => !matches!(fate, Fate::Encoded),
            Self::Fastrace => !matches!(fate, Fate::Encoded | Fate::Full),
            Self::Floor => matches!(fate, Fate::Recorded),
        }
    }
}
