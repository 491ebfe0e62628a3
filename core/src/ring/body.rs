//! What a live span was told, in pages: written at the end, read from the start, cut back to a mark.
//!
//! ```text
//! first page: | chain | notes | bytes ...           |
//! later ones: | bytes ...                    | next |
//! ```
//!
//! All that is known of the bytes stands in the first page, beside them, so that a span that was told nothing is small.

use core::fmt;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::ptr::NonNull;

use super::pages::{PAGE, Page, Pages};
use crate::thread::{self, Seat};
use crate::wire::encode::Put;

/// No page.
const NONE: u32 = u32::MAX;

/// Where the bytes of a later page end. Behind them is the number of the next page.
const END: usize = PAGE - size_of::<u32>();

/// A chain of pages that one span owns, with notes of the kind `N`. Must be [released](Self::release) to the slab it
/// was taken from.
pub(crate) struct Body<N> {
    /// The address of the slab that the pages are from; what is asked of another slab does nothing. 0 without pages.
    slab: usize,
    first: u32,
    _notes: PhantomData<N>,
}

/// A body that has pages.
pub(crate) struct Told<'p, N> {
    first: NonNull<First<N>>,
    number: u32,
    pages: &'p Pages,
    _body: PhantomData<&'p mut Body<N>>,
}

/// Notes of which nothing was noted yet.
pub(crate) trait Blank {
    const BLANK: Self;
}

impl Blank for () {
    const BLANK: Self = ();
}

/// The start of the first page.
#[repr(C)]
struct First<N> {
    chain: Chain,
    notes: N,
}

struct Chain {
    /// The page that is written to, where in it the next byte goes, and where its bytes end.
    current: u32,
    filled: u16,
    end: u16,
    /// Where in it the bytes end that are limited to `most`: at or before `end`.
    short_end: u16,
    most: u32,
    /// The second page and the last one.
    next: u32,
    last: u32,
    /// Bytes written, and bytes that may be.
    len: u32,
    room: u32,
}

/// A place in a body to cut it back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    current: u32,
    filled: u16,
    end: u16,
    len: u32,
}

impl<N> Body<N> {
    /// Nothing, in no page.
    pub(crate) const EMPTY: Self = Self {
        slab: 0,
        // Blank notes hold an empty body, and zeros are written fastest.
        first: 0,
        _notes: PhantomData,
    };

    /// Whether it has pages.
    #[inline(always)]
    pub(crate) fn has_pages(&self) -> bool {
        self.slab != 0
    }

    /// Whether it has pages of this slab.
    #[inline(always)]
    pub(crate) fn is_open(&self, pages: &Pages) -> bool {
        self.slab == pages.address()
    }

    /// The bytes and the notes. `None` without pages.
    #[inline(always)]
    pub(crate) fn open<'p>(&'p mut self, pages: &'p Pages) -> Option<Told<'p, N>> {
        if !self.is_open(pages) {
            return None;
        }
        // SAFETY: a body that has pages of this slab has claimed its first one from it.
        let start = unsafe { pages.start(self.first) };
        Some(Told {
            first: start.cast(),
            number: self.first,
            pages,
            _body: PhantomData,
        })
    }

