//! What is in a sealed block, and the handle that gives it back.

use core::fmt;
use core::ops::Deref;

use super::Ring;
use super::arena::{self, Byte};
use super::shard::Open;
use crate::clock::Moment;
use crate::sync::{AtomicUsize, UnsafeCell};

/// What is known of a block beside its bytes.
#[derive(Debug)]
pub(super) struct Block {
    /// The order of sealing. Read by those who look for the oldest block, whoever owns it.
    pub(super) sequence: AtomicUsize,
    /// Belongs to whoever owns the block: the shard that has it open, then, by the sealed set, its taker.
    content: UnsafeCell<Extent>,
}

// SAFETY: `content` is entered only by the owner of the block, and ownership passes through the sealed and free sets,
// which release and acquire.
unsafe impl Sync for Block {}

#[derive(Clone, Copy, Debug)]
struct Extent {
    len: usize,
    spans: usize,
    first: Moment,
}

impl Block {
    #[cfg(not(spanwire_loom))]
    pub(super) const fn new() -> Self {
        Self {
            sequence: AtomicUsize::new(0),
            content: UnsafeCell::new(Extent {
                len: 0,
                spans: 0,
                first: Moment::from_nanos(0),
            }),
        }
    }

    #[cfg(spanwire_loom)]
    pub(super) fn new() -> Self {
        Self {
            sequence: AtomicUsize::new(0),
            content: UnsafeCell::new(Extent {
                len: 0,
                spans: 0,
                first: Moment::from_nanos(0),
            }),
        }
    }

    /// Notes what is in the block. Only its owner may call this: the shard that had it open.
    pub(super) fn set_content(&self, open: &Open) {
        let extent = Extent {
            len: open.len(),
            spans: open.spans(),
            first: open.first,
        };
        self.content.with_mut(|content| {
            // SAFETY: the caller owns the block: it took it out of a shard that it holds.
            unsafe { *content = extent }
        });
    }
}

/// The content of a block that the holder of this value owns.
#[derive(Clone, Copy)]
pub(super) struct Content<'r> {
    arena: &'r [Byte],
    start: usize,
    extent: Extent,
}

impl<'r> Content<'r> {
    /// The content of block `number`. Only its owner may call this: whoever took it from the sealed set.
    pub(super) fn new(
        arena: &'r [Byte],
        block: Option<&Block>,
        number: usize,
        block_bytes: usize,
    ) -> Self {
        let none = Extent {
            len: 0,
            spans: 0,
            first: Moment::default(),
        };
        let extent = block.map_or(none, |block| {
            block.content.with(|content| {
                // SAFETY: the caller owns the block.
                unsafe { *content }
            })
        });
        Self {
            arena,
            start: number * block_bytes,
            extent,
        }
    }

    pub(super) fn spans(&self) -> usize {
        self.extent.spans
    }

    pub(super) fn first(&self) -> Moment {
        self.extent.first
    }

    pub(super) fn bytes(&self) -> &'r [u8] {
        // SAFETY: a taken block has no writer until its taker gives it back, and the taker holds the reference.
        unsafe { arena::read(self.arena, self.start, self.extent.len) }
    }
}

/// A block taken from the ring: well-formed `ScopeSpans` records, ready to be sent inside a `ResourceSpans`.
///
/// The block goes back to the ring when this value is dropped. Until then it is not reused, and a ring whose blocks
/// are all held refuses spans.
#[must_use = "dropping a sealed block gives it back to the ring, and its spans are gone"]
pub struct Sealed<R>
where
    R: Deref,
    R::Target: AsRef<Ring>,
{
    ring: R,
    block: usize,
}

impl<R> Sealed<R>
where
    R: Deref,
    R::Target: AsRef<Ring>,
{
    /// The handle for a block that the caller took from `ring`, and hands over with this call.
    pub(crate) fn new(ring: R, block: usize) -> Self {
        Self { ring, block }
    }

    fn content(&self) -> Content<'_> {
        (*self.ring).as_ref().taken(self.block)
    }

    /// The records: `scope_spans` fields of a `ResourceSpans` message, tags included.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.content().bytes()
    }

    /// The spans in the records.
    #[must_use]
    pub fn spans(&self) -> usize {
        self.content().spans()
    }

    /// When the first of the spans ended, by the clock of the one who recorded it.
    #[must_use]
    pub fn first(&self) -> Moment {
        self.content().first()
    }
}

impl<R> AsRef<[u8]> for Sealed<R>
where
    R: Deref,
    R::Target: AsRef<Ring>,
{
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<R> Drop for Sealed<R>
where
    R: Deref,
    R::Target: AsRef<Ring>,
{
    fn drop(&mut self) {
        (*self.ring).as_ref().release(self.block);
    }
}

impl<R> fmt::Debug for Sealed<R>
where
    R: Deref,
    R::Target: AsRef<Ring>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("bytes", &self.as_bytes().len())
            .field("spans", &self.spans())
            .finish_non_exhaustive()
    }
}
