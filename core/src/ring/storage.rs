//! Where the parts of a ring live: on the heap, or in a `static`.

use core::fmt;

use super::arena::Byte;
use super::block::Block;
use super::shard::Shard;
use crate::sync::{AtomicBool, AtomicUsize};

/// What all shards of a ring share. Written when a block changes hands, not for each span.
#[derive(Debug)]
pub(super) struct Common {
    /// Shards that threads try; those above are not open yet.
    pub(super) active: AtomicUsize,
    /// The order of the next block to be sealed.
    pub(super) sequence: AtomicUsize,
    /// Blocks that are open, sealed or taken.
    pub(super) used: AtomicUsize,
    /// Spans in sealed blocks that were given to a new writer.
    pub(super) overwritten: AtomicUsize,
    pub(super) closed: AtomicBool,
}

impl Common {
    #[cfg(not(spanwire_loom))]
    const fn new(active: usize) -> Self {
        Self {
            active: AtomicUsize::new(active),
            sequence: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            overwritten: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    #[cfg(spanwire_loom)]
    fn new(active: usize) -> Self {
        Self {
            active: AtomicUsize::new(active),
            sequence: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            overwritten: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }
}

/// The parts of a ring, wherever they live.
#[derive(Clone, Copy)]
pub(super) struct View<'r> {
    pub(super) shards: &'r [Shard],
    pub(super) blocks: &'r [Block],
    pub(super) free: &'r [AtomicUsize],
    pub(super) sealed: &'r [AtomicUsize],
    pub(super) arena: &'r [Byte],
    pub(super) common: &'r Common,
    pub(super) block_bytes: usize,
    /// The most spans a block takes.
    pub(super) spans: usize,
    /// Whether the oldest sealed block makes room when none is free.
    pub(super) overwrite: bool,
}

/// A bounded ring of blocks. See the [module](crate::ring).
///
/// Handed to a [`Recorder`](crate::recorder::Recorder), which appends to it; [`take`](Self::take) is its other end.
pub struct Ring(Place);

enum Place {
    #[cfg_attr(
        spanwire_loom,
        expect(dead_code, reason = "loom's atomics can't live in a static")
    )]
    Static(View<'static>),
    #[cfg(feature = "alloc")]
    Heap(heap::Parts),
}

impl Ring {
    #[inline]
    pub(super) fn view(&self) -> View<'_> {
        match &self.0 {
            Place::Static(view) => *view,
            #[cfg(feature = "alloc")]
            Place::Heap(parts) => parts.view(),
        }
    }
}

impl AsRef<Self> for Ring {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// The memory of a ring and of the spans before it, to be kept in a `static`.
///
/// `BLOCKS` blocks of `BLOCK_BYTES` bytes take ended spans; a span and its scope must fit one block. `SHARDS` append
/// points serve as many interrupt levels and threads at a time; take one more than there are interrupt levels that
/// record. `PAGES` pages of 768 bytes hold the attributes, events and links of spans that have not ended.
///
/// ```
/// use spanwire_core::ring::{Ring, Storage};
///
/// static STORAGE: Storage<4, 1024, 2, 8> = Storage::new();
/// static RING: Ring = Ring::fixed(&STORAGE);
///
/// assert!(RING.take().is_none());
/// ```
#[cfg(not(spanwire_loom))]
pub struct Storage<
    const BLOCKS: usize,
    const BLOCK_BYTES: usize,
    const SHARDS: usize,
    const PAGES: usize,
> {
    shards: [Shard; SHARDS],
    blocks: [Block; BLOCKS],
    // One word for each block, of which one in `WORD` is used: a count of words can't be computed here.
    free: [AtomicUsize; BLOCKS],
    sealed: [AtomicUsize; BLOCKS],
    arena: [[Byte; BLOCK_BYTES]; BLOCKS],
    common: Common,
    pub(super) free_pages: [AtomicUsize; PAGES],
    pub(super) pages: [super::pages::Cell; PAGES],
}

#[cfg(not(spanwire_loom))]
impl<const BLOCKS: usize, const BLOCK_BYTES: usize, const SHARDS: usize, const PAGES: usize>
    Storage<BLOCKS, BLOCK_BYTES, SHARDS, PAGES>
{
    /// Empty storage.
    #[must_use]
    pub const fn new() -> Self {
        const {
            assert!(BLOCKS > 0, "a ring has at least one block");
            assert!(SHARDS > 0, "a ring has at least one shard");
            assert!(BLOCK_BYTES >= 64, "a block has at least 64 bytes");
            assert!(
                BLOCK_BYTES <= super::MAX_BLOCK_BYTES,
                "a block has at most 1 MiB"
            );
        }
        Self {
            shards: [const { Shard::new() }; SHARDS],
            blocks: [const { Block::new() }; BLOCKS],
            free: full_words(BLOCKS),
            sealed: [const { AtomicUsize::new(0) }; BLOCKS],
            arena: [const { [Byte::ZERO; BLOCK_BYTES] }; BLOCKS],
            common: Common::new(SHARDS),
            free_pages: full_words(PAGES),
            pages: [const { super::pages::Cell::ZERO }; PAGES],
        }
    }
}

/// `N` words, of which the first hold the numbers below `len`.
#[cfg(not(spanwire_loom))]
const fn full_words<const N: usize>(len: usize) -> [AtomicUsize; N] {
    let mut words = [const { AtomicUsize::new(0) }; N];
    let mut at = 0;
    while at < N {
        words[at] = AtomicUsize::new(crate::bitmap::word(len, at));
        at += 1;
    }
    words
}

#[cfg(not(spanwire_loom))]
impl<const BLOCKS: usize, const BLOCK_BYTES: usize, const SHARDS: usize, const PAGES: usize> Default
    for Storage<BLOCKS, BLOCK_BYTES, SHARDS, PAGES>
{
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(not(spanwire_loom))]
impl<const BLOCKS: usize, const BLOCK_BYTES: usize, const SHARDS: usize, const PAGES: usize>
    fmt::Debug for Storage<BLOCKS, BLOCK_BYTES, SHARDS, PAGES>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("blocks", &BLOCKS)
            .field("block_bytes", &BLOCK_BYTES)
            .field("shards", &SHARDS)
            .field("pages", &PAGES)
            .finish_non_exhaustive()
    }
}

