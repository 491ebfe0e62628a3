//! How much memory there is, and who has it.
//!
//! One budget, in bytes, is divided once into three shares: what this program's own spans use (ring and span pages,
//! charged whole when they are built), what neighbours may fill, and a working reserve that is closed to both doors.
//! Each share is its own bound, so that their sum never passes the budget, not for a moment: bytes are granted before
//! they are allocated, and given back after they are freed.
//!
//! A [`Permit`] says who owes which bytes. It lives inside the owner of the memory it pays for
//! ([`Permit::attach`]), so that memory kept alive by a forgotten [`Bytes`](bytes::Bytes) clone stays charged.

use alloc::sync::Arc;
use core::fmt;

use crate::sync::{AtomicUsize, Ordering};

mod budget;
mod permit;

pub use budget::{BudgetError, MemoryLimiterBuilder};
pub use permit::{Buffer, Permit, Uncovered};

/// Bytes charged for each permit beside the bytes it grants: the allocator's, the reference count's and the entry's
/// that lists the memory.
pub const OVERHEAD: usize = 256;

/// Where spans come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// This program's own spans, through the ring.
    Own,
    /// The spans of neighbours, through an intake.
    Neighbours,
}

/// One of the three parts of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Share {
    /// The ring and the span pages.
    Own,
    /// Received bodies, from the first byte read until the last exporter has let go of them.
    Neighbours,
    /// Edits that their door has no room for, splits and compression. Closed to the doors, so that a full budget can
    /// always drain.
    Reserve,
}

impl Share {
    /// All shares, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::Own, Self::Neighbours, Self::Reserve];

    /// The share in `snake_case`, as it appears in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Neighbours => "neighbours",
            Self::Reserve => "reserve",
        }
    }
}

impl From<Door> for Share {
    fn from(door: Door) -> Self {
        match door {
            Door::Own => Self::Own,
            Door::Neighbours => Self::Neighbours,
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The byte budget of a program's pipelines, and what is in use of it. Clones are handles on the same budget.
///
/// ```
/// use spanwire_core::limiter::{Door, MemoryLimiter};
///
/// // 32 MiB, of which neighbours may fill 8; the working reserve takes 8 (2 x 3.5 MiB + 1 MiB), the ring the rest.
/// let limiter = MemoryLimiter::builder(32 << 20).neighbours(8 << 20).build()?;
///
/// let permit = limiter.door(Door::Neighbours).acquire(1000)?;
/// let body = permit.attach(vec![0; 1000])?;
/// assert_eq!(limiter.usage().in_use, 1256);
/// drop(body);
/// assert_eq!(limiter.usage().in_use, 0);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MemoryLimiter(Arc<Shares>);

impl MemoryLimiter {
    /// Divides a budget of this many bytes.
    pub fn builder(budget: usize) -> MemoryLimiterBuilder {
        MemoryLimiterBuilder::new(budget)
    }

    /// The share of the spans that come in through `door`.
    #[must_use]
    pub fn door(&self, door: Door) -> Account {
        self.share(door.into())
    }

    /// The working reserve: for what an edit, a split or a compression allocates on the way out.
    ///
    /// Nothing may hold a part of it while it waits for more: measure first, acquire all or nothing. A refusal that
    /// [`is_retryable`](Refused::is_retryable) passes once what is in flight is done. Who can do without, does: an
    /// exporter that finds no room to compress sends uncompressed.
    #[must_use]
    pub fn reserve(&self) -> Account {
        self.share(Share::Reserve)
    }

    /// One share of the budget.
    #[must_use]
    pub fn share(&self, share: Share) -> Account {
        Account {
            shares: Arc::clone(&self.0),
            share,
        }
    }

    /// The bytes in use now, the most there ever were, and how often a share refused.
    ///
    /// The numbers are read one after another while other threads go on; each is exact on its own. Refusals are exact
    /// modulo 2^32 where pointers have 32 bits.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let of = |share| self.0.cell(share).usage();
        Usage {
            budget: self.0.budget,
            in_use: self.0.total.load(Ordering::Relaxed),
            high_water: self.0.total_high.load(Ordering::Relaxed),
            own: of(Share::Own),
            neighbours: of(Share::Neighbours),
            reserve: of(Share::Reserve),
        }
    }
}

impl fmt::Debug for MemoryLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryLimiter").field(&self.usage()).finish()
    }
}

