//! What the orchestrator asks of a worker: a line of words.

use std::fmt;

use crate::peer::Shape;

/// Where the threads run while a batch is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Producer and drain take turns on one core: the drain is idle while the producer's clock runs.
    Apart,
    /// The drain has a core of its own and runs at the same time.
    Beside,
    /// The scheduler decides.
    Free,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Apart, Self::Beside, Self::Free];

    const fn word(self) -> &'static str {
        match self {
            Self::Apart => "apart",
            Self::Beside => "beside",
            Self::Free => "free",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Time {
        shape: Shape,
        threads: usize,
        mode: Mode,
        spans: usize,
        batches: usize,
    },
    Allocations {
        shape: Shape,
        spans: usize,
    },
    Flood {
        shape: Shape,
        threads: usize,
        millis: u64,
    },
    HandOver {
        spans: usize,
    },
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time {
                shape,
                threads,
                mode,
                spans,
                batches,
            } => write!(
                f,
                "time {} {threads} {} {spans} {batches}",
                shape.word(),
                mode.word()
            ),
            Self::Allocations { shape, spans } => write!(f, "allocations {} {spans}", shape.word()),
            Self::Flood {
                shape,
                threads,
                millis,
            } => write!(f, "flood {} {threads} {millis}", shape.word()),
            Self::HandOver { spans } => write!(f, "handover {spans}"),
        }
    }
}

impl Request {
    pub fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(match words[..] {
            ["time", shape, threads, mode, spans, batches] => Self::Time {
                shape: Shape::from_word(shape)?,
                threads: threads.parse().ok()?,
                mode: Mode::ALL.into_iter().find(|known| known.word() == mode)?,
                spans: spans.parse().ok()?,
                batches: batches.parse().ok()?,
            },
            ["allocations", shape, spans] => Self::Allocations {
                shape: Shape::from_word(shape)?,
                spans: spans.parse().ok()?,
            },
            ["flood", shape, threads, millis] => Self::Flood {
                shape: Shape::from_word(shape)?,
                threads: threads.parse().ok()?,
                millis: millis.parse().ok()?,
            },
            ["handover", spans] => Self::HandOver {
                spans: spans.parse().ok()?,
            },
            _ => return None,
        })
    }
}
