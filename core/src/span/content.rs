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
use crate::ring::{Body, Only, Pages, Told};
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
        self.take_first(pages, limits);
    }

    /// Takes a page to begin with. `false` when there is none, or it has pages already.
    #[inline(always)]
    fn take_first(&mut self, pages: &Pages, limits: &SpanLimits) -> bool {
        let seat = thread::seat();
        let taken = self.body.take_first(pages, seat, limits.short.bytes);
        if let Some(mut told) = self.body.open(pages).filter(|_| taken) {
            told.notes_mut().limit(limits);
        }
        taken
    }

    /// Sets attributes of a span that starts, in order.
    #[inline(always)]
    pub(crate) fn start_with(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        attributes: &[KeyValue<'_>],
    ) {
        let set = self.set_first(pages, limits, attributes);
        if set < attributes.len() {
            self.set_others(pages, limits, attributes, set);
        }
    }

    /// Sets attributes, in order.
    #[inline(always)]
    pub(super) fn set_attributes(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        attributes: &[KeyValue<'_>],
    ) {
        if attributes.is_empty() {
            return;
        }
        let set = self.set_many(pages, limits, attributes);
        if set < attributes.len() {
            self.set_others(pages, limits, attributes, set);
        }
    }

    /// Sets attributes in a first page that is taken here, so that the compiler knows how full it is. Returns how many: up to
    /// the first that takes a longer way.
    // No call after the work: registers would be saved for it on every way through.
    #[inline(never)]
    fn set_first(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        attributes: &[KeyValue<'_>],
    ) -> usize {
        if !self.take_first(pages, limits) {
            return 0;
        }
        let told = self.body.open(pages);
        told.map_or(0, |mut told| told.set_all(attributes))
    }

    /// The same in the page that is written to.
    #[inline(never)]
    fn set_many(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        attributes: &[KeyValue<'_>],
    ) -> usize {
        let told = self.told(pages, limits);
        told.map_or(0, |mut told| told.set_all(attributes))
    }

    /// Sets the attributes behind the first `set`: one by one, and many at once where that goes.
    #[cold]
    #[inline(never)]
    fn set_others(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        attributes: &[KeyValue<'_>],
        set: usize,
    ) {
        let mut left = attributes.get(set..).unwrap_or_default();
        while let Some((attribute, later)) = left.split_first() {
            if !self.set_short(pages, limits, |told| told.set_alone(attribute)) {
                self.set_attribute(pages, limits, attribute);
            }
            if later.is_empty() {
                return;
            }
            let set = self.set_many(pages, limits, later);
            left = later.get(set..).unwrap_or_default();
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

    /// Adds an event, with attributes of the caller and, where they leave room, some that were made for it.
    #[inline(always)]
    pub(super) fn add_event(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        time: Timestamp,
        name: &str,
        made: &[KeyValue<'_>],
        attributes: &[KeyValue<'_>],
    ) {
        let is_bare = attributes.is_empty() && made.is_empty();
        if !(is_bare && self.add_bare_event(pages, limits, time, name)) {
            self.add_any_event(pages, limits, time, name, made, attributes);
        }
    }

    /// Adds an event with a short name and nothing else. `false` when it is not so, there are too many, or there is no
    /// room: nothing was added then.
    // No call but the last: registers would be saved for it on every way through.
    #[inline(never)]
    fn add_bare_event(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        time: Timestamp,
        name: &str,
    ) -> bool {
        match self.body.open(pages) {
            Some(mut told) => told.add_bare_event(time, name),
            None => self.begin_with_event(pages, limits, time, name),
        }
    }

    /// The same with the first page, if there is one.
    #[inline(never)]
    fn begin_with_event(
        &mut self,
        pages: &Pages,
        limits: &SpanLimits,
        time: Timestamp,
        name: &str,
    ) -> bool {
        self.take_first(pages, limits);
        let told = self.body.open(pages);
        told.is_some_and(|mut told| told.add_bare_event(time, name))
    }

    #[inline(never)]
    fn add_any_event(
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
        let told = self.told(pages, limits);
        let added = told.is_some_and(|mut told| told.add_event(limits, time, name, chosen));
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

    /// Takes out all that was said, where that is in one page, and nothing of it is left out and nothing lost. Taken out, it
    /// is given back without being opened again.
    #[inline(always)]
    pub(super) fn take_plain<'p>(&mut self, pages: &'p Pages) -> Option<Plain<'p>> {
        if !self.dropped.is_nothing() {
            return None;
        }
        if !self.body.has_pages() {
            return Some(Plain { told: None });
        }
        let told = self.body.take_only(pages)?;
        if told.notes().stand_whole() {
            return Some(Plain { told: Some(told) });
        }
        told.put_back(&mut self.body);
        None
    }

    /// Puts back what was taken out.
    #[cold]
    pub(super) fn put_back(&mut self, plain: Plain<'_>) {
        if let Some(told) = plain.told {
            told.put_back(&mut self.body);
        }
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
    pub(crate) fn release(&mut self, pages: &Pages, seat: Option<Seat>) {
        if let Some(mut told) = self.body.open(pages) {
            told.notes_mut().release(pages);
            self.body.release(pages, seat);
        }
    }
}

/// All that a plain span was told: its only page, taken out, or none.
#[must_use = "a page that is not given back is lost"]
pub(super) struct Plain<'p> {
    told: Option<Only<'p, Notes>>,
}

impl Plain<'_> {
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.told.as_ref().map_or(0, Only::len)
    }

    /// Writes as many bytes as [`len`](Self::len) says.
    #[inline(always)]
    pub(super) fn write(&self, out: &mut [u8]) {
        if let Some(told) = &self.told {
            told.copy_to(out);
        }
    }

    /// Gives back the page.
    #[inline(always)]
    pub(super) fn release(self, seat: Seat) {
        if let Some(told) = self.told {
            told.release(Some(seat));
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
