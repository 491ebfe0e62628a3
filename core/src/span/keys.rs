//! Which keys a span has, for finding one that is set again.

use crate::ring::{Body, Pages};
use crate::thread::Seat;
use crate::wire::encode::Put;

/// Keys that are noted in the span itself; the others are noted in pages.
const INLINE: usize = 16;

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
    count: usize,
    inline: [u32; INLINE],
    more: Body,
}

/// Which note it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Index(usize);

impl Keys {
    pub(super) const EMPTY: Self = Self {
        count: 0,
        inline: [0; INLINE],
        more: Body::EMPTY,
    };

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Sixteen bits that differ for most keys.
    #[inline]
    pub(super) fn fingerprint(key: &[u8]) -> u16 {
        let (first, last) = if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk())
        {
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
            (
                u32::from_le_bytes(*first).into(),
                u32::from_le_bytes(*last).into(),
            )
        } else {
            let byte = |at| key.get(at).copied().map_or(0, u64::from);
            (byte(0), byte(1) | byte(2) << 8)
        };
        // Odd constants without structure: the fractional bits of two square roots.
        let mixed = (first ^ (key.len() as u64)).wrapping_mul(0x6a09_e667_f3bc_c909)
            ^ last.wrapping_mul(0xbb67_ae85_84ca_a73b);
        (mixed.wrapping_mul(0x3c6e_f372_fe94_f82b) >> 48) as u16
    }

    /// Whether a key with this fingerprint may have been noted.
    #[inline(always)]
    pub(super) fn may_have(&self, pages: &Pages, fingerprint: u16) -> bool {
        // Eight places in the span are compared at once; those that are empty count as well, and seldom say yes.
        let (eights, _) = self.inline.as_chunks::<8>();
        eights.first().is_some_and(|notes| any(notes, fingerprint))
            || (self.count > 8 && eights.get(1).is_some_and(|notes| any(notes, fingerprint)))
            || (self.count > INLINE && self.may_have_in_pages(pages, fingerprint))
    }

    #[inline(never)]
    fn may_have_in_pages(&self, pages: &Pages, fingerprint: u16) -> bool {
        self.find_in_pages(pages, fingerprint, &mut |_| true)
            .is_some()
    }

    /// The first note with this fingerprint for which `is_it` says yes to the place of its attribute.
    #[inline]
    pub(super) fn find(
        &self,
        pages: &Pages,
        fingerprint: u16,
        mut is_it: impl FnMut(usize) -> bool,
    ) -> Option<Index> {
        let inline = self
            .inline
            .get(..self.count.min(INLINE))
            .unwrap_or_default();
        for (index, note) in inline.iter().enumerate() {
            if Note(*note).fingerprint() == fingerprint && is_it(Note(*note).at()) {
                return Some(Index(index));
            }
        }
        if self.count <= INLINE {
            return None;
        }
        self.find_in_pages(pages, fingerprint, &mut is_it)
    }

    #[inline(never)]
    fn find_in_pages(
        &self,
        pages: &Pages,
        fingerprint: u16,
        is_it: &mut dyn FnMut(usize) -> bool,
    ) -> Option<Index> {
        if self.count <= INLINE {
            return None;
        }
        let mut index = INLINE;
        let mut found = None;
        self.more.for_each_piece(pages, |piece| {
            if found.is_some() {
                return;
            }
            let notes = piece.as_chunks::<4>().0;
            // Most of the time none fits: one pass without branches tells.
            let hits = notes.iter().fold(false, |hit, note| {
                hit | (Note(u32::from_ne_bytes(*note)).fingerprint() == fingerprint)
            });
            if hits {
                found = notes.iter().enumerate().find_map(|(at, note)| {
                    let note = Note(u32::from_ne_bytes(*note));
                    (note.fingerprint() == fingerprint && is_it(note.at()))
                        .then_some(Index(index + at))
                });
            }
            index += notes.len();
        });
        found
    }

    /// Whether one more key can be noted in the span itself.
    #[inline(always)]
    pub(super) fn fits(&self) -> bool {
        self.count < INLINE
    }

    /// Makes sure that one more key can be noted. `false` when there are no pages for it.
    #[inline]
    pub(super) fn reserve(&mut self, pages: &Pages) -> bool {
        self.count < INLINE || self.more.reserve(pages, size_of::<u32>())
    }

    /// Notes a key, for which room is reserved.
    #[inline(always)]
    pub(super) fn push(&mut self, pages: &Pages, fingerprint: u16, at: u16) {
        let note = Note::new(fingerprint, at);
        match self.inline.get_mut(self.count) {
            Some(slot) => *slot = note.0,
            None => self.push_to_pages(pages, note),
        }
        self.count += 1;
    }

    #[inline(never)]
    fn push_to_pages(&mut self, pages: &Pages, note: Note) {
        self.more.writer(pages).put(&note.0.to_ne_bytes());
    }

    /// Where the attribute of a note stands.
    pub(super) fn at(&self, pages: &Pages, index: Index) -> usize {
        self.note(pages, index).at()
    }

    fn note(&self, pages: &Pages, Index(index): Index) -> Note {
        if let Some(note) = self.inline.get(index) {
            return Note(*note);
        }
        let at = (index - INLINE) * size_of::<u32>();
        Note(u32::from_ne_bytes(core::array::from_fn(|n| {
            self.more.byte(pages, at + n).unwrap_or_default()
        })))
    }

    /// The note of the attribute that stands here.
    pub(super) fn find_at(&self, pages: &Pages, at: usize) -> Option<Index> {
        (0..self.count)
            .map(Index)
            .find(|index| self.note(pages, *index).at() == at)
    }

    /// Notes that a key's attribute stands elsewhere now.
    pub(super) fn move_to(&mut self, pages: &Pages, Index(index): Index, at: u16) {
        let note = Note::new(self.note(pages, Index(index)).fingerprint(), at).0;
        if let Some(slot) = self.inline.get_mut(index) {
            *slot = note;
            return;
        }
        for (offset, byte) in note.to_ne_bytes().into_iter().enumerate() {
            self.more
                .set_byte(pages, (index - INLINE) * size_of::<u32>() + offset, byte);
        }
    }

    #[inline]
    pub(super) fn release(&mut self, pages: &Pages, seat: Option<&Seat>) {
        self.more.release(pages, seat);
    }
}

