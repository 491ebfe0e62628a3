//! A share of the traces, after the spans have ended.

use super::rewrite::{Fate, Rewrite, rewrite};
use super::{Edit, Later, Processor};
use crate::batch::{Record, Segment, payload_of};
use crate::context::TraceState;
use crate::id::TraceId;
use crate::limiter::Buffer;
use crate::sampler::ot::{self, Entry};
use crate::sampler::{InvalidRatio, Probability, Threshold, TraceStateChange};
use crate::wire::encode::{self, Put, Writer};
use crate::wire::field;
use crate::wire::raw::{Field, Fields};
use crate::wire::view::{Span, Value};

/// Keeps a share of the traces and counts the other spans as filtered: the OpenTelemetry Collector's
/// `probabilistic_sampler`, in its three modes.
///
/// A trace is kept when its 56 bits of randomness (the `rv` item of the span's trace state, or the low 7 bytes of its
/// trace id) are not below a threshold. Every stage that goes by this rule keeps the same traces, so traces stay whole
/// across processes; and the threshold, written into the span's trace state as the item `th`, tells how many spans the
/// kept one stands for. It never falls on the way. A trace state that is not well-formed stays as it is, and counts as
/// empty unless [`fail_closed`](Self::fail_closed) says more; so does one that would grow beyond its limits, without its
/// `th`.
///
/// A span with the attribute `sampling.priority`, a number or the text of one, is kept if that is more than 0 and left out if
/// it is 0, whatever the share.
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
    /// What becomes of spans whose trace state contradicts the decision: left out, kept as they are, or decided upon.
    fail_closed: Option<bool>,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Equalizing,
    Proportional,
    Hashing { seed: u32 },
}

/// What the hash of a trace id is divided into: the low bits of it that decide.
const BUCKETS: u32 = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 14;
/// The bits of randomness below those that decide.
const BELOW: u32 = 56 - BUCKET_BITS;

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

    /// Keeps the traces whose ids, hashed with this seed, fall into the first of 16,384 buckets, `percentage * 163.84` of them
    /// rounded down: for trace ids that are not random, and for stages that have to keep other traces than the one before.
    ///
    /// The decision is bit for bit that of the Collector's mode `hash_seed`, and told by the items `rv` and `th`, so that later
    /// stages can go on consistently. Spans that have one of these items already can't be decided upon in this mode: they are
    /// left out, or kept as they are under [`fail_closed(false)`](Self::fail_closed).
    ///
    /// # Errors
    ///
    /// [`InvalidRatio`] unless `percentage` is from 0 to 100. Less than 100 / 16,384 keeps nothing.
    pub fn hashing(percentage: f32, seed: u32) -> Result<Self, InvalidRatio> {
        let ratio = f64::from(percentage) / 100.0;
        let mut sampler = Self::new(Mode::Hashing { seed }, ratio)?;
        // In single precision and rounded down, as ever: another rounding would keep other traces.
        let kept = (percentage * 163.84) as u32;
        let rejected = BUCKETS.saturating_sub(kept);
        sampler.threshold = Threshold::from_value(u64::from(rejected) << BELOW);
        Ok(sampler)
    }

    /// Writes thresholds of so many significant hexadecimal digits: 1 to 14, clamped to it. Default: 4, as the
    /// Collector's `sampling_precision`. Says nothing about [`hashing`](Self::hashing).
    #[must_use]
    pub fn with_precision(self, digits: u8) -> Self {
        let threshold = match self.mode {
            Mode::Hashing { .. } => self.threshold,
            Mode::Equalizing | Mode::Proportional => Threshold::from_ratio(self.ratio, digits),
        };
        Self {
            precision: digits,
            threshold,
            ..self
        }
    }

    /// What becomes of spans that can't be decided upon consistently: `true` leaves them out, as the Collector does by default,
    /// and `false` keeps them as they are. Those are spans with a trace state that is not well-formed, with neither a trace id
    /// nor an `rv`, or with a `th` by which they should not have been kept.
    #[must_use]
    pub fn fail_closed(self, leave_out: bool) -> Self {
        Self {
            fail_closed: Some(leave_out),
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
            fail_closed: None,
        };
        Ok(sampler.with_precision(4))
    }

    fn verdict(&self, span: &Span<'_>) -> Verdict {
        let priority = Priority::of(span);
        if priority == Priority::Drop {
            return Verdict::Leave;
        }
        let state = TraceState::parse(span.trace_state());
        let entry = state.as_ref().map(Entry::of).unwrap_or_default();
        let is_hashing = matches!(self.mode, Mode::Hashing { .. });
        if state.is_err() || !self.is_decidable(span, entry) {
            let leaves = self.fail_closed.unwrap_or(is_hashing && state.is_ok());
            match (priority, self.fail_closed) {
                (Priority::Keep, _) => return Verdict::Keep,
                _ if leaves => return Verdict::Leave,
                (_, Some(_)) => return Verdict::Keep,
                (_, None) => {}
            }
        }
        let before = entry.threshold.unwrap_or(Threshold::ALWAYS);
        let threshold = match self.mode {
            _ if priority == Priority::Keep => Some(before),
            Mode::Equalizing if self.threshold.is_some_and(|threshold| before > threshold) => {
                return Verdict::Keep;
            }
            Mode::Equalizing | Mode::Hashing { .. } => self.threshold,
            Mode::Proportional => {
                let share = self.ratio * before.probability();
                // Rounding must not let it fall.
                Threshold::from_ratio(share, self.precision).map(|threshold| threshold.max(before))
            }
        };
        let randomness = match self.mode {
            Mode::Hashing { seed } => hashed(seed, span.trace_id()),
            Mode::Equalizing | Mode::Proportional => entry
                .randomness
                .unwrap_or_else(|| span.trace_id().randomness()),
        };
        let Some(threshold) =
            threshold.filter(|threshold| priority == Priority::Keep || threshold.keeps(randomness))
        else {
            return Verdict::Leave;
        };
        let told = |state: TraceState| {
            let before = if is_hashing {
                with_randomness(&state, randomness)?
            } else {
                state
            };
            Some((ot::set_threshold(&before, &before, Some(threshold)), before))
        };
        match state.ok().and_then(told) {
            Some((TraceStateChange::Replace(state), _)) => Verdict::Write(state),
            Some((TraceStateChange::Keep, state)) if is_hashing => Verdict::Write(state),
            Some((TraceStateChange::Keep, _)) | None => Verdict::Keep,
        }
    }

    /// Whether nothing that was said about the span on its way contradicts a decision.
    fn is_decidable(&self, span: &Span<'_>, entry: Entry) -> bool {
        let has_id = span.trace_id().is_valid();
        if matches!(self.mode, Mode::Hashing { .. }) {
            return has_id && entry == Entry::default();
        }
        let randomness = entry
            .randomness
            .unwrap_or_else(|| span.trace_id().randomness());
        (has_id || entry.randomness.is_some())
            && entry
                .threshold
                .is_none_or(|before| before.keeps(randomness))
    }
}

