//! What a live span was told, in pages: written at the end, read from the start, cut back to a mark.

use super::pages::{PAYLOAD, Page, Pages};
use crate::thread::{self, Seat};
use crate::wire::encode::Put;

/// No page.
const NONE: u32 = u32::MAX;

/// A chain of pages that one span owns. Must be [released](Self::release) to the slab it was reserved from.
#[derive(Debug)]
pub(crate) struct Body {
    /// The address of the slab that the pages are from; what is asked of another slab does nothing.
    slab: usize,
    first: u32,
    /// The page that is written to, how much of it is full, and the last of the chain.
    current: u32,
    filled: u32,
    last: u32,
    /// Bytes written, and bytes that may be.
    len: u32,
    room: u32,
}

/// A place in a body to cut it back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    current: u32,
    filled: u32,
    len: u32,
}

impl Body {
    /// Nothing, in no page.
    pub(crate) const EMPTY: Self = Self {
        slab: 0,
        first: NONE,
        current: NONE,
        filled: 0,
        last: NONE,
        len: 0,
        room: 0,
    };

    /// Bytes written.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the current page, if there is one, has room for `len` bytes.
    #[inline(always)]
    pub(crate) fn fits(&self, len: usize) -> bool {
        len <= PAYLOAD - self.filled as usize && self.current != NONE
    }

    /// Makes sure that `more` bytes can be written. `false` when there are no pages for them.
    #[inline]
    pub(crate) fn reserve(&mut self, pages: &Pages, more: usize) -> bool {
        more <= (self.room - self.len) as usize || self.extend(pages, more)
    }

    #[cold]
    fn extend(&mut self, pages: &Pages, more: usize) -> bool {
        if self.first == NONE {
            self.slab = pages.address();
        } else if self.slab != pages.address() {
            return false;
        }
        thread::with(|seat| {
            while more > (self.room - self.len) as usize {
                let Some(page) = pages.take(seat) else {
                    return false;
                };
                self.append(pages, page);
            }
            true
        })
    }

    fn append(&mut self, pages: &Pages, mut page: Page) {
        // SAFETY: the page was just claimed from this slab.
        set_next(unsafe { pages.write(&mut page) }, NONE);
        let number = page.number();
        if self.first == NONE {
            self.first = number;
            self.current = number;
        } else if let Some(mut last) = self.page(pages, self.last) {
            // SAFETY: `page` hands out pages of this slab only.
            set_next(unsafe { pages.write(&mut last) }, number);
        }
        self.last = number;
        self.room += PAYLOAD as u32;
    }

    /// A page of this chain. The caller holds at most one at a time.
    #[inline]
    fn page(&self, pages: &Pages, number: u32) -> Option<Page> {
        if number == NONE || self.slab != pages.address() {
            return None;
        }
        // SAFETY: the numbers kept in a body and in the links of its pages are those of pages that it owns.
        Some(unsafe { Page::from_number(number) })
    }