/// Whether one of eight notes has this fingerprint.
#[inline(always)]
fn any(notes: &[u32; 8], fingerprint: u16) -> bool {
    notes.iter().fold(false, |any, note| {
        any | (Note(*note).fingerprint() == fingerprint)
    })
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
            let index = keys.find(&pages, n / 2, |at| at == usize::from(n)).unwrap();
            assert_eq!(keys.at(&pages, index), usize::from(n));
            keys.move_to(&pages, index, 9999);
            assert_eq!(
                keys.find(&pages, n / 2, |at| at == 9999).unwrap().0,
                index.0
            );
            assert_eq!(keys.find_at(&pages, 9999).unwrap().0, index.0);
            keys.move_to(&pages, index, n);
        }
        assert!(keys.find(&pages, 150, |_| true).is_none());
        keys.release(&pages, None);
        assert_eq!(pages.shared_free(), 8);
    }

    #[test]
    fn fingerprints_differ_for_the_usual_keys() {
        let keys = [
            "k",
            "k1",
            "k2",
            "http.request.method",
            "http.response.status_code",
            "k8s.pod.name",
            "k8s.pod.uid",
        ];
        for (at, key) in keys.iter().enumerate() {
            for other in &keys[at + 1..] {
                assert_ne!(
                    Keys::fingerprint(key.as_bytes()),
                    Keys::fingerprint(other.as_bytes()),
                    "{key} {other}"
                );
            }
        }
    }
}
