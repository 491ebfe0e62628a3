//! One batch on its way to an OTLP server, whatever protocol carries it.

use core::error::Error;
use core::time::Duration;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use spanwire_core::clock::Moment;
use spanwire_core::exporter::{Outcome, Provisions, Reply};
use tokio::time::Instant;

use crate::compression::Compression;
use crate::diagnostics::Chain;
use crate::headers::CurrentHeaders;
use crate::otlp::printable;

/// Answers its reply even when the future that carries it is dropped.
pub(super) struct Call {
    reply: Option<Reply>,
    begun: Arc<AtomicBool>,
}

impl Call {
    pub(super) fn new(reply: Reply) -> Self {
        Self {
            reply: Some(reply),
            begun: Arc::default(),
        }
    }

    /// To be set when a byte of the request is sent: from then on the server may have it.
    pub(super) fn begun(&self) -> Arc<AtomicBool> {
        self.begun.clone()
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// It is to be tried again, because there is no answer.
    pub(super) fn again(&self, reason: impl Into<Cow<'static, str>>) -> Outcome {
        Outcome::Retry {
            after: None,
            possibly_stored: self.has_begun(),
            reason: reason.into(),
        }
    }

    /// Waits for an attempt, and says what became of it; what `late` says when the deadline passes first.
    pub(super) async fn settle(
        mut self,
        attempt: impl AsyncFnOnce(&Self) -> Outcome,
        deadline: Option<Instant>,
        late: impl FnOnce(&Self) -> Outcome,
    ) {
        let outcome = match deadline {
            None => attempt(&self).await,
            // What the attempt waits on ends with it.
            Some(deadline) => match tokio::time::timeout_at(deadline, attempt(&self)).await {
                Ok(outcome) => outcome,
                Err(_) => late(&self),
            },
        };
        // The batch is gone by now, as a reply likes it.
        if let Some(reply) = self.reply.take() {
            reply.done(outcome);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // A panic is told by the reply itself.
        if !std::thread::panicking()
            && let Some(reply) = self.reply.take()
        {
            reply.done(self.again("cut off: the exporter, or the runtime it ran on, has ended"));
        }
    }
}

/// When to give up a call that starts now: at the reply's deadline, or after the exporter's own timeout.
pub(super) fn deadline(
    reply: Option<Moment>,
    timeout: Option<Duration>,
    provisions: Option<&Provisions>,
) -> Option<Instant> {
    let left = reply.zip(provisions).map(|(deadline, with)| {
        let now = with.clock().moment();
        deadline.saturating_since(now)
    });
    let limit = [left, timeout].into_iter().flatten().min()?;
    Instant::now().checked_add(limit)
}

/// Adds the headers of a user, as they are now.
pub(super) fn add_headers(from: &CurrentHeaders, to: &mut HeaderMap) -> Result<(), Outcome> {
    for entry in from.read() {
        let (name, value) = entry.map_err(|error| Outcome::retry(error.to_string()))?;
        // Both were checked by the same rules when they were set.
        if let (Ok(name), Ok(mut value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
            value.set_sensitive(true);
            to.insert(name, value);
        }
    }
    Ok(())
}

/// An error and its causes, each said once.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    printable(&Chain(error).to_string())
}

/// So much is made smaller, or made text, in less time than another thread takes to begin with it.
const LITTLE: usize = 32 << 10;

/// Makes a request of so many bytes where it holds up no other: what takes long is not done between the reads and writes of
/// connections.
pub(super) async fn made<T: Send + 'static>(
    bytes: usize,
    make: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Outcome> {
    if bytes <= LITTLE {
        return Ok(make());
    }
    let made = crate::runtime::aside(make).await;
    made.ok_or_else(|| Outcome::retry("cut off: the runtime it ran on has ended"))
}

/// A message in fewer bytes, and the name of the encoding. `None` where that is not asked for, or not to be had.
#[cfg(any(feature = "gzip", feature = "zstd"))]
pub(super) fn compressed<C: Iterator<Item = Bytes>>(
    compression: Compression,
    chunks: impl FnOnce() -> C,
    len: usize,
    provisions: Option<&Provisions>,
) -> Option<(Vec<Bytes>, &'static str)> {
    let encoding = compression.encoding()?;
    let reserve = provisions?.limiter().reserve();
    let pieces = crate::compression::compress(compression, chunks(), len, &reserve)?;
    Some((pieces, encoding))
}

#[cfg(not(any(feature = "gzip", feature = "zstd")))]
pub(super) fn compressed<C: Iterator<Item = Bytes>>(
    compression: Compression,
    _: impl FnOnce() -> C,
    _: usize,
    _: Option<&Provisions>,
) -> Option<(Vec<Bytes>, &'static str)> {
    let Compression::None = compression;
    None
}
