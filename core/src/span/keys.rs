//! Which keys a span has, so that a key that is set again replaces its attribute.

use core::cell::Cell;

use crate::recorder::Short;
use crate::ring::{Body, Pages};
use crate::thread;
use crate::wire::encode::Put;

/// Keys that are noted beside the attributes; the others are noted in pages of their own.
const INLINE: usize = Short::ATTRIBUTES as usize;

/// One note: a fingerprint of the key, and where its attribute stands in the body. Each half is read as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    fingerprint: u16,
    at: u16,
}

impl Note {
    const BLANK: Self = Self {
        fingerprint: 0,
        at: 0,
    };

    /// The note in these bytes of a page.
    fn read([a, b, c, d]: [u8; 4]) -> Self {
        Self {
            fingerprint: u16::from_ne_bytes([a, b]),
            at: u16::from_ne_bytes([c, d]),
        }
    }

    fn bytes(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.fingerprint.to_ne_bytes(), self.at.to_ne_bytes());
        [a, b, c, d]
    }
}

/// Notes on the attributes of one span, in the order in which their keys were first set.
#[derive(Debug)]
pub(super) struct Keys {
    /// One bit for each of the keys, by its fingerprint: most new keys find theirs unset. Reading many notes at once,
    /// right after one was written, would wait for that.
    filter: Filter,
    count: u16,
    first: [Note; INLINE],
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
        filter: 0,
        count: 0,
        first: [Note::BLANK; INLINE],
        more: Body::EMPTY,
    };

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Begins to note keys, and where: up to `new` more, `most` in all. `None` when there are more already, or they would
    /// not all be noted inline.
    #[inline(always)]
    pub(super) fn noting(&mut self, most: u16, new: usize) -> Option<(Noting<'_>, &[NoteCell])> {
        let all = Cell::from_mut(self.first.as_mut_slice()).as_slice_of_cells();
        let before = usize::from(self.count);
        let new = new.min(usize::from(most).checked_sub(before)?);
        let free = all.get(before..before + new)?;
        let filter = self.filter;
        let noting = Noting {
            filter,
            all,
            before,
        };
        Some((noting, free))
    }

    /// Whether no page of notes can have been taken: for the next key, one may have been in vain.
    #[inline(always)]
    pub(super) fn have_no_pages(&self) -> bool {
        self.len() < INLINE
    }

    /// Keeps what was noted: so many more.
    #[inline(always)]
    pub(super) fn keep(&mut self, filter: Filter, more: usize) {
        self.filter = filter;
        self.count += more as u16;
    }

    /// The next note, from this one on, with this fingerprint, and the place of its attribute.
    pub(super) fn find(
        &mut self,
        pages: &Pages,
        fingerprint: u16,
        Index(from): Index,
    ) -> Option<(Index, usize)> {
        let inline = self.first.iter().take(self.len());
        let found = inline
            .enumerate()
            .skip(from)
            .find(|(_, note)| note.fingerprint == fingerprint);
        if let Some((index, note)) = found {
            return Some((Index(index), usize::from(note.at)));
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
                hit | (Note::read(*note).fingerprint == fingerprint)
            });
            if hits {
                let skipped = from.saturating_sub(index);
                found = notes
                    .iter()
                    .enumerate()
                    .skip(skipped)
                    .find_map(|(at, note)| {
                        let note = Note::read(*note);
                        (note.fingerprint == fingerprint)
                            .then_some((Index(index + at), usize::from(note.at)))
                    });
            }
            index += notes.len();
        });
        found
    }

    /// Makes sure that one more key can be noted. `false` when there are no pages for it.
    #[inline]
    pub(super) fn reserve(&mut self, pages: &Pages) -> bool {
        self.have_no_pages() || self.reserve_in_pages(pages)
    }

    #[inline(never)]
    fn reserve_in_pages(&mut self, pages: &Pages) -> bool {
        if !self.more.is_open(pages) {
            thread::with(|seat| self.more.take_first(pages, seat, 0));
        }
        let more = self.more.open(pages);
        more.is_some_and(|mut more| more.reserve(size_of::<Note>()))
    }

    /// Notes a key, for which room is reserved.
    #[inline(always)]
    pub(super) fn push(&mut self, pages: &Pages, fingerprint: u16, at: u16) {
        let note = Note { fingerprint, at };
        self.filter |= bit(fingerprint);
        match self.first.get_mut(usize::from(self.count)) {
            Some(slot) => *slot = note,
            None => self.push_to_pages(pages, note),
        }
        self.count += 1;
    }

    #[inline(never)]
    fn push_to_pages(&mut self, pages: &Pages, note: Note) {
        if let Some(mut more) = self.more.open(pages) {
            more.writer().put(&note.bytes());
        }
    }

    /// Where the attribute of a note stands.
    pub(super) fn at(&mut self, pages: &Pages, index: Index) -> usize {
        usize::from(self.note(pages, index).at)
    }

    fn note(&mut self, pages: &Pages, Index(index): Index) -> Note {
        if let Some(note) = self.first.get(index) {
            return *note;
        }
        let first = (index - INLINE) * size_of::<Note>();
        let more = self.more.open(pages);
        Note::read(core::array::from_fn(|n| {
            more.as_ref()
                .and_then(|more| more.byte(first + n))
                .unwrap_or_default()
        }))
    }

    /// The note of the attribute that stands here.
    pub(super) fn find_at(&mut self, pages: &Pages, at: usize) -> Option<Index> {
        (0..self.len())
            .map(Index)
            .find(|index| usize::from(self.note(pages, *index).at) == at)
    }

    /// Notes that a key's attribute stands elsewhere now.
    pub(super) fn move_to(&mut self, pages: &Pages, Index(index): Index, at: u16) {
        if let Some(note) = self.first.get_mut(index) {
            note.at = at;
            return;
        }
        let note = Note {
            at,
            ..self.note(pages, Index(index))
        };
        let Some(mut more) = self.more.open(pages) else {
            return;
        };
        for (offset, byte) in note.bytes().into_iter().enumerate() {
            more.set_byte((index - INLINE) * size_of::<Note>() + offset, byte);
        }
    }

    #[inline(always)]
    pub(super) fn release(&mut self, pages: &Pages) {
        if !self.have_no_pages() {
            self.release_more(pages);
        }
    }

    #[cold]
    #[inline(never)]
    fn release_more(&mut self, pages: &Pages) {
        thread::with(|seat| self.more.release(pages, seat));
    }
}

