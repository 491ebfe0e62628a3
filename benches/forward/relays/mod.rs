//! The process of one relay: says its port, and then what it has used, line by line.

mod naive;
mod spanwire;

pub use spanwire::MEMORY;

use std::io::{self, BufRead, Write};

use spanwire_benches::cpu::{self, Place};

use crate::ALLOCATOR;

/// The key and the value of the attribute that is put on the resource.
const CLUSTER: (&str, &str) = ("k8s.cluster.name", "cluster-of-the-benchmark");

/// Spans and milliseconds of a batch: the Collector's defaults.
const BATCH_SPANS: usize = 8192;
const BATCH_MILLIS: u64 = 200;

/// The relays, by the name they have in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Limiter and batcher.
    Spanwire,
    /// The same, and an attribute of the resource.
    SpanwireEdits,
    /// Structs in between.
    Naive,
    /// The same, and an attribute of the resource.
    NaiveEdits,
}

impl Name {
    pub const ALL: [Self; 4] = [
        Self::Spanwire,
        Self::SpanwireEdits,
        Self::Naive,
        Self::NaiveEdits,
    ];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Spanwire => "spanwire",
            Self::SpanwireEdits => "spanwire, resource",
            Self::Naive => "tonic + prost",
            Self::NaiveEdits => "tonic + prost, resource",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.word() == word)
    }

    /// Whether it puts an attribute on the resource.
    pub const fn edits(self) -> bool {
        matches!(self, Self::SpanwireEdits | Self::NaiveEdits)
    }
}

/// How both sides of a relay compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Plain,
    Gzip,
    Zstd,
}

impl Coding {
    pub const ALL: [Self; 3] = [Self::Plain, Self::Gzip, Self::Zstd];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|coding| coding.word() == word)
    }
}

/// Relays until standard input ends. Each line of it is answered with nanoseconds of processor time and heap allocations so
/// far.
pub fn run(name: Name, coding: Coding, to: u16) -> io::Result<()> {
    // Its threads inherit the place: the relay has one core, its client and its server the other.
    cpu::pin_this_thread(Place::Core(0));
    ALLOCATOR.watch(true);
    let to = format!("http://127.0.0.1:{to}");
    let port = match name {
        Name::Spanwire | Name::SpanwireEdits => spanwire::start(name, coding, &to),
        Name::Naive | Name::NaiveEdits => naive::start(name, coding, to)?,
    };
    println!("{port}");
    for line in io::stdin().lock().lines() {
        line?;
        println!("{} {}", cpu::process_nanos(), ALLOCATOR.all_threads().count);
        io::stdout().flush()?;
    }
    // Not by returning: a relay may wait for a server that is gone.
    std::process::exit(0);
}
