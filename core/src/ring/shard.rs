//! One append point: a lock that nobody waits for, and the open block behind it.

use super::arena::{self, Byte};
use super::{SCOPE_PREFIX, ScopeRef};
use crate::clock::Moment;
use crate::sync::{AtomicBool, AtomicUsize, Ordering, UnsafeCell};
use crate::wire::field::{self, WireType};

/// The tag of `ResourceSpans.scope_spans`.
const SCOPE_SPANS: u8 = field::tag(field::resource_spans::SCOPE_SPANS, WireType::Len) as u8;

/// A length in three bytes, whatever its size: decoders accept padded lengths, and 2^21 exceeds every block.
const PADDED: usize = SCOPE_PREFIX - 1;

#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shard {
    /// Whoever turns it from false to true holds the shard until it stores false.
    locked: AtomicBool,
    /// Spans appended here. Written by the holder only.
    pub(super) admitted: AtomicUsize,
    /// Belongs to the holder.
    state: UnsafeCell<State>,
}

// SAFETY: `state` is entered only through a `Guard`, of which `locked` admits one at a time.
unsafe impl Sync for Shard {}

#[derive(Debug)]
struct State {
    /// The scope of the record at the end of the open block, where in the arena the next byte goes, and where the block
    /// ends: all that an append need look at. There is no room where no block is open, its spans are all it may have, or
    /// the shard is closed.
    scope: usize,
    at: usize,
    end: usize,
    /// How many spans were appended when the block has all it may.
    full: usize,
    open: Option<Open>,
    closed: bool,
}

impl State {
    const NEW: Self = Self {
        scope: usize::MAX,
        at: 0,
        end: 0,
        full: 0,
        open: None,
        closed: false,
    };

    /// The bytes that the open block still takes.
    #[inline(always)]
    fn room(&self) -> usize {
        self.end.saturating_sub(self.at)
    }
}

/// A block that is being appended to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) block: usize,
    /// When the first span was appended.
    pub(super) first: Moment,
    /// The first byte of the block in the arena.
    start: usize,
    /// The bytes written and the spans, as they were when it was taken from its shard or its last record was begun.
    at: usize,
    spans: usize,
    /// The most spans that it may take.
    most_spans: usize,
    /// Where the fields of the record at the end begin. 0 where there is none.
    scope_at: usize,
}

impl Shard {
    #[cfg(not(spanwire_loom))]
    pub(super) const fn new() -> Self {
        Self {
            locked: AtomicBool::new(false),
            admitted: AtomicUsize::new(0),
            state: UnsafeCell::new(State::NEW),
        }
    }

    #[cfg(spanwire_loom)]
    pub(super) fn new() -> Self {
        Self {
            locked: AtomicBool::new(false),
            admitted: AtomicUsize::new(0),
            state: UnsafeCell::new(State::NEW),
        }
    }

    /// Holds the shard, unless another thread does.
    #[inline]
    pub(super) fn try_lock(&self) -> Option<Guard<'_>> {
        // Acquires what the last holder released. A thread that finds it held writes nothing.
        let locked =
            self.locked
                .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        locked.is_ok().then(|| Guard { shard: self })
    }
}

/// A shard that is held. Gives it free when dropped, also by a panic.
pub(super) struct Guard<'r> {
    shard: &'r Shard,
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.shard.locked.store(false, Ordering::Release);
    }
}