#[cfg(not(spanwire_loom))]
impl Ring {
    /// The ring over this storage. All rings over one storage are the same ring.
    #[must_use]
    pub const fn fixed<
        const BLOCKS: usize,
        const BLOCK_BYTES: usize,
        const SHARDS: usize,
        const PAGES: usize,
    >(
        storage: &'static Storage<BLOCKS, BLOCK_BYTES, SHARDS, PAGES>,
    ) -> Self {
        Self(Place::Static(View {
            shards: &storage.shards,
            blocks: &storage.blocks,
            free: &storage.free,
            sealed: &storage.sealed,
            arena: storage.arena.as_flattened(),
            common: &storage.common,
            block_bytes: BLOCK_BYTES,
            spans: usize::MAX,
            overwrite: false,
        }))
    }

    /// The same ring, which gives its oldest sealed block to new spans when no block is free.
    #[must_use]
    pub const fn overwriting(mut self) -> Self {
        match &mut self.0 {
            Place::Static(view) => view.overwrite = true,
            #[cfg(feature = "alloc")]
            Place::Heap(parts) => parts.layout.overwrite = true,
        }
        self
    }
}

#[cfg(feature = "alloc")]
pub(crate) use heap::Layout;

#[cfg(feature = "alloc")]
mod heap {
    use alloc::boxed::Box;

    use super::super::arena::{self, Byte};
    use super::super::block::Block;
    use super::super::shard::Shard;
    use super::{Common, Place, Ring, View};
    use crate::bitmap;
    use crate::sync::AtomicUsize;

    /// The measures of a ring on the heap.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Layout {
        pub(crate) blocks: usize,
        pub(crate) block_bytes: usize,
        /// Shards to start with, and to grow to.
        pub(crate) shards: usize,
        pub(crate) max_shards: usize,
        /// The most spans a block takes.
        pub(crate) spans: usize,
        /// Whether the oldest sealed block makes room when none is free.
        pub(crate) overwrite: bool,
    }

    impl Layout {
        /// The bytes of a ring of these measures, all parts included.
        pub(crate) const fn bytes(&self) -> usize {
            let words = 2 * self.blocks.div_ceil(bitmap::WORD) * size_of::<AtomicUsize>();
            self.blocks * (self.block_bytes + size_of::<Block>())
                + self.max_shards * size_of::<Shard>()
                + words
                + size_of::<Common>()
        }
    }

    pub(super) struct Parts {
        shards: Box<[Shard]>,
        blocks: Box<[Block]>,
        free: Box<[AtomicUsize]>,
        sealed: Box<[AtomicUsize]>,
        arena: Box<[Byte]>,
        common: Box<Common>,
        pub(super) layout: Layout,
    }

    impl Parts {
        #[inline]
        pub(super) fn view(&self) -> View<'_> {
            View {
                shards: &self.shards,
                blocks: &self.blocks,
                free: &self.free,
                sealed: &self.sealed,
                arena: &self.arena,
                common: &self.common,
                block_bytes: self.layout.block_bytes,
                spans: self.layout.spans,
                overwrite: self.layout.overwrite,
            }
        }
    }

    impl Ring {
        /// The bytes it holds on the heap.
        pub(crate) fn heap_bytes(&self) -> usize {
            match &self.0 {
                Place::Static(_) => 0,
                Place::Heap(parts) => parts.layout.bytes(),
            }
        }

        /// A ring of these measures. Its memory is mapped by the system when a block is first used.
        pub(crate) fn on_heap(layout: Layout) -> Self {
            let max_shards = layout.max_shards.max(layout.shards).max(1);
            Self(Place::Heap(Parts {
                shards: (0..max_shards).map(|_| Shard::new()).collect(),
                blocks: (0..layout.blocks).map(|_| Block::new()).collect(),
                free: bitmap::words(layout.blocks, true),
                sealed: bitmap::words(layout.blocks, false),
                arena: arena::zeroed(layout.blocks * layout.block_bytes),
                common: Box::new(Common::new(layout.shards.max(1))),
                layout,
            }))
        }
    }
}
