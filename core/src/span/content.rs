//! What a live span was told, as long as it lives: a body that begins with the first word, and a count of what is lost.

use super::chosen::Chosen;
use super::gaps::Skip;
#[cfg(feature = "alloc")]
use super::told::cut;
use super::told::{Notes, count_len, write_count};
use crate::attribute::KeyValue;
use crate::clock::Timestamp;
use crate::context::Link;
use crate::recorder::SpanLimits;
use crate::ring::{Body, Pages, Reading, Told};
use crate::thread::{self, Seat};
use crate::wire::encode::Writer;
use crate::wire::field;

/// What a live span was told. Small as long as that is nothing.
#[derive(Debug)]
pub(crate) struct Content {
    body: Body<Notes>,
    dropped: Dropped,
}

/// What had no room, or was too much.
#[derive(Clone, Copy, Debug)]
struct Dropped {
    attributes: u32,
    events: u32,
    links: u32,
}

impl Content {
    /// Nothing was said.
    pub(crate) const EMPTY: Self = Self {
        body: Body::EMPTY,
        dropped: Dropped {
            attributes: 0,
            events: 0,
            links: 0,
        },
    };

    /// Whether there is anything to be released.
    #[inline(always)]
    pub(crate) fn has_pages(&self) -> bool {
        self.body.has_pages()
    }

    /// The body, with a page to begin with. `None` when there are no pages.
    #[inline(always)]
    fn told<'p>(&'p mut self, pages: &'p Pages, limits: &SpanLimits) -> Option<Told<'p, Notes>> {
        if !self.body.is_open(pages) {
            self.begin(pages, limits);
        }
        self.body.open(pages)
    }

    #[inline(never)]
    fn begin(&mut self, pages: &Pages, limits: &SpanLimits) {
        let seat = thread::seat();
        if self
            .body
            .take_first(pages, seat.as_ref(), limits.short.bytes)
            && let Some(mut told) = self.body.open(pages)
        {
            told.notes_mut().limit(limits);
        }
    }

    /// Sets attributes, in order.
    #[inline(never)]
    pub(crate) fn set_attributes(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        attributes: &[KeyValue<'_>],
    ) {
        let mut left = attributes;
        while !left.is_empty() {
            let Some(mut told) = self.told(pages, limits) else {
                let lost = u32::try_from(left.len()).unwrap_or(u32::MAX);
                self.dropped.attributes = self.dropped.attributes.saturating_add(lost);
                return;
            };
            left = told.set_all(left);
            let Some((other, later)) = left.split_first() else {
                return;
            };
            if !told.set_alone(other) {
                self.set_attribute(pages, limits, other);
            }
            left = later;
        }
    }

    #[inline(never)]
    pub(crate) fn set_attribute(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        attribute: &KeyValue<'_>,
    ) {
        let told = self.told(pages, limits);
        if !told.is_some_and(|mut told| told.set_any(limits, attribute)) {
            self.dropped.attributes = self.dropped.attributes.saturating_add(1);
        }
    }

    /// Sets an attribute the short way, if it is one for that: `false` when it is not, and nothing was done.
    #[inline(always)]
    pub(super) fn set_short(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        set: impl FnOnce(&mut Told<'_, Notes>) -> bool,
    ) -> bool {
        let told = self.told(pages, limits);
        told.is_some_and(|mut told| set(&mut told))
    }

    #[inline]
    pub(super) fn add_event(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        time: Timestamp,
        name: &str,
        made: &[KeyValue<'_>],
        attributes: &[KeyValue<'_>],
    ) {
        let chosen = Chosen {
            first: attributes,
            then: made,
            most: limits.event_attributes,
        };
        let added = self.told(pages, limits).is_some_and(|mut told| {
            let bare = attributes.is_empty() && made.is_empty();
            bare && told.add_bare_event(time, name) || told.add_event(limits, time, name, chosen)
        });
        if !added {
            self.dropped.events = self.dropped.events.saturating_add(1);
        }
    }

    pub(crate) fn add_link(&mut self, pages: &Pages, limits: &SpanLimits, link: &Link<'_>) {
        let says_something = link.context.is_valid()
            || !link.attributes.is_empty()
            || !link.context.trace_state().is_empty();
        let mut add = || {
            let mut told = self.told(pages, limits)?;
            told.add_link(limits, link).then_some(())
        };
        if !says_something || add().is_none() {
            self.dropped.links = self.dropped.links.saturating_add(1);
        }
    }

    /// Keeps the status of an error with a message, or no message.
    pub(super) fn set_status_message(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        message: Option<&str>,
    ) {
        if message.is_none() && !self.body.is_open(pages) {
            return;
        }
        if let Some(mut told) = self.told(pages, limits) {
            told.set_status_message(limits, message);
        }
    }

    /// Keeps the name in the body. `false` when there is no room, and the old name stays.
    pub(super) fn set_name(&mut self, pages: &Pages, limits: &SpanLimits, name: &str) -> bool {
        let told = self.told(pages, limits);
        told.is_some_and(|mut told| told.set_name(limits, name))
    }

    /// Keeps as much of the name as there is room for.
    #[cfg(feature = "alloc")]
    pub(super) fn set_name_cut(&mut self, pages: &Pages, limits: &SpanLimits, name: &str) {
        let mut name = name;
        while !self.set_name(pages, limits, name) && !name.is_empty() {
            name = cut(name, name.len() / 2);
        }
    }

    /// All that was said, where nothing is left out and nothing lost.
    #[inline(always)]
    pub(super) fn plain<'p>(&'p self, pages: &'p Pages) -> Option<Plain<'p>> {
        if !self.dropped.is_nothing() {
            return None;
        }
        if !self.body.has_pages() {
            return Some(Plain { told: None });
        }
        let told = self.body.read(pages)?;
        told.notes()
            .is_whole()
            .then_some(Plain { told: Some(told) })
    }

    /// All that was said, to be written.
    #[inline(always)]
    pub(super) fn whole<'p>(&'p mut self, pages: &'p Pages) -> Whole<'p> {
        Whole {
            told: self.body.open(pages),
            dropped: self.dropped,
        }
    }

    #[inline(always)]
    pub(crate) fn release(&mut self, pages: &Pages, seat: Option<&Seat>) {
        if let Some(mut told) = self.body.open(pages) {
            told.notes_mut().release(pages);
            self.body.release(pages, seat);
        }
    }
}

/// All that a span was told: the bytes as they stand.
pub(super) struct Plain<'p> {
    told: Option<Reading<'p, Notes>>,
}

impl Plain<'_> {
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.told.as_ref().map_or(0, Reading::len)
    }

    /// Writes as many bytes as [`len`](Self::len) says.
    #[inline(always)]
    pub(super) fn write(&self, out: &mut [u8]) {
        if let Some(told) = &self.told {
            told.copy_to(out);
        }
    }
}

/// All that a span was told, to be written at its end.
pub(super) struct Whole<'p> {
    told: Option<Told<'p, Notes>>,
    dropped: Dropped,
}