/// A handle on one share of the budget.
#[derive(Clone)]
pub struct Account {
    shares: Arc<Shares>,
    share: Share,
}

impl Account {
    /// Grants `bytes`, and charges [`OVERHEAD`] more.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the share is at or above its soft limit, or has less left than is asked for; nothing is
    /// charged then.
    pub fn acquire(&self, bytes: usize) -> Result<Permit, Refused> {
        let charge = bytes.saturating_add(OVERHEAD);
        self.shares.charge(self.share, charge, true)?;
        Ok(Permit::new(self.clone(), bytes))
    }

    /// Which share this is.
    #[must_use]
    pub fn share(&self) -> Share {
        self.share
    }

    /// The bytes of the share: its hard limit.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.cell().limit
    }

    /// The bytes from which newcomers are refused.
    #[must_use]
    pub fn soft_limit(&self) -> usize {
        self.cell().soft
    }

    /// The bytes in use, overheads included.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.cell().used.load(Ordering::Relaxed)
    }

    /// The largest `bytes` that [`acquire`](Self::acquire) would grant now; another thread may be faster.
    #[must_use]
    pub fn available(&self) -> usize {
        let (cell, in_use) = (self.cell(), self.in_use());
        if in_use >= cell.soft {
            return 0;
        }
        cell.limit.saturating_sub(in_use).saturating_sub(OVERHEAD)
    }

    /// Whether `bytes` would be granted if nothing else were in use.
    #[must_use]
    pub fn could_grant(&self, bytes: usize) -> bool {
        bytes.saturating_add(OVERHEAD) <= self.cell().limit
    }

    /// Grants `bytes` in the place of others that were let in already: up to the hard limit, and a refusal is not
    /// counted.
    pub(crate) fn acquire_quietly(&self, bytes: usize) -> Result<Permit, RefusedReason> {
        self.cell().charge(bytes.saturating_add(OVERHEAD), false)?;
        self.shares.count(bytes.saturating_add(OVERHEAD));
        Ok(Permit::new(self.clone(), bytes))
    }

    /// Another share of the same budget.
    pub(crate) fn of(&self, share: Share) -> Self {
        Self {
            shares: Arc::clone(&self.shares),
            share,
        }
    }

    /// Charges `bytes` more to a permit that exists. The soft limit is for newcomers.
    fn charge_more(&self, bytes: usize) -> Result<(), Refused> {
        self.shares.charge(self.share, bytes, false)
    }

    fn give_back(&self, bytes: usize) {
        self.shares.give_back(self.share, bytes);
    }

    /// Whether both are the same share of the same budget.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.share == other.share && Arc::ptr_eq(&self.shares, &other.shares)
    }

    fn cell(&self) -> &Cell {
        self.shares.cell(self.share)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("share", &self.share)
            .field("in_use", &self.in_use())
            .field("limit", &self.limit())
            .finish()
    }
}

/// What is in use of a budget, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// The budget: the hard limit of all shares together.
    pub budget: usize,
    /// In use, overheads included.
    pub in_use: usize,
    /// The most that ever was in use.
    pub high_water: usize,
    /// The ring and the span pages.
    pub own: ShareUsage,
    /// What neighbours sent.
    pub neighbours: ShareUsage,
    /// Edits, splits and compression.
    pub reserve: ShareUsage,
}

/// What is in use of one share, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShareUsage {
    /// The hard limit.
    pub limit: usize,
    /// The bytes from which newcomers are refused.
    pub soft_limit: usize,
    /// In use, overheads included.
    pub in_use: usize,
    /// The most that ever was in use.
    pub high_water: usize,
    /// How often the share said no.
    pub refused: usize,
}