impl Guard<'_> {
    #[inline]
    fn with<R>(&mut self, run: impl FnOnce(&mut State) -> R) -> R {
        self.shard.state.with_mut(|state| {
            // SAFETY: this guard is the only one of its shard, and is borrowed for as long as the state is.
            run(unsafe { &mut *state })
        })
    }

    pub(super) fn open(&mut self) -> Option<&Open> {
        self.shard.state.with(|state| {
            // SAFETY: this guard is the only one of its shard, and is borrowed for as long as the result is.
            unsafe { (*state).open.as_ref() }
        })
    }

    pub(super) fn is_closed(&mut self) -> bool {
        self.with(|state| state.closed)
    }

    pub(super) fn close(&mut self) {
        self.with(|state| {
            state.closed = true;
            state.end = 0;
        });
    }

    pub(super) fn take_open(&mut self) -> Option<Open> {
        let admitted = self.shard.admitted.load(Ordering::Relaxed);
        self.with(|state| {
            state.end = 0;
            let mut open = state.open.take()?;
            let left = state.full.wrapping_sub(admitted);
            open.spans = open.most_spans.wrapping_sub(left);
            open.at = state.at - open.start;
            Some(open)
        })
    }

    /// Opens a block, for its first record. The shard is not closed.
    pub(super) fn set_open(&mut self, open: Open, block_bytes: usize) {
        let admitted = self.shard.admitted.load(Ordering::Relaxed);
        self.with(|state| {
            // No scope has this number: nothing is appended before a record was begun.
            state.scope = usize::MAX;
            state.at = open.start;
            state.end = if open.most_spans > 0 {
                open.start + block_bytes
            } else {
                0
            };
            state.full = admitted.wrapping_add(open.most_spans);
            state.open = Some(open);
        });
    }

    /// Where `len` more bytes of the record at the end of the open block go, if that is of this scope and has room.
    #[inline(always)]
    pub(super) fn place(&mut self, arena: &[Byte], scope: usize, len: usize) -> Option<Place> {
        self.with(|state| {
            let end = state.at.checked_add(len)?;
            // No block ends behind the arena. Asked here too, so that `arena::write` need not ask.
            let fits = state.scope == scope && end <= state.end && end <= arena.len();
            fits.then_some(Place { at: state.at, len })
        })
    }

    /// Whether the open block has room for `len` more bytes.
    pub(super) fn has_room(&mut self, len: usize) -> bool {
        self.with(|state| len <= state.room())
    }

    /// Begins a `ScopeSpans` record. The open block has room for it.
    pub(super) fn begin_scope(&mut self, arena: &[Byte], scope: ScopeRef<'_>) {
        self.with(|state| {
            let at = state.at;
            let Some(open) = &mut state.open else { return };
            open.at = at - open.start;
            open.finish_scope(arena);
            let prefix = [SCOPE_SPANS, 0x80, 0x80, 0];
            // SAFETY: the bytes of an open block belong to the holder of its shard.
            let out = unsafe { arena::write(arena, at, SCOPE_PREFIX + scope.fields.len()) };
            if let Some((head, fields)) = out.split_first_chunk_mut::<SCOPE_PREFIX>()
                && fields.len() == scope.fields.len()
            {
                *head = prefix;
                fields.copy_from_slice(scope.fields);
                open.scope_at = open.at + SCOPE_PREFIX;
                state.at += SCOPE_PREFIX + scope.fields.len();
                state.scope = scope.number;
            }
        });
    }

    /// The bytes of a place that this guard gave out.
    #[inline(always)]
    pub(super) fn bytes<'g>(&'g mut self, arena: &'g [Byte], place: &Place) -> &'g mut [u8] {
        // SAFETY: the place is one that this guard gave out, inside the open block, whose bytes belong to the holder of
        // the shard, which is borrowed mutably.
        unsafe { arena::write(arena, place.at, place.len) }
    }

    /// Makes a place that this guard gave out part of the record.
    #[inline(always)]
    pub(super) fn advance(&mut self, place: Place) {
        let admitted = self.shard.admitted.load(Ordering::Relaxed).wrapping_add(1);
        self.shard.admitted.store(admitted, Ordering::Relaxed);
        self.with(|state| {
            state.at += place.len;
            if admitted == state.full {
                state.end = 0;
            }
        });
    }
}

/// Room for one record in an open block, for as long as its shard is held.
#[derive(Debug)]
pub(super) struct Place {
    at: usize,
    len: usize,
}

impl Open {
    pub(super) fn new(block: usize, first: Moment, block_bytes: usize, spans: usize) -> Self {
        Self {
            block,
            first,
            start: block * block_bytes,
            at: 0,
            spans: 0,
            most_spans: spans,
            scope_at: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.at
    }

    pub(super) fn spans(&self) -> usize {
        self.spans
    }

    /// Writes the length of the record at the end, which is complete. Called by the owner of the block only.
    pub(super) fn finish_scope(&self, arena: &[Byte]) {
        let Some(at) = self.scope_at.checked_sub(PADDED) else {
            return;
        };
        let len = self.at - self.scope_at;
        // SAFETY: the bytes of an open block belong to the holder of its shard.
        let out = unsafe { arena::write(arena, self.start + at, PADDED) };
        if let Ok(out) = <&mut [u8; PADDED]>::try_from(out) {
            *out = [
                len as u8 | 0x80,
                (len >> 7) as u8 | 0x80,
                (len >> 14) as u8 & 0x7f,
            ];
        }
    }
}