/// The 56 bits that stand for a hashed trace id. The highest are the bucket, counted from the end so that the first buckets
/// are kept; the others come from the rest of the hash.
fn hashed(seed: u32, trace_id: TraceId) -> u64 {
    const PRIME: u32 = 0x0100_0193;
    const BASIS: u32 = 0x811c_9dc5;
    let bytes = seed.to_le_bytes().into_iter().chain(trace_id.to_bytes());
    let hash = bytes.fold(BASIS, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(PRIME)
    });
    let bucket = u64::from(hash % BUCKETS);
    let rest = u64::from(hash >> (32 - BUCKET_BITS));
    let from_the_end = u64::from(BUCKETS - 1) - bucket;
    from_the_end << BELOW | (rest ^ rest << 10) << BUCKET_BITS | bucket
}

/// The trace state with the item `rv`; `None` if that makes it too long.
fn with_randomness(state: &TraceState, randomness: u64) -> Option<TraceState> {
    let mut room = [0; 256];
    let mut writer = Writer::new(&mut room);
    writer.put(b"rv:");
    for nibble in (0..14).rev() {
        let digit = (randomness >> (4 * nibble) & 15) as u8;
        writer.put_byte(digit + if digit < 10 { b'0' } else { b'a' - 10 });
    }
    if let Some(others) = state.get("ot").filter(|others| !others.is_empty()) {
        writer.put(b";");
        writer.put(others.as_bytes());
    }
    let len = writer.finish()?;
    let text = core::str::from_utf8(room.get(..len)?).ok()?;
    state.insert("ot", text).ok()
}

/// What the attribute `sampling.priority` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Priority {
    None,
    Drop,
    Keep,
}

impl Priority {
    fn of(span: &Span<'_>) -> Self {
        let mut attributes = span
            .attributes()
            .filter(|one| one.key() == "sampling.priority");
        let Some(first) = attributes.next() else {
            return Self::None;
        };
        // Of a key that repeats, the last value counts.
        let number = match attributes.last().unwrap_or(first).value() {
            Value::Int(number) => number as f64,
            Value::Double(number) => number,
            Value::Str(text) => text.parse().unwrap_or(f64::NAN),
            _ => f64::NAN,
        };
        if number == 0.0 {
            Self::Drop
        } else if number > 0.0 {
            Self::Keep
        } else {
            Self::None
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

    fn write(&self, _: &Segment, span: &[u8], out: &mut Buffer) {
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
