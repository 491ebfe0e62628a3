//! Which keys a span has, so that a key that is set again replaces its attribute.

use crate::recorder::Short;
use crate::ring::{Body, Pages};
use crate::thread;
use crate::wire::encode::Put;

/// Keys that are noted beside the attributes; the others are noted in pages of their own.
const INLINE: usize = Short::ATTRIBUTES as usize;

/// One note: the upper half is a fingerprint of the key, the lower half where its attribute stands in the body.
#[derive(Clone, Copy)]
struct Note(u32);

impl Note {
    fn new(fingerprint: u16, at: u16) -> Self {
        Self(u32::from(fingerprint) << 16 | u32::from(at))
    }

    fn fingerprint(self) -> u16 {
        (self.0 >> 16) as u16
    }

    fn at(self) -> usize {
        (self.0 & 0xffff) as usize
    }
}

/// Notes on the attributes of one span, in the order in which their keys were first set.
#[derive(Debug)]
pub(super) struct Keys {
    /// One bit for each of the keys, by its fingerprint: most new keys find theirs unset. A word is read as it was
    /// written, which costs nothing right after the writing; reading many notes at once then would wait for it.
    filter: [u64; 2],
    count: u16,
    /// The two halves of the first notes.
    fingerprints: [u16; INLINE],
    places: [u16; INLINE],
    more: Body<()>,
}

/// Which note it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Index(usize);