/// One bit for each of the keys that were noted, by its fingerprint.
pub(super) type Filter = u64;

/// Where a key is noted.
pub(super) type NoteCell = Cell<Note>;

/// Notes keys that are among the first, with the filter at hand: for each key [`is_new`](Self::is_new), then
/// [`note`](Self::note), and at the end [`Keys::keep`]. What is not kept was not noted.
pub(super) struct Noting<'k> {
    pub(super) filter: Filter,
    all: &'k [NoteCell],
    before: usize,
}

impl Noting<'_> {
    /// Whether no key that was noted has this fingerprint, `more` of them since the beginning.
    #[inline(always)]
    pub(super) fn is_new(&self, fingerprint: u16, more: usize) -> bool {
        // By turning, and not by the bit that `note` sets: that would take a register from here to there.
        let unset = self.filter.rotate_right(fingerprint.into()) & 1 == 0;
        unset || {
            let noted = self.all.get(..self.before + more).unwrap_or_default();
            !have(noted, fingerprint)
        }
    }

    /// Notes where the attribute stands.
    #[inline(always)]
    pub(super) fn note(&mut self, place: &NoteCell, fingerprint: u16, at: u16) {
        place.set(Note { fingerprint, at });
        self.filter |= bit(fingerprint);
    }
}

/// Whether one of these notes has this fingerprint. That is passed by value, so that it stays in a register.
#[cold]
#[inline(never)]
fn have(notes: &[NoteCell], fingerprint: u16) -> bool {
    notes
        .iter()
        .any(|note| note.get().fingerprint == fingerprint)
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
