//! How a budget is divided into shares.

use alloc::sync::Arc;
use core::fmt;

use super::{Cell, MemoryLimiter, OVERHEAD, Shares};
use crate::sync::AtomicUsize;

/// The largest batch when nobody sets another: 3.5 MiB, under the 4 MiB that most gRPC servers accept.
const LARGEST_BATCH: usize = 7 << 19;

/// Divides a budget. Made by [`MemoryLimiter::builder`].
///
/// The working reserve is set aside first; the doors share the rest. A door whose share is not set gets what the
/// other leaves; when neither is set, all of it is the program's own.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct MemoryLimiterBuilder {
    budget: usize,
    own: Option<usize>,
    neighbours: Option<usize>,
    spike: Option<usize>,
    largest_batch: usize,
    reserve: Option<usize>,
}

impl MemoryLimiterBuilder {
    pub(super) fn new(budget: usize) -> Self {
        Self {
            budget,
            own: None,
            neighbours: None,
            spike: None,
            largest_batch: LARGEST_BATCH,
            reserve: None,
        }
    }

    /// Bytes for the ring and the span pages. Default: what the reserve and the neighbours leave.
    pub fn own(mut self, bytes: usize) -> Self {
        self.own = Some(bytes);
        self
    }

    /// Bytes that neighbours may fill. Default: 0 when [`own`](Self::own) is not set either, else what is left.
    pub fn neighbours(mut self, bytes: usize) -> Self {
        self.neighbours = Some(bytes);
        self
    }

    /// How far below their hard limit neighbours are refused: the soft limit is `neighbours - spike`, and the spike is
    /// for what is let in already to grow into. Default: 20 % of the neighbours' share, as the Collector's
    /// `memory_limiter` has it. Less than that share, unless both are 0.
    pub fn spike(mut self, bytes: usize) -> Self {
        self.spike = Some(bytes);
        self
    }

    /// The encoded bytes of the largest batch a lane cuts; the working reserve is twice this and 1 MiB. Default: 3.5 MiB.
    pub fn largest_batch(mut self, bytes: usize) -> Self {
        self.largest_batch = bytes;
        self
    }

    /// The working reserve itself, for a pipeline that knows better: one without edits and compression needs little
    /// more than 4 KiB to split a batch. With 0 no edit is possible and no batch can be split inside a block.
    /// Default: twice the largest batch, and 1 MiB.
    pub fn reserve(mut self, bytes: usize) -> Self {
        self.reserve = Some(bytes);
        self
    }

    /// Divides the budget.
    ///
    /// # Errors
    ///
    /// [`BudgetError`] names the setting that does not fit, and the least (or most) value that does.
    pub fn build(self) -> Result<MemoryLimiter, BudgetError> {
        let (own, neighbours) = (self.own.unwrap_or(0), self.neighbours.unwrap_or(0));
        let default_reserve = || self.largest_batch.checked_mul(2)?.checked_add(1 << 20);
        let reserve = self.reserve.or_else(default_reserve);
        let sum = |reserve: usize| {
            own.checked_add(neighbours)?
                .max(OVERHEAD)
                .checked_add(reserve)
        };
        let (Some(reserve), Some(least)) = (reserve, reserve.and_then(sum)) else {
            return Err(self.budget_below(usize::MAX));
        };
        if self.budget < least {
            return Err(self.budget_below(least));
        }
        let doors = self.budget - reserve;
        let (own, neighbours) = match (self.own, self.neighbours) {
            (None, None) => (doors, 0),
            (Some(own), None) => (own, doors - own),
            (None, Some(neighbours)) => (doors - neighbours, neighbours),
            (Some(own), Some(neighbours)) => (own, neighbours),
        };
        let spike = self.spike.unwrap_or(neighbours / 5);
        if spike > 0 && spike >= neighbours {
            return Err(BudgetError {
                setting: "spike",
                value: spike,
                bound: Bound::Most(neighbours.saturating_sub(1)),
            });
        }
        Ok(MemoryLimiter(Arc::new(Shares {
            budget: self.budget,
            cells: [
                Cell::new(own, own),
                Cell::new(neighbours, neighbours - spike),
                Cell::new(reserve, reserve),
            ],
            total: AtomicUsize::new(0),
            total_high: AtomicUsize::new(0),
        })))
    }

    fn budget_below(&self, least: usize) -> BudgetError {
        BudgetError {
            setting: "budget",
            value: self.budget,
            bound: Bound::Least(least),
        }
    }
}

/// A budget cannot be divided as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetError {
    setting: &'static str,
    value: usize,
    bound: Bound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Least(usize),
    Most(usize),
}

impl BudgetError {
    /// The setting at fault, named as its method on the builder; `budget` is the budget itself.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        self.setting
    }

    /// The least bytes that would do, if the setting is too small.
    #[must_use]
    pub fn least(&self) -> Option<usize> {
        match self.bound {
            Bound::Least(least) => Some(least),
            Bound::Most(_) => None,
        }
    }

    /// The most bytes that would do, if the setting is too large.
    #[must_use]
    pub fn most(&self) -> Option<usize> {
        match self.bound {
            Bound::Most(most) => Some(most),
            Bound::Least(_) => None,
        }
    }
}

impl fmt::Display for BudgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            value,
            bound,
        } = self;
        match bound {
            Bound::Least(least) => write!(
                f,
                "memory '{setting}' of {value} bytes is too small: at least {least}"
            ),
            Bound::Most(most) => write!(
                f,
                "memory '{setting}' of {value} bytes is too large: at most {most}"
            ),
        }
    }
}

impl core::error::Error for BudgetError {}
