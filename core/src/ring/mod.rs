//! Where ended spans wait: a bounded ring of blocks, appended to by many threads, emptied by one.
//!
//! A *block* is a buffer of fixed size that holds ready-made `ScopeSpans` records. A *shard* is one append point with
//! one open block. A thread goes to its home shard, and on to the next when another thread is there: it never waits.
//! A block that is full, old or asked for is *sealed*, and is then taken by the consumer, in the order of sealing.
//!
//! ```text
//!             claim                append                seal                 take
//!   free set -------> open block ---------> open block -------> sealed set -------> consumer
//!      ^                                                                               |
//!      +------------------------------------- drop of the last reference --------------+
//! ```
//!
//! When no block is free, an append is refused ([`Refused::Full`]), or, as a flight recorder, takes the oldest sealed
//! block and counts its spans as overwritten. All `unsafe` that hands memory on is in this module and those below
//! it; `clock::counter` and `fork` have the rest of the core's, for instructions and calls that are not safe functions. Here
//! `arena` hands out the bytes, `shard` the append points, `pages` the bytes of live spans.
#![allow(
    unsafe_code,
    reason = "blocks and pages are handed from thread to thread without copying"
)]

mod arena;
mod block;
mod body;
mod pages;
mod shard;
mod storage;

#[cfg(all(test, spanwire_loom))]
mod loom_model;

#[cfg(all(test, feature = "std", not(spanwire_loom)))]
mod tests;

use core::fmt;

use crate::bitmap::Bitmap;
use crate::clock::Moment;
use crate::sync::Ordering;

use self::arena::Byte;
pub use self::block::Sealed;
pub(crate) use self::body::{Blank, Body, BodyWriter, Only, Told};
pub(crate) use self::pages::Pages;
use self::shard::{Guard, Open, Place, Shard};
#[cfg(feature = "alloc")]
pub(crate) use self::storage::Layout;
pub use self::storage::Ring;
#[cfg(not(spanwire_loom))]
pub use self::storage::Storage;
use self::storage::View;

/// The bytes that a change of scope costs in a block, beside the scope's own: a tag and a padded length.
pub(crate) const SCOPE_PREFIX: usize = 4;

/// The largest block, in bytes: its length fits the padded length of a `ScopeSpans` record.
pub const MAX_BLOCK_BYTES: usize = 1 << 20;

/// One part of so many of a ring may wait to be taken; more crowd it.
pub(crate) const CROWDED: usize = 6;

/// Why the ring did not take a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// No block is free, and no open block has room.
    Full,
    /// Two tours of the shards found all of them held by other threads, and no block is free for a new one.
    Contended,
    /// The ring is closed.
    Closed,
    /// The span and its scope are larger than a block.
    TooLarge,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the ring is full",
            Self::Contended => "every shard of the ring is held",
            Self::Closed => "the ring is closed",
            Self::TooLarge => "the span is larger than a block",
        })
    }
}

impl core::error::Error for Refused {}

/// What an append did to its block, for the one who wakes the consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Appended {
    /// A block was opened.
    pub(crate) opened: bool,
    /// A block was sealed.
    pub(crate) sealed: bool,
}

/// What a look at all shards found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sealing {
    /// Shards that were held by a thread and could not be looked at.
    pub(crate) busy: usize,
    /// Blocks that stay open.
    pub(crate) open: usize,
    /// Blocks that were sealed.
    pub(crate) sealed: usize,
    /// When the oldest span in a block that stays open ended.
    pub(crate) oldest: Option<Moment>,
}

/// The fields of `ScopeSpans` that precede its spans, and a number that tells one scope from another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScopeRef<'s> {
    pub(crate) number: usize,
    pub(crate) fields: &'s [u8],
}

/// Which open blocks to seal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    /// All of them.
    All,
    /// Those whose first span ended at this moment or before.
    Until(Moment),
}