impl Index {
    pub(super) const FIRST: Self = Self(0);

    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Keys {
    pub(super) const EMPTY: Self = Self {
        filter: [0; 2],
        count: 0,
        fingerprints: [0; INLINE],
        places: [0; INLINE],
        more: Body::EMPTY,
    };

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether no key with this fingerprint was noted, and it is one of the first `most`: at most those that are noted
    /// inline.
    #[inline(always)]
    pub(super) fn is_new(&self, fingerprint: u16, most: u16) -> bool {
        !self.may_have(fingerprint) && self.count < most
    }

    /// Whether a key with this fingerprint may have been noted.
    #[inline(always)]
    pub(super) fn may_have(&self, fingerprint: u16) -> bool {
        self.filter[word(fingerprint)] & bit(fingerprint) != 0 && self.may_have_noted(fingerprint)
    }

    #[inline(never)]
    fn may_have_noted(&self, fingerprint: u16) -> bool {
        self.len() > INLINE || self.fingerprints.contains(&fingerprint)
    }

    /// The next note, from this one on, with this fingerprint, and the place of its attribute.
    pub(super) fn find(
        &mut self,
        pages: &Pages,
        fingerprint: u16,
        Index(from): Index,
    ) -> Option<(Index, usize)> {
        let count = self.len().min(INLINE);
        let inline = self.fingerprints.iter().zip(&self.places).take(count);
        let found = inline
            .enumerate()
            .skip(from)
            .find(|(_, (other, _))| **other == fingerprint);
        if let Some((index, (_, at))) = found {
            return Some((Index(index), usize::from(*at)));
        }
        if self.len() <= INLINE {
            return None;
        }
        self.find_in_pages(pages, fingerprint, from)
    }

    #[inline(never)]
    fn find_in_pages(
        &mut self,
        pages: &Pages,
        fingerprint: u16,
        from: usize,
    ) -> Option<(Index, usize)> {
        let mut index = INLINE;
        let mut found = None;
        self.more.open(pages)?.for_each_piece(|piece| {
            if found.is_some() {
                return;
            }
            let notes = piece.as_chunks::<4>().0;
            // Most of the time none fits: one pass without branches tells.
            let hits = notes.iter().fold(false, |hit, note| {
                hit | (Note(u32::from_ne_bytes(*note)).fingerprint() == fingerprint)
            });
            if hits {
                let skipped = from.saturating_sub(index);
                found = notes
                    .iter()
                    .enumerate()
                    .skip(skipped)
                    .find_map(|(at, note)| {
                        let note = Note(u32::from_ne_bytes(*note));
                        (note.fingerprint() == fingerprint)
                            .then_some((Index(index + at), note.at()))
                    });
            }
            index += notes.len();
        });
        found
    }

    /// Makes sure that one more key can be noted. `false` when there are no pages for it.
    #[inline]
    pub(super) fn reserve(&mut self, pages: &Pages) -> bool {
        if self.len() < INLINE {
            return true;
        }
        self.reserve_in_pages(pages)
    }

    #[inline(never)]
    fn reserve_in_pages(&mut self, pages: &Pages) -> bool {
        if !self.more.is_open(pages) {
            thread::with(|seat| self.more.take_first(pages, seat, 0));
        }
        let more = self.more.open(pages);
        more.is_some_and(|mut more| more.reserve(size_of::<u32>()))
    }

    /// Notes a key, for which room is reserved.
    #[inline(always)]
    pub(super) fn push(&mut self, pages: &Pages, fingerprint: u16, at: u16) {
        self.filter[word(fingerprint)] |= bit(fingerprint);
        match (
            self.fingerprints.get_mut(usize::from(self.count)),
            self.places.get_mut(usize::from(self.count)),
        ) {
            (Some(slot), Some(place)) => {
                *slot = fingerprint;
                *place = at;
            }
            _ => self.push_to_pages(pages, Note::new(fingerprint, at)),
        }
        self.count += 1;
    }

    /// Notes a key that is among the first.
    #[inline(always)]
    pub(super) fn push_inline(&mut self, fingerprint: u16, at: u16) {
        let count = usize::from(self.count);
        if let (Some(slot), Some(place)) =
            (self.fingerprints.get_mut(count), self.places.get_mut(count))
        {
            *slot = fingerprint;
            *place = at;
            self.filter[word(fingerprint)] |= bit(fingerprint);
            self.count += 1;
        }
    }

    #[inline(never)]
    fn push_to_pages(&mut self, pages: &Pages, note: Note) {
        if let Some(mut more) = self.more.open(pages) {
            more.writer().put(&note.0.to_ne_bytes());
        }
    }

    /// Where the attribute of a note stands.
    pub(super) fn at(&mut self, pages: &Pages, index: Index) -> usize {
        self.note(pages, index).at()
    }

    fn note(&mut self, pages: &Pages, Index(index): Index) -> Note {
        if let (Some(fingerprint), Some(at)) =
            (self.fingerprints.get(index), self.places.get(index))
        {
            return Note::new(*fingerprint, *at);
        }
        let first = (index - INLINE) * size_of::<u32>();
        let more = self.more.open(pages);
        Note(u32::from_ne_bytes(core::array::from_fn(|n| {
            more.as_ref()
                .and_then(|more| more.byte(first + n))
                .unwrap_or_default()
        })))
    }

    /// The note of the attribute that stands here.
    pub(super) fn find_at(&mut self, pages: &Pages, at: usize) -> Option<Index> {
        (0..self.len())
            .map(Index)
            .find(|index| self.note(pages, *index).at() == at)
    }

    /// Notes that a key's attribute stands elsewhere now.
    pub(super) fn move_to(&mut self, pages: &Pages, Index(index): Index, at: u16) {
        if let Some(place) = self.places.get_mut(index) {
            *place = at;
            return;
        }
        let note = Note::new(self.note(pages, Index(index)).fingerprint(), at).0;
        let Some(mut more) = self.more.open(pages) else {
            return;
        };
        for (offset, byte) in note.to_ne_bytes().into_iter().enumerate() {
            more.set_byte((index - INLINE) * size_of::<u32>() + offset, byte);
        }
    }

    #[inline(always)]
    pub(super) fn release(&mut self, pages: &Pages) {
        if self.len() >= INLINE {
            self.release_more(pages);
        }
    }

    #[cold]
    #[inline(never)]
    fn release_more(&mut self, pages: &Pages) {
        thread::with(|seat| self.more.release(pages, seat));
    }
}

/// Which word of the filter a fingerprint has its bit in.
#[inline(always)]
fn word(fingerprint: u16) -> usize {
    usize::from(fingerprint >> 6 & 1)
}

#[inline(always)]
fn bit(fingerprint: u16) -> u64 {
    1 << (fingerprint & 63)
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;

    #[test]
    fn notes_are_found_inline_and_in_pages() {
        let pages = Pages::on_heap(8);
        let mut keys = Keys::EMPTY;
        for n in 0..300_u16 {
            assert!(keys.reserve(&pages));
            keys.push(&pages, n / 2, n);
        }
        for n in 0..300_u16 {
            let find = |keys: &mut Keys, wanted: usize| {
                let mut from = Index::FIRST;
                loop {
                    let (index, at) = keys.find(&pages, n / 2, from)?;
                    if at == wanted {
                        return Some(index);
                    }
                    from = index.next();
                }
            };
            let index = find(&mut keys, usize::from(n)).unwrap();
            assert_eq!(keys.at(&pages, index), usize::from(n));
            keys.move_to(&pages, index, 9999);
            assert_eq!(find(&mut keys, 9999), Some(index));
            assert_eq!(keys.find_at(&pages, 9999), Some(index));
            keys.move_to(&pages, index, n);
        }
        assert!(keys.find(&pages, 150, Index::FIRST).is_none());
        keys.release(&pages);
        assert_eq!(pages.shared_free(), 8);
    }
}
