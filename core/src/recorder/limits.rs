use crate::wire::encode::ValueLimit;

/// How much a span may hold. What exceeds a limit is dropped and counted in the span's `dropped_*` fields; a span is
/// never lost for it.
///
/// A name and a status message are cut after 1 KiB, less where blocks are small. OpenTelemetry trace SDK, "Span
/// Limits". Of attributes, events and links the first are kept; a known key is updated
/// also at the limit.
///
/// ```
/// use spanwire_core::recorder::SpanLimits;
///
/// let limits = SpanLimits::DEFAULT.with_attributes(32).with_value_length(1024);
/// assert_eq!(limits.attributes(), 32);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanLimits {
    pub(crate) attributes: usize,
    pub(crate) events: usize,
    pub(crate) links: usize,
    pub(crate) event_attributes: usize,
    pub(crate) link_attributes: usize,
    pub(crate) value: ValueLimit,
    pub(crate) bytes: usize,
    /// The most bytes of a name and of a status message each.
    pub(crate) text: usize,
    pub(crate) short: Short,
}

/// The limits of what is told the short way, together in one word. A span holds less than 2^16 of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short {
    pub(crate) attributes: u16,
    pub(crate) events: u16,
    pub(crate) bytes: u16,
    /// Bytes of a text that is kept whole whatever is in it.
    pub(crate) text: u16,
}

impl Short {
    /// The most attributes that are told the short way: as many as a span notes beside their bytes.
    pub(crate) const ATTRIBUTES: u16 = 16;

    /// Nothing is told the short way.
    pub(crate) const NOTHING: Self = Self {
        attributes: 0,
        events: 0,
        bytes: 0,
        text: 0,
    };

    const fn of(limits: &SpanLimits) -> Self {
        const fn narrow(limit: usize) -> u16 {
            if limit > u16::MAX as usize {
                u16::MAX
            } else {
                limit as u16
            }
        }
        Self {
            attributes: narrow(least(limits.attributes, Self::ATTRIBUTES as usize)),
            events: narrow(limits.events),
            bytes: narrow(limits.bytes),
            text: narrow(limits.value.most()),
        }
    }
}

/// The most bytes a span may be told: places in it are kept as 16-bit numbers.
const MAX_BYTES: usize = 60 * 1024;

const fn least(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

impl SpanLimits {
    /// 128 attributes, events, links, and attributes of each event and link; values of any length; 16 KiB in all.
    pub const DEFAULT: Self = Self {
        attributes: 128,
        events: 128,
        links: 128,
        event_attributes: 128,
        link_attributes: 128,
        value: ValueLimit::NONE,
        bytes: 16 * 1024,
        text: 1024,
        // Replaced when the limits become those of a recorder.
        short: Short::NOTHING,
    };

    /// At most this many attributes. Default: 128.
    #[must_use]
    pub const fn with_attributes(mut self, attributes: usize) -> Self {
        self.attributes = attributes;
        self
    }

    /// At most this many events. Default: 128.
    #[must_use]
    pub const fn with_events(mut self, events: usize) -> Self {
        self.events = events;
        self
    }

    /// At most this many links. Default: 128.
    #[must_use]
    pub const fn with_links(mut self, links: usize) -> Self {
        self.links = links;
        self
    }

    /// At most this many attributes of each event. Default: 128.
    #[must_use]
    pub const fn with_event_attributes(mut self, attributes: usize) -> Self {
        self.event_attributes = attributes;
        self
    }

    /// At most this many attributes of each link. Default: 128.
    #[must_use]
    pub const fn with_link_attributes(mut self, attributes: usize) -> Self {
        self.link_attributes = attributes;
        self
    }

    /// At most this many characters of a string and bytes of a byte array, also inside arrays and maps. Default: no
    /// limit but that of the span's bytes.
    #[must_use]
    pub const fn with_value_length(mut self, length: usize) -> Self {
        self.value = ValueLimit::new(length);
        self
    }

    /// At most this many encoded bytes of attributes, events and links together: up to 60 KiB, and less than a block
    /// of the ring takes. Default: 16 KiB.
    #[must_use]
    pub const fn with_bytes(mut self, bytes: usize) -> Self {
        self.bytes = if bytes > MAX_BYTES { MAX_BYTES } else { bytes };
        self
    }

    /// The most attributes of a span.
    #[must_use]
    pub const fn attributes(&self) -> usize {
        self.attributes
    }

    /// The most events of a span.
    #[must_use]
    pub const fn events(&self) -> usize {
        self.events
    }

    /// The most links of a span.
    #[must_use]
    pub const fn links(&self) -> usize {
        self.links
    }

    /// The most attributes of an event.
    #[must_use]
    pub const fn event_attributes(&self) -> usize {
        self.event_attributes
    }

    /// The most attributes of a link.
    #[must_use]
    pub const fn link_attributes(&self) -> usize {
        self.link_attributes
    }

    /// The most encoded bytes of attributes, events and links together.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same limits, such that every span fits a block of this size.
    ///
    /// What is not attributes, events and links shares the block with them: the fixed fields and the scope, the name
    /// and the status message, which are cut to a quarter of that rest each, and the trace state, which is left out
    /// where it finds no room.
    pub(super) const fn within_block(self, block_bytes: usize) -> Self {
        let rest = if block_bytes >= 8192 {
            4096
        } else {
            block_bytes / 2
        };
        let most = block_bytes - rest;
        let mut limits = if self.bytes > most {
            self.with_bytes(most)
        } else {
            self
        };
        limits.text = rest / 4;
        limits.short = Short::of(&limits);
        limits
    }
}

impl Default for SpanLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
