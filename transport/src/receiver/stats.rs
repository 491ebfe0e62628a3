//! What happened at a receiver, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a receiver has seen since it was built.
///
/// The numbers are read one after another while requests go on; each is exact on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverStats {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that are open now.
    pub open: u64,
    /// Connections that were asked to leave, so that another could be accepted.
    pub evicted: u64,
    /// Connections that were closed before they said anything: no TLS to be agreed upon, no opening within its time.
    pub handshakes_failed: u64,
    /// How often the system gave no connection, being out of descriptors or memory, or no listening.
    pub accept_failures: u64,
    /// Bytes that were read from connections, after TLS.
    pub bytes: u64,
    /// Requests whose spans were admitted, among them those without any.
    pub admitted: u64,
    /// Spans in these.
    pub spans: u64,
    /// Of the requests that were admitted, those whose clients waited for the export and were told that there was none, or
    /// none in time, or went away before.
    pub undelivered: u64,
    /// Requests that were refused for now, for want of room or because the pipeline had ended: the client may send them
    /// again.
    pub refused: u64,
    /// Requests that were refused for good: malformed, too large, or not for this receiver.
    pub rejected: u64,
    /// Requests without a token that is known.
    pub unauthenticated: u64,
    /// Requests that were cut for being slow, or out of time, or because they had stalled while others needed their room.
    pub cut: u64,
    /// Requests whose client went away, or reset them.
    pub abandoned: u64,
    /// Of all requests that were not admitted, those that were turned away before their body was read whole. What spans were
    /// in them nobody knows.
    pub unread: u64,
    /// The bytes that these had said they would send and were not read, where they had said so.
    pub unread_bytes: u64,
}

/// The counters behind it.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) handshakes_failed: AtomicU64,
    pub(crate) accept_failures: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) admitted: AtomicU64,
    pub(crate) spans: AtomicU64,
    pub(crate) undelivered: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) unauthenticated: AtomicU64,
    pub(crate) cut: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    pub(crate) unread: AtomicU64,
    pub(crate) unread_bytes: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl Counts {
    pub(crate) fn read(&self) -> ReceiverStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReceiverStats {
            accepted: read(&self.accepted),
            open: read(&self.open),
            evicted: read(&self.evicted),
            handshakes_failed: read(&self.handshakes_failed),
            accept_failures: read(&self.accept_failures),
            bytes: read(&self.bytes),
            admitted: read(&self.admitted),
            spans: read(&self.spans),
            undelivered: read(&self.undelivered),
            refused: read(&self.refused),
            rejected: read(&self.rejected),
            unauthenticated: read(&self.unauthenticated),
            cut: read(&self.cut),
            abandoned: read(&self.abandoned),
            unread: read(&self.unread),
            unread_bytes: read(&self.unread_bytes),
        }
    }
}
