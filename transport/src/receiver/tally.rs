//! How one request is counted: once, however it ends.

use std::sync::atomic::AtomicU64;

use super::connection::Connection;
use super::stats::{Counts, count};

/// Under what a request is counted that is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Refused,
    Rejected,
    Unauthenticated,
    Cut,
    /// It had stalled, and others needed its room.
    Stalled,
    Abandoned,
}

/// Counts a request once. Dropped unsettled, its client went away.
pub(super) struct Tally<'a> {
    counts: &'a Counts,
    /// What its body said that it is long; 0 when it did not.
    pub(super) announced: usize,
    pub(super) received: usize,
    /// Whether all of its body was read.
    pub(super) whole: bool,
    settled: bool,
}

impl<'a> Tally<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self {
            counts: connection.counts(),
            announced: 0,
            received: 0,
            whole: false,
            settled: false,
        }
    }

    pub(super) fn admitted(mut self, spans: usize) {
        self.settled = true;
        count(&self.counts.admitted, 1);
        count(&self.counts.spans, spans as u64);
    }

    /// Counts a request that was admitted, and whose client waits for the export.
    pub(super) fn awaited(self, spans: usize) -> Awaited<'a> {
        let counts = self.counts;
        self.admitted(spans);
        Awaited {
            counts,
            exported: false,
        }
    }

    pub(super) fn not_admitted(mut self, kind: Kind) {
        self.settle(kind);
    }

    fn settle(&mut self, kind: Kind) {
        self.settled = true;
        let counter: &AtomicU64 = match kind {
            Kind::Refused => &self.counts.refused,
            Kind::Rejected => &self.counts.rejected,
            Kind::Unauthenticated => &self.counts.unauthenticated,
            Kind::Cut | Kind::Stalled => &self.counts.cut,
            Kind::Abandoned => &self.counts.abandoned,
        };
        count(counter, 1);
        if !self.whole {
            count(&self.counts.unread, 1);
            let unread = self.announced.saturating_sub(self.received);
            count(&self.counts.unread_bytes, unread as u64);
        }
    }
}

/// A request that was admitted, until its client is told of the export. Dropped before that, it counts as undelivered, whether
/// its spans were lost or its client has gone.
pub(super) struct Awaited<'a> {
    counts: &'a Counts,
    exported: bool,
}

impl Awaited<'_> {
    /// The client is told that the spans were exported.
    pub(super) fn exported(mut self) {
        self.exported = true;
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        if !self.exported {
            count(&self.counts.undelivered, 1);
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.settle(Kind::Abandoned);
        }
    }
}