    /// Takes out the page of a body that has one. `None` when it has none, or more.
    #[inline(always)]
    pub(crate) fn take_only<'p>(&mut self, pages: &'p Pages) -> Option<Only<'p, N>> {
        let told = self.open(pages)?;
        if told.first().chain.next != NONE {
            return None;
        }
        let Told { first, number, .. } = told;
        self.slab = 0;
        Some(Only {
            first,
            number,
            pages,
        })
    }

    /// Takes a first page, with blank notes in it. `false` when there is none, or the body has pages already.
    ///
    /// Of the bytes in all, `most` can be taken by [`Told::take_short`].
    #[inline(always)]
    pub(crate) fn take_first(&mut self, pages: &Pages, seat: Option<Seat>, most: u16) -> bool
    where
        N: Blank,
    {
        const {
            assert!(
                size_of::<First<N>>() <= PAGE / 2,
                "the notes leave little room"
            );
            assert!(
                align_of::<First<N>>() <= align_of::<u64>(),
                "pages are words"
            );
            assert!(
                !core::mem::needs_drop::<N>(),
                "notes are forgotten with their page"
            );
        }
        if self.slab != 0 {
            return false;
        }
        let Some(page) = pages.take(seat) else {
            return false;
        };
        let number = page.number();
        // SAFETY: the page was just claimed from this slab.
        let start = unsafe { pages.start(number) };
        let chain = Chain {
            current: number,
            filled: size_of::<First<N>>() as u16,
            end: PAGE as u16,
            short_end: short_end::<N>(most),
            most: most.into(),
            next: NONE,
            last: number,
            len: 0,
            room: (PAGE - size_of::<First<N>>()) as u32,
        };
        // SAFETY: the page is this body's alone, and as the assertions say its start is aligned and has room.
        unsafe { start.cast().write(chain) };
        // SAFETY: the notes lie in the page, behind the chain.
        let notes = unsafe { start.add(offset_of!(First<N>, notes)) };
        // SAFETY: as above. In two parts, because a whole would be put together elsewhere and copied from there.
        unsafe { notes.cast().write(N::BLANK) };
        self.slab = pages.address();
        self.first = number;
        true
    }

    /// Gives all pages back. The body is empty afterwards.
    #[inline(always)]
    pub(crate) fn release(&mut self, pages: &Pages, seat: Option<Seat>) {
        let Some(told) = self.open(pages) else {
            return;
        };
        let (number, next) = (told.number, told.first().chain.next);
        if next != NONE {
            told.again().release_later(next);
        }
        // SAFETY: the number kept in a body is that of its first page, and the body is empty from here on.
        pages.give(unsafe { Page::from_number(number) }, seat);
        *self = Self::EMPTY;
    }
}

/// Where in the first page the bytes end that are limited to `most`.
#[inline(always)]
fn short_end<N>(most: u16) -> u16 {
    (size_of::<First<N>>() as u32 + u32::from(most)).min(PAGE as u32) as u16
}

impl Chain {
    /// Says anew where the limited bytes end in the current page: after it was changed.
    fn limit(&mut self) {
        let left = self.most.saturating_sub(self.len);
        let end = u32::from(self.filled) + left;
        self.short_end = end.min(u32::from(self.end)) as u16;
    }
}

impl<N> fmt::Debug for Body<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("first", &self.first)
            .finish_non_exhaustive()
    }
}

impl<'p, N> Told<'p, N> {
    /// The most bytes that one page holds.
    #[cfg(test)]
    pub(crate) const FIRST: usize = PAGE - size_of::<First<N>>();

    #[inline(always)]
    fn first(&self) -> &First<N> {
        // SAFETY: `take_first` initialised it, and the page is the body's, which is borrowed mutably by `self`.
        unsafe { self.first.as_ref() }
    }

    #[inline(always)]
    fn first_mut(&mut self) -> &mut First<N> {
        // SAFETY: as above.
        unsafe { self.first.as_mut() }
    }

    /// The same, elsewhere, for as long as nothing else is done with this one: what is passed on in memory would be in
    /// memory from the start.
    #[inline(always)]
    fn again(&self) -> Self {
        Self {
            first: self.first,
            number: self.number,
            pages: self.pages,
            _body: PhantomData,
        }
    }

    /// What is noted about the bytes.
    #[inline(always)]
    pub(crate) fn notes(&self) -> &N {
        &self.first().notes
    }

    /// What is noted about the bytes, to be changed.
    #[inline(always)]
    pub(crate) fn notes_mut(&mut self) -> &mut N {
        &mut self.first_mut().notes
    }

