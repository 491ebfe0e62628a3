//! Exporters with bad habits: what a sink does with the batch it has just been given.

use std::time::Duration;

use spanwire_core::exporter::Outcome;

use crate::rng::Rng;

/// What a sink does when it is handed a batch.
#[derive(Debug)]
pub(crate) enum Habit {
    /// Lets go of the batch and answers after a while; at once for zero.
    Answer { after: Duration, outcome: Outcome },
    /// Answers at once, and keeps the batch for a while.
    KeepBatch { for_: Duration, outcome: Outcome },
    /// Drops the reply without an answer, at once or after a while.
    SayNothing { after: Duration },
    /// Keeps batch and reply for ever.
    Hang,
    /// Panics; the reply is dropped on the way out.
    Panic,
    /// Panics after it has handed the reply to somebody who answers later.
    PanicAndAnswer { after: Duration },
    /// Answers, then panics.
    AnswerAndPanic { outcome: Outcome },
    /// Answers twice: by the reply, and by the side door; some keep the batch for a second.
    AnswerTwice {
        first: Outcome,
        second: Outcome,
        keeps: bool,
    },
}

/// The temper of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// Answers well, at once.
    Fast,
    /// Answers well, after up to a minute; the timeout may be shorter.
    Slow,
    /// Asks to try again.
    Refusing,
    /// Refuses for good.
    Rejecting,
    /// Takes a part.
    Partial,
    /// Panics in all ways.
    Panicking,
    /// Says nothing, for ever.
    Silent,
    /// Drops replies.
    Forgetful,
    /// Takes little at a time.
    Small { limit: usize, hints: bool },
    /// Answers twice.
    Twice,
    /// A little of everything.
    Moody,
}

impl Temper {
    pub(crate) fn any(rng: &mut Rng) -> Self {
        match rng.below(12) {
            0 => Self::Slow,
            1 => Self::Refusing,
            2 => Self::Rejecting,
            3 => Self::Partial,
            4 => Self::Panicking,
            5 => Self::Silent,
            6 => Self::Forgetful,
            7 => Self::Small {
                limit: rng.between(40, 2000) as usize,
                hints: rng.one_in(2),
            },
            8 => Self::Twice,
            9 => Self::Moody,
            _ => Self::Fast,
        }
    }

    pub(crate) fn habit(self, rng: &mut Rng, encoded_len: usize, spans: usize) -> Habit {
        let a_while = Duration::from_millis(rng.below(60_000));
        let answer = |outcome| Habit::Answer {
            after: Duration::ZERO,
            outcome,
        };
        let retry = |rng: &mut Rng| Outcome::Retry {
            after: rng
                .one_in(3)
                .then(|| Duration::from_millis(rng.below(50_000))),
            possibly_stored: rng.one_in(3),
            reason: "busy".into(),
        };
        match self {
            Self::Fast => answer(Outcome::Exported),
            Self::Slow if rng.one_in(3) => Habit::KeepBatch {
                for_: a_while,
                outcome: Outcome::Exported,
            },
            Self::Slow => Habit::Answer {
                after: a_while,
                outcome: Outcome::Exported,
            },
            Self::Refusing if rng.one_in(4) => Habit::KeepBatch {
                for_: a_while,
                outcome: retry(rng),
            },
            Self::Refusing if rng.one_in(3) => answer(Outcome::Exported),
            Self::Refusing => Habit::Answer {
                after: if rng.one_in(2) {
                    a_while
                } else {
                    Duration::ZERO
                },
                outcome: retry(rng),
            },
            Self::Rejecting => answer(Outcome::rejected("permission denied")),
            Self::Partial => answer(Outcome::Partial {
                rejected: rng.below(2 * spans as u64 + 1),
                message: "some were bad".into(),
            }),
            Self::Panicking => match rng.below(4) {
                0 => Habit::Panic,
                1 => Habit::PanicAndAnswer { after: a_while },
                2 => Habit::AnswerAndPanic {
                    outcome: Outcome::Exported,
                },
                _ => answer(Outcome::Exported),
            },
            Self::Silent => Habit::Hang,
            Self::Forgetful => Habit::SayNothing {
                after: if rng.one_in(2) {
                    a_while
                } else {
                    Duration::ZERO
                },
            },
            Self::Small { limit, hints } if encoded_len > limit => answer(Outcome::TooLarge {
                limit: hints.then_some(limit),
            }),
            Self::Small { .. } => answer(Outcome::Exported),
            Self::Twice => Habit::AnswerTwice {
                first: if rng.one_in(2) {
                    Outcome::Exported
                } else {
                    retry(rng)
                },
                second: Outcome::Exported,
                keeps: rng.one_in(2),
            },
            Self::Moody => Self::any(rng).habit_once(rng, encoded_len, spans),
        }
    }

    fn habit_once(self, rng: &mut Rng, encoded_len: usize, spans: usize) -> Habit {
        let temper = if self == Self::Moody {
            Self::Fast
        } else {
            self
        };
        temper.habit(rng, encoded_len, spans)
    }
}