impl Ring {
    /// Holds `len` bytes in a block of the shard `home`, or of another, for one record.
    ///
    /// # Errors
    /// See [`Refused`].
    #[inline(always)]
    pub(crate) fn reserve(
        &self,
        home: usize,
        scope: ScopeRef<'_>,
        now: Moment,
        len: usize,
    ) -> Result<Slot<'_>, Refused> {
        match self.enter(home, scope.number, len) {
            Some(slot) => Ok(slot),
            None => self.reserve_elsewhere(home, scope, now, len),
        }
    }

    /// Holds `len` bytes in a block of the shard `home`, if nobody else holds it, its open record is of this scope, and
    /// it has room.
    #[inline(always)]
    pub(crate) fn enter(&self, home: usize, scope: usize, len: usize) -> Option<Slot<'_>> {
        let view = self.view();
        let mut guard = view.shards.get(view.home(home))?.try_lock()?;
        Some(Slot {
            place: guard.place(view.arena, scope, len)?,
            guard,
            arena: view.arena,
            appended: Appended::default(),
        })
    }

    /// Appends one record of `len` bytes, written by `write`.
    #[cfg(test)]
    pub(crate) fn append(
        &self,
        home: usize,
        scope: ScopeRef<'_>,
        now: Moment,
        len: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<Appended, Refused> {
        let mut slot = self.reserve(home, scope, now, len)?;
        write(slot.bytes());
        Ok(slot.commit())
    }

    /// Finds a shard with room, and holds it. Takes no view, so that its caller need not make one whole.
    #[cold]
    #[inline(never)]
    fn reserve_elsewhere(
        &self,
        home: usize,
        scope: ScopeRef<'_>,
        now: Moment,
        len: usize,
    ) -> Result<Slot<'_>, Refused> {
        let view = self.view();
        let mut appended = Appended::default();
        let home = view.home(home);
        let (guard, place) = view.enter_elsewhere(home, scope, now, len, &mut appended)?;
        Ok(Slot {
            guard,
            place,
            arena: view.arena,
            appended,
        })
    }

    /// Takes the block that was sealed first, in the order of sealing.
    #[must_use]
    pub fn take(&self) -> Option<Sealed<&Self>> {
        self.view()
            .take_oldest()
            .map(|block| Sealed::new(self, block))
    }

    /// The number of the block that was sealed first; the caller owns that block from here on.
    #[cfg(feature = "alloc")]
    pub(crate) fn take_number(&self) -> Option<usize> {
        self.view().take_oldest()
    }

    /// Seals open blocks, so that they can be taken. Shards that a thread holds are passed over and counted.
    pub(crate) fn seal(&self, which: Which) -> Sealing {
        let view = self.view();
        let mut sealing = Sealing::default();
        for shard in view.active_shards() {
            let Some(mut guard) = shard.try_lock() else {
                sealing.busy += 1;
                continue;
            };
            let Some(open) = guard.open() else { continue };
            let due = match which {
                Which::All => true,
                Which::Until(until) => open.first <= until,
            };
            if !due {
                let first = open.first;
                sealing.open += 1;
                sealing.oldest = Some(sealing.oldest.map_or(first, |oldest| oldest.min(first)));
            } else if let Some(open) = guard.take_open() {
                view.seal(open);
                sealing.sealed += 1;
            }
        }
        sealing
    }

    /// Seals the open blocks of these shards, and takes off the list those that no thread holds.
    #[cfg(feature = "alloc")]
    pub(crate) fn seal_each(&self, shards: &mut alloc::vec::Vec<usize>) {
        let view = self.view();
        shards.retain(|shard| {
            let Some(shard) = view.shards.get(*shard) else {
                return false;
            };
            let Some(mut guard) = shard.try_lock() else {
                return true;
            };
            if let Some(open) = guard.take_open() {
                view.seal(open);
            }
            false
        });
    }

    /// How many blocks have been sealed, modulo the width of a pointer.
    #[cfg(feature = "alloc")]
    pub(crate) fn sealed_blocks(&self) -> usize {
        self.view().common.sequence.load(Ordering::Relaxed)
    }

    /// Seals every open block that no thread is writing to, so that it can be taken.
    ///
    /// Returns how many shards were passed over because a thread held them.
    pub fn seal_all(&self) -> usize {
        self.seal(Which::All).busy
    }

    /// Refuses appends from now on, shard by shard. Returns how many shards were held by a thread and are still open;
    /// call again until it is zero.
    pub(crate) fn close(&self) -> usize {
        let view = self.view();
        view.common.closed.store(true, Ordering::Release);
        view.shards
            .iter()
            .filter(|shard| match shard.try_lock() {
                Some(mut guard) => {
                    guard.close();
                    false
                }
                None => true,
            })
            .count()
    }

    /// Spans appended so far, modulo the width of a pointer.
    #[must_use]
    pub fn admitted(&self) -> usize {
        self.view().shards.iter().fold(0, |sum, shard| {
            sum.wrapping_add(shard.admitted.load(Ordering::Relaxed))
        })
    }

    /// Spans overwritten by newer ones, as a flight recorder is asked to, modulo the width of a pointer.
    #[must_use]
    pub fn overwritten(&self) -> usize {
        self.view().common.overwritten.load(Ordering::Relaxed)
    }

    /// Blocks that are open, sealed or taken.
    #[must_use]
    pub fn used_blocks(&self) -> usize {
        self.view().common.used.load(Ordering::Relaxed)
    }

    /// Whether more than a sixth of all blocks waits to be taken.
    pub(crate) fn is_crowded(&self) -> bool {
        let view = self.view();
        Bitmap(view.sealed).count() > view.blocks.len() / CROWDED
    }

    /// All blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.view().blocks.len()
    }

    /// The size of a block in bytes: the most that one span and its scope may take.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        self.view().block_bytes
    }

    /// Shards that threads append to: grows from its start up to a quarter of the blocks, when threads meet.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.view().active_shards().len()
    }

    /// The bytes and the span count of a block that the caller took.
    fn taken(&self, block: usize) -> block::Content<'_> {
        let view = self.view();
        block::Content::new(view.arena, view.blocks.get(block), block, view.block_bytes)
    }

    /// Gives back a block that the caller took, with no reference to it left.
    fn release(&self, block: usize) {
        self.view().release(block);
    }
}