    /// The slab that the pages are from.
    #[inline(always)]
    pub(crate) fn pages(&self) -> &'p Pages {
        self.pages
    }

    /// Bytes written.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.first().chain.len as usize
    }

    /// Makes sure that `more` bytes can be written. `false` when there are no pages for them.
    #[inline]
    pub(crate) fn reserve(&mut self, more: usize) -> bool {
        let chain = &self.first().chain;
        more <= (chain.room - chain.len) as usize || self.extend(more)
    }

    #[cold]
    fn extend(&mut self, more: usize) -> bool {
        thread::with(|seat| {
            loop {
                let chain = &self.first().chain;
                if more <= (chain.room - chain.len) as usize {
                    return true;
                }
                let Some(page) = self.pages.take(seat) else {
                    return false;
                };
                self.set_next(page.number(), NONE);
                self.set_next(self.first().chain.last, page.number());
                let chain = &mut self.first_mut().chain;
                chain.last = page.number();
                chain.room += END as u32;
            }
        })
    }

    /// Gives back the later pages.
    #[cold]
    #[inline(never)]
    fn release_later(self, first: u32) {
        thread::with(|seat| {
            let mut number = first;
            while number != NONE {
                let next = self.next(number);
                // SAFETY: the numbers kept in the links of a body's pages are those of pages that it owns, and this one is
                // not read again: the caller gives back the first page too.
                self.pages.give(unsafe { Page::from_number(number) }, seat);
                number = next;
            }
        });
    }

    /// Where the number of the page behind this later page of the chain is kept.
    #[inline(always)]
    fn link(&self, number: u32) -> NonNull<u32> {
        // SAFETY: the numbers kept in a body and in the links of its pages are those of pages that it claimed from
        // this slab.
        let start = unsafe { self.pages.start(number) };
        // SAFETY: the link lies in the page, behind its bytes.
        unsafe { start.add(END) }.cast()
    }

    #[inline(always)]
    fn next(&self, number: u32) -> u32 {
        if number == self.number {
            return self.first().chain.next;
        }
        // SAFETY: the link is initialised when the page comes to the chain, and aligned: pages are words, and `END` is
        // a multiple of its size.
        unsafe { self.link(number).read() }
    }

    #[inline(always)]
    fn set_next(&mut self, number: u32, next: u32) {
        if number == self.number {
            self.first_mut().chain.next = next;
            return;
        }
        // SAFETY: the page is the body's, which is borrowed mutably by `self`, and the link is aligned.
        unsafe { self.link(number).write(next) };
    }

    /// Where the bytes of a page end.
    #[inline(always)]
    fn end(&self, number: u32) -> usize {
        if number == self.number { PAGE } else { END }
    }

    /// Where the bytes of a page begin.
    #[inline(always)]
    fn begin(&self, number: u32) -> usize {
        if number == self.number {
            size_of::<First<N>>()
        } else {
            0
        }
    }

    /// The notes, and the room that is left in the current page: bytes that are not too many, and can be taken by
    /// [`take_room`](Self::take_room).
    #[inline(always)]
    pub(crate) fn notes_and_room(&mut self) -> (&mut N, &mut [u8]) {
        let chain = &self.first().chain;
        let (current, at) = (chain.current, usize::from(chain.filled));
        let len = usize::from(chain.short_end).saturating_sub(at);
        // SAFETY: the numbers kept in a body are those of pages that it claimed from this slab.
        let start = unsafe { self.pages.start(current) };
        // SAFETY: bytes are written between `begin` and `end` of a page, of which `filled` and `short_end` are two.
        let room = unsafe { start.add(at) };
        // SAFETY: the bytes are initialised, and the page is the body's, which is borrowed mutably by `self`, as is
        // the result. Chain and notes stand before `begin`, so nothing of them is among the bytes.
        let room = unsafe { core::slice::from_raw_parts_mut(room.as_ptr(), len) };
        (self.notes_mut(), room)
    }

    /// Makes the first `len` bytes of that room part of the body; of more than it has, none. The caller has filled them.
    #[inline(always)]
    pub(crate) fn take_room(&mut self, len: u16) {
        let chain = &mut self.first_mut().chain;
        let filled = u32::from(chain.filled) + u32::from(len);
        if filled <= u32::from(chain.short_end) {
            chain.filled = filled as u16;
            chain.len += u32::from(len);
        }
    }

    /// Takes `len` bytes of the current page, where it has room for them, and they are not too many. The caller fills
    /// them.
    #[inline(always)]
    pub(crate) fn take_short(&mut self, len: usize) -> Option<&mut [u8]> {
        let chain = &mut self.first_mut().chain;
        let (current, at) = (chain.current, usize::from(chain.filled));
        if at + len > usize::from(chain.short_end) {
            return None;
        }
        chain.filled += len as u16;
        chain.len += len as u32;
        Some(self.piece_mut(current, at, len))
    }

    /// Takes `len` bytes of the current page, where it has room for them. The caller fills them.
    #[inline(always)]
    pub(crate) fn take_piece(&mut self, len: usize) -> Option<&mut [u8]> {
        let chain = &mut self.first_mut().chain;
        let (current, at) = (chain.current, usize::from(chain.filled));
        if len > usize::from(chain.end - chain.filled) {
            return None;
        }
        chain.filled += len as u16;
        chain.len += len as u32;
        Some(self.piece_mut(current, at, len))
    }

    /// Bytes of a page of this chain that end before its link.
    #[inline(always)]
    fn piece_mut(&mut self, number: u32, at: usize, len: usize) -> &mut [u8] {
        debug_assert!(at >= self.begin(number) && at + len <= self.end(number));
        // SAFETY: the numbers kept in a body are those of pages that it claimed from this slab.
        let start = unsafe { self.pages.start(number) };
        // SAFETY: the piece lies in the page.
        let first = unsafe { start.add(at) };
        // SAFETY: the bytes are initialised, and the page is the body's, which is borrowed mutably by `self`, as is
        // the result; what stands before `begin` is not among them.
        unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), len) }
    }

    /// Bytes of a page of this chain that end before its link.
    #[inline(always)]
    fn piece(&self, number: u32, at: usize, len: usize) -> &[u8] {
        debug_assert!(at >= self.begin(number) && at + len <= self.end(number));
        // SAFETY: the numbers kept in a body are those of pages that it claimed from this slab.
        let start = unsafe { self.pages.start(number) };
        // SAFETY: the piece lies in the page.
        let first = unsafe { start.add(at) };
        // SAFETY: the bytes are initialised, and the page is the body's, which is borrowed by `self`, as is the result.
        unsafe { core::slice::from_raw_parts(first.as_ptr(), len) }
    }

    /// Takes reserved bytes across pages.
    #[inline]
    pub(crate) fn writer(&mut self) -> BodyWriter<'_, N> {
        BodyWriter { body: self.again() }
    }

    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let chain = &self.first().chain;
            let mut left = usize::from(chain.end - chain.filled);
            if left == 0 {
                let next = self.next(chain.current);
                if next == NONE {
                    return;
                }
                let chain = &mut self.first_mut().chain;
                chain.current = next;
                chain.filled = 0;
                chain.end = END as u16;
                chain.limit();
                left = END;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(left));
            if let Some(piece) = self.take_piece(now.len()) {
                piece.copy_from_slice(now);
            }
            bytes = rest;
        }
    }

    /// The place where the next byte goes.
    #[inline]
    pub(crate) fn mark(&self) -> Mark {
        let chain = &self.first().chain;
        Mark {
            current: chain.current,
            filled: chain.filled,
            end: chain.end,
            len: chain.len,
        }
    }

    /// Goes to a mark of this body; what was written behind it is gone.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        let chain = &mut self.first_mut().chain;
        chain.current = mark.current;
        chain.filled = mark.filled;
        chain.end = mark.end;
        chain.len = mark.len;
        chain.limit();
    }

    /// Goes to this offset, at most the end: what is written next stands there. Returns the place it was at.
    pub(crate) fn seek(&mut self, at: usize) -> Mark {
        let before = self.mark();
        let at = at.min(self.len());
        let (mut number, mut left) = (self.number, at);
        while left > self.end(number) - self.begin(number) {
            left -= self.end(number) - self.begin(number);
            number = self.next(number);
        }
        let (filled, end) = (self.begin(number) + left, self.end(number));
        let chain = &mut self.first_mut().chain;
        chain.current = number;
        chain.filled = filled as u16;
        chain.end = end as u16;
        chain.len = at as u32;
        chain.limit();
        before
    }

    /// Calls `each` with the bytes, piece by piece, in order.
    #[inline(always)]
    pub(crate) fn for_each_piece(&self, mut each: impl FnMut(&[u8])) {
        let (mut number, mut left) = (self.number, self.len());
        loop {
            let begin = self.begin(number);
            let now = left.min(self.end(number) - begin);
            each(self.piece(number, begin, now));
            left -= now;
            if left == 0 {
                return;
            }
            number = self.next(number);
        }
    }

    /// The byte at this offset, or `None` past the end.
    pub(crate) fn byte(&self, at: usize) -> Option<u8> {
        let (number, at) = self.find(at)?;
        self.piece(number, at, 1).first().copied()
    }

    /// Replaces the byte at this offset; past the end, nothing.
    pub(crate) fn set_byte(&mut self, at: usize, byte: u8) {
        if let Some((number, at)) = self.find(at) {
            self.piece_mut(number, at, 1).fill(byte);
        }
    }

    /// The page and the place in it of the byte at this offset.
    fn find(&self, mut at: usize) -> Option<(u32, usize)> {
        if at >= self.len() {
            return None;
        }
        let mut number = self.number;
        while at >= self.end(number) - self.begin(number) {
            at -= self.end(number) - self.begin(number);
            number = self.next(number);
        }
        Some((number, self.begin(number) + at))
    }
}