    /// Writes `len` reserved bytes in one piece, where the current page has room for them; or says that it has not.
    #[inline(always)]
    pub(crate) fn write_piece(
        &mut self,
        pages: &Pages,
        len: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> bool {
        let filled = self.filled as usize;
        if len > PAYLOAD - filled || self.current == NONE || self.slab != pages.address() {
            return false;
        }
        // SAFETY: the current page is this body's, which is borrowed mutably, and of this slab; `filled` is at most
        // `PAYLOAD`, so the piece ends before the link at the end of the page.
        write(unsafe { pages.piece_mut(self.current, filled, len) });
        self.filled += len as u32;
        self.len += len as u32;
        true
    }

    /// Takes `len` bytes of the current page, where it has room for them. The caller fills them.
    #[inline(always)]
    pub(crate) fn take_piece<'p>(
        &'p mut self,
        pages: &'p Pages,
        len: usize,
    ) -> Option<&'p mut [u8]> {
        if !self.fits(len) || self.slab != pages.address() {
            return None;
        }
        let at = self.filled as usize;
        self.filled += len as u32;
        self.len += len as u32;
        // SAFETY: the current page is this body's, which is borrowed mutably, and of this slab; `fits` says that the
        // piece ends before the link at the end of the page.
        Some(unsafe { pages.piece_mut(self.current, at, len) })
    }

    /// Takes reserved bytes across pages.
    #[inline]
    pub(crate) fn writer<'b>(&'b mut self, pages: &'b Pages) -> BodyWriter<'b> {
        BodyWriter { body: self, pages }
    }

    fn put(&mut self, pages: &Pages, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.filled as usize >= PAYLOAD {
                let next = self.next(pages, self.current);
                if next == NONE {
                    return;
                }
                self.current = next;
                self.filled = 0;
            }
            let now = bytes.len().min(PAYLOAD - self.filled as usize);
            let (piece, rest) = bytes.split_at(now);
            if !self.write_piece(pages, now, |out| out.copy_from_slice(piece)) {
                return;
            }
            bytes = rest;
        }
    }

    fn next(&self, pages: &Pages, number: u32) -> u32 {
        self.page(pages, number).map_or(NONE, |page| {
            // SAFETY: `page` hands out pages of this slab only.
            next_of(unsafe { pages.read(&page) })
        })
    }

    /// The place where the next byte goes.
    #[inline]
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            current: self.current,
            filled: self.filled,
            len: self.len,
        }
    }

    /// Goes to a mark of this body; what was written behind it is gone.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        if mark.current == NONE {
            self.current = self.first;
            self.filled = 0;
            self.len = 0;
        } else {
            Mark {
                current: self.current,
                filled: self.filled,
                len: self.len,
            } = mark;
        }
    }

    /// Goes to this offset, at most the end: what is written next stands there. Returns the place it was at.
    pub(crate) fn seek(&mut self, pages: &Pages, at: usize) -> Mark {
        let before = self.mark();
        let at = at.min(self.len());
        let mut left = at;
        let mut number = self.first;
        while left > PAYLOAD {
            number = self.next(pages, number);
            left -= PAYLOAD;
        }
        self.current = number;
        self.filled = left as u32;
        self.len = at as u32;
        before
    }

    /// Calls `each` with the bytes, piece by piece, in order.
    #[inline]
    pub(crate) fn for_each_piece(&self, pages: &Pages, mut each: impl FnMut(&[u8])) {
        let mut left = self.len();
        let mut number = self.first;
        while left > 0 {
            let Some(page) = self.page(pages, number) else {
                return;
            };
            // SAFETY: `page` hands out pages of this slab only.
            let bytes = unsafe { pages.read(&page) };
            let now = left.min(PAYLOAD);
            each(bytes.get(..now).unwrap_or_default());
            left -= now;
            number = next_of(bytes);
        }
    }

    /// The byte at this offset, or `None` past the end.
    pub(crate) fn byte(&self, pages: &Pages, at: usize) -> Option<u8> {
        let (page, at) = self.find(pages, at)?;
        // SAFETY: `find` hands out pages of this slab only.
        unsafe { pages.read(&page) }.get(at).copied()
    }

    /// Replaces the byte at this offset; past the end, nothing.
    pub(crate) fn set_byte(&mut self, pages: &Pages, at: usize, byte: u8) {
        let Some((mut page, at)) = self.find(pages, at) else {
            return;
        };
        // SAFETY: `find` hands out pages of this slab only.
        if let Some(slot) = unsafe { pages.write(&mut page) }.get_mut(at) {
            *slot = byte;
        }
    }

    fn find(&self, pages: &Pages, mut at: usize) -> Option<(Page, usize)> {
        if at >= self.len() {
            return None;
        }
        let mut number = self.first;
        while at >= PAYLOAD {
            number = self.next(pages, number);
            at -= PAYLOAD;
        }
        Some((self.page(pages, number)?, at))
    }

    /// Gives all pages back. The body is empty afterwards.
    #[inline]
    pub(crate) fn release(&mut self, pages: &Pages, seat: Option<&Seat>) {
        if self.first != NONE {
            self.release_pages(pages, seat);
        }
    }

    #[inline(never)]
    fn release_pages(&mut self, pages: &Pages, seat: Option<&Seat>) {
        let mut number = self.first;
        while let Some(page) = self.page(pages, number) {
            // SAFETY: `page` hands out pages of this slab only.
            number = next_of(unsafe { pages.read(&page) });
            pages.give(page, seat);
        }
        *self = Self::EMPTY;
    }
}

/// Takes the bytes that were reserved.
#[derive(Debug)]
pub(crate) struct BodyWriter<'b> {
    body: &'b mut Body,
    pages: &'b Pages,
}

impl Put for BodyWriter<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.body.put(self.pages, bytes);
    }
}

#[inline]
fn next_of(page: &[u8]) -> u32 {
    page.last_chunk()
        .map_or(NONE, |link| u32::from_ne_bytes(*link))
}

#[inline]
fn set_next(page: &mut [u8], next: u32) {
    if let Some(link) = page.last_chunk_mut() {
        *link = next.to_ne_bytes();
    }
}