/// A share would not grant what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    share: Share,
    wanted: usize,
    reason: RefusedReason,
}

/// Why a share refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusedReason {
    /// The share is at or above its soft limit: what is in goes on, newcomers wait.
    SoftLimit,
    /// Less is left than is asked for.
    Full,
    /// More is asked for than the share has: asking again is in vain.
    TooLarge,
}

impl Refused {
    /// The share that refused.
    #[must_use]
    pub fn share(&self) -> Share {
        self.share
    }

    /// The bytes asked for, overhead included.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> RefusedReason {
        self.reason
    }

    /// Whether the same bytes may be granted later, once others have given theirs back.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.reason != RefusedReason::TooLarge
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { share, wanted, .. } = self;
        match self.reason {
            RefusedReason::SoftLimit => write!(f, "memory share '{share}' is above its soft limit"),
            RefusedReason::Full => write!(f, "memory share '{share}' has no {wanted} bytes left"),
            RefusedReason::TooLarge => {
                write!(f, "{wanted} bytes are more than memory share '{share}' has")
            }
        }
    }
}

impl core::error::Error for Refused {}

/// The three shares, and their sum.
///
/// `total` trails the shares: it is raised after a share and lowered before it, so that it never shows more than is
/// charged, and `total_high` never more than the budget.
struct Shares {
    budget: usize,
    cells: [Cell; Share::ALL.len()],
    total: AtomicUsize,
    total_high: AtomicUsize,
}

/// One share. `used <= limit` always: a charge is one compare-and-swap that fails rather than overshoot.
struct Cell {
    limit: usize,
    soft: usize,
    used: AtomicUsize,
    high: AtomicUsize,
    refused: AtomicUsize,
}

impl Shares {
    fn cell(&self, share: Share) -> &Cell {
        match share {
            Share::Own => &self.cells[0],
            Share::Neighbours => &self.cells[1],
            Share::Reserve => &self.cells[2],
        }
    }

    fn charge(&self, share: Share, bytes: usize, newcomer: bool) -> Result<(), Refused> {
        let cell = self.cell(share);
        cell.charge(bytes, newcomer).map_err(|reason| {
            cell.refused.fetch_add(1, Ordering::Relaxed);
            Refused {
                share,
                wanted: bytes,
                reason,
            }
        })?;
        self.count(bytes);
        Ok(())
    }

    /// Counts what a share has been charged.
    fn count(&self, bytes: usize) {
        let total = self
            .total
            .fetch_add(bytes, Ordering::Relaxed)
            .wrapping_add(bytes);
        self.total_high.fetch_max(total, Ordering::Relaxed);
    }

    fn give_back(&self, share: Share, bytes: usize) {
        self.total.fetch_sub(bytes, Ordering::Relaxed);
        // Release: the memory is freed before its bytes are granted to another thread.
        self.cell(share).used.fetch_sub(bytes, Ordering::Release);
    }
}

impl Cell {
    fn new(limit: usize, soft: usize) -> Self {
        Self {
            limit,
            soft,
            used: AtomicUsize::new(0),
            high: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        }
    }

    fn charge(&self, bytes: usize, newcomer: bool) -> Result<(), RefusedReason> {
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            if bytes > self.limit {
                return Err(RefusedReason::TooLarge);
            }
            if newcomer && used >= self.soft {
                return Err(RefusedReason::SoftLimit);
            }
            // `used <= limit`: the difference does not wrap.
            if bytes > self.limit - used {
                return Err(RefusedReason::Full);
            }
            // Acquire: pairs with the release of who gave the bytes back.
            match self.used.compare_exchange_weak(
                used,
                used + bytes,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.high.fetch_max(used + bytes, Ordering::Relaxed);
                    return Ok(());
                }
                Err(now) => used = now,
            }
        }
    }

    fn usage(&self) -> ShareUsage {
        ShareUsage {
            limit: self.limit,
            soft_limit: self.soft,
            in_use: self.used.load(Ordering::Relaxed),
            high_water: self.high.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests;
