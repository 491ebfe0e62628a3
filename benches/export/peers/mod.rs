//! One file a peer.

mod fastrace;
mod opentelemetry;
mod raw;
mod spanwire;

/// The ten keys of the specification's benchmark: twenty characters each.
const KEYS: [&str; 10] = [
    "attribute.number.000",
    "attribute.number.001",
    "attribute.number.002",
    "attribute.number.003",
    "attribute.number.004",
    "attribute.number.005",
    "attribute.number.006",
    "attribute.number.007",
    "attribute.number.008",
    "attribute.number.009",
];

/// The values: twenty characters each, known only at run time.
struct Values([String; 10]);

impl Default for Values {
    fn default() -> Self {
        Self(std::array::from_fn(|n| format!("value.of.number.{n:04}")))
    }
}

/// A tracing library that sends its spans to a server.
pub trait Peer: Sync {
    /// Makes and ends this many spans on the calling thread.
    fn record(&self, spans: usize);

    /// Sends what has not been sent; returns when it has given up on that or has an answer.
    fn flush(&self);

    /// Has spans that nothing else would send for a while sent soon.
    fn nudge(&self) {}

    /// Spans that it says it has lost, where it says anything.
    fn lost(&self) -> Option<u64> {
        None
    }
}

/// The peers, by the name they have in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Spanwire,
    OpenTelemetry,
    Fastrace,
    /// No spans: one request of encoded bytes, sent again and again.
    Raw,
}

impl Name {
    pub const ALL: [Self; 4] = [
        Self::Spanwire,
        Self::OpenTelemetry,
        Self::Fastrace,
        Self::Raw,
    ];

    /// Those that record spans.
    pub const LIBRARIES: [Self; 3] = [Self::Spanwire, Self::OpenTelemetry, Self::Fastrace];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Spanwire => "spanwire",
            Self::OpenTelemetry => "opentelemetry-otlp",
            Self::Fastrace => "fastrace-opentelemetry",
            Self::Raw => "raw tonic",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.word() == word)
    }

    /// How many spans may be made and not counted by the server before a producer that runs flat out waits: for the SDK
    /// the length of its default queue, which then never overflows; for Spanwire what fits well into its default 16 MiB.
    /// fastrace's queue has no end.
    pub const fn window(self) -> u64 {
        match self {
            Self::Spanwire => 8192,
            Self::OpenTelemetry => 2048,
            Self::Fastrace | Self::Raw => 65_536,
        }
    }

    /// Spans that are made between two looks at the window.
    pub const fn chunk(self) -> usize {
        match self {
            Self::Raw => 16_384,
            _ => 256,
        }
    }
}

/// Sets a peer up with its defaults. A process does this once: some of them are global.
pub fn build(name: Name, port: u16) -> &'static dyn Peer {
    let endpoint = format!("http://127.0.0.1:{port}");
    match name {
        Name::Spanwire => spanwire::build(&endpoint),
        Name::OpenTelemetry => opentelemetry::build(endpoint),
        Name::Fastrace => fastrace::build(endpoint),
        Name::Raw => raw::build(&endpoint),
    }
}