impl Whole<'_> {
    /// The bytes of all fields, counts included.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        let len = self.told.as_ref().map_or(0, Told::kept);
        if self.dropped.is_nothing() {
            len
        } else {
            len + self.dropped.len()
        }
    }

    /// Whether the status is among them.
    #[inline(always)]
    pub(super) fn has_status(&self) -> bool {
        self.told.as_ref().is_some_and(Told::has_status)
    }

    /// Writes all fields: as many bytes as [`len`](Self::len) says.
    #[inline(always)]
    pub(super) fn write(&self, out: &mut [u8]) {
        match &self.told {
            None if self.dropped.is_nothing() => {}
            Some(told) if told.kept() == told.len() && self.dropped.is_nothing() => {
                let mut rest = out;
                told.for_each_piece(|piece| {
                    if let Some((room, later)) =
                        core::mem::take(&mut rest).split_at_mut_checked(piece.len())
                    {
                        room.copy_from_slice(piece);
                        rest = later;
                    }
                });
            }
            _ => self.write_what_stays(Writer::new(out)),
        }
    }

    #[cold]
    fn write_what_stays(&self, mut out: Writer<'_>) {
        if let Some(told) = &self.told {
            let mut skip = Skip::default();
            told.for_each_piece(|piece| skip.copy(piece, &mut out));
        }
        self.dropped.write(&mut out);
    }
}

impl Dropped {
    #[inline(always)]
    fn is_nothing(&self) -> bool {
        self.attributes | self.events | self.links == 0
    }

    /// The bytes of the counts.
    #[cold]
    fn len(&self) -> usize {
        use field::span;
        count_len(span::DROPPED_ATTRIBUTES_COUNT, self.attributes)
            + count_len(span::DROPPED_EVENTS_COUNT, self.events)
            + count_len(span::DROPPED_LINKS_COUNT, self.links)
    }

    fn write(&self, out: &mut Writer<'_>) {
        use field::span;
        write_count(out, span::DROPPED_ATTRIBUTES_COUNT, self.attributes);
        write_count(out, span::DROPPED_EVENTS_COUNT, self.events);
        write_count(out, span::DROPPED_LINKS_COUNT, self.links);
    }
}