/// Bytes of a block that are held for one record. Nothing was appended before [`commit`](Self::commit).
#[must_use = "what is not committed is not appended"]
pub(crate) struct Slot<'r> {
    guard: Guard<'r>,
    place: Place,
    arena: &'r [Byte],
    appended: Appended,
}

impl Slot<'_> {
    /// The bytes, to be written.
    #[inline(always)]
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.guard.bytes(self.arena, &self.place)
    }

    /// Appends the record.
    #[inline(always)]
    pub(crate) fn commit(mut self) -> Appended {
        self.guard.advance(self.place);
        self.appended
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("blocks", &self.blocks())
            .field("block_bytes", &self.block_bytes())
            .field("used_blocks", &self.used_blocks())
            .field("shards", &self.shards())
            .finish()
    }
}

impl<'r> View<'r> {
    fn active_shards(&self) -> &'r [Shard] {
        let active = self.common.active.load(Ordering::Acquire);
        self.shards.get(..active).unwrap_or(self.shards)
    }

    /// The active shard that `home` stands for.
    #[inline(always)]
    fn home(&self, home: usize) -> usize {
        let active = self.common.active.load(Ordering::Acquire);
        if home < active {
            home
        } else {
            home % active.max(1)
        }
    }

    fn enter_elsewhere(
        &self,
        home: usize,
        scope: ScopeRef<'_>,
        now: Moment,
        len: usize,
        appended: &mut Appended,
    ) -> Result<(Guard<'r>, Place), Refused> {
        if len.saturating_add(SCOPE_PREFIX + scope.fields.len()) > self.block_bytes {
            return Err(Refused::TooLarge);
        }
        match self.tour(home, scope, now, len, appended) {
            Err(Refused::Contended) => {}
            done => return done,
        }
        if let Some(room) = self.grow(scope, now, len, appended)? {
            return Ok(room);
        }
        match self.tour(home, scope, now, len, appended) {
            // Threads that find the ring full meet more often; it is not for this that the span is lost.
            Err(Refused::Contended)
                if self.common.used.load(Ordering::Relaxed) >= self.blocks.len() =>
            {
                Err(Refused::Full)
            }
            done => done,
        }
    }

    /// Tries each shard once.
    fn tour(
        &self,
        home: usize,
        scope: ScopeRef<'_>,
        now: Moment,
        len: usize,
        appended: &mut Appended,
    ) -> Result<(Guard<'r>, Place), Refused> {
        #[cfg(all(test, feature = "std", not(spanwire_loom)))]
        tests::TOURS.with(|tours| tours.set(tours.get() + 1));
        let shards = self.active_shards();
        let (before, after) = shards.split_at_checked(home).unwrap_or((&[], shards));
        let mut refused = Refused::Full;
        for shard in after.iter().chain(before) {
            let Some(mut guard) = shard.try_lock() else {
                refused = Refused::Contended;
                continue;
            };
            match self.make_room(&mut guard, scope, now, len, appended) {
                Ok(place) => return Ok((guard, place)),
                Err(Refused::Full) => {}
                Err(other) => return Err(other),
            }
        }
        Err(refused)
    }

    /// Opens one more shard, if a block is free for it.
    fn grow(
        &self,
        scope: ScopeRef<'_>,
        now: Moment,
        len: usize,
        appended: &mut Appended,
    ) -> Result<Option<(Guard<'r>, Place)>, Refused> {
        let next = self.common.active.load(Ordering::Relaxed);
        let Some(mut guard) = self.shards.get(next).and_then(Shard::try_lock) else {
            return Ok(None);
        };
        let place = match self.make_room(&mut guard, scope, now, len, appended) {
            Ok(place) => place,
            Err(Refused::Full) => return Ok(None),
            Err(other) => return Err(other),
        };
        // Only the holder of shard `next` moves `active` past it; a thread that held it earlier may have done so, and
        // then the shard is an active one like any other.
        let _ = self.common.active.compare_exchange(
            next,
            next + 1,
            Ordering::Release,
            Ordering::Relaxed,
        );
        Ok(Some((guard, place)))
    }

    /// Makes the open block of a shard ready to take `len` bytes of `scope`; returns where they go.
    fn make_room(
        &self,
        guard: &mut Guard<'_>,
        scope: ScopeRef<'_>,
        now: Moment,
        len: usize,
        appended: &mut Appended,
    ) -> Result<Place, Refused> {
        if guard.is_closed() || self.common.closed.load(Ordering::Acquire) {
            return Err(Refused::Closed);
        }
        if let Some(place) = guard.place(self.arena, scope.number, len) {
            return Ok(place);
        }
        let framed = len.saturating_add(SCOPE_PREFIX + scope.fields.len());
        if framed > self.block_bytes {
            return Err(Refused::TooLarge);
        }
        if !guard.has_room(framed) {
            let block = self.claim().ok_or(Refused::Full)?;
            if let Some(full) = guard.take_open() {
                self.seal(full);
                appended.sealed = true;
            }
            let open = Open::new(block, now, self.block_bytes, self.spans);
            guard.set_open(open, self.block_bytes);
            appended.opened = true;
        }
        guard.begin_scope(self.arena, scope);
        // There is one: the record was begun for it.
        let place = guard.place(self.arena, scope.number, len);
        place.ok_or(Refused::TooLarge)
    }

    fn claim(&self) -> Option<usize> {
        if let Some(block) = Bitmap(self.free).take_lowest() {
            self.common.used.fetch_add(1, Ordering::Relaxed);
            return Some(block);
        }
        if !self.overwrite {
            return None;
        }
        // The block stays in use: it goes from the sealed set straight to its new writer.
        let block = self.take_oldest()?;
        let content =
            block::Content::new(self.arena, self.blocks.get(block), block, self.block_bytes);
        self.common
            .overwritten
            .fetch_add(content.spans(), Ordering::Relaxed);
        Some(block)
    }

    /// Hands an open block, complete, to whoever takes it.
    fn seal(&self, open: Open) {
        let Some(block) = self.blocks.get(open.block) else {
            return;
        };
        open.finish_scope(self.arena);
        block.set_content(&open);
        block.sequence.store(
            self.common.sequence.fetch_add(1, Ordering::Relaxed),
            Ordering::Relaxed,
        );
        // Releases the bytes, the content and the sequence to the taker.
        Bitmap(self.sealed).insert(open.block);
    }

    fn take_oldest(&self) -> Option<usize> {
        loop {
            let mut oldest: Option<(usize, usize)> = None;
            Bitmap(self.sealed).for_each(|block| {
                let Some(sequence) = self
                    .blocks
                    .get(block)
                    .map(|block| block.sequence.load(Ordering::Relaxed))
                else {
                    return;
                };
                // Sequences wrap: the distance between two blocks of the ring is small beside the range.
                let older =
                    oldest.is_none_or(|(_, least)| (sequence.wrapping_sub(least) as isize) < 0);
                if older {
                    oldest = Some((block, sequence));
                }
            });
            let (block, _) = oldest?;
            if Bitmap(self.sealed).take(block) {
                return Some(block);
            }
        }
    }

    fn release(&self, block: usize) {
        self.common.used.fetch_sub(1, Ordering::Relaxed);
        Bitmap(self.free).insert(block);
    }
}