/// The only page of a body, which was taken out of it. Must be [released](Self::release) or [put back](Self::put_back).
#[must_use = "a page that is not released is lost"]
pub(crate) struct Only<'p, N> {
    first: NonNull<First<N>>,
    number: u32,
    pages: &'p Pages,
}

impl<N> Only<'_, N> {
    #[inline(always)]
    fn first(&self) -> &First<N> {
        // SAFETY: `take_first` initialised it, and the page is of the body that `take_only` took it out of, and so this
        // value's alone.
        unsafe { self.first.as_ref() }
    }

    /// What is noted about the bytes.
    #[inline(always)]
    pub(crate) fn notes(&self) -> &N {
        &self.first().notes
    }

    /// How many bytes there are.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.first().chain.len as usize
    }

    /// Copies the bytes to as many; to others, nothing.
    #[inline(always)]
    pub(crate) fn copy_to(&self, out: &mut [u8]) {
        let len = self.len();
        debug_assert!(size_of::<First<N>>() + len <= PAGE);
        if out.len() != len {
            return;
        }
        // SAFETY: the bytes begin behind the notes, in the same page.
        let bytes = unsafe { self.first.add(1) }.cast();
        // SAFETY: a body that has one page has all its bytes in it; they are initialised, and this value's alone.
        out.copy_from_slice(unsafe { core::slice::from_raw_parts(bytes.as_ptr(), len) });
    }

    /// Gives the page back to its slab.
    #[inline(always)]
    pub(crate) fn release(self, seat: Option<Seat>) {
        // SAFETY: the number is that of the page which `take_only` took out of its body, and nothing else has it.
        let page = unsafe { Page::from_number(self.number) };
        self.pages.give(page, seat);
    }

    /// Puts the page back into the body that it was taken out of.
    pub(crate) fn put_back(self, body: &mut Body<N>) {
        debug_assert!(!body.has_pages());
        body.slab = self.pages.address();
        body.first = self.number;
    }
}

/// Takes the bytes that were reserved.
pub(crate) struct BodyWriter<'b, N> {
    body: Told<'b, N>,
}

impl<N> Put for BodyWriter<'_, N> {
    fn put(&mut self, bytes: &[u8]) {
        self.body.put(bytes);
    }
}
