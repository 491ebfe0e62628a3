//! A share of the traces, after the spans have ended.

use super::rewrite::{Fate, Rewrite, rewrite};
use super::{Edit, Later, Processor};
use crate::batch::{Record, Segment, payload_of};
use crate::context::TraceState;
use crate::limiter::Buffer;
use crate::sampler::ot::{self, Entry};
use crate::sampler::{InvalidRatio, Probability, Threshold, TraceStateChange};
use crate::wire::encode::{self, Put};
use crate::wire::field;
use crate::wire::raw::{Field, Fields};
use crate::wire::view::Span;

/// Keeps a share of the traces and counts the other spans as filtered: the OpenTelemetry Collector's
/// `probabilistic_sampler` in its modes `equalizing` and `proportional`.
///
/// A trace is kept when its 56 bits of randomness (the `rv` item of the span's trace state, or the low 7 bytes of its
/// trace id) are not below a threshold. Every stage that goes by this rule keeps the same traces, so traces stay whole
/// across processes; and the threshold, written into the span's trace state as the item `th`, tells how many spans the
/// kept one stands for. It never falls on the way. A trace state that is not well-formed stays as it is, and counts as
/// empty; so does one that would grow beyond its limits, without its `th`.
///
/// A segment that loses some of its spans, or in which a trace state changes, is copied as by a
/// [`FilterProcessor`](super::FilterProcessor).
///
/// ```
/// use spanwire_core::processor::{Processor, ProbabilisticSampler};
///
/// let sampler = ProbabilisticSampler::equalizing(0.1)?;
/// assert_eq!(sampler.name(), "probabilistic_sampler");
/// assert!(ProbabilisticSampler::equalizing(1.1).is_err());
/// # Ok::<(), spanwire_core::sampler::InvalidRatio>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProbabilisticSampler {
    mode: Mode,
    ratio: f64,
    precision: u8,
    /// The threshold of the ratio; `None` keeps nothing.
    threshold: Option<Threshold>,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Equalizing,
    Proportional,
}

impl ProbabilisticSampler {
    /// Thins all traces to this share of what there was at the beginning. Spans that were thinned further on their way
    /// pass as they are.
    ///
    /// # Errors
    ///
    /// [`InvalidRatio`] unless `ratio` is 0 or from 2^-56 to 1. With 0 nothing is kept.
    pub fn equalizing(ratio: f64) -> Result<Self, InvalidRatio> {
        Self::new(Mode::Equalizing, ratio)
    }

    /// Keeps this share of what comes in, whatever was kept of it before.
    ///
    /// # Errors
    ///
    /// As [`equalizing`](Self::equalizing).
    pub fn proportional(ratio: f64) -> Result<Self, InvalidRatio> {
        Self::new(Mode::Proportional, ratio)
    }

    /// Writes thresholds of so many significant hexadecimal digits: 1 to 14, clamped to it. Default: 4, as the
    /// Collector's `sampling_precision`.
    #[must_use]
    pub fn with_precision(self, digits: u8) -> Self {
        Self {
            precision: digits,
            threshold: Threshold::from_ratio(self.ratio, digits),
            ..self
        }
    }

    fn new(mode: Mode, ratio: f64) -> Result<Self, InvalidRatio> {
        // The same ratios are valid as for the sampler at the head of a trace.
        let ratio = Probability::new(ratio)?.ratio();
        let sampler = Self {
            mode,
            ratio,
            precision: 0,
            threshold: None,
        };
        Ok(sampler.with_precision(4))
    }

    fn verdict(&self, span: &Span<'_>) -> Verdict {
        let state = TraceState::parse(span.trace_state());
        let entry = state.as_ref().map(Entry::of).unwrap_or_default();
        let before = entry.threshold.unwrap_or(Threshold::ALWAYS);
        let threshold = match self.mode {
            Mode::Equalizing if self.threshold.is_some_and(|threshold| before > threshold) => {
                return Verdict::Keep;
            }
            Mode::Equalizing => self.threshold,
            Mode::Proportional => {
                let share = self.ratio * before.probability();
                // Rounding must not let it fall.
                Threshold::from_ratio(share, self.precision).map(|threshold| threshold.max(before))
            }
        };
        let randomness = entry
            .randomness
            .unwrap_or_else(|| span.trace_id().randomness());
        let Some(threshold) = threshold.filter(|threshold| threshold.keeps(randomness)) else {
            return Verdict::Leave;
        };
        let change = state.map(|state| ot::set_threshold(&state, &state, Some(threshold)));
        match change {
            Ok(TraceStateChange::Replace(state)) => Verdict::Write(state),
            Ok(TraceStateChange::Keep) | Err(_) => Verdict::Keep,
        }
    }
}

enum Verdict {
    Keep,
    Leave,
    Write(TraceState),
}

impl Processor for ProbabilisticSampler {
    fn name(&self) -> &str {
        "probabilistic_sampler"
    }

    fn process(&mut self, segment: Segment, edit: &mut Edit<'_>) -> Result<(), Later> {
        rewrite(self, segment, edit)
    }
}

impl Rewrite for ProbabilisticSampler {
    fn fate(&self, _: &Segment, _: &Record<'_>, span: &[u8]) -> Fate {
        match self.verdict(&Span::new(span)) {
            Verdict::Keep => Fate::Keep,
            Verdict::Leave => Fate::Leave,
            Verdict::Write(state) => {
                let others: usize = others(span).map(|field| field.record.len()).sum();
                Fate::Write(others + state_len(&state))
            }
        }
    }

    fn write(&self, span: &[u8], out: &mut Buffer) {
        others(span).for_each(|field| out.put(field.record));
        if let Verdict::Write(state) = self.verdict(&Span::new(span))
            && !state.is_empty()
        {
            encode::write_len_field(out, field::span::TRACE_STATE, state.as_str().as_bytes());
        }
    }
}

fn others(span: &[u8]) -> impl Iterator<Item = Field<'_>> {
    Fields::new(span).filter(|field| payload_of(field, field::span::TRACE_STATE).is_none())
}

fn state_len(state: &TraceState) -> usize {
    match state.as_str().len() {
        0 => 0,
        len => encode::len_field_len(field::span::TRACE_STATE, len),
    }
}
